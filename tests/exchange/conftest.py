"""An exchange in the test's loop, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from venuemesh.exchange.account_options import parse_account
from venuemesh.exchange.admin.client import AsyncAdminClient
from venuemesh.exchange.binance.face import Binance
from venuemesh.exchange.clock import Clock
from venuemesh.exchange.options import Options
from venuemesh.exchange.server import Server

WAIT_S = 20.0


class HandClock(Clock):
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        super().__init__()
        self.wall_ns = 1_700_000_000_000_000_000
        self.steady_ns = 5_000_000_000

    def now_ns(self) -> int:
        return self.wall_ns + self.skew_ns

    def monotonic_ns(self) -> int:  # type: ignore[override]
        return self.steady_ns


class Exchange:
    """A running server and the tests' tools to talk to it."""

    def __init__(self, server: Server, clock: HandClock, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.venue = server.venue
        self.clock = clock
        self.session = session
        self.admin = AsyncAdminClient(server.urls["admin"], session)
        face = self.venue.faces["binance"]
        assert isinstance(face, Binance)
        self.limits = face.limits
        self.topics = face.desk.streams.topics
        self.base: str = server.urls["binance"]["rest"]

    def advance(self, ms: float, step_ms: float = 10.0) -> None:
        """Let this much time pass, in beats."""
        while ms > 0:
            step = min(ms, step_ms)
            self.clock.wall_ns += int(step * 1e6)
            self.clock.steady_ns += int(step * 1e6)
            self.venue.beat(self.clock.steady_ns)
            ms -= step

    async def get(self, path: str, **kwargs: Any) -> tuple[int, Any, dict[str, str]]:
        """Status, body (JSON where it is), headers."""
        async with self.session.get(f"{self.base}/api/v3/{path}", **kwargs) as response:
            raw = await response.read()
            body = json.loads(raw) if "json" in response.content_type else raw.decode()
            return response.status, body, dict(response.headers)

    @staticmethod
    async def eventually(condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; fail at a generous deadline."""
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, "not in time"
            await asyncio.sleep(0.005)

    @staticmethod
    async def next_json(socket: aiohttp.ClientWebSocketResponse) -> Any:
        """The next text frame, decoded."""
        message = await asyncio.wait_for(socket.receive(), WAIT_S)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return json.loads(message.data)

    @staticmethod
    async def ask(socket: aiohttp.ClientWebSocketResponse, request: Any) -> Any:
        """Send a request (text, or a value as JSON); return the first frame that is not of a stream."""
        await socket.send_str(request if isinstance(request, str) else json.dumps(request))
        while True:
            answer = await Exchange.next_json(socket)
            if not isinstance(answer, dict) or ("stream" not in answer and "e" not in answer):
                return answer

    def socket(self, path: str, **kwargs: Any) -> Any:
        return self.session.ws_connect(self.base.replace("http", "ws") + path, **kwargs)


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    clock = HandClock()
    options = Options(
        symbols=("BTCUSDT", "ETHUSDT", "ETHBTC"),
        rate=600.0,
        levels=200,
        seed=7,
        accounts=[parse_account("main:KEY:SECRET:BTC=10,USDT=1000000")],
    )
    server = Server(options, clock)
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield Exchange(server, clock, session)
    await server.stop()
