"""Kraken's public websocket v2, in the shapes of the manual."""

from __future__ import annotations

import json
import zlib
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.exchange.kraken.conftest import KrakenExchange


class Book:
    """A listener's book, kept by the rules of spot-ws-book-v2; numbers stay text as on the wire."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}

    def take(self, text: str) -> bool:
        """Apply a message; return whether the checksum is right."""
        answer = json.loads(text, parse_float=str, parse_int=str)
        (data,) = answer["data"]
        if answer["type"] == "snapshot":
            self.sides = {"bids": {}, "asks": {}}
        for name, side in self.sides.items():
            for level in data[name]:
                if Decimal(level["qty"]) == 0:
                    side.pop(level["price"], None)
                else:
                    side[level["price"]] = level["qty"]
            for price in self.best(name)[self.depth :]:
                del side[price]
        return zlib.crc32(self.digits().encode()) == int(data["checksum"])

    def best(self, name: str) -> list[str]:
        return sorted(self.sides[name], key=Decimal, reverse=name == "bids")

    def digits(self) -> str:
        return "".join(
            figure.replace(".", "").lstrip("0")
            for name in ("asks", "bids")
            for price in self.best(name)[:10]
            for figure in (price, self.sides[name][price])
        )

    def levels(self, name: str) -> list[list[Decimal]]:
        return [[Decimal(price), Decimal(self.sides[name][price])] for price in self.best(name)]


async def book_text(socket: Any) -> str:
    """The next message of the channel book, as text."""
    while True:
        message = await socket.receive(timeout=20)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        if message.data.startswith('{"channel":"book"'):
            return str(message.data)


async def test_status_greets_and_pings_are_answered(kraken: KrakenExchange) -> None:
    """status, ping."""
    async with kraken.feed() as socket:
        answer = await kraken.next(socket)
        assert (answer["channel"], answer["type"]) == ("status", "update")
        assert answer["data"][0] == {
            "system": "online",
            "api_version": "v2",
            "connection_id": answer["data"][0]["connection_id"],
            "version": "2.0.10",
        }
        await kraken.say(socket, "ping", 101)
        pong = await kraken.next(socket)
        assert pong == {
            "method": "pong",
            "req_id": 101,
            "time_in": "2023-11-14T22:13:20.000000Z",
            "time_out": "2023-11-14T22:13:20.000000Z",
        }


async def test_each_pair_is_acknowledged_by_itself(kraken: KrakenExchange) -> None:
    """book (an acknowledgement for each symbol, then its snapshot); websocket v2 does not know XBT (spot-ws-intro)."""
    async with kraken.feed() as socket:
        await kraken.next(socket, "status")
        names = ["BTC/USDT", "XBT/USDT", "ETH/USDT"]
        await kraken.say(socket, "subscribe", 5, channel="book", symbol=names, depth=25)
        first = await kraken.next(socket)
        assert first["result"] == {"channel": "book", "depth": 25, "symbol": "BTC/USDT", "snapshot": True}
        assert (first["method"], first["success"], first["req_id"]) == ("subscribe", True, 5)
        snapshot = await kraken.next(socket)
        assert (snapshot["type"], snapshot["data"][0]["symbol"]) == ("snapshot", "BTC/USDT")
        assert len(snapshot["data"][0]["bids"]) == 25
        refusal = await kraken.next(socket)
        assert refusal["error"] == "Currency pair not supported XBT/USDT"
        assert (refusal["success"], refusal["req_id"], "result" in refusal) == (False, 5, False)
        assert (await kraken.next(socket))["result"]["symbol"] == "ETH/USDT"
        await kraken.next(socket, "book")
        await kraken.say(socket, "subscribe", 6, channel="book", symbol=["BTC/USDT"], depth=25)
        assert (await kraken.next(socket))["error"] == "Already subscribed"
        await kraken.say(socket, "unsubscribe", 7, channel="book", symbol=["BTC/USDT"], depth=25)
        ended = await kraken.next(socket)
        assert (ended["success"], ended["result"]["symbol"]) == (True, "BTC/USDT")
        assert list(kraken.desk.streams.topics.by_name) == ["book-25:ETH/USDT"]


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"channel": "book", "symbol": ["BTC/USDT"], "depth": 11}, "Subscription depth not supported"),
        ({"channel": "candles", "symbol": ["BTC/USDT"]}, "Subscription name invalid"),
        ({"channel": "heartbeat"}, "Subscription name invalid"),
        ({"channel": "trade"}, "Pair field must be an array"),
        ({"channel": "ohlc", "symbol": ["BTC/USDT"], "interval": 7}, "Subscription ohlc interval not supported"),
        (
            {"channel": "executions", "token": "x"},
            "Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com",
        ),
    ],
)
async def test_what_cannot_be_subscribed(kraken: KrakenExchange, params: dict[str, Any], error: str) -> None:
    async with kraken.feed() as socket:
        await kraken.say(socket, "subscribe", 1, **params)
        assert (await kraken.next(socket, method="subscribe"))["error"] == error


@pytest.mark.parametrize("depth", [10, 25, 1000])
async def test_a_listener_who_cuts_has_every_checksum_right(kraken: KrakenExchange, depth: int) -> None:
    """spot-ws-book-v2: apply the whole message, cut to the depth, CRC32 over the text of the wire."""
    book = Book(depth)
    async with kraken.feed() as socket:
        await kraken.say(socket, "subscribe", channel="book", symbol=["BTC/USDT"], depth=depth)
        assert book.take(await book_text(socket))
        await kraken.admin.resume()
        for _ in range(20):
            kraken.advance(100)
        stats = await kraken.admin.pause(wait_s=5)
        updates = 0
        truth = await kraken.admin.book("BTCUSDT")
        wanted = {side: [[Decimal(p), Decimal(s)] for p, s in truth[side][:depth]] for side in ("bids", "asks")}
        while {side: book.levels(side) for side in wanted} != wanted:
            assert book.take(await book_text(socket))
            updates += 1
        assert updates > 20
        assert stats["update_ids"]["BTCUSDT"] > 0


async def test_a_listener_who_does_not_cut_is_found_out(kraken: KrakenExchange) -> None:
    """The trap of clients that do not cut: levels that were pushed out stay, and return with wrong sizes."""
    careless = Book(10**6)
    async with kraken.feed() as socket:
        await kraken.say(socket, "subscribe", channel="book", symbol=["BTC/USDT"])
        assert careless.take(await book_text(socket))
        await kraken.admin.resume()
        right = True
        while right:
            kraken.advance(100)
            right = careless.take(await book_text(socket))


async def test_a_second_listener_changes_nothing_for_the_first(kraken: KrakenExchange) -> None:
    first, second = Book(10), Book(10)
    async with kraken.feed() as one, kraken.feed() as two:
        await kraken.say(one, "subscribe", channel="book", symbol=["BTC/USDT"])
        assert first.take(await book_text(one))
        await kraken.admin.resume()
        kraken.advance(200)
        await kraken.admin.pause()
        await kraken.admin.order("BTCUSDT", "BUY", price="64000", quantity="0.5")  # not sent yet
        await kraken.say(two, "subscribe", channel="book", symbol=["BTC/USDT"])
        assert second.take(await book_text(two))
        while first.sides != second.sides:
            assert first.take(await book_text(one))


async def test_a_lost_message_shows_in_the_next_checksum(kraken: KrakenExchange) -> None:
    """The fault `skip`: there are no ids to leave out, so all listeners miss one message."""
    book = Book(10)
    async with kraken.feed() as socket:
        await kraken.say(socket, "subscribe", channel="book", symbol=["BTC/USDT"])
        assert book.take(await book_text(socket))
        best = Decimal(book.best("bids")[0])
        for fault, right in ((False, True), (True, None), (False, False)):
            if fault:
                await kraken.admin.fault(kind="skip", protocol="kraken", symbol="BTCUSDT", count=1)
            best -= Decimal("0.01")
            await kraken.admin.order("BTCUSDT", "BUY", price=str(best), quantity="0.12345")
            kraken.advance(10)
            if right is not None:
                assert book.take(await book_text(socket)) is right


async def test_finer_prices_bring_the_book_again(kraken: KrakenExchange) -> None:
    """More decimals change the checksum of a level, so listeners get a snapshot in the middle."""
    book = Book(10)
    async with kraken.feed() as socket:
        await kraken.say(socket, "subscribe", channel="book", symbol=["BTC/USDT"])
        assert book.take(await book_text(socket))
        await kraken.admin.rules("BTCUSDT", tick="0.001")
        bid = Decimal(book.best("bids")[0])
        await kraken.admin.order("BTCUSDT", "BUY", price=str(bid - Decimal("0.001")), quantity="0.1")
        kraken.advance(10)
        text = await book_text(socket)
        assert '"type":"snapshot"' in text
        assert book.take(text)
        assert book.levels("bids")[1] == [bid - Decimal("0.001"), Decimal("0.1")]
        await kraken.admin.order("BTCUSDT", "BUY", price=str(bid - Decimal("0.002")), quantity="0.1")
        kraken.advance(10)
        assert book.take(await book_text(socket))


@pytest.mark.parametrize(("kind", "count"), [("drop", 0), ("duplicate", 2)])
async def test_frame_faults_work_on_channels(kraken: KrakenExchange, kind: str, count: int) -> None:
    async with kraken.feed() as socket:
        await kraken.say(socket, "subscribe", channel="trade", symbol=["BTC/USDT"])
        await kraken.next(socket, method="subscribe")
        await kraken.admin.fault(kind=kind, stream="trade:BTC/USDT", count=1)
        for quantity in ("0.001", "0.002"):
            await kraken.admin.order("BTCUSDT", "BUY", type="MARKET", quantity=quantity)
        for quantity in ["0.00100"] * count + ["0.00200"]:
            answer = await kraken.next(socket, "trade")
            assert sum(trade["qty"] for trade in answer["data"]) == Decimal(quantity)


async def test_trades_have_the_takers_side_and_type(kraken: KrakenExchange) -> None:
    """trade: no snapshot by default; a requested snapshot has the last 50 trades."""
    async with kraken.feed() as socket:
        await kraken.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.001")
        await kraken.say(socket, "subscribe", channel="trade", symbol=["BTC/USDT"], snapshot=True)
        answer = await kraken.next(socket, "trade")
        trade = answer["data"][-1]
        assert (answer["type"], trade["side"], trade["ord_type"]) == ("snapshot", "buy", "market")
        bid = (await kraken.admin.book("BTCUSDT"))["bids"][0]
        await kraken.admin.order("BTCUSDT", "SELL", price=bid[0], quantity="0.0001", time_in_force="IOC")
        answer = await kraken.next(socket, "trade")
        assert answer == {
            "channel": "trade",
            "type": "update",
            "data": [
                {
                    "symbol": "BTC/USDT",
                    "side": "sell",
                    "price": Decimal(bid[0]),
                    "qty": Decimal("0.00010"),
                    "ord_type": "limit",
                    "trade_id": trade["trade_id"] + 1,
                    "timestamp": "2023-11-14T22:13:20.000000Z",
                }
            ],
        }


async def test_tickers_and_candles_follow_trades(kraken: KrakenExchange) -> None:
    """ticker (on trades or, with event_trigger bbo, on the best prices), ohlc."""
    async with kraken.feed() as socket:
        await kraken.say(socket, "subscribe", channel="ticker", symbol=["BTC/USDT"])
        assert (await kraken.next(socket, "ticker"))["type"] == "snapshot"
        await kraken.say(socket, "subscribe", channel="ohlc", symbol=["BTC/USDT"], interval=5)
        assert (await kraken.next(socket, method="subscribe"))["result"]["interval"] == 5
        await kraken.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.001")
        kraken.advance(10)
        ticker = (await kraken.next(socket, "ticker"))["data"][0]
        candle = (await kraken.next(socket, "ohlc"))["data"][0]
        assert ticker["last"] == candle["close"]
        assert ticker["volume"] == candle["volume"] == Decimal("0.001")
        assert (candle["trades"], candle["interval_begin"]) == (1, "2023-11-14T22:10:00.000000Z")
        await kraken.say(socket, "subscribe", channel="ticker", symbol=["ETH/USDT"], event_trigger="bbo")
        first = (await kraken.next(socket, "ticker"))["data"][0]
        await kraken.admin.order("ETHUSDT", "BUY", price=str(first["bid"]), quantity="1")
        kraken.advance(10)
        answer = (await kraken.next(socket, "ticker"))["data"][0]
        assert (answer["bid"], answer["bid_qty"]) == (first["bid"], first["bid_qty"] + 1)


async def test_instruments_and_their_states(kraken: KrakenExchange) -> None:
    """instrument: all pairs, then the changed pairs; status follows when all pairs have the same state."""
    async with kraken.feed() as socket:
        await kraken.say(socket, "subscribe", channel="instrument")
        answer = (await kraken.next(socket, "instrument"))["data"]
        assert [asset["id"] for asset in answer["assets"]] == ["BTC", "USDT", "ETH"]
        pair = answer["pairs"][0]
        assert (pair["symbol"], pair["status"]) == ("BTC/USDT", "online")
        assert (pair["price_precision"], pair["qty_precision"]) == (2, 5)
        assert (pair["price_increment"], pair["qty_min"]) == (Decimal("0.01"), Decimal("0.00001"))
        await kraken.admin.status("BTCUSDT", "CANCEL_ONLY")
        kraken.advance(100)
        answer = await kraken.next(socket, "instrument")
        assert answer["type"] == "update"
        assert [(pair["symbol"], pair["status"]) for pair in answer["data"]["pairs"]] == [("BTC/USDT", "cancel_only")]
        for symbol in ("ETHUSDT", "ETHBTC"):
            await kraken.admin.status(symbol, "CANCEL_ONLY")
        kraken.advance(100)
        assert (await kraken.next(socket, "status"))["data"][0]["system"] == "cancel_only"
        await kraken.admin.delist("ETHBTC")
        answer = await kraken.next(socket, "instrument")
        assert answer["data"]["pairs"][0]["status"] == "delisted"


async def test_heartbeats_fill_silence_after_a_subscription(kraken: KrakenExchange) -> None:
    """heartbeat: once a second without other messages; without a subscription the connection just ends."""
    async with kraken.feed() as quiet, kraken.feed() as idle:
        await kraken.say(quiet, "subscribe", channel="trade", symbol=["BTC/USDT"])
        await kraken.next(quiet, method="subscribe")
        kraken.advance(3_000)
        assert await kraken.next(quiet) == {"channel": "heartbeat"}
        assert await kraken.next(quiet) == {"channel": "heartbeat"}
        await kraken.next(idle, "status")
        kraken.advance(60_000, 1_000)
        assert (await idle.receive(timeout=20)).type is aiohttp.WSMsgType.CLOSE
        kraken.advance(60_000, 1_000)
        assert await kraken.next(quiet) == {"channel": "heartbeat"}


async def test_connections_are_limited(kraken: KrakenExchange) -> None:
    """spot-ws-intro: about 150 attempts in ten minutes and IP, then ten minutes without any."""
    await kraken.admin.limits(protocol="kraken", connections=2)
    for _ in range(2):
        async with kraken.feed() as socket:
            await kraken.next(socket, "status")
    for _ in range(2):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await kraken.feed()
        assert caught.value.status == 429
        kraken.advance(599_000, 1_000)
    kraken.advance(2_000, 1_000)
    async with kraken.feed() as socket:
        await kraken.next(socket, "status")


async def test_malformed_requests_are_refused(kraken: KrakenExchange) -> None:
    async with kraken.feed() as socket:
        await kraken.next(socket, "status")
        for text in ("nonsense", "[]", '{"method": "ping", "req_id": "one"}', '{"method": "subscribe", "params": []}'):
            await socket.send_str(text)
            assert await kraken.next(socket) == {"error": "Malformed request", "success": False}
        await kraken.say(socket, "fly", 1)
        assert (await kraken.next(socket))["error"] == "Event(s) not found"


async def test_listeners_get_the_new_book_of_a_pair_that_is_listed_again(kraken: KrakenExchange) -> None:
    async with kraken.feed() as socket:
        await kraken.say(socket, "subscribe", channel="book", symbol=["BTC/USDT"], depth=25)
        assert (await kraken.next(socket, "book"))["type"] == "snapshot"
        await kraken.admin.delist("BTCUSDT")
        kraken.advance(500)
        await kraken.admin.list("BTCUSDT", start_price="1000")
        while (message := await kraken.next(socket, "book"))["type"] != "snapshot":
            pass
        assert 900 < message["data"][0]["bids"][0]["price"] < 1100
        await kraken.admin.order(symbol="BTCUSDT", side="SELL", quantity="1", type="MARKET")
        kraken.advance(500)
        assert (await kraken.next(socket, "book"))["type"] == "update"
