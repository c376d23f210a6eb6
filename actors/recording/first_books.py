"""Reads what a recording has: levels or orders, and the feed's depth and decimals of each pair in its first whole book.

An exchange that pushes its books (`BookSource.PUSHED`) sends as many levels as the recorder requested. If a checksum is
the proof, only the right number of decimals results in the checksum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from ...connectors.gzip_frames import inflate
from ...connectors.market_codec import ChecksummedBooks, Codec
from ...connectors.spec import BookSource, ExchangeSpec, Proof
from ...model.errors import DataError
from ...model.events import Delta, DepthSnapshot, OrderDelta, OrderSnapshot, WholeBook
from ...model.instrument import Instrument
from ...orderbook.l2 import OrderBook
from .file import read
from .instruments import LINES_SEARCHED


@dataclass(frozen=True, slots=True)
class FirstBook:
    """`window`: the feed's number of levels a side, 0 for all. `instrument` has the decimals of the checksum; None
    without a checksum."""

    window: int
    instrument: Instrument | None


def unlisted(spec: ExchangeSpec, symbol: str, size_scale: int | None = None) -> Instrument:
    """Return an instrument for a symbol that is in no list, with the decimals of the messages."""
    wire = spec.wire_decimals
    return Instrument(spec.exchange, symbol, symbol, "", "", wire, wire if size_scale is None else size_scale)


def recorded_by_order(codec: Codec, listed: Mapping[str, Instrument], paths: Sequence[Path]) -> bool:
    """Return whether the first message of a book is an order-level one; `codec` is of order-level books.

    Changes the pairs bound to the codec.
    """
    codec.bind(listed.values())
    for path in paths:
        try:
            for record in read(path):
                if record.line > LINES_SEARCHED:
                    break
                if record.kind != "recv":
                    continue
                try:
                    events = codec.decode(inflate(record.raw) if codec.spec.gzip else record.raw, 0)
                except DataError:
                    continue  # the replay counts it
                found = [event for event in events if isinstance(event, Delta | WholeBook)]
                if found:
                    return isinstance(found[0], OrderDelta | OrderSnapshot)
        except DataError:
            continue  # the replay itself reports the damage
    return False


def first_books(codec: Codec, listed: Mapping[str, Instrument], paths: Sequence[Path]) -> dict[str, FirstBook]:
    """Find the first whole book of each symbol at the beginning of the recordings.

    Changes the pairs bound to the codec.
    """
    found: dict[str, FirstBook] = {}
    if codec.spec.book.source is not BookSource.PUSHED:
        return found
    for path in paths:
        try:
            for record in read(path):
                if record.line > LINES_SEARCHED:
                    break
                if record.kind == "recv":
                    _look(codec, listed, record.raw, found)
        except DataError:
            continue  # the replay itself reports the damage
    return found


def _look(codec: Codec, listed: Mapping[str, Instrument], raw: bytes, found: dict[str, FirstBook]) -> None:
    frame = inflate(raw) if codec.spec.gzip else raw
    symbol = codec.symbol_of(frame)
    if symbol is None or symbol in found:
        return
    instrument = listed.get(symbol) or unlisted(codec.spec, symbol)
    snapshot = _snapshot_in(codec, instrument, frame)
    if snapshot is None:
        return
    is_proven = symbol not in listed and codec.spec.book.proof is Proof.CHECKSUM
    window = _window(codec.spec, max(_levels(snapshot)))
    found[symbol] = FirstBook(window, _proven(codec, instrument, frame) if is_proven else None)


def _window(spec: ExchangeSpec, levels: int) -> int:
    """Return the codec's own window, or the smallest offered window for a book of this many levels."""
    window = spec.book.window or 0
    if not window or levels <= window:
        return window
    offered = sorted(choice for option in spec.options if window in option.choices for choice in option.choices)
    return next((choice for choice in offered if choice >= levels), levels)


def _levels(snapshot: WholeBook) -> tuple[int, int]:
    """Return the number of bid and of ask levels."""
    if isinstance(snapshot, DepthSnapshot):
        return len(snapshot.bids), len(snapshot.asks)
    bids, asks = (len({order[1] for order in side}) for side in (snapshot.bids, snapshot.asks))
    return bids, asks


def _snapshot_in(codec: Codec, instrument: Instrument, frame: bytes | memoryview) -> WholeBook | None:
    """Return the whole book in a frame; None if it has none, or if the book does not fit the instrument's decimals."""
    codec.bind([instrument])
    try:
        events = codec.decode(frame, 0)
    except DataError:
        return None
    whole = (event for event in events if isinstance(event, DepthSnapshot | OrderSnapshot))
    return next((event for event in whole if event.request_id is None), None)


def _proven(codec: Codec, instrument: Instrument, frame: bytes | memoryview) -> Instrument | None:
    """Return the instrument with the fewest decimals that result in the checksum of the book in the frame."""
    if not isinstance(codec, ChecksummedBooks):
        return None
    upto = range(codec.spec.wire_decimals + 1)
    for price_scale, size_scale in product(upto, upto):
        tried = replace(instrument, price_scale=price_scale, size_scale=size_scale)
        snapshot = _snapshot_in(codec, tried, frame)
        if not isinstance(snapshot, DepthSnapshot) or not len(snapshot.bids) + len(snapshot.asks):
            continue
        book = OrderBook(price_scale, size_scale)
        try:
            book.load(snapshot.bids, snapshot.asks, 0)
            if codec.checksum(tried, book) == snapshot.checksum:
                return tried
        except DataError:
            return None
    return None
