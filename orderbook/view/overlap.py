"""Trades that two incarnations of a book have both written: each is yielded once.

A book that is replaced writes its trades until its successor has taken over, so the successor's segment begins with
trades that readers have seen. They have the same ids in both segments, and other numbers.
"""

from __future__ import annotations

from collections import Counter
from itertools import takewhile

from ...model.events import Side
from ..records import Trade
from ..segment import SegmentReader

_Key = tuple[int, int | None, Side]


class Overlap:
    """What a reader of trades has yielded of the segment that it leaves."""

    def __init__(self, last: Trade | None = None, left: SegmentReader | None = None) -> None:
        """`last` is the last trade that was yielded; `left` is its segment, if it is still mapped."""
        self._last = last
        self._yielded: Counter[_Key] = Counter()
        if last is not None and left is not None:
            slots = left.trade_slots
            kept = left.trades(max(0, last.number - slots), limit=slots)
            self._yielded.update(_key(trade) for trade in kept if trade.number <= last.number)

    def place(self, reader: SegmentReader) -> Trade | None:
        """Return the last trade of `reader`'s segment that was yielded; None: the segment has no such trade now.

        Of several that look alike, because an exchange gives no ids, it is the first: no trade is lost. A segment that
        is a little behind the one before (the other copy of a redundant book) may lack the last yielded trade. Then it
        is the newest one that was yielded, or else the last of those at the beginning that are older by the exchange's
        clock.
        """
        if self._last is None:
            return None
        last = _key(self._last)
        slots = reader.trade_slots
        kept = reader.trades(max(0, reader.last_trade_number - slots), limit=slots)
        found = next((trade for trade in kept if _key(trade) == last), None)
        if found is not None:
            self._yielded.clear()  # what follows it is new
        elif self._last.trade_id:
            found = next((trade for trade in reversed(kept) if self._yielded[_key(trade)]), None)
            if found is None:
                older = list(takewhile(self._is_older, kept))
                found = older[-1] if older else None
        return found

    def _is_older(self, trade: Trade) -> bool:
        """Return whether a trade happened before the last one that was yielded."""
        last_ns = None if self._last is None else self._last.ts_event_ns
        return last_ns is not None and trade.ts_event_ns is not None and trade.ts_event_ns < last_ns

    def has(self, trade: Trade) -> bool:
        """Return whether this trade was yielded; each yielded trade is found once."""
        if not self._yielded:
            return False
        key = _key(trade)
        if not self._yielded[key]:
            return False
        self._yielded[key] -= 1
        return True


def _key(trade: Trade) -> _Key:
    return trade.trade_id, trade.ts_event_ns, trade.side
