"""The byte scanner and the JSON path read the same from every real, generated or damaged frame.

Both directions: the JSON path reads every accepted frame as the scanner does, and the scanner accepts every frame in
the exchange's own form (otherwise a scanner that accepts nothing would pass).
"""

from __future__ import annotations

import json
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fakes.both_readers import damaged, number, price
from tests.fakes.captures import captures
from venuemesh.actors.recording.file import read
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.market_codec import NOT_RECOGNISED
from venuemesh.model.errors import DecodeError
from venuemesh.model.events import DepthDelta
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.l2 import OrderBook

PAIRS = [
    Instrument("binance", "NKN-USDT", "NKNUSDT", "NKN", "USDT", 8, 8),
    Instrument("binance", "BLZ-ETH", "BLZETH", "BLZ", "ETH", 8, 8),
    Instrument("binance", "LRC-BTC", "LRCBTC", "LRC", "BTC", 8, 4),  # as if its sizes were huge
    Instrument("binance", "RUNE-EUR", "RUNEEUR", "RUNE", "EUR", 8, 8),
]


def readers():
    codec = CONNECTOR.codec()
    codec.bind(PAIRS)
    scanner = codec.scanner()
    assert scanner is not None
    for slot, pair in enumerate(PAIRS):
        assert scanner.bind(pair.symbol, OrderBook(pair.price_scale, pair.size_scale)) == slot
    return codec, scanner


CODEC, SCANNER = readers()


def read_both(frame: bytes) -> tuple[object, object]:
    """Return the result of each path: a tuple of plain values, or why it has none."""
    slot = SCANNER.scan(frame)
    fast: object = None
    if slot != NOT_RECOGNISED:
        bids, asks = SCANNER.levels()
        numbers = SCANNER.first, SCANNER.last, SCANNER.ts_event_ns
        fast = PAIRS[slot].symbol, *numbers, bids.tolist(), asks.tolist()
    try:
        (event,) = CODEC.decode(frame, 1)
    except DecodeError as error:
        return fast, error
    if not isinstance(event, DepthDelta):
        return fast, event
    numbers = event.first, event.last, event.ts_event_ns
    return fast, (event.symbol, *numbers, event.bids.tolist(), event.asks.tolist())


def check(frame: bytes) -> None:
    fast, slow = read_both(frame)
    assert fast is None or fast == slow


@cache
def recorded() -> list[bytes]:
    return [r.raw for r in read(captures("binance") / "market.jsonl.gz") if r.kind == "recv"]


def test_real_frames_are_read_alike_and_the_scanner_takes_every_delta():
    deltas = 0
    for frame in recorded():
        fast, slow = read_both(frame)
        if isinstance(slow, tuple):
            deltas += 1
            assert fast == slow
        else:
            assert fast is None
    assert deltas == 177


@st.composite
def canonical(draw: st.DrawFn) -> bytes:
    """Return a frame in the exchange's form: compact, with the manual's order of keys, raw or combined."""
    pair = draw(st.sampled_from(PAIRS))
    first = draw(st.integers(0, 2**60))
    message = {
        "e": "depthUpdate",
        "E": draw(st.integers(0, 9_000_000_000_000)),
        "s": pair.symbol,
        "U": first,
        "u": first + draw(st.integers(0, 1000)),
        "b": draw(st.lists(st.tuples(price(), number(pair.size_scale)), max_size=12)),
        "a": draw(st.lists(st.tuples(price(), number(pair.size_scale)), max_size=12)),
    }
    if draw(st.booleans()):
        message = {"stream": f"{pair.symbol.lower()}@depth@100ms", "data": message}
    return json.dumps(message, separators=(",", ":")).encode()


@given(canonical())
def test_generated_frames_are_taken_by_both_alike(frame):
    fast, slow = read_both(frame)
    assert fast is not None
    assert fast == slow


@example(b'{"e":"depthUpdate","E":1,"s":"BLZETH","U":1,"u":2,"b":[],"a":[],"a":[["1","2"]]}')
@example(b'{"e":"depthUpdate","E":1,"s":"BLZETH","U":2,"u":1,"b":[],"a":[]}')
@example(b'{"e":"depthUpdate","E":1,"s":"BLZETH","U":1,"u":2,"b":["12"],"a":[]}')
@example(b'{"e":"depthUpdate","E":1,"s":"BLZETH","U":1,"u":2,"b":[["1","2"]],"a":[]}\n')
@example(b'{"e":"depthUpdate","E":9223372036855,"s":"BLZETH","U":1,"u":2,"b":[],"a":[]}')
@example(b'{"e":"depthUpdate","E":1,"s":"BLZETH","U":1,"u":9223372036854775808,"b":[],"a":[]}')
@example(b'{"stream":"x","data":{"e":"depthUpdate","E":1,"s":"BLZETH","U":1,"u":2,"b":[],"a":[]},"stream":"y"}')
@example(b'{"stream":7,"data":{"e":"depthUpdate","E":1,"s":"BLZETH","U":1,"u":2,"b":[],"a":[]}}')
@given(damaged(canonical()))
def test_damaged_frames_are_never_read_differently(frame):
    check(frame)


@pytest.mark.parametrize("part", range(4))
def test_damaged_real_frames_are_never_read_differently(part):
    frames = [frame for at, frame in enumerate(recorded()) if at % 4 == part]

    @given(damaged(st.sampled_from(frames)))
    def run(frame: bytes) -> None:
        check(frame)

    run()


def test_every_cut_and_every_single_flip_of_a_real_frame():
    frame = min((f for f in recorded() if b"depthUpdate" in f), key=len)
    for at in range(len(frame)):
        check(frame[:at])
        for other in b'0".,[{-e ':
            check(frame[:at] + bytes([other]) + frame[at + 1 :])
