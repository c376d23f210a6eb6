"""Frames into books: the synchronous heart that book role and replay share. No socket, no Ray, no clock of its own.

One `Ingest` serves the pairs of one connection. A frame goes to the byte scanner first; what that does not know exactly
goes to the codec's JSON path. Either way the pair's machine decides, the levels go into the book, and the sink (the
shared-memory segment, or the replay's) is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from ...connectors.market_codec import Codec
from ...model.errors import BookError, DataError, FixedPointError
from ...model.events import BookState, DepthDelta, MarketEvent, PublicTrade, Ticker
from ...model.instrument import Instrument
from ...orderbook.l2 import OrderBook
from .machine import (
    APPLY,
    GAP,
    KEEP,
    STATE,
    AskSnapshot,
    BookEvent,
    BookMachine,
    Crossed,
    Doubt,
    Drained,
    Effect,
    Load,
    Missed,
    Publish,
    SetState,
    SnapshotArrived,
    SnapshotFailed,
)

RECENT_TRADES = 256  # ids by which a trade that comes twice is known


class Sink(Protocol):
    """Where a book's changes go: the subset of `orderbook.segment.SegmentWriter` that is used here."""

    def publish(
        self, book: OrderBook, state: BookState, ts_event_ns: int | None, ts_recv_ns: int, applied: int = 1
    ) -> None: ...
    def set_state(self, state: BookState, reason: str | None = None) -> None: ...
    def trade(self, trade: PublicTrade, missed: int = 0) -> object: ...


class NoSink:
    """For books that have no readers: a recording's, a replay's."""

    def publish(
        self, book: OrderBook, state: BookState, ts_event_ns: int | None, ts_recv_ns: int, applied: int = 1
    ) -> None: ...
    def set_state(self, state: BookState, reason: str | None = None) -> None: ...
    def trade(self, trade: PublicTrade, missed: int = 0) -> None: ...


class Observer(Protocol):
    """Who wants to see every delta: the replay."""

    def delta(self, pair: Pair, first: int, last: int) -> None:
        """A delta came, before anything was decided about it."""

    def applied(self, pair: Pair) -> None:
        """A delta was applied."""

    def ticker(self, pair: Pair, ticker: Ticker) -> None: ...
    def trade(self, pair: Pair, trade: PublicTrade) -> None: ...


@dataclass(slots=True, eq=False)
class Pair:
    """One book and all that belongs to it."""

    instrument: Instrument
    book: OrderBook
    machine: BookMachine
    sink: Sink
    updates: int = 0  # publishes of the book
    trades: int = 0
    duplicate_trades: int = 0
    missed_trades: int = 0  # known by holes in the exchange's ids; one that comes late after all was counted
    misfits: int = 0  # frames and snapshots with a number that the instrument's scales do not hold
    unreadable: int = 0  # frames of this pair (or of nobody known) that could not be read
    ts_event_ns: int | None = None
    ts_recv_ns: int = 0
    draining: bool = False
    drained: int = 0  # frames applied after the snapshot and not yet published
    missed: bool = False
    load: Callable[[], None] | None = None  # how to load the snapshot that arrived
    last_trade_id: int = -1
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT_TRADES))


class Ingest:
    """The pairs of one connection, fed frame by frame.

    `ask` is told when a pair wants a snapshot, `other` gets what concerns the connection (Subscribed, GoingAway, ...),
    `now_ns` is monotonic. With `fast` False the byte scanners are left out.
    """

    def __init__(
        self,
        codec: Codec,
        ask: Callable[[Pair, AskSnapshot], None],
        other: Callable[[MarketEvent], None],
        now_ns: Callable[[], int],
        *,
        fast: bool = True,
        observer: Observer | None = None,
    ) -> None:
        self.codec = codec
        self.pairs: dict[str, Pair] = {}  # by symbol
        self.frames = 0
        self.slow_frames = 0  # those the byte scanner left to the JSON path
        self.unreadable = 0
        self.last_error: str | None = None
        self._ask = ask
        self._other = other
        self._now_ns = now_ns
        self._fast = fast
        self._observer = observer
        self._scanner = codec.scanner() if fast else None
        self._snapshots = codec.snapshot_scanner() if fast else None
        self._slots: list[Pair] = []

    def track(self, pairs: Iterable[Pair]) -> None:
        """Serve these pairs too."""
        self.pairs.update((pair.instrument.symbol, pair) for pair in pairs)
        self._bind()

    def untrack(self, symbol: str) -> None:
        """Forget a pair; its frames still on the way are ignored."""
        del self.pairs[symbol]
        self._bind()

    def _bind(self) -> None:
        self.codec.bind(pair.instrument for pair in self.pairs.values())
        self._slots = list(self.pairs.values())
        if self._fast:
            self._scanner = self.codec.scanner()
        if self._scanner is not None:
            for pair in self._slots:
                self._scanner.bind(pair.instrument.symbol, pair.book)

    # Frames

    def frame(self, frame: bytes | memoryview, recv_ns: int) -> None:
        """Take in one frame, whatever it is. Never raises for what an exchange can send."""
        self.frames += 1
        scanner = self._scanner
        if scanner is None or (slot := scanner.scan(frame)) < 0:
            self.slow_frames += 1
            self._decode(frame, recv_ns)
            return
        pair = self._slots[slot]
        machine = pair.machine
        first, last = scanner.first, scanner.last
        if self._observer is not None and not pair.draining:
            self._observer.delta(pair, first, last)
        code = machine.delta(first, last)
        if code != APPLY:
            self._not_applied(pair, code, first, last, frame, recv_ns)
            return
        try:
            scanner.apply()
        except BookError as error:
            self.on(pair, Doubt(str(error), last))
            return
        pair.ts_event_ns = ts_event_ns = scanner.ts_event_ns
        pair.ts_recv_ns = recv_ns
        if self._observer is not None or pair.draining or machine.keeps or pair.book.crossed:
            self._applied(pair, first, last, frame)
            return
        pair.updates += 1
        pair.sink.publish(pair.book, machine.state, ts_event_ns, recv_ns)

    def _decode(self, frame: bytes | memoryview, recv_ns: int) -> None:
        try:
            events = self.codec.decode(frame, recv_ns)
        except DataError as error:
            self._unreadable(frame, error)
            return
        for event in events:
            if isinstance(event, DepthDelta):
                self._delta(event, frame)
            elif isinstance(event, PublicTrade):
                self._trade(event)
            elif isinstance(event, Ticker):
                if self._observer is not None:
                    self._observer.ticker(self.pairs[event.symbol], event)
            else:
                self._other(event)

    def _delta(self, delta: DepthDelta, frame: bytes | memoryview) -> None:
        pair = self.pairs[delta.symbol]
        if self._observer is not None and not pair.draining:
            self._observer.delta(pair, delta.first, delta.last)
        code = pair.machine.delta(delta.first, delta.last)
        if code != APPLY:
            self._not_applied(pair, code, delta.first, delta.last, frame, delta.ts_recv_ns)
            return
        try:
            pair.book.apply(delta.bids, delta.asks, delta.last)
        except BookError as error:
            self.on(pair, Doubt(str(error), delta.last))
            return
        pair.ts_event_ns, pair.ts_recv_ns = delta.ts_event_ns, delta.ts_recv_ns
        self._applied(pair, delta.first, delta.last, frame)

    def _applied(self, pair: Pair, first: int, last: int, frame: bytes | memoryview) -> None:
        if self._observer is not None:
            self._observer.applied(pair)
        if pair.book.crossed:
            effects = pair.machine.on(Crossed(last), self._now_ns())
            if effects:
                self._perform(pair, effects)
                return
        if not pair.draining:
            pair.updates += 1
            pair.sink.publish(pair.book, pair.machine.state, pair.ts_event_ns, pair.ts_recv_ns)
        if pair.machine.keeps:
            pair.machine.keep(first, last, bytes(frame), pair.ts_recv_ns)

    def _not_applied(
        self, pair: Pair, code: int, first: int, last: int, frame: bytes | memoryview, recv_ns: int
    ) -> None:
        if code == STATE:
            if not pair.draining:
                pair.sink.set_state(pair.machine.state)
        elif code == KEEP:
            pair.machine.keep(first, last, bytes(frame), recv_ns)
            if not pair.draining:
                self._perform(pair, pair.machine.wants_snapshot(self._now_ns()))
        elif code == GAP:
            if pair.draining:
                pair.missed = True
            else:
                self.on(pair, Missed())
            pair.machine.keep(first, last, bytes(frame), recv_ns)

    def _trade(self, trade: PublicTrade) -> None:
        pair = self.pairs[trade.symbol]
        if self._observer is not None:
            self._observer.trade(pair, trade)
        known = ~trade.trade_id if trade.aggregate else trade.trade_id  # the two kinds are numbered apart
        if known in pair.recent and (trade.aggregate or known <= pair.last_trade_id):
            pair.duplicate_trades += 1
            return
        pair.recent.append(known)
        pair.trades += 1
        missed = 0
        if not trade.aggregate:
            if self.codec.spec.contiguous_trade_ids and 0 <= pair.last_trade_id < trade.trade_id:
                missed = trade.trade_id - pair.last_trade_id - 1
                pair.missed_trades += missed
            pair.last_trade_id = max(pair.last_trade_id, trade.trade_id)
        pair.sink.trade(trade, missed)

    def _unreadable(self, frame: bytes | memoryview, error: DataError) -> None:
        """Doubt every book the frame may have been meant for: those it names, or all."""
        self.unreadable += 1
        self.last_error = str(error)
        said = bytes(frame).upper()
        named = [pair for symbol, pair in self.pairs.items() if symbol.upper().encode() in said]
        if named:  # the name may be cut off: what it is the beginning of may be meant as well
            named = [pair for symbol, pair in self.pairs.items() if self._may_name(said, symbol.upper().encode())]
        for pair in named or list(self.pairs.values()):
            pair.unreadable += 1
            pair.misfits += isinstance(error.__cause__, FixedPointError)
            self.on(pair, Doubt(str(error)))

    @staticmethod
    def _may_name(said: bytes, symbol: bytes) -> bool:
        """Whether a frame names a symbol, or was cut off inside its name."""
        return symbol in said or any(said.endswith(b'"' + symbol[:n]) for n in range(1, len(symbol)))

    # Snapshots

    def snapshot(self, pair: Pair, attempt: int, body: bytes, limit: int, recv_ns: int) -> None:
        """Take in the snapshot that was asked for as `attempt`."""
        book = pair.book
        try:
            if self._snapshots is not None and self._snapshots.scan(body, book.price_scale, book.size_scale):
                bulk = self._snapshots
                sequence = bulk.sequence
                pair.load = lambda: bulk.load(book, limit)
            else:
                read = self.codec.snapshot(pair.instrument, body, limit, recv_ns)
                sequence = read.sequence
                pair.load = lambda: book.load(
                    read.bids, read.asks, read.sequence, read.bids_complete, read.asks_complete
                )
        except DataError as error:
            pair.misfits += isinstance(error.__cause__, FixedPointError)
            self.on(pair, SnapshotFailed(attempt, str(error)))
            return
        pair.ts_recv_ns = recv_ns
        self.on(pair, SnapshotArrived(attempt, sequence))
        pair.load = None

    # Effects

    def on(self, pair: Pair, event: BookEvent) -> None:
        """Give the pair's machine an event and do what it says."""
        self._perform(pair, pair.machine.on(event, self._now_ns()))

    def _perform(self, pair: Pair, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SetState(state, reason):
                    pair.sink.set_state(state, reason)
                case AskSnapshot():
                    self._ask(pair, effect)
                case Publish(state):
                    pair.updates += 1
                    pair.sink.publish(pair.book, state, pair.ts_event_ns, pair.ts_recv_ns, pair.drained)
                case Load():
                    self._load(pair)

    def _load(self, pair: Pair) -> None:
        kept = pair.machine.take()
        try:
            if pair.load is not None:
                pair.load()
        except BookError as error:
            self.on(pair, Doubt(f"snapshot: {error}", pair.machine.sequence))
            return
        pair.draining, pair.missed = True, False
        before = pair.machine.counters.applied
        seen = self.frames, self.slow_frames
        try:
            for frame in kept:
                self.frame(frame.frame, frame.recv_ns)
        finally:
            pair.draining = False
            self.frames, self.slow_frames = seen  # they were counted when they came
        pair.drained = pair.machine.counters.applied - before
        self.on(pair, Missed() if pair.missed else Drained())
