"""A local exchange that speaks OKX and Binance on one market, with a clock that the test moves."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from yarl import URL

from tests.exchange.conftest import Exchange, HandClock
from venuemesh.exchange.account_options import parse_account
from venuemesh.exchange.face import find_protocols
from venuemesh.exchange.okx.face import Okx
from venuemesh.exchange.options import Options
from venuemesh.exchange.server import Server

SECRET = "a secret of the tests"


class OkxExchange(Exchange):
    """The exchange from the view of an OKX client."""

    def __init__(self, server: Server, clock: HandClock, session: aiohttp.ClientSession) -> None:
        super().__init__(server, clock, session)
        face = self.venue.faces["okx"]
        assert isinstance(face, Okx)
        self.desk = face.desk
        self.okx: dict[str, str] = server.urls["okx"]

    async def public(self, name: str, **query: Any) -> Any:
        """The data of a public call, or its status and code."""
        async with self.session.get(f"{self.okx['rest']}/api/v5/{name}", params=query) as response:
            body = json.loads(await response.read())
            assert set(body) == {"code", "msg", "data"}
            return body["data"] if body["code"] == "0" else (response.status, body["code"])

    async def private(self, name: str, sent: Any = None, **options: Any) -> Any:
        """The data of a private call, or its status, code and the sCodes of its rows. With `sent` it is a POST."""
        status, body = await self.signed(name, sent, **options)
        decoded = json.loads(body)
        assert {"code", "msg", "data"} <= set(decoded)
        if decoded["code"] == "0":
            return decoded["data"]
        return (status, decoded["code"], *(row["sCode"] for row in decoded["data"]))

    async def signed(
        self,
        name: str,
        sent: Any = None,
        key: str = "KEY",
        secret: str = SECRET,
        passphrase: str = "passphrase",
        ago_s: float = 0.0,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> tuple[int, bytes]:
        """Status and body of a private call, signed with the manual's recipe."""
        method, body = ("GET", "") if sent is None else ("POST", json.dumps(sent))
        path = f"/api/v5/{name}" + (f"?{urlencode(query)}" if query else "")
        at = datetime.fromtimestamp(self.clock.now_ns() / 1e9 - ago_s, UTC)
        stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        signature = hmac.digest(secret.encode(), f"{stamp}{method}{path}{body}".encode(), "sha256")
        headers = {
            "OK-ACCESS-KEY": key,
            "OK-ACCESS-SIGN": base64.b64encode(signature).decode(),
            "OK-ACCESS-TIMESTAMP": stamp,
            "OK-ACCESS-PASSPHRASE": passphrase,
            "Content-Type": "application/json",
        } | (headers or {})
        url = URL(f"{self.okx['rest']}{path}", encoded=True)
        async with self.session.request(method, url, data=body or None, headers=headers) as response:
            return response.status, await response.read()

    def feed(self, name: str = "public") -> Any:
        return self.session.ws_connect(f"{self.okx['ws']}/ws/v5/{name}")

    def account(self) -> Any:
        return self.session.ws_connect(f"{self.okx['ws_api']}/ws/v5/private")

    async def log_in(
        self, socket: Any, key: str = "KEY", secret: str = SECRET, passphrase: str = "passphrase", ago_s: int = 0
    ) -> Any:
        """Log in by the manual's recipe; return the answer without the connection's id."""
        stamp = str(self.clock.now_ns() // 10**9 - ago_s)
        signature = hmac.digest(secret.encode(), f"{stamp}GET/users/self/verify".encode(), "sha256")
        args = {"apiKey": key, "passphrase": passphrase, "timestamp": stamp}
        args["sign"] = base64.b64encode(signature).decode()
        await socket.send_str(json.dumps({"op": "login", "args": [args]}))
        return {name: value for name, value in (await self.next(socket, event=True)).items() if name != "connId"}

    async def subscribe(self, socket: Any, *channels: str, op: str = "subscribe", key: str = "1512") -> list[Any]:
        """Subscribe to channels such as books:BTC-USDT; return the answers."""
        args = [dict(zip(("channel", "instId"), channel.split(":"), strict=True)) for channel in channels]
        await socket.send_str(json.dumps({"id": key, "op": op, "args": args}))
        return [await self.next(socket, event=True) for _ in channels]

    async def next(self, socket: Any, channel: str | None = None, event: bool = False) -> Any:
        """The next message of a channel, or the next answer."""
        while True:
            message = await socket.receive(timeout=20)
            assert message.type is aiohttp.WSMsgType.TEXT, message
            decoded = json.loads(message.data)
            if event == ("event" in decoded) and (channel is None or decoded["arg"]["channel"] == channel):
                return decoded

    async def book(self, socket: Any) -> tuple[str, Any]:
        """Action and data of the next message of `books`."""
        decoded = await self.next(socket, "books")
        (data,) = decoded["data"]
        return decoded["action"], data


@pytest.fixture
async def okx() -> AsyncIterator[OkxExchange]:
    clock = HandClock()
    accounts = [
        parse_account(f"main:KEY:{SECRET}:BTC=10,USDT=1000000"),
        parse_account(f"other:OTHER:{SECRET}:BTC=10,USDT=1000000"),
    ]
    symbols = ("BTCUSDT", "ETHUSDT", "ETHBTC")
    options = Options(symbols=symbols, rate=600.0, levels=500, seed=7, paused=True, accounts=accounts)
    server = Server(options, clock, find_protocols(["binance", "okx"]))
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield OkxExchange(server, clock, session)
    await server.stop()
