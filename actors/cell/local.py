"""Cells in one process, without Ray, on one event loop, for `venuemesh.testing.LocalMesh` and our own tests.

    cells = LocalCells("mesh", folder)
    await cells.start("limits/acme/default", lambda context: LimitsRole(config, context))
    await cells.start("orders/acme/main", lambda context: OrderManagerRole(config, context))
    await cells.asker("client")("orders/acme/main", "account")

Each role is hosted as over Ray (`host`): the same envelopes, fencing, retries and typed errors. A caller can stop a
role in an orderly way (`stop`), end it as if its process had died (`kill`), and start its next incarnation (`restart`).
A role that fails ends, and `failures` keeps its error. Nothing replaces it automatically, so a message to it is refused
at once instead of waiting for a successor.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ...model.address import Route, book_of
from ...model.errors import Misconfigured, RetryLater
from ...model.time import SECOND_NS
from .host import Assignment, Hooks, Host, Surroundings
from .messages import Asker, Envelope, Gone
from .pulse import PERIOD_S
from .role import Context, Incarnation, Role

T = TypeVar("T")
MakeRole = Callable[[Context], Any]  # makes a Role
NODE = "local"
STOP_S = 10.0

_running: contextvars.ContextVar[_Cell | None] = contextvars.ContextVar("venuemesh_local_cell", default=None)


@dataclass(eq=False)
class _Cell:
    """A cell inside this process: a host, its tasks, and a future that is done when the cell ends."""

    address: str
    serves: frozenset[str]
    context: contextvars.Context
    gone: asyncio.Future[None]
    host: Host = field(init=False)
    serving: bool = False
    error: BaseException | None = None  # why its role did not start
    tasks: weakref.WeakSet[asyncio.Task[Any]] = field(default_factory=weakref.WeakSet)

    def do(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that ends with this cell, like the tasks that it starts."""
        return self.gone.get_loop().create_task(work, context=self.context.copy())


@dataclass(frozen=True, slots=True)
class _Started:
    """How to start the next incarnation of an address."""

    make: MakeRole
    serves: tuple[str, ...]


class LocalCells:
    """See the module. It is made and used on one running loop, and replaces the loop's task factory until `close`.

    `first` is the counter of the first incarnation of each address, for a process that succeeds another. `on_failed` is
    called with the address and the error of a role that failed; `on_lease_over` when the loop did not run for longer
    than `lease_s`, with the time in ns, before a role continues.
    """

    def __init__(
        self,
        mesh: str,
        segments: Path,
        *,
        first: int = 1,
        lease_s: float | None = None,
        on_failed: Callable[[str, BaseException], None] | None = None,
        on_lease_over: Callable[[int], None] | None = None,
    ) -> None:
        self.failures: list[tuple[str, BaseException]] = []
        self._first, self._lease_s, self._tell_failed = first, lease_s, on_failed
        self._on_lease_over = on_lease_over or _raise_lease_over
        self._around = Surroundings(mesh, NODE, segments, self, self.send)
        self._cells: dict[str, _Cell] = {}
        self._started: dict[str, _Started] = {}
        self._restarts: dict[str, int] = {}
        self._counters: dict[str, int] = {}  # by address; a book and its replica count together, as trades name them
        self._failed: set[str] = set()  # addresses whose role failed: there is no successor, so no sender waits
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._factory = self._loop.get_task_factory()
        self._loop.set_task_factory(_remember)

    def __iter__(self) -> Iterator[str]:
        """The addresses of the running cells, in the order of their start."""
        return iter(list(self._cells))

    async def close(self) -> None:
        """Stop every role, the last one started first. Raises the error of a role after all have ended."""
        errors = []
        for address in reversed(list(self._cells)):
            try:
                await self.stop(address)
            except Exception as error:
                errors.append(error)
        self._loop.set_task_factory(self._factory)
        if errors:
            raise errors[0]

    # ------------------------------------------------------------------ cells

    async def start(self, address: str, make: MakeRole, serves: Iterable[str] = ()) -> None:
        """Make the role of an address and return when it serves. Raises the errors of its `start`.

        `serves` are further addresses of this role.
        """
        if address in self._cells:
            raise Misconfigured(address, "already runs in this process")
        serves = tuple(serves)
        self._started[address] = _Started(make, serves)
        self._failed.discard(address)
        restarts = self._restarts[address] = self._restarts.get(address, -1) + 1
        counted = book_of(address)
        count = self._counters[counted] = self._counters.get(counted, self._first - 1) + 1
        cell = _Cell(address, frozenset((address, *serves)), contextvars.copy_context(), self._loop.create_future())
        cell.context.run(_running.set, cell)
        hooks = Hooks(
            failed=lambda error: self._on_failed(cell, error),
            lease_over=self._on_lease_over,
            read_failed=lambda envelope, error: self._on_read_failed(cell, envelope, error),
        )
        name = f"cell-{address}-{count}"
        cell.host = Host(name, self._around, hooks, lambda _, context: make(context), self._lease_s)
        self._cells[address] = cell
        spec = {"address": address, "serves": [(name, None) for name in serves]}
        cell.do(self._beat(cell))
        adopting = cell.do(cell.host.adopt(Assignment(1, (1, count), spec, restarts)))
        try:
            await asyncio.wait({adopting})
        except asyncio.CancelledError:
            await self.kill(address)
            raise
        if adopting.cancelled() or not adopting.result()["ok"] or self._cells.get(address) is not cell:
            raise cell.error or RetryLater(0.1, f"{address} ended while it started")
        cell.serving = True
        self._wake()

    async def stop(self, address: str, timeout_s: float = STOP_S, final: bool = True) -> None:
        """Stop a role as in an orderly shutdown, or, unless that is `final`, as before its next incarnation. Raises the
        errors of its `stop`, and TimeoutError."""
        cell = self._cells.pop(address, None)
        if cell is not None:
            try:
                await cell.do(cell.host.stop(timeout_s, final))
            finally:
                await self._bury(cell)

    async def kill(self, address: str) -> None:
        """End a role as if its process had died: without notice, in the middle of its tasks."""
        cell = self._cells.pop(address, None)
        if cell is not None:
            await self._bury(cell)

    async def restart(self, address: str) -> None:
        """Start the next incarnation of an address. A running incarnation is killed first."""
        await self.kill(address)
        started = self._started[address]
        await self.start(address, started.make, started.serves)

    def role(self, address: str) -> Role:
        """Return the role that serves an address. Raises RetryLater: no role serves it."""
        cell = self._cells.get(address)
        if cell is None or cell.host.role is None:
            raise RetryLater(0.1, f"no role serves {address}")
        return cell.host.role

    def status(self, address: str) -> dict[str, Any]:
        """Return the status of the role that serves an address. Raises RetryLater: no role serves it."""
        return self.role(address).status()

    async def _beat(self, cell: _Cell) -> None:
        while not cell.host.ended:
            await asyncio.sleep(PERIOD_S)
            cell.host.check_lease()
            cell.host.beat()

    async def _bury(self, cell: _Cell) -> None:
        cell.host.end()
        if not cell.gone.done():
            cell.gone.set_result(None)
        deadline = time.monotonic() + STOP_S
        while (
            running := {task for task in cell.tasks if not task.done() and task is not asyncio.current_task()}
        ) and time.monotonic() < deadline:
            for task in running:  # repeatedly: a task may wait in its `finally` for another task that has ended
                task.cancel()
            await asyncio.wait(running, timeout=PERIOD_S)

    def _on_failed(self, cell: _Cell, error: BaseException) -> None:
        if self._cells.get(cell.address) is cell:
            del self._cells[cell.address]
        self._failed.add(cell.address)
        self._wake()
        self._loop.create_task(self._bury(cell))
        if not cell.serving:
            cell.error = error  # for the caller of `start`
            return
        self.failures.append((cell.address, error))
        if self._tell_failed is not None:
            self._tell_failed(cell.address, error)

    def _on_read_failed(self, cell: _Cell, envelope: Envelope, error: Exception) -> None:
        self.failures.append((cell.address, error))

    def on_unhandled(self, loop: asyncio.AbstractEventLoop, details: dict[str, Any]) -> None:
        """Keep the error of a task without a waiting task (for `loop.set_exception_handler`); drop errors of dead
        cells."""
        error, cell = details.get("exception"), _running.get()
        if isinstance(error, Exception) and (cell is None or not cell.gone.done()):
            self.failures.append((cell.address if cell is not None else self._around.mesh, error))

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # ------------------------------------------------------------------ messages

    def asker(self, sender: str) -> Asker:
        """Return a sender of messages to these cells, under a name."""
        return Asker(sender, self, self.send, time.monotonic)

    async def find(self, address: str, newer_than: Incarnation | None, timeout_s: float) -> Route | None:
        """See `messages.Routes`."""
        try:
            async with asyncio.timeout(timeout_s):
                while address not in self._failed:
                    for cell in self._cells.values():
                        if address in cell.serves and cell.host.role is not None:
                            found = Route(address, cell.address, cell.host.cell, NODE, cell.host.incarnation)
                            if newer_than is None or found.incarnation > newer_than:
                                return found
                    await self._changed.wait()
        except TimeoutError:
            pass  # None: no cell serves it
        return None

    async def send(self, route: Route, method: str, packed: bytes, timeout_s: float) -> bytes:
        """See `messages.Send`."""
        cell = self._cells.get(route.child)
        if cell is None or cell.host.incarnation != route.incarnation:
            raise Gone(sent=False)
        answer = cell.do(cell.host.poll(packed) if method == "poll" else cell.host.ask(packed))
        ends: set[asyncio.Future[Any]] = {answer, cell.gone}
        await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if answer.done() and not answer.cancelled():
            return answer.result()
        if cell.gone.done():
            raise Gone(sent=True)
        raise TimeoutError


def _raise_lease_over(paused_ns: int) -> None:
    raise RuntimeError(f"the loop did not run for {paused_ns / SECOND_NS:.1f} s, longer than the lease")


def _remember(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    """A task factory that assigns each task to the cell in whose context the task was made."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
    given: contextvars.Context | None = options.get("context")
    cell = given.get(_running) if given is not None else _running.get()
    if cell is not None:
        cell.tasks.add(task)
    return task
