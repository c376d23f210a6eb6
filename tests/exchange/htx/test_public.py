"""HTX's public side, REST and websockets, in the forms of the manual, with its traps."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import aiohttp
import orjson
import pytest

from tests.exchange.htx.conftest import HtxExchange
from venuemesh.exchange.htx.pairs import double

TOPIC = "market.btcusdt.mbp.150"


class Book:
    """A listener's book, kept by the rules of mbp.$levels."""

    def __init__(self, data: Any) -> None:
        self.number = data["seqNum"]
        self.sides = {name: {str(price): size for price, size in data[name]} for name in ("bids", "asks")}

    def take(self, tick: Any) -> None:
        assert tick["prevSeqNum"] == self.number
        self.number = tick["seqNum"]
        for name, side in self.sides.items():
            for price, size in tick.get(name, ()):
                if size:
                    side[str(price)] = size
                else:
                    del side[str(price)]  # only levels that the listener has are removed

    def levels(self, name: str) -> list[list[float]]:
        rows = [[float(price), size] for price, size in self.sides[name].items()]
        return sorted(rows, reverse=name == "bids")


@pytest.mark.parametrize(
    ("number", "written"),
    [
        ("0", "0.0"), ("1", "1.0"), ("0.001", "0.001"), ("0.000158", "1.58E-4"), ("0.00001", "1.0E-5"),
        ("9999999.5", "9999999.5"), ("10000000", "1.0E7"), ("25164487.28473207", "2.516448728473207E7"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_the_recording_has_them(number: str, written: str) -> None:
    raw = int(Decimal(number) * 10**8)
    assert orjson.dumps(double(raw)).decode() == written


async def test_the_symbols_and_the_time(htx: HtxExchange) -> None:
    listed = await htx.query("/v1/settings/common/market-symbols")
    assert (listed["status"], listed["full"]) == ("ok", 1)
    (btc,) = [row for row in listed["data"] if row["symbol"] == "btcusdt"]
    assert (btc["bc"], btc["qc"], btc["pp"], btc["state"], btc["at"]) == ("btc", "usdt", 2, "online", "enabled")
    assert await htx.query("/v1/common/timestamp") == {"status": "ok", "data": htx.clock.now_ns() // 10**6}
    assert (await htx.query("/v2/market-status"))["data"] == {"marketStatus": 1}


async def test_books_tickers_trades_and_candles(htx: HtxExchange) -> None:
    await htx.admin.resume()
    htx.advance(2_000)
    await htx.admin.pause()
    book = await htx.query("/market/depth", symbol="btcusdt", type="step0", depth="5")
    assert [len(book["tick"][side]) for side in ("bids", "asks")] == [5, 5]
    assert (book["ch"], book["tick"]["version"]) == ("market.btcusdt.depth.step0", htx.market.update_id)
    row = next(one for one in (await htx.query("/market/tickers"))["data"] if one["symbol"] == "btcusdt")
    assert (row["bid"], row["bidSize"]) == tuple(book["tick"]["bids"][0])
    trades = (await htx.query("/market/history/trade", symbol="btcusdt", size="3"))["data"]
    assert [one["data"][0]["trade-id"] for one in trades] == [made.id for made in list(htx.market.trades)[:-4:-1]]
    candles = (await htx.query("/market/history/kline", symbol="btcusdt", period="1min", size="2"))["data"]
    assert candles[0]["close"] == row["close"]


@pytest.mark.parametrize(
    ("path", "sent", "text"),
    [
        ("/market/depth", {"symbol": "nope", "type": "step0"}, "invalid symbol"),
        ("/market/depth", {"symbol": "btcusdt"}, "invalid type"),
        ("/market/depth", {"symbol": "btcusdt", "type": "step0", "depth": "7"}, "invalid depth"),
        ("/market/history/kline", {"symbol": "btcusdt", "period": "2min"}, "invalid period"),
        ("/market/history/kline", {"symbol": "btcusdt", "period": "1min", "size": "2001"}, "invalid size"),
    ],
)
async def test_public_refusals(htx: HtxExchange, path: str, sent: dict[str, str], text: str) -> None:
    answer = await htx.query(path, **sent)
    assert (answer["status"], answer["err-code"], answer["err-msg"]) == ("error", "invalid-parameter", text)


async def test_a_get_with_a_body_is_refused(htx: HtxExchange) -> None:
    async with htx.session.get(htx.htx["rest"] + "/v1/common/timestamp", data=b"{}") as response:
        assert response.status == 403


# ------------------------------------------------------------------------------------------------------ websockets


async def test_messages_are_binary_gzip(htx: HtxExchange) -> None:
    async with htx.topics_socket() as socket:
        await socket.send_str('{"sub":"market.btcusdt.kline.1min","id":"id1"}')
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.BINARY
        assert message.data[:2] == b"\x1f\x8b"


async def test_a_list_is_acknowledged_topic_by_topic(htx: HtxExchange) -> None:
    async with htx.feed() as socket:
        names = ["market.btcusdt.mbp.5", "market.ethusdt.mbp.5"]
        first = await htx.say(socket, sub=names, id="id1")
        assert (first["id"], first["status"], first["subbed"]) == ("id1", "ok", names[0])
        assert (await htx.hear(socket))["subbed"] == names[1]
        assert (await htx.say(socket, unsub=names[0], id=2))["unsubbed"] == names[0]
        assert list(htx.desk.streams.topics.by_name) == names[1:]


@pytest.mark.parametrize(
    ("path", "message", "text"),
    [
        ("/ws", {"sub": TOPIC}, f"invalid topic {TOPIC}"),
        ("/ws", {"req": TOPIC}, f"invalid topic {TOPIC}"),
        ("/feed", {"sub": "market.btcusdt.trade.detail"}, "invalid topic market.btcusdt.trade.detail"),
        ("/feed", {"sub": "market.nope.mbp.5"}, "invalid symbol nope"),
        ("/feed", {"sub": "market.btcusdt.mbp.7"}, "invalid topic market.btcusdt.mbp.7"),
        ("/feed", {"req": "market.btcusdt.mbp.400"}, "invalid topic market.btcusdt.mbp.400"),
        ("/feed", {"unsub": TOPIC}, f"unsub with not subbed topic {TOPIC}"),
        ("/feed", {"what": TOPIC}, "not json string"),
    ],
)
async def test_each_socket_has_its_topics(htx: HtxExchange, path: str, message: dict[str, str], text: str) -> None:
    async with htx.session.ws_connect(htx.htx["ws"] + path) as socket:
        answer = await htx.say(socket, **message, id="7")
        assert (answer["status"], answer["id"], answer["err-code"], answer["err-msg"]) == (
            "error", "7", "bad-request", text
        )  # fmt: skip


@pytest.mark.parametrize("levels", [5, 150])
async def test_a_book_follows_the_market(htx: HtxExchange, levels: int) -> None:
    """Changes chain from the requested book; levels that leave the window are removed."""
    topic = f"market.btcusdt.mbp.{levels}"
    async with htx.feed() as socket:
        await htx.say(socket, sub=topic, id="1")
        asked = await htx.say(socket, req=topic, id="2")
        assert (asked["id"], asked["rep"], asked["status"]) == ("2", topic, "ok")
        book = Book(asked["data"])
        await htx.admin.resume()
        htx.advance(2_000)
        await htx.admin.pause()
        htx.advance(200)
        channel = htx.desk.streams.topics.by_name[topic]
        messages = 0
        while book.number < channel.number:
            tick = (await htx.hear(socket))["tick"]
            assert (levels == 150) <= ("bids" in tick and "asks" in tick)
            book.take(tick)
            messages += 1
        again = (await htx.say(socket, req=topic, id="3"))["data"]
        assert book.levels("bids") == again["bids"]
        assert book.levels("asks") == again["asks"]
        assert again["seqNum"] == book.number
        assert len(again["bids"]) <= levels
        assert 20 <= messages <= 24 if levels == 150 else messages > 5


async def test_pulls_are_limited(htx: HtxExchange) -> None:
    async with htx.feed() as socket:
        assert (await htx.say(socket, req=TOPIC, id="1"))["status"] == "ok"
        assert (await htx.say(socket, req=TOPIC, id="2"))["err-msg"] == "429 too many request"
        htx.advance(101)
        assert (await htx.say(socket, req=TOPIC, id="3"))["status"] == "ok"


async def test_a_skipped_number_breaks_the_chain(htx: HtxExchange) -> None:
    async with htx.feed() as socket:
        await htx.say(socket, sub=TOPIC, id="1")
        await htx.admin.fault(kind="skip", protocol="htx", symbol="BTCUSDT", ids=3, count=1)
        htx.advance(200)
        first, second = (await htx.hear(socket))["tick"], (await htx.hear(socket))["tick"]
        assert first["seqNum"] == first["prevSeqNum"] + 1
        assert second["prevSeqNum"] == first["seqNum"]
        number = htx.desk.streams.topics.by_name[TOPIC].number
        assert first["prevSeqNum"] - 3 == number - 2 - 3


async def test_whole_books_come_each_second_and_trades_at_once(htx: HtxExchange) -> None:
    async with htx.topics_socket() as socket:
        await htx.say(socket, sub="market.btcusdt.depth.step0", id="1")
        first = await htx.hear_of(socket, "market.btcusdt.depth.step0")
        assert first["tick"]["version"] == htx.market.update_id
        await htx.say(socket, sub="market.btcusdt.trade.detail", id="2")
        await htx.admin.resume()
        htx.advance(1_000)
        await htx.admin.pause()
        numbers: list[int] = []
        while len(numbers) < 3:
            tick = (await htx.hear_of(socket, "market.btcusdt.trade.detail"))["tick"]
            found = [row["tradeId"] for row in tick["data"]]
            assert found == sorted(found, reverse=True)  # the newest comes first
            numbers += found[::-1]
        assert numbers == sorted(set(numbers))


async def test_two_unanswered_pings_end_a_connection(htx: HtxExchange) -> None:
    async with htx.topics_socket() as answering, htx.topics_socket() as silent:
        for _ in range(3):
            htx.advance(5_100, 100)
            ping = await htx.hear(answering)
            await answering.send_str(f'{{"pong":{ping["ping"]}}}')
            await htx.eventually(
                lambda: not any(one._waiting for one in clients(htx) if not one.ended and one.number == 1)
            )
        kinds = [(await silent.receive()).type for _ in range(3)]
        assert kinds == [aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.CLOSE]
        assert not answering.closed


def clients(htx: HtxExchange) -> list[Any]:
    return list(htx.venue.floor.connections.open.values())
