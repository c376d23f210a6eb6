"""Small immutable records for readers of books. Raw values are int64 fixed-point at the record's scales."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

from ..model.events import Side
from ..model.fixed import to_decimal

if TYPE_CHECKING:
    import numpy.typing as npt

FLOAT64 = "float64"  # the default type of depths, by name: numpy is imported with the first array
_KNOWN: dict[Any, bool] = {FLOAT64: True, "int64": False}  # type, and other names of it -> it is float64


def count_of(n: int) -> int:
    """Return `n`, a requested number of levels, if it is valid.

    Raises:
        ValueError: `n` is below 1.
        TypeError: `n` is not a whole number.
    """
    count = index(n)
    if count < 1:
        raise ValueError(f"{n} levels were requested: at least one is needed")
    return count


def wants_float(dtype: npt.DTypeLike) -> bool:
    """Return True for float64 values, False for int64 raw. Raises TypeError for any other type."""
    known = _KNOWN.get(dtype)
    if known is not None:
        return known
    import numpy as np

    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.int64), np.dtype(np.float64)):
        raise TypeError(f"depth is available as float64 or int64, not {kind}")
    is_float = _KNOWN[dtype] = kind == np.dtype(np.float64)
    return is_float


class Level(NamedTuple):
    """One price and the size at that price, exact."""

    price: Decimal
    size: Decimal


ADD, CHANGE, MATCH, REPLACE, REMOVE = range(5)
"""Kinds of events of orders; see `L3Book.apply`."""
IF_RESTING = 8  # added to CHANGE, MATCH or REPLACE: an order that is not in the book is no error


class L3Order(NamedTuple):
    """A resting order of an order-level book, raw: price and size at the book's scales. `side`: BUY for a bid.

    `time_ns` is 0 where the exchange states no time.
    """

    id: str
    side: Side
    price: int
    size: int
    time_ns: int


class QueuePlace(NamedTuple):
    """What is ahead of an order at its price: how many orders, and their raw size together."""

    orders: int
    size: int


class Depth(NamedTuple):
    """The best levels of both sides: arrays of shape (n, 2), price and size, best first; a side may be shorter."""

    bids: npt.NDArray[Any]
    asks: npt.NDArray[Any]


class Content(NamedTuple):
    """What the writer of a segment published last, for mirrors. Raw: bids and asks are native int64 (n, 2), best first.

    `version` counts all publications, `update` those of a book or state. `ts_recv_ns` is None before the first frame.
    """

    version: int
    update: int
    state: int
    sequence: int
    ts_event_ns: int | None
    ts_recv_ns: int | None
    bids_complete: bool
    asks_complete: bool
    reason: str
    bids: bytes
    asks: bytes


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counters of a segment's writer: frames applied, falls into GAP, and returns to LIVE after the first."""

    updates: int
    gaps: int
    resyncs: int
    trades: int
    reason: str  # the writer's reason for the state; empty without a reason


@dataclass(frozen=True, slots=True)
class Trade:
    """A public trade with the segment's number: 1, 2, ... within one incarnation. `side` is the taker's.

    `missed` is the number of trades known to be lost just before this one: normally 0; more if the ring overtook the
    reader or a mirror, or if the exchange numbers its trades without gaps and some never arrived; None if a new
    incarnation of the book or of its mirror began, so that the number is unknown. `lost` counts all trades of this
    incarnation that never arrived.
    """

    number: int
    incarnation: tuple[int, int]
    trade_id: int
    price_raw: int
    size_raw: int
    price_scale: int
    size_scale: int
    side: Side
    ts_event_ns: int | None
    ts_recv_ns: int
    missed: int | None = 0
    lost: int = 0

    @property
    def price(self) -> Decimal:
        return to_decimal(self.price_raw, self.price_scale)

    @property
    def size(self) -> Decimal:
        return to_decimal(self.size_raw, self.size_scale)
