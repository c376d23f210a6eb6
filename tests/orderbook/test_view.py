"""A strategy's view of a book: values, doubt, successors, iteration."""

import asyncio
import pickle
import threading
import time
from decimal import Decimal

import numpy as np
import pytest

from tests.fakes.writing import PRICE_SCALE, SIZE_SCALE, WritingProcess, book_of, trade_of
from venuemesh.model.errors import BeyondDepth, NotSynced, SegmentMismatch
from venuemesh.model.events import BookState, PublicTrade, Side
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.segment import SegmentWriter
from venuemesh.orderbook.segment.directory import mark_retired
from venuemesh.orderbook.view import AsyncBookView, BookView, reading

ADDRESS = "book/binance/BTC-USDT"
INSTRUMENT = Instrument("binance", "BTC-USDT", "BTCUSDT", "BTC", "USDT", PRICE_SCALE, SIZE_SCALE)
LIMIT_NS = 250_000_000


@pytest.fixture
def directory(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def write(directory):
    writers = []

    def make(counter=1, limit_ns=60_000_000_000, price_scale=PRICE_SCALE, trades=8):
        writers.append(
            SegmentWriter(
                directory, ADDRESS, (1, counter), price_scale, SIZE_SCALE, trades=trades, heartbeat_limit_ns=limit_ns
            )
        )
        return writers[-1]

    yield make
    for writer in writers:
        writer.close()


@pytest.fixture
def view(directory):
    return BookView(directory, INSTRUMENT, ADDRESS)


@pytest.fixture
def aview(directory):
    return AsyncBookView(directory, INSTRUMENT, ADDRESS)


def publish(writer, sequence=20, state=BookState.LIVE, whole=True):
    writer.publish_levels(*book_of(sequence), whole, whole, sequence, state, 3, 4)


async def next_of(iterator, within_s=10.0):
    return await asyncio.wait_for(anext(iterator), within_s)


def test_the_values(write, view):
    writer = write()
    publish(writer)
    bids, asks = book_of(20)
    assert view.state is BookState.LIVE
    assert view.is_live
    assert 0 <= view.age_s < 60
    assert (view.sequence, view.version, view.incarnation) == (20, 1, (1, 1))
    assert view.best_bid.price == Decimal("10020.00")
    assert view.best_ask.price == Decimal("10020.01")
    assert view.mid == Decimal("10020.005")
    assert view.spread == Decimal("0.01")
    assert view.sequenced
    assert view.exact
    assert np.array_equal(view.depth(5, np.int64).bids, bids[:5])
    assert np.array_equal(view.depth(5, "int64").asks, asks[:5])
    assert view.depth(5).bids[0].tolist() == [10020.0, 0.0021]
    assert view.depth(5, "float64").bids.dtype == np.float64
    with pytest.raises(TypeError):
        view.depth(5, np.float32)
    assert len(view.snapshot().asks) == 21
    assert view.size_at(Side.BUY, "10020.01") == Decimal("0.0021")
    assert view.volume_for_price(Side.BUY, "10020.02") == Decimal("0.0043")
    assert view.price_for_volume(Side.SELL, "0.0022") == Decimal("10019.99")
    assert view.price_for_quote_volume(Side.BUY, 1) == Decimal("10020.01")
    assert view.vwap(Side.BUY, "0.0021") == Decimal("10020.01")
    assert view.imbalance() == 0.0
    assert len(view.to_pandas()) == 42
    assert view.last_trade is None
    writer.trade(trade_of(1))
    assert view.last_trade.price == Decimal("10000.01")
    assert view.statistics.updates == 1
    assert view.reason == ""
    assert "LIVE" in repr(view)


def test_without_a_segment(view):
    assert view.state is BookState.ABSENT
    assert not view.is_live
    assert view.age_s is None
    assert (view.version, view.incarnation, view.reason) == (0, None, "")
    assert view.peek().state is BookState.ABSENT
    assert view.peek().best_bid is None
    for ask in (view.top, view.depth, view.snapshot, lambda: view.best_bid, lambda: view.last_trade):
        with pytest.raises(NotSynced) as refusal:
            ask()
        assert (refusal.value.address, refusal.value.state) == (ADDRESS, "ABSENT")


def test_a_book_in_doubt_refuses_but_can_be_looked_at(write, view):
    writer = write()
    publish(writer)
    writer.set_state(BookState.GAP, "9 after 7")
    assert view.state is BookState.GAP
    assert view.reason == "9 after 7"
    for ask in (view.top, view.depth, view.snapshot, lambda: view.mid, lambda: view.vwap(Side.BUY, 1)):
        with pytest.raises(NotSynced, match="9 after 7"):
            ask()
    assert view.peek().state is BookState.GAP
    assert view.peek().sequence == 20
    assert view.top(stale_ok=True).sequence == 20
    assert view.snapshot(stale_ok=True).state is BookState.GAP
    assert len(view.depth(3, stale_ok=True).bids) == 3


def test_an_unfinished_publish_shows_nothing(write, view):
    writer = write()
    publish(writer)
    assert view.is_live
    writer._begin_publish()
    assert view.state is BookState.GAP
    assert not view.peek().sequence_known
    with pytest.raises(NotSynced):
        view.top()


def test_beyond_the_depth_held(write, view):
    publish(write(), 20, whole=False)
    with pytest.raises(BeyondDepth):
        view.depth(22)
    with pytest.raises(BeyondDepth):
        view.vwap(Side.BUY, 1_000)


def test_the_successor_is_opened_by_itself_with_its_own_scale(write, view):
    first = write(1)
    publish(first)
    assert view.best_bid.price == Decimal("10020.00")
    second = write(2, price_scale=3)
    publish(second)
    first.retire()
    deadline(lambda: view.incarnation == (1, 2))
    assert view.best_bid.price == Decimal("1002.000")


def test_a_mesh_that_began_again_under_a_lower_number_is_found(write, view):
    old = write(9)
    publish(old)
    assert view.is_live
    old.close()
    publish(write(1), 7)
    deadline(lambda: view.is_live)
    assert view.sequence == 7


def deadline(condition, within_s=10.0):
    async def wait():
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    asyncio.run(wait())


def test_it_requests_a_missing_segment_but_not_all_the_time(directory, write):
    asked = []
    view = BookView(directory, INSTRUMENT, ADDRESS, lambda: asked.append(1))
    for _ in range(100):
        assert view.state is BookState.ABSENT
    assert len(asked) == 1
    publish(write())
    deadline(lambda: view.is_live)
    assert len(asked) <= 2


def test_it_pickles_without_what_it_holds(write, directory):
    view = BookView(directory, INSTRUMENT, ADDRESS, print)
    publish(write())
    assert view.is_live
    again = pickle.loads(pickle.dumps(view))
    assert (again.directory, again.instrument, again.address) == (directory, INSTRUMENT, ADDRESS)
    assert again.top().sequence == 20
    top = pickle.loads(pickle.dumps(view.top()))
    assert top.best_bid == view.best_bid
    assert (top.state, top.sequence, top.version) == (BookState.LIVE, 20, 1)
    assert pickle.loads(pickle.dumps(view.snapshot())).vwap(Side.BUY, "0.001") == Decimal("10020.01")


def test_a_segment_of_another_version_is_reported_every_time(write, view):
    writer = write()
    with open(writer.path, "r+b") as file:
        file.seek(8)
        file.write(b"\xff")
    for _ in range(3):
        with pytest.raises(SegmentMismatch):
            view.top()


async def test_changes_conflate_and_never_show_doubt(write, aview):
    writer = write()
    publish(writer, 1)
    changes = aview.changes()
    assert (await next_of(changes)).sequence == 1
    for sequence in range(2, 50):
        publish(writer, sequence)
    assert (await next_of(changes)).sequence == 49
    waiting = asyncio.create_task(next_of(changes))
    await asyncio.sleep(0)
    writer.trade(trade_of(1))
    writer.set_state(BookState.GAP)
    writer.set_state(BookState.SYNCING)
    publish(writer, 50)
    top = await waiting
    assert (top.sequence, top.live) == (50, True)
    await changes.aclose()


async def test_changes_show_states_when_asked(write, aview):
    changes = aview.changes(states=True)
    assert (await next_of(changes)).state is BookState.ABSENT
    writer = write()
    assert (await next_of(changes)).state is BookState.CONNECTING
    publish(writer, 1)
    assert (await next_of(changes)).live
    writer.set_state(BookState.GAP)
    gap = await next_of(changes)
    assert (gap.state, gap.sequence) == (BookState.GAP, 1)
    writer.retire()
    assert (await next_of(changes)).state is BookState.RETIRED
    successor = write(2)
    publish(successor, 2)
    while not (top := await next_of(changes)).live:
        assert top.incarnation == (1, 2)
    assert top.sequence == 2
    await changes.aclose()


async def test_changes_survive_a_killed_writer_and_its_replacement(directory, aview):
    with WritingProcess(directory, ADDRESS, (1, 1), heartbeat_limit_ns=LIMIT_NS) as first:
        first.tell("publish", 1)
        changes = aview.changes()
        assert (await next_of(changes)).incarnation == (1, 1)
        waiting = asyncio.create_task(next_of(changes, 30.0))
        await asyncio.sleep(0)
        first.kill()
        with WritingProcess(directory, ADDRESS, (1, 2), heartbeat_limit_ns=LIMIT_NS) as second:
            mark_retired(first.path)
            second.tell("publish", 2)
            top = await waiting
            assert (top.incarnation, top.sequence) == ((1, 2), 2)
    await changes.aclose()


async def test_wait_live(write, aview):
    with pytest.raises(NotSynced) as refusal:
        await aview.wait_live(0.05)
    assert refusal.value.state == "ABSENT"
    waiting = asyncio.create_task(aview.wait_live(10.0))
    writer = write()
    await asyncio.sleep(0.03)
    assert not waiting.done()
    publish(writer)
    assert (await waiting).sequence == 20
    writer.set_state(BookState.SILENT)
    with pytest.raises(NotSynced) as refusal:
        await aview.wait_live(0.01)
    assert refusal.value.state == "SILENT"
    waiting = asyncio.create_task(aview.wait_live())
    await asyncio.sleep(0)
    writer.set_state(BookState.LIVE)
    assert (await asyncio.wait_for(waiting, 10.0)).live


def test_a_thread_without_a_loop_waits_too(write, view):
    with pytest.raises(NotSynced):
        view.wait_change(None, 0.02)
    writer = write()
    publish(writer, 1)
    top = view.wait_change(None, 10.0)
    assert top.sequence == 1
    with pytest.raises(NotSynced) as refusal:
        view.wait_change(top, 0.02)
    assert refusal.value.state == "LIVE"
    thread = threading.Thread(target=publish, args=(writer, 2))
    thread.start()
    assert view.wait_change(top, 10.0).sequence == 2
    thread.join()


async def test_trades_in_order_each_once(write, aview):
    writer = write()
    writer.trade(trade_of(1))
    trades = aview.trades()
    waiting = asyncio.create_task(next_of(trades))
    await asyncio.sleep(0.01)
    for number in (2, 3, 4):
        writer.trade(trade_of(number))
    assert [(await waiting).number, (await next_of(trades)).number, (await next_of(trades)).number] == [2, 3, 4]
    await trades.aclose()
    resumed = aview.trades(after=1)
    second = await next_of(resumed)
    assert (second.number, second.missed) == (2, 0)
    for number in range(5, 25):  # the ring has eight slots: this reader is lapped
        writer.trade(trade_of(number))
    await resumed.aclose()
    lapped = aview.trades(after=second)
    first = await next_of(lapped)
    assert (first.number, first.missed) == (17, 14)
    assert (await next_of(lapped)).missed == 0
    await lapped.aclose()


async def test_trades_across_incarnations_say_that_some_may_be_missing(write, aview):
    first = write(1)
    first.trade(trade_of(1))
    trades = aview.trades(after=0)
    last = await next_of(trades)
    first.trade(trade_of(2))
    first.retire()
    assert ((await next_of(trades)).number, last.incarnation) == (2, (1, 1))  # what the old one still wrote comes first
    second = write(2)
    second.trade(trade_of(3))
    second.trade(trade_of(4))
    found = [await next_of(trades), await next_of(trades)]
    assert [(t.incarnation, t.number, t.missed) for t in found] == [((1, 2), 1, None), ((1, 2), 2, 0)]
    await trades.aclose()
    resumed = aview.trades(after=last)
    assert (await next_of(resumed)).missed is None
    await resumed.aclose()


@pytest.mark.parametrize("behind", [False, True])
async def test_trades_that_a_successor_wrote_as_well_are_yielded_once(write, aview, behind):
    first, second = write(1), write(2)
    publish(first)
    trades = aview.trades(after=0)
    for number in range(1, 7):
        first.trade(trade_of(number))
    for number in (4, 5):
        second.trade(trade_of(number))
    seen = [await next_of(trades) for _ in range(6)]
    if behind:  # the successor gets the last trade later than the first one
        publish(second)
        first.retire()
        waiting = asyncio.create_task(next_of(trades))
        await asyncio.sleep(0.05)
        second.trade(trade_of(6))
    else:
        second.trade(trade_of(6))
        publish(second)
        first.retire()
        waiting = asyncio.create_task(next_of(trades))
    second.trade(trade_of(7))
    found = await waiting
    assert [trade.trade_id for trade in (*seen, found)] == [7_000 + number for number in range(1, 8)]
    assert (found.incarnation, found.missed) == ((1, 2), 0)
    await trades.aclose()
    resumed = aview.trades(after=seen[4])
    assert [(await next_of(resumed)).trade_id, (await next_of(resumed)).trade_id] == [7_006, 7_007]
    await resumed.aclose()


async def test_trades_without_ids_are_all_yielded(write, aview):
    def alike() -> PublicTrade:
        return PublicTrade("X", 0, 1, 1, Side.BUY, None, 1)

    first, second = write(1), write(2)
    publish(first)
    trades = aview.trades(after=0)
    first.trade(alike())
    await next_of(trades)
    second.trade(alike())
    second.trade(alike())
    first.retire()
    assert (await next_of(trades)).number == 2  # one of the two is the one that was yielded
    await trades.aclose()


def test_a_starting_successor_does_not_replace_a_live_book(write, view, directory):
    first = write(1)
    publish(first)
    second = write(2)
    later = BookView(directory, INSTRUMENT, ADDRESS)
    for read in (view, later):
        read.look_again()
        assert read.statistics.updates == 1  # a read that looks for segments
        read.look_again()
        assert (read.state, read.incarnation) == (BookState.LIVE, (1, 1))
    publish(second, 21)
    for read in (view, later):
        assert read.top().sequence == 20
    first.retire()
    for read in (view, later):
        read.look_again()
        assert (read.top().sequence, read.incarnation) == (21, (1, 2))


def test_a_late_heartbeat_while_a_successor_starts_costs_no_time(directory, write, view, monkeypatch):
    first, second = write(1, limit_ns=1_000_000_000), write(2)
    first.beat()
    publish(first)
    monkeypatch.setattr(reading, "LOOK_NS", 60_000_000_000)
    watching = BookView(directory, INSTRUMENT, ADDRESS)  # `view` must look for the first time when it is late
    while watching.state is BookState.LIVE:
        time.sleep(0.01)
    assert view.state is not BookState.LIVE
    assert view.incarnation == (1, 2)
    first.beat()
    assert (view.top().sequence, view.incarnation) == (20, (1, 1))
    first.retire()
    publish(second, 21)
    assert (view.top().sequence, view.incarnation) == (21, (1, 2))


def test_a_reader_returns_to_the_live_book_when_its_successor_fails(write, view):
    first, second = write(1), write(2)
    publish(first)
    publish(second, 21)
    assert view.incarnation == (1, 2)
    second.set_state(BookState.GAP, "lost")
    view.look_again()
    assert (view.top().sequence, view.incarnation) == (20, (1, 1))
    first.set_state(BookState.GAP, "lost, too")
    view.look_again()
    assert (view.state, view.reason, view.incarnation) == (BookState.GAP, "lost", (1, 2))


async def test_trades_of_a_segment_remade_under_its_incarnation_are_reported(write, aview):
    first = write()
    for number in (1, 2, 3):
        first.trade(trade_of(number))
    trades = aview.trades(after=0)
    last = [await next_of(trades) for _ in range(3)][-1]
    first.close()
    write().trade(trade_of(8))
    found = await next_of(trades)
    assert (found.number, found.trade_id, found.missed) == (1, 7_008, None)
    await trades.aclose()
    resumed = aview.trades(after=last)
    assert (await next_of(resumed)).missed is None
    await resumed.aclose()


async def test_a_lapped_reader_also_counts_what_never_came(write, aview):
    writer = write()
    writer.trade(trade_of(1))
    trades = aview.trades(after=0)
    last = await next_of(trades)
    for number in range(2, 22):
        writer.trade(trade_of(number), 10 if number == 5 else 0)
    found = await next_of(trades)
    assert (found.number, found.missed) == (14, 22)
    await trades.aclose()
    resumed = aview.trades(after=last)
    assert (await next_of(resumed)).missed == 22
    await resumed.aclose()
    with pytest.raises(ValueError, match="-1"):
        await next_of(aview.trades(after=-1))


@pytest.mark.parametrize("n", [0, -1, -(2**70)])
def test_less_than_one_level_is_refused_by_view_and_snapshot(write, view, n):
    publish(write())
    for ask in (view.depth, view.imbalance, view.snapshot().depth, view.snapshot().imbalance):
        with pytest.raises(ValueError, match="levels"):
            ask(n)


def test_more_levels_than_any_number_holds_are_beyond_depth(write, view):
    writer = write()
    publish(writer, whole=False)
    for ask in (view.depth, view.imbalance, view.snapshot().depth, view.snapshot().imbalance):
        with pytest.raises(BeyondDepth):
            ask(2**70)
    publish(writer, 21)
    assert len(view.depth(2**70).bids) == len(view.snapshot().depth(2**70).bids) == 22  # complete: no more can exist


def test_depth_comes_in_two_types_from_both(write, view):
    publish(write())
    for ask in (view.depth, view.snapshot().depth):
        with pytest.raises(TypeError, match="int32"):
            ask(2, np.int32)
        with pytest.raises(TypeError):
            ask(2.5)
        assert ask(2).bids.dtype == np.float64
        assert ask(2, int).bids.dtype == np.int64


async def test_infinite_timeouts_wait_without_a_limit(write, aview):
    writer = write()
    thread = threading.Timer(0.05, publish, args=(writer,))
    thread.start()
    assert (await asyncio.wait_for(aview.wait_live(float("inf")), 10.0)).sequence == 20
    thread.join()
    assert (await aview.wait_change(None, float("inf"))).sequence == 20
    assert (await aview.wait_live(1e300)).live
    with pytest.raises(ValueError, match="NaN"):
        await aview.wait_live(float("nan"))


async def test_trades_wait_for_a_segment(write, aview):
    trades = aview.trades()
    waiting = asyncio.create_task(next_of(trades))
    await asyncio.sleep(0.02)
    writer = write()
    writer.trade(trade_of(1))
    found = await waiting
    assert (found.number, found.side, found.missed) == (1, Side.BUY, 0)
    await trades.aclose()


def test_changes_are_iterated_over_without_a_loop(write, view):
    writer = write()
    publish(writer, 1)
    changes = view.changes()
    assert next(changes).sequence == 1
    thread = threading.Timer(0.05, publish, args=(writer, 2))
    thread.start()
    assert next(changes).sequence == 2
    thread.join()
    writer.close()
    successor = write(2)
    thread = threading.Timer(0.05, publish, args=(successor, 3))
    thread.start()
    assert next(changes).incarnation == (1, 2)  # the iteration survives its writer
    thread.join()
    changes.close()


def test_trades_are_iterated_over_without_a_loop(write, view):
    trades = view.trades()
    thread = threading.Timer(0.05, lambda: write().trade(trade_of(1)))
    thread.start()
    found = next(trades)  # waits for a segment
    thread.join()
    assert (found.number, found.missed) == (1, 0)
    trades.close()


def test_waiting_without_a_loop_ends_at_its_timeout(write, view):
    with pytest.raises(NotSynced, match="not LIVE within"):
        view.wait_live(0.02)
    publish(write())
    assert view.wait_live(10.0).sequence == 20


async def test_both_forms_wait_for_a_change(write, aview):
    writer = write()
    publish(writer)
    top = await aview.wait_change(None, 10.0)
    with pytest.raises(NotSynced, match="no change within") as refusal:
        await aview.wait_change(top, 0.02)
    assert refusal.value.state == "LIVE"
    waiting = asyncio.create_task(aview.wait_change(top, 10.0))
    await asyncio.sleep(0)
    publish(writer, 21)
    assert (await waiting).sequence == 21


@pytest.mark.parametrize("kind", [BookView, AsyncBookView])
def test_a_view_pickles_as_itself(kind, directory, write):
    publish(write())
    found = pickle.loads(pickle.dumps(kind(directory, INSTRUMENT, ADDRESS)))
    assert type(found) is kind
    assert found.top().sequence == 20
