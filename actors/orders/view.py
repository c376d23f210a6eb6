"""What of an account is durable, as the world outside the manager may see it: orders, the last events, and who waits.

The machine's memory is ahead of the journal; this follows it commit by commit. Orders that are not done are all here,
done ones as long as there is room, older ones in the journal; likewise events.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...journal.writes import PutEvent, PutOrder, Write
from ...model.errors import InvalidTransition
from ...model.order import AccountEvent, Order, OrderStatus

EVENTS = 20_000
DONE_ORDERS = 10_000

UNTIL: dict[str, Callable[[Order], bool]] = {
    "done": lambda order: order.is_done,
    "open": lambda order: order.status not in (OrderStatus.PENDING_NEW, OrderStatus.UNKNOWN),
}


@dataclass(slots=True)
class Waiter:
    """Who waits for the next change of one order."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0


class View:
    """See the module."""

    def __init__(
        self, next_event: int, orders: Iterable[Order], *, events: int = EVENTS, done: int = DONE_ORDERS
    ) -> None:
        self.last = next_event - 1  # number of the last event that is durable
        self._events: deque[AccountEvent] = deque(maxlen=events)
        self._open: dict[str, Order] = {}
        self._done: OrderedDict[str, Order] = OrderedDict()
        self._keep_done = done
        self._news = asyncio.Event()
        self._waiters: dict[str, Waiter] = {}
        for order in orders:
            self._put(order)

    def committed(self, writes: Sequence[Write], numbers: Sequence[int]) -> None:
        """Take in a commit; `numbers` are those of its events, in order.

        Raises:
            InvalidTransition: there are not as many: the journal has taken it for another batch.
        """
        if sum(isinstance(write, PutEvent) for write in writes) != len(numbers):
            raise InvalidTransition("a commit", f"{len(numbers)} numbers for its events")
        left = iter(numbers)
        told = False
        for write in writes:
            if isinstance(write, PutOrder):
                self._put(write.order)
                if (waiter := self._waiters.pop(write.order.client_order_id, None)) is not None:
                    waiter.changed.set()
            elif isinstance(write, PutEvent):
                event = replace(write.event, number=next(left))
                if event.number > self.last:  # a batch that was repeated is here already
                    self.last = event.number
                    self._events.append(event)
                    told = True
        if told:
            news, self._news = self._news, asyncio.Event()
            news.set()

    def _put(self, order: Order) -> None:
        name = order.client_order_id
        if not order.is_done:
            self._open[name] = order
            self._done.pop(name, None)
            return
        self._open.pop(name, None)
        self._done[name] = order
        self._done.move_to_end(name)
        if len(self._done) > self._keep_done:
            self._done.popitem(last=False)

    def order(self, client_order_id: str) -> Order | None:
        return self._open.get(client_order_id) or self._done.get(client_order_id)

    def open_orders(self) -> list[Order]:
        """All that are not done, oldest first."""
        return sorted(self._open.values(), key=lambda order: order.created_ns)

    def events(self, after: int, limit: int) -> list[AccountEvent] | None:
        """Return the events numbered above `after`, at most `limit`; None when some of them are only in the journal."""
        if after >= self.last:
            return []
        if not self._events or self._events[0].number > after + 1:
            return None
        skip = after + 1 - self._events[0].number
        return [self._events[at] for at in range(skip, min(len(self._events), skip + limit))]

    async def news(self, after: int) -> None:
        """Return when there is an event after `after`."""
        while self.last <= after:
            await self._news.wait()

    async def changed(self, client_order_id: str) -> None:
        """Return when the order has changed once more."""
        waiter = self._waiters.setdefault(client_order_id, Waiter())
        waiter.waiting += 1
        try:
            await waiter.changed.wait()
        finally:
            waiter.waiting -= 1
            if not waiter.waiting and self._waiters.get(client_order_id) is waiter:
                del self._waiters[client_order_id]  # nobody waits any more, and the order may never change again

    def report(self) -> dict[str, Any]:
        return {"open_orders": len(self._open), "last_event": self.last}
