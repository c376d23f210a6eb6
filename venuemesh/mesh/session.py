"""This process's connection to a mesh: its thread, its route table, its calls."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError

from ..actors.cell.messages import Asker
from ..actors.cell.ray_calls import SUPERVISOR, answered, namespace
from ..actors.cell.ray_routes import RayRoutes
from ..model.errors import MeshError, MeshNotRunning, RetryLater
from ..model.instrument import Instrument
from ..orderbook.segment.directory import segment_directory
from ..orderbook.view import BookView
from ..supervisor.tree.mirror_leases import LEASE_S

T = TypeVar("T")
POLL_S = 10.0
AWAY_S = 0.2  # pause before an unreachable supervisor is looked for again
FIRST_S = 15.0  # how long the first use of a mesh in a process waits for its route table
OWNER_LEASE_S = 5.0  # how long an owner counts as alive after its process was last heard of
_sessions: dict[tuple[int, str, str], Session] = {}
_lock = threading.Lock()


class Session:
    """This process's connection to one mesh. Made by `session`; see the module's theory of operation."""

    def __init__(self, mesh: str) -> None:
        self.mesh = mesh
        self.node: str = ray.get_runtime_context().get_node_id()
        self.directory = segment_directory(mesh, self.node)
        self.known: dict[str, dict[str, Instrument]] = {}
        self._elsewhere: set[str] = set()
        self._views: weakref.WeakSet[BookView] = weakref.WeakSet()
        self._views_lock = threading.Lock()
        self._first = threading.Event()
        self._changed = asyncio.Event()
        self._supervisor: Any = None
        self._accounts: dict[str, list[str]] = {}
        self._owned: dict[tuple[str, str], str] = {}  # (order manager, owner) -> what becomes of its orders
        self._owning: Future[None] | None = None
        self._lease_s = LEASE_S  # of what is asked of this node's mirror; the supervisor says how long
        self._leased = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"venuemesh-{mesh}", daemon=True)
        self._thread.start()
        self._ask: Asker = self.wait(self._open(), FIRST_S)
        self._work = [asyncio.run_coroutine_threadsafe(work, self._loop) for work in (self._follow(), self._renew())]

    async def _open(self) -> Asker:
        routes = RayRoutes(self.mesh)
        return Asker(f"client-{uuid.uuid4().hex[:12]}", routes, routes.send, time.monotonic)

    def close(self) -> None:
        """End the thread. The session cannot be used afterwards."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join(2.0)

    async def _end(self) -> None:
        """Let every task of the loop see its cancellation before the loop stops."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._loop.stop()

    # ------------------------------------------------------------------ calls

    def wait(self, work: Coroutine[Any, Any, T], timeout_s: float | None) -> T:
        """Run on the session's loop and block until it is done."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    async def hop(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the session's loop and await it from any other."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def ask(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        """On the session's loop: one message to whoever serves the address. Raises as `actors.cell.messages.Asker`."""
        return await self._ask(address, kind, body, timeout_s)

    async def supervisor(self, method: str, *args: Any, timeout_s: float = 10.0) -> Any:
        """On the session's loop: call the supervisor.

        Raises:
            MeshNotRunning: there is none.
            RetryLater: it does not answer within the timeout (it may be restarting).
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if self._supervisor is None:
                    found = asyncio.to_thread(ray.get_actor, SUPERVISOR, namespace(self.mesh))
                    self._supervisor = await found
                left = deadline - time.monotonic()
                return await answered(getattr(self._supervisor, method).remote(*args), max(0.01, left))
            except ValueError as error:
                raise MeshNotRunning(self.mesh, "no supervisor of that name on this Ray cluster") from error
            except TimeoutError:
                raise RetryLater(1.0, f"the supervisor did not answer within {timeout_s:g} s") from None
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else error from None
            except RayError as error:
                self._supervisor = None
                if time.monotonic() > deadline:
                    raise RetryLater(1.0, f"the supervisor is away: {type(error).__name__}") from error
                await asyncio.sleep(AWAY_S)

    async def network(self, exchange: str, running: bool, timeout_s: float) -> None:
        """On the session's loop: start or stop the feeds of an exchange; see `Market.stop_network`."""
        share_s = max(0.0, timeout_s - 1.0)  # the supervisor answers a little before this gives up
        if not await self.supervisor("network", exchange, running, share_s, timeout_s=timeout_s):
            raise RetryLater(1.0, f"books of {exchange} have not ended within {timeout_s:g} s")

    # ------------------------------------------------------------------ the route table

    async def _follow(self) -> None:
        after = -1
        while True:
            try:
                table = await self.supervisor("routes", after, POLL_S, timeout_s=2 * POLL_S)
            except (RetryLater, MeshNotRunning):
                await asyncio.sleep(AWAY_S)
                continue
            if table["version"] != after:
                after = table["version"]
                self._take(table)
            self._first.set()

    def _take(self, table: dict[str, Any]) -> None:
        exchanges: dict[str, dict[str, Instrument]] = {exchange: {} for exchange in table["exchanges"]}
        for address, plain in table["tracked"].items():
            _, exchange, name = address.split("/", 2)
            known = self.known.get(exchange, {}).get(name)
            fresh = Instrument.from_dict(plain)
            exchanges[exchange][name] = known if known == fresh else fresh
        elsewhere = {address for address, route in table["routes"].items() if route["node"] != self.node}
        self.known, self._elsewhere = exchanges, elsewhere
        self._accounts = table["accounts"]
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until(self, timeout_s: float, true_of: Callable[[dict[str, dict[str, Instrument]]], bool]) -> None:
        """On the session's loop: return when the tracked instruments by exchange are as asked; RetryLater if not."""
        try:
            async with asyncio.timeout(timeout_s):
                while not true_of(self.known):
                    await self._changed.wait()
        except TimeoutError:
            raise RetryLater(1.0, f"the routes have not changed within {timeout_s:g} s") from None

    def _known(self) -> dict[str, dict[str, Instrument]]:
        if not self._first.wait(FIRST_S):
            raise RetryLater(1.0, f"mesh {self.mesh!r}: its supervisor has not answered yet")
        return self.known

    # ------------------------------------------------------------------ what `Market` uses

    def exchanges(self) -> list[str]:
        return sorted(self._known())

    def tracked(self, exchange: str) -> dict[str, Instrument]:
        return dict(self._known().get(exchange, {}))

    def accounts(self, exchange: str) -> list[str]:
        self._known()
        return list(self._accounts.get(exchange, ()))

    def submit(self, address: str, kind: str, body: Any, timeout_s: float) -> Future[Any]:
        """Hand a message to the session's loop and return at once."""
        return asyncio.run_coroutine_threadsafe(self.ask(address, kind, body, timeout_s), self._loop)

    def own(self, address: str, owner: str, on_death: str) -> None:
        """Tell the order manager, now and again, that this owner lives: until this process does not."""
        with self._views_lock:
            self._owned[address, owner] = on_death
            if self._owning is None:
                self._owning = asyncio.run_coroutine_threadsafe(self._keep_owning(), self._loop)
                return
        asyncio.run_coroutine_threadsafe(self._lease_owner(address, owner, on_death), self._loop)

    async def _keep_owning(self) -> None:
        while True:
            with self._views_lock:
                owned = list(self._owned.items())
            await asyncio.gather(*(self._lease_owner(*which, on_death) for which, on_death in owned))
            await asyncio.sleep(OWNER_LEASE_S / 4)

    async def _lease_owner(self, address: str, owner: str, on_death: str) -> None:
        body = {"owner": owner, "on_death": on_death, "lease_s": OWNER_LEASE_S}
        with contextlib.suppress(MeshError):  # said again before the lease is over; a manager's successor waits for it
            await self.ask(address, "poll:lease", body, OWNER_LEASE_S / 4)

    def view(self, address: str, instrument: Instrument) -> BookView:
        view = _MeshView(self.mesh, self, instrument, address)
        with self._views_lock:
            self._views.add(view)
        return view

    def want(self, address: str) -> None:
        """Have this node's mirror follow a book that lives elsewhere. Returns at once; may be called again."""
        if address in self._elsewhere:
            asyncio.run_coroutine_threadsafe(self._want([address]), self._loop)

    async def _want(self, addresses: list[str]) -> None:
        with contextlib.suppress(RetryLater, MeshNotRunning):  # the view asks again while it has nothing to read
            lease_s: float = await self.supervisor("mirror", self.node, addresses, timeout_s=5.0)
            if lease_s != self._lease_s:
                self._lease_s = lease_s
                self._leased.set()

    async def _renew(self) -> None:
        """A node's mirror follows a book while somebody there asks: ask for every view that this process holds."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leased.wait(), self._lease_s / 4)
            self._leased.clear()
            with self._views_lock:
                held = {view.address for view in self._views}
            if remote := sorted(held & self._elsewhere):
                await self._want(remote)


class _MeshView(BookView):
    """A view that, unpickled on another node, reads that node's segments and asks for a mirror there."""

    def __init__(self, mesh: str, here: Session, instrument: Instrument, address: str) -> None:
        self._mesh = mesh
        super().__init__(here.directory, instrument, address, ask_for=lambda: session(mesh).want(address))

    def __reduce__(self) -> tuple[Any, ...]:
        return _view, (self._mesh, self.address, self.instrument)


def _view(mesh: str, address: str, instrument: Instrument) -> BookView:
    return session(mesh).view(address, instrument)


def session(mesh: str) -> Session:
    """Return this process's session of a mesh on the Ray cluster it is connected to.

    Raises:
        MeshNotRunning: this process is connected to no Ray cluster.
    """
    if not ray.is_initialized():
        raise MeshNotRunning(mesh, "this process is connected to no Ray cluster; venuemesh.connect() does that")
    key = (os.getpid(), mesh, ray.get_runtime_context().gcs_address)
    with _lock:
        found = _sessions.get(key)
        if found is None:
            found = _sessions[key] = Session(mesh)
        return found


def leave(mesh: str) -> None:
    """End this process's session of a mesh; the mesh itself goes on. Nothing happens when there is none."""
    key = (os.getpid(), mesh, ray.get_runtime_context().gcs_address)
    with _lock:
        here = _sessions.pop(key, None)
    if here is not None:
        here.close()


@atexit.register
def _close_sessions() -> None:
    with _lock:
        for found in _sessions.values():
            found.close()
        _sessions.clear()


class _Link:
    """`market.Link` by name: finds the session of whatever process it is unpickled in."""

    def __init__(self, mesh: str) -> None:
        self.mesh = mesh

    def exchanges(self) -> list[str]:
        return session(self.mesh).exchanges()

    def tracked(self, exchange: str) -> dict[str, Instrument]:
        return session(self.mesh).tracked(exchange)

    def view(self, address: str, instrument: Instrument) -> BookView:
        return session(self.mesh).view(address, instrument)

    def call(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        here = session(self.mesh)
        return here.wait(here.ask(address, kind, body, timeout_s), None)

    async def call_async(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        here = session(self.mesh)
        return await here.hop(here.ask(address, kind, body, timeout_s))

    def accounts(self, exchange: str) -> list[str]:
        return session(self.mesh).accounts(exchange)

    def submit(self, address: str, kind: str, body: Any, timeout_s: float) -> Future[Any]:
        return session(self.mesh).submit(address, kind, body, timeout_s)

    def own(self, address: str, owner: str, on_death: str) -> None:
        session(self.mesh).own(address, owner, on_death)

    def network(self, exchange: str, running: bool, timeout_s: float) -> None:
        here = session(self.mesh)
        here.wait(here.network(exchange, running, timeout_s), None)

    async def network_async(self, exchange: str, running: bool, timeout_s: float) -> None:
        here = session(self.mesh)
        await here.hop(here.network(exchange, running, timeout_s))

    def children(self) -> list[dict[str, Any]]:
        here = session(self.mesh)
        tree = here.wait(here.supervisor("status"), None)
        rows: list[dict[str, Any]] = tree["children"]
        return rows
