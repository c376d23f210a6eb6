"""The bars that a channel of candles sends: the open bar after each change, and each bar once more after its end."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine.candles import Bar, floor
from ..engine.market import Market

MOST = 1000  # bars that may have ended since the last message


@dataclass(slots=True)
class CandleFeed:
    """What the listeners of one channel know. `offset_ns` shifts day boundaries for a time zone."""

    interval: str
    offset_ns: int = 0
    open_ns: int = 0  # of the bar sent last
    changes: int = -1  # of the market, when that bar was sent

    def due(self, market: Market, now_ns: int) -> list[tuple[Bar, bool]]:
        """Return the bars to send now, oldest first, each with whether it has ended."""
        start = floor(now_ns, self.interval, self.offset_ns)
        if self.open_ns == start and self.changes == market.changes:
            return []
        bars = market.bars.klines(self.interval, self.open_ns or start, start, MOST, self.offset_ns)
        if bars:
            self.open_ns, self.changes = start, market.changes
        return [(bar, bar.open_ns < start) for bar in bars]
