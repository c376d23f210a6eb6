"""`BookView`: what a strategy holds of a book that another process keeps.

A view reads the shared-memory segment of its address on this node: about a microsecond a read, no call to anybody. It
finds the newest incarnation's segment by itself, and the next one's when its writer retires, dies or disappears; only
then does it look into the directory. It has no connection and no thread of its own.

Every value is read from one consistent copy, and only while the book is LIVE; otherwise reads raise `NotSynced`, which
says why. `peek()` and `stale_ok=True` show what was last known of a book in doubt, with its state.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..model.errors import BeyondDepth, NotSynced, SegmentMismatch
from ..model.events import BookState, Side
from ..model.instrument import Instrument
from ..model.time import SECOND_NS, in_ns
from .records import Depth, Level, Statistics, Trade, wants_float
from .segment import SegmentReader, Top, empty_top, monotonic_ns
from .segment.directory import SegmentIndex
from .segment.names import Incarnation
from .segment.waiter import Waiter
from .snapshot import BookSnapshot, Number

LOOK_NS = 10_000_000  # at most this often a view looks for a successor's segment
LATE_LOOK_NS = 25_000_000  # a task does, when the writer is not only just dead
FRESH_NS = 2_000_000_000  # for as long a writer is only just dead
ASK_NS = 1_000_000_000  # at most this often it asks for a segment that is not there
RELOOK_S = 0.1  # a live writer that is not LIVE: look whether a successor has come meanwhile

_GONE = (BookState.DEAD, BookState.RETIRED)


class BookView:
    """One book, readable from this process while another writes it.

    Picklable: only the directory, the instrument and the address travel. Use it from one thread at a time, or make one
    per thread; all the views of a process share one waiting thread.

    Sides: `Side.BUY` means "I would buy", so it walks the asks; `Side.SELL` walks the bids.
    """

    def __init__(
        self, directory: Path, instrument: Instrument, address: str, ask_for: Callable[[], None] | None = None
    ) -> None:
        """`ask_for` is called, at most once a second, while no segment of the address is served here."""
        self.directory = directory
        self.instrument = instrument
        self.address = address
        self._ask_for = ask_for
        self._index = SegmentIndex.of(directory)
        self._reader: SegmentReader | None = None
        self._look_after_ns = 0
        self._ask_after_ns = 0

    def __reduce__(self) -> tuple[type[BookView], tuple[Path, Instrument, str]]:
        return BookView, (self.directory, self.instrument, self.address)

    def __repr__(self) -> str:
        return f"<BookView {self.address} {self.state.name}>"

    # ---- state

    @property
    def state(self) -> BookState:
        """The writer's state; DEAD when its heartbeat is too old, ABSENT when there is no segment. Does not raise.

        Raises:
            SegmentMismatch: the segment was written by another version of this package.
        """
        return self._observe()[1].state

    @property
    def is_live(self) -> bool:
        return self._observe()[1].live

    @property
    def age_s(self) -> float | None:
        """Seconds since the book's last frame was published on this node, by the monotonic clock; None before it."""
        published_ns = self._observe()[1].publish_ns
        return None if published_ns is None else (monotonic_ns() - published_ns) / SECOND_NS

    @property
    def sequence(self) -> int:
        """The exchange's sequence number of the last frame applied."""
        return self.top().sequence

    @property
    def version(self) -> int:
        """Published by this incarnation so far: books, states and trades; 0 when there is no segment."""
        reader = self._serving()
        return 0 if reader is None else reader.version

    @property
    def incarnation(self) -> Incarnation | None:
        """Incarnation of the writer whose segment is read; None when there is no segment."""
        reader = self._serving()
        return None if reader is None else reader.incarnation

    @property
    def sequenced(self) -> bool:
        """Whether the exchange proves continuity; where not, only the connection guards it."""
        return self._required().sequenced

    @property
    def exact(self) -> bool:
        """Whether prices and sizes are the exchange's own, unrounded."""
        return self._required().exact

    @property
    def reason(self) -> str:
        """Why the book is in its state, in its writer's words; empty when it said nothing or there is no segment."""
        reader = self._serving()
        return "" if reader is None else reader.statistics().reason

    @property
    def statistics(self) -> Statistics:
        """What the writer counted in this incarnation, whatever the state. Raises NotSynced without a segment."""
        return self._required().statistics()

    # ---- best bid and ask

    def top(self, stale_ok: bool = False) -> Top:
        """Return best bid and ask, sequence, times and state as one consistent record.

        Raises:
            NotSynced: the book is not LIVE (unless `stale_ok`), or has no segment here.
        """
        reader = self._reader
        if reader is not None:
            try:
                return reader.top()
            except NotSynced:
                pass  # its successor may serve already: look, then let that one answer
        return self._required().top(stale_ok)

    def peek(self) -> Top:
        """Return what was last known, whatever the state, which it carries. Never raises NotSynced."""
        return self._observe()[1]

    @property
    def best_bid(self) -> Level | None:
        """The best bid, exact; None when there is none. Raises NotSynced."""
        return self.top().best_bid

    @property
    def best_ask(self) -> Level | None:
        """The best ask, exact; None when there is none. Raises NotSynced."""
        return self.top().best_ask

    @property
    def mid(self) -> Decimal | None:
        """Half of best bid plus best ask, exact; None when a side is empty. Raises NotSynced."""
        return self.top().mid

    @property
    def spread(self) -> Decimal | None:
        """Best ask minus best bid, exact; None when a side is empty. Raises NotSynced."""
        return self.top().spread

    # ---- depth

    def depth(self, n: int | None = None, dtype: npt.DTypeLike = np.float64, stale_ok: bool = False) -> Depth:
        """Return `Depth(bids, asks)`: arrays of shape (n, 2), price and size, best first.

        `dtype` is float64 for values or int64 for raw fixed-point. `n` None means all that the segment stores; a side
        that ends sooner and is complete gives fewer rows.

        Raises:
            NotSynced: the book is not LIVE (unless `stale_ok`), or has no segment here.
            BeyondDepth: `n` reaches past what is stored of a side that is not complete.
            ValueError, TypeError: `n` is below 1 or no whole number; another `dtype`.
        """
        as_float = wants_float(dtype)
        reader = self._reader
        if reader is not None:
            try:
                return reader.depth(n, as_float)
            except BeyondDepth:
                raise
            except NotSynced:
                pass
        return self._required().depth(n, as_float, stale_ok)

    def snapshot(self, stale_ok: bool = False) -> BookSnapshot:
        """Return all levels stored, immutable and exact: ask several questions of one moment. Raises NotSynced."""
        reader = self._reader
        if reader is not None:
            try:
                return reader.snapshot()
            except NotSynced:
                pass
        return self._required().snapshot(stale_ok)

    def to_pandas(self, exact: bool = False) -> Any:
        """Return the snapshot as a data frame with columns side, price and size. Raises NotSynced, ImportError."""
        return self.snapshot().to_pandas(exact)

    def size_at(self, side: Side, price: Number) -> Decimal:
        """Return the volume at `price` (BUY: of the asks); 0 where no level is. Raises NotSynced, BeyondDepth."""
        return self.snapshot().size_at(side, price)

    def volume_for_price(self, side: Side, price: Number) -> Decimal:
        """Return what a buyer gets paying up to `price`, a seller taking down to it. Raises NotSynced, BeyondDepth."""
        return self.snapshot().volume_for_price(side, price)

    def price_for_volume(self, side: Side, volume: Number) -> Decimal:
        """Return the worst price that filling `volume` reaches. Raises NotSynced, BeyondDepth."""
        return self.snapshot().price_for_volume(side, volume)

    def price_for_quote_volume(self, side: Side, quote: Number) -> Decimal:
        """Return the worst price that spending (SELL: earning) `quote` reaches. Raises NotSynced, BeyondDepth."""
        return self.snapshot().price_for_quote_volume(side, quote)

    def vwap(self, side: Side, volume: Number) -> Decimal:
        """Return the average price of filling `volume` now: exact sums, one division. Raises NotSynced, BeyondDepth."""
        return self.snapshot().vwap(side, volume)

    def imbalance(self, levels: int = 5) -> float:
        """Return (bids - asks) / (bids + asks) of the sizes of the best `levels`. Raises NotSynced, BeyondDepth."""
        return self.snapshot().imbalance(levels)

    @property
    def last_trade(self) -> Trade | None:
        """The newest trade of this incarnation; None before the first. A fact, so it needs no LIVE book.

        Raises:
            NotSynced: there is no segment here.
        """
        reader = self._required()
        while (number := reader.last_trade_number) > 0:
            found = reader.trades(number - 1)
            if found:
                return replace(found[-1], missed=0)
        return None

    # ---- waiting

    async def changes(self, states: bool = False) -> AsyncIterator[Top]:
        """Yield the top of the book now and after every change: the newest only, when changes outrun the caller.

        Only LIVE tops, unless `states`: then also one per change of state (with what was last known). The iteration
        survives its writer: it goes on when the successor is LIVE.
        """
        seen: tuple[Incarnation, int, BookState] | None = None
        while True:
            reader, top = self._observe()
            now = (top.incarnation, top.update, top.state)
            if now != seen:
                seen = now
                if top.live or states:
                    yield top
                    continue
            await self._sleep(reader, top)

    async def wait_live(self, timeout_s: float | None = None) -> Top:
        """Return the top as soon as the book is LIVE. `timeout_s` None or infinite waits without a limit.

        Raises:
            NotSynced: it was not within `timeout_s`.
        """
        until_ns = _until_ns(timeout_s)
        while True:
            reader, top = self._observe()
            if top.live:
                return top
            left_s = None if until_ns is None else _left_s(until_ns)
            if left_s is not None and left_s <= 0:
                raise NotSynced(self.address, top.state.name, f"not LIVE within {timeout_s} s")
            await self._sleep(reader, top, left_s)

    def wait_change(self, after: Top | None, timeout_s: float) -> Top:
        """Block this thread until the book is LIVE and differs from `after` (None: is LIVE), without a loop.

        An infinite `timeout_s` waits without a limit.

        Raises:
            NotSynced: it did not within `timeout_s`; the state is what it is then, LIVE when nothing changed.
        """
        until_ns = _until_ns(timeout_s)
        known = None if after is None else (after.incarnation, after.update)
        while True:
            reader, top = self._observe()
            if top.live and (top.incarnation, top.update) != known:
                return top
            left_s = RELOOK_S if until_ns is None else _left_s(until_ns)
            if left_s <= 0:
                raise NotSynced(self.address, top.state.name, f"no change within {timeout_s} s")
            if reader is None or top.state in _GONE:
                time.sleep(min(left_s, LOOK_NS / SECOND_NS))
            else:
                reader.wait(top.version, min(left_s, RELOOK_S))

    async def trades(self, after: Trade | int | None = None) -> AsyncIterator[Trade]:
        """Yield trades in order, each once. `after` None begins with the next one; a number, or a trade that was
        yielded before, resumes after it.

        Numbers begin again with each incarnation. A trade's `missed` says how many are known to be lost just before it,
        by whoever lost them: this reader (the ring keeps the last 1,024 trades by default), the mirror of another
        node's book, or the connection, where the exchange numbers its trades without holes. It is None when a new
        incarnation began, of the book or of its mirror, and what happened in between is not known.

        Raises:
            ValueError: a number below 0.
        """
        reader = self._serving()
        incarnation: Incarnation | None = None
        identity: tuple[int, int] | None = None  # of the segment that `number` is of
        number, lost = 0, None
        if isinstance(after, Trade):
            incarnation, number, lost = after.incarnation, after.number, after.lost
        elif after is not None:
            number = after
        elif reader is not None:
            number = reader.last_trade_number
        if number < 0:
            raise ValueError(f"{after}: trades are numbered from 1")
        began_anew = False
        while True:
            if reader is None:
                await asyncio.sleep(LOOK_NS / 1e9)
                reader = self._serving()
                continue
            if reader.identity != identity:
                # A number that this segment has not reached is another's: one remade under the same incarnation.
                is_other = incarnation not in (None, reader.incarnation) or number > reader.last_trade_number
                if identity is not None or is_other:
                    began_anew, number, lost = True, 0, None
                identity = reader.identity
            alive = reader.alive  # before the trades: what a dead writer wrote last is then among them
            version = reader.version
            found = reader.trades(number, lost=lost)
            for trade in found:
                number, lost = trade.number, trade.lost
                yield replace(trade, missed=None) if began_anew else trade
                began_anew = False
            if found:
                continue
            if alive:
                await Waiter.shared().wait(reader, version, RELOOK_S * 10)
            else:
                await asyncio.sleep(LOOK_NS / 1e9)
                reader = self._serving() or reader

    # ---- finding the segment

    def look_again(self) -> None:
        """Let the next read look for a newer segment at once: for who knows that there is one."""
        self._look_after_ns = 0

    def _serving(self) -> SegmentReader | None:
        """The reader of the newest incarnation, after a look for a successor when this one does not serve."""
        reader = self._reader
        return reader if reader is not None and reader.alive else self._look()

    def _required(self) -> SegmentReader:
        reader = self._look()
        if reader is None:
            raise NotSynced(self.address, BookState.ABSENT.name, "it has no segment here")
        return reader

    def _observe(self) -> tuple[SegmentReader | None, Top]:
        """What can be said of the book now, and of whom; looks for a successor when it is not LIVE."""
        reader = self._reader
        if reader is not None:
            top = self._peek(reader)
            if top.live:
                return reader, top
        reader = self._look()
        if reader is None:
            return None, empty_top(self.address, self.instrument.price_scale, self.instrument.size_scale)
        return reader, self._peek(reader)

    def _peek(self, reader: SegmentReader) -> Top:
        try:
            return reader.top(stale_ok=True)
        except NotSynced as doubt:  # no consistent copy: its writer stopped or died inside a publish
            state = BookState[doubt.state]
            return empty_top(self.address, reader.price_scale, reader.size_scale, state, reader.incarnation)

    def _look(self) -> SegmentReader | None:
        """Open the newest segment of the address when it is another than the one held; at most every 10 ms."""
        now = monotonic_ns()
        reader = self._reader
        if now >= self._look_after_ns:
            self._look_after_ns = now + LOOK_NS
            newest = self._index.newest(self.address)
            if newest is not None and (
                reader is None or newest[0] > reader.incarnation or (not reader.alive and reader.unlinked)
            ):
                try:
                    # The old one is not closed: somebody may be waiting for it. It is unmapped with its last user.
                    reader = self._reader = SegmentReader(newest[1])
                except FileNotFoundError:
                    pass  # unlinked between the listing and now
                except SegmentMismatch:
                    self._look_after_ns = 0  # so that the next read says it again
                    raise
        if self._ask_for is not None and now >= self._ask_after_ns and (reader is None or not reader.alive):
            self._ask_after_ns = now + ASK_NS
            self._ask_for()
        return reader

    async def _sleep(self, reader: SegmentReader | None, top: Top, at_most_s: float | None = None) -> None:
        """Sleep until the book may be another than `top`."""
        unreadable = reader is not None and top.version == 0 and reader.version > 0
        if reader is None or top.state in _GONE or unreadable:
            fresh = reader is not None and reader.heartbeat_age_ns < FRESH_NS
            pause_s = (LOOK_NS if fresh else LATE_LOOK_NS) / SECOND_NS
            await asyncio.sleep(pause_s if at_most_s is None else min(pause_s, at_most_s))
            return
        pause_s = 1.0 if top.live else RELOOK_S
        await Waiter.shared().wait(reader, top.version, pause_s if at_most_s is None else min(pause_s, at_most_s))


def _until_ns(timeout_s: float | None) -> int | None:
    """When a wait ends (CLOCK_MONOTONIC); None for one without a limit: of None, of infinity or of centuries.

    Raises:
        ValueError: not a number.
    """
    if timeout_s is None or timeout_s > 1e10:
        return None
    return monotonic_ns() + in_ns(max(timeout_s, 0.0))


def _left_s(until_ns: int) -> float:
    return (until_ns - monotonic_ns()) / SECOND_NS
