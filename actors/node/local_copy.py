"""The local copy of one remote book: which source it shows, how far it is, and whether the source is known to live.

A copy shows one segment of a source at a time. It has a feed for each node that it is subscribed at: one, or two while
a book moves. A successor is shown when it is proved to live, and not before it is LIVE while the present source is
LIVE; then the successor's segment is made and filled before the present one is retired, so readers see no gap. It has
all trades of the successor's ring, with those that the predecessor told: views yield each of them once, by its id.

The proof of life: `proved_ns` is a time at which the source lived, and until which its content is here. When it is
older than the limit, the copy is SILENT, even if news arrive; the next proof ends that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...model.events import BookState, Levels, PublicTrade, Side
from ...orderbook.segment import SegmentWriter
from ..cell.role import Incarnation
from ..link.wire import Book, Position, Segment, Trade

NO_SEGMENT = Segment(0, 0, 0)
NOT_HEARD, ENDED = "its source does not answer", "its source has ended"


@dataclass(slots=True, eq=False)
class Feed:
    """One subscription: what its node has told of the book. A later segment of the source begins unproved."""

    number: int
    node: str
    book: Book | None = None  # the newest
    proved_ns: int = 0
    start: tuple[int, int] = (0, 0)  # the newest trade when its segment was first told: its number, and the lost ones
    held: deque[Trade] = field(default_factory=deque)  # trades of a source that is not shown yet

    def take(self, book: Book) -> None:
        if self.book is None or self.book.segment != book.segment:
            self.proved_ns, self.start = 0, (book.last_trade, book.lost)
            self.held.clear()
        self.book = book


@dataclass(slots=True)
class LocalCopy:
    """See the module. `now_ns` is monotonic."""

    address: str
    levels: int
    trades: int
    directory: Path
    mirror: Incarnation  # of the mirror that makes this copy
    limit_ns: int
    wanted: str = ""  # the node of the source, by its route
    feeds: dict[str, Feed] = field(default_factory=dict)  # by node
    writer: SegmentWriter | None = None
    silent: bool = False
    _feed: Feed | None = None  # the one that is shown
    _shown: Book | None = None
    _proved_ns: int = 0
    _last_trade: int = 0
    _lost: int = 0
    _traded: bool = False  # whether the present segment holds a trade

    @property
    def sizes(self) -> dict[str, int]:
        return {"levels": self.levels, "trades": self.trades}

    @property
    def state(self) -> BookState:
        if self._shown is None:
            return BookState.CONNECTING
        return BookState.SILENT if self.silent else BookState(self._shown.state)

    @property
    def segment(self) -> Segment | None:
        """The source's segment that is shown."""
        return None if self._shown is None else self._shown.segment

    @property
    def surplus(self) -> list[Feed]:
        """The feeds that are needed no longer."""
        if self._feed is None or self._feed.node != self.wanted:
            return [feed for feed in self.feeds.values() if feed.node != self.wanted and feed is not self._feed]
        return [feed for feed in self.feeds.values() if feed is not self._feed]

    def position(self, feed: Feed) -> Position | None:
        """Return how far the trades of a feed are known."""
        if feed is self._feed and self._shown is not None:
            return Position(self._shown.segment, self._last_trade)
        if feed.book is not None and feed.held:
            return Position(feed.book.segment, feed.held[-1].number)
        return None if self._shown is None else Position(NO_SEGMENT, 0)

    # ---- what the feeds tell

    def on_book(self, feed: Feed, book: Book, now_ns: int) -> None:
        feed.take(book)
        if feed is self._feed and book.segment == self.segment:
            self._show(book, now_ns)

    def on_trades(self, feed: Feed, trades: list[Trade]) -> None:
        if feed is self._feed and feed.book is not None and feed.book.segment == self.segment:
            for trade in trades:
                self._trade(trade)
            return
        feed.held.extend(trades)
        while len(feed.held) > self.trades:
            feed.held.popleft()

    def on_gone(self, feed: Feed, now_ns: int) -> None:
        feed.book, feed.proved_ns = None, 0
        if feed is self._feed:
            self._proved_ns = 0
            self._silence(ENDED)
        self.choose(now_ns)

    def on_life(self, feed: Feed, proved_ns: int, now_ns: int) -> None:
        feed.proved_ns = max(feed.proved_ns, proved_ns)
        if feed is not self._feed or feed.book is None or feed.book.segment != self.segment:
            self.choose(now_ns)
            return
        self._proved_ns = max(self._proved_ns, proved_ns)
        if self.silent and self.is_proved(now_ns) and self.writer is not None:
            self.silent = False
            self.writer.set_state(feed.book.state, feed.book.reason)

    def beat(self, now_ns: int) -> None:
        """Write a heartbeat if the source is known to live; show the successor when it is time."""
        if self.writer is not None:
            if self.is_proved(now_ns):
                self.writer.beat()
            else:
                self._silence(NOT_HEARD)
        if self._feed is None or self._feed.node != self.wanted:
            self.choose(now_ns)

    def is_proved(self, now_ns: int) -> bool:
        return now_ns - self._proved_ns <= self.limit_ns

    def close(self) -> None:
        """Retire the segment."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    # ---- the source

    def choose(self, now_ns: int) -> None:
        """Show the wanted source, if it is another than the present one and it is time."""
        feed = self.feeds.get(self.wanted)
        if feed is None or feed.book is None or now_ns - feed.proved_ns > self.limit_ns:
            return
        if feed is self._feed and feed.book.segment == self.segment:
            return
        if self._shown is not None and feed.book.segment.incarnation < self._shown.segment.incarnation:
            return  # what an earlier life of the book left there
        if self._is_live(now_ns) and feed is not self._feed and feed.book.state != BookState.LIVE:
            return
        self._begin(feed, feed.book, now_ns)

    def _is_live(self, now_ns: int) -> bool:
        shown = self._shown
        return shown is not None and shown.state == BookState.LIVE and not self.silent and self.is_proved(now_ns)

    def _begin(self, feed: Feed, book: Book, now_ns: int) -> None:
        """Show a source from now on, in a separate segment.

        Of the first source, trades begin with those after this mirror began to follow it.
        """
        is_first = self._shown is None
        before, incarnation = self.writer, max(book.segment.incarnation, self.mirror)
        if before is not None and before.incarnation == incarnation:
            before.close()  # the name is needed again
        self.writer = SegmentWriter(
            self.directory,
            self.address,
            incarnation,
            book.price_scale,
            book.size_scale,
            levels=self.levels,
            trades=self.trades,
            heartbeat_limit_ns=self.limit_ns,
            sequenced=book.sequenced,
            exact=book.exact,
            mirrored=True,
            redundant=book.redundant,
            comparable=book.comparable,
        )
        self._feed, self._proved_ns, self.silent = feed, feed.proved_ns, False
        self._last_trade, self._lost = feed.start if is_first else (0, 0)
        self._traded = False
        self._show(book, now_ns)
        while feed.held:
            self._trade(feed.held.popleft())
        if before is not None:
            before.close()

    # ---- the segment

    def _silence(self, reason: str) -> None:
        if self.writer is not None and not self.silent:
            self.silent = True
            self.writer.set_state(BookState.SILENT, reason)

    def _show(self, book: Book, now_ns: int) -> None:
        self._shown, writer = book, self.writer
        if writer is None:
            return
        state, reason = BookState(book.state), book.reason
        if not self.is_proved(now_ns):
            state, reason, self.silent = BookState.SILENT, NOT_HEARD, True
        elif self.silent:
            self.silent = False
        if book.ts_recv_ns is None or not (book.bids or book.asks or state is BookState.LIVE):
            writer.set_state(state, reason)
            return
        writer.publish_levels(
            _levels(book.bids),
            _levels(book.asks),
            book.bids_complete,
            book.asks_complete,
            book.sequence,
            state,
            book.ts_event_ns,
            book.ts_recv_ns,
            reason=reason,
        )

    def _trade(self, trade: Trade) -> None:
        if trade.number <= self._last_trade or self.writer is None:
            return
        missed = trade.number - self._last_trade - 1 + trade.lost - self._lost if self._traded else None
        side = Side.SELL if trade.sell else Side.BUY
        self.writer.trade(
            PublicTrade("", trade.trade_id, trade.price_raw, trade.size_raw, side, trade.ts_event_ns, trade.ts_recv_ns),
            missed,
        )
        self._traded = True
        self._last_trade, self._lost = trade.number, trade.lost


def _levels(raw: bytes) -> Levels:
    return np.frombuffer(raw, dtype=np.int64).reshape(-1, 2)
