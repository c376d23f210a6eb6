"""One account's order manager and user stream in this process, against a real exchange process, without Ray.

The mesh between them is `Mesh.ask`: limits grant everything, the catalog lists what the exchange does, and roles answer
in the loop that asks. So a whole account starts within milliseconds and may be killed at any point.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.settings import MANY_ORDERS, QUICK, account_settings
from venuemesh.actors.account.stream import UserStreamRole
from venuemesh.actors.cell.role import Context
from venuemesh.actors.orders.role import OrderManagerRole
from venuemesh.connectors.registry import connector
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.transport import Rest
from venuemesh.journal.settings import JournalSettings
from venuemesh.keystore.settings import KeySettings
from venuemesh.model.errors import MeshError, OutcomeUnknown, RetryLater, UnknownInstrument
from venuemesh.model.http import HttpRequest
from venuemesh.supervisor.tree.settings import AccountSettings


@dataclass
class Place:
    """Where an account's things are: plain values, so that it can be handed to another process."""

    rest: str
    ws_api: str
    journal: str
    account: str
    api_key: str
    secret: str
    changes: dict[str, Any] = field(default_factory=dict)  # fields of the settings, by name

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Place:
        return cls(**plain)

    @property
    def folder(self) -> Path:
        return Path(self.journal.removeprefix("sqlite:///")).parent

    def settings(self) -> AccountSettings:
        """The settings of both roles; writes the key's files."""
        paths = {"api_key_file": self.folder / "api.key", "secret_file": self.folder / "secret.key"}
        for path, content in zip(paths.values(), (self.api_key, self.secret), strict=True):
            if not path.exists():
                path.touch(mode=0o600)
                path.write_text(content)
        return account_settings(
            ConnectorSettings("binance", rest=self.rest, ws_api=self.ws_api),
            self.account,
            key=KeySettings(**{name: str(path) for name, path in paths.items()}),
            journal=JournalSettings(self.journal, wait_s=1.0),
            **{"recv_window_ms": 300, "answer_s": 0.5, "account_limits": MANY_ORDERS, **QUICK, **self.changes},
        )


class Mesh:
    """Hosts the two roles of one account."""

    def __init__(self, place: Place, *, incarnation: int = 1, stream: bool = True) -> None:
        self.place, self._incarnation, self._with_stream = place, incarnation * 1000, stream
        self.manager: OrderManagerRole | None = None
        self.stream: UserStreamRole | None = None
        self.failures: list[BaseException] = []
        self.failed = asyncio.Event()
        self.alive: Callable[[], None] = lambda: None
        self._instruments: list[dict[str, Any]] | None = None
        self._beating: asyncio.Task[None] | None = None

    @property
    def orders(self) -> str:
        return f"orders/binance/{self.place.account}"

    def context(self, address: str) -> Context:
        return Context(
            mesh="test",
            address=address,
            incarnation=(1, self._incarnation),
            node="here",
            segments=self.place.folder,
            ask=self.ask,
            fail=self._fail,
            monotonic_ns=time.monotonic_ns,
            time_ns=time.time_ns,
            alive=lambda: self.alive(),
            restarts=0,
        )

    def _fail(self, error: BaseException) -> None:
        self.failures.append(error)
        self.failed.set()
        if os.environ.get("ACCOUNT_HOST_DEBUG"):
            import traceback

            traceback.print_exception(error)

    async def start(self) -> None:
        await self.start_manager()
        if self._with_stream:
            await self.restart_stream()
        self._beating = asyncio.get_running_loop().create_task(self._beat())

    async def start_manager(self) -> None:
        """Start the manager's next incarnation."""
        self._incarnation += 1
        manager = OrderManagerRole(self.place.settings().orders, self.context(self.orders))
        await manager.start()
        self.manager = manager

    async def restart_stream(self) -> None:
        """Start the stream's next incarnation."""
        self._incarnation += 1
        self.stream = UserStreamRole(self.place.settings().stream, self.context(f"stream/binance/{self.place.account}"))
        await self.stream.start()

    async def stop_manager(self) -> None:
        if self.manager is not None:
            manager, self.manager = self.manager, None
            await manager.stop()

    async def stop(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        await self.stop_manager()
        if self.stream is not None:
            await self.stream.stop()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            for role in (self.manager, self.stream):
                if role is not None:
                    role.beat()

    async def ask(self, address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
        if address.startswith("limits/"):
            return {"lease": 1, "expires_ns": 0, "ttl_s": 10.0}
        if address.startswith("catalog/"):
            return await self._catalog(kind, body, timeout_s)
        role: Any = self.manager if address == self.orders else self.stream
        if role is None:
            raise RetryLater(0.1, f"nobody serves {address}")
        body = json.loads(json.dumps(body))  # plain values only, and nothing shared
        if kind.startswith("poll:"):
            return await role.poll(kind.removeprefix("poll:"), body, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await role.handle(kind, body)
        except TimeoutError:  # as `actors.messages.Asker` says it
            raise OutcomeUnknown(f"{kind} to {address}", f"no answer within {timeout_s:g} s") from None

    async def _catalog(self, kind: str, body: Any, timeout_s: float) -> Any:
        if kind == "poll:instruments":
            await asyncio.sleep(timeout_s)
            return None
        if self._instruments is None:
            known = self.place.folder / "instruments.json"
            if known.exists():
                self._instruments = json.loads(known.read_text())
            else:
                codec = connector("binance").codec(rest=self.place.rest)
                rest = Rest()
                try:
                    listed = codec.instruments((await rest.send(codec.instruments_request())).body)
                finally:
                    await rest.close()
                self._instruments = [one.to_dict() for one in listed]
                known.write_text(json.dumps(self._instruments))
        if kind == "ticker":
            rest = Rest()
            symbol = next((one["symbol"] for one in self._instruments if one["name"] == body["pair"]), None)
            if symbol is None:
                raise UnknownInstrument("binance", body["pair"], "not listed")
            try:
                url = f"{self.place.rest}/api/v3/ticker/bookTicker?symbol={symbol}"
                said = json.loads((await rest.send(HttpRequest("GET", url))).body)
            finally:
                await rest.close()
            return {"name": body["pair"], "bid": said["bidPrice"], "ask": said["askPrice"]}
        return {"version": 1, "instruments": self._instruments}

    # what a strategy does

    async def __call__(self, kind: str, body: Any = None, timeout_s: float = 20.0) -> Any:
        return await self.ask(self.orders, kind, body, timeout_s)

    async def ready(self, deadline_s: float = 20.0) -> dict[str, Any]:
        """Wait until the manager calls itself reconciled."""
        async with asyncio.timeout(deadline_s):
            while True:
                assert not self.failures, self.failures
                with contextlib.suppress(MeshError):
                    said: dict[str, Any] = await self("account")
                    if said["ready"]:
                        return said
                await asyncio.sleep(0.01)

    async def streaming(self, deadline_s: float = 10.0) -> None:
        """Wait until the manager hears the user stream."""
        async with asyncio.timeout(deadline_s):
            while (await self("account"))["stream"] != "up":  # noqa: ASYNC110 - it is asked for, nobody tells
                await asyncio.sleep(0.01)


def order(client_order_id: str, side: str, amount: str | None, price: str | None = None, **more: Any) -> dict[str, Any]:
    """A new order as plain values: LIMIT GTC with a price, MARKET without."""
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
