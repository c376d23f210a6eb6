"""A mesh in one process, without Ray: for tests of strategies and for our own.

    with local_exchange(balances={"BTC": "1", "USDT": "100000"}) as exchange, LocalMesh(exchange.config()) as mesh:
        mesh.wait_ready()
        market = mesh.market(mesh.exchanges[0], owner="my-strategy")
        order_id = market.buy("BTC-USDT", "0.01", "MARKET")

The roles, their messages and the plan of children are those of a real mesh; only the processes are missing. A test can
end a role as if its process had died (`kill`), stop it in an orderly way (`stop`) and start its next incarnation
(`restart`). Nothing restarts automatically, so the test decides what happens and when. `docs/testing.md` shows the use.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from .actors.catalog.settings import LISTING_AGAIN_S, LISTING_POLL_S
from .actors.cell.kinds import build
from .actors.cell.local import NODE, LocalCells
from .actors.cell.loop_thread import loop_in_thread
from .actors.cell.role import Context, Role, RoleSpec
from .config.mesh import MeshConfig, check_config
from .connectors import registry
from .connectors.market_codec import Connector
from .defaults import EXCHANGE
from .exchange.admin.client import AdminClient
from .exchange.face import protocol_names
from .exchange.launch import serving
from .market.market import AsyncMarket, Market
from .mesh.progress import missing_parts
from .model.address import catalog_address, is_book_of
from .model.errors import MeshError, Misconfigured, RetryLater
from .model.instrument import Instrument
from .orderbook.view import BookReading
from .supervisor.retirement import ListingClock, judge, keep
from .supervisor.tree.child import ChildSpec, Tier
from .supervisor.tree.desired import Desired
from .supervisor.tree.plan import messages

T = TypeVar("T")
V = TypeVar("V", bound=BookReading)
START_S = 30.0  # time for one role to start
CALL_S = 15.0  # time for a call into the mesh's thread that does not wait for an exchange
LOOK_S = 0.02  # between two checks of what is ready
OWNER_LEASE_S = 3600.0  # an owner lives as long as this process, and so does the mesh
ACCOUNT = "main"  # the account of `local_exchange`


class LocalMesh:
    """A mesh in this process, in a separate thread. Use it as a context manager, or call `start` and `close`.

    Args:
        config: the content of a configuration file, as `MeshConfig` or as plain data (`docs/configuration.md`).
        folder: where segments and the journal are kept; it stays. Default: a temporary folder, which is removed.
        connectors: connectors to use under their names, installed or not.

    Raises:
        ConfigError: the configuration is wrong.
        Misconfigured: another mesh of this process uses another connector of the same name.
    """

    def __init__(
        self,
        config: MeshConfig | Mapping[str, Any],
        *,
        folder: Path | None = None,
        connectors: Sequence[Connector] = (),
    ) -> None:
        self._stack = contextlib.ExitStack()
        try:
            for connector in connectors:
                registry.lend(connector)
                self._stack.callback(registry.take_back, connector)
            if not isinstance(config, MeshConfig):
                config = check_config(dict(config), "LocalMesh", folder)
            thrown_away = config.journal.model_copy(update={"remember": False})
            self.config = config = config.model_copy(update={"journal": thrown_away})
            if folder is None:
                folder = Path(tempfile.mkdtemp(prefix="venuemesh-"))
                self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
            self.folder = folder
            self._desired = Desired(config.for_supervisor(None, folder))
            self._specs: dict[str, ChildSpec] = {}
            self._thread = self._stack.enter_context(loop_in_thread(config.mesh.name))
            self._cells = self._run(self._open(), CALL_S)
            self._thread.loop.set_exception_handler(self._cells.on_unhandled)
            self._ask = self._cells.asker(f"client-{config.mesh.name}")
        except BaseException:
            self._stack.close()
            raise

    async def _open(self) -> LocalCells:
        return LocalCells(self.config.mesh.name, self.folder)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start everything that is configured; return when all roles serve. Books and accounts may not be ready yet."""
        self.start_markets()
        self.start_accounts()

    def start_markets(self) -> None:
        """Start limits, catalogs and the tracked books; return when they serve."""
        self._start_tiers(Tier.AGENT, Tier.LIMITS, Tier.CATALOG)
        for exchange in self._desired.exchanges:
            self._run(self._read_listing(exchange), START_S)
            self._thread.spawn(self._follow_listing(exchange))

    def start_accounts(self) -> None:
        """Start user streams and order managers; return when they serve. All other roles must serve already."""
        self._start_tiers(Tier.STREAM, Tier.ORDERS)

    def _start_tiers(self, *tiers: Tier) -> None:
        specs = [spec for spec in self._desired.first_specs() if spec.tier in tiers]
        for spec in sorted(specs, key=lambda spec: spec.tier.value):
            self._run(self._start(spec), START_S)

    def close(self) -> None:
        """Stop every role, the last one started first, and end the thread. Idempotent."""
        with self._stack:
            if self._thread.loop.is_running():
                self._run(self._cells.close(), None)

    # ------------------------------------------------------------------ for strategies, as in `Mesh`

    @property
    def name(self) -> str:
        return self.config.mesh.name

    @property
    def exchanges(self) -> list[str]:
        """The exchanges of this mesh."""
        return self._desired.exchanges

    def market(self, exchange: str, account: str | None = None, *, owner: str = "", on_death: str = "keep") -> Market:
        """Return the facade of one exchange, as `Mesh.market` does. It works in this process only: do not pickle it."""
        return Market(_Link(self), exchange, account, owner, on_death)

    @property
    def aio(self) -> AsyncLocalMesh:
        """This mesh for async code, as `Mesh.aio`: its markets are of class `AsyncMarket`."""
        return AsyncLocalMesh(self)

    def track(self, exchange: str, *pairs: str) -> None:
        """Track more pairs or patterns; return when their books are started. Raises UnknownExchange."""
        self._run(self._rule(exchange, True, pairs), START_S)

    def untrack(self, exchange: str, *pairs: str) -> None:
        """Stop tracking pairs or patterns. Raises UnknownExchange."""
        self._run(self._rule(exchange, False, pairs), START_S)

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Return when every book is LIVE and every account takes orders.

        Raises:
            RetryLater: a book or account was not ready within the timeout; the error names it.
            Exception: a role failed; this is its error.
        """
        self._run(self._wait_ready(timeout_s), timeout_s + CALL_S)

    def status(self) -> dict[str, Any]:
        """Return the part of `Mesh.status` that one process has: `children` and `unread`."""
        return self._run(self._status(), CALL_S)

    # ------------------------------------------------------------------ for tests

    @property
    def failures(self) -> list[tuple[str, BaseException]]:
        """(address, error) of every role that failed, and of every query that raised an unexpected error."""
        return self._cells.failures

    def take_failures(self) -> list[tuple[str, BaseException]]:
        """Return the failures so far and forget them."""
        found, self._cells.failures = self._cells.failures, []
        return found

    def addresses(self) -> list[str]:
        """The addresses of the running roles, in the order of their start."""
        return list(self._cells)

    def kill(self, address: str) -> None:
        """End a role as if its process had died: without notice, in the middle of its work."""
        self._run(self._cells.kill(address), CALL_S)

    def stop(self, address: str) -> None:
        """Stop a role as in an orderly shutdown."""
        self._run(self._cells.stop(address), CALL_S)

    def restart(self, address: str) -> None:
        """Start the next incarnation of a role and return when it serves. A running incarnation is killed first."""
        self._run(self._cells.restart(address), START_S)

    def role_status(self, address: str) -> dict[str, Any]:
        """Return the status of a role. Raises RetryLater: no role serves the address."""

        async def look() -> dict[str, Any]:
            return self._cells.status(address)

        return self._run(look(), CALL_S)

    def ask(self, address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
        """Send one message to a role and return its reply, as other roles would."""
        return self._run(self._ask(address, kind, body, timeout_s), None)

    async def ask_async(self, address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
        """`ask` for async code on any loop."""
        return await self.run_async(self._ask(address, kind, body, timeout_s))

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the mesh's loop; return its future at once."""
        return self._thread.submit(work)

    async def sent(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        """On the mesh's loop: `ask`."""
        return await self._ask(address, kind, body, timeout_s)

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine on the mesh's loop and block until it is done."""
        return self._run(work, timeout_s)

    async def run_async(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the mesh's loop and await it from any other."""
        return await asyncio.wrap_future(self._thread.submit(work))

    # ------------------------------------------------------------------ on the mesh's loop

    def _run(self, work: Coroutine[Any, Any, T], timeout_s: float | None) -> T:
        return self._thread.submit(work).result(timeout_s)

    async def _start(self, spec: ChildSpec) -> None:
        def make(context: Context) -> Role:
            now = self._specs[spec.address]
            return build(RoleSpec(now.kind, now.config), context)

        self._specs[spec.address] = spec
        await self._cells.start(spec.address, make, [address for address, _ in spec.serves if address != spec.address])

    async def _read_listing(self, exchange: str) -> int:
        """Apply an exchange's list of instruments, and start or stop its books accordingly; return the list's
        version."""
        listing = await self._ask(catalog_address(exchange), "instruments", None, START_S)
        await self._list(exchange, listing)
        version: int = listing["version"]
        return version

    async def _list(self, exchange: str, listing: Mapping[str, Any]) -> None:
        self._desired.listed(exchange, listing["instruments"], listing["kept"])
        await self._replan(exchange)

    async def _follow_listing(self, exchange: str) -> None:
        after, clock = 0, ListingClock()
        while True:
            if self._desired.is_watched(exchange) and clock.is_due(time.monotonic()):
                self._thread.spawn(self._watch_listing(exchange))
            try:
                body = {"after": after}
                listing = await self._ask(catalog_address(exchange), "poll:instruments", body, LISTING_POLL_S)
            except MeshError:  # the catalog was killed: ask its next incarnation
                await asyncio.sleep(LISTING_AGAIN_S)
                continue
            if listing and listing["version"] != after:
                after = listing["version"]
                await self._list(exchange, listing)

    async def _watch_listing(self, exchange: str) -> None:
        """Judge the missing pairs and fetch the list again, as the supervisor does."""
        if missing := self._desired.missing(exchange):
            with contextlib.suppress(MeshError):
                await keep(exchange, missing, self._ask)
                self._desired.judged(exchange, *await judge(exchange, missing, self._specs, self._ask))
                await self._replan(exchange)
                await keep(exchange, self._desired.missing(exchange), self._ask)
        with contextlib.suppress(MeshError):
            await self._ask(catalog_address(exchange), "refresh", None, CALL_S)

    async def _rule(self, exchange: str, track: bool, pairs: Iterable[str]) -> None:
        self._desired.rule(exchange, track, pairs)
        await self._replan(exchange)

    async def network(self, exchange: str, running: bool, timeout_s: float) -> None:
        """On the mesh's loop: start or stop the feeds of an exchange; see `Market.stop_network`."""
        self._desired.network(exchange, running)
        async with asyncio.timeout(timeout_s):
            await self._replan(exchange)

    async def _replan(self, exchange: str) -> None:
        """Start and stop books of an exchange until they are as desired, as the supervisor does."""
        todo = self._desired.books(exchange, self._specs)
        for address in todo.end:
            del self._specs[address]
            await self._cells.stop(address)
        for spec in todo.amend:
            before, self._specs[spec.address] = self._specs[spec.address], spec
            for kind, body in messages(before, spec):
                await self._ask(spec.address, kind, body, CALL_S)
        for spec in todo.run:
            await self._cells.stop(spec.address)
            await self._start(spec)

    async def _wait_ready(self, timeout_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while missing := missing_parts(await self._status()):
            if self.failures:
                raise self.failures[0][1]
            if asyncio.get_running_loop().time() > deadline:
                raise RetryLater(1.0, f"not ready within {timeout_s:g} s: {'; '.join(missing)}")
            await asyncio.sleep(LOOK_S)

    async def _status(self) -> dict[str, Any]:
        refused: list[dict[str, Any]] = [
            {"address": address, "state": "REFUSED", "serves": [], "status": None, "last_error": reason, "why": reason}
            for address, reason in self._desired.refused.items()
        ]
        rows = [self._row(spec) for _, spec in sorted(self._specs.items())]
        return {"children": rows + refused, "unread": self._desired.unread}

    def _row(self, spec: ChildSpec) -> dict[str, Any]:
        errors = [repr(error) for address, error in self._cells.failures if address == spec.address]
        try:
            status = self._cells.status(spec.address)
        except RetryLater:
            status = None
        return {
            "address": spec.address,
            "group": spec.group,
            "state": "WAITING" if status is None else "SERVING",
            "node": NODE,
            "serves": [address for address, _ in spec.serves],
            "last_error": errors[-1] if errors else None,
            "why": (errors[-1] if errors else None) if status is None else status.get("error"),
            "status": status,
        }

    def tracked(self, exchange: str) -> dict[str, Instrument]:
        """The tracked instruments of an exchange by name, whether or not their books run."""
        plain = self._desired.dormant() | {
            address: instrument
            for spec in list(self._specs.values())
            for address, instrument in spec.serves
            if instrument is not None
        }
        found = (Instrument.from_dict(dict(row)) for address, row in plain.items() if is_book_of(address, exchange))
        return {instrument.name: instrument for instrument in found}

    def accounts(self, exchange: str) -> list[str]:
        """The accounts of an exchange."""
        return sorted(self.config.exchanges[exchange].accounts)


class AsyncLocalMesh:
    """A `LocalMesh` for async code. Get it as `mesh.aio`."""

    def __init__(self, mesh: LocalMesh) -> None:
        self._mesh, self.name = mesh, mesh.name

    @property
    def exchanges(self) -> list[str]:
        """The exchanges of this mesh."""
        return self._mesh.exchanges

    def market(
        self, exchange: str, account: str | None = None, *, owner: str = "", on_death: str = "keep"
    ) -> AsyncMarket:
        """Return the facade of one exchange, as `AsyncMesh.market` does. It works in this process only."""
        return AsyncMarket(_Link(self._mesh), exchange, account, owner, on_death)


class _Link:
    """`market.Link` of a mesh in this process."""

    def __init__(self, mesh: LocalMesh) -> None:
        self._mesh, self.mesh = mesh, mesh.name
        self._instruments: dict[str, Instrument] = {}

    def exchanges(self) -> list[str]:
        return self._mesh.exchanges

    def tracked(self, exchange: str) -> dict[str, Instrument]:
        fresh = self._mesh.tracked(exchange)
        self._instruments = {name: self._known(name, found) for name, found in fresh.items()}
        return dict(self._instruments)

    def _known(self, name: str, fresh: Instrument) -> Instrument:
        known = self._instruments.get(name)
        return known if known == fresh and known is not None else fresh

    def accounts(self, exchange: str) -> list[str]:
        return self._mesh.accounts(exchange)

    def view(self, kind: type[V], address: str, instrument: Instrument) -> V:
        return kind(self._mesh.folder, instrument, address)

    def submit(self, address: str, kind: str, body: Any, timeout_s: float) -> Future[Any]:
        return self._mesh.submit(self._mesh.sent(address, kind, body, timeout_s))

    def own(self, address: str, owner: str, on_death: str) -> None:
        self.submit(address, "lease", {"owner": owner, "on_death": on_death, "lease_s": OWNER_LEASE_S}, CALL_S)

    def network(self, exchange: str, running: bool, timeout_s: float) -> Future[None]:
        return self._mesh.submit(self._mesh.network(exchange, running, timeout_s))


@dataclass(frozen=True, slots=True)
class LocalExchange:
    """A running local exchange and one account. `account` names the files of its key; this record holds no secret."""

    protocol: str
    pairs: tuple[str, ...]
    urls: Mapping[str, str]  # base URLs by their keys in the configuration: rest, ws, ws_api
    account: Mapping[str, Any]
    other_key: Mapping[str, Any]  # a second key of the account, for a client that must not share the first key's nonces
    admin: AdminClient  # the exchange's own record, and faults on request; see docs/local-exchange.md

    def config(self, **account: Any) -> dict[str, Any]:
        """Return a mesh's configuration, as plain data, that tracks the pairs and trades on the account.

        `account` gives further settings of the account, such as `recv_window_ms`.
        """
        exchange = {**self.urls, "pairs": list(self.pairs), "accounts": {ACCOUNT: {**self.account, **account}}}
        mesh = {"name": "local", "heartbeat_limit_s": 2.0}  # a test and its mesh share one interpreter
        return {"mesh": mesh, "exchanges": {self.protocol: exchange}}


@contextlib.contextmanager
def local_exchange(
    pairs: Sequence[str] = ("BTC-USDT",),
    balances: Mapping[str, str] | None = None,
    *,
    protocol: str = EXCHANGE,
    rate: float = 100.0,
    seed: int = 1,
) -> Iterator[LocalExchange]:
    """Run a local exchange as a separate process while the block runs.

    Args:
        balances: the account's balances at the start, exact numbers as text.
        protocol: the exchange whose protocol it speaks.
        rate: level changes per second, over all pairs.
        seed: seed of the participants; the same seed gives the same market.

    Raises:
        Misconfigured: the local exchange does not start with these arguments, or does not speak the protocol.
    """
    spoken = protocol_names()
    if protocol not in spoken:
        raise Misconfigured(f"a local exchange that speaks {protocol}", f"it speaks {', '.join(spoken)} only")
    held = balances if balances is not None else {"BTC": "10", "USDT": "1000000"}
    other, other_secret = secrets.token_hex(32), secrets.token_hex(32)
    key, secret, word = secrets.token_hex(32), secrets.token_hex(32), secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="venuemesh-") as name:
        folder = Path(name)
        amounts = ", ".join(f'"{asset}" = "{amount}"' for asset, amount in held.items())
        own = f'key = "{key}", secret = "{secret}", passphrase = "{word}"'
        second = f'key = "{other}", secret = "{other_secret}", passphrase = "{word}"'
        accounts = f"[accounts.{ACCOUNT}]\nbalances = {{{amounts}}}\nkeys = [{{{own}}}, {{{second}}}]\n"
        symbols = ",".join(pair.replace("-", "") for pair in pairs)
        arguments = ["--json", "--protocols", protocol, "--parent", str(os.getpid())]
        arguments += ["--symbols", symbols, "--rate", str(rate)]
        arguments += ["--seed", str(seed), "--accounts", _private(folder / "accounts.toml", accounts)]
        files: dict[str, Any] = {
            "api_key_file": _private(folder / "key", f"{key}\n"),
            "secret_file": _private(folder / "secret", f"{secret}\n"),
        }
        others: dict[str, Any] = {
            "api_key_file": _private(folder / "other-key", f"{other}\n"),
            "secret_file": _private(folder / "other-secret", f"{other_secret}\n"),
        }
        if any(field.name == "passphrase" for field in registry.connector(protocol).spec.key_fields):
            files["field_files"] = {"passphrase": _private(folder / "passphrase", f"{word}\n")}
            others["field_files"] = files["field_files"]
        with serving("venuemesh.exchange", *arguments) as (_, urls):
            named = {"ws_api" if name == "ws_private" else name: url for name, url in urls[protocol].items()}
            yield LocalExchange(protocol, tuple(pairs), named, files, others, AdminClient(urls["admin"]))


def _private(path: Path, text: str) -> str:
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)
