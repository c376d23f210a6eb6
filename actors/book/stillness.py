"""Finds the books whose stream has stopped while other streams of the connection continue. Pure: times are arguments.

Theory of operation. Frames of a book prove that its stream works, so only a book without a frame for a while (a *still*
book) is looked at. There are two kinds of evidence against it:

- The exchange's own book, requested over REST, differs from this book twice, `LAG_S` apart, and no frame came from
  before the first request until after the second answer. One difference alone may be a change whose frame is under way,
  or an answer from a cache.
- Trades came for `UNPROVEN_S` without any frame of the book, and no comparison that would clear them was possible. A
  trade alone is no evidence: an iceberg order may show the same size before and after it.

A comparison that agrees clears a quiet pair, which stays LIVE and is compared again `AGAIN_S` later. So a stopped
stream is noticed `STILL_S` or `AGAIN_S`, and `LAG_S`, after the exchange's book changed (`TRADED_S` and `LAG_S` after a
trade), as long as the rate limit has room for the comparisons of all still books.

After a stall the book is on trial (see `machine`) and is compared in the same way; agreement ends the trial. If an
exchange pushes whole books, and the first book of the new subscription is the one that was doubted, the exchange's REST
shows another book than its stream. Then it proves nothing, and this pair is not compared for `PAUSE_S`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...connectors.spec import BookFeed, Compared
from ...model.events import BookState, DepthSnapshot, Levels, Side
from ...model.time import SECOND_NS, in_ns
from .events import Agreed, BookEvent, Stalled
from .ingest import Pair
from .machine import LAG_S

STILL_S = 5.0  # a book without a frame for so long is compared
TRADED_S = 2.0  # the same, after a trade; trades and the changes that they cause come within this time of each other
AGAIN_S = 10.0  # between two comparisons that agree
UNPROVEN_S = 12.0
PAUSE_S = 600.0


@dataclass(slots=True)
class _Watch:
    """What is known of one pair since the last frame of its book."""

    frames: int
    trades: int  # that frames or comparisons have proven
    since_ns: int  # when the last frame was noticed
    due_ns: int  # when the next comparison is due
    traded_ns: int | None = None  # when the first trade after `trades` was noticed
    differs: bool = False  # the last comparison differed
    is_asked: bool = False  # a comparison is under way
    doubted: tuple[Levels, Levels] | None = None  # the compared levels at the last stall by comparisons
    trust_ns: int = 0  # comparisons prove nothing before this time


class StillBooks:
    """The pairs of one connection. `compared`: how many levels a side a comparison requests."""

    def __init__(self, feed: BookFeed, compared: int) -> None:
        self._feed = feed
        self._levels = compared
        self._watches: dict[str, _Watch] = {}

    def forget(self, symbol: str) -> None:
        self._watches.pop(symbol, None)

    def look(self, pairs: Iterable[Pair], now_ns: int) -> list[tuple[Pair, BookEvent]]:
        """Notice frames and trades. Return the events for the machines of the pairs."""
        found: list[tuple[Pair, BookEvent]] = []
        for pair in pairs:
            event = self._look(pair, now_ns)
            if event is not None:
                found.append((pair, event))
        return found

    def _look(self, pair: Pair, now_ns: int) -> BookEvent | None:
        machine, symbol = pair.machine, pair.instrument.symbol
        watch = self._watches.get(symbol)
        if not _is_watched(pair):
            if watch is not None and watch.doubted is None and watch.trust_ns <= now_ns:
                del self._watches[symbol]
            elif watch is not None:
                watch.frames, watch.is_asked = -1, False
            return None
        if watch is None or watch.frames != machine.frames:
            is_first = watch is None or watch.frames < 0
            watch = self._spoke(watch, pair, now_ns)
            return self._first_book(watch, pair, now_ns) if is_first else None
        if now_ns - watch.since_ns < in_ns(TRADED_S):
            watch.trades = pair.trades  # the change may have come before its trade
        elif pair.trades != watch.trades and watch.traded_ns is None:
            watch.traded_ns = now_ns
            watch.due_ns = min(watch.due_ns, now_ns + in_ns(TRADED_S))
        if watch.traded_ns is not None and now_ns - watch.traded_ns >= in_ns(UNPROVEN_S):
            still_s = (now_ns - watch.since_ns) / SECOND_NS
            return Stalled(f"the stream of this book stopped: trades came, but no change for {still_s:.0f} s")
        return None

    def _spoke(self, watch: _Watch | None, pair: Pair, now_ns: int) -> _Watch:
        """Begin again at a new frame."""
        still_ns = in_ns(LAG_S if pair.machine.is_on_trial else STILL_S)
        new = _Watch(pair.machine.frames, pair.trades, now_ns, now_ns + still_ns)
        if watch is not None:
            new.trust_ns = watch.trust_ns
            new.doubted = watch.doubted if pair.machine.is_on_trial else None
        self._watches[pair.instrument.symbol] = new
        return new

    def _first_book(self, watch: _Watch, pair: Pair, now_ns: int) -> BookEvent | None:
        """End the trial of a book that the exchange's feed repeats as it was doubted."""
        doubted, watch.doubted = watch.doubted, None
        if doubted is None or self._feed.is_joined or not pair.machine.is_on_trial:
            return None
        if not all(map(np.array_equal, doubted, self._best(pair))):
            return None
        watch.trust_ns = now_ns + in_ns(PAUSE_S)
        return Agreed()

    def _best(self, pair: Pair) -> tuple[Levels, Levels]:
        return pair.book.levels(Side.BUY, self._levels), pair.book.levels(Side.SELL, self._levels)

    # Comparisons

    def due(self, pairs: Iterable[Pair], now_ns: int) -> list[Pair]:
        """Return the pairs that should be compared now, in order: those with evidence, then those due for longest."""
        if self._feed.compared is None:
            return []
        ranked = []
        for pair in pairs:
            watch = self._watches.get(pair.instrument.symbol)
            if watch is None or watch.frames < 0 or watch.is_asked:
                continue
            if now_ns >= watch.due_ns and now_ns >= watch.trust_ns:
                ranked.append((not self._has_evidence(watch), watch.due_ns, pair))
        return [pair for *_, pair in sorted(ranked, key=lambda row: row[:2])]

    @staticmethod
    def _has_evidence(watch: _Watch) -> bool:
        return watch.differs or watch.traded_ns is not None

    def has_evidence(self, pair: Pair) -> bool:
        """Return whether a comparison of this pair matters more than one of a book that is merely quiet."""
        return pair.machine.is_on_trial or self._has_evidence(self._watches[pair.instrument.symbol])

    def asked(self, pair: Pair) -> None:
        """Note that a comparison was requested."""
        self._watches[pair.instrument.symbol].is_asked = True

    def failed(self, pair: Pair, after_s: float, now_ns: int) -> None:
        """Note that a comparison could not be made, and may be made `after_s` later."""
        watch = self._under_way(pair)
        if watch is not None:
            watch.is_asked, watch.due_ns = False, now_ns + in_ns(after_s)

    def answered(self, pair: Pair, read: DepthSnapshot, now_ns: int) -> BookEvent | None:
        """Compare a book with the exchange's own. Return the event for the machine, if there is one."""
        watch = self._under_way(pair)
        if watch is None:
            return None
        watch.is_asked = False
        if watch.frames != pair.machine.frames or not _is_watched(pair):
            return None  # the stream has spoken meanwhile
        if agrees(pair, read, self._levels, self._feed.compared):
            return self._cleared(watch, pair, now_ns)
        if not watch.differs:
            watch.differs, watch.due_ns = True, now_ns + in_ns(LAG_S)
            return None
        watch.doubted = self._best(pair)
        still_s = (now_ns - watch.since_ns) / SECOND_NS
        return Stalled(
            f"the stream of this book stopped: the exchange's book changed, but no frame for {still_s:.0f} s"
        )

    def _under_way(self, pair: Pair) -> _Watch | None:
        watch = self._watches.get(pair.instrument.symbol)
        return watch if watch is not None and watch.is_asked else None

    def _cleared(self, watch: _Watch, pair: Pair, now_ns: int) -> BookEvent:
        watch.differs, watch.due_ns = False, now_ns + in_ns(AGAIN_S)
        if self._feed.compared is not Compared.PRICES:  # a trade changes a size, which prices do not show
            watch.trades, watch.traded_ns = pair.trades, None
        return Agreed()


def agrees(pair: Pair, read: DepthSnapshot, levels: int, compared: Compared | None) -> bool:
    """Return whether none of the best `levels` that a book proves differs from the exchange's book."""
    book = pair.book
    if compared is Compared.NUMBER and read.sequence <= pair.machine.sequence:
        return True
    columns = 1 if compared is Compared.PRICES else 2
    sides = (
        (Side.BUY, read.bids, book.proven_bids, book.bids_complete),
        (Side.SELL, read.asks, book.proven_asks, book.asks_complete),
    )
    for side, theirs, proven, complete in sides:
        n = levels if complete else min(levels, proven)
        if not np.array_equal(book.levels(side, n)[:, :columns], theirs[:n, :columns]):
            return False
    return True


def _is_watched(pair: Pair) -> bool:
    """Return whether the book is shown as current, or is on trial."""
    return pair.machine.state is BookState.LIVE or pair.machine.is_on_trial
