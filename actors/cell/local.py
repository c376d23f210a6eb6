"""The mesh's own roles in one process, without Ray: an event loop in a thread, and what stands in for its cells.

    with Host(folder) as host:
        host.start("limits/acme/default", lambda context: LimitsRole(config, context))
        host.start("orders/acme/main", lambda context: OrderManagerRole(config, context))
        host.track("acme", [instrument])
        market = Market(host, "acme", "main")

Messages go through the same envelopes, retries and typed errors as between cells (`messages`). A role can be
ended politely (`stop`) or as if its process had died (`kill`), and be followed by the next incarnation (`restart`).
What a role reports as a broken assumption, or meets without expecting it, ends it and is kept in `failures`; nobody
follows it by itself, and whoever asks it is told so at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ...model.address import Route
from ...model.errors import Fenced, MeshError, Misconfigured, OutcomeUnknown, Rejected
from ...model.instrument import Instrument
from ...orderbook.view import BookReading
from .messages import POLL, Asker, Dedup, Envelope, Gone, pack_error, pack_reply
from .pulse import PERIOD_S
from .role import Context, Incarnation, Role

T = TypeVar("T")
V = TypeVar("V", bound=BookReading)
Make = Callable[[Context], Any]  # makes a Role
STOP_S = 10.0
LEASE_S = 3600.0  # of an owner: it lives as long as this process, and so does the manager

_running: contextvars.ContextVar[_Cell | None] = contextvars.ContextVar("venuemesh_host_cell", default=None)


@dataclass(eq=False)
class _Cell:
    """What a cell is to its role: a name, a task list that can be ended, an end."""

    address: str
    incarnation: Incarnation
    context: contextvars.Context
    gone: asyncio.Future[None]
    tasks: weakref.WeakSet[asyncio.Task[Any]] = field(default_factory=weakref.WeakSet)
    dedup: Dedup = field(default_factory=Dedup)
    role: Role | None = None

    @property
    def dead(self) -> bool:
        return self.gone.done()

    def do(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin something that ends with this cell, as does all that it begins in turn."""
        return self.gone.get_loop().create_task(work, context=self.context.copy())

    def alive(self) -> None:
        """What the role asks before it touches anything: a dead one gets no further."""
        if self.dead:
            raise asyncio.CancelledError


class Host:
    """See the module. A `market.Link`: give it to `Market`. Every method may be called from any other thread."""

    def __init__(self, folder: Path, mesh: str = "conformance") -> None:
        self.mesh, self.folder = mesh, folder
        self.failures: list[tuple[str, BaseException]] = []
        self._cells: dict[str, _Cell] = {}
        self._makers: dict[str, Make] = {}
        self._counts: dict[str, int] = {}
        self._broken: set[str] = set()  # addresses whose role failed: nobody follows by itself, so nobody waits
        self._tracked: dict[str, dict[str, Instrument]] = {}
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(_remember)
        self._loop.set_exception_handler(self._unhandled)
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"host-{mesh}", daemon=True)
        self._thread.start()
        self._changed = asyncio.Event()
        self._ask = Asker(f"client-{mesh}", self, self.send, time.monotonic)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop every role politely, the last one started first, and end the thread."""
        try:
            for address in reversed(list(self._cells)):
                self.stop(address)
        finally:
            self.wait(self._end(), STOP_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)
            self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()

    # ------------------------------------------------------------------ roles

    def start(self, address: str, make: Make, timeout_s: float = 30.0) -> None:
        """Make the role of an address and return when it serves. Raises what its `start` raises."""
        self.wait(self._start(address, make), timeout_s)

    def stop(self, address: str) -> None:
        """End a role as its supervisor would in an orderly shutdown."""
        self.wait(self._stop(address), STOP_S + 5.0)

    def kill(self, address: str) -> None:
        """End a role as if its process had died: it says nothing to anybody, its tasks end where they stand."""
        self.wait(self._kill(address), 2 * STOP_S)

    def restart(self, address: str, timeout_s: float = 30.0) -> None:
        """Start the next incarnation of a role that was ended, or of one that still runs, which is killed first."""
        self.wait(self._restart(address), timeout_s)

    def status(self, address: str) -> dict[str, Any]:
        """What a role says of itself."""
        return self.wait(self._status(address), STOP_S)

    async def _start(self, address: str, make: Make) -> None:
        if address in self._cells:
            raise Misconfigured(address, "is served here already")
        self._makers[address] = make
        self._broken.discard(address)
        count = self._counts[address] = self._counts.get(address, 0) + 1
        cell = _Cell(address, (1, count), contextvars.copy_context(), self._loop.create_future())
        cell.context.run(_running.set, cell)
        given = Context(
            mesh=self.mesh,
            address=address,
            incarnation=cell.incarnation,
            node="here",
            segments=self.folder,
            ask=Asker(f"{address}@1.{count}", self, self.send, time.monotonic),
            fail=lambda error: self._failed(cell, error),
            monotonic_ns=time.monotonic_ns,
            time_ns=time.time_ns,
            alive=cell.alive,
            restarts=count - 1,
        )
        self._cells[address] = cell
        try:
            await cell.do(self._serve(cell, make(given)))
        except BaseException:
            await self._bury(cell)
            raise
        self._wake()

    async def _serve(self, cell: _Cell, role: Role) -> None:
        await role.start()
        cell.role = role
        cell.do(self._beat(cell, role))

    async def _beat(self, cell: _Cell, role: Role) -> None:
        while not cell.dead:
            await asyncio.sleep(PERIOD_S)
            try:
                role.beat()
            except Exception as error:  # whatever a role raises there ends its cell
                self._failed(cell, error)

    async def _stop(self, address: str) -> None:
        cell = self._cells.pop(address, None)
        if cell is None:
            return
        role, cell.role = cell.role, None
        if role is not None:
            async with asyncio.timeout(STOP_S):
                await cell.do(role.stop())
        await self._bury(cell)

    async def _kill(self, address: str) -> None:
        cell = self._cells.pop(address, None)
        if cell is not None:
            await self._bury(cell)

    async def _bury(self, cell: _Cell) -> None:
        if not cell.dead:
            cell.gone.set_result(None)
        deadline = time.monotonic() + STOP_S
        while (left := {one for one in cell.tasks if not one.done() and one is not asyncio.current_task()}) and (
            time.monotonic() < deadline
        ):
            for task in left:  # again and again: one may wait in its `finally` for another that is gone already
                task.cancel()
            await asyncio.wait(left, timeout=PERIOD_S)

    async def _restart(self, address: str) -> None:
        await self._kill(address)
        await self._start(address, self._makers[address])

    async def _status(self, address: str) -> dict[str, Any]:
        cell = self._cells.get(address)
        if cell is None or cell.role is None:
            raise Misconfigured(address, "nothing serves it here")
        return cell.role.status()

    def _failed(self, cell: _Cell, error: BaseException) -> None:
        """A role's broken assumption: its cell ends; nobody follows by itself."""
        if not cell.dead:
            self.failures.append((cell.address, error))
            self._cells.pop(cell.address, None)
            self._broken.add(cell.address)
            self._wake()
            self._loop.create_task(self._bury(cell))

    # ------------------------------------------------------------------ messages: routes, and the way to a cell

    async def find(self, address: str, newer_than: Incarnation | None, timeout_s: float) -> Route | None:
        """See `actors.cell.messages.Routes`."""
        try:
            async with asyncio.timeout(timeout_s):
                while address not in self._broken:
                    cell = self._cells.get(address)
                    if cell is not None and cell.role is not None and cell.incarnation > (newer_than or (0, 0)):
                        return Route(address, address, f"cell-{cell.incarnation[1]}", "here", cell.incarnation)
                    await self._changed.wait()
        except TimeoutError:
            pass  # nobody: the answer says so
        return None

    async def send(self, route: Route, method: str, packed: bytes, timeout_s: float) -> bytes:
        """See `actors.cell.messages.Send`."""
        cell = self._cells.get(route.address)
        if cell is None or cell.incarnation != route.incarnation:
            raise Gone(sent=False)
        envelope = Envelope.unpack(packed)
        answer = cell.do(self._handle(cell, envelope, method == "poll"))
        ends: set[asyncio.Future[Any]] = {answer, cell.gone}
        await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if answer.done() and not answer.cancelled():
            return answer.result()
        if cell.dead:
            raise Gone(sent=True)
        raise TimeoutError

    async def _handle(self, cell: _Cell, envelope: Envelope, polling: bool) -> bytes:
        if polling:
            return await self._answer(cell, envelope, polling)
        return await cell.dedup.once(envelope.sender, envelope.sequence, lambda: self._answer(cell, envelope, polling))

    async def _answer(self, cell: _Cell, envelope: Envelope, polling: bool) -> bytes:
        role, kind = cell.role, envelope.kind.removeprefix(POLL)
        if role is None:
            return pack_error(Fenced(cell.address, cell.incarnation, envelope.incarnation))
        try:
            if polling:
                return pack_reply(await role.poll(kind, envelope.body, envelope.timeout_s))
            return pack_reply(await role.handle(kind, envelope.body))
        except MeshError as error:
            return pack_error(error)
        except Exception as error:
            what, said = f"{envelope.kind} to {cell.address}", f"{type(error).__name__}: {error}"
            if kind in role.reads:
                self.failures.append((cell.address, error))
                return pack_error(Rejected("broken_request", f"{what}: {said}"))
            self._failed(cell, error)
            return pack_error(OutcomeUnknown(what, said))

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _unhandled(self, loop: asyncio.AbstractEventLoop, said: dict[str, Any]) -> None:
        """A task that nobody looks at has failed, or a socket was left behind: the dead are forgiven."""
        error = said.get("exception")
        cell = _running.get()
        if isinstance(error, Exception) and (cell is None or not cell.dead):
            self.failures.append((cell.address if cell is not None else self.mesh, error))

    # ------------------------------------------------------------------ what `Market` uses

    def wait(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run on the host's loop and block until it is done."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    async def hop(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the host's loop and await it from any other."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def track(self, exchange: str, instruments: Iterable[Instrument]) -> None:
        """Let markets know these trading rules. No books are followed here."""
        self._tracked[exchange] = {one.name: one for one in instruments}

    def exchanges(self) -> list[str]:
        return sorted(self._tracked)

    def tracked(self, exchange: str) -> dict[str, Instrument]:
        return dict(self._tracked.get(exchange, {}))

    def accounts(self, exchange: str) -> list[str]:
        prefix = f"orders/{exchange}/"
        return sorted(address.removeprefix(prefix) for address in self._counts if address.startswith(prefix))

    def view(self, kind: type[V], address: str, instrument: Instrument) -> V:
        return kind(self.folder, instrument, address)

    def call(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        return self.wait(self._ask(address, kind, body, timeout_s))

    async def call_async(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        return await self.hop(self._ask(address, kind, body, timeout_s))

    def submit(self, address: str, kind: str, body: Any, timeout_s: float) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(self._ask(address, kind, body, timeout_s), self._loop)

    def own(self, address: str, owner: str, on_death: str) -> None:
        self.submit(address, "lease", {"owner": owner, "on_death": on_death, "lease_s": LEASE_S}, STOP_S)

    def network(self, exchange: str, running: bool, timeout_s: float) -> Future[None]:
        raise Misconfigured(f"network of {exchange}", "a host follows no books")


def _remember(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    """A task factory that keeps each task with the cell in whose context it was made."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
    given: contextvars.Context | None = options.get("context")
    cell = given.get(_running) if given is not None else _running.get()
    if cell is not None:
        cell.tasks.add(task)
    return task
