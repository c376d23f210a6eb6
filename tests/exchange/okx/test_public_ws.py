"""OKX's public websocket, in the shapes of the manual."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.exchange.okx.conftest import OkxExchange

BOOKS = "books:BTC-USDT"


class Book:
    """A listener's book, kept by the rules of the order book channel."""

    def __init__(self, data: Any) -> None:
        assert (data["prevSeqId"], data["checksum"]) == (-1, 0)
        self.number = data["seqId"]
        self.sides: dict[str, dict[Decimal, Decimal]] = {"bids": {}, "asks": {}}
        self._set(data)

    def _set(self, data: Any) -> None:
        for name, side in self.sides.items():
            for price, size, zero, orders in data[name]:
                assert (zero, orders == "0") == ("0", size == "0")
                side[Decimal(price)] = Decimal(size)
            self.sides[name] = {price: size for price, size in side.items() if size}

    def take(self, data: Any) -> bool:
        """Apply a message; return whether it follows the previous message."""
        follows = bool(data["prevSeqId"] == self.number)
        self.number = data["seqId"]
        self._set(data)
        return follows

    def best(self, name: str) -> list[list[Decimal]]:
        return [[price, size] for price, size in sorted(self.sides[name].items(), reverse=name == "bids")]


async def sent(okx: OkxExchange, socket: Any, ms: float = 300) -> list[tuple[str, Any]]:
    """Let time pass; return all messages of the book."""
    market = okx.desk.market("BTC-USDT")
    okx.advance(ms)
    okx.desk.streams.flush(market)
    messages = [await okx.book(socket)]
    while messages[-1][1]["seqId"] != okx.desk.streams.number(market):
        messages.append(await okx.book(socket))
    return messages


async def agrees(okx: OkxExchange, book: Book) -> bool:
    truth = await okx.admin.book("BTCUSDT")
    return all(
        book.best(name) == [[Decimal(price), Decimal(size)] for price, size in truth[name][:400]]
        for name in ("bids", "asks")
    )


async def test_each_channel_is_acknowledged_then_comes_the_whole_book(okx: OkxExchange) -> None:
    """overview/websocket/subscribe.md; the order book channel's examples."""
    async with okx.feed() as socket:
        first, second = await okx.subscribe(socket, "trades:BTC-USDT", BOOKS)
        assert first == {
            "id": "1512",
            "event": "subscribe",
            "arg": {"channel": "trades", "instId": "BTC-USDT"},
            "connId": first["connId"],
        }
        assert second["arg"] == {"channel": "books", "instId": "BTC-USDT"}
        action, data = await okx.book(socket)
        book = Book(data)
        assert action == "snapshot"
        assert len(data["bids"]) == len(data["asks"]) == 400
        assert await agrees(okx, book)


async def test_changes_follow_each_other_in_a_chain(okx: OkxExchange) -> None:
    """Sequence ID: prevSeqId of a message is seqId of the previous message; every 100 ms."""
    async with okx.feed() as socket:
        await okx.subscribe(socket, BOOKS)
        book = Book((await okx.book(socket))[1])
        await okx.admin.resume()
        messages = await sent(okx, socket, 2000)
        assert 10 <= len(messages) <= 21
        for action, data in messages:
            assert action == "update"
            assert book.take(data)
            assert data["seqId"] > data["prevSeqId"]
        assert await agrees(okx, book)


async def test_traps_of_the_chain_are_played(okx: OkxExchange) -> None:
    """Sequence ID, exceptions: equal ids, a reset; and a whole book at any time."""
    async with okx.feed() as socket:
        await okx.subscribe(socket, BOOKS)
        book = Book((await okx.book(socket))[1])
        await okx.admin.resume()
        for kind in ("no_change", "reset", "snapshot"):
            await okx.admin.fault(kind=kind, protocol="okx", symbol="BTCUSDT", count=1)
            (action, data), *others = await sent(okx, socket)
            assert action == ("snapshot" if kind == "snapshot" else "update")
            if kind == "snapshot":
                book = Book(data)
            else:
                assert book.take(data)
            if kind == "no_change":
                assert (data["seqId"], data["bids"], data["asks"]) == (data["prevSeqId"], [], [])
            elif kind == "reset":
                assert data["seqId"] < data["prevSeqId"]
            assert all(action == "update" and book.take(data) for action, data in others)
            assert await agrees(okx, book)
        assert book.number < 10_000
        await okx.admin.fault(kind="skip", protocol="okx", symbol="BTCUSDT", count=1)
        assert not book.take((await sent(okx, socket, 600))[0][1])


async def test_a_quiet_book_sends_a_sign_of_life(okx: OkxExchange) -> None:
    """Sequence ID, exception 1: after a minute without a change."""
    async with okx.feed() as socket:
        await okx.subscribe(socket, BOOKS)
        book = Book((await okx.book(socket))[1])
        for _ in range(3):
            okx.advance(20_000)
            await socket.send_str("ping")
            assert (await socket.receive(timeout=20)).data == "pong"
        okx.advance(200)
        action, data = await okx.book(socket)
        assert (action, data["prevSeqId"], data["seqId"]) == ("update", book.number, book.number)
        assert data["bids"] == data["asks"] == []


async def test_trades_and_tickers_say_what_the_engine_did(okx: OkxExchange) -> None:
    """One message for each taker order and price, with the id of the last fill and their count."""
    async with okx.feed() as socket:
        await okx.subscribe(socket, "trades:BTC-USDT", "tickers:BTC-USDT")
        first = (await okx.next(socket, "tickers"))["data"][0]
        assert (first["instType"], first["instId"]) == ("SPOT", "BTC-USDT")
        await okx.admin.resume()
        okx.advance(3000)
        truth = {trade["id"]: trade for trade in (await okx.admin.trades("BTCUSDT"))["trades"]}
        fills = 0
        while fills < len(truth):
            (row,) = (await okx.next(socket, "trades"))["data"]
            made = [truth[int(row["tradeId"]) - n] for n in range(int(row["count"]))]
            fills += len(made)
            assert {Decimal(trade["price"]) for trade in made} == {Decimal(row["px"])}
            assert sum(Decimal(trade["size"]) for trade in made) == Decimal(row["sz"])
        assert fills > 3


async def test_pings_logins_and_mistakes_are_answered(okx: OkxExchange) -> None:
    """connect.md ("ping"), error/code/websocket.md."""
    async with okx.feed() as socket:
        for sent, code in (
            ('{"op":"login","args":[{"apiKey":"k"}]}', "60028"),
            ('{"op":"order","args":[{}]}', "60019"),
            ('{"id":"7","op":"subscribe","args":[]}', "60013"),
            ("no json", "60012"),
            ('{"op":"subscribe","args":[{"channel":"books","instId":"BTC-ABC"}]}', "60018"),
            ('{"op":"subscribe","args":[{"channel":"nothing","instId":"BTC-USDT"}]}', "60018"),
        ):
            await socket.send_str(sent)
            received = await okx.next(socket, event=True)
            assert (received["event"], received["code"]) == ("error", code)
            assert received.get("id") == ("7" if '"id"' in sent else None)
        (received,) = await okx.subscribe(socket, BOOKS, op="unsubscribe")
        assert received["event"] == "unsubscribe"


async def test_one_refused_channel_leaves_the_others(okx: OkxExchange) -> None:
    async with okx.feed() as socket:
        answers = await okx.subscribe(socket, "books:NO-PAIR", BOOKS)
        assert [answer["event"] for answer in answers] == ["error", "subscribe"]
        assert "channel:books,instId:NO-PAIR doesn't exist" in answers[0]["msg"]
        assert (await okx.book(socket))[0] == "snapshot"


async def test_a_connection_without_data_ends(okx: OkxExchange) -> None:
    """connect.md and Close Frame 4004; and three connections a second."""
    async with okx.feed() as socket:
        okx.advance(31_000, step_ms=1000)
        message = await socket.receive(timeout=20)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4004)
    for _ in range(3):
        async with okx.feed():
            pass
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await okx.feed()
    assert refused.value.status == 429


async def test_subscriptions_are_limited_by_the_hour(okx: OkxExchange) -> None:
    okx.desk.limits.subscriptions = 2
    async with okx.feed() as socket:
        answers = [(await okx.subscribe(socket, BOOKS))[0] for _ in range(3)]
        assert [answer.get("code") for answer in answers] == [None, None, "60014"]


async def test_states_and_the_end_are_reported(okx: OkxExchange) -> None:
    """public/data/websocket-instruments-channel.md; overview/websocket/notification.md."""
    async with okx.feed() as socket:
        await socket.send_str(json.dumps({"op": "subscribe", "args": [{"channel": "instruments", "instType": "SPOT"}]}))
        await okx.next(socket, event=True)
        await okx.admin.status("ETHBTC", "HALT")
        okx.advance(100)
        (row,) = (await okx.next(socket, "instruments"))["data"]
        assert (row["instId"], row["state"]) == ("ETH-BTC", "suspend")
        okx.venue.announce_shutdown()
        received = await okx.next(socket, event=True)
        assert (received["event"], received["code"]) == ("notice", "64008")


async def test_candles_are_updated_and_completed_on_the_business_socket(okx: OkxExchange) -> None:
    """trading-market-data-ws-candlesticks-channel.md; the end of a candle is sent once, as REST has it."""
    async with okx.feed("business") as socket:
        assert (await okx.subscribe(socket, "candle1m:BTC-USDT"))[0]["event"] == "subscribe"
        await okx.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.001")
        okx.advance(1_000)
        message = await okx.next(socket, "candle1m")
        assert message["arg"] == {"channel": "candle1m", "instId": "BTC-USDT"}
        (row,) = message["data"]
        assert (row[5], row[8]) == ("0.001", "0")
        await okx.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.002")
        okx.advance(1_000)
        (again,) = (await okx.next(socket, "candle1m"))["data"]
        assert (again[0], again[5], again[8]) == (row[0], "0.003", "0")
        ended = []
        while len(ended) < 2:
            okx.advance(20_000)
            await socket.send_str("ping")
            while (message := await socket.receive(timeout=20)).data != "pong":
                ended += [row for row in json.loads(message.data)["data"] if row[8] == "1"]
        assert ended[0][:6] == again[:6]
        assert int(ended[1][0]) == int(ended[0][0]) + 60_000
        answer = await okx.public("market/candles", instId="BTC-USDT", bar="1m")
        assert ended == list(reversed([row for row in answer if row[8] == "1"]))[-2:]


async def test_candles_are_on_no_other_socket(okx: OkxExchange) -> None:
    """error/code/websocket.md, 60018."""
    async with okx.feed() as public, okx.feed("business") as business:
        for socket, channel in ((public, "candle1m"), (business, "trades"), (business, "candle7m")):
            assert [answer["code"] for answer in await okx.subscribe(socket, f"{channel}:BTC-USDT")] == ["60018"]


@pytest.mark.parametrize(("kind", "count"), [("drop", 0), ("duplicate", 2)])
async def test_faults_apply_to_candles(okx: OkxExchange, kind: str, count: int) -> None:
    async with okx.feed("business") as socket:
        await okx.subscribe(socket, "candle1m:BTC-USDT")
        await okx.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.001")
        await okx.admin.fault(kind=kind, stream="candle1m:BTC-USDT", count=1)
        okx.advance(1_000)
        await okx.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.001")
        okx.advance(1_000)
        volumes = [(await okx.next(socket, "candle1m"))["data"][0][5] for _ in range(count + 1)]
        assert volumes == ["0.001"] * count + ["0.002"]
