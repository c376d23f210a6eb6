"""Bybit's public websocket, in the forms of the manual, with its traps."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.exchange.bybit.conftest import BybitExchange

TOPIC = "orderbook.50.BTCUSDT"


class Book:
    """A listener's book, kept by the rules of websocket/public/orderbook.mdx."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        self.update = 0

    def take(self, message: Any) -> str:
        """Apply a message; return its type."""
        data, kind = message["data"], message["type"]
        if kind == "snapshot":
            self.sides = {"b": {}, "a": {}}
        else:
            assert data["u"] == self.update + 1
        for name, side in self.sides.items():
            for price, size in data[name]:
                if size == "0":
                    del side[price]  # only levels that the listener has are deleted
                else:
                    side[price] = size
        self.update = data["u"]
        return str(kind)

    def levels(self, name: str) -> list[list[str]]:
        return [[price, self.sides[name][price]] for price in sorted(self.sides[name], key=float, reverse=name == "b")]


async def agrees(bybit: BybitExchange, book: Book, depth: int) -> None:
    rest = await bybit.query("orderbook", category="spot", symbol="BTCUSDT", limit=depth)
    assert book.levels("b") == rest["b"]
    assert book.levels("a") == rest["a"]


async def test_requests_are_answered(bybit: BybitExchange) -> None:
    """websocket/wss-authentication.mdx."""
    async with bybit.feed() as socket:
        pong = await bybit.say(socket, "ping")
        assert (pong["success"], pong["ret_msg"], pong["op"]) == (True, "pong", "ping")
        assert "req_id" not in pong
        assert (await bybit.say(socket, "ping", req_id="7"))["req_id"] == "7"
        assert (await bybit.say(socket, "ping", req_id=7))["req_id"] == 7  # what ccxt sends
        answer = await bybit.say(socket, "subscribe", TOPIC, "publicTrade.BTCUSDT", req_id="a")
        assert answer == {
            "success": True,
            "ret_msg": "subscribe",
            "conn_id": pong["conn_id"],
            "req_id": "a",
            "op": "subscribe",
        }
        assert (await bybit.hear(socket, TOPIC))["type"] == "snapshot"
        assert (await bybit.say(socket, "unsubscribe", TOPIC, req_id="b"))["success"] is True


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("subscribe", ["orderbook.50.NOPE"]),
        ("subscribe", ["orderbook.500.BTCUSDT"]),
        ("subscribe", ["weather.BTCUSDT"]),
        ("subscribe", []),
        (
            "subscribe",
            [f"orderbook.{depth}.{symbol}" for depth in (1, 50, 200) for symbol in ("BTCUSDT", "ETHUSDT")] * 2,
        ),
        ("pinf", [TOPIC]),
    ],
)
async def test_a_request_is_refused_whole(bybit: BybitExchange, op: str, args: list[str]) -> None:
    """At most ten args; one unknown topic refuses all of them."""
    async with bybit.feed() as socket:
        good = ["publicTrade.BTCUSDT"] if len(args) == 1 else []
        answer = await bybit.say(socket, op, *good, *args, req_id="1")
        assert (answer["success"], answer["req_id"], answer["op"]) == (False, "1", op)
        assert bybit.desk.streams.topics.by_name == {}


async def test_a_second_subscription_is_refused(bybit: BybitExchange) -> None:
    async with bybit.feed() as socket:
        await bybit.say(socket, "subscribe", TOPIC)
        assert (await bybit.say(socket, "subscribe", TOPIC))["success"] is False


@pytest.mark.parametrize(("depth", "every_ms"), [(50, 20), (200, 100), (1000, 200)])
async def test_a_book_follows_the_market(bybit: BybitExchange, depth: int, every_ms: int) -> None:
    """A snapshot, then deltas with the next `u` at the depth's interval; levels that leave the window are deleted."""
    book, topic = Book(), f"orderbook.{depth}.BTCUSDT"
    async with bybit.feed() as socket:
        await bybit.say(socket, "subscribe", topic)
        first = await bybit.hear(socket, topic)
        assert list(first) == ["topic", "ts", "type", "data", "cts"]
        assert book.take(first) == "snapshot"
        await agrees(bybit, book, depth)
        await bybit.admin.resume()
        bybit.advance(2_000)
        await bybit.admin.pause()
        bybit.advance(400)
        last = bybit.desk.streams.topics.by_name[topic].update
        while book.update < last:
            assert book.take(await bybit.hear(socket, topic)) == "delta"
        await agrees(bybit, book, depth)
        assert 5 <= last - first["data"]["u"] <= 2_400 // every_ms
        assert len(book.sides["b"]) <= depth


async def test_level_one_is_snapshots_only_and_is_repeated(bybit: BybitExchange) -> None:
    """Sent again after three seconds without a change, with the same `u`."""
    topic = "orderbook.1.BTCUSDT"
    async with bybit.feed() as socket:
        await bybit.say(socket, "subscribe", topic)
        first = await bybit.hear(socket, topic)
        assert (len(first["data"]["b"]), len(first["data"]["a"])) == (1, 1)
        bybit.advance(3_050)
        again = await bybit.hear(socket, topic)
        assert (again["type"], again["data"]) == ("snapshot", first["data"])
        await bybit.admin.order("BTCUSDT", "BUY", price=first["data"]["b"][0][0], quantity="1")
        bybit.advance(10)
        after = await bybit.hear(socket, topic)
        assert (after["type"], after["data"]["u"]) == ("snapshot", first["data"]["u"] + 1)


async def rest_an_order(bybit: BybitExchange) -> None:
    """Change the best bid."""
    price = (await bybit.query("orderbook", category="spot", symbol="BTCUSDT"))["b"][0][0]
    await bybit.admin.order("BTCUSDT", "BUY", price=price, quantity="1")
    bybit.advance(20)


async def test_traps_a_snapshot_in_the_middle_a_restart_and_a_gap(bybit: BybitExchange) -> None:
    book = Book()
    async with bybit.feed() as socket:
        await bybit.say(socket, "subscribe", TOPIC)
        book.take(await bybit.hear(socket, TOPIC))
        start = book.update
        await bybit.admin.fault(kind="snapshot", stream=TOPIC, count=1)
        await rest_an_order(bybit)
        assert book.take(await bybit.hear(socket, TOPIC)) == "snapshot"
        assert book.update == start + 1
        await bybit.admin.fault(kind="reset", protocol="bybit", symbol="BTCUSDT", count=1)
        bybit.advance(20)  # nothing need have changed
        assert book.take(await bybit.hear(socket, TOPIC)) == "snapshot"
        assert book.update == 1
        await rest_an_order(bybit)
        assert book.take(await bybit.hear(socket, TOPIC)) == "delta"
        assert book.update == 2
        await agrees(bybit, book, 50)
        await bybit.admin.fault(kind="skip", protocol="bybit", ids=3, count=1)
        await rest_an_order(bybit)
        assert (await bybit.hear(socket, TOPIC))["data"]["u"] == 6


async def test_every_listener_stands_at_one_place(bybit: BybitExchange) -> None:
    """A later listener gets a snapshot with the `u` that all other listeners have reached."""
    async with bybit.feed() as one, bybit.feed() as other:
        books = Book(), Book()
        await bybit.say(one, "subscribe", TOPIC)
        books[0].take(await bybit.hear(one, TOPIC))
        price = (await bybit.query("orderbook", category="spot", symbol="BTCUSDT"))["b"][0][0]
        await bybit.admin.order("BTCUSDT", "BUY", price=price, quantity="1")
        await bybit.say(other, "subscribe", TOPIC)
        books[1].take(await bybit.hear(other, TOPIC))
        books[0].take(await bybit.hear(one, TOPIC))
        assert books[0].update == books[1].update
        assert books[0].sides == books[1].sides


async def test_trades_and_tickers(bybit: BybitExchange) -> None:
    async with bybit.feed() as socket:
        await bybit.say(socket, "subscribe", "publicTrade.BTCUSDT", "tickers.BTCUSDT")
        ticker = await bybit.hear(socket, "tickers.BTCUSDT")
        assert list(ticker) == ["topic", "ts", "type", "cs", "data"]
        await bybit.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.5")
        message = await bybit.hear(socket, "publicTrade.BTCUSDT")
        assert message["type"] == "snapshot"
        trade = message["data"][0]
        assert (trade["s"], trade["S"], str(uuid.UUID(trade["i"]))) == ("BTCUSDT", "Buy", trade["i"])
        bybit.advance(50)
        after = await bybit.hear(socket, "tickers.BTCUSDT")
        assert (after["type"], after["data"]["volume24h"]) == ("snapshot", "0.5")


async def test_a_silent_client_is_disconnected_after_ten_minutes(bybit: BybitExchange) -> None:
    async with bybit.feed() as socket:
        bybit.advance(590_000, 1000)
        await bybit.say(socket, "ping")
        bybit.advance(590_000, 1000)
        await bybit.say(socket, "ping")
        bybit.advance(601_000, 1000)
        message = await socket.receive(timeout=20)
        assert message.type.name == "CLOSE"


@pytest.mark.parametrize("kind", ["drop", "duplicate", "corrupt"])
async def test_faults_of_frames(bybit: BybitExchange, kind: str) -> None:
    async with bybit.feed() as socket:
        await bybit.say(socket, "subscribe", TOPIC)
        start = (await bybit.hear(socket, TOPIC))["data"]["u"]
        await bybit.admin.fault(kind=kind, stream=TOPIC, count=1, mode="truncate")
        await rest_an_order(bybit)
        await rest_an_order(bybit)
        if kind == "corrupt":
            with pytest.raises(json.JSONDecodeError):
                await bybit.hear(socket, TOPIC)
        else:
            numbers = [(await bybit.hear(socket, TOPIC))["data"]["u"] for _ in range(2 if kind == "duplicate" else 1)]
            assert numbers == ([start + 1, start + 1] if kind == "duplicate" else [start + 2])


async def test_a_refused_subscription_by_a_fault(bybit: BybitExchange) -> None:
    await bybit.admin.fault(kind="status", endpoint="ws:subscribe", count=1)
    async with bybit.feed() as socket:
        assert (await bybit.say(socket, "subscribe", TOPIC))["success"] is False
        assert (await bybit.say(socket, "subscribe", TOPIC))["success"] is True


async def test_candles_are_updated_and_confirmed(bybit: BybitExchange) -> None:
    """websocket/public/kline.mdx; the end of a candle is sent once, as REST has it."""
    topic = "kline.1.BTCUSDT"
    async with bybit.feed() as socket:
        assert (await bybit.say(socket, "subscribe", "kline.7.BTCUSDT"))["success"] is False
        assert (await bybit.say(socket, "subscribe", topic))["success"] is True
        await bybit.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.001")
        bybit.advance(1_000)
        message = await bybit.hear(socket, topic)
        (first,) = message["data"]
        assert message["type"] == "snapshot"
        assert (first["volume"], first["confirm"], first["interval"]) == ("0.001", False, "1")
        assert first["end"] == first["start"] + 59_999
        bybit.advance(130_000)
        ended = []
        while len(ended) < 2:
            (row,) = (await bybit.hear(socket, topic))["data"]
            ended += [row] if row["confirm"] else []
        assert {name: ended[0][name] for name in ("start", "open", "volume")} == {
            name: first[name] for name in ("start", "open", "volume")
        }
        assert ended[1]["start"] == first["start"] + 60_000
        rest = (await bybit.query("kline", category="spot", symbol="BTCUSDT", interval="1"))["list"]
        names = ("start", "open", "high", "low", "close", "volume", "turnover")
        assert [[str(row[name]) for name in names] for row in ended] == rest[:0:-1][:2]


async def test_a_pair_that_is_listed_again_continues_its_topics(bybit: BybitExchange) -> None:
    async with bybit.feed() as socket:
        await bybit.say(socket, "subscribe", TOPIC, req_id="a")
        await bybit.hear(socket, TOPIC)
        await bybit.admin.delist("BTCUSDT")
        bybit.advance(500)
        await bybit.admin.list("BTCUSDT")
        bybit.advance(500)
        assert (await bybit.hear(socket, TOPIC))["topic"] == TOPIC
