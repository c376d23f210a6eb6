"""The local copy of a book, with simulated time: when exactly its source counts as known to live."""

from __future__ import annotations

from pathlib import Path

import pytest

from venuemesh.actors.link.wire import Book, Position, Segment, Trade
from venuemesh.actors.node.local_copy import ENDED, NOT_HEARD, Feed, LocalCopy
from venuemesh.model.events import BookState
from venuemesh.orderbook.segment import SegmentReader
from venuemesh.orderbook.segment.directory import find_newest

LIMIT_NS = 60_000_000_000  # of the segment, too: the test's own time must not end it
MS = 1_000_000
FIRST, SECOND = Segment(1, 5, 100), Segment(1, 12, 101)


def book(sequence: int, segment: Segment = FIRST, state: BookState = BookState.LIVE, **changes: int) -> Book:
    level = (100 - sequence).to_bytes(8, "little") + (7).to_bytes(8, "little")
    made = Book(segment, 2, 3, True, True, False, True, 0, 0, int(state), sequence, 1, 2, False, True, "", level, level)
    return made._replace(**changes)


@pytest.fixture
def copy(tmp_path: Path) -> LocalCopy:
    directory = tmp_path / "node"
    directory.mkdir(mode=0o700)
    made = LocalCopy("book/x/A-B", 10, 16, directory, (1, 9), LIMIT_NS, wanted="l")
    made.feeds["l"] = Feed(1, "l")
    return made


def shown(copy: LocalCopy) -> SegmentReader:
    path = find_newest(copy.directory, copy.address)
    assert path is not None
    return SegmentReader(path)


def live(copy: LocalCopy, proved_ns: int) -> SegmentReader:
    feed = copy.feeds["l"]
    copy.on_book(feed, book(1), proved_ns)
    copy.on_life(feed, proved_ns, proved_ns)
    return shown(copy)


def test_nothing_is_shown_before_a_proof(copy: LocalCopy) -> None:
    feed = copy.feeds["l"]
    copy.on_book(feed, book(1), 0)
    assert find_newest(copy.directory, copy.address) is None
    copy.on_life(feed, 0, LIMIT_NS + 1)
    assert find_newest(copy.directory, copy.address) is None, "the proof is too old"
    copy.on_life(feed, 1, LIMIT_NS + 1)
    assert shown(copy).state is BookState.LIVE


def test_a_copy_is_silent_once_its_proof_is_older_than_the_limit(copy: LocalCopy) -> None:
    at = 5 * MS
    reader = live(copy, at)
    copy.beat(at + LIMIT_NS)
    assert reader.state is BookState.LIVE
    copy.beat(at + LIMIT_NS + 1)
    assert (reader.state, reader.statistics().reason) == (BookState.SILENT, NOT_HEARD)


def test_a_late_proof_proves_its_own_time_only(copy: LocalCopy) -> None:
    feed, at = copy.feeds["l"], 5 * MS
    reader = live(copy, at)
    copy.on_life(feed, at - MS, at + LIMIT_NS)  # of an earlier PING, held on the way
    copy.beat(at + LIMIT_NS + 1)
    assert reader.state is BookState.SILENT
    copy.on_life(feed, at + 1, at + LIMIT_NS + 2)
    assert reader.state is BookState.SILENT, "still too old"
    copy.on_life(feed, at + 2, at + LIMIT_NS + 2)
    assert reader.state is BookState.LIVE


def test_news_prove_nothing(copy: LocalCopy) -> None:
    feed, at = copy.feeds["l"], 5 * MS
    reader = live(copy, at)
    copy.on_book(feed, book(2), at + LIMIT_NS + 1)
    assert (reader.state, reader.content().sequence) == (BookState.SILENT, 2)
    copy.on_life(feed, at + LIMIT_NS, at + LIMIT_NS + 1)
    assert (reader.state, reader.statistics().reason) == (BookState.LIVE, "")


def test_a_later_segment_needs_a_separate_proof(copy: LocalCopy) -> None:
    """The heartbeat of the successor does not prove the predecessor's content, nor the other way round."""
    feed, at = copy.feeds["l"], 5 * MS
    first = live(copy, at)
    copy.on_book(feed, book(9, SECOND), at)
    assert first.state is BookState.LIVE
    copy.beat(at + LIMIT_NS + 1)
    assert first.state is BookState.SILENT
    copy.on_life(feed, at + LIMIT_NS, at + LIMIT_NS + 1)
    assert first.state is BookState.RETIRED
    assert (shown(copy).incarnation, shown(copy).top().sequence) == ((1, 12), 9)


def test_a_source_that_has_ended_is_silent_at_once(copy: LocalCopy) -> None:
    reader = live(copy, MS)
    copy.on_gone(copy.feeds["l"], MS)
    assert (reader.state, reader.statistics().reason) == (BookState.SILENT, ENDED)
    copy.beat(2 * MS)
    assert reader.state is BookState.SILENT


def test_while_a_book_moves_both_nodes_are_followed_and_then_one(copy: LocalCopy) -> None:
    first = live(copy, MS)
    copy.wanted = "k"
    successor = copy.feeds["k"] = Feed(2, "k")
    copy.on_book(successor, book(3, SECOND, BookState.SYNCING), MS)
    copy.on_life(successor, MS, MS)
    copy.beat(2 * MS)
    assert first.state is BookState.LIVE
    assert not copy.surplus
    copy.on_trades(successor, [Trade(4, 40, 99, 1, True, None, 5, 2)])  # the predecessor tells it, too
    copy.on_book(successor, book(4, SECOND), 3 * MS)
    copy.beat(3 * MS)
    assert first.state is BookState.RETIRED
    assert [feed.node for feed in copy.surplus] == ["l"]
    assert copy.position(successor) == Position(SECOND, 4)
    assert copy.position(Feed(3, "m")) == Position(Segment(0, 0, 0), 0), "of a successor all trades are wanted"
    copy.on_trades(successor, [Trade(5, 41, 99, 1, False, None, 5, 2), Trade(9, 42, 99, 1, False, None, 5, 3)])
    assert [(t.trade_id, t.missed) for t in shown(copy).trades(0)] == [(40, None), (41, 0), (42, 4)]


def test_a_successor_with_the_same_name_is_shown_too(copy: LocalCopy) -> None:
    """A mirror that is later than both names both segments by its own incarnation."""
    copy.mirror = (1, 50)
    first = live(copy, MS)
    copy.on_book(copy.feeds["l"], book(3, SECOND), MS)
    copy.on_life(copy.feeds["l"], MS, MS)
    assert first.state is BookState.RETIRED
    assert (shown(copy).incarnation, shown(copy).top().sequence) == ((1, 50), 3)
