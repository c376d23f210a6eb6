"""Bybit's byte scanner and the JSON path read the same from every recorded, generated or damaged frame."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fakes.both_readers import TRIES, BothReaders, damaged, number, price, recorded
from tests.fakes.captures import captures
from venuemesh.actors.recording.file import read
from venuemesh.actors.recording.replay import Replay
from venuemesh.connectors.bybit import CONNECTOR
from venuemesh.model.events import BookState, Side
from venuemesh.model.instrument import Instrument

XRP = Instrument("bybit", "XRP-USDT", "XRPUSDT", "XRP", "USDT", 4, 0)
PAIRS = [
    XRP,
    Instrument("bybit", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 8, 8),
    Instrument("bybit", "ETH-BTC", "ETHBTC", "ETH", "BTC", 10, 8),
]
READERS = BothReaders(CONNECTOR.codec(), PAIRS)
BOOKS = "orderbook_500.jsonl.gz"


@cache
def frames() -> list[bytes]:
    return recorded("bybit", BOOKS)


def delta(**changes: Any) -> bytes:
    """A delta with some fields of its data changed."""
    data = {"s": "BTCUSDT", "b": [["100", "1"]], "a": [], "u": 7, "seq": 9, **changes}
    message = {"topic": "orderbook.50.BTCUSDT", "type": "delta", "ts": 1000, "data": data, "cts": 998}
    return json.dumps(message, separators=(",", ":")).encode()


def test_the_scanner_reads_the_recorded_book_and_every_delta():
    assert [READERS.check(frame) for frame in frames()] == [True] * 25


def replayed(fast: bool, lose: int | None = None) -> Replay:
    run = Replay(CONNECTOR.codec(depth=1000), {XRP.symbol: XRP}, {}, fast=fast)
    for position, record in enumerate(read(captures("bybit") / BOOKS)):
        if position != lose:
            run.feed(BOOKS, record)
    return run


def test_the_recording_ends_alike_by_both_paths():
    ends = []
    for fast in (True, False):
        run = replayed(fast)
        book = run.ingest.pairs[XRP.symbol].book
        ends.append((run.result(), book.sequence, [book.levels(side).tolist() for side in Side]))
        # a pair that no list names is found by its first frame, which is then given again
        assert run.ingest.slow_frames == (1 if fast else 26)
    assert ends[0] == ends[1]
    assert ends[0][0][XRP.symbol]["state"] == "LIVE"


@pytest.mark.parametrize("fast", [True, False])
def test_a_lost_frame_is_noticed_by_both_paths(fast):
    machine = replayed(fast, lose=10).ingest.pairs[XRP.symbol].machine
    assert machine.counters.gaps == 1
    assert machine.state is BookState.GAP


def rows() -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(price(), number(8)), max_size=12)


@st.composite
def canonical(draw: st.DrawFn) -> bytes:
    """Return a book or a delta in the exchange's form; the manual has `type` before and after `ts`."""
    symbol = draw(st.sampled_from(PAIRS[1:])).symbol
    data = {"s": symbol, "b": draw(rows()), "a": draw(rows()), "u": draw(st.integers(1, 2**60)), "seq": 5}
    message: dict[str, Any] = {"topic": f"orderbook.{draw(st.sampled_from([50, 200, 1000]))}.{symbol}"}
    kind, ts = {"type": draw(st.sampled_from(["delta", "snapshot"]))}, {"ts": draw(st.integers(0, 9_000_000_000_000))}
    message |= kind | ts if draw(st.booleans()) else ts | kind
    message |= {"data": data}
    if draw(st.booleans()):
        message["cts"] = draw(st.integers(0, 9_000_000_000_000))
    return json.dumps(message, separators=(",", ":")).encode()


@TRIES
@given(canonical())
def test_generated_frames_are_read_by_both_alike(frame):
    assert READERS.check(frame)


@example(delta(u=1))
@example(delta(u=1, b=[["1", "0"]]))
@example(delta().replace(b'"delta"', b'"snapshots"'))
@example(delta(u=1).replace(b".50.", b".0."))
@example(delta(u=0))
@example(delta(u=-1))
@example(delta(u="7"))
@example(delta(u=9223372036854775807))
@example(delta(u=9223372036854775808))
@example(delta(s="ETHBTC"))
@example(delta(s="BTCUSDTX"))
@example(delta(b=[["0", "1"]]))
@example(delta(b=[["1", "1", "2"]]))
@example(delta(b=[["1e2", "1"]]))
@example(delta(b=[["1.000000000", "0.00"], ["12345678.1", "1"], ["1.00000000", "2.00000000"]]))
@example(delta().replace(b'"cts":998', b'"cts":9223372036855'))
@example(delta().replace(b'"ts":1000', b'"ts":"1000"'))
@example(delta().replace(b".50.", b".x."))
@example(delta().replace(b".50.", b".."))
@example(delta().replace(b".50.BTCUSDT", b".50"))
@example(delta() + b" ")
@TRIES
@given(damaged(canonical()))
def test_damaged_deltas_are_never_read_differently(frame):
    READERS.check(frame)


@TRIES
@given(st.data())
def test_damaged_recorded_frames_are_never_read_differently(data):
    READERS.check(data.draw(damaged(st.sampled_from(frames()[1:]))))


def test_every_cut_and_every_single_flip_of_a_delta():
    READERS.check_cuts_and_flips(delta(a=[["101.5", "0"], ["102", "3.25"]]))


@pytest.mark.parametrize(
    ("frame", "taken"),
    [
        (delta(u=2), True),
        (delta(u=1), True),  # a book after a restart, with any type
        (delta(new=1), False),
        (delta().replace(b'"type":"delta"', b'"type":"snapshot"'), True),
        (delta().replace(b'"type":"delta"', b'"type":"other"'), False),
        (delta().replace(b',"seq":9', b""), True),
        (delta().replace(b',"cts":998', b""), True),
        (delta().replace(b'"ts":1000,', b""), False),
        (delta().replace(b"BTCUSDT", b"XRPEUR"), False),
        (delta().replace(b'"a":[],', b""), False),
    ],
)
def test_what_is_recognised(frame, taken):
    assert READERS.check(frame) is taken


def test_books_of_a_feed_without_numbers_are_read_by_both_alike():
    readers = BothReaders(CONNECTOR.codec(depth=1), PAIRS)
    book = delta().replace(b'"delta"', b'"snapshot"').replace(b".50.", b".1.")
    assert readers.check(book)
    assert readers.scanner.last == 0
