"""Small immutable records that readers of books are given. Raw values are int64 fixed-point at the record's scales."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from operator import index
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..model.events import Side
from ..model.fixed import to_decimal

_INT64, _FLOAT64 = np.dtype(np.int64), np.dtype(np.float64)


def count_of(n: int) -> int:
    """Return `n`, a number of levels that is asked for.

    Raises:
        ValueError: it is below 1.
        TypeError: it is no whole number.
    """
    count = index(n)
    if count < 1:
        raise ValueError(f"{n} levels: at least one must be asked for")
    return count


def wants_float(dtype: npt.DTypeLike) -> bool:
    """Return whether float64 values are asked for; False for int64 raw. Any other type is a TypeError."""
    if dtype is np.float64 or dtype is np.int64:
        return dtype is np.float64
    kind = np.dtype(dtype)
    if kind not in (_INT64, _FLOAT64):
        raise TypeError(f"depth comes as float64 or int64, not {kind}")
    return kind == _FLOAT64


class Level(NamedTuple):
    """One price and the size that rests there, exact."""

    price: Decimal
    size: Decimal


class Depth(NamedTuple):
    """The best levels of both sides: arrays of shape (n, 2), price and size, best first; a side may be shorter."""

    bids: npt.NDArray[Any]
    asks: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the writer of a segment counts: frames applied, falls into GAP, and returns to LIVE after the first."""

    updates: int
    gaps: int
    resyncs: int
    trades: int
    reason: str  # why the state is what it is, in the writer's words; empty when it said nothing


@dataclass(frozen=True, slots=True)
class Trade:
    """Anyone's trade as the segment numbers it: 1, 2, ... within one incarnation. `side` is the taker's.

    `missed` says how many trades are known to be lost just before this one: 0 as a rule, more when the reader was
    lapped, when a mirror was, or when the exchange numbers its trades without holes and some never came; None when a
    new incarnation (the book's, or the mirror's of it) began and nobody can know. `lost` counts those that never came
    in this incarnation so far.
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
