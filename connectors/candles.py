"""Reads candles: checks each row, and returns a list in order.

One impossible row makes the whole answer a DecodeError, because a list with a silent gap would be worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from ..model.candle import Candle, close_of
from ..model.time import MINUTE_NS
from .reading import plain_decimal

# The possible error of our clock plus the possible delay of a candle's last trade. Used when only our clock shows that
# a candle has closed.
CLOCK_DOUBT_NS = MINUTE_NS


def candle(
    interval: str,
    open_ns: int,
    prices: Sequence[Any],
    volume: Any,
    quote_volume: Any = None,
    count: int | None = None,
    is_closed: bool = False,
) -> Candle:
    """Return the candle of one row. `prices` are open, high, low and close; numbers are decimal text as written.

    Raises:
        DecodeError, ValueError: a number is not in plain digits, a price is zero, or open and close are not between low
            and high. `reading` turns both into one DecodeError.
    """
    opening, high, low, close = (plain_decimal(price) for price in prices)
    if not 0 < low <= min(opening, close) <= max(opening, close) <= high:
        raise ValueError(f"a candle from {opening} to {close} within {low} and {high}")
    return Candle(
        open_ns,
        close_of(open_ns, interval),
        opening,
        high,
        low,
        close,
        plain_decimal(volume),
        None if quote_volume is None else plain_decimal(quote_volume),
        count,
        is_closed,
    )


def ceiling(time_ns: int, unit_ns: int) -> int:
    """Return `time_ns` in another unit, rounded up, so that no candle opens between both times."""
    return -(-time_ns // unit_ns)


def in_order(candles: Iterable[Candle]) -> list[Candle]:
    """Return candles oldest first. Raises ValueError: two of them open at the same time."""
    ordered = sorted(candles, key=lambda each: each.open_ns)
    for earlier, other in pairwise(ordered):
        if earlier.open_ns == other.open_ns:
            raise ValueError(f"two candles open at {earlier.open_ns} ns")
    return ordered


def closed_by(candles: Sequence[Candle], time_ns: int) -> list[Candle]:
    """Return ordered candles, with `is_closed` set if they ended by `time_ns` or a later candle follows."""
    last = len(candles) - 1
    return [replace(each, is_closed=at < last or each.close_ns <= time_ns) for at, each in enumerate(candles)]
