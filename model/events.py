"""The events that a codec reads from an exchange's market data.

Prices and sizes are int64 fixed-point at the instrument's scales. Levels are int64 arrays of shape (n, 2): price, size;
snapshots best first, deltas in the order of arrival; size zero removes the level. Times are nanoseconds since
the Unix epoch: `ts_event_ns` by the exchange's clock (None if it states none), `ts_recv_ns` by ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any

from .candle import Candle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Levels = npt.NDArray[np.int64]
else:
    Levels = Any  # numpy is imported by what makes arrays: commands need none

ORDER_CHANGE_BYTES = 300  # of a tuple with its numbers and its id


class Side(Enum):
    """Side of an order or of an aggressor."""

    BUY = "buy"
    SELL = "sell"


class BookState(IntEnum):
    """State of a book at its writer; a reader adds ABSENT and DEAD when the writer is missing or silent.

    LIVE means: by the exchange's own rule no delta is missing up to the last frame, the connection was not silent for
    longer than its limit, and the heartbeat is recent.
    """

    ABSENT = 0  # no segment: no writer has written this book on this node yet
    CONNECTING = 1  # no connection to the exchange
    SYNCING = 2  # connected; the snapshot has not been joined yet
    LIVE = 3
    GAP = 4  # a delta is missing, or the book contradicts itself; resynchronising
    SILENT = 5  # the connection was silent for longer than its limit
    HALTED = 6  # the exchange does not trade this instrument now
    RETIRED = 7  # this incarnation has ended; look for the next one
    DEAD = 8  # the writer's heartbeat is too old


@dataclass(frozen=True, slots=True)
class DepthSnapshot:
    """A whole book, or its best levels. A side is `complete` if the exchange has no level after its last level.

    A snapshot in the feed replaces the current book at any time. A snapshot with a `request_id` answers that request
    over the socket and joins the deltas that waited for it, like a snapshot over REST. `checksum` is the exchange's, of
    this book.
    """

    symbol: str
    sequence: int
    bids: Levels
    asks: Levels
    bids_complete: bool
    asks_complete: bool
    ts_event_ns: int | None
    ts_recv_ns: int
    request_id: int | str | None = None
    checksum: int | None = None


@dataclass(frozen=True, slots=True)
class DepthDelta:
    """New absolute sizes of some levels. It covers the exchange's sequence numbers `first` to `last`.

    `previous` is the number of the previous delta, if the exchange states it; `checksum` is the exchange's, of the book
    after this delta. If the exchange has no numbers, `first` and `last` are 0.
    """

    symbol: str
    first: int
    last: int
    bids: Levels
    asks: Levels
    ts_event_ns: int | None
    ts_recv_ns: int
    previous: int | None = None
    checksum: int | None = None

    @property
    def nbytes(self) -> int:
        """The memory of the levels."""
        return int(self.bids.nbytes + self.asks.nbytes)


OrderChange = tuple[Any, ...]
"""A change of a resting order, as `orderbook.l3.L3Book.apply` takes it: (ADD, id, side, price, size[, time_ns]), ..."""
RestingOrder = tuple[str, int, int] | tuple[str, int, int, int]
"""An order of a whole book: id, price, size, and the time in ns if the exchange states one."""


@dataclass(frozen=True, slots=True)
class OrderSnapshot:
    """A whole order-level book, or its best levels: the orders of each price in the order of their queue.

    A side is complete if the exchange has no order of it outside the snapshot. The rest is as in `DepthSnapshot`.
    """

    symbol: str
    sequence: int
    bids: Sequence[RestingOrder]
    asks: Sequence[RestingOrder]
    bids_complete: bool
    asks_complete: bool
    ts_event_ns: int | None
    ts_recv_ns: int
    request_id: int | str | None = None
    checksum: int | None = None


@dataclass(frozen=True, slots=True)
class OrderDelta:
    """Changes of resting orders, in order; none if the message only has a number. The rest is as in `DepthDelta`.

    A change is relative to the book before it. So the rule of an exchange whose deltas cover several numbers must not
    apply a delta that overlaps the book.
    """

    symbol: str
    first: int
    last: int
    changes: Sequence[OrderChange]
    ts_event_ns: int | None
    ts_recv_ns: int
    previous: int | None = None
    checksum: int | None = None

    @property
    def nbytes(self) -> int:
        """About the memory of the changes."""
        return len(self.changes) * ORDER_CHANGE_BYTES


Delta = DepthDelta | OrderDelta
WholeBook = DepthSnapshot | OrderSnapshot


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """A public trade. `side` is the taker's. An `aggregate` combines several fills; its ids are a separate sequence.

    `id_text` is the exchange's id if the id is not an int64; `trade_id` is then a hash of the id.
    """

    symbol: str
    trade_id: int
    price_raw: int
    size_raw: int
    side: Side
    ts_event_ns: int | None
    ts_recv_ns: int
    aggregate: bool = False
    id_text: str | None = None


@dataclass(frozen=True, slots=True)
class Ticker:
    """The exchange's own best bid and ask. An empty side is None."""

    symbol: str
    sequence: int
    bid: tuple[int, int] | None
    ask: tuple[int, int] | None
    ts_recv_ns: int


@dataclass(frozen=True, slots=True)
class CandleUpdate:
    """A candle in a feed of candles, whole. `interval` is the mesh's name of it; a candle that `is_closed` is final."""

    symbol: str
    interval: str
    candle: Candle


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The exchange accepted the request with this key: the id of a request, or a name in a message of the request."""

    key: int | str


@dataclass(frozen=True, slots=True)
class SubscribeRefused:
    """The exchange refused the request with this key; None if the refusal has no key."""

    key: int | str | None
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The exchange announced that it will close this connection."""

    ts_event_ns: int | None


@dataclass(frozen=True, slots=True)
class Say:
    """Send this frame to the exchange at once: the answer to a ping inside its messages."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """The codec noticed that messages are missing, of one instrument or (None) of all on this connection."""

    symbol: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Status:
    """The exchange changed the status of an instrument. `status` is the exchange's name, "cancel_only" or "halt"."""

    symbol: str
    is_trading: bool
    status: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A well-formed message of a kind that the mesh does not use. `kind` is the exchange's name of the kind."""

    kind: str


MarketEvent = (
    DepthSnapshot
    | DepthDelta
    | OrderSnapshot
    | OrderDelta
    | PublicTrade
    | Ticker
    | CandleUpdate
    | Subscribed
    | SubscribeRefused
    | GoingAway
    | Say
    | Lost
    | Status
    | Ignored
)


Plain = dict[str, Any]
