"""The mesh as a process sees it: `connect`, `launch`, and the `Mesh` that gives markets.

Theory of operation. Each process that uses a mesh has one `Session` of it, made on first use: a daemon thread with an
event loop of its own that keeps a copy of the route table by one long poll and carries every call. So synchronous
methods never block somebody's event loop on Ray, asynchronous ones may be awaited from any loop, and a facade that was
pickled into another process finds the session there or makes it. While the supervisor is away what was known is used.
"""

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
from ..actors.cell.ray_cell import SUPERVISOR, RayRoutes, answered, namespace
from ..config.mesh import MeshConfig
from ..market.market import Market
from ..model.errors import MeshError, MeshNotRunning, Misconfigured, RetryLater, UnknownExchange, UnknownInstrument
from ..model.instrument import Instrument
from ..orderbook.segment.directory import segment_directory
from ..orderbook.view import BookView
from ..supervisor.tree.mirror_leases import LEASE_S
from .cluster import join_ray, make_run_directory, read_run_file
from .progress import book_states, missing_parts, refused_pairs

T = TypeVar("T")
POLL_S = 10.0
AWAY_S = 0.2  # pause before an unreachable supervisor is looked for again
FIRST_S = 15.0  # how long the first use of a mesh in a process waits for its route table
OWNER_LEASE_S = 5.0  # how long an owner counts as alive after its process was last heard of


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


_sessions: dict[tuple[int, str, str], Session] = {}
_lock = threading.Lock()


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


class Mesh:
    """A running mesh. Small and picklable; it holds no connection of its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<Mesh {self.name}>"

    def market(self, exchange: str, account: str | None = None, *, owner: str = "", on_death: str = "keep") -> Market:
        """Return the facade of one exchange and, where it has accounts, of one of them.

        Args:
            account: None takes the only one; with several it must be named before anything is traded.
            owner: written on every order placed through this facade; events and cancels can be filtered by it.
            on_death: "keep" or "cancel" the owner's open orders when no process lives that places orders as this owner.

        Raises:
            UnknownExchange: the mesh has no such exchange; the error names those it has.
            Misconfigured: the exchange has no such account, or "cancel" without an owner.
        """
        return Market(_Link(self.name), exchange, account, owner, on_death)

    def pause(
        self,
        exchange: str | None = None,
        account: str | None = None,
        pair: str | None = None,
        *,
        reason: str = "asked",
        timeout_s: float = 10.0,
    ) -> list[str]:
        """Refuse new orders: of the whole mesh, an exchange, an account, a pair. Durable; cancels work. Idempotent.

        Returns the accounts it holds for, as `orders/EXCHANGE/ACCOUNT`.

        Raises:
            Misconfigured: no account matches.
            RetryLater: some could not be told, and the reason names them; the others are paused.
        """
        scope = {"scope": pair or "account", "reason": reason}
        return self._tell_accounts("pause", scope, exchange, account, timeout_s)

    def resume(
        self,
        exchange: str | None = None,
        account: str | None = None,
        pair: str | None = None,
        *,
        timeout_s: float = 10.0,
    ) -> list[str]:
        """Take new orders again. Everything as in `pause`."""
        return self._tell_accounts("resume", {"scope": pair or "account"}, exchange, account, timeout_s)

    def _tell_accounts(
        self, kind: str, body: dict[str, Any], exchange: str | None, account: str | None, timeout_s: float
    ) -> list[str]:
        here = session(self.name)
        chosen = [
            f"orders/{one}/{name}"
            for one in here.exchanges()
            for name in here.accounts(one)
            if exchange in (None, one) and account in (None, name)
        ]
        if not chosen:
            raise Misconfigured(f"{kind} {exchange or '*'} {account or '*'}", "the mesh has no such account")
        asked = [here.submit(address, kind, body, timeout_s) for address in chosen]
        failed = {}
        for address, answer in zip(chosen, asked, strict=True):
            try:
                answer.result()
            except MeshError as error:
                failed[address] = error
        if failed:
            raise RetryLater(1.0, f"{kind}: " + "; ".join(f"{address}: {error}" for address, error in failed.items()))
        return chosen

    @property
    def exchanges(self) -> list[str]:
        """The exchanges of this mesh."""
        return session(self.name).exchanges()

    def track(self, exchange: str, *pairs: str, timeout_s: float = 30.0) -> None:
        """Track more pairs; patterns such as `*-BTC` follow the listing. No other book is touched.

        Returns when this process knows the pairs that were named in full as tracked; what patterns bring follows. A
        pair that is tracked already is no error.

        Raises:
            UnknownExchange: the mesh has no such exchange.
            UnknownInstrument: a pair named in full is not listed as trading; nothing was changed.
            RetryLater: the supervisor is away, or the books were not placed within the timeout (they are still coming).
        """
        here = session(self.name)
        here.wait(self._track(here, exchange, pairs, timeout_s), None)

    async def track_async(self, exchange: str, *pairs: str, timeout_s: float = 30.0) -> None:
        """`track` for async actors."""
        here = session(self.name)
        await here.hop(self._track(here, exchange, pairs, timeout_s))

    async def _track(self, here: Session, exchange: str, pairs: tuple[str, ...], timeout_s: float) -> None:
        await here.until(timeout_s, bool)
        if exchange not in here.known:
            raise UnknownExchange(exchange, sorted(here.known))
        named = [pair for pair in pairs if not _is_pattern(pair)]
        if named:
            listed = await here.ask(f"catalog/{exchange}", "instruments", None, timeout_s)
            trading = {row["name"] for row in listed["instruments"] if row["status"] == "TRADING"}
            for pair in named:
                if pair not in trading:
                    raise UnknownInstrument(exchange, pair, "the exchange does not list it as trading")
        await here.supervisor("track", exchange, list(pairs), timeout_s=timeout_s)
        await here.until(timeout_s, lambda known: all(pair in known.get(exchange, {}) for pair in named))

    def untrack(self, exchange: str, *pairs: str, timeout_s: float = 30.0) -> None:
        """Stop tracking pairs or patterns; no other book is touched.

        Returns when this process no longer knows the pairs that were named in full as tracked. One that was not tracked
        is no error: the wish is kept, whatever patterns say later.

        Raises:
            UnknownExchange: the mesh has no such exchange.
            RetryLater: the supervisor is away, or the books did not end within the timeout.
        """
        here = session(self.name)
        here.wait(self._untrack(here, exchange, pairs, timeout_s), None)

    async def untrack_async(self, exchange: str, *pairs: str, timeout_s: float = 30.0) -> None:
        """`untrack` for async actors."""
        here = session(self.name)
        await here.hop(self._untrack(here, exchange, pairs, timeout_s))

    async def _untrack(self, here: Session, exchange: str, pairs: tuple[str, ...], timeout_s: float) -> None:
        await here.supervisor("untrack", exchange, list(pairs), timeout_s=timeout_s)
        named = [pair for pair in pairs if not _is_pattern(pair)]
        await here.until(timeout_s, lambda known: not any(pair in known.get(exchange, {}) for pair in named))

    def restart(self, pattern: str, timeout_s: float = 300.0) -> list[str]:
        """Restart the actors whose address matches, one after the other; return their addresses.

        Raises:
            Misconfigured: no address matches.
            RetryLater: the supervisor is away or not done within the timeout (it goes on).
        """
        here = session(self.name)
        restarted: list[str] = here.wait(here.supervisor("restart", pattern, timeout_s=timeout_s), None)
        if not restarted:
            raise Misconfigured(f"restart {pattern!r}", "no actor of the mesh has such an address")
        return restarted

    def status(self) -> dict[str, Any]:
        """Return the tree as the supervisor sees it: nodes, spares, and a row per child."""
        here = session(self.name)
        tree: dict[str, Any] = here.wait(here.supervisor("status"), None)
        return tree

    async def status_async(self) -> dict[str, Any]:
        """`status` for async actors."""
        here = session(self.name)
        tree: dict[str, Any] = await here.hop(here.supervisor("status"))
        return tree

    def wait_started(self, timeout_s: float) -> dict[str, str]:
        """Return when every configured book is placed and LIVE on its node; give back what was refused, and why.

        Raises:
            RetryLater: not within the timeout; the reason names what is missing.
        """
        here = session(self.name)
        refused: dict[str, str] = here.wait(self._started(here, timeout_s), None)
        return refused

    async def _started(self, here: Session, timeout_s: float) -> dict[str, str]:
        deadline = time.monotonic() + timeout_s
        while True:
            tree = await here.supervisor("status", timeout_s=timeout_s)
            missing = missing_parts(tree)
            if not missing:
                return refused_pairs(tree)
            if time.monotonic() > deadline:
                raise RetryLater(1.0, f"not started after {timeout_s:g} s: {', '.join(missing[:6])}")
            await asyncio.sleep(0.05)

    def count_books(self) -> dict[str, int]:
        """Return how many books are tracked and how many of them are LIVE at their writers."""
        states = book_states(self.status())
        return {"books": len(states), "live": sum(state == "LIVE" for state in states.values())}

    def shutdown(self, timeout_s: float = 30.0) -> None:
        """End the mesh in order: children in reverse, spares, segments, and the supervisor last.

        Nothing happens when it is gone already. Raises RetryLater when it does not end within the timeout.
        """
        here = session(self.name)
        with contextlib.suppress(MeshNotRunning):
            here.wait(here.supervisor("shutdown", timeout_s=timeout_s), None)
        with contextlib.suppress(ValueError):
            ray.kill(ray.get_actor(SUPERVISOR, namespace=namespace(self.name)), no_restart=True)
        leave(self.name)


def connect(mesh: str | None = None, *, address: str | None = None) -> Mesh:
    """Join a running mesh, from a driver, a task or an actor. Its name is $VENUEMESH_MESH, or "mesh", unless given.

    Inside a Ray cluster the mesh is looked for there. A driver that is connected to none joins `address`, else the
    cluster where `venuemesh up` started this mesh, else $RAY_ADDRESS.

    Raises:
        MeshNotRunning: there is no such mesh, or no such cluster.
    """
    mesh = mesh or os.environ.get("VENUEMESH_MESH") or "mesh"
    if not ray.is_initialized():
        known = read_run_file(mesh)
        where = address or (known.address if known else None) or os.environ.get("RAY_ADDRESS")
        if where is None:
            raise MeshNotRunning(mesh, "nothing is known of it here; `venuemesh up` starts one")
        if address is None and known is not None and known.host_pid is not None and not known.host_is_alive():
            raise MeshNotRunning(mesh, f"the process that hosted it at {known.address} is gone")
        join_ray(where, mesh=mesh)
    try:
        ray.get_actor(SUPERVISOR, namespace=namespace(mesh))
    except ValueError as error:
        raise MeshNotRunning(mesh, "no supervisor of that name on this Ray cluster") from error
    return Mesh(mesh)


def launch(config: MeshConfig) -> Mesh:
    """Start a mesh on the Ray cluster this process is connected to; return at once (see `Mesh.wait_started`).

    It starts from this configuration, whatever a mesh of that name was told before that is gone.

    Raises:
        Misconfigured: a mesh of that name runs there already; or an account could not be traded on without a person
            (see `account_checks.check_accounts`).
        MeshNotRunning: this process is connected to no Ray cluster.
    """
    from ..config.checks import check_accounts
    from ..supervisor.supervisor import create

    name = config.mesh.name
    if not ray.is_initialized():
        raise MeshNotRunning(name, "this process is connected to no Ray cluster")
    try:
        ray.get_actor(SUPERVISOR, namespace=namespace(name))
    except ValueError:
        here = ray.get_runtime_context().get_node_id()
        state = None
        if config.trades:
            nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
            check_accounts(config, here, {n["NodeID"]: n.get("Labels") or {} for n in nodes if n["Alive"]})
            state = make_run_directory()  # where the journal is, unless the configuration says where
        create(config.for_supervisor(here, state))
        return Mesh(name)
    raise Misconfigured(f"mesh {name!r}", "runs already on this Ray cluster")


def _is_pattern(pair: str) -> bool:
    return "*" in pair or "?" in pair
