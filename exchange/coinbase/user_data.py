"""The channel `user`: its subscribers and messages.

Theory of operation. The channel has the messages of the full channel that name the account, from the subscription on;
it begins with nothing. An order is `received` (with its client id, in no later message), then perhaps has matches, then
is `open` if it rests, and at the end is `done`. A match states the account's fee rate, and no fee. Nothing is sent of
a rejected order. The answer to a request is sent before its events. A match here states the number of the message
before it, because the engine reports fills before the trade.

Source: ws, Full Channel, User Channel, websocket-best-practices.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import orjson

from ...model.events import Side
from ..engine.accounts import Account, Fill, Order
from ..engine.market import ExecutionReport, Market, OrderChange
from ..floor import Floor
from ..wire import user_data as wire
from ..wire.frames import text_frame
from ..wire.numbers import short, text
from .client import Client, stamp
from .order_bodies import profile_id, user_id
from .orders import Orders, cancel_reason, client_id_of
from .payloads import order_id, price, product_id
from .streams import Streams

CHANNEL = "user"
OTHERS = 2**61  # added to the number of a trade, for the invented id of the order on its other side


@dataclass(frozen=True, slots=True)
class Subscription(wire.Subscription):
    """The channel on one connection; `products` without any is of all."""

    products: frozenset[str] = frozenset()


class UserData:
    """All subscriptions to the channel."""

    def __init__(self, floor: Floor, streams: Streams, orders: Orders) -> None:
        self.streams: wire.UserData[Subscription] = wire.UserData(floor.faults, floor.later)
        self._floor, self._public, self._orders = floor, streams, orders

    def subscribe(self, client: Client, products: Collection[str]) -> None:
        """Subscribe to more products; an existing subscription continues."""
        assert client.owner is not None
        account, key = client.owner
        known = next(iter(self.streams.on(client)), None)
        wanted = frozenset(products) if known is None else known.products | frozenset(products)
        self.streams.flush()  # send earlier events first
        self.streams.add(Subscription(1, client, account, key.name, wanted))

    def unsubscribe(self, client: Client) -> None:
        self.streams.end_where(client, lambda each: True)

    def products(self, client: Client) -> list[str]:
        """Return the products of a client's subscription."""
        return sorted(product for each in self.streams.on(client) for product in each.products)

    def end(self, account: Account, key: str | None) -> int:
        return self.streams.close(account, key, 1008, "key revoked")

    def publish(self, report: ExecutionReport) -> None:
        """Send what the channel `full` has of a report; its other messages follow from the book and the trades."""
        order, market = report.order, self._floor.engine.markets.get(report.order.symbol)
        if market is None or self._orders.details(order).takes:
            return
        if report.kind == "NEW":
            self._public.full.received(market, order, self._asked(order))
        elif report.fill is not None:
            if order.status == "FILLED" and not report.fill.maker:
                self._public.full.ended(market, order, "filled", report.time_ns)
        elif report.kind in ("CANCELED", "EXPIRED") or order.status == "EXPIRED_IN_MATCH":
            self._public.full.ended(market, order, "canceled", report.time_ns)

    def report(self, report: ExecutionReport) -> None:
        """Send the messages of one change of an order."""
        order, market = report.order, self._floor.engine.markets.get(report.order.symbol)
        if market is None or not self.streams.to(report.account):
            return
        if report.kind == "NEW":
            if not self._orders.details(order).takes:
                self._send(market, report.account, "received", self._received(order))
        elif report.fill is not None:
            self._send(market, report.account, "match", self._match(market, report.account, report.fill))
            if order.status == "FILLED":
                self._send(market, report.account, "done", _done(order, "filled", report.time_ns))
        elif report.kind in ("CANCELED", "EXPIRED"):
            self._send(market, report.account, "done", _done(order, "canceled", report.time_ns))
        elif report.kind == "TRADE_PREVENTION":
            sizes = {"old_size": text(order.remaining + report.prevented), "new_size": text(order.remaining)}
            self._send(market, report.account, "change", {"reason": "STP", **_rests(order, report.time_ns), **sizes})
            if order.status == "EXPIRED_IN_MATCH":
                self._send(market, report.account, "done", _done(order, "canceled", report.time_ns))

    def rested(self, market: Market, change: OrderChange) -> None:
        """Send that an order of an account came to rest on the book."""
        if change.kind != "add":
            return
        side = market.bids if change.side is Side.BUY else market.asks
        order = side.levels[change.price].orders[change.order_id]
        if not order.account.internal and self.streams.to(order.account):
            body = _rests(order, change.time_ns) | {"remaining_size": text(order.remaining)}
            self._send(market, order.account, "open", body)

    def _received(self, order: Order) -> dict[str, Any]:
        body = {"order_id": order_id(order.id), "time": stamp(order.created_ns), "side": order.side.value}
        client_id = client_id_of(order)
        return body | self._asked(order) | ({"client_oid": client_id} if client_id else {})

    def _asked(self, order: Order) -> dict[str, Any]:
        """Return how much an order is for; the price of a limit order is not among it."""
        funds = self._orders.details(order).funds
        size = {"funds": text(funds)} if funds else {"size": text(order.size)}
        return size | {"order_type": "market" if order.price is None else "limit"}

    def _match(self, market: Market, account: Account, fill: Fill) -> dict[str, Any]:
        own, other = ("maker", "taker") if fill.maker else ("taker", "maker")
        # The engine reports a fill before the trade, so the other order is not known here: its id is invented
        orders = {f"{own}_order_id": order_id(fill.order_id), f"{other}_order_id": order_id(OTHERS + fill.trade_id)}
        rate = market.rules.maker_fee if fill.maker else market.rules.taker_fee
        side = Side(fill.side) if fill.maker else (Side.SELL if fill.side == "buy" else Side.BUY)
        return {
            "trade_id": fill.trade_id,
            **orders,
            "size": text(fill.size),
            "price": price(market.rules, fill.price),
            "side": side.value,
            "time": stamp(fill.time_ns),
            f"{own}_user_id": user_id(account),
            f"{own}_profile_id": profile_id(account),
            f"{own}_fee_rate": short(rate),
        }

    def _send(self, market: Market, account: Account, kind: str, body: dict[str, Any]) -> None:
        product = product_id(market.rules)
        if "price" in body and isinstance(body["price"], int):
            body["price"] = price(market.rules, body["price"])
        head = {"type": kind, "product_id": product, "sequence": self._public.full.last(market)}
        names = {"user_id": user_id(account), "profile_id": profile_id(account)}
        frame = text_frame(orjson.dumps({**head, **names, **body}))
        for each in self.streams.to(account):
            if not each.products or product in each.products:
                self.streams.send(each, kind, frame, market.symbol)


def _rests(order: Order, time_ns: int) -> dict[str, Any]:
    """The common part of messages about an order with a price, which is raw."""
    body: dict[str, Any] = {"order_id": order_id(order.id), "side": order.side.value, "time": stamp(time_ns)}
    return body if order.price is None else body | {"price": order.price}


def _done(order: Order, reason: str, time_ns: int) -> dict[str, Any]:
    body = _rests(order, time_ns) | {"reason": reason}
    if order.price is not None:
        body["remaining_size"] = text(order.remaining if reason == "canceled" else 0)
    why = cancel_reason(order) if reason == "canceled" else ""
    return body | ({"cancel_reason": why} if why else {})
