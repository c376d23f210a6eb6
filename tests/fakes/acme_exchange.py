"""A server of the wire format that `new-connector` lays out, written from its description, not from its codec.

Run as a process: prints its REST and websocket base URLs as one JSON line, ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

from aiohttp import WSMsgType, web

SYMBOL = "BTC_USDT"
EVERY_S = 0.02


class Acme:
    """One book of a few levels that changes at random, and its subscribers."""

    def __init__(self) -> None:
        self.chance = random.Random(1)
        self.seq = 1000
        self.bids = {f"{29990 + n}.50": "1.5" for n in range(10)}
        self.asks = {f"{30000 + n}.50": "2" for n in range(10)}
        self.subscribers: set[web.WebSocketResponse] = set()

    async def instruments(self, request: web.Request) -> web.Response:
        row = {"symbol": SYMBOL, "base": "BTC", "quote": "USDT", "state": "open"}
        return web.json_response({"instruments": [{**row, "tick": "0.01", "lot": "0.0001", "min_cost": "5"}]})

    async def now(self, request: web.Request) -> web.Response:
        return web.json_response({"now": time.time_ns() // 1_000_000}, headers={"X-Used-Weight": "3"})

    async def book(self, request: web.Request) -> web.Response:
        if request.query.get("symbol") != SYMBOL:
            return web.json_response({"code": "bad_symbol", "message": "no such symbol"}, status=400)
        levels = int(request.query["levels"])
        bids = sorted(self.bids.items(), key=lambda row: -float(row[0]))[:levels]
        asks = sorted(self.asks.items(), key=lambda row: float(row[0]))[:levels]
        return web.json_response({"seq": self.seq, "bids": bids, "asks": asks})

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=10.0)
        await socket.prepare(request)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._answer(socket, json.loads(message.data))
        finally:
            self.subscribers.discard(socket)
        return socket

    async def _answer(self, socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        unknown = [name for name in asked["channels"] if name not in (f"book:{SYMBOL}", f"trades:{SYMBOL}")]
        if unknown:
            refused = {"type": "refused", "id": asked["id"], "code": "bad_channel", "message": unknown[0]}
            await socket.send_json(refused)
            return
        await socket.send_json({"type": "done", "id": asked["id"]})
        if asked["op"] == "subscribe":
            self.subscribers.add(socket)

    async def trade(self) -> None:
        """Change one to three levels every `EVERY_S` and send the change; sometimes send a trade and an unknown
        message."""
        while True:
            await asyncio.sleep(EVERY_S)
            before, ms = self.seq, time.time_ns() // 1_000_000
            self.seq += self.chance.randint(1, 3)
            changed: dict[str, list[list[str]]] = {"bids": [], "asks": []}
            for _ in range(self.chance.randint(1, 3)):
                name = self.chance.choice(["bids", "asks"])
                side = self.bids if name == "bids" else self.asks
                price = f"{(29990 if name == 'bids' else 30000) + self.chance.randrange(10)}.50"
                size = self.chance.choice(["0", "0.25", "1.00000001", "7"])
                if size == "0" and len(side) > 2:
                    side.pop(price, None)
                else:
                    size = "3" if size == "0" else size
                    side[price] = size
                changed[name].append([price, size])
            delta = {"type": "book", "symbol": SYMBOL, "after": before, "seq": self.seq, "time": ms, **changed}
            trade = {"type": "trade", "symbol": SYMBOL, "id": self.seq, "price": "30000.50", "size": "1", "time": ms}
            for message in (delta, {**trade, "taker": "buy"}, {"type": "weather", "text": "fair"}):
                for socket in list(self.subscribers):
                    if not socket.closed:
                        await socket.send_json(message)


async def main() -> None:
    acme = Acme()
    app = web.Application()
    app.router.add_get("/v1/instruments", acme.instruments)
    app.router.add_get("/v1/time", acme.now)
    app.router.add_get("/v1/book", acme.book)
    app.router.add_get("/stream", acme.stream)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    print(json.dumps({"rest": f"http://127.0.0.1:{port}", "ws": f"ws://127.0.0.1:{port}"}), flush=True)
    market = asyncio.create_task(acme.trade())
    await asyncio.to_thread(sys.stdin.read)
    market.cancel()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
