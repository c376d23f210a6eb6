"""Segments between processes: torn reads, killed and stopped writers, stopped readers."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.fakes.writing import WritingProcess, book_of
from venuemesh.model.errors import Fenced, NotSynced
from venuemesh.model.events import BookState
from venuemesh.orderbook.segment import SegmentReader, SegmentWriter
from venuemesh.orderbook.segment.directory import find_newest, mark_retired

ADDRESS = "book/binance/BTC-USDT"
LIMIT_NS = 250_000_000


@pytest.fixture
def directory(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


def until(condition, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not within the deadline"
        time.sleep(0.002)


def test_no_read_is_ever_torn(directory):
    books = [book_of(sequence) for sequence in range(4_000)]
    whole, seen, doubts = 0, set(), 0
    with WritingProcess(directory, ADDRESS, heartbeat_limit_ns=60_000_000_000) as process:
        reader = SegmentReader(process.path)
        process.tell("flood")
        until(lambda: reader.version > 0)
        attempt = 0
        while attempt < 40_000 or len(seen) <= 100:  # the writer may get little of the processor
            attempt += 1
            try:
                if attempt % 3 == 0:
                    top = reader.top()
                    sequence = top.sequence
                    bids, asks = books[sequence]
                    assert top.bid_raw == tuple(bids[0])
                    assert top.ask_raw == tuple(asks[0])
                elif attempt % 3 == 1:
                    found = reader.snapshot()
                    sequence = found.sequence
                    bids, asks = books[sequence]
                    assert np.array_equal(found.bids, bids)
                    assert np.array_equal(found.asks, asks)
                else:
                    found = reader.depth()
                    sequence = int(found.bids[0, 1]) - 1
                    bids, asks = books[sequence]
                    assert np.array_equal(found.bids, bids)
                    assert np.array_equal(found.asks, asks)
            except NotSynced:
                doubts += 1  # the writer lost its processor inside a publish for longer than reads are patient
                continue
            whole += 1
            seen.add(sequence)
    assert whole > 10_000
    assert len(seen) > 100
    assert doubts < whole


def test_a_writer_killed_inside_a_publish_is_dead_not_a_hang(directory):
    with WritingProcess(directory, ADDRESS, heartbeat_limit_ns=LIMIT_NS) as process:
        reader = SegmentReader(process.path)
        process.tell("publish", 5)
        assert reader.top().sequence == 5
        process.tell("begin")
        process.kill()
        states = set()

        def is_dead():
            with pytest.raises(NotSynced) as refusal:
                reader.top(stale_ok=True)
            states.add(refusal.value.state)
            return refusal.value.state == "DEAD"

        until(is_dead)
        assert states <= {"GAP", "DEAD"}
        assert reader.state is BookState.DEAD
        for read in (reader.top, reader.depth, reader.snapshot):
            with pytest.raises(NotSynced, match="DEAD"):
                read()
        mark_retired(process.path)
        assert reader.state is BookState.RETIRED
        assert reader.unlinked


def test_a_stopped_writer_is_dead_and_lives_again_when_it_beats(directory):
    with WritingProcess(directory, ADDRESS, heartbeat_limit_ns=LIMIT_NS) as process:
        reader = SegmentReader(process.path)
        process.tell("publish", 5)
        process.signal(signal.SIGSTOP)
        until(lambda: reader.state is BookState.DEAD)
        with pytest.raises(NotSynced):
            reader.top()
        assert reader.top(stale_ok=True).sequence == 5
        process.signal(signal.SIGCONT)
        until(lambda: reader.state is BookState.LIVE)
        assert reader.top().sequence == 5


def test_a_stopped_writer_that_was_retired_meanwhile_never_serves_again(directory):
    with WritingProcess(directory, ADDRESS, heartbeat_limit_ns=LIMIT_NS) as process:
        reader = SegmentReader(process.path)
        process.tell("publish", 5)
        process.signal(signal.SIGSTOP)
        mark_retired(process.path)
        process.signal(signal.SIGCONT)
        with pytest.raises((RuntimeError, BrokenPipeError)):  # it dies of Fenced at the next beat or publish
            process.tell("publish", 6)
        assert reader.state is BookState.RETIRED
        assert reader.top(stale_ok=True).sequence == 5


def test_no_read_after_set_state_returned_is_live(directory):
    with WritingProcess(directory, ADDRESS, heartbeat_limit_ns=60_000_000_000) as process:
        reader = SegmentReader(process.path)
        for sequence in range(300):
            process.tell("publish", sequence)
            assert reader.top().sequence == sequence
            process.tell("state", "GAP")
            assert reader.state is BookState.GAP
            with pytest.raises(NotSynced):
                reader.depth()


def test_the_successor_is_found_and_the_dead_one_stays_dead(directory):
    with (
        WritingProcess(directory, ADDRESS, (1, 9), heartbeat_limit_ns=LIMIT_NS) as first,
        WritingProcess(directory, ADDRESS, (1, 10), heartbeat_limit_ns=LIMIT_NS) as second,
    ):
        assert find_newest(directory, ADDRESS) == second.path
        old = SegmentReader(first.path)
        first.tell("publish", 1)
        second.tell("publish", 2)
        first.kill()
        until(lambda: old.state is BookState.DEAD)
        assert SegmentReader(second.path).top().sequence == 2


STOPPED_READER = """
import sys, time
from pathlib import Path
from venuemesh.orderbook.segment import SegmentReader
reader = SegmentReader(Path(sys.argv[1]))
reader.top()
print("reading", flush=True)
while True:
    reader.top(stale_ok=True), reader.depth(20, stale_ok=True)
"""


def test_a_stopped_reader_costs_the_writer_nothing(directory):
    writer = SegmentWriter(directory, ADDRESS, (1, 1), 2, 4, heartbeat_limit_ns=60_000_000_000)
    bids, asks = book_of(39)
    writer.publish_levels(bids, asks, True, True, 1, BookState.LIVE, None, 1)
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED_READER, str(writer.path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        process.send_signal(signal.SIGSTOP)
        for sequence in range(2, 20_000):
            writer.publish_levels(bids, asks, True, True, sequence, BookState.LIVE, None, 1)
        assert SegmentReader(writer.path).top().sequence == 19_999
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        writer.close()


def test_two_writers_of_one_incarnation_are_not_possible(directory):
    with WritingProcess(directory, ADDRESS), pytest.raises(Fenced):
        SegmentWriter(directory, ADDRESS, (1, 1), 2, 4)
