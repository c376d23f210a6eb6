"""The part of every view that does not wait: find the segment of its address, and read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...model.address import replica_of
from ...model.errors import BeyondDepth, NotSynced, SegmentMismatch
from ...model.events import BookState, Side
from ...model.instrument import Instrument
from ...model.time import SECOND_NS
from ..records import FLOAT64, Depth, Level, Statistics, Trade, wants_float
from ..segment import SegmentReader, Top, ahead, empty_top, monotonic_ns
from ..segment.directory import SegmentIndex
from ..segment.names import Incarnation
from ..snapshot import BookSnapshot, Number
from .overlap import Overlap

if TYPE_CHECKING:
    import numpy.typing as npt

LOOK_NS = 10_000_000  # least time between two searches for a successor's segment
_SETTLED = (BookState.LIVE, BookState.HALTED)
ASK_NS = 1_000_000_000  # least time between two requests for a missing segment
BEHIND_NS = 1_000_000_000  # longest time in which one copy of a redundant book may repeat what the other has shown

Reopen = Callable[[type[Any], str, Instrument], Any]  # makes a view from a view class, an address and an instrument


class BookReading:
    """One book, readable from this process while another writes it. The base of `BookView` and `AsyncBookView`.

    Views pickle, with the directory, the instrument and the address only. Use a view from one thread at a time, or
    make one per thread.

    Sides: `Side.BUY` or "buy" means "I would buy", so it walks the asks; `Side.SELL` walks the bids. Prices and volumes
    may be floats, as nothing is sent: 0.1 means exactly 0.1.

    Two actors keep a redundant book (`redundancy = 2`), and each of them has a segment on this node. Every read takes
    the one that is further by the exchange's sequence numbers. Where these cannot be compared, it stays with one for as
    long as that is LIVE. So a reader sees no difference when either actor, or its host, is lost.
    """

    def __init__(
        self,
        directory: Path,
        instrument: Instrument,
        address: str,
        ask_for: Callable[[], None] | None = None,
        reopen: Reopen | None = None,
    ) -> None:
        """Make a view; it reads nothing yet.

        Args:
            ask_for: called, at most once a second, while no segment of the address is on this node.
            reopen: makes the view after unpickling in another directory; it must pickle itself.
        """
        self.directory = directory
        self.instrument = instrument
        self.address = address
        self._ask_for = ask_for
        self._reopen = reopen
        self._index = SegmentIndex.of(directory)
        self.addresses = tuple(dict.fromkeys((address, replica_of(address))))  # of segments that it may read
        self._reader: SegmentReader | None = None
        self._opened: list[SegmentReader] = []  # the segments that the last search found
        self._redundant = False
        self._copies: tuple[SegmentReader, ...] = ()  # the segments of a redundant book that are settled, if both are
        self._awaited: list[tuple[SegmentReader, int]] = []  # these, with their versions before the last read
        self._look_after_ns = 0
        self._ask_after_ns = 0

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reopen is not None:
            return self._reopen, (type(self), self.address, self.instrument)
        return type(self), (self.directory, self.instrument, self.address)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address} {self.state.name}>"

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
        """Seconds since the book's last frame was published on this node (monotonic); None before the first frame."""
        published_ns = self._observe()[1].publish_ns
        return None if published_ns is None else (monotonic_ns() - published_ns) / SECOND_NS

    @property
    def sequence(self) -> int:
        """The exchange's sequence number of the last frame applied."""
        return self.top().sequence

    @property
    def version(self) -> int:
        """Number of publications by this incarnation: books, states and trades; 0 without a segment."""
        reader = self._serving()
        return 0 if reader is None else reader.version

    @property
    def incarnation(self) -> Incarnation | None:
        """Incarnation of the writer whose segment is read; None when there is no segment."""
        reader = self._serving()
        return None if reader is None else reader.incarnation

    @property
    def sequenced(self) -> bool:
        """Whether the exchange's numbers or checksums prove continuity; False: only the connection does."""
        return self._required().sequenced

    @property
    def exact(self) -> bool:
        """Whether prices and sizes are exactly the exchange's, without rounding."""
        return self._required().exact

    @property
    def reason(self) -> str:
        """The writer's reason for the book's state; empty without a reason or a segment."""
        reader = self._serving()
        return "" if reader is None else reader.statistics().reason

    @property
    def statistics(self) -> Statistics:
        """The writer's counters of this incarnation, in any state. Raises NotSynced without a segment."""
        return self._required().statistics()

    # ---- best bid and ask

    def top(self, stale_ok: bool = False) -> Top:
        """Return best bid and ask, sequence, times and state as one consistent record.

        Raises:
            NotSynced: the book is not LIVE (unless `stale_ok`), or has no segment on this node.
        """
        reader = self._ahead() if self._redundant else self._reader
        if reader is not None:
            try:
                return reader.top()
            except NotSynced:
                pass  # a successor may serve already: find it, then read from it
        return self._required().top(stale_ok)

    def peek(self) -> Top:
        """Return the last known top with the book's state, in any state. Never raises NotSynced."""
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

    def depth(self, n: int | None = None, dtype: npt.DTypeLike = FLOAT64, stale_ok: bool = False) -> Depth:
        """Return `Depth(bids, asks)`: arrays of shape (n, 2), price and size, best first.

        `dtype` is float64 for values or int64 for raw fixed-point. `n` None means all stored levels; a complete side
        with fewer levels gives fewer rows.

        Raises:
            NotSynced: the book is not LIVE (unless `stale_ok`), or has no segment on this node.
            BeyondDepth: `n` reaches past what is stored of a side that is not complete.
            ValueError, TypeError: `n` is below 1 or not a whole number, or `dtype` is another type.
        """
        as_float = wants_float(dtype)
        reader = self._ahead() if self._redundant else self._reader
        if reader is not None:
            try:
                return reader.depth(n, as_float)
            except BeyondDepth:
                raise
            except NotSynced:
                pass
        return self._required().depth(n, as_float, stale_ok)

    def snapshot(self, stale_ok: bool = False) -> BookSnapshot:
        """Return all stored levels, immutable and exact, for several questions about one moment. Raises NotSynced."""
        reader = self._ahead() if self._redundant else self._reader
        if reader is not None:
            try:
                return reader.snapshot()
            except NotSynced:
                pass
        return self._required().snapshot(stale_ok)

    def to_pandas(self, exact: bool = False) -> Any:
        """Return the snapshot as a data frame with columns side, price and size. Raises as the snapshot's."""
        return self.snapshot().to_pandas(exact)

    def size_at(self, side: Side | str, price: Number) -> Decimal:
        """Return the volume at `price` (BUY: of the asks); 0 if there is no level. Raises NotSynced, BeyondDepth."""
        return self.snapshot().size_at(side, price)

    def volume_for_price(self, side: Side | str, price: Number) -> Decimal:
        """Return the volume for a buyer who pays up to `price` (seller: down to). Raises NotSynced, BeyondDepth."""
        return self.snapshot().volume_for_price(side, price)

    def price_for_volume(self, side: Side | str, volume: Number) -> Decimal:
        """Return the worst price that filling `volume` reaches. Raises NotSynced, BeyondDepth."""
        return self.snapshot().price_for_volume(side, volume)

    def price_for_quote_volume(self, side: Side | str, quote: Number) -> Decimal:
        """Return the worst price that spending (SELL: earning) `quote` reaches. Raises NotSynced, BeyondDepth."""
        return self.snapshot().price_for_quote_volume(side, quote)

    def vwap(self, side: Side | str, volume: Number) -> Decimal:
        """Return the average price of filling `volume` now: exact sums, one division. Raises NotSynced, BeyondDepth."""
        return self.snapshot().vwap(side, volume)

    def imbalance(self, levels: int = 5) -> float:
        """Return (bids - asks) / (bids + asks) of the sizes of the best `levels`. Raises NotSynced, BeyondDepth."""
        return self.snapshot().imbalance(levels)

    @property
    def last_trade(self) -> Trade | None:
        """The newest trade of this incarnation; None before the first. The book need not be LIVE.

        Raises:
            NotSynced: there is no segment on this node.
        """
        reader = self._required()
        while (number := reader.last_trade_number) > 0:
            found = reader.trades(number - 1)
            if found:
                return replace(found[-1], missed=0)
        return None

    # ---- finding the segment

    def look_again(self) -> None:
        """Make the next read look for a better segment at once. Call this if a newer segment is known to exist."""
        self._look_after_ns = 0

    def _serving(self) -> SegmentReader | None:
        """Return the current reader; look for a successor when it does not serve."""
        reader = self._ahead() if self._redundant else self._reader
        return reader if reader is not None and reader.alive else self._look()

    def _required(self) -> SegmentReader:
        reader = self._look()
        if reader is None:
            raise NotSynced(self.address, BookState.ABSENT.name, "it has no segment on this node")
        return reader

    def _observe(self) -> tuple[SegmentReader | None, Top]:
        """Return the book's reader and top now; look for a successor when the book is not LIVE."""
        reader = self._ahead() if self._redundant else self._reader
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
        except NotSynced as doubt:  # no consistent copy: the writer stopped or died during a publish
            state = BookState[doubt.state]
            return empty_top(self.address, reader.price_scale, reader.size_scale, state, reader.incarnation)

    def _look(self) -> SegmentReader | None:
        """Choose among the segments of the address; at most every 10 ms."""
        now = monotonic_ns()
        reader = self._reader
        if now >= self._look_after_ns:
            self._look_after_ns = now + LOOK_NS
            try:
                # A segment that is left is not closed: a task may wait for it. It is unmapped with its last user.
                reader = self._reader = self._choose(reader)
            except SegmentMismatch:
                self._look_after_ns = 0  # so that the next read fails too
                raise
        elif reader is not None and len(self._opened) > 1 and reader.state not in _SETTLED:
            # While two incarnations run, a late heartbeat of one must not cost the time until the next search.
            reader = self._reader = next((one for one in self._opened if one.state in _SETTLED), reader)
        if self._ask_for is not None and now >= self._ask_after_ns and (reader is None or not reader.alive):
            self._ask_after_ns = now + ASK_NS
            self._ask_for()
        return reader

    def _choose(self, current: SegmentReader | None) -> SegmentReader | None:
        """Return the newest segment whose book is settled, or else the newest one: a successor may still be starting.

        Of a redundant book, it is the current one while that is settled.

        Raises:
            SegmentMismatch: the newest one was written by another version of this package, and no other is settled.
        """
        known = {reader.path: reader for reader in (*self._opened, *filter(None, (current,)))}
        settled: list[SegmentReader] = []
        newest, mismatch = None, None
        self._opened = []
        for address in self.addresses:
            for _, path in self._index.segments(address):
                reader = known.get(path)
                if reader is None or (not reader.alive and reader.unlinked):
                    try:
                        reader = SegmentReader(path)
                    except FileNotFoundError:
                        continue  # unlinked between the listing and now
                    except SegmentMismatch as error:
                        mismatch = mismatch or (error if newest is None else None)
                        continue
                self._opened.append(reader)
                if reader.state in _SETTLED:
                    settled.append(reader)
                    break
                newest = newest or reader
        self._redundant = any(reader.redundant for reader in self._opened)
        self._copies, self._awaited = tuple(settled) if len(settled) > 1 else (), []
        if settled:
            return current if current in settled else settled[0]
        if mismatch is not None:
            raise mismatch
        return newest or current

    # ---- redundant books

    def _ahead(self) -> SegmentReader | None:
        """Return the segment of a redundant book to read now, and remember both segments for a wait."""
        reader, copies = self._look(), self._copies
        self._awaited = [(copy, copy.version) for copy in copies]
        if copies and reader is not None:
            other = copies[1] if reader is copies[0] else copies[0]
            reader = self._reader = ahead(reader, other) or reader
        return reader

    def _is_news(self, top: Top, last: Top | None) -> bool:
        """Return whether `top`, of the current segment, differs from `last` for a reader: the other copy of a redundant
        book may be a little behind, and then it repeats what the reader has seen."""
        if last is None:
            return True
        if top.incarnation == last.incarnation and top.replica is last.replica:
            return top.update != last.update or top.state is not last.state
        reader = self._reader if self._redundant else None
        if not (top.live and last.live and reader is not None and reader.comparable) or top.sequence > last.sequence:
            return True
        return top.sequence < last.sequence and monotonic_ns() - (last.publish_ns or 0) > BEHIND_NS

    def _is_outlived(self, reader: SegmentReader) -> bool:
        """Return whether a reader of trades must leave this segment of a redundant book, which may be silent."""
        return self._redundant and reader.state not in _SETTLED

    def _copy_of(self, incarnation: Incarnation) -> SegmentReader | None:
        """Return the segment of a redundant book that this incarnation writes; None if its book is not settled."""
        return next((copy for copy in self._copies if copy.incarnation == incarnation), None)

    def _continued(self, overlap: Overlap, reader: SegmentReader) -> tuple[SegmentReader, Trade | None]:
        """Return the segment where trades continue, and its last trade that was yielded: of two copies, the one that
        has such a trade, as the other one may have begun later."""
        for copy in (reader, *self._copies):
            if (place := overlap.place(copy)) is not None:
                return copy, place
        return reader, None

    def _trade_numbers(self) -> dict[SegmentReader, int]:
        """Return the number of the newest trade of each segment: a copy of a redundant book holds older ones, too."""
        return {reader: reader.last_trade_number for reader in self._opened}
