"""One segment, written and read in this process: format, contents, refusals."""

import os
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest

from tests.fakes.writing import book_of, trade_of
from venuemesh.model.errors import BeyondDepth, BookError, Fenced, Misconfigured, NotSynced, SegmentMismatch
from venuemesh.model.events import BookState, Side
from venuemesh.orderbook.l2 import OrderBook
from venuemesh.orderbook.records import Level
from venuemesh.orderbook.segment import FORMAT_VERSION, SegmentReader, SegmentWriter, mark_ended

ADDRESS = "book/binance/BTC-USDT"
LIVE = BookState.LIVE


@pytest.fixture
def directory(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def writer(directory):
    writer = SegmentWriter(directory, ADDRESS, (3, 17), 2, 4, levels=50, trades=8, heartbeat_limit_ns=60_000_000_000)
    yield writer
    writer.close()


@pytest.fixture
def reader(writer):
    return SegmentReader(writer.path)


def levels(*rows):
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def publish(writer, sequence=20, state=LIVE, whole=True):
    writer.publish_levels(*book_of(sequence), whole, whole, sequence, state, None, 1)


def test_the_header_tells_a_reader_everything(writer, reader):
    assert reader.address == ADDRESS
    assert reader.incarnation == (3, 17)
    assert (reader.price_scale, reader.size_scale, reader.levels, reader.trade_slots) == (2, 4, 50, 8)
    assert reader.writer_pid == os.getpid()
    assert reader.sequenced
    assert reader.exact
    assert reader.state is BookState.CONNECTING
    assert oct(writer.path.stat().st_mode & 0o777) == "0o600"
    assert os.listdir(writer.path.parent) == ["book~binance~BTC-USDT@3.17"]


def test_content_is_all_that_the_writer_published(writer, reader):
    """For mirrors: with the writer's own state, also when a reader would say DEAD."""
    assert reader.content()[:6] == (0, 0, BookState.CONNECTING, 0, None, None)
    bids, asks = book_of(20)
    writer.publish_levels(bids, asks[:3], False, True, 20, BookState.GAP, 1_600, 1_700, reason="a frame was lost")
    writer.trade(trade_of(1))
    content = reader.content()
    assert content[:9] == (2, 1, BookState.GAP, 20, 1_600, 1_700, False, True, "a frame was lost")
    assert (content.bids, content.asks) == (bids.tobytes(), asks[:3].tobytes())
    assert not reader.mirrored


def test_what_is_published_is_read(writer, reader):
    bids, asks = book_of(20)
    writer.publish_levels(bids, asks, True, False, 20, LIVE, 1_600, 1_700)
    top = reader.top()
    assert top.live
    assert (top.sequence, top.ts_event_ns, top.ts_recv_ns) == (20, 1_600, 1_700)
    assert top.bid_raw == tuple(bids[0])
    assert top.ask_raw == tuple(asks[0])
    assert top.best_bid == Level(Decimal("10020.00"), Decimal("0.0021"))
    assert top.mid == Decimal("10020.005")
    assert top.spread == Decimal("0.01")
    exact = reader.depth(7)
    assert np.array_equal(exact.bids, bids[:7])
    assert np.array_equal(exact.asks, asks[:7])
    real = reader.depth(7, as_float=True)
    assert np.array_equal(real.bids, bids[:7] / [1e2, 1e4])
    everything = reader.snapshot()
    assert np.array_equal(everything.bids, bids)
    assert np.array_equal(everything.asks, asks)
    assert (everything.bids_complete, everything.asks_complete) == (True, False)
    with pytest.raises(ValueError, match="read-only"):
        everything.bids[0, 0] = 1


def test_publish_takes_the_best_proven_levels_of_a_book(writer, reader):
    bids, asks = book_of(39)
    book = OrderBook(2, 4)
    book.load(bids, asks, 39, bids_complete=True, asks_complete=True)
    writer.publish(book, LIVE, None, 5, applied=3)
    assert np.array_equal(reader.snapshot().bids, bids)
    assert np.array_equal(reader.snapshot().asks, asks)
    assert reader.snapshot().bids_complete
    assert reader.top().sequence == 39
    assert reader.statistics().updates == 3


def test_more_levels_than_it_holds_make_a_side_incomplete(directory):
    bids, asks = book_of(39)
    writer = SegmentWriter(directory, ADDRESS, (1, 1), 2, 4, levels=10)
    reader = SegmentReader(writer.path)
    book = OrderBook(2, 4)
    book.load(bids, asks, 39, bids_complete=True, asks_complete=True)
    for publish_it in (
        lambda: writer.publish(book, LIVE, None, 5),
        lambda: writer.publish_levels(bids, asks, True, True, 39, LIVE, None, 5),
    ):
        publish_it()
        assert np.array_equal(reader.depth().bids, bids[:10])
        assert not reader.snapshot().bids_complete
        with pytest.raises(BeyondDepth) as refusal:
            reader.depth(11)
        assert (refusal.value.side, refusal.value.asked, refusal.value.proven) == ("bid", 11, 10)
    writer.close()


def test_a_complete_side_may_be_shorter_an_incomplete_one_raises(writer, reader):
    writer.publish_levels(levels((100, 1)), levels((101, 1), (102, 2)), True, False, 1, LIVE, None, 1)
    assert len(reader.depth(2).bids) == 1
    with pytest.raises(BeyondDepth):
        reader.depth(3)
    with pytest.raises(ValueError, match="at least one"):
        reader.depth(0)


def test_an_empty_side_is_none_when_complete_and_unknown_when_not(writer, reader):
    writer.publish_levels(levels(), levels((101, 1)), True, True, 1, LIVE, None, 1)
    assert reader.top().best_bid is None
    assert reader.top().mid is None
    assert reader.top().spread is None
    writer.publish_levels(levels(), levels((101, 1)), False, True, 2, LIVE, None, 1)
    with pytest.raises(BeyondDepth):
        _ = reader.top().best_bid
    assert reader.top().best_ask is not None
    assert "bid -" in repr(reader.top())


@pytest.mark.parametrize("state", [state for state in BookState if state is not LIVE])
def test_only_a_live_book_answers_unless_asked_otherwise(writer, reader, state):
    publish(writer)
    writer.set_state(state, "a gap: 5 after 3")
    for read in (reader.top, reader.depth, reader.snapshot):
        with pytest.raises(NotSynced) as refusal:
            read()
        assert refusal.value.address == ADDRESS
        assert refusal.value.state == state.name
        assert read(stale_ok=True) is not None
    assert reader.top(stale_ok=True).state is state
    assert not reader.top(stale_ok=True).live
    assert reader.snapshot(stale_ok=True).state is state
    assert reader.statistics().reason == "a gap: 5 after 3"


def test_counters(writer, reader):
    publish(writer)
    assert reader.statistics().resyncs == 0  # the first time LIVE is no return
    writer.set_state(BookState.GAP)
    writer.set_state(BookState.GAP)
    writer.set_state(BookState.SYNCING)
    publish(writer)
    found = reader.statistics()
    assert (found.updates, found.gaps, found.resyncs) == (2, 1, 1)
    assert writer.published == reader.version == 5
    assert writer.state is LIVE
    assert reader.top().update == 5


@pytest.mark.parametrize(
    "wrong", [np.zeros((3, 3), np.int64), np.zeros(4, np.int64), np.zeros((3, 2), np.float64), "levels"]
)
def test_levels_of_another_shape_are_refused_and_nothing_is_published(writer, reader, wrong):
    publish(writer)
    before = reader.version
    with pytest.raises(BookError):
        writer.publish_levels(wrong, levels(), True, True, 21, LIVE, None, 1)
    assert reader.version == before
    assert reader.top().sequence == 20


def test_levels_are_read_by_their_strides(writer, reader):
    both = np.array([[100, 1], [99, 7], [98, 2], [97, 8]], np.int64)
    both.setflags(write=False)
    writer.publish_levels(both[::2], np.asfortranarray(both[::-1]), True, True, 1, LIVE, None, 1)
    depth = reader.depth(4)
    assert depth.bids.tolist() == [[100, 1], [98, 2]]
    assert depth.asks.tolist() == [[97, 8], [98, 2], [99, 7], [100, 1]]


def test_an_invalid_state_is_refused(writer):
    with pytest.raises(ValueError, match="not a state"):
        writer.set_state(9)


def test_a_heartbeat_too_old_is_dead_with_any_written_state(directory):
    writer = SegmentWriter(directory, ADDRESS, (1, 1), 2, 4, heartbeat_limit_ns=1)
    reader = SegmentReader(writer.path)
    publish(writer)
    assert not reader.alive
    assert reader.state is BookState.DEAD
    with pytest.raises(NotSynced) as refusal:
        reader.top()
    assert refusal.value.state == "DEAD"
    assert reader.top(stale_ok=True).sequence == 20
    assert writer.beat() > 0
    writer.close()


def test_retire_is_for_ever(writer, reader):
    publish(writer)
    before = reader.version
    writer.retire()
    writer.retire()
    assert reader.version > before
    assert reader.ended
    assert reader.state is BookState.RETIRED
    for act in (
        writer.beat,
        lambda: publish(writer),
        lambda: writer.set_state(LIVE),
        lambda: writer.trade(trade_of(1)),
    ):
        with pytest.raises(Fenced):
            act()
    assert reader.state is BookState.RETIRED


def test_a_segment_marked_by_the_agent_is_retired_and_fences_its_writer(writer, reader):
    publish(writer)
    mark_ended(writer.path)
    assert reader.state is BookState.RETIRED
    with pytest.raises(Fenced):
        publish(writer)


def test_close_unlinks_and_readers_notice(writer, reader):
    assert not reader.unlinked
    writer.close()
    writer.close()
    assert reader.unlinked
    assert reader.state is BookState.RETIRED
    with pytest.raises(Fenced):
        writer.beat()
    reader.close()
    reader.close()
    with pytest.raises(NotSynced):
        reader.top()


def test_another_file_under_the_name_is_noticed(directory):
    first = SegmentWriter(directory, ADDRESS, (1, 1), 2, 4)
    reader = SegmentReader(first.path)
    first.close()
    second = SegmentWriter(directory, ADDRESS, (1, 1), 2, 4)
    assert reader.unlinked
    assert SegmentReader(second.path).identity != reader.identity
    second.close()


def test_one_segment_per_incarnation(writer, directory):
    with pytest.raises(Fenced):
        SegmentWriter(directory, ADDRESS, (3, 17), 2, 4)
    assert len(os.listdir(directory)) == 1


def test_an_unfinished_publish_gives_no_data_and_no_hang(writer, reader):
    publish(writer)
    writer._begin_publish()
    for read in (reader.top, reader.depth, reader.snapshot):
        for stale_ok in (False, True):
            with pytest.raises(NotSynced) as refusal:
                read(stale_ok=stale_ok)
            assert refusal.value.state == "GAP"
    assert reader.state is BookState.GAP
    publish(writer, 21)
    assert reader.top().sequence == 21


def test_trades_are_numbered_and_the_ring_tells_what_it_lost(writer, reader):
    assert reader.trades(0) == []
    assert [writer.trade(trade_of(n)) for n in range(1, 6)] == [1, 2, 3, 4, 5]
    found = reader.trades(2)
    assert [trade.number for trade in found] == [3, 4, 5]
    assert [trade.missed for trade in found] == [0, 0, 0]
    assert found[0].price == Decimal("10000.03")
    assert found[0].size == Decimal("0.0003")
    assert [trade.side for trade in found] == [Side.BUY, Side.SELL, Side.BUY]
    assert (found[0].trade_id, found[0].ts_event_ns, found[0].ts_recv_ns) == (7_003, None, 1_003)
    for number in range(6, 21):
        writer.trade(trade_of(number))
    lapped = reader.trades(5)
    assert [trade.number for trade in lapped] == list(range(13, 21))
    assert [trade.missed for trade in lapped] == [7, 0, 0, 0, 0, 0, 0, 0]
    assert [trade.number for trade in reader.trades(13, limit=2)] == [14, 15]
    assert reader.trades(20) == []
    assert reader.last_trade_number == 20


def test_trades_know_what_never_came(writer, reader):
    for number, missed in ((1, None), (2, 0), (3, 5), (4, 0)):
        writer.trade(trade_of(number), missed)
    assert [(t.missed, t.lost) for t in reader.trades(0)] == [(None, 0), (0, 0), (5, 5), (0, 5)]
    for number in range(5, 30):
        writer.trade(trade_of(number), number == 9)
    ring = reader.trade_slots
    skipped = 29 - ring - 2
    assert reader.trades(2, lost=0)[0].missed == skipped + 6  # the ring's, and those that never came to it
    assert reader.trades(2)[0].missed is None  # trade 2 is gone, and with it what was lost by then
    with pytest.raises(ValueError, match="-1"):
        reader.trades(-1)
    with pytest.raises(ValueError, match="-1"):
        writer.trade(trade_of(30), -1)


def mutilate(writer, at, value):
    with open(writer.path, "r+b") as file:
        file.seek(at)
        file.write(value)


def test_a_segment_of_another_version_is_a_typed_line(writer):
    mutilate(writer, 8, (FORMAT_VERSION + 1).to_bytes(4, sys.byteorder))
    with pytest.raises(SegmentMismatch) as refusal:
        SegmentReader(writer.path)
    assert "\n" not in str(refusal.value)
    assert str(writer.path) in str(refusal.value)


@pytest.mark.parametrize("size", [0, 5, 11, 12, 100, 600, 2900])
def test_a_truncated_segment_is_a_mismatch(writer, directory, size):
    cut = directory / "book~cut@1.1"
    cut.write_bytes(writer.path.read_bytes()[:size])
    with pytest.raises(SegmentMismatch):
        SegmentReader(cut)


def test_what_is_no_segment_is_a_mismatch(directory):
    path = directory / "book~x@1.1"
    path.write_bytes(b"\0" * 100_000)
    with pytest.raises(SegmentMismatch):
        SegmentReader(path)
    link = directory / "book~y@1.1"
    link.symlink_to(path)
    with pytest.raises(SegmentMismatch):
        SegmentReader(link)
    with pytest.raises(FileNotFoundError):
        SegmentReader(directory / "book~z@1.1")
    directory.joinpath("book~d@1.1").mkdir()
    with pytest.raises(SegmentMismatch):
        SegmentReader(directory / "book~d@1.1")


@pytest.mark.parametrize("word", [-1, 201, 2**40, 2**62])  # there are 200 levels
@pytest.mark.parametrize(
    ("at", "reads"), [(0, "state top depth snapshot"), (8, "top depth snapshot"), (9, "top depth")]
)
def test_damaged_words_are_a_book_out_of_sync_and_no_crash(writer, at, word, reads):
    """The state and the numbers of levels index memory."""
    reader = SegmentReader(writer.path)
    mutilate(writer, 512 + 64 + 8 * at, word.to_bytes(8, sys.byteorder, signed=True))
    if "state" in reads:
        assert reader.state is BookState.GAP
    for name in set(reads.split()) - {"state"}:
        with pytest.raises(NotSynced, match="damaged"):
            getattr(reader, name)(stale_ok=True)


def test_an_address_that_is_no_text_is_a_mismatch(writer):
    mutilate(writer, 96, b"\xff\xfe")
    with pytest.raises(SegmentMismatch, match="damaged"):
        SegmentReader(writer.path)


def test_damaged_sizes_are_a_mismatch(writer):
    mutilate(writer, 48, (2**31).to_bytes(4, sys.byteorder))
    with pytest.raises(SegmentMismatch):
        SegmentReader(writer.path)


@pytest.mark.parametrize("options", [{"levels": 0}, {"trades": 0}, {"levels": 10**9}, {"heartbeat_limit_ns": 0}])
def test_options_out_of_range(directory, options):
    with pytest.raises(Misconfigured):
        SegmentWriter(directory, ADDRESS, (1, 1), 2, 4, **options)
    assert os.listdir(directory) == []


def test_a_directory_open_to_others_is_refused(directory):
    directory.chmod(0o755)
    with pytest.raises(Misconfigured, match="0755"):
        SegmentWriter(directory, ADDRESS, (1, 1), 2, 4)


def test_a_full_file_system_is_an_error_and_no_signal(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        fits = SegmentWriter(mount, ADDRESS, (1, 1), 2, 4, levels=100, trades=64)
        with pytest.raises(Misconfigured, match="no room"):
            SegmentWriter(mount, ADDRESS, (1, 2), 2, 4, levels=2_000, trades=64)
        assert os.listdir(mount) == [fits.path.name]
        publish(fits)
        fits.close()
    finally:
        subprocess.run(["umount", str(mount)], check=True)
