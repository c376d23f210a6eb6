"""Replay a connector's sample messages through the mesh's own state machine and one book, without socket and clock."""

from __future__ import annotations

from collections.abc import Iterable

from ...actors.book.content import make_books
from ...actors.book.effects import Ask
from ...actors.book.events import Confirmed, Opened
from ...actors.book.ingest import Ingest, Pair
from ...actors.book.machine import BookMachine
from ...connectors.market_codec import Codec
from ...connectors.samples import MarketDataSamples, OrderLevelSamples
from ...connectors.spec import BookSource
from ...model.events import BookState, DepthSnapshot, Levels, MarketEvent, OrderSnapshot, PublicTrade, Side
from ...model.instrument import Instrument
from ...orderbook.l2 import OrderBook


class _Readers:
    """Record the states and trades that readers of the book would see."""

    def __init__(self) -> None:
        self.states: list[BookState] = []
        self.trades: list[PublicTrade] = []

    def publish(
        self, book: OrderBook, state: BookState, ts_event_ns: int | None, ts_recv_ns: int, applied: int = 1
    ) -> None:
        self.states.append(state)

    def set_state(self, state: BookState, reason: str | None = None) -> None:
        self.states.append(state)

    def trade(self, trade: PublicTrade, missed: int = 0) -> None:
        self.trades.append(trade)


class Story:
    """A book role without I/O: it gets frames and snapshots, and exposes the book and its state."""

    def __init__(
        self, codec: Codec, instrument: Instrument, samples: MarketDataSamples | OrderLevelSamples, *, fast: bool
    ) -> None:
        self.instrument = instrument
        self.events: list[MarketEvent] = []  # events about the connection
        self._samples = samples
        self._now_ns = 1
        self._readers = _Readers()
        self.ingest = Ingest(codec, self._ask, self._on_event, lambda: self._now_ns, fast=fast)
        self.feed = feed = codec.spec.book
        machine = BookMachine(codec.classify, lambda: 0.0, feed=feed, is_trading=instrument.is_trading)
        book, orders = make_books(feed, instrument)
        self.pair = Pair(instrument, book, machine, self._readers, orders=orders)
        self.ingest.track([self.pair])
        self.open()

    def _ask(self, pair: Pair, effect: Ask) -> None:
        """Ignore the machine's request for a snapshot; the check calls `snapshot` when it is due."""

    def _on_event(self, event: MarketEvent) -> None:
        if isinstance(event, DepthSnapshot | OrderSnapshot):  # the answer to a request over the socket
            self.ingest.answer(self.pair, self.pair.machine.attempt, event)
        else:
            self.events.append(event)

    def open(self) -> None:
        """Open a new connection: the book starts over."""
        self.ingest.on(self.pair, Opened())

    def confirm(self) -> None:
        """Confirm the subscription."""
        self.ingest.on(self.pair, Confirmed())

    def frames(self, frames: Iterable[bytes]) -> None:
        for frame in frames:
            self._now_ns += 1_000_000
            self.ingest.frame(frame, self._now_ns)

    def snapshot(self) -> None:
        """Answer the machine's request for a snapshot, or let the feed send the book."""
        if self.feed.source is not BookSource.REST:
            self.frames([self._samples.snapshot])
            return
        self._now_ns += 1_000_000
        limit = self._samples.snapshot_limit
        self.ingest.snapshot(self.pair, self.pair.machine.attempt, self._samples.snapshot, limit, self._now_ns)

    def play(self) -> None:
        """Play all samples in live order: buffered frames, then the snapshot that joins them; or a book in the feed
        first."""
        samples = self._samples
        if not self.feed.is_joined:
            self.snapshot()
            self.frames(samples.deltas)
            return
        first = ([samples.stale] if samples.stale is not None else []) + [samples.deltas[0]]
        self.frames(first)
        self.snapshot()
        self.frames(samples.deltas[1:])

    @property
    def state(self) -> BookState:
        return self.pair.machine.state

    @property
    def asks_for_snapshot(self) -> bool:
        return self.pair.machine.waiting

    def text(self, side: Side) -> list[tuple[str, str]]:
        """Return a side's levels as decimal text without trailing zeros, best first."""
        return level_text(self.instrument, self.pair.book.levels(side))


def level_text(instrument: Instrument, levels: Levels) -> list[tuple[str, str]]:
    """Return levels as decimal text without trailing zeros."""
    return [
        (f"{instrument.price(price).normalize():f}", f"{instrument.size(size).normalize():f}")
        for price, size in levels.tolist()
    ]
