"""Coinbase Exchange's public channels, in the forms of the manual, with their traps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.exchange.coinbase.conftest import CoinbaseExchange

BOOK = "level2_batch:BTC-USDT"


class Book:
    """A listener's book, kept by the rules of ws, Level2 Channel."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {"buy": {}, "sell": {}}

    def take(self, message: Any) -> str:
        """Apply a message; return its type."""
        if message["type"] == "snapshot":
            self.sides = {"buy": dict(message["bids"]), "sell": dict(message["asks"])}
        else:
            for side, price, size in message["changes"]:
                if float(size):
                    self.sides[side][price] = size
                else:
                    self.sides[side].pop(price, None)
        return str(message["type"])

    def levels(self, side: str) -> list[list[str]]:
        prices = sorted(self.sides[side], key=float, reverse=side == "buy")
        return [[price, self.sides[side][price]] for price in prices]


async def agrees(coinbase: CoinbaseExchange, book: Book) -> None:
    rest = await coinbase.query("/products/BTC-USDT/book", level=2)
    assert book.levels("buy") == [row[:2] for row in rest["bids"]]
    assert book.levels("sell") == [row[:2] for row in rest["asks"]]


async def test_answers_list_all_subscriptions_of_the_connection(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as socket:
        first = await coinbase.say(socket, "subscribe", "level2_batch", "heartbeat")
        assert first == {
            "type": "subscriptions",
            "channels": [
                {"name": "level2_50", "product_ids": ["BTC-USDT"], "account_ids": None},
                {"name": "heartbeat", "product_ids": ["BTC-USDT"], "account_ids": None},
            ],
        }
        assert (await coinbase.hear(socket, "snapshot"))["product_id"] == "BTC-USDT"
        more = await coinbase.say(socket, "subscribe", {"name": "matches", "product_ids": ["ETH-USDT"]}, products=[])
        assert [(one["name"], one["product_ids"]) for one in more["channels"]] == [
            ("level2_50", ["BTC-USDT"]), ("heartbeat", ["BTC-USDT"]), ("matches", ["ETH-USDT"])
        ]  # fmt: skip
        left = await coinbase.say(socket, "unsubscribe", "level2_batch", "heartbeat", products=[])
        assert [one["name"] for one in left["channels"]] == ["matches"]


@pytest.mark.parametrize(
    ("kind", "channels", "products", "reason"),
    [
        ("subscribe", ["level2_batch"], ["BTC-USDT", "NO-PE"], "NO-PE is not a valid product"),
        ("subscribe", ["weather"], ["BTC-USDT"], "weather is not a valid channel"),
        ("subscribe", ["level2"], ["BTC-USDT"], "level2 requires authentication"),
        ("subscribe", ["user"], ["BTC-USDT"], "user requires authentication"),
        ("subscribe", ["matches"], [], "product_ids are required"),
        ("subscribe", [], ["BTC-USDT"], "Type has to be"),
        ("greet", ["matches"], ["BTC-USDT"], "Type has to be"),
    ],
)
async def test_a_message_is_refused_whole(
    coinbase: CoinbaseExchange, kind: str, channels: list[str], products: list[str], reason: str
) -> None:
    async with coinbase.feed() as socket:
        answer = await coinbase.say(socket, kind, "matches", *channels, products=products)
        if channels != []:
            assert (answer["type"], answer["message"]) == ("error", "Failed to subscribe")
            assert answer["reason"].startswith(reason)
            assert coinbase.desk.streams.topics.by_name == {}


@pytest.mark.parametrize(("channel", "every_ms"), [("level2_batch", 50), ("level2", 10)])
async def test_a_book_follows_the_market(coinbase: CoinbaseExchange, channel: str, every_ms: int) -> None:
    """The entire book, then changes without a number; `level2` needs a signature."""
    book = Book()
    async with coinbase.feed() as socket:
        signed = coinbase.proof() if channel == "level2" else {}
        assert (await coinbase.say(socket, "subscribe", channel, **signed))["type"] == "subscriptions"
        first = await coinbase.hear(socket, "snapshot")
        assert "sequence" not in first
        book.take(first)
        await agrees(coinbase, book)
        await coinbase.admin.resume()
        coinbase.advance(2_000)
        await coinbase.admin.pause()
        coinbase.advance(400)
        await socket.send_str(json.dumps({"type": "subscribe", "channels": [{"name": "status"}]}))
        updates = 0
        while (message := await coinbase.next_json(socket))["type"] != "status":
            if message["type"] == "l2update":
                assert list(message) == ["type", "product_id", "changes", "time"]
                updates += 1
                book.take(message)
        assert 5 <= updates <= 2_400 // every_ms
        await agrees(coinbase, book)


async def test_every_listener_has_the_same_book_and_a_fault_sends_it_again(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as one, coinbase.feed() as other:
        books = Book(), Book()
        await coinbase.say(one, "subscribe", "level2_batch")
        books[0].take(await coinbase.hear(one, "snapshot"))
        price = (await coinbase.query("/products/BTC-USDT/book"))["bids"][0][0]
        await coinbase.admin.order("BTCUSDT", "BUY", price=price, quantity="1")
        await coinbase.say(other, "subscribe", "level2_batch")
        books[1].take(await coinbase.hear(other, "snapshot"))
        books[0].take(await coinbase.hear(one, "l2update"))
        assert books[0].sides == books[1].sides
        await coinbase.admin.fault(kind="snapshot", stream=BOOK, count=1)
        coinbase.advance(50)
        assert books[0].take(await coinbase.hear(one, "snapshot")) == "snapshot"
        await agrees(coinbase, books[0])


async def test_matches_begin_with_the_last_one_and_state_the_makers_side(coinbase: CoinbaseExchange) -> None:
    await coinbase.admin.order("BTCUSDT", "SELL", type="MARKET", quantity="0.1")
    async with coinbase.feed() as socket:
        await coinbase.say(socket, "subscribe", "matches", "ticker")
        first = await coinbase.hear(socket, "last_match")
        assert first["side"] == "buy"
        await coinbase.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.5")
        match = await coinbase.hear(socket, "match")
        assert (match["side"], match["trade_id"]) == ("sell", first["trade_id"] + 1)
        coinbase.advance(10)
        ticker = await coinbase.hear(socket, "ticker")
        assert (ticker["side"], ticker["volume_24h"]) == ("buy", "0.60000000")


async def test_a_heartbeat_each_second_states_the_last_trade(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as socket:
        await coinbase.say(socket, "subscribe", "heartbeat")
        coinbase.advance(1_000)
        first = await coinbase.hear(socket, "heartbeat")
        await coinbase.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.5")
        made = (await coinbase.query("/products/BTC-USDT/trades"))[0]["trade_id"]
        coinbase.advance(1_000)
        second = await coinbase.hear(socket, "heartbeat")
        assert list(second) == ["type", "sequence", "last_trade_id", "product_id", "time"]
        assert second["last_trade_id"] == made > first["last_trade_id"]
        assert second["sequence"] > first["sequence"]


async def test_states_come_at_an_interval_and_after_a_change(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as socket:
        await coinbase.say(socket, "subscribe", {"name": "status"}, products=[])
        first = await coinbase.hear(socket, "status")
        assert [row["id"] for row in first["products"]] == ["BTC-USDT", "ETH-USDT"]
        await coinbase.admin.status("BTCUSDT", "CANCEL_ONLY")
        coinbase.advance(10)
        while not (await coinbase.hear(socket, "status"))["products"][0]["cancel_only"]:
            pass


async def test_a_client_that_does_not_subscribe_is_disconnected(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as silent, coinbase.feed() as other:
        await coinbase.say(other, "subscribe", "matches")
        coinbase.advance(6_000, 1000)
        assert (await silent.receive(timeout=20)).type.name == "CLOSE"
        assert (await coinbase.say(other, "subscribe", "heartbeat"))["type"] == "subscriptions"


async def test_faults_of_frames_and_subscriptions(coinbase: CoinbaseExchange) -> None:
    await coinbase.admin.fault(kind="status", endpoint="ws:subscribe:level2_batch", count=1)
    async with coinbase.feed() as socket:
        assert (await coinbase.say(socket, "subscribe", "level2_batch"))["type"] == "error"
        assert (await coinbase.say(socket, "subscribe", "level2_batch"))["type"] == "subscriptions"
        await coinbase.hear(socket, "snapshot")
        await coinbase.admin.fault(kind="drop", stream=BOOK, count=1)
        for size in ("1", "2"):
            price = (await coinbase.query("/products/BTC-USDT/book"))["bids"][0][0]
            await coinbase.admin.order("BTCUSDT", "BUY", price=price, quantity=size)
            coinbase.advance(50)
        (change,) = (await coinbase.hear(socket, "l2update"))["changes"]
        assert change[1:] == (await coinbase.query("/products/BTC-USDT/book"))["bids"][0][:2]  # the second change


async def test_a_product_that_is_listed_again_continues_its_channels(coinbase: CoinbaseExchange) -> None:
    async with coinbase.feed() as socket:
        await coinbase.say(socket, "subscribe", "level2_batch")
        await coinbase.hear(socket, "snapshot")
        await coinbase.admin.delist("BTCUSDT")
        coinbase.advance(500)
        await coinbase.admin.list("BTCUSDT")
        assert (await coinbase.hear(socket, "snapshot"))["product_id"] == "BTC-USDT"
