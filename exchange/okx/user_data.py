"""The private channels `orders` and `account`: their subscribers and messages.

Theory of operation. `orders` sends nothing at first; then it sends each change of an order, with all fields and only
the fill of that change. A market order that ends with a fill is sent again as filled, without the fill. `account` first
sends all balances, then the changed balances after each change of an order. The answer to a request on the same
connection is sent before its events.

Source: order/book/trading-trade-ws-order-channel.md, trading/account/websocket-account-channel.md, read 2026-11-27. The
regular pushes of `account` are not sent; a real subscription may turn them off, too.
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
from . import order_bodies, payloads
from .client import NAME, Client
from .orders import Orders

CHANNELS = {"orders": 1, "account": 2}


@dataclass(frozen=True, slots=True)
class Subscription(wire.Subscription):
    """One private channel on one connection."""

    channel: str
    arg: str  # as JSON
    inst_id: str = ""


class UserData:
    """All subscriptions to private channels."""

    def __init__(self, floor: Floor, orders: Orders) -> None:
        self.streams: wire.UserData[Subscription] = wire.UserData(floor.faults, floor.later)
        self._floor = floor
        self._orders = orders

    def subscribe(self, client: Client, arg: dict[str, Any]) -> None:
        """Subscribe to a channel; an existing subscription continues."""
        assert client.owner is not None
        account, key = client.owner
        channel = str(arg["channel"])
        if any(each.channel == channel for each in self.streams.on(client)):
            return
        echo = orjson.dumps({**arg, "uid": payloads.uid(account)}).decode()
        made = Subscription(CHANNELS[channel], client, account, key.name, channel, echo, str(arg.get("instId") or ""))
        self.streams.flush()  # send earlier events first
        self.streams.add(made)
        if channel == "account":
            self._balances(made, None)

    def unsubscribe(self, client: Client, channel: str) -> None:
        self.streams.end_where(client, lambda each: each.channel == channel)

    def end(self, account: Account, key: str | None) -> int:
        return self.streams.close(account, key, 4001, "Login Failed")

    def report(self, report: ExecutionReport) -> None:
        """Send one change of an order, and the changed balances."""
        order, account = report.order, report.account
        listeners = self.streams.to(account)
        market = self._floor.engine.markets.get(order.symbol)
        if not listeners or market is None:
            return
        details = self._orders.details(order)
        rows = []
        if report.kind != "NEW" or order.working_ns >= 0 or details.kind != "post_only":
            amended = {"amendResult": "0", "amendSource": "1"} if report.kind == "REPLACED" else {}
            rows.append(order_bodies.pushed(market, order, details, report.fill, amended))
        if report.fill is not None and details.kind == "market" and order.status == "FILLED":
            rows.append(order_bodies.pushed(market, order, details, None, {}))
        inst_id = payloads.inst_id(market.rules)
        for each in listeners:
            if each.channel == "orders":
                for row in rows if each.inst_id in ("", inst_id) else ():
                    self._send(each, [row], symbol=order.symbol)
            else:
                self._balances(each, (market.rules.base, market.rules.quote))

    def moved(self, account: Account, asset: str) -> None:
        """Report a deposit or a withdrawal."""
        for each in self.streams.to(account):
            if each.channel == "account":
                self._balances(each, (asset,))

    def _balances(self, to: Subscription, wanted: tuple[str, ...] | None) -> None:
        """Send balances: all that are not zero, or the requested balances, even if zero."""
        account = to.account
        names = account.balances if wanted is None else wanted
        body = payloads.account(account, self._floor.clock.now_ns(), ())
        body["details"] = [payloads.detail(account, name) for name in names]
        wrong = self._floor.faults.misstated(NAME, account.name, (USER,))
        if wrong:
            body["details"] = payloads.misstated(body["details"], wrong)
        head = {"eventType": "snapshot" if wanted is None else "event_update", "curPage": 1, "lastPage": True}
        self._send(to, [body], head)

    def _send(
        self, to: Subscription, data: list[Any], head: dict[str, Any] | None = None, symbol: str | None = None
    ) -> None:
        body = {"arg": orjson.Fragment(to.arg), **(head or {}), "data": data}
        self.streams.send(to, to.channel, text_frame(orjson.dumps(body)), symbol)
