"""The mirror role, with a real link to writers on another node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.link_stage import ADDRESS, SIZES, Stage, Writer, stage_in, until
from venuemesh.model.errors import NotSynced, Rejected
from venuemesh.model.events import BookState
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.segment import SegmentReader
from venuemesh.orderbook.segment.directory import find_newest, mark_retired
from venuemesh.orderbook.view import AsyncBookView, BookView

OTHER = "book/x/C-D"
INSTRUMENT = Instrument("x", "A-B", "AB", "A", "B", 2, 3)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage_in(tmp_path, limit_s=0.5) as stage:
        yield stage


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage on which a late heartbeat, on a busy machine, ends nothing."""
    async with stage_in(tmp_path, limit_s=10.0) as stage:
        yield stage


async def until_state(book: SegmentReader, state: BookState) -> None:
    await until(lambda: book.state is state)


def trades(book: SegmentReader) -> list[tuple[int, int | None]]:
    return [(trade.trade_id, trade.missed) for trade in book.trades(0)]


async def begun(stage: Stage) -> tuple[Writer, SegmentReader]:
    """Return a writer whose book is LIVE on both nodes, and a reader of the copy."""
    writer = stage.there.writer()
    writer.say(1)
    await stage.follow(ADDRESS)
    book = await stage.reader()
    await until_state(book, BookState.LIVE)
    return writer, book


async def test_a_book_is_republished_with_its_state_and_trades(stage: Stage) -> None:
    writer, book = await begun(stage)
    writer.trade(44)
    await until(lambda: book.last_trade_number == 1)
    assert book.incarnation == (1, 9)
    assert book.mirrored
    assert book.top().bid_raw == (999, 7)
    assert trades(book) == [(44, None)]
    writer.segment.set_state(BookState.GAP, "a frame was lost")
    await until_state(book, BookState.GAP)
    assert book.statistics().reason == "a frame was lost"
    writer.say(3)
    await until_state(book, BookState.LIVE)
    assert book.top().sequence == 3
    assert book.statistics().reason == ""


async def test_every_level_and_flag_arrives(stage: Stage) -> None:
    writer, book = await begun(stage)
    writer.say(7, levels=4)
    await until(lambda: book.top().sequence == 7)
    source = SegmentReader(writer.segment.path)
    ours, theirs = book.snapshot(), source.snapshot()
    assert ours.bids.tolist() == theirs.bids.tolist()
    assert ours.asks.tolist() == theirs.asks.tolist()
    assert (ours.bids_complete, ours.asks_complete, ours.ts_event_ns, ours.ts_recv_ns) == (False, True, 1, 2)


async def test_a_quiet_source_stays_live_and_an_absent_one_does_not(stage: Stage) -> None:
    _, book = await begun(stage)
    version = book.version
    await asyncio.sleep(1.2)  # longer than the heartbeat limit: only proofs of life keep it LIVE
    assert (book.state, book.version) == (BookState.LIVE, version)
    await stage.there.stop_link()
    await until_state(book, BookState.SILENT)
    assert book.statistics().reason == "its source does not answer"
    await stage.there.start_link()
    await until_state(book, BookState.LIVE)  # nothing new was published: the heartbeat proved its life


async def test_a_source_without_heartbeats_is_silent_although_its_link_answers(stage: Stage) -> None:
    writer, book = await begun(stage)
    other = stage.there.writer(address=OTHER)
    other.say(1)
    await stage.follow(ADDRESS, OTHER)
    second = await stage.reader(OTHER)
    await until_state(second, BookState.LIVE)
    writer.beats = False
    await until_state(book, BookState.SILENT)
    assert second.state is BookState.LIVE
    writer.beats = True
    await until_state(book, BookState.LIVE)


async def test_a_source_that_ends_is_silent_at_once(stage: Stage) -> None:
    writer, book = await begun(stage)
    writer.end()
    await until_state(book, BookState.SILENT)
    assert book.statistics().reason == "its source has ended"


async def test_a_later_source_has_a_separate_segment(stage: Stage) -> None:
    writer, first = await begun(stage)
    writer.end()
    stage.there.writer((1, 12)).say(1)
    await until_state(first, BookState.RETIRED)
    assert (await stage.reader()).incarnation == (1, 12)


async def test_trades_begin_with_the_first_after_the_mirror_and_say_what_was_missed(stage: Stage) -> None:
    writer = stage.there.writer()
    writer.say(1)
    writer.trade(3)
    writer.trade(4, missed=10)  # from before: an earlier mirror may have told them
    await stage.follow(ADDRESS, sizes=SIZES | {"trades": 64})
    book = await stage.reader()
    await until_state(book, BookState.LIVE)
    writer.trade(5)
    await until(lambda: book.last_trade_number == 1)
    for trade_id in range(6, 40):  # without a turn of the loop: the ring has 16
        writer.trade(trade_id)
    writer.trade(40, missed=3)
    writer.trade(41, missed=2)
    await until(lambda: book.last_trade_number == 17)
    found = trades(book)
    assert found[:2] == [(5, None), (26, 20)]
    assert found[-2:] == [(40, 3), (41, 2)]


async def test_all_trades_of_a_later_source_are_reported(stage: Stage) -> None:
    writer, first = await begun(stage)
    writer.trade(7)
    await until(lambda: first.last_trade_number == 1)
    writer.beats = False
    mark_retired(writer.segment.path)
    await until_state(first, BookState.SILENT)
    later = stage.there.writer((1, 12))
    later.say(1)
    later.trade(41)
    later.trade(42)
    await until_state(first, BookState.RETIRED)
    book = await stage.reader()
    await until(lambda: book.last_trade_number == 2)
    assert trades(book) == [(41, None), (42, 0)]


async def test_a_segment_remade_at_the_source_is_remade_here(stage: Stage) -> None:
    writer, first = await begun(stage)
    writer.trade(7)
    await until(lambda: first.last_trade_number == 1)
    writer.end()
    await until_state(first, BookState.SILENT)
    again = stage.there.writer()
    again.say(2)
    again.trade(41)
    await until_state(first, BookState.RETIRED)
    book = await stage.reader()
    await until(lambda: book.last_trade_number == 1)
    assert book.incarnation == first.incarnation
    assert trades(book) == [(41, None)]


async def test_state_and_reason_are_copied(stage: Stage) -> None:
    writer = stage.there.writer(sequenced=False, exact=False, redundant=True, comparable=True)
    writer.say(1)
    writer.segment.set_state(BookState.GAP, "a frame was lost")
    await stage.follow(ADDRESS)
    book = await stage.reader()
    await until_state(book, BookState.GAP)
    assert (book.sequenced, book.exact, book.statistics().reason) == (False, False, "a frame was lost")
    assert (book.redundant, book.comparable) == (True, True)
    writer.beats = False
    await until_state(book, BookState.SILENT)
    writer.beats = True
    await until_state(book, BookState.GAP)
    assert book.statistics().reason == "a frame was lost"


async def test_a_book_that_is_no_longer_followed_is_retired(stage: Stage) -> None:
    _, book = await begun(stage)
    await stage.follow()
    assert book.state is BookState.RETIRED
    assert find_newest(stage.here, ADDRESS) is None
    assert stage.mirror.status()["links"] == {}
    await stage.follow(ADDRESS)
    await until_state(await stage.reader(), BookState.LIVE)
    assert stage.mirror.status()["books"] == {ADDRESS: "LIVE"}
    assert stage.mirror.status()["error"] is None


async def test_other_sizes_make_another_segment(stage: Stage) -> None:
    _, book = await begun(stage)
    await stage.follow(ADDRESS, sizes=SIZES | {"levels": 5})
    assert book.state is BookState.RETIRED
    assert (await stage.reader()).levels == 5


async def test_a_reconnected_mirror_repeats_and_loses_no_trade(stage: Stage) -> None:
    writer, book = await begun(stage)
    writer.trade(1)
    await until(lambda: book.last_trade_number == 1)
    stage.there.proxy.cut()
    writer.trade(2)
    writer.trade(3)
    await until(lambda: book.last_trade_number == 3)
    assert trades(book) == [(1, None), (2, 0), (3, 0)]
    assert book.state is BookState.LIVE


async def test_a_later_link_has_another_port_and_secret_and_is_found(stage: Stage) -> None:
    writer, book = await begun(stage)
    before = stage.there.where
    await stage.there.stop_link()
    await stage.there.start_link()
    assert stage.there.where["secret"] != before["secret"]
    writer.say(9)
    await until(lambda: book.state is BookState.LIVE and book.top().sequence == 9)


async def two_trades(directory: Path) -> list[tuple[int, int | None]]:
    """Return the first two trades that a view yields."""
    found: list[tuple[int, int | None]] = []
    async for trade in AsyncBookView(directory, INSTRUMENT, ADDRESS).trades(0):
        found.append((trade.trade_id, trade.missed))
        if len(found) == 2:
            break
    return found


class Watcher:
    """Reads a book as strategies do, as often as the loop turns, and keeps why it could not."""

    def __init__(self, directory: Path) -> None:
        self.view = BookView(directory, INSTRUMENT, ADDRESS)
        self.lost: list[str] = []
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while True:
            try:
                self.view.top()
            except NotSynced as error:
                self.lost.append(str(error))
            await asyncio.sleep(0)

    async def end(self) -> None:
        """Watch a little longer; then nothing may have been lost."""
        await asyncio.sleep(0.3)
        self.task.cancel()
        assert not self.lost


async def taken_over(stage: Stage, first: SegmentReader, old: Writer, successor: Writer) -> SegmentReader:
    """Let the successor of a book become LIVE while the old one serves, then end that one; return the new copy."""
    old.say(2)
    await until(lambda: first.top().sequence == 2)
    successor.say(3)
    await until_state(first, BookState.RETIRED)
    book = await stage.reader(after=first.incarnation)
    assert (book.state, book.top().sequence) == (BookState.LIVE, 3)
    old.end()
    return book


async def test_a_successor_next_to_its_predecessor_is_shown_when_it_is_live(patient: Stage) -> None:
    old, first = await begun(patient)
    old.trade(1)
    await until(lambda: first.last_trade_number == 1)
    watcher = Watcher(patient.here)
    yielded = asyncio.ensure_future(two_trades(patient.here))
    successor = patient.there.writer((1, 12))
    successor.trade(1)  # both get the exchange's trades
    await asyncio.sleep(0.15)
    assert first.state is BookState.LIVE
    book = await taken_over(patient, first, old, successor)
    successor.trade(2)
    await until(lambda: book.last_trade_number == 2)
    assert trades(book) == [(1, None), (2, 0)]
    assert await asyncio.wait_for(yielded, 10.0) == [(1, None), (2, 0)], "each trade once, and none missed"
    await watcher.end()


async def test_a_book_that_moves_to_a_third_node_has_no_gap(patient: Stage) -> None:
    old, first = await begun(patient)
    other = await patient.add_node("k")
    watcher = Watcher(patient.here)
    successor = other.writer((1, 12))
    await patient.follow(ADDRESS, node="k")
    await asyncio.sleep(0.3)
    assert first.state is BookState.LIVE, "the successor is not LIVE yet"
    await taken_over(patient, first, old, successor)
    await until(lambda: list(patient.mirror.status()["links"]) == ["k"])
    await watcher.end()


async def test_a_successor_is_shown_in_any_state_once_the_predecessor_is_dead(stage: Stage) -> None:
    old, first = await begun(stage)
    other = await stage.add_node("k")
    other.writer((1, 12))
    await stage.follow(ADDRESS, node="k")
    await asyncio.sleep(0.2)
    assert first.state is BookState.LIVE
    old.beats = False
    await until_state(first, BookState.RETIRED)
    assert (await stage.reader(after=first.incarnation)).state is BookState.CONNECTING


async def test_what_an_earlier_life_left_on_a_node_is_not_shown(patient: Stage) -> None:
    _, book = await begun(patient)
    other = await patient.add_node("k")
    other.writer((1, 2)).say(77)
    await patient.follow(ADDRESS, node="k")
    await asyncio.sleep(0.3)
    assert (book.state, book.top().sequence) == (BookState.LIVE, 1)


async def test_other_kinds_are_refused(stage: Stage) -> None:
    with pytest.raises(Rejected):
        await stage.mirror.handle("dance", None)
    with pytest.raises(Rejected):
        await stage.mirror.poll("next", {}, 0.0)
