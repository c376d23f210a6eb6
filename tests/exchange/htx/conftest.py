"""A local exchange that speaks HTX's protocol, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pytest
from yarl import URL

from tests.exchange.conftest import WAIT_S, Exchange, HandClock
from venuemesh.exchange.account_options import parse_account
from venuemesh.exchange.face import find_protocols
from venuemesh.exchange.htx.face import Htx
from venuemesh.exchange.options import Options
from venuemesh.exchange.server import Server

SECRET = "a secret of the tests"
KEYS = {"main": "KEY", "other": "OTHER"}


def signature(secret: str, text: str) -> str:
    """Sign a text as authentication.md does."""
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha256")).decode()


def query_of(params: dict[str, str]) -> str:
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(params.items()))


class HtxExchange(Exchange):
    """The exchange from the view of an HTX client."""

    def __init__(self, server: Server, clock: HandClock, session: aiohttp.ClientSession) -> None:
        super().__init__(server, clock, session)
        face = self.venue.faces["htx"]
        assert isinstance(face, Htx)
        self.desk = face.desk
        self.htx: dict[str, str] = server.urls["htx"]
        self.market = self.venue.engine.markets["BTCUSDT"]
        self.account_id = ""

    async def query(self, path: str, **sent: Any) -> Any:
        """The body of a public call."""
        async with self.session.get(f"{self.htx['rest']}{path}", params=sent) as response:
            assert response.status == 200
            return json.loads(await response.read())

    def stamp(self, ago_s: int = 0) -> str:
        moment = time.gmtime(self.clock.now_ns() // 10**9 - ago_s)
        return time.strftime("%Y-%m-%dT%H:%M:%S", moment)

    async def signed(
        self,
        path: str,
        sent: Any = None,
        key: str = "KEY",
        secret: str = SECRET,
        ago_s: int = 0,
        **query: str,
    ) -> tuple[int, Any, dict[str, str]]:
        """Return status, body and headers of a private call, signed by the manual's recipe; with `sent` a POST."""
        method = "GET" if sent is None else "POST"
        params = {"AccessKeyId": key, "SignatureMethod": "HmacSHA256", "SignatureVersion": "2", **query}
        params["Timestamp"] = self.stamp(ago_s)
        written = query_of(params)
        host = urlsplit(self.htx["rest"]).netloc
        sign = signature(secret, f"{method}\n{host}\n{path}\n{written}")
        url = URL(f"{self.htx['rest']}{path}?{written}&Signature={quote(sign, safe='')}", encoded=True)
        body = None if sent is None else json.dumps(sent)
        headers = {} if sent is None else {"Content-Type": "application/json"}
        async with self.session.request(method, url, data=body, headers=headers) as response:
            raw = await response.read()
            return response.status, json.loads(raw) if raw[:1] in (b"{", b"[") else raw, dict(response.headers)

    async def private(self, path: str, sent: Any = None, **options: Any) -> Any:
        """Return the data of a private call, or its error code."""
        _, body, _ = await self.signed(path, sent, **options)
        if "code" in body:
            return body["data"] if body["code"] == 200 else body["code"]
        return body["data"] if body["status"] == "ok" else body["err-code"]

    async def place(
        self, kind: str = "buy-limit", amount: str = "0.001", price: str | None = "20000", **more: str
    ) -> Any:
        """Place an order; return its id, or an error code."""
        if not self.account_id:
            (spot, *_) = await self.private("/v1/account/accounts")
            self.account_id = str(spot["id"])
        body = {"account-id": self.account_id, "symbol": "btcusdt", "type": kind, "amount": amount, **more}
        return await self.private("/v1/order/orders/place", body if price is None else {**body, "price": price})

    async def best(self, side: str) -> str:
        """The best price of "bids" or "asks"."""
        return str((await self.admin.book("BTCUSDT"))[side][0][0])

    def feed(self) -> Any:
        return self.session.ws_connect(self.htx["ws"] + "/feed")

    def topics_socket(self) -> Any:
        return self.session.ws_connect(self.htx["ws"] + "/ws")

    def account(self) -> Any:
        return self.session.ws_connect(self.htx["ws_api"] + "/ws/v2")

    @staticmethod
    async def hear(socket: Any) -> Any:
        """The next message, from gzip if it is binary."""
        message = await asyncio.wait_for(socket.receive(), WAIT_S)
        if message.type is aiohttp.WSMsgType.BINARY:
            return json.loads(gzip.decompress(message.data))
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return json.loads(message.data)

    async def say(self, socket: Any, **message: Any) -> Any:
        """Send a message; return the next one that comes."""
        await socket.send_str(json.dumps(message))
        return await self.hear(socket)

    async def hear_of(self, socket: Any, channel: str) -> Any:
        """The next message of a topic."""
        while True:
            message = await self.hear(socket)
            if message.get("ch") == channel:
                return message

    async def log_in(self, socket: Any, key: str = "KEY", secret: str = SECRET, ago_s: int = 0) -> Any:
        """Authenticate by the manual's recipe; return the answer."""
        params = {"accessKey": key, "signatureMethod": "HmacSHA256", "signatureVersion": "2.1"}
        params["timestamp"] = self.stamp(ago_s)
        host = urlsplit(self.htx["ws_api"]).netloc
        sign = signature(secret, f"GET\n{host}\n/ws/v2\n{query_of(params)}")
        return await self.say(socket, action="req", ch="auth", params={"authType": "api", **params, "signature": sign})


@pytest.fixture
async def htx() -> AsyncIterator[HtxExchange]:
    clock = HandClock()
    accounts = [parse_account(f"{name}:{key}:{SECRET}:BTC=10,USDT=1000000") for name, key in KEYS.items()]
    options = Options(symbols=("BTCUSDT", "ETHUSDT"), rate=600.0, levels=60, seed=7, accounts=accounts, paused=True)
    server = Server(options, clock, find_protocols(["binance", "htx"]))
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield HtxExchange(server, clock, session)
    await server.stop()
