"""Answers queries about an account without its machine: durable orders, fills and events, from memory or the journal.

`AccountView` holds the durable state in memory: open orders, recently completed orders, recent events. `Queries`
answers messages from the view, or from the journal if the view no longer has the data.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ...journal.journal import Journal
from ...journal.records import Filter, Page
from ...journal.writes import PutEvent, PutOrder, Write
from ...model.errors import EventsRewound, EventsTrimmed, InvalidTransition, Rejected
from ...model.order import AccountEvent, Order, OrderStatus
from ..cell.role import whole_number

T = TypeVar("T")
PAGE = 500
MOST = 5_000
SCAN = 2_000  # events searched for one answer about one owner

Read = Callable[[Callable[[Journal], T]], Awaitable[T]]


class Queries:
    """Answers from the view, else from the journal in its reading thread.

    `load` loads an order that is not in the view, or raises UnknownOrder (see `OrderManagerRole`).
    """

    def __init__(self, exchange: str, account: str, view: AccountView, read: Callable[[Any], Awaitable[Any]]) -> None:
        self._exchange, self._account, self._view, self._read = exchange, account, view, read

    async def orders(self, body: Any) -> dict[str, Any]:
        """orders {open, owner, pair, after, limit, newest, before}: {"rows", "next"}; open orders come from memory,
        others from the journal.

        Open orders are those of this mesh; with `external` also external ones. Oldest first. `next` is the `after` of
        the next page, and with `newest` the `before` of the page of older rows; None if there are no more now.
        """
        wanted = body or {}
        pair, owner = text(wanted, "pair"), text(wanted, "owner")
        limit = min(MOST, whole_number(wanted, "limit") or PAGE)
        if wanted.get("open"):
            others, after = bool(wanted.get("external")), _place(wanted, "after")
            found = [
                one
                for one in self._view.open_orders()
                if _is_of(one, pair, owner) and (others or not one.external) and (after is None or place(one) > after)
            ]
            more = list(place(found[limit - 1])) if len(found) > limit else None
            return {"rows": [order.to_dict() for order in found[:limit]], "next": more}
        page = await self._page(wanted, Filter(self._exchange, self._account, pair, owner), Journal.orders, limit)
        return {"rows": [order.to_dict() for order in page.rows], "next": page.next}

    async def _page(self, wanted: Any, chosen: Filter, listing: Callable[..., Page[Any]], limit: int) -> Page[Any]:
        """Read one page of a listing of the journal."""
        after, newest = number(wanted, "after"), bool(wanted.get("newest"))
        before = None if wanted.get("before") is None else number(wanted, "before")
        page: Page[Any] = await self._read(
            lambda journal: listing(journal, chosen, after, limit, newest=newest, before=before)
        )
        return page

    async def has(self, pair: str) -> bool:
        """Return whether there is any order of a pair, open or in the journal."""
        if any(order.pair == pair for order in self._view.open_orders()):
            return True
        chosen = Filter(self._exchange, self._account, pair)
        return bool((await self._read(lambda journal: journal.orders(chosen, 0, 1))).rows)

    async def fills(self, body: Any) -> dict[str, Any]:
        """fills {id?, pair?, after, limit, newest, before}: {"rows", "next"} from the journal, in the order of
        recording; pages as in `orders`."""
        wanted = body or {}
        limit = min(MOST, whole_number(wanted, "limit") or PAGE)
        pair, order = text(wanted, "pair"), text(wanted, "id")
        chosen = Filter(self._exchange, self._account, pair, client_order_id=order)
        page = await self._page(wanted, chosen, Journal.fills, limit)
        return {"rows": [fill.to_dict() for fill in page.rows], "next": page.next}

    async def start_of(self, body: Any, cursor: Callable[[str], int | None]) -> int:
        """Return the event number after which a subscriber starts: its `after`, else its cursor, else the latest event.

        Raises:
            EventsRewound: its `after` is of another `lineage`, or ahead of the journal.
        """
        wanted, view = body or {}, self._view
        lineage = text(wanted, "lineage")
        if lineage is not None and lineage != view.lineage:
            reason = "the journal was restored or begun anew, so its event numbers mean other events"
            raise EventsRewound(wanted.get("after"), view.last, reason)
        if wanted.get("after") is not None:
            after = number(wanted, "after")
            if after > view.last:
                raise EventsRewound(
                    after, view.last, f"there is no event {after} yet: the journal is another or older one"
                )
            return after
        name = text(wanted, "cursor")
        if name is None:
            return self._view.last
        at = cursor(name)
        if at is not None:
            return at
        first, _ = await self._read(lambda journal: journal.event_range(self._exchange, self._account))
        return int(first) - 1

    async def events(self, after: int, limit: int, owner: str | None, timeout_s: float) -> dict[str, Any]:
        """events: {"events": [...], "next": n, "lineage", "last"} as soon as an event above `after` exists; empty at
        the timeout. A number counts within its lineage. `last` is the number of the newest event.

        Raises:
            EventsTrimmed: the journal no longer keeps event `after` + 1.
        """
        deadline_s, lineage = asyncio.get_running_loop().time() + timeout_s, self._view.lineage
        while True:
            try:
                async with asyncio.timeout_at(deadline_s):
                    await self._view.news(after)
            except TimeoutError:
                return {"events": [], "next": after, "lineage": lineage, "last": self._view.last}
            found = await self._events_after(after, SCAN if owner else limit)
            own = [event for event in found if owner is None or event.owner in (owner, None)][:limit]
            if own:
                after = own[-1].number if len(own) == limit else found[-1].number
                plain = [event.to_dict() | {"lineage": lineage} for event in own]
                return {"events": plain, "next": after, "lineage": lineage, "last": self._view.last}
            after = found[-1].number if found else after

    async def _events_after(self, after: int, limit: int) -> list[AccountEvent]:
        found = self._view.events(after, limit)
        if found is None:
            rows: list[AccountEvent] = await self._read(
                lambda journal: journal.events(self._exchange, self._account, after, limit)
            )
            if rows and rows[0].number != after + 1:
                raise EventsTrimmed(rows[0].number)
            return rows
        return found

    async def order(
        self, client_order_id: str, until: Any, timeout_s: float, load: Callable[[str], Awaitable[Order]]
    ) -> dict[str, Any] | None:
        """order {id, until}: the order when it is "done", "open", or changed after that time; None at the timeout."""
        if isinstance(until, str) and until in UNTIL:
            reached = UNTIL[until]
        elif type(until) is int:
            seen: int = until

            def reached(order: Order) -> bool:
                return order.updated_ns > seen
        else:
            raise Rejected("bad_request", f"until is {until!r}; it must be 'done', 'open' or a time in ns")
        try:
            async with asyncio.timeout(timeout_s):
                order = self._view.order(client_order_id) or await load(client_order_id)
                while not reached(order):
                    await self._view.changed(client_order_id)
                    order = self._view.order(client_order_id) or order
        except TimeoutError:
            return None
        return order.to_dict()


def place(order: Order) -> tuple[int, str]:
    """Return the place of an open order in the listing: by time of creation, then by id."""
    return order.created_ns, order.client_order_id


def _place(body: Any, key: str) -> tuple[int, str] | None:
    """Read a place in the listing of open orders from a message's body. Raises Rejected."""
    match (body or {}).get(key):
        case None | 0:
            return None
        case [int(created_ns), str(name)]:
            return created_ns, name
        case other:
            raise Rejected("bad_request", f"{key} is {str(other)[:80]!r}; of open orders it is the `next` of a page")


def _is_of(order: Order, pair: str | None, owner: str | None) -> bool:
    return (pair is None or order.pair == pair) and (owner is None or order.owner == owner)


def text(body: Any, key: str) -> str | None:
    """Read a text from a message's body; absent, None and empty give None. Raises Rejected: another value."""
    value = (body or {}).get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        raise Rejected("bad_request", f"{key} must be a plain text of at most 200 characters")
    return value


def needed_text(body: Any, key: str) -> str:
    """Read a required text from a message's body. Raises Rejected."""
    found = text(body, key)
    if found is None:
        raise Rejected("bad_request", f"{key} is missing")
    return found


def number(body: Any, key: str) -> int:
    """Read a whole number of 63 bits, zero when absent. Raises Rejected."""
    value = (body or {}).get(key)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value < 2**63:
        raise Rejected("bad_request", f"{key} is {value!r}; it must be a whole number that is not negative")
    return value


def seconds(body: Any, key: str, default: float) -> float:
    """Read a duration. Raises Rejected: not a number from 0 to one day."""
    value = (body or {}).get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 86_400:
        raise Rejected("bad_request", f"{key} is {value!r}; it must be seconds, from 0 to 86400")
    return float(value)


EVENTS = 20_000
DONE_ORDERS = 10_000
UNTIL: dict[str, Callable[[Order], bool]] = {
    "done": lambda order: order.is_done,
    "open": lambda order: order.status not in (OrderStatus.PENDING_NEW, OrderStatus.UNKNOWN),
}


@dataclass(slots=True)
class OrderWatch:
    """The tasks that wait for the next change of one order."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0


class AccountView:
    """The durable state of an account in memory; see the module."""

    def __init__(
        self,
        next_event: int,
        orders: Iterable[Order],
        lineage: str = "",
        *,
        events: int = EVENTS,
        done: int = DONE_ORDERS,
    ) -> None:
        self.lineage = lineage  # names the sequence of events
        self.last = next_event - 1  # number of the last event that is durable
        self._events: deque[AccountEvent] = deque(maxlen=events)
        self._open: dict[str, Order] = {}
        self._done: OrderedDict[str, Order] = OrderedDict()
        self._keep_done = done
        self._news = asyncio.Event()
        self._waiters: dict[str, OrderWatch] = {}
        for order in orders:
            self._put(order)

    def committed(self, writes: Sequence[Write], numbers: Sequence[int]) -> None:
        """Apply a commit; `numbers` are the numbers of its events, in order.

        Raises:
            InvalidTransition: the count differs, because the journal confused the batch with another one.
        """
        if [type(write) for write in writes].count(PutEvent) != len(numbers):
            raise InvalidTransition("a commit", f"{len(numbers)} numbers for its events")
        left = iter(numbers)
        has_news = False
        for write in writes:
            if isinstance(write, PutOrder):
                self._put(write.order)
                if (waiter := self._waiters.pop(write.order.client_order_id, None)) is not None:
                    waiter.changed.set()
            elif isinstance(write, PutEvent):
                event = write.event.numbered(next(left))
                if event.number > self.last:  # a repeated batch is already applied
                    self.last = event.number
                    self._events.append(event)
                    has_news = True
        if has_news:
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
        """Return the open orders, oldest first."""
        return sorted(self._open.values(), key=place)

    def events(self, after: int, limit: int) -> list[AccountEvent] | None:
        """Return the events numbered above `after`, at most `limit`; None if the view no longer holds some of them."""
        if after >= self.last:
            return []
        if not self._events or self._events[0].number > after + 1:
            return None
        skip = after + 1 - self._events[0].number
        return [self._events[at] for at in range(skip, min(len(self._events), skip + limit))]

    async def news(self, after: int) -> None:
        """Wait for an event after `after`."""
        while self.last <= after:
            await self._news.wait()

    @property
    def watched(self) -> int:
        """Return the number of orders that tasks wait for."""
        return len(self._waiters)

    async def changed(self, client_order_id: str) -> None:
        """Wait for the next change of the order."""
        waiter = self._waiters.setdefault(client_order_id, OrderWatch())
        waiter.waiting += 1
        try:
            await waiter.changed.wait()
        finally:
            waiter.waiting -= 1
            if not waiter.waiting and self._waiters.get(client_order_id) is waiter:
                del self._waiters[client_order_id]  # no task waits, and the order may never change again

    def status(self) -> dict[str, Any]:
        return {"open_orders": len(self._open), "last_event": self.last}
