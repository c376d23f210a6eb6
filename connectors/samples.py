"""Sample messages of an exchange, with which the conformance suite checks a connector.

The author writes the messages by hand in the format of the exchange's manual, small enough to check by eye, each with
the result of a correct reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ..model.candle import Candle
from ..model.errors import MeshError
from ..model.events import Side
from ..model.time import MILLISECOND_NS

Rows = tuple[tuple[str, str], ...]  # price and size as decimal text, best first


@dataclass(frozen=True, slots=True)
class TradeSample:
    """A frame with one public trade. `side` is the taker's."""

    frame: bytes
    trade_id: int
    price: str
    size: str
    side: Side


@dataclass(frozen=True, slots=True)
class RefusalSample:
    """A frame that refuses the subscription with this id (None if the exchange does not repeat the id)."""

    frame: bytes
    request_id: int | str | None
    code: str


@dataclass(frozen=True, slots=True)
class ErrorSample:
    """A failed REST answer, and the type of its error for a request that only reads."""

    status: int
    body: bytes
    error: type[MeshError]
    headers: tuple[tuple[str, str], ...] = ()


def candle(
    open_ms: int,
    close_ms: int,
    prices: tuple[str, str, str, str],
    volume: str,
    quote_volume: str | None,
    count: int | None,
    is_closed: bool,
) -> Candle:
    """Return the candle that a correct reader returns for a row; `prices` are open, high, low and close."""
    opening, high, low, close = map(Decimal, prices)
    quote = None if quote_volume is None else Decimal(quote_volume)
    times = open_ms * MILLISECOND_NS, close_ms * MILLISECOND_NS
    return Candle(*times, opening, high, low, close, Decimal(volume), quote, count, is_closed)


@dataclass(frozen=True, slots=True)
class CandlesSample:
    """An answer with candles of the samples' pair, received at `recv_ns`, and the candle of each row.

    `candles` are oldest first. The last one is still open at `recv_ns`. `frames` are of the exchange's stream of
    candles, if it has one: frames with one candle of the same interval each, and their candles.
    """

    interval: str
    body: bytes
    recv_ns: int
    candles: tuple[Candle, ...]
    frames: tuple[tuple[bytes, Candle], ...] = ()


OrderRows = tuple[tuple[str, str, str], ...]  # order id, price and size as text; best first, each level in its queue


@dataclass(frozen=True, slots=True)
class OrderLevelSamples:
    """The history of the samples' pair as an order-level book (`spec.order_level`): as in `MarketDataSamples`.

    Some level has several orders, of which a delta changes one that is not the last; if the exchange has a window, a
    level must fall out of it. `damaged` are deltas that the codec must refuse.
    """

    snapshot: bytes
    deltas: tuple[bytes, ...]
    bids: OrderRows
    asks: OrderRows
    sequence: int
    stale: bytes | None = None
    gap: bytes | None = None
    damaged: tuple[bytes, ...] = ()
    snapshot_limit: int = 100


@dataclass(frozen=True, slots=True)
class MarketDataSamples:
    """The history of one instrument's book, and one message of every other kind.

    The history: `snapshot` is the book at the beginning. `deltas` follow each other without a gap, and the first one
    joins the snapshot. At the end the book has exactly the levels `bids` and `asks`, at `sequence` (0 if the exchange
    has no numbers). `snapshot` is a REST body, or the frame with the book, depending on `spec.book.source`. If the
    exchange has a window, a level must fall out of it.

    `stale` is a delta that the snapshot already includes, if snapshots are requested separately from the feed. `gap` is
    a delta after a missing one, to follow the last of `deltas`; None if the connection is the proof.
    """

    pair: str  # our name of the instrument, BASE-QUOTE
    instruments: bytes  # body of the instrument list; has the pair among others
    symbols: Mapping[str, str]  # our name -> the exchange's symbol, of pairs in that list
    snapshot: bytes
    deltas: tuple[bytes, ...]
    bids: Rows
    asks: Rows
    sequence: int
    trades: tuple[TradeSample, ...]
    acks: tuple[tuple[bytes, int | str], ...]  # frames that confirm a subscription, with its key
    refusals: tuple[RefusalSample, ...]
    rest_book: bytes | None = None  # REST body of the order book, if `snapshot` is not one
    stale: bytes | None = None
    gap: bytes | None = None
    snapshot_limit: int = 100  # requested levels a side of the snapshot
    ignored: tuple[bytes, ...] = ()  # well-formed frames that the codec ignores
    pings: tuple[tuple[bytes, bytes], ...] = ()  # frames that need an immediate answer, and the answer
    closing: tuple[bytes, ...] = ()  # frames that announce the end of the connection
    errors: tuple[ErrorSample, ...] = ()
    tickers: bytes | None = None  # REST body
    candles: CandlesSample | None = None
    server_time: tuple[bytes, int] | None = None  # REST body, and its time in ns since the Unix epoch
    optional: frozenset[str] = frozenset()  # keys that a delta may omit by the manual
    order_level: OrderLevelSamples | None = None  # if the exchange offers order-level books
    recordings: Sequence[Path] = ()  # of `venuemesh record`; replayed by both paths
