"""One account's order manager and user stream in this process, against a real exchange process, without Ray.

They run in `LocalCells`, together with limits that grant everything and a catalog with the exchange's list. So an
account starts within milliseconds and may be killed at any point. The user stream may run in a separate process
(`Mesh(only=...)`): the manager's process answers it over a unix socket in the account's folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tests.fakes.settings import MANY_ORDERS, QUICK, account_settings
from venuemesh.actors.account.stream import UserStreamRole
from venuemesh.actors.cell.local import LocalCells
from venuemesh.actors.orders.role import OrderManagerRole
from venuemesh.connectors.bybit.spec import SPEC as bybit
from venuemesh.connectors.coinbase.spec import SPEC as coinbase
from venuemesh.connectors.htx.spec import SPEC as htx
from venuemesh.connectors.okx.spec import SPEC as okx
from venuemesh.connectors.registry import connector
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.spec import Limit
from venuemesh.connectors.transport import Rest
from venuemesh.journal.settings import JournalSettings
from venuemesh.keystore.settings import KeySettings
from venuemesh.model.address import catalog_address, limits_address, orders_address, stream_address
from venuemesh.model.errors import MeshError, RetryLater, UnknownInstrument
from venuemesh.model.fixed import to_text
from venuemesh.model.http import HttpRequest
from venuemesh.model.instrument import Instrument
from venuemesh.supervisor.tree.settings import AccountSettings

EXIT_LEASE = 75
# By exchange, what is so large that nothing waits for it: the account's limits, by their names
MANY = {
    "binance": MANY_ORDERS,
    "kraken": {name: Limit(100_000, 1.0, "account") for name in ("key_calls", "transactions")},
    "okx": {name: Limit(100_000, 1.0, "account") for name in ("orders_2s", *okx.key_limits)},
    "bybit": {name: Limit(100_000, 1.0, "account") for name in bybit.key_limits},
    "coinbase": {name: Limit(100_000, 1.0, "account") for name in coinbase.key_limits},
    "htx": {name: Limit(100_000, 1.0, "account") for name in htx.key_limits},
}
STOP_S = 30.0  # a manager that cancels what is open as it stops waits for the exchange


@dataclass
class Place:
    """The files and URLs of an account, as plain values, so that a test can pass them to another process."""

    rest: str
    ws_api: str
    journal: str
    account: str
    api_key: str
    secret: str
    changes: dict[str, Any] = field(default_factory=dict)  # fields of the settings, by name
    exchange: str = "binance"
    fields: dict[str, str] = field(default_factory=dict)  # further fields of the key

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Place:
        return cls(**plain)

    @property
    def folder(self) -> Path:
        return Path(self.journal.removeprefix("sqlite:///")).parent

    def settings(self) -> AccountSettings:
        """Return the settings of both roles; write the key's files."""
        paths = {"api_key_file": self.folder / "api.key", "secret_file": self.folder / "secret.key"}
        files = {name: self.folder / f"{name}.key" for name in self.fields}
        contents = (self.api_key, self.secret, *self.fields.values())
        for path, content in zip((*paths.values(), *files.values()), contents, strict=True):
            if not path.exists():
                path.touch(mode=0o600)
                path.write_text(content)
        return account_settings(
            ConnectorSettings(self.exchange, rest=self.rest, ws_api=self.ws_api),
            self.account,
            key=KeySettings(
                **{name: str(path) for name, path in paths.items()},
                field_files={name: str(path) for name, path in files.items()},
            ),
            journal=JournalSettings(self.journal, wait_s=1.0),
            **{"recv_window_ms": 300, "answer_s": 0.5, "account_limits": MANY[self.exchange], **QUICK, **self.changes},
        )


class _Grants:
    """A limits role that grants everything."""

    reads: ClassVar[frozenset[str]] = frozenset()

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def beat(self) -> None: ...
    async def handle(self, kind: str, body: Any) -> Any:
        return {"lease": 1, "expires_ns": 0, "ttl_s": 10.0}

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        return await self.handle(kind, body)

    def status(self) -> dict[str, Any]:
        return {"state": "SERVING", "error": None}


class _Listing(_Grants):
    """The part of the catalog role that an account uses; the list is read once for all processes of a place."""

    reads = frozenset({"instruments", "ticker"})

    def __init__(self, place: Place) -> None:
        self._place = place
        self._instruments: list[dict[str, Any]] | None = None

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        await asyncio.sleep(timeout_s)
        return None

    async def handle(self, kind: str, body: Any) -> Any:
        if self._instruments is None:
            known = self._place.folder / "instruments.json"
            if known.exists():
                self._instruments = json.loads(known.read_text())
            else:
                codec = connector(self._place.exchange).codec(rest=self._place.rest)
                rest = Rest()
                try:
                    listed = codec.instruments((await rest.send(codec.instruments_request())).body)
                finally:
                    await rest.close()
                self._instruments = [found.to_dict() for found in listed]
                known.write_text(json.dumps(self._instruments))
        if kind == "ticker":
            rest = Rest()
            symbol = next((found["symbol"] for found in self._instruments if found["name"] == body["pair"]), None)
            if symbol is None:
                raise UnknownInstrument(self._place.exchange, body["pair"], "not listed")
            try:
                if self._place.exchange != "binance":
                    return await self._top(rest, body["pair"])
                url = f"{self._place.rest}/api/v3/ticker/bookTicker?symbol={symbol}"
                row = json.loads((await rest.send(HttpRequest("GET", url))).body)
            finally:
                await rest.close()
            return {"name": body["pair"], "bid": row["bidPrice"], "ask": row["askPrice"]}
        return {"version": 1, "instruments": self._instruments}

    async def _top(self, rest: Rest, pair: str) -> dict[str, Any]:
        assert self._instruments is not None
        instrument = next(Instrument.from_dict(found) for found in self._instruments if found["name"] == pair)
        codec = connector(self._place.exchange).codec(rest=self._place.rest)
        codec.bind([instrument])
        body = (await rest.send(codec.snapshot_request(instrument, 5))).body
        book = codec.snapshot(instrument, body, 5, 0)
        bid, ask = (to_text(int(side[0][0]), instrument.price_scale) for side in (book.bids, book.asks))
        return {"name": pair, "bid": bid, "ask": ask}


class _Elsewhere(_Grants):
    """The order manager of another process, for this process."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def handle(self, kind: str, body: Any) -> Any:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
            try:
                writer.write(pickle.dumps((kind, body)))
                writer.write_eof()
                answer = pickle.loads(await reader.read())
            finally:
                writer.close()
        except (OSError, EOFError) as error:
            raise RetryLater(0.05, f"no manager answers: {error!r}") from error
        if isinstance(answer, MeshError):
            raise answer
        return answer

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        return await self.handle(f"poll:{kind}", body)


class Mesh:
    """Hosts the two roles of one account, or `only` the "orders" or the "stream".

    Made on a running loop; `lease_s` ends the process as a cell's lease does.
    """

    def __init__(
        self,
        place: Place,
        *,
        incarnation: int = 1,
        stream: bool = True,
        lease_s: float | None = None,
        only: str | None = None,
    ) -> None:
        self.place, self._with_stream, self._only = place, stream and only != "orders", only
        self.failures: list[BaseException] = []
        self.failed = asyncio.Event()
        self.cells = LocalCells(
            "test",
            place.folder,
            first=incarnation * 1000,
            lease_s=lease_s,
            on_failed=self._on_failed,
            on_lease_over=lambda _: os._exit(EXIT_LEASE),
        )
        self._ask = self.cells.asker("strategy")

    @property
    def orders(self) -> str:
        return orders_address(self.place.exchange, self.place.account)

    @property
    def stream_address(self) -> str:
        return stream_address(self.place.exchange, self.place.account)

    @property
    def manager(self) -> Any:
        """The manager's role. Raises RetryLater: it does not run."""
        return self.cells.role(self.orders)

    @property
    def stream(self) -> Any:
        """The stream's role. Raises RetryLater: it does not run."""
        return self.cells.role(self.stream_address)

    def _on_failed(self, address: str, error: BaseException) -> None:
        self.failures.append(error)
        self.failed.set()

    async def start(self) -> None:
        await self.cells.start(limits_address(self.place.exchange, "default"), lambda context: _Grants())
        await self.cells.start(catalog_address(self.place.exchange), lambda context: _Listing(self.place))
        socket = self.place.folder / "orders.socket"
        if self._only == "stream":
            await self.cells.start(self.orders, lambda context: _Elsewhere(socket))
        else:
            await self.start_manager()
        if self._only == "orders":
            socket.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._answer, str(socket))
        if self._with_stream:
            await self.restart_stream()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one message of the other process."""
        try:
            kind, body = pickle.loads(await reader.read())
            try:
                answer = await self.ask(self.orders, kind, body)
            except MeshError as error:
                answer = error
            writer.write(pickle.dumps(answer))
            await writer.drain()
        finally:
            writer.close()

    async def start_manager(self) -> None:
        """Start the manager's next incarnation."""
        await self.cells.start(self.orders, lambda context: OrderManagerRole(self.place.settings().orders, context))

    async def restart_stream(self) -> None:
        """Start the stream's next incarnation; a running incarnation is stopped first."""
        await self.stop_stream()
        await self.cells.start(
            self.stream_address, lambda context: UserStreamRole(self.place.settings().stream, context)
        )

    async def stop_manager(self, final: bool = True) -> None:
        await self.cells.stop(self.orders, STOP_S, final)

    async def stop_stream(self) -> None:
        await self.cells.stop(self.stream_address, STOP_S)

    async def stop(self) -> None:
        await self.stop_manager()
        await self.stop_stream()
        await self.cells.close()

    async def ask(self, address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
        return await self._ask(address, kind, body, timeout_s)

    # what a strategy does

    async def __call__(self, kind: str, body: Any = None, timeout_s: float = 20.0) -> Any:
        return await self.ask(self.orders, kind, body, timeout_s)

    async def ready(self, deadline_s: float = 20.0) -> dict[str, Any]:
        """Wait until the manager is reconciled."""
        async with asyncio.timeout(deadline_s):
            while True:
                assert not self.failures, self.failures
                with contextlib.suppress(MeshError):
                    status: dict[str, Any] = await self("account")
                    if status["ready"]:
                        return status
                await asyncio.sleep(0.01)

    async def streaming(self, deadline_s: float = 10.0) -> None:
        """Wait until the manager gets the user stream."""
        async with asyncio.timeout(deadline_s):
            while (await self("account"))["stream"] != "up":  # noqa: ASYNC110 - only requests show it
                await asyncio.sleep(0.01)


def order(client_order_id: str, side: str, amount: str | None, price: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a new order as plain values: LIMIT GTC with a price, MARKET without a price."""
    return {
        "client_order_id": client_order_id,
        "pair": "BTC-USDT",
        "side": side,
        "order_type": "MARKET" if price is None else "LIMIT",
        "amount": amount,
        "price": price,
        "time_in_force": None if price is None else "GTC",
        **more,
    }


def placing(*orders: dict[str, Any], expires_s: float = 10.0) -> dict[str, Any]:
    return {"orders": list(orders), "expires_ns": time.time_ns() + int(expires_s * 1e9)}
