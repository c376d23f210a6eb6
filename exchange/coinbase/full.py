"""The numbered messages of each product: the channel `full`. Pure.

Theory of operation. Every message takes the product's next number, with or without listeners; other channels and the
book over REST state the number of the last message. An order is `received`, may have matches, then is `open` if it
rests, and at the end is `done`.

The engine reports how a resting order was reduced before it reports the trade. So reductions wait until the trades of
the same call, which explain them, or until the next message or question: then they were cancels or changes.

Departures: an order that another protocol amends is `done` and then `open` again; a participant's order that never
rests has no `done`, as no rest of it is reported; nothing is sent of self-trade prevention of an incoming order.

Source: ws, Sequence Numbers, Full Channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...model.events import Side
from ..engine.accounts import Order
from ..engine.market import Market, OrderChange, Trade
from ..wire.numbers import text
from .client import stamp
from .payloads import match, order_id, price, product_id

CHANNEL = "full"
Body = dict[str, Any]


class FullFeed:
    """Numbers and messages. `send(market, body)` sends one; `heard(market)` tells whether any listener needs it."""

    def __init__(self, send: Callable[[Market, Body], None], heard: Callable[[Market], bool]) -> None:
        self._send, self._heard = send, heard
        self._numbers: dict[str, int] = {}
        self._sizes: dict[str, dict[int, int]] = {}  # of the orders that rest
        self._waiting: dict[str, dict[int, tuple[str, Body]]] = {}  # type and body of messages, by order

    def number(self, market: Market) -> int:
        """Return the number of the last message."""
        self.flush(market)
        return self.last(market)

    def last(self, market: Market) -> int:
        """Return the number of the last message in the middle of a call of the engine, when others may wait."""
        return self._numbers.get(market.symbol, 0)

    def flush(self, market: Market) -> None:
        """Send what waits."""
        waiting = self._waiting.get(market.symbol)
        if waiting:
            self._waiting[market.symbol] = {}
            for kind, body in waiting.values():
                self._emit(market, kind, body)

    def listed(self, market: Market) -> None:
        """Begin with the book of a listed market."""
        self._waiting.pop(market.symbol, None)
        levels = [level for side in (market.bids, market.asks) for level in side.best_first()]
        self._sizes[market.symbol] = {order.id: order.remaining for level in levels for order in level.orders.values()}

    # --------------------------------------------------------------------------------------- events of the engine

    def received(self, market: Market, order: Order, more: Body) -> None:
        self.flush(market)
        body: Body = {"order_id": order_id(order.id), "side": order.side.value, "time": stamp(order.created_ns), **more}
        self._emit(market, "received", body)

    def saw(self, market: Market, change: OrderChange) -> None:
        """An order entered the book, became smaller there, or left it."""
        sizes = self._sizes.setdefault(market.symbol, {})
        body = {**_named(market, change.order_id, change.side, change.price), "time": stamp(change.time_ns)}
        if change.kind == "add":
            self.flush(market)
            sizes[change.order_id] = change.size
            self._emit(market, "open", body | {"remaining_size": text(change.size)})
            return
        old = sizes.pop(change.order_id, change.size)
        waiting = self._waiting.setdefault(market.symbol, {})
        waiting.pop(change.order_id, None)
        if change.kind == "remove":
            waiting[change.order_id] = "done", body | {"reason": "canceled", "remaining_size": text(old)}
        else:
            sizes[change.order_id] = change.size
            told = {"reason": "STP", "old_size": text(old), "new_size": text(change.size)}
            waiting[change.order_id] = "change", body | told

    def ended(self, market: Market, order: Order, reason: str, time_ns: int) -> None:
        """An order that did not rest has ended; its trades are not known yet."""
        waiting = self._waiting.setdefault(market.symbol, {})
        if order.id in waiting:
            return
        body = {**_named(market, order.id, order.side, order.price), "time": stamp(time_ns), "reason": reason}
        rest = {} if order.price is None else {"remaining_size": text(0 if reason == "filled" else order.remaining)}
        waiting[order.id] = "done", body | rest

    def trades(self, market: Market, trades: list[Trade]) -> list[Body]:
        """Send the matches of one order, and what they did to the others; return the matches."""
        waiting = self._waiting.get(market.symbol, {})
        sent = []
        for made in trades:
            sent.append(self._emit(market, "match", match(market, made, 0)))
            kind, body = waiting.pop(made.maker_order, ("", {}))
            if kind == "done":
                self._emit(market, kind, body | {"reason": "filled", "remaining_size": text(0)})
        self.flush(market)
        return sent

    def _emit(self, market: Market, kind: str, body: Body) -> Body:
        number = self._numbers[market.symbol] = self.last(market) + 1
        found = {**body, "type": kind, "product_id": product_id(market.rules), "sequence": number}
        if self._heard(market):
            self._send(market, found)
        return found


def _named(market: Market, number: int, side: Side, raw: int | None) -> Body:
    body: Body = {"order_id": order_id(number), "side": side.value}
    return body if raw is None else body | {"price": price(market.rules, raw)}
