"""Kraken's byte scanner and the JSON path read the same from every recorded, generated or damaged frame."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fakes.both_readers import TRIES, BothReaders, damaged, number, price, recorded
from tests.fakes.captures import captures
from venuemesh.actors.recording.file import read
from venuemesh.actors.recording.replay import Replay
from venuemesh.connectors.kraken import CONNECTOR
from venuemesh.connectors.market_codec import NOT_RECOGNISED
from venuemesh.model.errors import BookError
from venuemesh.model.events import BookState, Side
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.l2 import OrderBook

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", "BTC", "USD", 1, 8)
PAIRS = [
    BTC,
    Instrument("kraken", "ETH-USD", "ETH/USD", "ETH", "USD", 8, 8),
    Instrument("kraken", "ADA-BTC", "ADA/BTC", "ADA", "BTC", 10, 8),
]
READERS = BothReaders(CONNECTOR.codec(), PAIRS)
EPOCH, LAST = datetime(1970, 1, 1), datetime(2261, 12, 31, 23, 59, 59)
TIME = '"timestamp":"2023-10-06T17:35:55.440295Z"'


@cache
def frames() -> list[bytes]:
    return recorded("kraken", "book_v2.jsonl.gz")


def update(body: str, kind: str = "update") -> bytes:
    return f'{{"channel":"book","type":"{kind}","data":[{{{body}}}]}}'.encode()


def whole(levels: str = "", checksum: str = "7", time: str = TIME) -> bytes:
    return update(f'"symbol":"ETH/USD","bids":[{levels}],"asks":[],"checksum":{checksum},{time}')


def test_the_scanner_reads_the_recorded_book_and_every_update():
    assert [READERS.check(frame) for frame in frames()] == [True] * 254


def test_the_recording_ends_alike_by_both_paths_with_every_checksum_compared():
    ends = []
    for fast in (True, False):
        run = Replay(CONNECTOR.codec(), {BTC.symbol: BTC}, {}, fast=fast)
        for record in read(captures("kraken") / "book_v2.jsonl.gz"):
            run.feed("book_v2", record)
        pair = run.ingest.pairs[BTC.symbol]
        book = pair.book
        ends.append((run.result(), book.sequence, [book.levels(side).tolist() for side in Side], pair.machine.counters))
        # a pair that no list names is found by its first frame, which is then given again
        assert run.ingest.slow_frames == (1 if fast else 255)
    assert ends[0] == ends[1]
    assert (ends[0][3].checksums, ends[0][3].bad_checksums) == (254, 0)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("harm", ["lost", "spoilt"])
def test_a_lost_frame_and_a_wrong_checksum_are_noticed_by_both_paths(fast, harm):
    run = Replay(CONNECTOR.codec(), {BTC.symbol: BTC}, {}, fast=fast)
    for position, record in enumerate(read(captures("kraken") / "book_v2.jsonl.gz")):
        if position == 100:
            if harm == "lost":
                continue
            record = replace(record, raw=record.raw.replace(b'"checksum":', b'"checksum":1'))
        run.feed("book_v2", record)
    pair = run.ingest.pairs[BTC.symbol]
    assert pair.machine.state is BookState.GAP
    assert pair.machine.counters.bad_checksums == 1
    assert pair.machine.error is not None
    assert "checksum" in pair.machine.error


def level() -> st.SearchStrategy[tuple[str, str]]:
    return st.tuples(price(), number(8))


@st.composite
def canonical(draw: st.DrawFn) -> bytes:
    """Return a book or an update in the exchange's form, with the manual's order of keys."""
    sides = (
        ",".join(f'{{"price":{one},"qty":{qty}}}' for one, qty in draw(st.lists(level(), max_size=10))) for _ in "ba"
    )
    bids, asks = sides
    symbol = draw(st.sampled_from(PAIRS[1:])).symbol
    moment = draw(st.datetimes(min_value=EPOCH, max_value=LAST)).isoformat()
    checksum = draw(st.integers(0, 2**32 - 1))
    body = f'"symbol":"{symbol}","bids":[{bids}],"asks":[{asks}],"checksum":{checksum},"timestamp":"{moment}Z"'
    return update(body, draw(st.sampled_from(["update", "snapshot"])))


@TRIES
@given(canonical())
def test_generated_frames_are_read_by_both_alike(frame):
    assert READERS.check(frame)


@example(update(f'"symbol":"ETH/USD","bids":[{{"price":1.0,"qty":0}}],"asks":[],"checksum":7,{TIME}', "snapshot"))
@example(update('"symbol":"ETH/USD","bids":[],"asks":[],"checksum":7', "snapshot"))
@example(update('"symbol":"ETH/USD","bids":[],"asks":[],"checksum":7', "snapshots"))
@example(whole('{"price":1.0,"qty":1e5}'))
@example(whole('{"price":01.0,"qty":1}'))
@example(whole('{"price":1.,"qty":1}'))
@example(whole('{"price":-1.0,"qty":1}'))
@example(whole('{"price":1.0,"qty":0.0000000010}'))
@example(whole('{"price":1.0,"qty":' + "0." + "0" * 39 + "}"))
@example(whole('{"price":1.0,"qty":' + "0." + "0" * 40 + "}"))
@example(whole('{"price":1.0,"qty":92233720368.54775807}'))
@example(whole('{"price":1.0,"qty":92233720368.54775808}'))
@example(whole('{"qty":1.0,"price":1.0}'))
@example(whole(checksum="-1"))
@example(whole(checksum="1.0"))
@example(whole(checksum="9223372036854775808"))
@example(whole(time='"timestamp":"2023-02-29T00:00:00Z"'))
@example(whole(time='"timestamp":"2024-02-29T23:59:59.123456789Z"'))
@example(whole(time='"timestamp":"2023-10-06T24:00:00Z"'))
@example(whole(time='"timestamp":"2023-10-06T17:35:60Z"'))
@example(whole(time='"timestamp":"2023-10-06T17:35:55.Z"'))
@example(whole(time='"timestamp":"2262-01-01T00:00:00Z"'))
@example(whole() + b"\n")
@example(update(f'"symbol":"ETH/USD","bids":[],"asks":[],"asks":[{{"price":1.0,"qty":1.0}}],"checksum":7,{TIME}'))
@TRIES
@given(damaged(canonical()))
def test_damaged_updates_are_never_read_differently(frame):
    READERS.check(frame)


@TRIES
@given(st.data())
def test_damaged_recorded_frames_are_never_read_differently(data):
    READERS.check(data.draw(damaged(st.sampled_from(frames()))))


def test_every_cut_and_every_single_flip_of_a_recorded_update():
    READERS.check_cuts_and_flips(min(frames()[1:], key=len))


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        (f'"symbol":"ETH/USD",{TIME},"checksum":7,"asks":[],"bids":[{{"price":1,"qty":0}}]', True),
        (f'"bids":[],"symbol":"ETH/USD","asks":[],"checksum":7,{TIME}', False),
        (f'"symbol":"XRP/USD","bids":[],"asks":[],"checksum":7,{TIME}', False),
        ('"symbol":"ETH/USD","bids":[],"asks":[],"checksum":7', True),  # a recorded book has no time
        (f'"symbol":"ETH/USD","bids":[],"asks":[],{TIME}', False),
        (f'"symbol":"ETH/USD","bids":[],"asks":[],"checksum":7,{TIME},"new":1', False),
        (f'"symbol":"ETH/USD","bids":[],"asks":[],"checksum":7,{TIME}}},{{"symbol":"ETH/USD"', False),
    ],
)
def test_keys_in_any_order_after_the_symbol_and_no_others(body, taken):
    assert READERS.check(update(body)) is taken


def test_what_was_not_recognised_cannot_be_applied():
    scanner = CONNECTOR.codec().scanner()
    book = OrderBook(8, 8)
    scanner.bind("ETH/USD", book)
    assert scanner.scan(whole('{"price":2.5,"qty":0.5}')) == 0
    scanner.apply()
    assert book.levels(Side.BUY).tolist() == [[250_000_000, 50_000_000]]
    assert scanner.scan(whole('{"price":2.25,"qty":0.5}').replace(b"update", b"snapshot")) == 0
    scanner.apply()
    assert book.levels(Side.BUY).tolist() == [[225_000_000, 50_000_000]]
    assert scanner.scan(b'{"channel":"heartbeat"}') == NOT_RECOGNISED
    for call in (scanner.apply, scanner.levels):
        with pytest.raises(BookError):
            call()
