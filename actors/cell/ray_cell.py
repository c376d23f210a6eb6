"""The one Ray actor class of the roles. It hosts one role in its life and decides nothing.

Ray runs each concurrency group of an async actor on an event loop and thread of its own. Everything of the role runs
on one of them, *home* (the default group's); the methods of the groups only hop there. So a group is a queue of its
own with its own bound: a thousand long polls cannot starve a command, nor commands the control of the supervisor.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import ray
from loguru import logger

from ...model.errors import Fenced, MeshError, OutcomeUnknown, Rejected
from ...model.time import SECOND_NS, in_ns
from ...orderbook.segment.directory import segment_directory
from . import logs
from .kinds import build, preload, read_config
from .messages import POLL, Asker, Dedup, Envelope, pack_error, pack_reply
from .pulse import PERIOD_S, Pulse, kill_process, process_start
from .ray_calls import own_title
from .ray_routes import RayRoutes
from .role import Context, Incarnation, Role, RoleSpec
from .sweep import PULSES, leave

T = TypeVar("T")
GROUPS = {"control": 64, "commands": 4096, "polls": 8192, "life": 16}
EXIT_FAILED, EXIT_LEASE = 70, 75


class Cell:
    """Hosts one role. Methods are for the supervisor, but `ask` and `poll`, which are for everyone in the mesh."""

    def __init__(self, mesh: str, name: str, lease_s: float, trading: bool = False) -> None:
        self._home = asyncio.get_running_loop()
        self._mesh, self._name, self._lease_ns = mesh, name, in_ns(lease_s)
        self._node = ray.get_runtime_context().get_node_id()
        self._segments = segment_directory(mesh, self._node)
        self._title = "venuemesh: spare"
        logs.set_up(name)
        preload(trading)
        self._trading = trading
        self._pid, self._start = os.getpid(), process_start(os.getpid()) or 0
        self._pulse = Pulse(self._segments / PULSES, name)
        self._assignment: dict[str, Any] | None = None
        self._role: Role | None = None
        self._serving: frozenset[str] = frozenset()
        self._incarnation: Incarnation = (0, 0)
        self._epoch = 0
        self._lives: list[asyncio.Future[dict[str, Any]]] = []
        self._dedup = Dedup()
        self._routes = RayRoutes(mesh)
        self._routes.warm()
        self._last_ns = time.monotonic_ns()
        own_title(self._title)
        self._beating = self._home.create_task(self._beat())

    def __repr__(self) -> str:
        return self._title

    # --- for the supervisor -------------------------------------------------------------------------------------------

    @ray.method(concurrency_group="control")
    async def hello(self, epoch: int) -> dict[str, Any]:
        """Who is this, and what was it told to run? Takes note of the supervisor's epoch."""
        return await self._at_home(self._hello(epoch))

    @ray.method(concurrency_group="control")
    async def adopt(self, assignment: dict[str, Any]) -> dict[str, Any]:
        """Become what the assignment says; returns when the role serves, or with the error that ends this cell."""
        return await self._at_home(self._adopt(assignment))

    @ray.method(concurrency_group="control")
    async def stop(self, epoch: int, timeout_s: float) -> None:
        """End politely: the role stops, then the process."""
        await self._at_home(self._stop(epoch, timeout_s))

    @ray.method(concurrency_group="control")
    async def status(self) -> dict[str, Any]:
        """Return the role's status."""
        return await self._at_home(self._status())

    @ray.method(concurrency_group="life")
    async def life(self, epoch: int) -> dict[str, Any]:
        """Pend while this cell lives; a newer supervisor's call ends the older's."""
        return await self._at_home(self._life(epoch))

    # --- for everyone -------------------------------------------------------------------------------------------------

    @ray.method(concurrency_group="commands")
    async def ask(self, envelope: bytes) -> bytes:
        """Answer one message, once; see `actors.cell.messages`."""
        return await self._at_home(self._ask(envelope))

    @ray.method(concurrency_group="polls")
    async def poll(self, envelope: bytes) -> bytes:
        """Answer one long poll."""
        return await self._at_home(self._poll(envelope))

    # --- at home ------------------------------------------------------------------------------------------------------

    async def _at_home(self, work: Coroutine[Any, Any, T]) -> T:
        if asyncio.get_running_loop() is self._home:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._home))

    def _fence(self, epoch: int) -> None:
        if epoch < self._epoch:
            raise Fenced(self._name, (epoch, 0), (self._epoch, 0))
        self._epoch = epoch

    async def _hello(self, epoch: int) -> dict[str, Any]:
        self._fence(epoch)
        serving = self._assignment is not None and bool(self._serving)
        return {
            "cell": self._name,
            "node": self._node,
            "pid": self._pid,
            "start": self._start,
            "assignment": self._assignment,
            "serving": serving,
            "trading": self._trading,
        }

    async def _life(self, epoch: int) -> dict[str, Any]:
        self._fence(epoch)
        for older in self._lives:
            if not older.done():
                older.set_result({"why": "superseded"})
        mine: asyncio.Future[dict[str, Any]] = self._home.create_future()
        self._lives = [mine]
        return await mine

    async def _adopt(self, assignment: dict[str, Any]) -> dict[str, Any]:
        self._fence(assignment["epoch"])
        if self._assignment is not None:
            return {"ok": False, "error": f"{self._name} was adopted already"}
        self._assignment = assignment
        began_ns = time.monotonic_ns()
        try:
            if assignment["predecessor"] is not None:
                await self._bury(*assignment["predecessor"])
            spec, address = assignment["spec"], assignment["spec"]["address"]
            self._incarnation = (assignment["incarnation"][0], assignment["incarnation"][1])
            self._title = f"venuemesh: {address}"
            own_title(self._title)
            self._pulse.name(address)
            sender = f"{address}@{self._incarnation[0]}.{self._incarnation[1]}"
            logs.speak_as(sender)
            logger.info("adopted", cell=self._name, pid=self._pid, restarts=assignment["restarts"])
            context = Context(
                mesh=self._mesh,
                address=address,
                incarnation=self._incarnation,
                node=self._node,
                segments=self._segments,
                ask=Asker(sender, self._routes, self._routes.send, time.monotonic),
                fail=self._fail,
                monotonic_ns=time.monotonic_ns,
                time_ns=time.time_ns,
                alive=self._alive,
                restarts=assignment["restarts"],
            )
            role = build(RoleSpec(spec["kind"], read_config(spec["config"])), context)
            await role.start()
        except Exception as error:
            self._fail(error)
            return {"ok": False, "error": _said(error)}
        self._role = role
        self._serving = frozenset((address, *(served for served, _ in spec["serves"])))
        logger.info("serving", took_ms=(time.monotonic_ns() - began_ns) / 1e6)
        return {"ok": True}

    async def _bury(self, pid: int, start: int) -> None:
        if process_start(pid) != start:
            return
        logger.warning("killing the predecessor", pid=pid)
        if not await asyncio.to_thread(kill_process, pid, start):
            raise RuntimeError(f"the predecessor, process {pid}, cannot be killed")

    async def _stop(self, epoch: int, timeout_s: float) -> None:
        self._fence(epoch)
        role, self._role, self._serving = self._role, None, frozenset()
        logger.log("DEBUG" if role is None else "INFO", "stopping", limit_s=timeout_s)
        if role is not None:
            try:
                async with asyncio.timeout(timeout_s):
                    await role.stop()
            except Exception as error:
                logger.opt(exception=error).error("failed while stopping")
        self._beating.cancel()
        self._pulse.close()
        leave(self._segments)
        self._home.call_later(0.02, os._exit, 0)

    async def _status(self) -> dict[str, Any]:
        return self._role.status() if self._role is not None else {"state": "SPARE", "error": None}

    async def _ask(self, raw: bytes) -> bytes:
        envelope = Envelope.unpack(raw)
        if (refusal := self._refuse(envelope)) is not None:
            return refusal
        return await self._dedup.once(envelope.sender, envelope.sequence, lambda: self._handle(envelope))

    async def _handle(self, envelope: Envelope) -> bytes:
        role = self._role
        if role is None:
            return pack_error(Fenced(envelope.address, self._incarnation, envelope.incarnation))
        try:
            return pack_reply(await role.handle(envelope.kind, envelope.body))
        except MeshError as error:
            return pack_error(error)
        except Exception as error:
            return pack_error(self._broken(role, envelope, error))

    def _broken(self, role: Role, envelope: Envelope, error: Exception) -> MeshError:
        """A message that the role did not expect: see `Role.handle`."""
        what = f"{envelope.kind} to {envelope.address}"
        if envelope.kind.removeprefix(POLL) in role.reads:
            logger.opt(exception=error).error("cannot answer {} from {}", envelope.kind, envelope.sender)
            return Rejected("broken_request", f"{what}: {_said(error)}")
        self._fail(error)
        return OutcomeUnknown(what, _said(error))

    async def _poll(self, raw: bytes) -> bytes:
        envelope = Envelope.unpack(raw)
        role = self._role
        if (refusal := self._refuse(envelope)) is not None or role is None:
            return refusal or pack_error(Fenced(envelope.address, self._incarnation, envelope.incarnation))
        try:
            kind = envelope.kind.removeprefix(POLL)
            return pack_reply(await role.poll(kind, envelope.body, envelope.timeout_s))
        except MeshError as error:
            return pack_error(error)
        except Exception as error:
            return pack_error(self._broken(role, envelope, error))

    def _refuse(self, envelope: Envelope) -> bytes | None:
        meant = envelope.incarnation
        if envelope.address in self._serving and meant in (self._incarnation, (0, 0)):
            return None
        return pack_error(Fenced(envelope.address, meant, self._incarnation))

    def _alive(self) -> None:
        gap_ns = time.monotonic_ns() - self._last_ns
        if gap_ns > self._lease_ns:
            self._end_by_lease(gap_ns)

    def _end_by_lease(self, gap_ns: int) -> None:
        logger.error(
            "stood still for longer than its lease: ending",
            stood_s=gap_ns / SECOND_NS,
            lease_s=self._lease_ns / SECOND_NS,
        )
        os._exit(EXIT_LEASE)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            now_ns = time.monotonic_ns()
            gap_ns = now_ns - self._last_ns
            if self._assignment is not None and gap_ns > self._lease_ns:
                self._end_by_lease(gap_ns)
            self._last_ns = now_ns
            own_title(self._title)
            self._pulse.beat(now_ns, gap_ns - in_ns(PERIOD_S))
            if self._role is not None:
                try:
                    self._role.beat()
                except Exception as error:
                    self._fail(error)
                    return

    def _fail(self, error: BaseException) -> None:
        """End this cell: tell the supervisor why, then leave. The successor makes sure that this process is gone."""
        logger.opt(exception=error).error("failed: this cell ends")
        self._role, self._serving = None, frozenset()
        for life in self._lives:
            if not life.done():
                life.set_result({"why": "failed", "error": _said(error)})
        self._home.call_later(0.02, os._exit, EXIT_FAILED)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]


_OPTIONS: dict[str, Any] = {"num_cpus": 0, "max_restarts": 0, "max_task_retries": 0, "concurrency_groups": GROUPS}
CellActor: Any = ray.remote(**_OPTIONS)(Cell)
