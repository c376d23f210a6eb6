"""OKX's byte scanner and the JSON path read the same from every recorded, generated or damaged frame."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.connectors.okx.test_market import FUTURE, SWAP, of_today
from tests.fakes.both_readers import TRIES, BothReaders, damaged, number, price
from tests.fakes.captures import captures
from venuemesh.actors.recording.file import read
from venuemesh.actors.recording.replay import Replay
from venuemesh.connectors.okx import CONNECTOR
from venuemesh.model.events import BookState, Side
from venuemesh.model.instrument import Instrument

PAIRS = [
    Instrument("okx", "BTC-USDT", "BTC-USDT", "BTC", "USDT", 8, 8),
    Instrument("okx", "ETH-BTC", "ETH-BTC", "ETH", "BTC", 10, 8),
    FUTURE,
    SWAP,
]
READERS = BothReaders(CONNECTOR.codec(), PAIRS)


@cache
def frames() -> list[bytes]:
    """The recorded frames, with the chain of today's format."""
    return [record.raw for record in of_today(list(read(captures("okx") / "market.jsonl.gz")))]


def update(**changes: Any) -> bytes:
    """An update with some fields of its book changed."""
    book = {"asks": [], "bids": [["1.5", "2", "0", "1"]], "ts": "5", "checksum": 0, "seqId": 5, "prevSeqId": 3}
    message = {"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": "update", "data": [{**book, **changes}]}
    return json.dumps(message, separators=(",", ":")).encode()


def whole_book(**changes: Any) -> bytes:
    return update(**changes).replace(b'"update"', b'"snapshot"')


def test_the_scanner_reads_every_recorded_book_and_update_and_nothing_else():
    books = [b'"channel":"books"' in frame and b'"action":' in frame for frame in frames()]
    assert [READERS.check(frame) for frame in frames()] == books
    assert sum(books) == 2 + 98 + 92


def replayed(fast: bool, lose: int | None = None) -> Replay:
    run = Replay(CONNECTOR.codec(), {one.symbol: one for one in (FUTURE, SWAP)}, {}, fast=fast)
    updates = 0
    for record in of_today(list(read(captures("okx") / "market.jsonl.gz"))):
        updates += (is_update := b"BTC-USD-220527" in record.raw and b'"update"' in record.raw)
        if not (is_update and updates == lose):
            run.feed("market.jsonl.gz", record)
    return run


def test_the_recording_ends_alike_by_both_paths():
    ends = []
    for fast in (True, False):
        run = replayed(fast)
        books = [run.ingest.pairs[one.symbol].book for one in (FUTURE, SWAP)]
        ends.append((run.result(), [(book.sequence, [book.levels(side).tolist() for side in Side]) for book in books]))
        assert run.ingest.frames - run.ingest.slow_frames == (2 + 98 + 92 if fast else 0)
    assert ends[0] == ends[1]
    assert [ends[0][0][one.symbol]["state"] for one in (FUTURE, SWAP)] == ["LIVE", "LIVE"]


@pytest.mark.parametrize("fast", [True, False])
def test_a_lost_frame_is_noticed_by_both_paths(fast):
    run = replayed(fast, lose=50)
    machine = run.ingest.pairs[FUTURE.symbol].machine
    assert machine.counters.gaps == 1
    assert machine.state is BookState.GAP
    assert run.ingest.pairs[SWAP.symbol].machine.state is BookState.LIVE


def rows() -> st.SearchStrategy[list[tuple[str, str, str, str]]]:
    orders = st.integers(0, 99).map(str)
    return st.lists(st.tuples(price(), number(8), st.just("0"), orders), max_size=12)


@st.composite
def canonical(draw: st.DrawFn) -> bytes:
    """Return a book or an update in the exchange's form."""
    book = {"asks": draw(rows()), "bids": draw(rows()), "ts": str(draw(st.integers(0, 9_000_000_000_000)))}
    book |= {"checksum": draw(st.integers(-(2**31), 2**31 - 1))} if draw(st.booleans()) else {}
    action = draw(st.sampled_from(["update", "snapshot"]))
    previous = draw(st.integers(0, 2**60)) if action == "update" else -1
    book |= {"seqId": draw(st.integers(0, 2**60)), "prevSeqId": previous}
    symbol = draw(st.sampled_from(PAIRS[:2])).symbol
    message = {"arg": {"channel": "books", "instId": symbol}, "action": action, "data": [book]}
    return json.dumps(message, separators=(",", ":")).encode()


@TRIES
@given(canonical())
def test_generated_frames_are_read_by_both_alike(frame):
    assert READERS.check(frame)


@example(whole_book(prevSeqId=-1))
@example(whole_book(prevSeqId="-1"))
@example(whole_book(bids=[["1.5", "0", "0", "1"]]))
@example(update(seqId=3))
@example(update(seqId=2))
@example(update(seqId=-1))
@example(update(prevSeqId=-1))
@example(update(prevSeqId=9223372036854775808))
@example(update(ts=5))
@example(update(ts="05"))
@example(update(ts="9223372036855"))
@example(update(bids=[["1.5", "2"]]))
@example(update(bids=[["1.5", "2", "0"]]))
@example(update(bids=[["1.5", "2", "0", "1", "2"]]))
@example(update(bids=[["1.5", "2", "0", 1]]))
@example(update(bids=[["1.5", "2", "", "x"]]))
@example(update(bids=[["1.50000000", "2.00000000", "0", "1"], ["1.4", "0", "0", "0"], ["1.00000000", "1", "0", "1"]]))
@example(update(checksum=None))
@example(update().replace(b'"checksum":0', b'"checksum":--1'))
@example(update() + b"\n")
@TRIES
@given(damaged(canonical()))
def test_damaged_updates_are_never_read_differently(frame):
    READERS.check(frame)


@TRIES
@given(st.data())
def test_damaged_recorded_frames_are_never_read_differently(data):
    whole = [frame for frame in frames() if b'"books"' in frame and b'"action"' in frame and len(frame) < 20_000]
    READERS.check(data.draw(damaged(st.sampled_from(whole))))


def test_every_cut_and_every_single_flip_of_an_update():
    READERS.check_cuts_and_flips(update(asks=[["2.25", "0", "0", "0"], ["3", "1.5", "0", "12"]]))


@pytest.mark.parametrize(
    ("frame", "taken"),
    [
        (update(), True),
        (update(seqId=3, bids=[]), True),  # nothing changed: the number is repeated
        (update(seqId=2), True),  # the numbers start again
        (update(new=1), False),
        (update().replace(b'"checksum":0,', b""), True),
        (update().replace(b',"prevSeqId":3', b""), False),
        (update().replace(b'"update"', b'"updates"'), False),
        (whole_book(), True),
        (whole_book(prevSeqId=-1), True),
        (whole_book().replace(b',"prevSeqId":3', b""), True),  # in frames from before the chain
        (whole_book().replace(b'"seqId":5,', b""), False),
        (update().replace(b'"books"', b'"books5"'), False),
        (update().replace(b"BTC-USDT", b"XRP-USDT"), False),
        (update().replace(b"}]}", b'},{"asks":[]}]}'), False),
    ],
)
def test_what_is_recognised(frame, taken):
    assert READERS.check(frame) is taken
