"""A view of a redundant book: two segments, one book, and the loss of either is no event for the reader."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.writing import PRICE_SCALE, SIZE_SCALE, book_of, trade_of
from venuemesh.model.address import replica_of
from venuemesh.model.errors import NotSynced
from venuemesh.model.events import BookState, PublicTrade
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.segment import SegmentWriter, Top
from venuemesh.orderbook.view import AsyncBookView, BookView, reading
from venuemesh.orderbook.view.waits import AsyncWaits

ADDRESS = "book/binance/BTC-USDT"
INSTRUMENT = Instrument("binance", "BTC-USDT", "BTCUSDT", "BTC", "USDT", PRICE_SCALE, SIZE_SCALE)
Write = Callable[..., SegmentWriter]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def write(directory: Path) -> Iterator[Write]:
    writers: list[SegmentWriter] = []

    def make(address: str, counter: int = 1, comparable: bool = True, **options: Any) -> SegmentWriter:
        options.setdefault("heartbeat_limit_ns", 60_000_000_000)
        writer = SegmentWriter(
            directory,
            address,
            (1, counter),
            PRICE_SCALE,
            SIZE_SCALE,
            comparable=comparable,
            **{"redundant": True, **options},
        )
        writers.append(writer)
        return writer

    yield make
    for writer in writers:
        writer.close()


@pytest.fixture
def view(directory: Path) -> BookView:
    return BookView(directory, INSTRUMENT, ADDRESS)


@pytest.fixture
def aview(directory: Path) -> AsyncBookView:
    return AsyncBookView(directory, INSTRUMENT, ADDRESS)


def both(write: Write, **options: Any) -> tuple[SegmentWriter, SegmentWriter]:
    return write(ADDRESS, 1, **options), write(replica_of(ADDRESS), 2, **options)


def publish(writer: SegmentWriter, sequence: int, state: BookState = BookState.LIVE) -> None:
    writer.publish_levels(*book_of(sequence), True, True, sequence, state, 3, 4)


def both_live(write: Write, **options: Any) -> tuple[SegmentWriter, SegmentWriter]:
    writers = both(write, **options)
    for writer in writers:
        publish(writer, 20)
    return writers


def price(top: Top) -> int:
    assert top.bid_raw is not None
    return top.bid_raw[0]


def timed(number: int) -> PublicTrade:
    """A trade with the exchange's time, so that trades of two copies can be ordered."""
    return replace(trade_of(number), ts_event_ns=1_000 * number)


def trade_ids(*numbers: int) -> list[int]:
    return [trade_of(number).trade_id for number in numbers]


async def next_of(iterator: Any, within_s: float = 10.0) -> Any:
    return await asyncio.wait_for(anext(iterator), within_s)


def begin(iterator: Any) -> asyncio.Future[Any]:
    """Let the next value be waited for; the wait has begun after one step of the loop."""
    return asyncio.ensure_future(anext(iterator))


def test_each_read_takes_the_copy_that_is_further(write: Write, view: BookView) -> None:
    first, second = both_live(write)
    assert view.sequence == 20
    for writer, sequence in ((second, 21), (first, 21), (first, 22), (second, 22), (second, 23)):
        publish(writer, sequence)
        assert view.sequence == max(sequence, view.sequence)
        assert view.snapshot().sequence == view.sequence == sequence
        assert int(view.depth(1, dtype="int64").bids[0, 0]) == price(view.top()) == int(book_of(sequence)[0][0, 0])
    assert view.peek().address == view.snapshot().address == ADDRESS
    assert view.top().replica


@pytest.mark.parametrize("lost", ["first", "second"])
def test_either_copy_may_be_lost_and_comes_back(write: Write, view: BookView, lost: str) -> None:
    first, second = both_live(write)
    assert view.is_live
    gone, kept = (first, second) if lost == "first" else (second, first)
    publish(gone, 21)
    publish(kept, 21)
    gone.close()
    assert view.top().sequence == 21
    publish(kept, 22)
    assert view.top().sequence == 22
    again = write(gone.address, 3)
    assert view.is_live
    publish(again, 30, BookState.SYNCING)
    assert view.top().sequence == 22
    publish(again, 31)
    view.look_again()
    assert view.top().sequence == 31
    kept.close()
    assert view.top().sequence == 31


def test_a_copy_in_doubt_is_left_at_once(write: Write, view: BookView) -> None:
    first, second = both(write)
    publish(second, 20)
    publish(first, 21)
    assert view.sequence == 21
    first.set_state(BookState.GAP, "a frame was lost")
    assert view.top().sequence == 20
    second.set_state(BookState.SILENT, "nothing came")
    with pytest.raises(NotSynced, match=r"GAP|SILENT"):
        view.top()


def test_numbers_that_cannot_be_compared_keep_a_reader_at_one_live_copy(write: Write, view: BookView) -> None:
    first, second = both(write, comparable=False)
    publish(first, 5)
    publish(second, 5_000)
    assert view.sequence == 5
    publish(first, 6)
    publish(second, 5_001)
    assert view.sequence == 6
    first.close()
    assert view.sequence == 5_001
    again = write(ADDRESS, 3, comparable=False)
    publish(again, 1)
    view.look_again()
    assert view.sequence == 5_001


def test_with_one_copy_on_this_node_it_is_an_ordinary_book(write: Write, view: BookView) -> None:
    second = write(replica_of(ADDRESS), 2)
    publish(second, 7)
    assert view.sequence == 7
    publish(write(ADDRESS, 1), 8)
    view.look_again()
    assert view.sequence == 8


async def test_changes_come_from_whichever_copy_is_first_and_none_comes_twice(
    write: Write, aview: AsyncBookView
) -> None:
    first, second = both_live(write)
    changes = aview.changes()
    assert (await next_of(changes)).sequence == 20
    seen, waiting = [20], begin(changes)
    for writer, sequence in (
        (first, 21),
        (second, 21),
        (second, 22),
        (first, 22),
        (second, 23),
        (second, 24),
        (first, 23),
        (first, 24),
        (first, 25),
    ):
        await asyncio.sleep(0)
        publish(writer, sequence)
        if sequence > seen[-1]:
            seen.append((await waiting).sequence)
            waiting = begin(changes)
        else:
            await asyncio.sleep(0.02)  # a wrong change would come now
            assert not waiting.done()
    waiting.cancel()
    assert seen == list(range(20, 26))


async def test_changes_continue_without_a_step_back_when_the_copy_that_was_ahead_is_lost(
    write: Write, aview: AsyncBookView
) -> None:
    first, second = both(write)
    publish(second, 20)
    publish(first, 22)
    changes = aview.changes(states=True)
    assert (await next_of(changes)).sequence == 22
    waiting = asyncio.ensure_future(next_of(changes))
    await asyncio.sleep(0)
    first.close()
    publish(second, 21)
    publish(second, 22)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    publish(second, 23)
    top = await waiting
    assert (top.sequence, top.live, top.replica) == (23, True, True)


async def test_numbers_that_begin_again_are_shown_after_a_while(
    write: Write, aview: AsyncBookView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BEHIND_NS", 50_000_000)
    first, second = both(write)
    publish(second, 1_000)
    publish(first, 1_001)
    changes = aview.changes()
    assert (await next_of(changes)).sequence == 1_001
    first.close()
    waiting = asyncio.ensure_future(next_of(changes))
    await asyncio.sleep(0.06)
    publish(second, 3)
    assert (await waiting).sequence == 3


async def test_a_view_of_a_book_that_is_no_longer_redundant_waits_for_its_one_segment(
    write: Write, aview: AsyncBookView, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = both_live(write)
    assert aview.is_live
    assert aview.top().sequence == 20
    publish(write(ADDRESS, 3, redundant=False), 21)
    first.close()
    second.close()
    aview.look_again()
    assert aview.last_trade is None
    monkeypatch.setattr(AsyncWaits, "change_of_any", None)  # it would return at once, again and again
    with pytest.raises(NotSynced, match="no change"):
        await aview.wait_change(aview.top(), 0.05)


async def test_a_wait_for_a_change_is_over_when_either_copy_has_one(write: Write, aview: AsyncBookView) -> None:
    first, second = both_live(write)
    top = await aview.wait_live(5.0)
    for writer, other, sequence in ((second, first, 21), (first, second, 22), (second, first, 23)):
        waiting = asyncio.ensure_future(aview.wait_change(top, 10.0))
        await asyncio.sleep(0)
        publish(writer, sequence)
        top = await waiting
        assert top.sequence == sequence
        publish(other, sequence)
        with pytest.raises(NotSynced, match="no change"):
            await aview.wait_change(top, 0.05)


def test_a_thread_waits_for_either_copy_too(write: Write, view: BookView) -> None:
    first, second = both_live(write)
    found: list[int] = []
    begun = threading.Event()

    def read() -> None:
        for top in view.changes():
            found.append(top.sequence)
            begun.set()
            if top.sequence == 24:
                return

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(10.0)
    for sequence in range(21, 25):
        publish((first, second)[sequence % 2], sequence)
        publish((second, first)[sequence % 2], sequence)
    thread.join(10.0)
    assert not thread.is_alive()
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (20, 24)


@pytest.mark.parametrize("behind", [0, 1, 3])
async def test_trades_continue_at_the_other_copy_each_once_and_none_is_missed(
    write: Write, aview: AsyncBookView, behind: int
) -> None:
    """`behind`: so many trades the other copy does not have yet when the reader's copy is lost."""
    first, second = both_live(write, trades=8)
    trades = aview.trades()
    waiting = begin(trades)
    await asyncio.sleep(0)
    second.trade(trade_of(-2))  # the other copy began earlier: its numbers are higher, and its ring holds older trades
    second.trade(trade_of(-1))
    seen = []
    for number in range(1, 21):
        first.trade(trade_of(number))
        if number <= 20 - behind:
            second.trade(trade_of(number))
        seen.append(await waiting)
        waiting = begin(trades)
        await asyncio.sleep(0)
    first.set_state(BookState.SILENT, "its host was cut off")
    for number in range(21 - behind, 25):
        second.trade(trade_of(number))
    while len(seen) < 24:
        seen.append(await waiting)
        waiting = begin(trades)
        await asyncio.sleep(0)
    waiting.cancel()
    assert [trade.trade_id for trade in seen] == [trade_of(number).trade_id for number in range(1, 25)]
    assert {trade.missed for trade in seen} == {0}


@pytest.mark.parametrize("lost", [False, True])
async def test_trades_resume_after_a_trade_that_the_copy_ahead_does_not_have_yet(
    write: Write, aview: AsyncBookView, lost: bool
) -> None:
    first, second = both_live(write, trades=64)
    for number in range(1, 31):
        first.trade(timed(number))
        second.trade(timed(number))
    trades = aview.trades()
    waiting = begin(trades)
    await asyncio.sleep(0)
    first.trade(timed(31))
    last = await waiting
    await trades.aclose()
    publish(second, 21)
    if lost:
        first.close()
    resumed = aview.trades(after=last)
    waiting = begin(resumed)
    await asyncio.sleep(0.05)
    assert not waiting.done(), waiting.result()
    for writer in (second,) if lost else (first, second):
        writer.trade(timed(32))
    assert (await waiting).trade_id == timed(32).trade_id
    waiting = begin(resumed)
    await asyncio.sleep(0.05)
    assert not waiting.done(), waiting.result()
    waiting.cancel()


async def test_trades_that_no_copy_had_when_the_reader_came_are_not_lost_when_it_leaves_again(
    write: Write, aview: AsyncBookView
) -> None:
    first, second = both_live(write, trades=64)
    for number in range(-40, 0):
        first.trade(timed(number))  # so that the numbers of the first are higher
    trades = aview.trades()
    waiting = begin(trades)
    await asyncio.sleep(0)
    for number in range(1, 11):
        first.trade(timed(number))
        second.trade(timed(number))
    seen = [await waiting, *[await next_of(trades) for _ in range(9)]]
    waiting = begin(trades)
    first.close()
    await asyncio.sleep(0.05)  # the reader is at the second copy now
    third = write(ADDRESS, 3, trades=64)
    publish(third, 20)
    second.set_state(BookState.GAP, "a frame was lost")
    await asyncio.sleep(0.003)  # the reader leaves the second copy, and looks for another one
    for number in (11, 12):
        third.trade(timed(number))
        second.trade(timed(number))
    await asyncio.sleep(0.05)  # and at the third one now
    third.trade(timed(13))
    seen += [await waiting, await next_of(trades), await next_of(trades)]
    assert [trade.trade_id for trade in seen] == trade_ids(*range(1, 14))


async def test_a_reader_whose_copy_is_lost_before_the_first_trade_gets_no_old_trades(
    write: Write, aview: AsyncBookView
) -> None:
    first, second = both_live(write, trades=64)
    for number in range(1, 11):
        first.trade(timed(number))
        second.trade(timed(number))
    trades = aview.trades()
    waiting = begin(trades)
    await asyncio.sleep(0)
    first.close()
    await asyncio.sleep(0.05)
    assert not waiting.done(), waiting.result()
    second.trade(timed(11))
    trade = await waiting
    assert (trade.trade_id, trade.missed) == (timed(11).trade_id, 0)


async def test_trades_continue_at_the_copy_that_has_the_last_one_not_at_a_new_one(
    write: Write, aview: AsyncBookView
) -> None:
    first, second = both_live(write, trades=64)
    trades = aview.trades()
    waiting = begin(trades)
    await asyncio.sleep(0)
    for writer in (first, second):
        writer.trade(timed(1))
    seen = [await waiting]
    first.close()  # while the caller is busy, a successor takes its place
    third = write(ADDRESS, 3, trades=64)
    publish(third, 20)
    second.trade(timed(2))
    for writer in (second, third):
        writer.trade(timed(3))
    seen += [await next_of(trades), await next_of(trades)]
    assert [(trade.trade_id, trade.missed) for trade in seen] == [(one, 0) for one in trade_ids(1, 2, 3)]
