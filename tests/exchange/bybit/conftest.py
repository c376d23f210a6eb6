"""A local exchange that speaks Bybit's protocol, with a clock that the test moves."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from yarl import URL

from tests.exchange.conftest import Exchange, HandClock
from venuemesh.exchange.account_options import parse_account
from venuemesh.exchange.bybit.face import Bybit
from venuemesh.exchange.face import find_protocols
from venuemesh.exchange.options import Options
from venuemesh.exchange.server import Server

SECRET = "a secret of the tests"
KEYS = {"main": "KEY", "other": "OTHER"}


class BybitExchange(Exchange):
    """The exchange from the view of a Bybit client."""

    def __init__(self, server: Server, clock: HandClock, session: aiohttp.ClientSession) -> None:
        super().__init__(server, clock, session)
        face = self.venue.faces["bybit"]
        assert isinstance(face, Bybit)
        self.desk = face.desk
        self.bybit: dict[str, str] = server.urls["bybit"]
        self.market = self.venue.engine.markets["BTCUSDT"]

    async def query(self, endpoint: str, **sent: Any) -> Any:
        """The result of a public call, or its (retCode, retMsg)."""
        async with self.session.get(f"{self.bybit['rest']}/v5/market/{endpoint}", params=sent) as response:
            assert response.status == 200
            answer = await response.json()
            assert list(answer) == ["retCode", "retMsg", "result", "retExtInfo", "time"]
            return answer["result"] if answer["retCode"] == 0 else (answer["retCode"], answer["retMsg"])

    async def private(self, path: str, sent: Any = None, **options: Any) -> Any:
        """Return the result of a private call, or its retCode. With `sent` the call is a POST; its default category is
        spot."""
        status, body, _ = await self.signed(path, sent, **options)
        answer = json.loads(body)
        assert list(answer) == ["retCode", "retMsg", "result", "retExtInfo", "time"]
        assert status == 200 or answer["retCode"] != 0
        return answer["result"] if answer["retCode"] == 0 else answer["retCode"]

    async def signed(
        self,
        path: str,
        sent: Any = None,
        key: str = "KEY",
        secret: str = SECRET,
        ago_ms: int = 0,
        window: str = "5000",
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> tuple[int, bytes, dict[str, str]]:
        """Return status, body and headers of a private call, signed by the manual's recipe."""
        method = "GET" if sent is None else "POST"
        given = urlencode({"category": "spot"} | query) if sent is None else json.dumps({"category": "spot"} | sent)
        stamp = str(self.clock.now_ns() // 1_000_000 - ago_ms)
        signature = hmac.digest(secret.encode(), f"{stamp}{key}{window}{given}".encode(), "sha256").hex()
        written = {
            "X-BAPI-API-KEY": key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-SIGN": signature,
            "X-BAPI-RECV-WINDOW": window,
            "Content-Type": "application/json",
        } | (headers or {})
        url = f"{self.bybit['rest']}/v5/{path}" + (f"?{given}" if sent is None else "")
        body = given if sent is not None else None
        async with self.session.request(method, URL(url, encoded=True), data=body, headers=written) as response:
            return response.status, await response.read(), dict(response.headers)

    async def best(self, side: str) -> str:
        """The best price of "bids" or "asks"."""
        return str((await self.admin.book("BTCUSDT"))[side][0][0])

    def feed(self) -> Any:
        return self.session.ws_connect(self.bybit["ws"] + "/v5/public/spot")

    def account(self) -> Any:
        return self.session.ws_connect(self.bybit["ws_api"] + "/v5/private")

    async def log_in(
        self, socket: Any, key: str = "KEY", secret: str = SECRET, in_ms: int = 1000, **changes: Any
    ) -> Any:
        """Authenticate by the manual's recipe; return the answer."""
        expires = self.clock.now_ns() // 1_000_000 + in_ms
        signature = hmac.digest(secret.encode(), f"GET/realtime{expires}".encode(), "sha256").hex()
        await socket.send_str(json.dumps({"op": "auth", "args": [key, expires, signature]} | changes))
        return await self.next_json(socket)

    async def say(self, socket: Any, op: str, *args: str, req_id: str | int | None = None) -> Any:
        """Send a request; return its answer, which comes before the messages that the request starts."""
        await socket.send_str(json.dumps({"op": op, "args": args} | ({"req_id": req_id} if req_id else {})))
        while True:
            message = await self.next_json(socket)
            if "op" in message:
                return message

    async def hear(self, socket: Any, topic: str) -> Any:
        """The next message of a topic."""
        while True:
            message = await self.next_json(socket)
            if message.get("topic") == topic:
                return message


@pytest.fixture
async def bybit() -> AsyncIterator[BybitExchange]:
    clock = HandClock()
    accounts = [parse_account(f"{name}:{key}:{SECRET}:BTC=10,USDT=1000000") for name, key in KEYS.items()]
    options = Options(symbols=("BTCUSDT", "ETHUSDT"), rate=600.0, levels=60, seed=7, accounts=accounts, paused=True)
    server = Server(options, clock, find_protocols(["binance", "bybit"]))
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield BybitExchange(server, clock, session)
    await server.stop()
