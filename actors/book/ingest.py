"""Applies frames to books: the synchronous core of the book role and of the replay. No socket, no Ray, no clock.

One `Ingest` serves the pairs of one connection. The byte scanner reads a frame first; a frame that the scanner does not
recognise goes to the codec's JSON path. In both cases the pair's machine decides, the levels go into the book, and the
sink (the shared-memory segment, or the replay's) gets the change. A delta that waits for its snapshot is kept as an
event, not as a frame, because a frame may carry several pairs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from ...connectors.market_codec import Codec, JoinedOrders, Scanner
from ...connectors.sequence import Numbers
from ...connectors.spec import Proof
from ...model.errors import BookError, DataError, FixedPointError
from ...model.events import (
    BookState,
    Delta,
    DepthDelta,
    DepthSnapshot,
    Lost,
    MarketEvent,
    OrderDelta,
    OrderSnapshot,
    PublicTrade,
    Status,
    Ticker,
    WholeBook,
)
from ...model.instrument import Instrument
from ...orderbook.l2 import OrderBook
from ...orderbook.l3 import L3Book
from .content import apply, checksum_by, loader
from .effects import Ask, AskSnapshot, AwaitBook, Effect, Load, Publish, Resubscribe, SetState
from .events import BookCame, BookEvent, Crossed, Drained, Missed, SnapshotArrived, SnapshotFailed, Suspect, Trading
from .machine import APPLY, GAP, KEEP, STALE, STATE, BookMachine

RECENT_TRADES = 256  # number of ids of the last trades, to recognise repeated trades


class Sink(Protocol):
    """Takes a book's changes: the subset of `orderbook.segment.SegmentWriter` that is used here."""

    def publish(
        self, book: OrderBook, state: BookState, ts_event_ns: int | None, ts_recv_ns: int, applied: int = 1
    ) -> None: ...
    def set_state(self, state: BookState, reason: str | None = None) -> None: ...
    def trade(self, trade: PublicTrade, missed: int = 0) -> object: ...


class NoSink:
    """The sink of books without readers, in recordings and replays."""

    def publish(
        self, book: OrderBook, state: BookState, ts_event_ns: int | None, ts_recv_ns: int, applied: int = 1
    ) -> None: ...
    def set_state(self, state: BookState, reason: str | None = None) -> None: ...
    def trade(self, trade: PublicTrade, missed: int = 0) -> None: ...


class Observer(Protocol):
    """Gets every delta and book. The replay implements it."""

    def delta(self, pair: Pair, delta: Numbers) -> None:
        """Called with a received delta, before the machine decides about it."""

    def applied(self, pair: Pair) -> None:
        """Called after a delta was applied."""

    def book(self, pair: Pair) -> None:
        """Called after a whole book from the feed was loaded."""

    def ticker(self, pair: Pair, ticker: Ticker) -> None: ...
    def trade(self, pair: Pair, trade: PublicTrade) -> None: ...


@dataclass(slots=True, eq=False)
class Pair:
    """One book with its instrument, machine, sink and counters.

    `orders` is the order-level book whose levels are `book`; None: the feed has only levels.
    """

    instrument: Instrument
    book: OrderBook
    machine: BookMachine
    sink: Sink
    updates: int = 0  # publishes of the book
    trades: int = 0
    duplicate_trades: int = 0
    missed_trades: int = 0  # gaps in the exchange's trade ids; a late trade stays counted as missed
    misfits: int = 0  # frames and snapshots with a number that does not fit the instrument's scales
    unreadable: int = 0  # unreadable frames that are, or may be, of this pair
    ts_event_ns: int | None = None
    ts_recv_ns: int = 0
    draining: bool = False
    drained: int = 0  # deltas applied after the snapshot and not yet published
    missed: bool = False
    load: Callable[[], None] | None = None  # how to load the snapshot that arrived
    last_trade_id: int = -1
    orders: L3Book | None = None
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT_TRADES))


class Ingest:
    """The pairs of one connection, fed frame by frame.

    `ask` is called when a pair needs a whole book. `on_event` gets the events of the connection (Subscribed, GoingAway,
    ...) and the books that answer a request over the connection. `now_ns` is monotonic. With `fast` False the byte
    scanners are not used.
    """

    def __init__(
        self,
        codec: Codec,
        ask: Callable[[Pair, Ask], None],
        on_event: Callable[[MarketEvent], None],
        now_ns: Callable[[], int],
        *,
        fast: bool = True,
        observer: Observer | None = None,
    ) -> None:
        self.codec = codec
        self.pairs: dict[str, Pair] = {}  # by symbol
        self.frames = 0
        self.slow_frames = 0  # frames that the JSON path read
        self.unreadable = 0
        self.last_error: str | None = None
        self._ask = ask
        self._on_event = on_event
        self._now_ns = now_ns
        self._fast = fast
        self._observer = observer
        self._scanner = codec.scanner() if fast else None
        self._snapshots = codec.snapshot_scanner() if fast else None
        self._checksum = checksum_by(codec) if codec.spec.book.proof is Proof.CHECKSUM else None
        self._numbered = codec.spec.book.is_numbered
        self._slots: list[Pair] = []

    def track(self, pairs: Iterable[Pair]) -> None:
        """Serve these pairs, too."""
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
        """Process one frame of any kind. Never raises for anything that an exchange can send."""
        self.frames += 1
        scanner = self._scanner
        if scanner is None or (slot := scanner.scan(frame)) < 0:
            self.slow_frames += 1
            self._decode(frame, recv_ns)
            return
        pair = self._slots[slot]
        if scanner.depth:
            self._book(pair, scanner.apply, scanner.last, scanner.checksum, scanner.ts_event_ns, recv_ns, scanner)
            return
        machine = pair.machine
        if self._observer is not None:
            self._observer.delta(pair, scanner)
        code = machine.delta(scanner)
        if code != APPLY:
            if code == STATE:
                self._proven(pair)
            elif code != STALE:
                self._not_applied(pair, code, self._scanned(pair, scanner, recv_ns))
            return
        try:
            scanner.apply()
            if not self._numbered:
                pair.book.sequence = machine.sequence
                self._prove(pair, scanner.checksum, scanner)
        except BookError as error:
            self.on(pair, Suspect(str(error), scanner.last))
            return
        pair.ts_event_ns = ts_event_ns = scanner.ts_event_ns
        pair.ts_recv_ns = recv_ns
        if self._observer is not None or machine.keeps or pair.book.crossed:
            self._applied(pair, self._scanned(pair, scanner, recv_ns))
            return
        pair.updates += 1
        pair.sink.publish(pair.book, machine.state, ts_event_ns, recv_ns)

    @staticmethod
    def _scanned(pair: Pair, scanner: Scanner, recv_ns: int) -> DepthDelta:
        """Return the delta that the scanner has just read, as an event."""
        bids, asks = scanner.levels()
        return DepthDelta(
            pair.instrument.symbol,
            scanner.first,
            scanner.last,
            bids,
            asks,
            scanner.ts_event_ns,
            recv_ns,
            scanner.previous,
            scanner.checksum,
        )

    def _decode(self, frame: bytes | memoryview, recv_ns: int) -> None:
        try:
            events = self.codec.decode(frame, recv_ns)
        except DataError as error:
            self.unreadable_frame(frame, error)
            return
        for event in events:
            if isinstance(event, DepthDelta | OrderDelta):
                self._delta(event)
            elif isinstance(event, PublicTrade):
                self.trade(event)
            elif isinstance(event, Ticker):
                if self._observer is not None:
                    self._observer.ticker(self.pairs[event.symbol], event)
            elif isinstance(event, DepthSnapshot | OrderSnapshot) and event.request_id is None:
                pair = self.pairs[event.symbol]
                load = loader(pair.book, pair.orders, event)
                self._book(pair, load, event.sequence, event.checksum, event.ts_event_ns, event.ts_recv_ns)
            elif isinstance(event, Lost):
                for pair in list(self.pairs.values()) if event.symbol is None else [self.pairs[event.symbol]]:
                    self.on(pair, Suspect(event.reason))
            elif isinstance(event, Status):
                self.on(self.pairs[event.symbol], Trading(event.is_trading))
            else:
                self._on_event(event)

    def _delta(self, delta: Delta) -> None:
        pair = self.pairs[delta.symbol]
        machine = pair.machine
        if self._observer is not None and not pair.draining:
            self._observer.delta(pair, delta)
        code = machine.delta(delta)
        if code == STATE:
            self._proven(pair)
        elif code != APPLY and code != STALE:
            self._not_applied(pair, code, delta)
        if code != APPLY:
            return
        try:
            apply(pair.book, pair.orders, delta, machine.sequence)
            self._prove(pair, delta.checksum)
        except BookError as error:
            self.on(pair, Suspect(str(error), delta.last))
            return
        pair.ts_event_ns, pair.ts_recv_ns = delta.ts_event_ns, delta.ts_recv_ns
        self._applied(pair, delta)

    def _prove(self, pair: Pair, checksum: int | None, scanner: Scanner | None = None) -> None:
        """Compare the book with the exchange's checksum, if checksums are the proof. Raises BookError.

        A scanner that computes checksums has compared them already.
        """
        if self._checksum is None:
            return
        counters = pair.machine.counters
        counters.checksums += 1
        if scanner is not None and scanner.is_proven:
            return
        found = self._checksum(pair.instrument, pair.book, pair.orders)
        if found != checksum:
            counters.bad_checksums += 1
            raise BookError(f"the book's checksum is {found}; the exchange's is {checksum}")

    def _book(
        self,
        pair: Pair,
        load: Callable[[], None],
        sequence: int,
        checksum: int | None,
        ts_event_ns: int | None,
        ts_recv_ns: int,
        scanner: Scanner | None = None,
    ) -> None:
        """Load a whole book that came in the feed."""
        if pair.machine.state in (BookState.CONNECTING, BookState.SILENT):
            return
        try:
            load()
            self._prove(pair, checksum, scanner)
        except BookError as error:
            machine, reason = pair.machine, f"book: {error}"
            failed = SnapshotFailed(machine.attempt, reason) if machine.waiting else Suspect(reason, sequence)
            self.on(pair, failed)
            return
        pair.ts_event_ns, pair.ts_recv_ns, pair.drained = ts_event_ns, ts_recv_ns, 1
        effects = pair.machine.on(BookCame(sequence), self._now_ns())
        pair.book.sequence = pair.machine.sequence
        if self._observer is not None:
            self._observer.book(pair)
        self._perform(pair, effects)

    def _applied(self, pair: Pair, delta: Delta) -> None:
        if self._observer is not None:
            self._observer.applied(pair)
        if pair.book.crossed:
            effects = pair.machine.on(Crossed(delta.last), self._now_ns())
            if effects:
                self._perform(pair, effects)
                return
        if not pair.draining:
            pair.updates += 1
            pair.sink.publish(pair.book, pair.machine.state, pair.ts_event_ns, pair.ts_recv_ns)
        if pair.machine.keeps:
            pair.machine.keep(delta)

    @staticmethod
    def _proven(pair: Pair) -> None:
        if not pair.draining:
            pair.sink.set_state(pair.machine.state)

    def _not_applied(self, pair: Pair, code: int, delta: Delta) -> None:
        if code == KEEP:
            pair.machine.keep(delta)
            if not pair.draining:
                self._perform(pair, pair.machine.wants_snapshot(self._now_ns()))
        elif code == GAP:
            if pair.draining:
                pair.missed = True
            else:
                self.on(pair, Missed())
            pair.machine.keep(delta)

    def trade(self, trade: PublicTrade) -> None:
        """Process a public trade of a served pair, unless it was processed before."""
        pair = self.pairs[trade.symbol]
        if self._observer is not None:
            self._observer.trade(pair, trade)
        known = ~trade.trade_id if trade.aggregate else trade.trade_id  # aggregate trades have separate ids
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

    def unreadable_frame(self, frame: bytes | memoryview, error: DataError) -> None:
        """Suspect every book that the frame may be about: the books of the symbols in the frame, or all books."""
        self.unreadable += 1
        self.last_error = str(error)
        text = bytes(frame).upper()
        named = [pair for symbol, pair in self.pairs.items() if symbol.upper().encode() in text]
        if named:  # the frame may be cut off inside a symbol: suspect every symbol that begins with its end
            named = [pair for symbol, pair in self.pairs.items() if self._may_name(text, symbol.upper().encode())]
        for pair in named or list(self.pairs.values()):
            pair.unreadable += 1
            pair.misfits += isinstance(error.__cause__, FixedPointError)
            self.on(pair, Suspect(str(error)))

    @staticmethod
    def _may_name(text: bytes, symbol: bytes) -> bool:
        """Return whether a text contains the symbol, or ends with a part of it."""
        return symbol in text or any(text.endswith(b'"' + symbol[:n]) for n in range(1, len(symbol)))

    # Snapshots

    def snapshot(self, pair: Pair, attempt: int, body: bytes, limit: int, recv_ns: int) -> None:
        """Process the snapshot that was requested over REST as `attempt`."""
        book = pair.book
        read: WholeBook | None = None
        try:
            if isinstance(self.codec, JoinedOrders) and pair.orders is not None:
                read = self.codec.orders_snapshot(pair.instrument, body, recv_ns)
            elif self._snapshots is None or not self._snapshots.scan(body, book.price_scale, book.size_scale):
                read = self.codec.snapshot(pair.instrument, body, limit, recv_ns)
            if read is None:
                assert self._snapshots is not None
                bulk = self._snapshots
                sequence = bulk.sequence
                pair.load = lambda: bulk.load(book, limit)
            else:
                sequence = read.sequence
                pair.load = loader(pair.book, pair.orders, read)
        except DataError as error:
            pair.misfits += isinstance(error.__cause__, FixedPointError)
            self.on(pair, SnapshotFailed(attempt, str(error)))
            return
        pair.ts_recv_ns = recv_ns
        self.on(pair, SnapshotArrived(attempt, sequence))
        pair.load = None

    def answer(self, pair: Pair, attempt: int, read: WholeBook) -> None:
        """Process the snapshot that was requested over the socket as `attempt`."""
        pair.ts_recv_ns = read.ts_recv_ns
        pair.load = loader(pair.book, pair.orders, read)
        self.on(pair, SnapshotArrived(attempt, read.sequence))
        pair.load = None

    # Effects

    def on(self, pair: Pair, event: BookEvent) -> None:
        """Give the pair's machine an event and perform the machine's effects."""
        self._perform(pair, pair.machine.on(event, self._now_ns()))

    def _perform(self, pair: Pair, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SetState(state, reason):
                    pair.sink.set_state(state, reason)
                case AskSnapshot() | AwaitBook() | Resubscribe():
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
            self.on(pair, Suspect(f"snapshot: {error}", pair.machine.sequence))
            return
        pair.draining, pair.missed = True, False
        before = pair.machine.counters.applied
        for delta in kept:
            self._delta(delta)
        pair.draining = False
        pair.drained = pair.machine.counters.applied - before
        self.on(pair, Missed() if pair.missed else Drained())
