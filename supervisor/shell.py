"""The supervisor's shell: it performs the machine's effects and turns answers into events.

The shell reaches cells through a port, and durable values through a store. Both are arguments, so the shell runs
without Ray. Everything runs on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from loguru import logger

from ..actors.cell.messages import AGAIN_S, Gone, Unreachable
from ..model.address import agent_address, catalog_address, is_book_of
from ..model.errors import Fenced, MeshError, Misconfigured, Rejected, RetryLater
from ..model.shown import whole
from .cells import PREFIX, UNANSWERED, Cells
from .log import EventLog
from .retirement import judge, keep
from .retrying_store import AWAY, Durable, Store
from .stored_promises import StoredPromises
from .tree import events as m
from .tree.child import ChildSpec
from .tree.desired import Desired
from .tree.escalations import recall, remember
from .tree.machine import Machine
from .tree.plan import messages
from .tree.settings import MeshSettings

T = TypeVar("T")
REFRESH_S = 15.0  # longest wait for a list of instruments
REFUSED_S = 0.5  # pause after a failed creation of a cell, because the cluster may refuse at once
EXIT_DEFECT, EXIT_RENEWED = 70, 75
ANSWERED_S = 0.05  # between the answer to a request to end and the end


class SupervisorShell:
    """The shell of one supervisor. Call `boot` first; `machine` and `desired` exist when `ready` is set."""

    machine: Machine
    desired: Desired
    promises: StoredPromises
    promised: dict[str, dict[str, Any]]  # by budget: what earlier supervisors have stored

    def __init__(self, settings: MeshSettings, port: Cells, store: Store) -> None:
        self.settings, self.port, self.store = settings, port, store
        self.durable = Durable()
        self.ready = asyncio.Event()
        self.changed = asyncio.Event()  # set and replaced when a route changes
        self._moved = asyncio.Event()  # set and replaced at every event
        self._home = asyncio.get_running_loop()
        self._log = EventLog()
        self._wishing = asyncio.Lock()
        self._homes: dict[str, str] = {}  # as stored
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine as a task; an error in it ends this process."""
        task = self._home.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).critical("unexpected error: this supervisor ends, and Ray restarts it")
            os._exit(EXIT_DEFECT)

    # --- boot ---------------------------------------------------------------------------------------------------------

    async def boot(self) -> None:
        """Take a new epoch, find the living cells, and start the desired children. Waits while the GCS is away."""
        began_ns = time.monotonic_ns()
        epoch = self.port.epoch = await self.durable.run(self.store.next_epoch, patience_s=None)
        stored = await self.durable.run(self.store.get, "desired", patience_s=None)
        past = await self.durable.run(self.store.get, "past", patience_s=None) or {"birth": None, "children": {}}
        settings = self.settings
        self.promises = StoredPromises(self.store, self.durable, epoch, settings.birth, self.spawn)
        self.promised = await self.promises.read()
        self.desired = Desired(settings, stored)
        await self.durable.run(self.store.put, "desired", self.desired.to_dict(), patience_s=None)
        kept = past["children"] if past["birth"] == settings.birth else {}
        known = recall(kept, settings.tree.policy, time.monotonic_ns(), time.time_ns())
        self._homes = await self.durable.run(self.store.get, "homes", patience_s=None) or {}
        self.machine = Machine(epoch, settings.tree, lambda: f"{PREFIX}{secrets.token_hex(6)}", known, self._homes)
        drained = await self.durable.run(self.store.get, "drained", patience_s=None)
        if drained is not None and drained["birth"] == settings.birth:
            self.on(m.Drained(tuple(drained["hosts"])))
        await self._find_cells()
        self.on(m.RunChildren(tuple(self.desired.first_specs())))
        if stored is not None:
            self.machine.resume()
        specs = {address: child.spec for address, child in self.machine.children.items()}
        if strangers := self.desired.strangers(specs):
            self.on(m.StopChildren(strangers))
        self._note_homes()
        self.ready.set()
        took_ms = (time.monotonic_ns() - began_ns) / 1e6
        found = {"cells": len(self.machine.cells), "children": len(specs), "stopped": self.desired.stopped}
        logger.info("supervisor up", epoch=epoch, resumed=stored is not None, took_ms=took_ms, **found)

    async def _note(self, operation: Callable[..., None], *arguments: Any) -> None:
        """Write a value that is not essential: cells know their roles, so it is dropped while the store is away."""
        try:
            await self.durable.run(operation, *arguments)
        except RetryLater as error:
            logger.warning("value not stored", name=arguments[0], reason=error)

    def _note_homes(self) -> None:
        """Store the hosts of pinned children when they have changed."""
        if (homes := self.machine.homes) != self._homes:
            self._homes = homes
            self.spawn(self._note(self.store.put, "homes", homes))

    async def _find_cells(self) -> None:
        names = await self._patiently(self.port.names)
        for found in await asyncio.gather(*(self._find_cell(name) for name in names)):
            if found is not None:
                self._take_over(found)

    def _take_over(self, found: m.Found) -> None:
        self.on(found)
        self.spawn(self._attend(found.cell))

    async def find_stranger(self, name: str) -> None:
        """Take over a cell that the cluster has and this supervisor does not know, if it still lives."""
        found = await self._find_cell(name)
        if found is None or name in self.machine.cells:
            return
        logger.warning("found a process that no supervisor knew", cell=name, node=found.node[:12], pid=found.pid)
        self._take_over(found)

    async def _find_cell(self, name: str) -> m.Found | None:
        try:
            await self._patiently(lambda: self.port.find(name))
            answer = await self.port.hello(name, self.settings.tree.agent.hang_limit_s)
        except Gone:
            self.port.forget(name)
            return None
        except Fenced:
            self._superseded(name)
            return None
        except (TimeoutError, Unreachable):  # the cell or its node hangs: use the stored values of the cell
            noted: dict[str, Any] | None
            noted = await self.durable.run(self.store.get, f"cell/{name}", patience_s=None)
            if noted is None:  # the cell had no assignment, so no role is lost
                await self._discard(name)
                return None
            answer = noted | {"answers": False}
        assignment = answer["assignment"]
        if assignment is None:
            return m.Found(
                name,
                answer["node"],
                answer["pid"],
                answer["start"],
                None,
                None,
                trading=answer.get("trading", False),
                identity=answer.get("identity", ""),
                version=answer.get("version", ""),
            )
        epoch, counter = assignment["incarnation"]
        spec = ChildSpec.from_dict(assignment["spec"])
        serving = answer.get("serving", True)
        return m.Found(
            name,
            answer["node"],
            answer["pid"],
            answer["start"],
            (epoch, counter),
            spec,
            assignment["restarts"],
            serving,
            identity=answer.get("identity", ""),
            answers=answer.get("answers", True),
            version=answer.get("version", ""),
        )

    async def _patiently(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Repeat an operation until the GCS answers."""
        tries = 0
        while True:
            try:
                return await ask()
            except Unreachable:
                tries += 1
                await asyncio.sleep(AWAY.delay_s(tries))

    # --- events and effects -------------------------------------------------------------------------------------------

    def on(self, event: m.Event) -> None:
        """Pass an event to the machine, and start the effects that it returns."""
        version, now_ns = self.machine.routes.version, time.monotonic_ns()
        self._log.event(event, self.machine, now_ns)
        for effect in self.machine.on(event, now_ns):
            self._log.effect(effect, self.machine, now_ns)
            self.spawn(self._perform(effect))
        if self.machine.routes.version != version:
            changed, self.changed = self.changed, asyncio.Event()
            changed.set()
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def until(self, reached: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Wait until the condition holds, or until the timeout."""
        deadline = None if timeout_s is None else self._home.time() + timeout_s
        while not reached() and (deadline is None or self._home.time() < deadline):
            await self._moved.wait()  # the machine ticks, so this returns soon

    async def until_routes(self, after: int, addresses: list[str] | None, timeout_s: float) -> None:
        """Return when a route of `addresses` (None: any) has changed since version `after`, or at the timeout."""
        deadline = self._home.time() + timeout_s
        table = self.machine.routes
        while not table.changed_since(after, addresses) and (remaining_s := deadline - self._home.time()) > 0:
            changed = self.changed
            try:
                async with asyncio.timeout(remaining_s):  # unlike wait_for, it never drops a cancellation
                    await changed.wait()
            except TimeoutError:
                break

    async def _perform(self, effect: m.Effect) -> None:
        match effect:
            case m.Create(cell, node, trading):
                await self._create(cell, node, trading)
            case m.AdoptCell():
                await self._adopt(effect)
            case m.StopCell(cell, timeout_s, final):
                try:
                    await self.port.stop(cell, timeout_s, final)
                except Fenced:
                    self._superseded(cell)
                except UNANSWERED:
                    return  # the cell's deadline or death follows
            case m.KillCell(cell, node, pid, start, agent):
                await self._kill(cell, node, pid, start, agent)
            case m.Discard(cell):
                await self._discard(cell)
            case m.Sweep(node):
                sweeper = self.machine.routes.get(agent_address(node))
                if sweeper is not None:
                    try:
                        await self.ask(sweeper.cell, sweeper.address, "sweep", None, 5.0, 5.0)
                    except UNANSWERED:
                        return  # the agent itself sweeps every second
            case m.HandedOver():
                return  # logged
            case m.Degraded():
                children = remember(self.machine.children, time.monotonic_ns(), time.time_ns())
                past = {"birth": self.settings.birth, "children": children}
                await self._note(self.store.put, "past", past)

    async def _create(self, cell: str, node: str, trading: bool) -> None:
        try:
            answer = await self.port.create(cell, node, trading)
        except (Gone, Unreachable, ValueError, MeshError) as error:
            await asyncio.sleep(REFUSED_S)
            self.on(m.CreateFailed(cell, end_of(error.__cause__ or error)))
            return
        known = answer.get("identity", ""), answer.get("version", "")
        self.on(m.CellCreated(cell, answer["pid"], answer["start"], *known))
        self._note_homes()
        self.spawn(self._attend(cell))

    async def _attend(self, cell: str) -> None:
        """Wait for the end of a cell's life.

        Call an unreachable cell again; the call of a newer supervisor ends this one.
        """
        while cell in self.port:
            try:
                answer = await self.port.life(cell)
            except Unreachable:
                await asyncio.sleep(AGAIN_S)
                continue
            except Gone:
                break
            except Fenced:
                self._superseded(cell)
                return
            if answer["why"] == "superseded":
                self._superseded(cell)
                return
            self.on(m.Failed(cell, answer["error"]))
        self.port.forget(cell)
        self.on(m.Died(cell))
        await self._note(self.store.delete, f"cell/{cell}")

    def _superseded(self, cell: str) -> None:
        logger.warning("a newer supervisor has called a cell: leaving", cell=cell)
        os._exit(0)

    def renew(self) -> None:
        """End this process; Ray starts a supervisor with the code that is installed now. The children run on."""
        logger.info("this supervisor ends, and Ray starts another with the code that is installed now")
        self._home.call_later(ANSWERED_S, os._exit, EXIT_RENEWED)

    async def check_epoch(self) -> None:
        """End this supervisor if the store knows a later one. Raises RetryLater: the store is away."""
        newest = await self.durable.run(self.store.get, "epoch", patience_s=0.5)
        if newest is not None and newest > self.port.epoch:
            logger.warning("the cluster's store knows a newer supervisor: leaving", newest=newest)
            os._exit(0)

    async def _adopt(self, effect: m.AdoptCell) -> None:
        assignment = {
            "epoch": self.port.epoch,
            "incarnation": list(effect.incarnation),
            "spec": effect.spec.to_dict(),
            "restarts": effect.restarts,
            "predecessor": effect.predecessor,
        }
        cell = self.machine.cells.get(effect.cell)
        if cell is None:
            return
        known = {"node": cell.node, "pid": cell.pid, "start": cell.start, "assignment": assignment}
        self.spawn(self._note(self.store.put, f"cell/{effect.cell}", known))
        try:
            answer = await self.port.adopt(effect.cell, assignment)
        except Fenced:
            self._superseded(effect.cell)
            return
        except UNANSWERED:
            return  # the cell's death or deadline follows
        if answer["ok"]:
            self.on(m.Adopted(effect.cell))
        else:
            self.on(m.Failed(effect.cell, answer["error"]))

    async def _kill(self, cell: str, node: str, pid: int, start: int, agent: str | None) -> None:
        if agent is None or not pid:
            self.on(m.KillFailed(cell))
            return
        try:
            body = {"pid": pid, "start": start, "timeout_s": 2.0}
            gone = await self.ask(agent, agent_address(node), "kill", body, 2.5, 2.5)
        except UNANSWERED:
            gone = False
        self.on(m.Died(cell, by="its agent, which killed it") if gone else m.KillFailed(cell))

    async def _discard(self, cell: str) -> None:
        try:
            await self.port.discard(cell)
        except Gone:
            return
        except Unreachable as error:
            self._log.not_discarded(cell, error)

    async def ask(
        self, cell: str, address: str, kind: str, body: Any, timeout_s: float, deadline_s: float | None = None
    ) -> Any:
        """Send a role one message; return the reply, within `deadline_s` (None: `timeout_s`).

        All messages of this supervisor to roles pass here: a cell that a later supervisor has called ends this one.
        Raises as `Cells.ask`.
        """
        try:
            return await self.port.ask(
                cell, address, kind, body, timeout_s, timeout_s if deadline_s is None else deadline_s
            )
        except Fenced as error:
            if error.seen[0] > self.port.epoch:  # otherwise the cell runs another role, or none now
                self._superseded(cell)
            raise

    async def ask_briefly(self, cell: str, address: str, kind: str, body: Any = None) -> Any:
        """Send a role one message and wait a second for the reply; None when there is none."""
        try:
            return await self.ask(cell, address, kind, body, 1.0, 1.0)
        except UNANSWERED:
            return None

    # --- wishes -------------------------------------------------------------------------------------------------------

    async def wish(self, exchange: str, change: Callable[[Desired], None]) -> None:
        """Change the desired state: first in the store, then in the machine.

        Raises RetryLater, and errors of `change`.
        """
        async with self._wishing:  # one after another, so that store and machine end with the same change
            changed = self.desired.copy()
            change(changed)
            await self.durable.run(self.store.put, "desired", changed.to_dict())
            self.desired.take(changed)
        self.machine.routes.bump()
        self.replan(exchange)

    async def drain(self, change: Callable[[frozenset[str]], frozenset[str]]) -> None:
        """Change which hosts are drained: first in the store, then in the machine.

        Raises RetryLater, and errors of `change`.
        """
        async with self._wishing:
            hosts = tuple(sorted(change(self.machine.drained)))
            await self.durable.run(self.store.put, "drained", {"birth": self.settings.birth, "hosts": list(hosts)})
            self.on(m.Drained(hosts))

    def replan(self, exchange: str) -> None:
        """Start and stop books of an exchange according to the desired state."""
        if self.machine.ending:
            return
        running = {address: child.spec for address, child in self.machine.children.items() if child.wanted}
        todo = self.desired.books(exchange, running)
        for spec in todo.amend:
            before = running[spec.address]
            self.on(m.Amend(spec))
            self.spawn(self._tell_amended(spec, before))
        if todo.run:
            self.on(m.RunChildren(todo.run))
        if todo.end:  # last: a replica stays until its book serves
            self.on(m.StopChildren(todo.end))

    async def _tell_amended(self, spec: ChildSpec, before: ChildSpec) -> None:
        """Tell a running book child what changed, until it answers. Its next incarnation begins with the change."""
        route = self.machine.routes.get(spec.address)
        for kind, body in messages(before, spec):
            while route is not None and self.machine.routes.get(spec.address) == route:
                try:
                    await self.ask(route.cell, spec.address, kind, body, 1.0, 1.0)
                    break
                except (Rejected, Misconfigured) as error:
                    logger.warning("a book refused a change", address=spec.address, kind=kind, reason=str(error))
                    break
                except UNANSWERED:
                    await asyncio.sleep(AGAIN_S)

    async def ask_role(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        """Ask the role that serves an address. Raises RetryLater: there is none, or it does not answer in time."""
        route = self.machine.routes.get(address)
        if route is None:
            raise RetryLater(1.0, f"no role serves {address}")
        try:
            return await self.ask(route.cell, address, kind, body, timeout_s, timeout_s)
        except UNANSWERED as error:
            raise RetryLater(1.0, f"{address} does not answer: {error!r}") from error

    async def watch_listing(self, exchange: str) -> None:
        """Judge the missing pairs of an exchange, and let its catalog fetch the list again."""
        if missing := self.desired.missing(exchange):
            running = {a: child.spec for a, child in self.machine.children.items() if is_book_of(a, exchange)}
            with contextlib.suppress(MeshError):  # judged again later
                await keep(exchange, missing, self.ask_role)
                verdict = await judge(exchange, missing, running, self.ask_role)
                logger.warning(
                    "the list lacks tracked pairs",
                    exchange=exchange,
                    missing=[instrument.name for instrument in missing],
                    gone=verdict.gone,
                )
                self.desired.judged(exchange, *verdict)
                self.replan(exchange)
                await keep(exchange, self.desired.missing(exchange), self.ask_role)
        with contextlib.suppress(MeshError):  # the catalog's status has the error
            await self.ask_role(catalog_address(exchange), "refresh", None, REFRESH_S)


def end_of(error: BaseException) -> str:
    """Return the text of an error that may be a whole traceback: its last line, without the module of the class."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) < 2:
        return whole(repr(error))
    return whole(re.sub(r"^(?:\w+\.)+(?=\w+(?:: |$))", "", lines[-1]))
