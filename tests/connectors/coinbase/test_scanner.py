"""Coinbase Exchange's byte scanner and the JSON path read the same from every recorded, generated or damaged frame."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.connectors.coinbase.test_market import SYMBOLS, listed
from tests.fakes.both_readers import TRIES, BothReaders, damaged, number, price, recorded
from venuemesh.connectors.coinbase import CONNECTOR
from venuemesh.model.instrument import Instrument

PAIRS = [
    Instrument("coinbase", "BTC-USD", "BTC-USD", "BTC", "USD", 8, 8),
    Instrument("coinbase", "PEPE-USD", "PEPE-USD", "PEPE", "USD", 10, 5),
]
READERS = BothReaders(CONNECTOR.codec(), PAIRS)
TIME = "2022-08-04T15:25:05.010758Z"


@cache
def of_recording() -> BothReaders:
    known = listed()
    return BothReaders(CONNECTOR.codec(), [known[symbol] for symbol in SYMBOLS])


def written(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def update(**changes: Any) -> bytes:
    message = {"type": "l2update", "product_id": "BTC-USD", "changes": [["buy", "1.5", "2"]], "time": TIME}
    return written(message | changes)


def book(**changes: Any) -> bytes:
    message = {"type": "snapshot", "product_id": "BTC-USD", "asks": [["2.25", "1"]], "bids": [["1.5", "2"]]}
    return written(message | changes)


def test_the_scanner_reads_every_recorded_book_and_update_and_nothing_else() -> None:
    frames = recorded("coinbase", "market.jsonl.gz")
    books = [b'"type":"snapshot"' in frame or b'"type":"l2update"' in frame for frame in frames]
    assert [of_recording().check(frame) for frame in frames] == books
    assert sum(books) == 5 + 3955


def changes() -> st.SearchStrategy[list[tuple[str, str, str]]]:
    return st.lists(st.tuples(st.sampled_from(["buy", "sell"]), price(), number(5)), max_size=12)


def rows() -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(price(), number(5)), max_size=12)


@st.composite
def canonical(draw: st.DrawFn) -> bytes:
    """Return a book or an update in the exchange's form, its keys in any order."""
    time = {"time": draw(st.sampled_from([TIME, "2019-08-14T20:42:27.265Z", "2019-08-14T20:42:27Z"]))}
    head = {"product_id": draw(st.sampled_from(PAIRS)).symbol}
    if draw(st.booleans()):
        kind, rest = "l2update", [("changes", draw(changes())), *time.items()]
    else:
        kind, rest = "snapshot", [("bids", draw(rows())), ("asks", draw(rows()))]
        rest += time.items() if draw(st.booleans()) else ()
    return written({"type": kind, **head, **dict(draw(st.permutations(rest)))})


@TRIES
@given(canonical())
def test_generated_frames_are_read_by_both_alike(frame: bytes) -> None:
    assert READERS.check(frame)


@example(update(changes=[]))
@example(update(changes=[["buy", "0", "2"]]))
@example(update(changes=[["sell", "1.5", "2"], ["buy", "1.5", "0.00000000"]]))
@example(update(changes=[["sell", "1.5", "2", "3"]]))
@example(update(changes=[["sell", "1.5"]]))
@example(update(changes=[["SELL", "1.5", "2"]]))
@example(update(changes=[["buy", "1.123456789", "2"]]))
@example(update(changes=[["buy", "-1", "2"]]))
@example(update(changes=[["buy", "99999999999999999999", "2"]]))
@example(update(time="2022-02-30T15:25:05Z"))
@example(update(time=None))
@example(update(sequence=5))
@example(update() + b"\n")
@example(book(bids=[["0", "1"]]))
@example(book(bids=[["1.5", "0"]]))
@example(book(bids=None))
@TRIES
@given(damaged(canonical()))
def test_damaged_frames_are_never_read_differently(frame: bytes) -> None:
    READERS.check(frame)


@TRIES
@given(st.data())
def test_damaged_recorded_frames_are_never_read_differently(data: st.DataObject) -> None:
    updates = [frame for frame in recorded("coinbase", "market.jsonl.gz")[:400] if len(frame) < 5_000]
    of_recording().check(data.draw(damaged(st.sampled_from(updates))))


def test_every_cut_and_every_single_flip() -> None:
    READERS.check_cuts_and_flips(update(changes=[["sell", "2.25", "0"], ["buy", "3", "1.5"]]))
    READERS.check_cuts_and_flips(book(time=TIME))


@pytest.mark.parametrize(
    ("frame", "taken"),
    [
        (update(), True),
        (update(changes=[]), True),
        (book(), True),
        (book(time=TIME), True),
        (book(bids=[]), True),
        (update(new=1), False),
        (update().replace(f',"time":"{TIME}"'.encode(), b""), False),
        (book().replace(b'"bids":[["1.5","2"]]', b'"time":"' + TIME.encode() + b'"'), False),
        (update().replace(b"l2update", b"l2updates"), False),
        (update(product_id="XRP-USD"), False),
        (written({"type": "l2update", "changes": [], "product_id": "BTC-USD", "time": TIME}), False),
        (update().replace(b'{"type"', b'{ "type"'), False),
        (update().replace(b"}", b',"changes":[]}'), False),
        (book(changes=[]), False),
        (update(bids=[]), False),
    ],
)
def test_what_is_recognised(frame: bytes, taken: bool) -> None:
    assert READERS.check(frame) is taken
