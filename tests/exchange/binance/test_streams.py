"""Market streams over real sockets. Source: web-socket-streams.md, read 2026-11-22."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from typing import Any

import aiohttp
import pytest

pytestmark = pytest.mark.timeout(120)
CLOSED = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


def apply(book: dict[str, dict[str, str]], event: dict[str, Any]) -> None:
    for side, changes in (("bids", event["b"]), ("asks", event["a"])):
        for price, size in changes:
            if float(size):
                book[side][price] = size
            else:
                book[side].pop(price, None)


async def closing(exchange: Any, ws: aiohttp.ClientWebSocketResponse) -> aiohttp.WSMessage:
    while True:
        message = await asyncio.wait_for(ws.receive(), 20)
        if message.type in CLOSED:
            return message


@pytest.mark.parametrize("stream", ["btcusdt@depth@100ms", "btcusdt@depth"])
async def test_diffs_joined_to_a_snapshot_are_the_engines_book(exchange: Any, stream: str) -> None:
    async with exchange.socket(f"/ws/{stream}") as ws:
        await exchange.eventually(lambda: stream in exchange.topics.by_name)
        exchange.advance(1500)
        _, snapshot, _ = await exchange.get("depth?symbol=BTCUSDT&limit=5000")
        exchange.advance(3000)
        paused = await exchange.admin.pause(wait_s=5)
        book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
        at, last, events = snapshot["lastUpdateId"], None, 0
        while at != paused["update_ids"]["BTCUSDT"]:
            event = await exchange.next_json(ws)
            assert (event["e"], event["s"]) == ("depthUpdate", "BTCUSDT")
            assert last is None or event["U"] == last + 1
            last = event["u"]
            events += 1
            if event["u"] <= snapshot["lastUpdateId"]:
                continue
            assert event["U"] <= at + 1
            apply(book, event)
            at = event["u"]
        final = await exchange.admin.book("BTCUSDT")
        assert book == {side: dict(final[side]) for side in ("bids", "asks")}
        assert events <= (47 if stream.endswith("100ms") else 6)


async def test_pace_of_the_two_speeds(exchange: Any) -> None:
    async with exchange.socket("/stream?streams=btcusdt@depth/btcusdt@depth@100ms") as ws:
        await exchange.eventually(lambda: len(exchange.topics.by_name) == 2)
        exchange.advance(2000)
        await exchange.admin.pause(wait_s=5)
        seen: dict[str, list[int]] = {"btcusdt@depth": [], "btcusdt@depth@100ms": []}
        end = exchange.venue.market("BTCUSDT").update_id
        while not (seen["btcusdt@depth"] and seen["btcusdt@depth"][-1] == end):
            message = await exchange.next_json(ws)
            seen[message["stream"]].append(message["data"]["u"])
        assert 2 <= len(seen["btcusdt@depth"]) <= 4
        assert 18 <= len(seen["btcusdt@depth@100ms"]) <= 21
        assert seen["btcusdt@depth@100ms"][-1] == end


async def test_rest_is_rest(exchange: Any) -> None:
    async with exchange.socket("/ws/btcusdt@depth@100ms") as ws:
        await exchange.eventually(lambda: bool(exchange.topics.by_name))
        exchange.advance(300)
        before = await exchange.admin.pause(wait_s=5)
        exchange.advance(2000)
        assert (await exchange.admin.pause())["update_ids"] == before["update_ids"]
        while (await exchange.next_json(ws))["u"] != before["update_ids"]["BTCUSDT"]:
            pass
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.receive(), 0.1)
        stepped = await exchange.admin.step(slices=10)
        assert stepped["changes"] > 0
        assert (await exchange.next_json(ws))["U"] == before["update_ids"]["BTCUSDT"] + 1


FIELDS = {
    "btcusdt@trade": {"e", "E", "s", "t", "p", "q", "T", "m", "M"},
    "btcusdt@aggTrade": {"e", "E", "s", "a", "p", "q", "f", "l", "T", "m", "M"},
    "btcusdt@bookTicker": {"u", "s", "b", "B", "a", "A"},
    "btcusdt@depth5": {"lastUpdateId", "bids", "asks"},
    "btcusdt@depth20@100ms": {"lastUpdateId", "bids", "asks"},
    "btcusdt@miniTicker": {"e", "E", "s", "c", "o", "h", "l", "v", "q"},
    "btcusdt@ticker": set("eEspPwxcQbBaAohlvqOCFLn"),
    "btcusdt@ticker_1h": set("eEspPohlcwvqOCFLn"),
    "btcusdt@avgPrice": {"e", "E", "s", "i", "w", "T"},
    "btcusdt@kline_1m": {"e", "E", "s", "k"},
    "btcusdt@kline_1d@+08:00": {"e", "E", "s", "k"},
    "!miniTicker@arr": set(),
    "!ticker_4h@arr": set(),
}


async def test_every_stream_sends_what_the_manual_says(exchange: Any) -> None:
    async with exchange.socket("/stream?streams=" + "/".join(FIELDS).replace("+", "%2B")) as ws:
        await exchange.eventually(lambda: len(exchange.topics.by_name) == len(FIELDS))
        exchange.advance(4000)
        waiting = dict(FIELDS)
        while waiting:
            message = await exchange.next_json(ws)
            wanted = waiting.pop(message["stream"], None)
            data = message["data"]
            if wanted:
                assert set(data) == wanted
            elif wanted is not None:
                assert {row["s"] for row in data} <= {"BTCUSDT", "ETHUSDT", "ETHBTC"}
            if message["stream"] == "btcusdt@depth20@100ms":
                assert len(data["bids"]) == len(data["asks"]) == 20
            if message["stream"] == "btcusdt@kline_1m":
                assert set(data["k"]) == set("tTsifLochlvnxqVQB")


async def test_book_ticker_follows_the_top(exchange: Any) -> None:
    async with exchange.socket("/ws/ethusdt@bookTicker") as ws:
        await exchange.eventually(lambda: exchange.venue.market("ETHUSDT").top_watchers)
        exchange.advance(3000)
        await exchange.admin.pause(wait_s=5)
        top = exchange.venue.market("ETHUSDT").tops
        received = {"b": "", "a": ""}
        wanted = [f"{level[0] / 1e8:.8f}" for level in top]
        while [received["b"], received["a"]] != wanted:
            received = await exchange.next_json(ws)


async def test_a_closed_kline_is_sent_once_as_closed(exchange: Any) -> None:
    async with exchange.socket("/ws/btcusdt@kline_1s") as ws:
        await exchange.eventually(lambda: bool(exchange.topics.by_name))
        exchange.advance(4000)
        closed = []
        while len(closed) < 2:
            event = await exchange.next_json(ws)
            if event["k"]["x"]:
                closed.append(event["k"]["t"])
        assert closed[0] < closed[1]


async def test_microseconds(exchange: Any) -> None:
    async with exchange.socket("/stream?streams=btcusdt@trade&timeUnit=MICROSECOND") as ws:
        await exchange.eventually(lambda: bool(exchange.topics.by_name))
        exchange.advance(2000)
        data = (await exchange.next_json(ws))["data"]
        assert 0 <= exchange.clock.wall_ns // 1000 - data["T"] < 2_100_000


async def test_raw_and_combined(exchange: Any) -> None:
    async with exchange.socket("/ws/btcusdt@trade/ethusdt@trade") as raw, exchange.socket("/stream") as combined:
        assert await exchange.ask(raw, {"method": "LIST_SUBSCRIPTIONS", "id": 3}) == {
            "result": ["btcusdt@trade", "ethusdt@trade"],
            "id": 3,
        }
        await exchange.ask(combined, {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": "a1"})
        exchange.advance(2000)
        assert (await exchange.next_json(raw))["e"] == "trade"
        assert (await exchange.next_json(combined))["stream"] == "btcusdt@trade"


async def test_live_subscribing(exchange: Any) -> None:
    async with exchange.socket("/ws") as ws:
        subscribe = {"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade", "btcusdt@depth"], "id": 1}
        assert await exchange.ask(ws, subscribe) == {"result": None, "id": 1}
        assert await exchange.ask(ws, {"method": "UNSUBSCRIBE", "params": ["btcusdt@depth"], "id": None}) == {
            "result": None,
            "id": None,
        }
        assert (await exchange.ask(ws, {"method": "LIST_SUBSCRIPTIONS", "id": 3}))["result"] == ["btcusdt@aggTrade"]
        assert (await exchange.ask(ws, {"method": "GET_PROPERTY", "params": ["combined"], "id": 2}))["result"] is False
        exchange.clock.steady_ns += 1_000_000_000  # the next second's messages
        assert (await exchange.ask(ws, {"method": "SET_PROPERTY", "params": ["combined", True], "id": 5})) == {
            "result": None,
            "id": 5,
        }
        exchange.advance(2000)
        assert (await exchange.next_json(ws))["stream"] == "btcusdt@aggTrade"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ({"method": "GET_PROPERTY", "params": ["x"], "id": 9}, {"code": 0, "msg": "Unknown property", "id": 9}),
        (
            {"method": "SET_PROPERTY", "params": ["combined", "yes"], "id": 1},
            {"code": 1, "msg": "Invalid value type: expected Boolean"},
        ),
        (
            {"method": "SET_PROPERTY", "params": [1, True], "id": 1},
            {"code": 2, "msg": "Invalid request: property name must be a string"},
        ),
        (
            {"method": "SUBSCRIBE", "params": ["btcusdt@depth"]},
            {"code": 2, "msg": "Invalid request: request ID must be an unsigned integer"},
        ),
        (
            {"method": "SUBSCRIBE", "params": ["btcusdt@depth"], "id": 1.5},
            {"code": 2, "msg": "Invalid request: request ID must be an unsigned integer"},
        ),
        (
            '{"method": "SUBSCRIB", "params": [], "id": 1}',
            {
                "code": 2,
                "msg": "Invalid request: unknown variant `SUBSCRIB`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, "
                "`LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY` at line 1 column 10",
            },
        ),
        (
            {"method": "LIST_SUBSCRIPTIONS", "params": ["x"], "id": 1},
            {"code": 2, "msg": "Invalid request: too many parameters"},
        ),
        (
            {"method": "LIST_SUBSCRIPTIONS", "more": 1, "id": 1},
            {"code": 2, "msg": "Invalid request: too many parameters"},
        ),
        ('{"id":1}', {"code": 2, "msg": "Invalid request: missing field `method` at line 1 column 8"}),
        ("hello", {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}),
    ],
)
async def test_error_frames(exchange: Any, request_: Any, answer: dict[str, Any]) -> None:
    async with exchange.socket("/ws") as ws:
        received = await exchange.ask(ws, request_)
        assert received == answer


async def test_six_messages_in_a_second_are_one_too_many(exchange: Any) -> None:
    async with exchange.socket("/ws") as ws:
        for number in range(5):
            await exchange.ask(ws, {"method": "LIST_SUBSCRIPTIONS", "id": number})
        exchange.clock.steady_ns += 1_000_000_000
        for number in range(6):
            await ws.send_str(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        assert (await closing(exchange, ws)).data == 1008


async def test_at_most_1024_streams(exchange: Any) -> None:
    await exchange.admin.limits(streams=3)
    async with exchange.socket("/ws/a@trade/b@trade") as ws:
        received = await exchange.ask(ws, {"method": "SUBSCRIBE", "params": ["c@trade", "d@trade"], "id": 1})
        assert received["code"] == 2
        received = await exchange.ask(ws, {"method": "SUBSCRIBE", "params": ["c@trade", "a@trade"], "id": 1})
        assert received == {"result": None, "id": 1}
    async with exchange.socket("/ws/a@trade/b@trade/c@trade/d@trade") as ws:
        assert (await closing(exchange, ws)).data == 1008


async def test_connections_per_five_minutes(exchange: Any) -> None:
    await exchange.admin.limits(connections=2)
    for _ in range(2):
        await (await exchange.socket("/ws")).close()
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await exchange.socket("/ws")
    assert caught.value.status == 429
    exchange.clock.wall_ns += 300_000_000_000
    await (await exchange.socket("/ws")).close()


async def test_pings_and_the_pong_that_does_not_come(exchange: Any) -> None:
    async with exchange.socket("/ws", autoping=False) as good, exchange.socket("/ws", autoping=False) as bad:
        await exchange.eventually(lambda: len(exchange.venue.connections) == 2)
        await exchange.admin.pause()
        for _ in range(3):
            exchange.advance(20_000, 1000)
            ping = await asyncio.wait_for(good.receive(), 20)
            assert ping.type is aiohttp.WSMsgType.PING
            await good.pong(ping.data)
            await bad.pong(b"")  # unsolicited: allowed, and does not help
            waiting = next(c for c in exchange.venue.connections.values())
            await exchange.eventually(lambda waiting=waiting: not waiting.awaits_pong)
        exchange.advance(20_000, 1000)
        message = await closing(exchange, bad)
        assert message.data == 1008
        assert len(exchange.venue.connections) == 1
        assert not good.closed


async def test_a_connection_lives_24_hours(exchange: Any) -> None:
    await exchange.admin.limits(ping_s=1e6)
    async with exchange.socket("/ws") as ws:
        await exchange.eventually(lambda: len(exchange.venue.connections) == 1)
        exchange.clock.steady_ns += 86_399 * 1_000_000_000
        exchange.advance(200)
        assert exchange.venue.connections
        exchange.clock.steady_ns += 2_000_000_000
        exchange.advance(200)
        assert (await closing(exchange, ws)).data == 1001


async def test_server_shutdown_event(exchange: Any) -> None:
    async with (
        exchange.socket("/ws") as raw,
        exchange.socket("/stream") as combined,
        exchange.socket("/ws-api/v3") as api,
    ):
        await exchange.eventually(lambda: len(exchange.venue.connections) == 3)
        assert await exchange.admin.shutdown_event() == {"sent": 3}
        event = {"e": "serverShutdown", "E": exchange.clock.wall_ns // 1_000_000}
        assert await exchange.next_json(raw) == event
        assert await exchange.next_json(combined) == {"stream": "!serverShutdown", "data": event}
        assert await exchange.next_json(api) == {"event": event}


async def test_a_slow_client_is_cut_and_others_are_not(exchange: Any) -> None:
    await exchange.admin.limits(buffer_bytes=400_000, ping_s=1e6)
    await exchange.admin.pause()
    host, port = exchange.base.removeprefix("http://").split(":")
    slow = sockets.create_connection((host, int(port)))
    slow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    slow.sendall(
        b"GET /ws/btcusdt@depth20@100ms HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    try:
        await exchange.eventually(lambda: len(exchange.venue.connections) == 1)
        async with exchange.socket("/ws/btcusdt@depth20@100ms") as ws:
            await exchange.eventually(lambda: len(exchange.venue.connections) == 2)
            heard = 0

            async def listen() -> None:
                nonlocal heard
                async for _ in ws:
                    heard += 1

            listening = asyncio.create_task(listen())
            for _ in range(200):
                exchange.advance(20_000, 100)
                good = max(exchange.venue.connections)
                await exchange.eventually(lambda good=good: exchange.venue.connections[good].unsent == 0)
                if len(exchange.venue.connections) == 1:
                    break
            await exchange.eventually(lambda: len(exchange.venue.connections) == 1)
            await exchange.eventually(lambda: heard > 100)
            listening.cancel()
            assert not ws.closed
    finally:
        slow.close()


async def test_one_encoding_serves_all_clients_of_a_form(exchange: Any) -> None:
    many = [await exchange.socket("/ws/btcusdt@depth@100ms") for _ in range(5)]
    await exchange.eventually(
        lambda: len(exchange.topics.by_name) == 1 and len(exchange.topics.by_name["btcusdt@depth@100ms"].listeners) == 5
    )
    encoded, sent = exchange.topics.messages, exchange.topics.frames
    exchange.advance(1000)
    await exchange.admin.pause(wait_s=5)
    assert (exchange.topics.frames - sent) == 5 * (exchange.topics.messages - encoded) > 0
    for ws in many:
        await ws.close()
    await exchange.eventually(lambda: not exchange.venue.connections and not exchange.topics.by_name)
