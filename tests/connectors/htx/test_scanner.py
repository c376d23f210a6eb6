"""HTX's byte scanner and the JSON path read the same from every recorded, generated or damaged frame."""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.connectors.htx.test_market import SYMBOLS, listed
from tests.fakes.both_readers import TRIES, BothReaders, damaged
from tests.fakes.captures import captures
from venuemesh.connectors.htx import CONNECTOR
from venuemesh.model.instrument import Instrument

PAIRS = [
    Instrument("htx", "BTC-USDT", "btcusdt", "BTC", "USDT", 8, 13),
    Instrument("htx", "PEPE-USDT", "pepeusdt", "PEPE", "USDT", 12, 6),
    Instrument("htx", "BIG-USDT", "bigusdt", "BIG", "USDT", 0, 0),
]
READERS = BothReaders(CONNECTOR.codec(), PAIRS)


@cache
def frames() -> list[bytes]:
    with gzip.open(captures("htx") / "market.jsonl.gz") as lines:
        return [gzip.decompress(base64.b64decode(json.loads(line)["raw_b64"])) for line in lines]


@cache
def of_recording() -> BothReaders:
    known = listed()
    return BothReaders(CONNECTOR.codec(), [known[symbol] for symbol in SYMBOLS])


def delta(bids: str = "[[52690.5,1.5]]", asks: str = "[]", **changes: Any) -> bytes:
    numbers = {"seqNum": 12, "prevSeqNum": 10} | changes
    tick = ",".join(f'"{name}":{json.dumps(value)}' for name, value in numbers.items())
    return f'{{"ch":"market.btcusdt.mbp.150","ts":1000,"tick":{{{tick},"bids":{bids},"asks":{asks}}}}}'.encode()


def book(bids: str = "[[52690.5,1.5]]", asks: str = "[[52691,2.0E-4]]") -> bytes:
    tick = f'"bids":{bids},"asks":{asks},"version":7,"ts":998'
    return f'{{"ch":"market.btcusdt.depth.step0","ts":1000,"tick":{{{tick}}}}}'.encode()


def test_the_scanner_reads_every_recorded_book_and_nothing_else() -> None:
    books = [b".depth.step0" in frame and b'"tick"' in frame for frame in frames()]
    assert [of_recording().check(frame) for frame in frames()] == books
    assert sum(books) == 4 * 31 + 30


def number() -> st.SearchStrategy[str]:
    """Numbers as a double is written, with and without an exponent."""
    doubles = st.floats(0, 1e9, allow_subnormal=False).map(repr)
    short = st.decimals(0, 10**7, places=4).map(str)
    return st.one_of(doubles, short, st.integers(0, 10**9).map(str), doubles.map(lambda text: text.replace("e", "E")))


def price() -> st.SearchStrategy[str]:
    """Prices of at most 8 decimals, some with an exponent."""
    units = st.integers(1, 10**14)
    return st.one_of(units.map(lambda n: f"{n // 10**8}.{n % 10**8:08d}"), units.map(lambda n: f"{n}E-8"))


def rows() -> st.SearchStrategy[str]:
    level = st.tuples(price(), number()).map(lambda pair: f"[{pair[0]},{pair[1]}]")
    return st.lists(level, max_size=12).map(lambda some: f"[{','.join(some)}]")


@st.composite
def canonical(draw: st.DrawFn) -> bytes:
    """Return a book or a delta in the exchange's form, its keys in any order."""
    symbol = draw(st.sampled_from(PAIRS[:2])).symbol
    sides = [f'"bids":{draw(rows())}', f'"asks":{draw(rows())}']
    if draw(st.booleans()):
        topic, keys = f"mbp.{draw(st.sampled_from([5, 20, 150]))}", ['"seqNum":12', '"prevSeqNum":10']
        sides = sides[: draw(st.integers(0, 2))]
    else:
        topic, keys = "depth.step0", ['"version":9', '"ts":5']
    tick = f'"tick":{{{",".join(draw(st.permutations([*sides, *keys])))}}}'
    rest = ",".join(draw(st.permutations([tick, f'"ts":{draw(st.integers(0, 9_000_000_000_000))}'])))
    return f'{{"ch":"market.{symbol}.{topic}",{rest}}}'.encode()


@TRIES
@given(canonical())
def test_generated_frames_are_read_by_both_alike(frame: bytes) -> None:
    READERS.check(frame)


@example(delta("[[0,1]]"))
@example(delta("[[0.0,1]]"))
@example(delta("[[1E-8,1]]"))
@example(delta("[[1E-9,1]]"))
@example(delta("[[1.50E-7,1]]"))
@example(delta("[[01,1]]"))
@example(delta("[[1.,1]]"))
@example(delta("[[1,1e]]"))
@example(delta("[[1,1e+]]"))
@example(delta("[[1,1e+5]]"))
@example(delta("[[1,1E05]]"))
@example(delta("[[1,1E005]]"))
@example(delta("[[1,-1]]"))
@example(delta("[[1,1E-99]]"))
@example(delta("[[1,0E99]]"))
@example(delta("[[1,1E99]]"))
@example(delta("[[1,0.00000000000005]]"))
@example(delta("[[1,0.00000000000015]]"))
@example(delta("[[1,0.000000000000149999]]"))
@example(delta("[[1,9999999999999999999]]"))
@example(delta("[[1,99999999999999999999]]"))
@example(delta("[[1,922337.2036854775807]]"))
@example(delta("[[1,922337.2036854775808]]"))
@example(delta("[[1,922337.20368547758074]]"))
@example(delta("[[1,1.8446744073709551615]]"))
@example(delta('[["1","1"]]'))
@example(delta("[[1,1,1]]"))
@example(delta("[[1]]"))
@example(delta("null"))
@example(delta(seqNum=-1))
@example(delta(seqNum=9223372036854775808))
@example(delta(seqNum="12"))
@example(delta(extra=1))
@example(delta().replace(b"mbp.150", b"mbp.refresh.150"))
@example(delta().replace(b"mbp.150", b"mbp.x"))
@example(delta().replace(b"market.btcusdt", b"market.btc.usdt"))
@example(delta().replace(b'"ts":1000', b'"ts":9223372036855'))
@example(delta() + b"\n")
@example(book().replace(b'"version":7,', b""))
@example(book().replace(b"step0", b"step1"))
@example(book("[[1,0.0]]"))
@TRIES
@given(damaged(canonical()))
def test_damaged_frames_are_never_read_differently(frame: bytes) -> None:
    READERS.check(frame)


@TRIES
@given(st.data())
def test_damaged_recorded_frames_are_never_read_differently(data: st.DataObject) -> None:
    of_recording().check(data.draw(damaged(st.sampled_from(frames()[:60]))))


@TRIES
@given(number())
def test_every_double_is_rounded_alike(text: str) -> None:
    """At a coarse scale too, where most sizes are rounded."""
    for symbol in ("btcusdt", "pepeusdt", "bigusdt"):
        READERS.check(delta(f"[[1,{text}]]").replace(b"btcusdt", symbol.encode()))


def test_every_cut_and_every_single_flip() -> None:
    READERS.check_cuts_and_flips(delta("[[1E-8,2.5E-7]]", "[[52691.01,0.0],[7,26.75597395914065]]"))
    READERS.check_cuts_and_flips(book())


def test_many_short_levels_fit() -> None:
    """The shortest level has six bytes."""
    short = "[" + ",".join(["[1,0]"] * 5000) + "]"
    assert READERS.check(delta(short, short))


@pytest.mark.parametrize(
    ("frame", "taken"),
    [
        (delta(), True),
        (delta("[]"), True),
        (delta("[[5.2691E4,1E-5]]"), True),
        (delta().replace(b',"bids":[[52690.5,1.5]],"asks":[]', b""), True),
        (book(), True),
        (delta("[[1.123456789,1]]"), False),
        (delta(extra=1), False),
        (delta().replace(b'"prevSeqNum":10,', b""), False),
        (delta().replace(b'"ts":1000,', b""), False),
        (delta().replace(b"btcusdt", b"xrpusdt"), False),
        (book().replace(b',"ts":998', b""), False),
        (book().replace(b',"asks":[[52691,2.0E-4]]', b""), False),
        (book().replace(b'"version":7', b'"seqNum":7'), False),
        (delta().replace(b'"seqNum":12', b'"version":12'), False),
        (delta().replace(b"mbp.150", b"trade.detail"), False),
        (delta().replace(b'{"ch"', b'{ "ch"'), False),
    ],
)
def test_what_is_recognised(frame: bytes, taken: bool) -> None:
    assert READERS.check(frame) is taken


def test_books_of_a_feed_without_numbers_are_read_by_both_alike() -> None:
    readers = BothReaders(CONNECTOR.codec(book="depth.step0"), PAIRS)
    assert readers.check(book())
    assert readers.scanner.last == 0
