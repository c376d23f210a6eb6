"""The byte scanners against a slow reader of the same JSON: agreement, no crash, no silent difference."""

from __future__ import annotations

import ctypes
import gzip
import json
import mmap
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.depth_frames import (
    GOOD,
    LEVEL,
    SCALES,
    SYMBOLS,
    an_event,
    mutate,
    numbers,
    read_slowly,
    state,
    write,
)
from tests.fakes.effort import EFFORT
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.binance.scanner import DepthScanner, SnapshotScanner
from venuemesh.connectors.market_codec import NOT_RECOGNISED, Verdict
from venuemesh.model.errors import BookError
from venuemesh.model.events import Side
from venuemesh.orderbook.l2 import OrderBook, use_wide

CAPTURES = Path(os.environ.get("VENUEMESH_CAPTURES", Path(__file__).resolve().parents[4] / "shared" / "captures"))


@pytest.fixture(params=["wide", "portable"], autouse=True)
def code(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both kinds of code, if the processor has both."""
    wide = request.param == "wide"
    if use_wide(wide) != wide:
        pytest.skip("this processor has no AVX2")
    yield request.param
    use_wide(None)


class Rig:
    """A scanner with books for all symbols, and twin books that the slow reader feeds."""

    def __init__(self) -> None:
        self.scanner = DepthScanner()
        self.scales = dict(zip(SYMBOLS, SCALES, strict=True))
        self.books = [OrderBook(*scales) for scales in SCALES]
        self.twins = [OrderBook(*scales) for scales in SCALES]
        for symbol, book in zip(SYMBOLS, self.books, strict=True):
            assert self.scanner.bind(symbol, book) == SYMBOLS.index(symbol)

    def give(self, frame: bytes) -> bool:
        """Scan one frame; check it against the slow reader, and the books against their twins. Return whether it was
        taken."""
        slot = self.scanner.scan(frame)
        assert slot == self.scanner.slot
        if slot == NOT_RECOGNISED:
            with pytest.raises(BookError):
                self.scanner.apply()
            with pytest.raises(BookError):
                self.scanner.levels()
        else:
            slow = read_slowly(frame, self.scales)
            assert slow.symbol == SYMBOLS[slot]
            assert (self.scanner.first, self.scanner.last) == (slow.first, slow.last)
            assert self.scanner.ts_event_ns == slow.ts_ms * 1_000_000
            bids, asks = self.scanner.levels()
            assert [bids.tolist(), asks.tolist()] == [slow.bids, slow.asks]
            self.scanner.apply()
            bids, asks = self.scanner.levels()
            assert [bids.tolist(), asks.tolist()] == [slow.bids, slow.asks]
            self.twins[slot].apply(np.array(slow.bids).reshape(-1, 2), np.array(slow.asks).reshape(-1, 2), slow.last)
        for book, twin in zip(self.books, self.twins, strict=True):
            assert state(book) == state(twin)
        return slot != NOT_RECOGNISED


NUMBER = st.one_of(
    st.decimals(0, 10**10, places=8).map(lambda d: f"{d:.8f}"),
    st.from_regex(r"\A(0|[1-9][0-9]{0,12})(\.[0-9]{1,12})?\Z"),
    st.sampled_from(["0", "0.0", "0.00000000", "92233720368.54775807", "92233720368.54775808", "9223372036854775807"]),
    st.sampled_from(
        ["-1", "+1", "1e5", "1E-2", "007", "01.5", "1.", ".5", "", " 1", "1 ", "1_0", "NaN", "٣", "0x1", "-0"]
    ),
)
COLUMN = st.lists(st.tuples(NUMBER, NUMBER), max_size=4)
COUNT = st.one_of(
    st.integers(0, 2**64), st.sampled_from([0, 1, 9223372036854775807, 9223372036854775808, -1, 1.0, True])
)
EVENT = st.fixed_dictionaries(
    {
        "e": st.sampled_from(["depthUpdate"] * 5 + ["trade", "depthUpdat", "depthUpdate "]),
        "E": COUNT,
        "s": st.sampled_from([*SYMBOLS, "BTCUSD", "BTCUSDTT", "", 'B"']),
        "U": COUNT,
        "u": COUNT,
        "b": COLUMN,
        "a": COLUMN,
    },
    optional={"x": st.sampled_from([1, "y", None])},
)


@settings(max_examples=int(300 * EFFORT), deadline=None)
@given(EVENT, st.permutations(["e", "E", "s", "U", "u", "b", "a", "x"]), st.booleans(), st.booleans(), st.booleans())
def test_agrees_on_generated_frames(
    event: dict[str, Any], order: list[str], combined: bool, stream_last: bool, spaces: bool
) -> None:
    frame = write({key: event[key] for key in order if key in event}, combined, stream_last)
    if spaces:
        frame = json.dumps(json.loads(frame)).encode()
    Rig().give(frame)


def test_takes_every_order_of_keys() -> None:
    rng, rig = random.Random(5), Rig()
    for number in range(300):
        event = an_event(rng, SYMBOLS[0])
        event = {key: event[key] for key in rng.sample(list(event), len(event))}
        event["b"] = [[price, size] for price, size in event["b"] if float(price)]
        event["a"] = [[price, size] for price, size in event["a"] if float(price)]
        assert rig.give(write(event, combined=number % 3 > 0, stream_last=number % 3 > 1))


def test_agrees_on_damaged_frames() -> None:
    rng, rig = random.Random(11), Rig()
    taken = 0
    for number in range(int(6000 * EFFORT)):
        frame = write(an_event(rng, rng.choice(SYMBOLS), 3), number % 2 == 0, number % 4 == 0)
        taken += rig.give(mutate(rng, frame))
    assert taken > 100 * EFFORT  # some damages leave a frame that is still one


REFUSED = {
    "empty": "",
    "nul": "\x00",
    "no object": "[]",
    "trailing bytes": GOOD + " ",
    "trailing nul": GOOD + "\x00",
    "leading space": " " + GOOD,
    "unknown key": GOOD.replace('"E":1', '"E":1,"x":1'),
    "repeated key": GOOD.replace('"E":1', '"E":1,"E":1'),
    "repeated levels": GOOD[:-1] + ',"a":[]}',
    "missing key": GOOD.replace('"E":1,', ""),
    "U after u": GOOD.replace('"U":3', '"U":5'),
    "negative": GOOD.replace('"U":3', '"U":-3'),
    "zero-led number": GOOD.replace('"U":3', '"U":03'),
    "float": GOOD.replace('"U":3', '"U":3.0'),
    "exponent": GOOD.replace('"U":3', '"U":3e0'),
    "beyond int64": GOOD.replace('"u":4', '"u":9223372036854775808'),
    "beyond uint64": GOOD.replace('"u":4', '"u":18446744073709551620'),
    "many digits": GOOD.replace('"u":4', '"u":' + "1" * 40),
    "time beyond ns": GOOD.replace('"E":1', '"E":9223372036855'),
    "another event": GOOD.replace("depthUpdate", "trade"),
    "another symbol": GOOD.replace("BTCUSDT", "BTCUSD"),
    "escaped symbol": GOOD.replace("BTCUSDT", "BTC\\u0055SDT"),
    "price zero": GOOD.replace('"1.00000000"', '"0.00000000"'),
    "price zero, short": GOOD.replace('"1.00000000"', '"0"'),
    "negative size": GOOD.replace('"2.00000000"', '"-2.00000000"'),
    "zero-led size": GOOD.replace('"2.00000000"', '"02.00000000"'),
    "nine decimals": GOOD.replace('"2.00000000"', '"2.000000001"'),
    "exponent in text": GOOD.replace('"2.00000000"', '"2e0"'),
    "no decimals after point": GOOD.replace('"2.00000000"', '"2."'),
    "no digits before point": GOOD.replace('"2.00000000"', '".20000000"'),
    "empty text": GOOD.replace('"2.00000000"', '""'),
    "bare number": GOOD.replace('"2.00000000"', "2.00000000"),
    "does not fit": GOOD.replace('"2.00000000"', '"92233720368.54775808"'),
    "other digits": GOOD.replace('"2.00000000"', '"٢.00000000"'),
    "point misplaced": GOOD.replace('"2.00000000"', '"20.0000000.0"'),
    "colon for digit": GOOD.replace('"2.00000000"', '"2.0000000:"'),
    "third element": GOOD.replace(LEVEL, LEVEL[:-1] + ',"0"]'),
    "one element": GOOD.replace(LEVEL, '["1.00000000"]'),
    "trailing comma": GOOD.replace(LEVEL, LEVEL + ","),
    "space in list": GOOD.replace(LEVEL, " " + LEVEL),
    "list unclosed": GOOD.replace(f"[{LEVEL}]", f"[{LEVEL}"),
    "null list": GOOD.replace(f"[{LEVEL}]", "null"),
    "data without stream": '{"data":' + GOOD + "}",
    "stream without data": '{"stream":"x"}',
    "stream not text": '{"stream":1,"data":' + GOOD + "}",
    "escape in stream": '{"stream":"\\u0041","data":' + GOOD + "}",
    "third key outside": '{"stream":"x","data":' + GOOD + ',"y":1}',
    "line break in stream": '{"stream":"\n","data":' + GOOD + "}",
    "stream unclosed": '{"stream":"x,"data":' + GOOD + "}",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_is_not_exactly_known(name: str) -> None:
    rig = Rig()
    assert rig.give(GOOD.encode())
    assert not rig.give(REFUSED[name].encode())


def test_refuses_bytes_that_are_no_text() -> None:
    rig = Rig()
    for bad in (
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe5\xb8",
        b"\x80",
        b"\xf8\x88\x80\x80\x80",
    ):
        assert not rig.give(b'{"stream":"' + bad + b'","data":' + GOOD.encode() + b"}")
    assert rig.give('{"stream":"币é🙂@depth","data":'.encode() + GOOD.encode() + b"}")


def test_looks_at_every_byte_of_the_stream_name() -> None:
    scanner = DepthScanner()
    scanner.bind("BTCUSDT", OrderBook(8, 8))
    tail = b'","data":' + GOOD.encode() + b"}"
    for length in range(18):
        for at in range(length):
            for bad in (b"\x00", b"\x01", b"\x1f", b"\\", b'"', b"\x80", b"\xff"):
                name = b"!" * at + bad + b"~" * (length - at - 1)
                assert scanner.scan(b'{"stream":"' + name + tail) == NOT_RECOGNISED
        assert scanner.scan(b'{"stream":"' + b" " * length + tail) == 0


@pytest.mark.parametrize(
    ("price", "size"),
    [
        ("92233720368.54775807", "92233720368.54775807"),
        ("0.00000001", "0"),
        ("12345678.12345678", "123456789.12345678"),
        ("5", "7.5"),
        ("100000000.00000000", "99999999.99999999"),
        ("1.000000000000", "0.00000000000"),
    ],
)
def test_reads_numbers_of_any_length(price: str, size: str) -> None:
    rig = Rig()
    level = f'["{price}","{size}"]'
    assert rig.give(GOOD.replace(LEVEL, level).encode())
    assert rig.give(GOOD.replace(LEVEL, ",".join([LEVEL, level, LEVEL, level, level])).encode())


def test_more_digits_than_the_scale_are_refused_and_zeros_are_free() -> None:
    rig = Rig()  # ETHBTC: 2 decimals of price, 3 of size
    frame = GOOD.replace("BTCUSDT", "ETHBTC")
    assert rig.give(frame.encode())
    assert rig.give(frame.replace("1.00000000", "1.25000000").encode())
    assert not rig.give(frame.replace("1.00000000", "1.25100000").encode())
    assert not rig.give(frame.replace("2.00000000", "2.00010000").encode())


def test_takes_any_buffer_and_leaves_its_neighbours_unread() -> None:
    page, rng = mmap.PAGESIZE, random.Random(3)
    area = mmap.mmap(-1, 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert libc.mprotect(start + page, page, 0) == 0
    rig, snapshots = Rig(), SnapshotScanner()
    body = b'{"lastUpdateId":3,"bids":[["2.00000000","1.00000000"],["1.00000000","1.00000000"]],"asks":[]}'
    try:
        for frame in [GOOD.encode(), body, *(write(an_event(rng), True) for _ in range(20))]:
            for length in range(len(frame) + 1):
                ctypes.memmove(start + page - length, frame[:length], length)
                view = memoryview((ctypes.c_char * length).from_address(start + page - length)).cast("B")
                assert rig.scanner.scan(view) == rig.scanner.scan(frame[:length])
                assert snapshots.scan(view, 8, 8) == (length == len(frame) and frame is body)
    finally:
        assert libc.mprotect(start + page, page, 3) == 0
    assert rig.scanner.scan(bytearray(GOOD.encode())) == 0
    assert rig.scanner.scan(memoryview(GOOD.encode())) == 0
    with pytest.raises(TypeError):
        rig.scanner.scan(GOOD)  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        rig.scanner.scan(memoryview(GOOD.encode())[::2])
    with pytest.raises(BookError):
        rig.scanner.apply()


def test_finds_one_of_many_symbols() -> None:
    scanner = DepthScanner()
    symbols = [f"S{i}{'X' * (i % 40)}" for i in range(300)]
    books = [OrderBook(8, 8, capacity=1) for _ in symbols]
    for book in books:
        book.load([], [], 0, True, True)
    assert [scanner.bind(symbol, book) for symbol, book in zip(symbols, books, strict=True)] == list(range(300))
    for slot, symbol in enumerate(symbols):
        assert scanner.scan(GOOD.replace("BTCUSDT", symbol).encode()) == slot
        scanner.apply()
        assert scanner.scan(GOOD.replace("BTCUSDT", symbol + "Z").encode()) == NOT_RECOGNISED
    assert all(book.best_bid == (10**8, 2 * 10**8) for book in books)
    other = OrderBook(2, 2)
    other.load([], [], 0, True, True)
    assert scanner.bind(symbols[7], other) == 7
    assert scanner.scan(GOOD.replace("BTCUSDT", symbols[7]).encode()) == 7
    scanner.apply()
    assert other.best_bid == (100, 200)
    assert sys.getrefcount(books[7]) < sys.getrefcount(books[8])  # let go
    for symbol in ("", "X" * 65):
        with pytest.raises(ValueError, match="symbol"):
            scanner.bind(symbol, other)


def test_a_full_book_refuses_a_frame_whole() -> None:
    book, scanner = OrderBook(8, 8, capacity=1, max_levels=1), DepthScanner()
    slot = scanner.bind("BTCUSDT", book)
    book.load([[3, 1]], [], 2, True, True)
    assert scanner.scan(GOOD.encode()) == slot
    with pytest.raises(BookError, match="more than 1"):
        scanner.apply()
    assert (book.sequence, book.levels(Side.BUY).tolist()) == (2, [[3, 1]])


def recorded() -> list[dict[str, Any]]:
    path = CAPTURES / "binance" / "market.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no captures at {CAPTURES}")
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def test_takes_every_recorded_depth_frame_and_replays_to_what_is_expected() -> None:
    lines = recorded()
    expected = json.loads((CAPTURES / "binance" / "expected.json").read_text())
    symbols = sorted({entry["instrument"] for entry in expected.values()})
    classify = CONNECTOR.codec().classify
    scanner, snapshots = DepthScanner(), SnapshotScanner()
    books = {symbol: OrderBook(8, 8) for symbol in symbols}
    for symbol, book in books.items():
        assert scanner.bind(symbol, book) == symbols.index(symbol)
    early: dict[str, list[bytes]] = {symbol: [] for symbol in symbols}
    verdicts: dict[str, list[Verdict]] = {symbol: [] for symbol in symbols}

    def replay(symbol: str, frame: bytes) -> None:
        assert scanner.scan(frame) == symbols.index(symbol)
        verdict = classify(books[symbol].sequence, scanner, bool(verdicts[symbol]))
        verdicts[symbol].append(verdict)
        if verdict is Verdict.APPLY:
            scanner.apply()

    for line in lines:
        raw = line["raw"].encode()
        if line["kind"] == "http" and "/depth?" in line["url"]:
            symbol = line["url"].split("symbol=")[1].split("&")[0]
            assert snapshots.scan(raw, 8, 8)
            message = orjson.loads(raw)
            read = [side.tolist() for side in snapshots.levels()]
            assert read == [numbers(message[key], (8, 8)) for key in ("bids", "asks")]
            snapshots.load(books[symbol], 1000)
            for frame in early.pop(symbol):
                replay(symbol, frame)
        elif line["kind"] == "recv":
            slot = scanner.scan(raw)
            assert (slot != NOT_RECOGNISED) == ('"depthUpdate"' in line["raw"])
            if slot == NOT_RECOGNISED:
                continue
            slow = read_slowly(raw, dict.fromkeys(symbols, (8, 8)))
            assert [side.tolist() for side in scanner.levels()] == [slow.bids, slow.asks]
            assert (scanner.first, scanner.last) == (slow.first, slow.last)
            if slow.symbol in early:
                early[slow.symbol].append(raw)
            else:
                replay(slow.symbol, raw)
    for entry in expected.values():
        symbol, wanted, book = entry["instrument"], entry["book"], books[entry["instrument"]]
        assert verdicts[symbol].count(Verdict.APPLY) == wanted["applied"]
        assert verdicts[symbol].count(Verdict.STALE) == wanted["dropped"]
        assert verdicts[symbol].count(Verdict.GAP) == wanted["gaps"]
        assert (book.sequence, book.n_bids, book.n_asks) == (wanted["last_id"], wanted["n_bids"], wanted["n_asks"])
        assert book.levels(Side.BUY, 5).tolist() == numbers(wanted["bids"], (8, 8))
        assert book.levels(Side.SELL, 5).tolist() == numbers(wanted["asks"], (8, 8))
