"""A local exchange that speaks Bybit's protocol, with the clock in the test's hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.exchange.conftest import Exchange, HandClock
from venuemesh.exchange.bybit.face import Bybit
from venuemesh.exchange.face import find_protocols
from venuemesh.exchange.options import Options
from venuemesh.exchange.server import Server


class BybitExchange(Exchange):
    """The exchange as a client of Bybit sees it."""

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

    def feed(self) -> Any:
        return self.session.ws_connect(self.bybit["ws"] + "/v5/public/spot")

    async def say(self, socket: Any, op: str, *args: str, req_id: str | int | None = None) -> Any:
        """Send a request; return its answer, which comes before anything that it begins."""
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
    options = Options(symbols=("BTCUSDT", "ETHUSDT"), rate=600.0, levels=60, seed=7, accounts=[], paused=True)
    server = Server(options, clock, find_protocols(["binance", "bybit"]))
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield BybitExchange(server, clock, session)
    await server.stop()
