"""A local exchange that speaks Kraken and Binance on one market, with a clock that the test moves."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from tests.exchange.conftest import Exchange, HandClock
from venuemesh.exchange.account_options import parse_account
from venuemesh.exchange.face import find_protocols
from venuemesh.exchange.kraken.face import Kraken
from venuemesh.exchange.options import Options
from venuemesh.exchange.server import Server

SECRET = base64.b64encode(b"a secret of the tests").decode()


class KrakenExchange(Exchange):
    """The exchange from the view of a Kraken client."""

    def __init__(self, server: Server, clock: HandClock, session: aiohttp.ClientSession) -> None:
        super().__init__(server, clock, session)
        face = self.venue.faces["kraken"]
        assert isinstance(face, Kraken)
        self.desk = face.desk
        self.kraken: dict[str, str] = server.urls["kraken"]
        self._nonce = time.time_ns()

    async def public(self, method: str, **query: Any) -> Any:
        """The result of a public call, or the error's text."""
        async with self.session.get(f"{self.kraken['rest']}/0/public/{method}", params=query) as response:
            assert response.status == 200
            return opened(await response.read())

    def nonce(self) -> int:
        self._nonce += 1
        return self._nonce

    async def private(self, method: str, nonce: int | None = None, key: str = "KEY", **fields: Any) -> Any:
        """Return the result of a private call, signed by the manual's recipe, or the error's text."""
        status, body = await self.signed(method, nonce, key, **fields)
        assert status == 200
        return opened(body)

    async def signed(
        self, method: str, nonce: int | None = None, key: str = "KEY", secret: str = SECRET, **fields: Any
    ) -> tuple[int, bytes]:
        """Status and body of a private call."""
        sent = {"nonce": nonce or self.nonce(), **fields}
        lists = any(isinstance(value, list) for value in fields.values())
        path, body = f"/0/private/{method}", json.dumps(sent) if lists else urlencode(sent)
        digest = hashlib.sha256(f"{sent['nonce']}{body}".encode()).digest()
        sign = hmac.new(base64.b64decode(secret), path.encode() + digest, "sha512").digest()
        headers = {
            "API-Key": key,
            "API-Sign": base64.b64encode(sign).decode(),
            "Content-Type": "application/json" if lists else "application/x-www-form-urlencoded",
        }
        async with self.session.post(self.kraken["rest"] + path, data=body, headers=headers) as response:
            return response.status, await response.read()

    def feed(self) -> Any:
        return self.session.ws_connect(self.kraken["ws"])

    def private_feed(self) -> Any:
        return self.session.ws_connect(self.kraken["ws_private"])

    def level3_feed(self) -> Any:
        return self.session.ws_connect(self.kraken["ws_l3"])

    async def say(self, socket: Any, method: str, req_id: int | None = None, **params: Any) -> None:
        message: dict[str, Any] = {"method": method}
        if params:
            message["params"] = params
        if req_id is not None:
            message["req_id"] = req_id
        await socket.send_str(json.dumps(message))

    async def next(self, socket: Any, channel: str | None = None, method: str | None = None) -> Any:
        """The next message of a channel or method, numbers as exact decimals."""
        while True:
            message = await socket.receive(timeout=20)
            assert message.type is aiohttp.WSMsgType.TEXT, message
            answer = json.loads(message.data, parse_float=Decimal)
            if channel in (None, answer.get("channel")) and method in (None, answer.get("method")):
                return answer


def opened(body: bytes) -> Any:
    """The result inside a body of REST, or the text of its error."""
    answer = json.loads(body)
    assert set(answer) <= {"error", "result"}
    if answer["error"]:
        assert len(answer["error"]) == 1
        return answer["error"][0]
    return answer["result"]


@pytest.fixture
async def kraken() -> AsyncIterator[KrakenExchange]:
    clock = HandClock()
    options = Options(
        symbols=("BTCUSDT", "ETHUSDT", "ETHBTC"),
        rate=600.0,
        levels=40,
        seed=7,
        accounts=[
            parse_account(f"main:KEY:{SECRET}:BTC=10,USDT=1000000"),
            parse_account(f"other:OTHER:{SECRET}:BTC=10,USDT=1000000"),
        ],
        paused=True,
    )
    server = Server(options, clock, find_protocols(["binance", "kraken"]))
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield KrakenExchange(server, clock, session)
    await server.stop()
