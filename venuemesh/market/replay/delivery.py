"""Passes the changes and trades of a replay to their readers, one by one and in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...model.events import BookState, PublicTrade
from ...orderbook.l2 import OrderBook
from ...orderbook.segment import SegmentReader, SegmentWriter
from .clock import ReplayClock

TOPS, TRADES = "tops", "trades"
ANY = ""  # for the address: of all books


class Inbox:
    """What one reader has not taken yet. Unbounded: a reader that waits for something else loses nothing."""

    def __init__(self, clock: ReplayClock) -> None:
        self._clock = clock
        self._items: deque[Any] = deque()
        self._future: asyncio.Future[Any] | None = None

    async def next(self, timeout_s: float | None = None) -> Any:
        """Return the next item; None when `timeout_s` of replay time passes first. Raises ReplayOver."""
        if not self._items:
            self._future = asyncio.get_running_loop().create_future()
            if timeout_s is not None:
                self._clock.alarm(timeout_s, self._future)
            await self._clock.turns.wait(self._future)
        return self._items.popleft() if self._items else None

    async def put(self, item: Any) -> None:
        """Add an item; return when a task that waited for it waits again."""
        self._items.append(item)
        if self._future is not None and not self._future.done():
            self._clock.turns.give(self._future)
            await self._clock.turns.settle()


class Delivery:
    """The readers of a replay; `deliver` passes on what was published."""

    def __init__(self, clock: ReplayClock) -> None:
        self.clock = clock
        self._inboxes: dict[tuple[str, str], list[Inbox]] = {}
        self._pending: deque[tuple[Inbox, Any]] = deque()

    @contextmanager
    def inbox(self, address: str, kind: str) -> Iterator[Inbox]:
        """Yield an inbox that gets all that is published from now on, under this address (ANY: of all books)."""
        inbox = Inbox(self.clock)
        self._inboxes.setdefault((address, kind), []).append(inbox)
        try:
            yield inbox
        finally:
            self._inboxes[address, kind].remove(inbox)

    def readers(self, address: str, kind: str) -> list[Inbox]:
        return [*self._inboxes.get((address, kind), ()), *self._inboxes.get((ANY, kind), ())]

    def publish(self, readers: list[Inbox], item: Any) -> None:
        self._pending.extend((inbox, item) for inbox in readers)

    async def deliver(self) -> None:
        """Pass on what was published, each item to each of its readers, and wait for each reader."""
        while self._pending:
            inbox, item = self._pending.popleft()
            await inbox.put(item)


class DeliveringSink:
    """Writes a book's segment, and publishes each change and trade to the readers."""

    def __init__(self, writer: SegmentWriter, delivery: Delivery) -> None:
        self.writer = writer
        self._reader = SegmentReader(writer.path)
        self._delivery = delivery

    def publish(
        self, book: OrderBook, state: BookState, ts_event_ns: int | None, ts_recv_ns: int, applied: int = 1
    ) -> None:
        self.writer.publish(book, state, ts_event_ns, ts_recv_ns, applied)
        self._changed()

    def set_state(self, state: BookState, reason: str | None = None) -> None:
        self.writer.set_state(state, reason)
        self._changed()

    def _changed(self) -> None:
        if readers := self._delivery.readers(self.writer.address, TOPS):
            self._delivery.publish(readers, self._reader.top(stale_ok=True))

    def trade(self, trade: PublicTrade, missed: int = 0) -> None:
        number = self.writer.trade(trade, missed)
        if readers := self._delivery.readers(self.writer.address, TRADES):
            for written in self._reader.trades(number - 1):
                self._delivery.publish(readers, written)

    def close(self) -> None:
        self._reader.close()
        self.writer.close()
