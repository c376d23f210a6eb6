"""The Ray actor class of all roles: a process around a `Host`. It decides nothing.

Ray runs each concurrency group of an async actor on its own event loop and thread. The host and its role run on one of
these loops, *home* (the default group's); the methods of the other groups only pass their calls to it. So each group is
a separate queue with its own bound: a thousand long polls cannot block commands, and commands cannot block the
supervisor.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import ray
from loguru import logger

from ... import __version__ as VERSION
from ...keystore.state_folder import host_identity
from ...model.errors import Misconfigured
from ...model.time import SECOND_NS, in_ns
from ...orderbook.segment.directory import segment_directory
from . import logs
from .host import Assignment, Hooks, Host, Surroundings
from .kinds import build, preload, read_config
from .messages import Envelope
from .near import Method, near_directory, socket_name
from .near_pass import pass_on
from .near_server import NearServer
from .pulse import PERIOD_S, Pulse, kill_process, process_start
from .ray_calls import cluster_name, own_host, own_title
from .ray_routes import RayRoutes
from .role import Context, Role, RoleSpec
from .sweep import PULSES, leave

T = TypeVar("T")
GROUPS = {"control": 64, "commands": 4096, "urgent": 1024, "polls": 8192, "life": 16}
EXIT_FAILED, EXIT_LEASE = 70, 75
ANSWERED_S = 0.02  # between the last answer and the end of the process, so that the answer is still sent
HEARD_S = 1.0  # the longest life after a failure: the supervisor kills the process when it learns of the failure


class Cell:
    """Hosts one role. The methods are for the supervisor; `ask`, `urgent` and `poll` are for all processes."""

    def __init__(
        self,
        mesh: str,
        name: str,
        leases: tuple[float, float],
        trading: bool = False,
        connectors: tuple[str, ...] = (),
    ) -> None:
        """`leases` in seconds: an order manager's, any other role's."""
        self._home = asyncio.get_running_loop()
        node = ray.get_runtime_context().get_node_id()
        self._name, self._trading = name, trading
        self._segments = segment_directory(mesh, node)
        self._title = "venuemesh: spare"
        logs.set_up(name)
        preload(trading, connectors)
        self._identity = _host_identity()
        self._pid, self._start = os.getpid(), process_start(os.getpid()) or 0
        self._pulse = Pulse(self._segments / PULSES, name)
        self._routes = RayRoutes(mesh, node, self._segments)
        self._routes.warm()
        self._near: NearServer | None = None
        around = Surroundings(
            mesh,
            node,
            self._segments,
            self._routes,
            self._routes.send,
            cluster=cluster_name(),
            host=own_host(),
        )
        hooks = Hooks(self._on_failed, self._on_lease_over, self._on_read_failed)
        self._host = Host(name, around, hooks, _make, *leases)
        own_title(self._title)
        self._beating = self._home.create_task(self._beat())

    def __repr__(self) -> str:
        return self._title

    # --- for the supervisor -------------------------------------------------------------------------------------------

    @ray.method(concurrency_group="control")
    async def hello(self, epoch: int) -> dict[str, Any]:
        """Return this process's identity and assignment; record the supervisor's epoch."""
        return await self._at_home(self._hello(epoch))

    @ray.method(concurrency_group="control")
    async def adopt(self, assignment: dict[str, Any]) -> dict[str, Any]:
        """Start the assigned role; return when the role serves, or with the error that ends this cell."""
        return await self._at_home(self._adopt(Assignment.from_dict(assignment)))

    @ray.method(concurrency_group="control")
    async def stop(self, epoch: int, timeout_s: float, final: bool = True) -> None:
        """Stop the role, then end the process; `final`: see `Context.is_final`."""
        await self._at_home(self._stop(epoch, timeout_s, final))

    @ray.method(concurrency_group="control")
    async def status(self) -> dict[str, Any]:
        """Return the role's status."""
        return await self._at_home(self._status())

    @ray.method(concurrency_group="life")
    async def life(self, epoch: int) -> dict[str, Any]:
        """Wait as long as this cell lives; the call of a newer supervisor ends the older supervisor's call."""
        return await self._at_home(self._host.life(epoch))

    # --- for all processes --------------------------------------------------------------------------------------------

    @ray.method(concurrency_group="commands")
    async def ask(self, envelope: bytes) -> bytes:
        """Answer one message, once; see `actors.cell.messages`."""
        return await self._at_home(self._host.ask(envelope))

    @ray.method(concurrency_group="urgent")
    async def urgent(self, envelope: bytes) -> bytes:
        """Answer one message of `messages.URGENT_KINDS`, once."""
        return await self._at_home(self._host.ask(envelope))

    @ray.method(concurrency_group="polls")
    async def poll(self, envelope: bytes) -> bytes:
        """Answer one long poll."""
        return await self._at_home(self._host.poll(envelope))

    # --- at home ------------------------------------------------------------------------------------------------------

    async def _at_home(self, work: Coroutine[Any, Any, T]) -> T:
        if asyncio.get_running_loop() is self._home:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._home))

    async def _hello(self, epoch: int) -> dict[str, Any]:
        own = {"pid": self._pid, "start": self._start, "trading": self._trading, "identity": self._identity}
        return self._host.hello(epoch) | own | {"version": VERSION}

    async def _status(self) -> dict[str, Any]:
        return self._host.status()

    async def _adopt(self, assignment: Assignment) -> dict[str, Any]:
        began_ns = time.monotonic_ns()
        adopted = await self._host.adopt(assignment, self._prepare)
        if adopted["ok"]:
            logger.info("serving", took_ms=(time.monotonic_ns() - began_ns) / 1e6)
        return adopted

    async def _prepare(self, assignment: Assignment) -> None:
        """Make sure that the process of the previous incarnation is dead; then set this process's title."""
        if assignment.predecessor is not None:
            pid, start = assignment.predecessor
            if process_start(pid) == start:
                logger.warning("killing the predecessor", pid=pid)
                if not await asyncio.to_thread(kill_process, pid, start):
                    raise RuntimeError(f"the predecessor, process {pid}, cannot be killed")
        self._title = f"venuemesh: {assignment.address}"
        own_title(self._title)
        self._pulse.name(assignment.address)
        name = socket_name(assignment.address, assignment.incarnation)
        self._near = NearServer(near_directory(self._segments), name, self._answer_near)
        await self._near.open()
        logs.speak_as(assignment.sender)
        logger.info("adopted", cell=self._name, pid=self._pid, restarts=assignment.restarts)

    async def _answer_near(self, method: Method, content: bytes) -> bytes:
        """Answer a call over the socket; see `near.Method`."""
        if method is Method.PASS:
            return await pass_on(self._routes, content)
        return await self._host.answer_call(method, content)

    async def _stop(self, epoch: int, timeout_s: float, final: bool) -> None:
        self._host.fence(epoch)
        logger.log("DEBUG" if self._host.role is None else "INFO", "stopping", limit_s=timeout_s, final=final)
        try:
            await self._host.stop(timeout_s, final)
        except Exception as error:
            logger.opt(exception=error).error("failed while stopping")
        self._fall_silent()
        leave(self._segments)
        self._home.call_later(ANSWERED_S, os._exit, 0)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            paused_ns = self._host.check_lease()
            own_title(self._title)
            self._pulse.beat(time.monotonic_ns(), paused_ns - in_ns(PERIOD_S))
            self._host.beat()

    # --- the end ------------------------------------------------------------------------------------------------------

    def _fall_silent(self) -> None:
        """End the heartbeats and the near calls."""
        self._beating.cancel()
        if self._near is not None:
            self._near.close()
        self._pulse.close()

    def _on_failed(self, error: BaseException) -> None:
        """End this process. The successor checks that the process is gone."""
        logger.opt(exception=error).error("failed: this cell ends")
        self._fall_silent()
        self._home.call_later(ANSWERED_S, self._end_failed)

    def _end_failed(self) -> None:
        """Hold the loop, so that the role does nothing more, while other threads send the error to the supervisor."""
        time.sleep(HEARD_S)
        os._exit(EXIT_FAILED)

    def _on_lease_over(self, paused_ns: int) -> None:
        logger.error("the loop did not run for longer than the lease: ending", stood_s=paused_ns / SECOND_NS)
        os._exit(EXIT_LEASE)

    def _on_read_failed(self, envelope: Envelope, error: Exception) -> None:
        logger.opt(exception=error).error("cannot answer {} from {}", envelope.kind, envelope.sender)


def _host_identity() -> str:
    """Return the identity of this host; empty where it has none, so that no pinned child returns here by itself."""
    try:
        return host_identity()
    except Misconfigured as error:
        logger.warning("this host has no identity", reason=error)
        return ""


def _make(assignment: Assignment, context: Context) -> Role:
    return build(RoleSpec(assignment.spec["kind"], read_config(assignment.spec["config"])), context)


_OPTIONS: dict[str, Any] = {"num_cpus": 0, "max_restarts": 0, "max_task_retries": 0, "concurrency_groups": GROUPS}
CellActor: Any = ray.remote(**_OPTIONS)(Cell)
