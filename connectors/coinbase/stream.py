"""Coinbase Exchange's channel `user`: the messages of the full channel about the account's orders.

A message has the ids and what changed: the size and the client id come in `received` alone, so a reader keeps the
orders of its connection. A match states a fee rate, and no fee: the mesh requests fees with the list of fills. The
numbers of these messages do not show losses, so the mesh also asks periodically. The channel has no balances.

The connection is signed; it also subscribes to the heartbeat of one product, so that it is never silent.

Source: websocket_api.md at 7b30bfe2 of rosssaunders/coincise, docs/coinbase/exchange (Full Channel, User Channel,
Cancel Reason, websocket-best-practices), read 2026-11-28.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson

from ...model.events import Side
from ...model.order import OrderStatus, OrderType
from ..reading import identifier, plain_decimal, product, reading, rfc3339, rows, text
from ..reports import FillReport, Missed, OrderReport, StreamOpened, StreamReport
from .refusals import BAD_PRODUCT, code_of
from .reports import ENDED, SIDE, client_id

USER, HEARTBEAT = "user", "heartbeat"
OTHER = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}
TYPES = {"limit": OrderType.LIMIT, "market": OrderType.MARKET}
KEPT = 20_000  # most orders of one connection


def subscription(proof: dict[str, str], products: Sequence[str]) -> bytes:
    channels = [{"name": USER, "product_ids": products}, {"name": HEARTBEAT, "product_ids": products[:1]}]
    return orjson.dumps({"type": "subscribe", "channels": channels, **proof})


class PrivateReader:
    """Reads one connection; `request_id` is the mesh's name of the attempt. `unknown` gets the products that the
    exchange does not know: one of them makes it refuse the whole subscription."""

    def __init__(self, request_id: str, unknown: set[str]) -> None:
        self._request_id = request_id
        self._unknown = unknown
        self._orders: OrderedDict[str, OrderReport] = OrderedDict()
        self._matched: dict[str, Decimal] = {}  # by order of `_orders`: the sum of its matches
        self._smaller: OrderedDict[str, None] = OrderedDict()  # orders whose size has changed
        self._readers = {"received": self._received, "match": self._match, "done": self._done, "change": self._changed}

    def read(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[StreamReport | StreamOpened | Missed]:
        with reading("a frame of the user stream", frame) as message:
            kind = text(message["type"])
            if kind == "subscriptions":
                names = {text(channel["name"]) for channel in rows(message["channels"])}
                return (StreamOpened(self._request_id),) if USER in names else ()
            if kind == "error":
                return (self._refused(message),)
            if kind not in self._readers:
                return ()  # open: `received` stated all of it; heartbeats; activate: of stop orders; later messages
            return self._readers[kind](message)

    def _refused(self, message: dict[str, Any]) -> StreamOpened:
        what, reason = text(message["message"]), text(message.get("reason") or "")
        product, is_named, _ = reason.partition(f" {BAD_PRODUCT}")
        if is_named:
            self._unknown.add(product)
        return StreamOpened(self._request_id, code_of(reason or what), reason or what)

    def _received(self, message: dict[str, Any]) -> Sequence[StreamReport]:
        """Read a new order: the engine has taken it."""
        kind = TYPES[text(message["order_type"])]
        size, price, funds = (
            plain_decimal(message[name]) if message.get(name) else None for name in ("size", "price", "funds")
        )
        report = OrderReport(
            symbol=text(message["product_id"]),
            client_order_id=client_id(message) or "",
            exchange_order_id=text(message["order_id"]),
            status=OrderStatus.OPEN,
            ts_event_ns=rfc3339(message["time"]),
            side=SIDE[message["side"]],
            # a post-only order is received as a limit order
            order_type=None if kind is OrderType.LIMIT else kind,
            amount=None if funds else size,
            price=None if kind is OrderType.MARKET else price,
            quote_amount=funds,
        )
        self._keep(report)
        return (report,)

    def _keep(self, report: OrderReport) -> None:
        self._orders[report.exchange_order_id] = report
        self._matched[report.exchange_order_id] = Decimal(0)
        if len(self._orders) > KEPT:
            oldest, _ = self._orders.popitem(last=False)
            del self._matched[oldest]

    def _known(self, message: dict[str, Any], order_id: str) -> OrderReport:
        """Return the order of a message with the message's time, and without a status."""
        known = self._orders.get(order_id) or OrderReport(text(message["product_id"]), "", order_id, None, 0)
        return replace(known, status=None, ts_event_ns=rfc3339(message["time"]))

    def _match(self, message: dict[str, Any]) -> Sequence[StreamReport | Missed]:
        """Read a fill of the account: of its maker order, its taker order, or both."""
        makers_side = SIDE[message["side"]]
        found: list[StreamReport | Missed] = []
        for role, side in (("maker", makers_side), ("taker", OTHER[makers_side])):
            if f"{role}_user_id" not in message:
                continue
            order_id = text(message[f"{role}_order_id"])
            fill = _fill(message, order_id, role, side)
            if order_id in self._matched:
                self._matched[order_id] += fill.amount
            found.append(replace(self._known(message, order_id), fills=(fill,)))
        return found or (
            Missed(f"trade {message['trade_id']} of {message['product_id']} names no role of the account"),
        )

    def _done(self, message: dict[str, Any]) -> Sequence[StreamReport | Missed]:
        """Read the end of an order. What is not left was filled, unless self-trade prevention took it: the messages do
        not state that of an incoming order, so only a query states the end of an order with other matches."""
        order_id = text(message["order_id"])
        status, why = ENDED[text(message["reason"])], message.get("cancel_reason")
        known = self._known(message, order_id)
        filled: Decimal | None = None
        if known.amount is not None and message.get("remaining_size") is not None:
            filled = known.amount - plain_decimal(message["remaining_size"])
        self._orders.pop(order_id, None)
        matched = self._matched.pop(order_id, None)
        if order_id in self._smaller or (filled is not None and filled != matched):
            self._smaller.pop(order_id, None)
            return (Missed(f"order {order_id} ended with matches of {matched}, and its size may have changed"),)
        if why is None:
            return (replace(known, status=status, filled=filled),)
        code, _, reason = text(why).partition(":")
        return (replace(known, status=OrderStatus.EXPIRED, filled=filled, code=code, reason=reason or code),)

    def _changed(self, message: dict[str, Any]) -> Sequence[Missed]:
        """Report an order that became smaller, or was modified by another interface: only a query states its terms."""
        order_id = text(message["order_id"])
        self._orders.pop(order_id, None)
        self._matched.pop(order_id, None)
        self._smaller[order_id] = None
        if len(self._smaller) > KEPT:
            self._smaller.popitem(last=False)
        return (Missed(f"order {order_id} was changed ({message.get('reason')})"),)


def _fill(message: dict[str, Any], order_id: str, role: str, side: Side) -> FillReport:
    price, amount = plain_decimal(message["price"]), plain_decimal(message["size"])
    return FillReport(
        trade_id=identifier(message["trade_id"]),
        price=price,
        amount=amount,
        quote_amount=product(price, amount),
        fee=None,
        fee_asset=None,
        is_maker=role == "maker",
        ts_event_ns=rfc3339(message["time"]),
        exchange_order_id=order_id,
        side=side,
        symbol=text(message["product_id"]),
    )
