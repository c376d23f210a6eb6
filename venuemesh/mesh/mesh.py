"""The mesh as a process sees it: `connect`, `launch`, and the `Mesh` that gives markets.

Theory of operation. Each process that uses a mesh has one `Session` of it, made on first use: a daemon thread with an
event loop of its own that keeps a copy of the route table by one long poll and carries every call. So synchronous
methods never block somebody's event loop on Ray, asynchronous ones may be awaited from any loop, and a facade that was
pickled into another process finds the session there or makes it. While the supervisor is away what was known is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import Any

import ray

from ..actors.cell.ray_calls import SUPERVISOR, namespace
from ..config.mesh import MeshConfig
from ..market.market import Market
from ..model.errors import MeshError, MeshNotRunning, Misconfigured, RetryLater, UnknownExchange, UnknownInstrument
from .cluster import join_ray, make_run_directory, read_run_file
from .progress import book_states, missing_parts, refused_pairs
from .session import Session, _Link, leave, session


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
    from ..supervisor.ray_supervisor import create

    name = config.mesh.name
    if not ray.is_initialized():
        raise MeshNotRunning(name, "this process is connected to no Ray cluster")
    try:
        ray.get_actor(SUPERVISOR, namespace=namespace(name))
    except ValueError:
        here = ray.get_runtime_context().get_node_id()
        state = None
        if config.has_accounts:
            nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
            check_accounts(config, here, {n["NodeID"]: n.get("Labels") or {} for n in nodes if n["Alive"]})
            state = make_run_directory()  # where the journal is, unless the configuration says where
        create(config.for_supervisor(here, state))
        return Mesh(name)
    raise Misconfigured(f"mesh {name!r}", "runs already on this Ray cluster")


def _is_pattern(pair: str) -> bool:
    return "*" in pair or "?" in pair
