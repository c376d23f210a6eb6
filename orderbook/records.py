"""Small immutable records that readers of books are given. Raw values are int64 fixed-point at the record's scales."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import numpy.typing as npt

from ..model.events import Side
from ..model.fixed import to_decimal


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

    `missed` says how many trades were lost just before this one: 0 as a rule, more when the reader was lapped, None
    when a new incarnation began and nobody can know.
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

    @property
    def price(self) -> Decimal:
        return to_decimal(self.price_raw, self.price_scale)

    @property
    def size(self) -> Decimal:
        return to_decimal(self.size_raw, self.size_scale)
