"""The facade over real segments and a fake mesh."""

import asyncio
import pickle
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pytest

from tests.fakes.link import FakeLink
from venuemesh import (
    AsyncMarket,
    BookState,
    Candle,
    Market,
    Misconfigured,
    NotOffered,
    NotSynced,
    OutcomeUnknown,
    RetryLater,
    Side,
    UnknownExchange,
    UnknownInstrument,
)
from venuemesh.model.events import PublicTrade
from venuemesh.model.instrument import Instrument
from venuemesh.model.plain import to_plain
from venuemesh.orderbook.segment import SegmentWriter

BTC = Instrument("acme", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 2, 5)
ETH = Instrument("acme", "ETH-USDT", "ETHUSDT", "ETH", "USDT", 2, 5)


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
def link(directory):
    return FakeLink([BTC, ETH], directory=directory)


@pytest.fixture
def market(link):
    return Market(link, "acme")


def publish(writer, state=BookState.LIVE, sequence=7):
    bids, asks = levels((10000, 200000), (9990, 100000)), levels((10010, 300000))
    writer.publish_levels(bids, asks, True, True, sequence, state, 1, 2)


def test_an_unknown_exchange_names_those_there_are():
    with pytest.raises(UnknownExchange, match="known: acme"):
        Market(FakeLink(), "nowhere")


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


def test_a_live_book_is_read_from_memory(link, market, writer):
    publish(writer)
    book = market.order_book("BTC-USDT")
    assert book.best_bid == (Decimal("100.00"), Decimal("2"))
    assert book.mid == Decimal("100.05")
    assert book.vwap(Side.BUY, "1") == Decimal("100.10")
    assert market.order_book("BTC-USDT") is book
    assert market.mid_price("BTC-USDT") == Decimal("100.05")
    assert link.asked == []


def test_the_network_is_stopped_and_started_by_exchange(link, market, writer):
    publish(writer)
    book = market.order_book("BTC-USDT")
    assert book.state is BookState.LIVE
    market.stop_network()
    writer.close()
    assert market.status_dict == {"BTC-USDT": "RETIRED", "ETH-USDT": "ABSENT"}
    assert not market.ready
    assert market.trading_pairs == ["BTC-USDT", "ETH-USDT"]
    market.start_network()
    asyncio.run(market.aio.stop_network())
    asyncio.run(market.aio.start_network())
    assert link.running == [("acme", False), ("acme", True)] * 2


def test_ready_is_all_books_live(market, writer, directory):
    assert not market.ready
    publish(writer)
    assert market.status_dict == {"BTC-USDT": "LIVE", "ETH-USDT": "ABSENT"}
    assert not market.ready
    other = SegmentWriter(directory, "book/acme/ETH-USDT", (1, 2), 2, 5, levels=10, heartbeat_limit_ns=60 * 10**9)
    publish(other, BookState.GAP)
    assert not market.ready
    publish(other)
    market.wait_ready(20)
    asyncio.run(market.aio.wait_ready(20))
    assert market.ready
    other.close()
    assert not market.ready


def test_nothing_tracked_is_not_ready():
    assert not Market(FakeLink(), "acme").ready


def test_wait_ready_names_what_is_missing(market, writer):
    publish(writer)
    with pytest.raises(RetryLater, match="ETH-USDT is ABSENT"):
        market.wait_ready(0.1)


def test_a_book_in_doubt_is_not_read(market, writer):
    publish(writer)
    writer.set_state(BookState.GAP, "update 8 is missing")
    with pytest.raises(NotSynced) as caught:
        market.order_book("BTC-USDT").best_bid  # noqa: B018
    assert caught.value.state == "GAP"


def test_a_pair_in_doubt_is_asked_of_the_exchange(link, market, writer):
    publish(writer, BookState.SYNCING)
    link.answers["mid_price"] = "99.5"
    assert market.mid_price("BTC-USDT") == Decimal("99.5")
    assert link.asked == [("catalog/acme", "mid_price", {"pair": "BTC-USDT"})]


async def test_the_asynchronous_form_says_the_same(link, market):
    link.answers["mid_price"] = None
    assert await market.aio.mid_price("BTC-USDT") is None
    link.answers["mid_price"] = RetryLater(2.0, "cooling down")
    with pytest.raises(RetryLater):
        await market.aio.mid_price("BTC-USDT")


async def test_trades_come_numbered(market, writer):
    publish(writer)
    trades = market.aio.trades("BTC-USDT")
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


def test_it_pickles():
    market = pickle.loads(pickle.dumps(Market(FakeLink([BTC]), "acme")))
    assert market.trading_pairs == ["BTC-USDT"]


def test_a_pair_that_is_no_longer_tracked_is_an_error_again(link, market, writer):
    publish(writer)
    assert market.order_book("BTC-USDT").is_live
    del link.held["BTC-USDT"]
    with pytest.raises(UnknownInstrument):
        market.order_book("BTC-USDT")


def test_changed_rules_give_a_view_that_reads_by_them(link, market):
    before = market.order_book("BTC-USDT")
    link.held["BTC-USDT"] = replace(BTC, price_scale=4)
    assert market.order_book("BTC-USDT").instrument.price_scale == 4
    assert market.order_book("BTC-USDT") is not before


@pytest.mark.parametrize("limit", [-1, 0, 1.5, "5", True, 10**30])
def test_a_limit_must_be_a_count(link, market, limit):
    with pytest.raises(ValueError, match="limit is"):
        market.get_snapshot("BTC-USDT", limit=limit)
    assert link.asked == []


def test_a_book_that_does_not_answer_leaves_half_of_the_time_to_the_exchange(link, market, writer, monkeypatch):
    publish(writer)
    timeouts_s = {}

    def submit(address, kind, body, timeout_s):
        timeouts_s[kind] = timeout_s
        raise RetryLater(0.1, "silent")

    monkeypatch.setattr(link, "submit", submit)
    with pytest.raises(RetryLater):
        market.get_snapshot("BTC-USDT", timeout_s=600.0)
    assert timeouts_s["snapshot"] == 300.0
    assert 300.0 < timeouts_s["get_snapshot"] <= 600.0


def test_a_query_without_an_answer_is_repeated(link, market):
    link.answers["check_network"] = OutcomeUnknown("check_network", "no answer")
    with pytest.raises(RetryLater):
        market.check_network()


@pytest.mark.parametrize("kind", [Market, AsyncMarket])
def test_both_forms_pickle_as_themselves(kind):
    market = pickle.loads(pickle.dumps(kind(FakeLink([BTC]), "acme")))
    assert type(market) is kind
    assert market.trading_pairs == ["BTC-USDT"]


def test_the_asynchronous_form_reads_the_same_book(market, writer):
    publish(writer)
    assert market.aio is market.aio
    assert market.aio.order_book("BTC-USDT").best_bid == market.order_book("BTC-USDT").best_bid
    assert market.aio.trading_pairs == market.trading_pairs


def public_names(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def test_both_forms_have_the_same_names():
    assert public_names(Market) == public_names(AsyncMarket) | {"aio"}


async def test_the_blocking_form_refuses_to_stop_an_event_loop(link, market, writer):
    link.answers |= {"check_network": None, "mid_price": "99.5"}
    publish(writer)
    for call in (
        market.check_network,
        market.stop_network,
        market.wait_ready,
        lambda: market.mid_price("BTC-USDT"),
        lambda: next(market.trades("BTC-USDT")),
        lambda: next(market.every(1.0)),
        lambda: next(market.order_book("BTC-USDT").changes()),
        market.order_book("BTC-USDT").wait_live,
    ):
        with pytest.raises(Misconfigured, match=r"market\.aio"):
            call()
    assert link.asked == link.handed == link.running == []  # refused before anything was sent
    assert market.order_book("BTC-USDT").is_live  # reading is not blocking
    await asyncio.to_thread(market.check_network)  # a thread without a loop may block


async def test_a_cell_of_ipython_may_block(link, market, monkeypatch):
    shell = SimpleNamespace(get_ipython=lambda: object())
    monkeypatch.setitem(sys.modules, "IPython", shell)
    link.answers["check_network"] = None
    market.check_network()
    shell.get_ipython = lambda: None  # imported, and no shell: IPython as a library
    with pytest.raises(Misconfigured):
        market.check_network()


def test_trades_and_ticks_are_iterated_over_without_a_loop(market, writer):
    publish(writer)
    trades = market.trades("BTC-USDT", after=0)
    for trade_id in (70, 71):
        writer.trade(PublicTrade("BTCUSDT", trade_id, 10005, 1000, Side.BUY, 1, 2))
    assert [next(trades).trade_id, next(trades).trade_id] == [70, 71]
    ticks = market.every(0.001)
    assert next(ticks) == 0
    assert next(ticks) >= 1


def test_candles_are_read_exactly_from_what_the_catalog_answers(market, link):
    held = Candle(10**18, 10**18 + 60 * 10**9, *map(Decimal, ("1.50", "2", "1", "1.7", "0.10")), None, 3, False)
    link.answers["candles"] = [[to_plain(held)]] * 3
    assert market.candles("BTC-USDT", "1m") == [held]
    assert str(market.candles("BTC-USDT", "1m")[0].open) == "1.50"
    start = datetime(2026, 11, 27, 12, 0, 0, 1, tzinfo=UTC)
    market.candles("BTC-USDT", "1h", start=start, end=1_795_780_801_000_000_000, limit=7)
    body = link.asked[-1][2]
    assert body == {
        "pair": "BTC-USDT",
        "interval": "1h",
        "start_ns": 1_795_780_800_000_001_000,
        "end_ns": 1_795_780_801_000_000_000,
        "limit": 7,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": datetime(2026, 11, 27)},  # noqa: DTZ001: a time without a zone is the point
        {"start": 2, "end": 2},
        {"start": 1.5},
        {"end": -1},
        {"start": True},
        {"limit": 0},
        {"limit": "5"},
    ],
)
def test_candles_refuse_a_wrong_window_before_they_ask(market, link, wrong):
    link.answers["candles"] = []
    with pytest.raises(ValueError, match=r"start|end|limit"):
        market.candles("BTC-USDT", "1m", **wrong)
    assert link.asked == []


def test_candles_that_are_not_offered_are_a_typed_error(market, link):
    link.answers["candles"] = NotOffered("acme", "candles of the interval '7m'; its intervals are 1m, 1h")
    with pytest.raises(NotOffered, match="its intervals are 1m, 1h"):
        market.candles("BTC-USDT", "7m")
