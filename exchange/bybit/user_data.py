"""The private topics `order`, `execution`, `wallet` and `dcp`: their subscribers and messages.

Theory of operation. A subscription sends nothing at first. Each change of an order is sent completely on `order`, each
fill on `execution`, and the balances of both coins on `wallet`. The answer to a request is sent before its events.
`order` and `execution` also have a topic per category: topics of other categories than spot stay silent. `dcp` is
silent, too: its connections are watched (`dead_man`).

Source: websocket/private/{order, execution, wallet}.mdx, read 2026-11-27. Guesses, because the manual is silent: a fill
comes on `execution` before its order comes on `order`, and balances come last; a change of locked balances is a change
of the wallet; a message has only the changed coins; messages of a category's topic have the category in their topic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from ..engine.accounts import Account
from ..engine.market import ExecutionReport
from ..faults import USER
from ..floor import Floor
from ..wire import user_data as wire
from ..wire.frames import text_frame
from . import order_bodies
from .client import NAME, Client, milliseconds
from .orders import Orders
from .pairs import CATEGORIES, SPOT, Pairs

ORDER, EXECUTION, WALLET = "order", "execution", "wallet"
BY_CATEGORY = (ORDER, EXECUTION)
PRODUCTS = ("dcp.spot", "dcp.future", "dcp.option")
TOPICS = (*BY_CATEGORY, WALLET, *PRODUCTS, *(f"{topic}.{category}" for topic in BY_CATEGORY for category in CATEGORIES))


@dataclass(frozen=True, slots=True)
class Subscription(wire.Subscription):
    """One private topic on one connection."""

    topic: str

    @property
    def kind(self) -> str:
        """The topic without its category; "" for another category than spot."""
        kind, _, category = self.topic.partition(".")
        return kind if category in ("", SPOT) else ""


class UserData:
    """All subscriptions to private topics."""

    def __init__(self, floor: Floor, pairs: Pairs, orders: Orders) -> None:
        self.streams: wire.UserData[Subscription] = wire.UserData(floor.faults, floor.later)
        self._floor = floor
        self._pairs = pairs
        self._orders = orders
        self._messages = 0

    def subscribe(self, client: Client, topic: str) -> None:
        """Subscribe to a topic; an existing subscription continues."""
        assert client.owner is not None
        account, key = client.owner
        if all(each.topic != topic for each in self.streams.on(client)):
            self.streams.flush()  # send earlier events first
            self.streams.add(Subscription(TOPICS.index(topic), client, account, key.name, topic))

    def unsubscribe(self, client: Client, topic: str) -> None:
        self.streams.end_where(client, lambda each: each.topic == topic)

    def is_subscribed(self, account: Account, topic: str) -> bool:
        return any(each.topic == topic for each in self.streams.to(account))

    def end(self, account: Account, key: str | None) -> int:
        return self.streams.close(account, key, 1008, "API key is invalid.")

    def report(self, report: ExecutionReport) -> None:
        """Send one change of an order, its fill, and the balances that it changed."""
        order, account = report.order, report.account
        pair, details = self._pairs.by_symbol.get(order.symbol), self._orders.details(order)
        if not self.streams.to(account) or pair is None or (report.kind == "NEW" and details.takes):
            return
        if report.fill is not None:
            row = order_bodies.fill(pair, report.fill, order)
            self._send(account, EXECUTION, {"category": SPOT, "isLeverage": "0", "execPnl": "0", **row}, order.symbol)
        row = order_bodies.order(pair, order, details)
        self._send(account, ORDER, {"category": SPOT, "feeCurrency": "", "closedPnl": "0", **row}, order.symbol)
        self._balances(account, pair.market.rules.base, pair.market.rules.quote)

    def moved(self, account: Account, asset: str) -> None:
        """Report a deposit or a withdrawal."""
        self._balances(account, asset)

    def _balances(self, account: Account, *assets: str) -> None:
        row = order_bodies.wallet([order_bodies.coin(account, asset) for asset in assets])
        wrong = self._floor.faults.misstated(NAME, account.name, (USER,))
        self._send(account, WALLET, order_bodies.misstate(row, wrong) if wrong else row)

    def _send(self, account: Account, kind: str, row: dict[str, Any], symbol: str | None = None) -> None:
        self._messages += 1
        body = {"id": f"{account.name}_{self._messages}", "creationTime": milliseconds(self._floor.clock.now_ns())}
        for each in self.streams.to(account):
            if each.kind == kind:
                frame = text_frame(orjson.dumps({"topic": each.topic, **body, "data": [row]}))
                self.streams.send(each, kind, frame, symbol)
