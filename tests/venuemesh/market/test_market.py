"""The facade over real segments and a fake mesh."""

import asyncio
import pickle
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from venuemesh import BookState, Market, NotSynced, OutcomeUnknown, RetryLater, Side, UnknownExchange, UnknownInstrument
from venuemesh.model.events import PublicTrade
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.segment import SegmentWriter
from venuemesh.orderbook.view import BookView

BTC = Instrument("acme", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 2, 5)
ETH = Instrument("acme", "ETH-USDT", "ETHUSDT", "ETH", "USDT", 2, 5)


class FakeLink:
    """A mesh with one exchange; `answers` is what its catalog says, by kind."""

    mesh = "fake"

    def __init__(self, directory, instruments):
        self.directory = directory
        self.held = {instrument.name: instrument for instrument in instruments}
        self.answers = {}
        self.asked = []
        self.running = []

    def exchanges(self):
        return ["acme"]

    def accounts(self, exchange):
        return []

    def tracked(self, exchange):
        return dict(self.held)

    def view(self, address, instrument):
        return BookView(self.directory, instrument, address)

    def call(self, address, kind, body, timeout_s):
        self.asked.append((address, kind, body))
        answer = self.answers[kind]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def call_async(self, address, kind, body, timeout_s):
        return self.call(address, kind, body, timeout_s)

    def network(self, exchange, running, timeout_s):
        self.running.append((exchange, running))

    async def network_async(self, exchange, running, timeout_s):
        self.network(exchange, running, timeout_s)


def levels(*rows):
    return np.array(rows, np.int64).reshape(-1, 2)


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "segments"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def writer(directory):
    made = SegmentWriter(directory, "book/acme/BTC-USDT", (1, 1), 2, 5, levels=10, heartbeat_limit_ns=60 * 10**9)
    yield made
    made.close()


@pytest.fixture
def market(directory):
    return Market(FakeLink(directory, [BTC, ETH]), "acme")


def publish(writer, state=BookState.LIVE, sequence=7):
    bids, asks = levels((10000, 200000), (9990, 100000)), levels((10010, 300000))
    writer.publish_levels(bids, asks, True, True, sequence, state, 1, 2)


def test_an_unknown_exchange_names_those_there_are(directory):
    with pytest.raises(UnknownExchange, match="known: acme"):
        Market(FakeLink(directory, []), "nowhere")


def test_an_untracked_pair_is_an_error_and_a_missing_key(market):
    with pytest.raises(UnknownInstrument, match="does not track it"):
        market.order_book("XRP-USDT")
    assert "XRP-USDT" not in market.order_books
    with pytest.raises(KeyError):
        market.order_books["XRP-USDT"]


def test_what_is_tracked(market):
    assert market.trading_pairs == ["BTC-USDT", "ETH-USDT"]
    assert list(market.order_books) == market.trading_pairs
    assert market.instrument("BTC-USDT") is BTC


def test_a_live_book_is_read_from_memory(market, writer):
    publish(writer)
    book = market.order_book("BTC-USDT")
    assert book.best_bid == (Decimal("100.00"), Decimal("2"))
    assert book.mid == Decimal("100.05")
    assert book.vwap(Side.BUY, "1") == Decimal("100.10")
    assert market.order_book("BTC-USDT") is book
    assert market.mid_price("BTC-USDT") == Decimal("100.05")
    assert market._link.asked == []


def test_the_network_is_stopped_and_started_by_exchange(market, writer):
    publish(writer)
    book = market.order_book("BTC-USDT")
    assert book.state is BookState.LIVE
    market.stop_network()
    writer.close()
    assert market.status_dict == {"BTC-USDT": "RETIRED", "ETH-USDT": "ABSENT"}
    assert not market.ready
    assert market.trading_pairs == ["BTC-USDT", "ETH-USDT"]
    market.start_network()
    asyncio.run(market.stop_network_async())
    asyncio.run(market.start_network_async())
    assert market._link.running == [("acme", False), ("acme", True)] * 2


def test_ready_is_all_books_live(market, writer, directory):
    assert not market.ready
    publish(writer)
    assert market.status_dict == {"BTC-USDT": "LIVE", "ETH-USDT": "ABSENT"}
    assert not market.ready
    other = SegmentWriter(directory, "book/acme/ETH-USDT", (1, 2), 2, 5, levels=10, heartbeat_limit_ns=60 * 10**9)
    publish(other, BookState.GAP)
    assert not market.ready
    publish(other)
    asyncio.run(market.wait_ready(20))
    assert market.ready
    other.close()
    assert not market.ready


def test_nothing_tracked_is_not_ready(directory):
    assert not Market(FakeLink(directory, []), "acme").ready


def test_wait_ready_names_what_is_missing(market, writer):
    publish(writer)
    with pytest.raises(RetryLater, match="ETH-USDT is ABSENT"):
        asyncio.run(market.wait_ready(0.1))


def test_a_book_in_doubt_is_not_read(market, writer):
    publish(writer)
    writer.set_state(BookState.GAP, "update 8 is missing")
    with pytest.raises(NotSynced) as caught:
        market.order_book("BTC-USDT").best_bid  # noqa: B018
    assert caught.value.state == "GAP"


def test_a_pair_in_doubt_is_asked_of_the_exchange(market, writer):
    publish(writer, BookState.SYNCING)
    market._link.answers["mid_price"] = "99.5"
    assert market.mid_price("BTC-USDT") == Decimal("99.5")
    assert market._link.asked == [("catalog/acme", "mid_price", {"pair": "BTC-USDT"})]


async def test_the_asynchronous_forms_say_the_same(market):
    market._link.answers["mid_price"] = None
    assert await market.mid_price_async("BTC-USDT") is None
    market._link.answers["mid_price"] = RetryLater(2.0, "cooling down")
    with pytest.raises(RetryLater):
        await market.mid_price_async("BTC-USDT")


async def test_trades_come_numbered(market, writer):
    publish(writer)
    trades = market.trades("BTC-USDT")
    first = asyncio.create_task(anext(trades))
    numbers = []
    for trade_id in (70, 71):
        await asyncio.sleep(0)
        writer.trade(PublicTrade("BTCUSDT", trade_id, 10005, 1000, Side.BUY, 1, 2))
    numbers.append((await asyncio.wait_for(first, 10)).trade_id)
    if numbers[0] == 70:
        numbers.append((await asyncio.wait_for(anext(trades), 10)).trade_id)
    assert numbers[-1] == 71
    await trades.aclose()


def test_it_pickles(directory):
    market = pickle.loads(pickle.dumps(Market(FakeLink(directory, [BTC]), "acme")))
    assert market.trading_pairs == ["BTC-USDT"]


def test_a_pair_that_is_tracked_no_more_is_an_error_again(market, writer):
    publish(writer)
    assert market.order_book("BTC-USDT").is_live
    del market._link.held["BTC-USDT"]
    with pytest.raises(UnknownInstrument):
        market.order_book("BTC-USDT")


def test_changed_rules_give_a_view_that_reads_by_them(market):
    before = market.order_book("BTC-USDT")
    market._link.held["BTC-USDT"] = replace(BTC, price_scale=4)
    assert market.order_book("BTC-USDT").instrument.price_scale == 4
    assert market.order_book("BTC-USDT") is not before


@pytest.mark.parametrize("limit", [-1, 0, 1.5, "5", True, 10**30])
def test_a_limit_must_be_a_count(market, limit):
    with pytest.raises(ValueError, match="limit is"):
        market.get_snapshot("BTC-USDT", limit=limit)
    assert market._link.asked == []


def test_a_question_without_an_answer_is_asked_again(market):
    market._link.answers["check_network"] = OutcomeUnknown("check_network", "no answer")
    with pytest.raises(RetryLater):
        market.check_network()
