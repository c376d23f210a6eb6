"""A local exchange that speaks OKX and Binance on one market, with the clock in the test's hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.exchange.conftest import Exchange, HandClock
from venuemesh.exchange.face import find_protocols
from venuemesh.exchange.okx.face import Okx
from venuemesh.exchange.options import Options
from venuemesh.exchange.server import Server


class OkxExchange(Exchange):
    """The exchange as a client of OKX sees it."""

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

    def feed(self) -> Any:
        return self.session.ws_connect(f"{self.okx['ws']}/ws/v5/public")

    async def subscribe(self, socket: Any, *channels: str, op: str = "subscribe", key: str = "1512") -> list[Any]:
        """Ask for channels such as books:BTC-USDT; return the answers."""
        args = [dict(zip(("channel", "instId"), channel.split(":"), strict=True)) for channel in channels]
        await socket.send_str(json.dumps({"id": key, "op": op, "args": args}))
        return [await self.next(socket, event=True) for _ in channels]

    async def next(self, socket: Any, channel: str | None = None, event: bool = False) -> Any:
        """The next message of a channel, or the next answer."""
        while True:
            message = await socket.receive(timeout=20)
            assert message.type is aiohttp.WSMsgType.TEXT, message
            told = json.loads(message.data)
            if event == ("event" in told) and (channel is None or told["arg"]["channel"] == channel):
                return told

    async def book(self, socket: Any) -> tuple[str, Any]:
        """Action and data of the next message of `books`."""
        told = await self.next(socket, "books")
        (data,) = told["data"]
        return told["action"], data


@pytest.fixture
async def okx() -> AsyncIterator[OkxExchange]:
    clock = HandClock()
    options = Options(symbols=("BTCUSDT", "ETHUSDT", "ETHBTC"), rate=600.0, levels=500, seed=7, paused=True)
    server = Server(options, clock, find_protocols(["binance", "okx"]))
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield OkxExchange(server, clock, session)
    await server.stop()
