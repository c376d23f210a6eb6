"""A raw frame server: depth frames in Binance's format at any rate, without the real stream's interval of 100 ms.

    python -m benchmarks.frame_server --pairs 4 --levels 15

The first line on stdout is {"rest": ..., "ws": ...}. The server is not an exchange: a book is a cycle of prepared level
changes, sent repeatedly under contiguous update ids, so a correct consumer becomes LIVE and stays LIVE, and a frame
costs its sender little. `POST /rate {"rate": n}` sets the rate (frames a second and pair, evenly spaced); it starts at
0, when each pair gets one frame a second. `GET /sent` returns the number of sent frames; REST answers exchangeInfo,
depth, ticker/24hr, ping and time.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import random
import selectors
import signal
import string
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

MID = 50_000  # in ticks of 0.01
CYCLE = 512  # frames prepared
PRICE_DECIMALS, SIZE_DECIMALS, WIRE_DECIMALS = 2, 5, 8
IDLE_RATE = 1.0  # frames a second and pair at rate 0
BEHIND_S = 0.05  # a sender that is later than this does not try to catch up

Side = list[tuple[int, int]]  # price and size, raw


def symbol_bases(count: int) -> list[str]:
    """Return `count` asset names: AAA, AAB, ..."""
    letters = string.ascii_uppercase
    return [f"{letters[n // 676 % 26]}{letters[n // 26 % 26]}{letters[n % 26]}" for n in range(count)]


def pair_names(count: int) -> list[str]:
    """Return the trading pairs that a server of `count` pairs serves."""
    return [f"{base}-USDT" for base in symbol_bases(count)]


def text(raw: int, decimals: int) -> str:
    """Write a raw number as the exchange does, with eight decimals."""
    digits = str(raw).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}" + "0" * (WIRE_DECIMALS - decimals)


@dataclass(frozen=True, slots=True)
class Change:
    """One prepared frame: its levels, raw and as the end of a frame's text."""

    bids: Side
    asks: Side
    tail: bytes


def prepare(levels: int, seed: int) -> list[Change]:
    """Return a cycle of changes of `levels` levels each, half of them a side, most of them near the touch.

    Bids stay below `MID` and asks above it. The best level of a side goes in about a tenth of the frames.
    """
    rng = random.Random(seed)
    changes = []
    for _ in range(CYCLE):
        sides: list[Side] = []
        for sign, count in ((-1, levels // 2), (1, levels - levels // 2)):
            ranks = sorted({min(250, 1 + int(rng.lognormvariate(2.2, 1.2))) for _ in range(count)})
            while len(ranks) < count:
                ranks = sorted({*ranks, rng.randrange(1, 250)})
            sides.append([(MID + sign * rank, _size(rng, rank)) for rank in ranks])
        rows = (
            ",".join(f'["{text(price, PRICE_DECIMALS)}","{text(size, SIZE_DECIMALS)}"]' for price, size in side)
            for side in sides
        )
        changes.append(Change(*sides, ',"b":[{}],"a":[{}]}}'.format(*rows).encode()))
    return changes


def _size(rng: random.Random, rank: int) -> int:
    return 0 if rank <= 250 and rng.random() < 0.3 else rng.randrange(1, 10**9)


class Pair:
    """One symbol's book as a dict a side, and its next frame."""

    def __init__(self, base: str, changes: list[Change], levels: int, offset: int) -> None:
        self.base = base
        self.symbol = f"{base}USDT"
        self._changes = changes
        self._levels = levels
        self._next = offset % len(changes)
        self._head = f',"s":"{self.symbol}","U":'.encode()
        self.update_id = 1000
        self.bids = {MID - rank: rank * 1000 for rank in range(1, 301)}
        self.asks = {MID + rank: rank * 1000 for rank in range(1, 301)}

    def frame(self) -> bytes:
        """Apply the next changes and return their frame."""
        change = self._changes[self._next]
        self._next = (self._next + 1) % len(self._changes)
        for held, side in ((self.bids, change.bids), (self.asks, change.asks)):
            for price, size in side:
                if size:
                    held[price] = size
                else:
                    held.pop(price, None)
        first = self.update_id + 1
        self.update_id += self._levels
        now_ms = time.time_ns() // 1_000_000
        return b'{"e":"depthUpdate","E":%d%s%d,"u":%d%s' % (now_ms, self._head, first, self.update_id, change.tail)

    def snapshot(self) -> dict[str, Any]:
        sides = (sorted(self.bids.items(), reverse=True), sorted(self.asks.items()))
        bids, asks = ([[text(price, PRICE_DECIMALS), text(size, SIZE_DECIMALS)] for price, size in s] for s in sides)
        return {"lastUpdateId": self.update_id, "bids": bids, "asks": asks}

    def listed(self) -> dict[str, Any]:
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "90000.00000", "stepSize": "0.00001"},
        ]
        symbol = {"symbol": self.symbol, "status": "TRADING", "baseAsset": self.base, "quoteAsset": "USDT"}
        return {**symbol, "filters": filters}


class FrameServer:
    def __init__(self, pairs: int, levels: int) -> None:
        changes = prepare(levels, seed=7)
        made = [Pair(base, changes, levels, offset=n * 37) for n, base in enumerate(symbol_bases(pairs))]
        self.pairs = {pair.symbol: pair for pair in made}
        self.rate = 0.0
        self.sent = 0
        self.changed = asyncio.Event()
        self.subscribers: dict[str, list[web.WebSocketResponse]] = {symbol: [] for symbol in self.pairs}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/ws", self.socket)
        app.router.add_get("/api/v3/exchangeInfo", self.exchange_info)
        app.router.add_get("/api/v3/depth", self.depth)
        app.router.add_get("/api/v3/ticker/24hr", self.tickers)
        app.router.add_get("/api/v3/ping", self.ping)
        app.router.add_get("/api/v3/time", self.now)
        app.router.add_get("/sent", self.count)
        app.router.add_post("/rate", self.set_rate)
        return app

    async def exchange_info(self, _: web.Request) -> web.Response:
        return web.json_response({"symbols": [pair.listed() for pair in self.pairs.values()]})

    async def depth(self, request: web.Request) -> web.Response:
        return web.json_response(self.pairs[request.query["symbol"]].snapshot())

    async def tickers(self, _: web.Request) -> web.Response:
        return web.json_response([])

    async def ping(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def now(self, _: web.Request) -> web.Response:
        return web.json_response({"serverTime": time.time_ns() // 1_000_000})

    async def count(self, _: web.Request) -> web.Response:
        return web.json_response({"sent": self.sent})

    async def set_rate(self, request: web.Request) -> web.Response:
        self.rate = float((await request.json())["rate"])
        self.changed.set()
        return web.json_response({"rate": self.rate})

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=True, compress=False)
        await socket.prepare(request)
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                asked = json.loads(message.data)
                for symbol in {name.split("@")[0].upper() for name in asked["params"] if "@depth" in name}:
                    held = self.subscribers.get(symbol, [])
                    if asked["method"] == "SUBSCRIBE" and socket not in held:
                        held.append(socket)
                    elif asked["method"] == "UNSUBSCRIBE" and socket in held:
                        held.remove(socket)
                await socket.send_str(json.dumps({"result": None, "id": asked["id"]}))
        finally:
            for held in self.subscribers.values():
                if socket in held:
                    held.remove(socket)
        return socket

    async def send_for_ever(self) -> None:
        """Send the pairs' frames in turn, evenly spaced."""
        pairs = list(self.pairs.values())
        due, turn = time.monotonic(), 0
        while True:
            due = max(due + 1 / (max(self.rate, IDLE_RATE) * len(pairs)), time.monotonic() - BEHIND_S)
            if (left := due - time.monotonic()) > 0:
                try:
                    async with asyncio.timeout(left):
                        await self.changed.wait()
                    self.changed.clear()
                    due = time.monotonic()
                except TimeoutError:
                    pass
            else:
                await asyncio.sleep(0)
            pair = pairs[turn]
            turn = (turn + 1) % len(pairs)
            frame = pair.frame()
            self.sent += 1
            for socket in tuple(self.subscribers[pair.symbol]):
                if not socket.closed:
                    try:
                        await socket.send_frame(frame, WSMsgType.TEXT)
                    except ConnectionError:
                        continue  # its reader was killed; the reader's task removes it


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--levels", type=int, default=15)
    options = parser.parse_args()
    parent = os.getppid()
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: end when the benchmark ends
    if os.getppid() != parent:
        return
    server = FrameServer(options.pairs, options.levels)
    runner = web.AppRunner(server.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    print(json.dumps({"rest": f"http://127.0.0.1:{port}", "ws": f"ws://127.0.0.1:{port}"}), flush=True)
    await server.send_for_ever()


if __name__ == "__main__":
    # epoll waits in whole milliseconds, select in microseconds: 1,000 evenly spaced frames a second need select
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as run:
        run.run(main())
