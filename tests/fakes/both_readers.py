"""A byte scanner and the JSON path of its codec, and frames for both: numbers in exchanges' forms, and damage."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from tests.fakes.captures import captures
from tests.fakes.effort import EFFORT
from venuemesh.connectors.market_codec import NOT_RECOGNISED, Codec
from venuemesh.model.errors import DataError
from venuemesh.model.events import DepthDelta, DepthSnapshot
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.l2 import OrderBook, use_wide

TRIES = settings(max_examples=max(5, int(100 * EFFORT)), deadline=None)


class BothReaders:
    """`fast` is the scanner's result and `slow` the JSON path's: plain values of a delta or a whole book."""

    def __init__(self, codec: Codec, instruments: Sequence[Instrument]) -> None:
        self.codec = codec
        self.instruments = instruments
        codec.bind(instruments)
        scanner = codec.scanner()
        assert scanner is not None
        self.scanner = scanner
        for number, one in enumerate(instruments):
            assert scanner.bind(one.symbol, OrderBook(one.price_scale, one.size_scale)) == number

    def fast(self, frame: bytes) -> Any:
        """Scan with the portable code and with the wide code, which must read the same."""
        use_wide(False)
        try:
            portable = self._scanned(frame)
        finally:
            use_wide(None)
        read = self._scanned(frame)
        assert portable == read
        return read

    def _scanned(self, frame: bytes) -> Any:
        scanner = self.scanner
        slot = scanner.scan(frame)
        if slot == NOT_RECOGNISED:
            return None
        bids, asks = scanner.levels()
        symbol, sides = self.instruments[slot].symbol, (bids.tolist(), asks.tolist())
        if scanner.depth:
            assert (scanner.first, scanner.previous) == (scanner.last, None)
            complete = len(bids) < scanner.depth, len(asks) < scanner.depth
            return "book", symbol, scanner.last, scanner.checksum, scanner.ts_event_ns, *complete, *sides
        numbers = scanner.first, scanner.last, scanner.previous, scanner.checksum, scanner.ts_event_ns
        return symbol, *numbers, *sides

    def slow(self, frame: bytes) -> Any:
        try:
            events = self.codec.decode(frame, 1)
        except DataError as error:
            return error
        if len(events) != 1 or not isinstance(events[0], DepthDelta | DepthSnapshot):
            return list(events)
        one = events[0]
        sides = one.bids.tolist(), one.asks.tolist()
        if isinstance(one, DepthSnapshot):
            complete = one.bids_complete, one.asks_complete
            return "book", one.symbol, one.sequence, one.checksum, one.ts_event_ns, *complete, *sides
        return one.symbol, one.first, one.last, one.previous, one.checksum, one.ts_event_ns, *sides

    def check(self, frame: bytes) -> bool:
        """Assert that both paths read the same; return whether the scanner read the frame."""
        fast = self.fast(frame)
        assert fast is None or fast == self.slow(frame)
        return fast is not None

    def check_cuts_and_flips(self, frame: bytes) -> None:
        """Check every beginning of a frame, and the frame with each of its bytes replaced."""
        assert self.check(frame)
        for at in range(len(frame)):
            self.check(frame[:at])
            for other in b'0".,[{-e }':
                self.check(frame[:at] + bytes([other]) + frame[at + 1 :])


def recorded(exchange: str, name: str) -> list[bytes]:
    """The frames received in a recording."""
    with gzip.open(captures(exchange) / name, "rt") as lines:
        return [line["raw"].encode() for line in map(json.loads, lines) if line["kind"] == "recv"]


def number(decimals: int) -> st.SearchStrategy[str]:
    return st.builds(
        lambda whole, part, places: (
            f"{whole}.{part:0{places}d}"[: len(str(whole)) + 1 + places] if places else str(whole)
        ),
        st.one_of(st.integers(0, 9), st.integers(0, 10**6)),
        st.integers(0, 10**decimals - 1),
        st.integers(0, decimals),
    )


def price() -> st.SearchStrategy[str]:
    return number(8).filter(lambda text: float(text) > 0)


DAMAGE = (
    b'"', b"\\", b",", b":", b"{", b"}", b"[", b"]", b"-", b"+", b".", b"0", b"00", b"1e5", b"E-3", b" ", b"\n", b"\t",
    b"\x00", b"\xff", b"\xc3\xa9", b"null", b"true", b"\\u0030", b"\\u", b'"e":"trade",', b'"u":1,', b'"b":[],', b"NaN",
    b"99999999999999999999", b'["1","2"],', b'["1","-2"]', b'["0","2"]', b'["1","2","3"]', b'"U"', b"BLZETH", b"//",
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, frames: st.SearchStrategy[bytes]) -> bytes:
    frame = bytearray(draw(frames))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(frame) - 1)))
        match draw(st.sampled_from(["insert", "replace", "cut", "drop", "digit", "twice"])):
            case "insert":
                frame[at:at] = draw(st.sampled_from(DAMAGE))
            case "replace":
                what = draw(st.sampled_from(DAMAGE))
                frame[at : at + len(what)] = what
            case "cut":
                del frame[at:]
            case "drop":
                del frame[at : at + draw(st.integers(1, 8))]
            case "digit":
                digits = [i for i, byte in enumerate(frame) if 48 <= byte <= 57]
                if digits:
                    frame[draw(st.sampled_from(digits))] = draw(st.sampled_from(b"0123456789.-eE"))
            case "twice":
                frame[at:at] = frame[at : at + draw(st.integers(1, 40))]
    return bytes(frame)
