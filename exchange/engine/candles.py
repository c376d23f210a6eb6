"""Bars of trades, and the klines, tickers and average prices computed from them. Pure; time is an argument.

Trades are kept as bars of one second and of one minute, in bounded number; longer bars are sums of minutes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from ...model.time import DAY_NS, MINUTE_NS, SECOND_NS
from .rules import SCALE

SECONDS_KEPT = 7_200
MINUTES_KEPT = 8 * 1_440

# Source: rest-api.md, Kline/Candlestick data, read 2026-11-22.
INTERVALS: dict[str, int] = {
    "1s": SECOND_NS,
    "1m": MINUTE_NS,
    "3m": 3 * MINUTE_NS,
    "5m": 5 * MINUTE_NS,
    "15m": 15 * MINUTE_NS,
    "30m": 30 * MINUTE_NS,
    "1h": 60 * MINUTE_NS,
    "2h": 120 * MINUTE_NS,
    "4h": 240 * MINUTE_NS,
    "6h": 360 * MINUTE_NS,
    "8h": 480 * MINUTE_NS,
    "12h": 720 * MINUTE_NS,
    "1d": DAY_NS,
    "3d": 3 * DAY_NS,
    "1w": 7 * DAY_NS,
    "1M": 0,  # calendar months
}


@dataclass(slots=True)
class Bar:
    """Trades of one period. Prices and volumes are raw; quote volumes have twice the scale and are exact."""

    open_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    quote: int = 0
    taker_volume: int = 0
    taker_quote: int = 0
    count: int = 0
    first_id: int = -1
    last_id: int = -1

    def absorb(self, other: Bar) -> None:
        """Add a later bar."""
        if other.count:
            if not self.count:
                self.open, self.high, self.low, self.first_id = other.open, other.high, other.low, other.first_id
            self.high = max(self.high, other.high)
            self.low = min(self.low, other.low)
            self.close, self.last_id = other.close, other.last_id
            self.volume += other.volume
            self.quote += other.quote
            self.taker_volume += other.taker_volume
            self.taker_quote += other.taker_quote
            self.count += other.count

    def trade(self, trade_id: int, price: int, size: int, taker_buys: bool) -> None:
        quote = price * size
        if not self.count:
            self.open = self.high = self.low = price
            self.first_id = trade_id
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.volume += size
        self.quote += quote
        if taker_buys:
            self.taker_volume += size
            self.taker_quote += quote
        self.count += 1
        self.last_id = trade_id

    @property
    def average(self) -> int:
        """Return the volume-weighted price, raw; the close if there was no trade."""
        return self.quote // self.volume if self.volume else self.close

    @property
    def quote_raw(self) -> int:
        return int(self.quote // 10**SCALE)


class Bars:
    """All bars of one symbol."""

    __slots__ = ("last_price", "last_size", "last_time_ns", "minutes", "seconds", "start_price")

    def __init__(self, start_price: int) -> None:
        self.start_price = start_price
        self.last_price = start_price
        self.last_size = 0
        self.last_time_ns = 0
        self.seconds: OrderedDict[int, Bar] = OrderedDict()
        self.minutes: OrderedDict[int, Bar] = OrderedDict()

    def trade(self, trade_id: int, price: int, size: int, taker_buys: bool, now_ns: int) -> None:
        for bars, width, kept in (
            (self.seconds, SECOND_NS, SECONDS_KEPT),
            (self.minutes, MINUTE_NS, MINUTES_KEPT),
        ):
            start = now_ns - now_ns % width
            bar = bars.get(start)
            if bar is None:
                bar = bars[start] = Bar(start, price, price, price, price)
                if len(bars) > kept:
                    bars.popitem(last=False)
            bar.trade(trade_id, price, size, taker_buys)
        self.last_price, self.last_size, self.last_time_ns = price, size, now_ns

    def window(self, from_ns: int, now_ns: int) -> Bar:
        """Sum whole minutes from the minute of `from_ns` until now. Without trades: the last price before."""
        first = from_ns - from_ns % MINUTE_NS
        before = self.start_price
        total: Bar | None = None
        for start, bar in self.minutes.items():
            if start < first:
                before = bar.close
            elif start <= now_ns:
                if total is None:
                    total = Bar(first, before, before, before, before)
                total.absorb(bar)
        return total or Bar(first, before, before, before, before)

    def klines(self, interval: str, from_ns: int | None, to_ns: int, limit: int, offset_ns: int = 0) -> list[Bar]:
        """Return at most `limit` bars in order, with flat bars for periods without trades.

        `from_ns` and `to_ns` bound the open times. With `from_ns` the oldest bars from there, without it the newest up
        to `to_ns`. `offset_ns` shifts day boundaries for a time zone.
        """
        source = self.seconds if interval == "1s" else self.minutes
        if not source:
            return []
        merged: dict[int, Bar] = {}
        for bar in source.values():
            start = floor(bar.open_ns, interval, offset_ns)
            into = merged.get(start)
            if into is None:
                into = merged[start] = Bar(start, bar.open, bar.open, bar.open, bar.open)
            into.absorb(bar)
        starts: Iterable[int] = _starts(min(merged), to_ns, interval, offset_ns)
        if from_ns is not None:
            starts = (s for s in starts if s >= from_ns)
            chosen = [s for s, _ in zip(starts, range(limit), strict=False)]
        else:
            chosen = list(starts)[-limit:]
        filled: list[Bar] = []
        known = sorted(merged)
        for start in chosen:
            present = merged.get(start)
            if present is None:
                close = merged[known[bisect_left(known, start) - 1]].close
                present = Bar(start, close, close, close, close)
            filled.append(present)
        return filled


def floor(time_ns: int, interval: str, offset_ns: int = 0) -> int:
    """Return the open time of the bar that contains `time_ns`. Weeks begin on Monday, months on the first."""
    local = time_ns + offset_ns
    if interval == "1M":
        day = datetime.fromtimestamp(local // SECOND_NS, UTC).replace(day=1, hour=0, minute=0, second=0)
        return int(day.timestamp()) * SECOND_NS - offset_ns
    width = INTERVALS[interval]
    shift = 3 * DAY_NS if interval == "1w" else 0  # 1970-01-01 was a Thursday
    return local - (local + shift) % width - offset_ns


def end(open_ns: int, interval: str, offset_ns: int = 0) -> int:
    """Return the open time of the next bar."""
    if interval != "1M":
        return open_ns + INTERVALS[interval]
    return floor(open_ns + 32 * DAY_NS, interval, offset_ns)


def _starts(first: int, to_ns: int, interval: str, offset_ns: int) -> Iterator[int]:
    start = first
    while start <= to_ns:
        yield start
        start = end(start, interval, offset_ns)
