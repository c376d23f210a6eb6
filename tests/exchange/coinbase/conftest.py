"""A local exchange that speaks Coinbase's protocol, with a clock that the test moves."""

from __future__ import annotations

import base64
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
from venuemesh.exchange.coinbase.face import Coinbase
from venuemesh.exchange.engine.keys import PASSPHRASE
from venuemesh.exchange.face import find_protocols
from venuemesh.exchange.options import Options
from venuemesh.exchange.server import Server

SECRET = base64.b64encode(b"a secret of the tests").decode()
KEYS = {"main": "KEY", "other": "OTHER"}


class CoinbaseExchange(Exchange):
    """The exchange from the view of a Coinbase client."""

    def __init__(self, server: Server, clock: HandClock, session: aiohttp.ClientSession) -> None:
        super().__init__(server, clock, session)
        face = self.venue.faces["coinbase"]
        assert isinstance(face, Coinbase)
        self.desk = face.desk
        self.coinbase: dict[str, str] = server.urls["coinbase"]
        self.market = self.venue.engine.markets["BTCUSDT"]

    async def query(self, path: str, **sent: Any) -> Any:
        """The body of a public answer, or its status and text."""
        async with self.session.get(f"{self.coinbase['rest']}{path}", params=sent) as response:
            body = await response.json()
            return body if response.status == 200 else (response.status, body["message"])

    async def private(self, method: str, path: str, sent: Any = None, **options: Any) -> Any:
        """The body of a private answer, or its status and text. `sent` is the body of a POST."""
        status, body, _ = await self.signed(method, path, sent, **options)
        answer = json.loads(body)
        return answer if status == 200 else (status, answer["message"])

    async def signed(
        self,
        method: str,
        path: str,
        sent: Any = None,
        key: str = "KEY",
        secret: str = SECRET,
        ago_s: float = 0,
        headers: dict[str, str] | None = None,
        query: Any = (),
    ) -> tuple[int, bytes, dict[str, str]]:
        """Return status, body and headers of a private call, signed by the manual's recipe."""
        body = "" if sent is None else json.dumps(sent)
        path += f"?{urlencode(query)}" if query else ""
        stamp, signature = self.signature(method, path, body, secret, ago_s)
        written = {
            "CB-ACCESS-KEY": key,
            "CB-ACCESS-SIGN": signature,
            "CB-ACCESS-TIMESTAMP": stamp,
            "CB-ACCESS-PASSPHRASE": PASSPHRASE,
        } | (headers or {})
        url = URL(self.coinbase["rest"] + path, encoded=True)
        async with self.session.request(method, url, data=body or None, headers=written) as response:
            return response.status, await response.read(), dict(response.headers)

    def signature(
        self, method: str, path: str, body: str = "", secret: str = SECRET, ago_s: float = 0
    ) -> tuple[str, str]:
        """Return a timestamp and the signature with it."""
        stamp = f"{self.clock.now_ns() / 1e9 - ago_s:.3f}"
        digest = hmac.digest(base64.b64decode(secret), f"{stamp}{method}{path}{body}".encode(), "sha256")
        return stamp, base64.b64encode(digest).decode()

    def feed(self) -> Any:
        return self.session.ws_connect(self.coinbase["ws"])

    async def say(self, socket: Any, kind: str, *channels: Any, products: Any = ("BTC-USDT",), **more: Any) -> Any:
        """Send a message; return its answer, which comes before the messages that it starts."""
        message = {"type": kind, "product_ids": list(products), "channels": list(channels), **more}
        await socket.send_str(json.dumps(message))
        return await self.hear(socket, "subscriptions", "error")

    async def hear(self, socket: Any, *kinds: str) -> Any:
        """The next message of one of these types."""
        while True:
            message = await self.next_json(socket)
            if message["type"] in kinds:
                return message

    def proof(self, key: str = "KEY", **options: Any) -> dict[str, str]:
        """The fields that sign a subscription."""
        stamp, signature = self.signature("GET", "/users/self/verify", **options)
        return {"key": key, "signature": signature, "timestamp": stamp, "passphrase": PASSPHRASE}


@pytest.fixture
async def coinbase() -> AsyncIterator[CoinbaseExchange]:
    clock = HandClock()
    accounts = [parse_account(f"{name}:{key}:{SECRET}:BTC=10,USDT=1000000") for name, key in KEYS.items()]
    options = Options(symbols=("BTCUSDT", "ETHUSDT"), rate=600.0, levels=60, seed=7, accounts=accounts, paused=True)
    server = Server(options, clock, find_protocols(["binance", "coinbase"]))
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield CoinbaseExchange(server, clock, session)
    await server.stop()
