"""A candle, and the intervals that candles have: "1s", "15m", "4h", "1d", "1w", "1M" (calendar months, in UTC)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from .time import DAY_NS, MINUTE_NS, SECOND_NS

INTERVAL = re.compile(r"([1-9]\d{0,3})([smhdwM])", re.ASCII)
SPANS_NS = {"s": SECOND_NS, "m": MINUTE_NS, "h": 60 * MINUTE_NS, "d": DAY_NS, "w": 7 * DAY_NS}
MONTH = "M"


@dataclass(frozen=True, slots=True)
class Candle:
    """The exchange's summary of one pair's trades from `open_ns` until before `close_ns` (ns since the Unix epoch).

    `volume` is in the base asset. `quote_volume` and `count` (of trades) are None where the exchange does not state
    them. While `is_closed` is False the candle may still change.
    """

    open_ns: int
    close_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal | None
    count: int | None
    is_closed: bool


def _parts(interval: str) -> tuple[int, str]:
    found = INTERVAL.fullmatch(interval)
    if found is None:
        raise ValueError(f"{interval!r} is not an interval such as 1m, 4h, 1d or 1M")
    return int(found[1]), found[2]


def close_of(open_ns: int, interval: str) -> int:
    """Return the end of the candle that opens at `open_ns`: the first nanosecond after it. Raises ValueError."""
    number, unit = _parts(interval)
    if unit != MONTH:
        return open_ns + number * SPANS_NS[unit]
    opened = datetime.fromtimestamp(open_ns // SECOND_NS, UTC)
    years, month = divmod(opened.month - 1 + number, 12)
    return int(datetime(opened.year + years, month + 1, 1, tzinfo=UTC).timestamp()) * SECOND_NS


def shortest_ns(interval: str) -> int:
    """Return the length of the shortest candle of an interval; months have at least 28 days. Raises ValueError."""
    number, unit = _parts(interval)
    return number * (28 * DAY_NS if unit == MONTH else SPANS_NS[unit])


def longest_ns(interval: str) -> int:
    """Return the length of the longest candle of an interval; months have at most 31 days. Raises ValueError."""
    number, unit = _parts(interval)
    return number * (31 * DAY_NS if unit == MONTH else SPANS_NS[unit])
