"""The private topics `orders#SYMBOL`, `trade.clearing#SYMBOL#MODE` and `accounts.update#MODE`.

Theory of operation. Every event of an order is sent on `orders` at once and in order, without fees. The fee of a fill
follows on `trade.clearing`; after it come the balances. `accounts.update` begins with all balances. "*" is every pair.

Source: private_websocket_api.md (orders#, trade.clearing#, accounts.update#), read 2026-11-28. Guesses, because the
manual is silent: both balances of a trade are sent after its clearing, and with mode 0 and 1 as with mode 2.
"""

from __future__ import annotations

from collections import OrderedDict
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
from .client import NAME, Client
from .orders import Orders
from .pairs import Pairs

ORDERS, CLEARING, BALANCES = "orders", "trade.clearing", "accounts.update"
MODES = ("", "0", "1", "2")
PUSHED = 10_000  # fills whose event was sent, so that a later report with the fee sends no second one


@dataclass(frozen=True, slots=True)
class Subscription(wire.Subscription):
    """One private topic on one connection. `symbol` "*": every pair."""

    topic: str
    kind: str
    symbol: str


class UserData:
    """All subscriptions to private topics."""

    def __init__(self, floor: Floor, pairs: Pairs, orders: Orders) -> None:
        self.streams: wire.UserData[Subscription] = wire.UserData(floor.faults, floor.later)
        self._floor, self._pairs, self._orders = floor, pairs, orders
        self._topics: dict[str, int] = {}  # numbers of topics
        self._changes = 0
        self._pushed: OrderedDict[tuple[str, int, int], None] = OrderedDict()

    def check(self, topic: object) -> tuple[str, str, str] | None:
        """Return a topic's name as the exchange confirms it, its kind and its symbol; None: there is no such topic."""
        parts = topic.split("#") if isinstance(topic, str) else []
        if parts[:1] == [BALANCES] and len(parts) <= 2 and (parts[1:] or [""])[0] in MODES:
            return f"{BALANCES}#{(parts[1:] or ['0'])[0] or '0'}", BALANCES, "*"
        if len(parts) < 2 or (parts[1] != "*" and parts[1] not in self._pairs.by_symbol):
            return None
        if parts[0] == ORDERS and len(parts) == 2:
            return "#".join(parts), ORDERS, parts[1]
        if parts[0] == CLEARING and len(parts) <= 3 and (parts[2:] or ["0"])[0] in ("0", "1"):
            return "#".join(parts), CLEARING, parts[1]
        return None

    def subscribe(self, client: Client, topic: str, kind: str, symbol: str) -> None:
        """Subscribe to a topic; an existing subscription continues."""
        assert client.owner is not None
        account, key = client.owner
        if any(each.topic == topic for each in self.streams.on(client)):
            return
        self.streams.flush()  # send earlier events first
        number = self._topics.setdefault(topic, len(self._topics))
        subscription = Subscription(number, client, account, key.name, topic, kind, symbol)
        self.streams.add(subscription)
        if kind == BALANCES:
            for asset in list(account.balances):
                self._send(subscription, self._balance(account, asset, None))

    def unsubscribe(self, client: Client, topic: str) -> None:
        self.streams.end_where(client, lambda each: each.topic == topic)

    def end(self, account: Account, key: str | None) -> int:
        return self.streams.close(account, key, 1008, "The key is invalid")

    def report(self, report: ExecutionReport) -> None:
        """Send one change of an order, the fee of its fill, and the balances that it changed."""
        order, account = report.order, report.account
        pair, details = self._pairs.of(order.symbol), self._orders.details(order)
        if not self.streams.to(account) or pair is None:
            return
        if report.fill is not None:
            made = report.fill
            which = account.name, made.trade_id, made.order_id
            if which not in self._pushed:
                self._pushed[which] = None
                if len(self._pushed) > PUSHED:
                    self._pushed.popitem(last=False)
                self._all(account, ORDERS, pair.symbol, order_bodies.traded(pair, order, details, made))
            if made.fee_asset:
                self._all(account, CLEARING, pair.symbol, order_bodies.cleared(pair, order, details, made))
        elif report.kind == "NEW":
            self._all(account, ORDERS, pair.symbol, order_bodies.created(pair, order, details))
        elif order.id not in account.open:
            body = order_bodies.cancelled(pair, order, details, report.time_ns)
            self._all(account, ORDERS, pair.symbol, body)
        kind = "order.match" if report.fill is not None else "order.place" if report.kind == "NEW" else "order.cancel"
        for asset in (pair.market.rules.base, pair.market.rules.quote):
            self.moved(account, asset, kind)

    def moved(self, account: Account, asset: str, kind: str = "other") -> None:
        """Report a changed balance."""
        if self.streams.to(account):
            self._all(account, BALANCES, "*", self._balance(account, asset, kind))

    def _balance(self, account: Account, asset: str, kind: str | None) -> dict[str, Any]:
        self._changes += 1
        wrong = self._floor.faults.misstated(NAME, account.name, (USER,))
        now_ns = self._floor.clock.now_ns()
        return order_bodies.balance(account, asset, kind, self._changes, now_ns, wrong)

    def _all(self, account: Account, kind: str, symbol: str, body: dict[str, Any]) -> None:
        for each in self.streams.to(account):
            if each.kind == kind and each.symbol in ("*", symbol):
                self._send(each, body)

    def _send(self, each: Subscription, body: dict[str, Any]) -> None:
        frame = text_frame(orjson.dumps({"action": "push", "ch": each.topic, "data": body}))
        self.streams.send(each, each.kind, frame, self._pairs.engine_symbol(body.get("symbol")))
