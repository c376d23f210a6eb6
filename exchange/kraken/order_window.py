"""The window of the listeners of a channel `level3`: the orders of the best levels, and their checksum. Pure.

Theory of operation. A listener applies all events of a message, then cuts each side to its depth. So orders of a level
that leaves the window are not sent, and all orders of a level that enters it are added. An order that went to the end
of a queue is deleted and added. Removals come first in a message, then the others in the order of the queues.

Source: level3 (websocket v2), spot-ws-l3-v2 (guide), read 2026-11-28.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from ..engine.accounts import Order
from ..engine.book import BookSide
from ..engine.market import Market, OrderChange
from . import ids
from .book_window import SUMMED
from .client import rfc3339
from .names import Pair

DEPTHS = (10, 100, 1000)


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """A row of a message; in a whole book `event` is ""."""

    event: str
    order: int
    price: int
    size: int
    time_ns: int


class OrderWindow:
    """What the listeners have of both sides: price, size and time of the orders by number. `close` ends it."""

    def __init__(self, market: Market, depth: int) -> None:
        self._market = market
        self._depth = depth
        self._moved: set[int] = set()  # orders that entered a queue since the last message
        self._held = [self._visible(side) for side in self._sides()]
        market.order_watchers.append(self._saw)

    def close(self) -> None:
        self._market.order_watchers.remove(self._saw)

    def _saw(self, market: Market, change: OrderChange) -> None:
        if change.kind == "add":
            self._moved.add(change.order_id)

    def _sides(self) -> tuple[BookSide, BookSide]:
        return self._market.bids, self._market.asks

    def _visible(self, side: BookSide) -> dict[int, OrderEvent]:
        return {order.id: _row("", order) for order in _orders(side, self._depth)}

    def whole(self) -> tuple[list[OrderEvent], list[OrderEvent]]:
        """Return the orders that the listeners have, as of the last message."""
        bids, asks = self._held
        return list(bids.values()), list(asks.values())

    def advance(self) -> tuple[list[OrderEvent], list[OrderEvent]]:
        """Bring the window to the present; return the events to send, bids and asks."""
        bids, asks = (self._advance(at, side) for at, side in enumerate(self._sides()))
        self._moved.clear()
        return bids, asks

    def _advance(self, at: int, side: BookSide) -> list[OrderEvent]:
        held, now = self._held[at], self._visible(side)
        sent = []
        for row in held.values():
            level = side.levels.get(row.price)
            if level is None or row.order not in level.orders or row.order in self._moved:
                sent.append(OrderEvent("delete", row.order, row.price, row.size, row.time_ns))
        for row in now.values():
            before = None if row.order in self._moved else held.get(row.order)
            if before is None:
                sent.append(OrderEvent("add", row.order, row.price, row.size, row.time_ns))
            elif before.size != row.size:
                sent.append(OrderEvent("modify", row.order, row.price, row.size, row.time_ns))
        self._held[at] = now
        return sent


def _orders(side: BookSide, levels: int) -> Iterator[Order]:
    for level in islice(side.best_first(), levels):
        yield from level.orders.values()


def _row(event: str, order: Order) -> OrderEvent:
    return OrderEvent(event, order.id, order.price or 0, order.remaining, order.working_ns)


def checksum(pair: Pair) -> int:
    """CRC32 over the orders of the best ten asks, then bids: prices and sizes without dot and leading zeros."""
    price_unit, size_unit = 10 ** (8 - pair.price_decimals), 10 ** (8 - pair.size_decimals)
    text = "".join(
        f"{(order.price or 0) // price_unit}{order.remaining // size_unit}"
        for side in (pair.market.asks, pair.market.bids)
        for order in _orders(side, SUMMED)
    )
    return zlib.crc32(text.encode())


def write(pair: Pair, rows: Iterable[OrderEvent]) -> str:
    """Write orders, or events of orders, as JSON."""
    found = (
        (f'{{"event":"{row.event}",' if row.event else "{")
        + f'"order_id":"{ids.order_id(row.order)}","limit_price":{pair.price(row.price)},'
        f'"order_qty":{pair.size(row.size)},"timestamp":"{rfc3339(row.time_ns)}"}}'
        for row in rows
    )
    return f"[{','.join(found)}]"
