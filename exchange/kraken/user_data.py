"""The private channels of websocket v2, `executions` and `balances`: their subscribers and messages.

Theory of operation. The message `pending_new` has all terms of an order and `trade` most of them; `new`, `canceled` and
`filled` have only the ids and the changed values, so a reader must remember the others. Balances are totals: an order
that locks funds does not change them. Each subscription counts its messages in `sequence`.

Source: executions, balances (websocket v2), read 2026-11-27. The manual does not name the field of the rate counter
(`ratecount` here) or the fields of a cancelled order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from ...model.fixed import to_raw
from ..engine.accounts import Account, Fill, Order
from ..engine.market import ExecutionReport
from ..engine.rules import SCALE
from ..faults import USER
from ..floor import Floor
from ..wire import user_data as wire
from ..wire.frames import text_frame
from . import ids
from .client import NAME, Client, rfc3339
from .errors import ApiError
from .limits import Meter
from .names import Pair, Pairs, number
from .order_bodies import average
from .orders import NAMES, Orders, client_id_of, reason, state
from .payloads import price, size

FILLS_SHOWN = 50
NUMBERS = {"executions": 1, "balances": 2}
TRANSITIONS = ("new", "filled", "canceled", "expired")  # with `trade`: the messages under `order_status: false`


@dataclass(slots=True)
class Counter:
    """The number of a subscription's last message."""

    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Subscription(wire.Subscription):
    """One private channel on one connection, by a token."""

    channel: str
    token: str
    ratecounter: bool = False
    order_status: bool = True
    counter: Counter = field(default_factory=Counter, compare=False)


class UserData:
    """All subscriptions to private channels."""

    def __init__(self, floor: Floor, pairs: Pairs, orders: Orders, meter: Meter) -> None:
        self.streams: wire.UserData[Subscription] = wire.UserData(floor.faults, floor.later)
        self._floor = floor
        self._pairs = pairs
        self._orders = orders
        self._meter = meter

    def uses(self, token: str) -> bool:
        """Return whether a current subscription uses the token."""
        accounts = self._floor.engine.accounts.values()
        return any(each.token == token for account in accounts for each in self.streams.to(account))

    # ------------------------------------------------------------------------------------------- subscriptions

    def check(self, client: Client, channel: str, begins: bool) -> None:
        """Refuse to begin an existing subscription, or to end one that does not exist."""
        if begins == any(each.channel == channel for each in self.streams.on(client)):
            raise ApiError("Already subscribed" if begins else "Subscription Not Found")

    def subscribe(self, client: Client, account: Account, key: str, token: str, params: Mapping[str, Any]) -> None:
        """Begin a subscription with its snapshot."""
        client.subscribed = True
        channel = str(params["channel"])
        made = Subscription(
            NUMBERS[channel],
            client,
            account,
            key,
            channel,
            token,
            bool(params.get("ratecounter", False)),
            bool(params.get("order_status", True)),
        )
        self.streams.flush()  # send earlier events first
        self.streams.add(made)
        if channel == "balances":
            if params.get("snapshot", True):
                self._send(made, "snapshot", self._balances(account))
            return
        rows: list[dict[str, Any]] = []
        if params.get("snap_orders", True):
            for order in account.open.values():
                if order.symbol in self._pairs.by_symbol:
                    found = state(order)
                    kind = "status" if found == "partially_filled" else found
                    rows.append(self._whole(order, kind, order.updated_ns) | self._sums(order) | {"amended": False})
        if params.get("snap_trades", False):
            for fill in list(account.fills)[-FILLS_SHOWN:]:
                owner = account.by_id.get(fill.order_id)
                if owner is not None and fill.symbol in self._pairs.by_symbol:
                    rows.append(self._trade(owner, fill))
        if params.get("snap_orders", True) or params.get("snap_trades", False):
            self._send(made, "snapshot", rows)

    def unsubscribe(self, client: Client, channel: str) -> None:
        self.streams.end_where(client, lambda each: each.channel == channel)

    def end(self, account: Account, key: str | None) -> int:
        return self.streams.close(account, key, 1001, "Session ended")

    # -------------------------------------------------------------------------------------------------- events

    def report(self, report: ExecutionReport) -> None:
        """Send one event of an order, and after a trade the changed balances."""
        order, account, now = report.order, report.account, report.time_ns
        listeners = self.streams.to(account)
        pair = self._pairs.by_symbol.get(order.symbol)
        if not listeners or pair is None:
            return
        events: list[dict[str, Any]] = []
        if report.kind == "NEW" and order.conditional and order.working_ns >= 0:
            events.append(self._short(order, "status", now) | self._triggers(order))
        elif report.kind == "NEW":
            events.append(self._whole(order, "pending_new", now))
            if order.working_ns >= 0 or order.conditional:
                events.append(self._short(order, "new", now))
        elif report.fill is not None:
            events.append(self._trade(order, report.fill))
            if order.status == "FILLED":
                events.append(self._short(order, "filled", now) | self._sums(order))
        elif report.kind == "REPLACED":
            terms = {"order_qty": size(pair, order.size), "amended": True, "symbol": pair.name}
            limit = {} if order.price is None else {"limit_price": price(pair, order.price)}
            events.append(self._short(order, "amended", now) | self._sums(order) | terms | limit)
        elif state(order) == "canceled":
            why = reason(order)
            ended = {"cancel_reason": why, "reason": why}
            events.append(self._short(order, "canceled", now) | self._sums(order) | ended)
        for each in listeners:
            if each.channel == "executions":
                for event in events:
                    if each.order_status or event["exec_type"] in (*TRANSITIONS, "trade"):
                        self._send(each, "update", [self._counted(each, event, order)], order.symbol)
            elif report.fill is not None:
                self._settled(each, pair, report.fill)

    def _counted(self, to: Subscription, event: dict[str, Any], order: Order) -> dict[str, Any]:
        if not to.ratecounter:
            return event
        return event | {"ratecount": round(self._meter.transactions(to.account, order.symbol, self._now()))}

    def moved(self, account: Account, asset: str, delta: int, time_ns: int) -> None:
        """Send a deposit or, with a negative `delta`, a withdrawal."""
        kind = "deposit" if delta > 0 else "withdrawal"
        for each in self.streams.to(account):
            if each.channel == "balances":
                self._send(each, "update", [self._entry(account, asset, delta, 0, kind, f"{kind}/{time_ns}", time_ns)])

    def _settled(self, to: Subscription, pair: Pair, fill: Fill) -> None:
        """Send the two ledger entries of a fill, one message each."""
        rules, sign = pair.market.rules, 1 if fill.side == "buy" else -1
        for asset, amount in ((rules.base, sign * fill.size), (rules.quote, -sign * fill.quote)):
            fee = fill.fee if fill.fee_asset == asset else 0
            entry = self._entry(to.account, asset, amount, fee, "trade", ids.trade_id(fill), fill.time_ns)
            self._send(to, "update", [entry], fill.symbol)

    # -------------------------------------------------------------------------------------------------- bodies

    def _ids(self, order: Order) -> dict[str, Any]:
        body: dict[str, Any] = {"order_id": ids.order_id(order.id)}
        client_id = client_id_of(order)
        if client_id is not None:
            body["cl_ord_id"] = client_id
        if order.strategy_id is not None:
            body["order_userref"] = order.strategy_id
        return body

    def _short(self, order: Order, kind: str, time_ns: int) -> dict[str, Any]:
        status = kind
        if kind in ("amended", "status"):
            status = "partially_filled" if order.filled else "new"
        return {"timestamp": rfc3339(time_ns), "order_status": status, "exec_type": kind} | self._ids(order)

    def _whole(self, order: Order, kind: str, time_ns: int) -> dict[str, Any]:
        pair = self._pairs.by_symbol[order.symbol]
        body = self._ids(order) | {
            "symbol": pair.name,
            "order_qty": size(pair, order.size),
            "cum_cost": number(order.quote_filled),
            "time_in_force": order.time_in_force if order.price is not None else "GTC",
            "exec_type": kind,
            "side": order.side.name.lower(),
            "order_type": NAMES[order.kind],
            "order_status": "pending_new" if kind == "pending_new" else state(order),
            "fee_usd_equiv": number(0),
            "fee_ccy_pref": "fciq",
            "timestamp": rfc3339(time_ns),
        }
        if order.price is not None:
            body |= {"limit_price_type": "static", "limit_price": price(pair, order.price)}
            body["post_only"] = order.kind == "LIMIT_MAKER"
        if order.conditional:
            body |= self._triggers(order)
        if order.quote_size is not None:
            body["cash_order_qty"] = number(order.quote_size)
        return body

    def _triggers(self, order: Order) -> dict[str, Any]:
        stop, went = order.stop_price, order.working_ns >= 0
        assert stop is not None
        at = price(self._pairs.by_symbol[order.symbol], stop)
        found: dict[str, Any] = {"reference": "last", "price": at, "price_type": "static", "actual_price": at}
        found["status"] = "triggered" if went else "untriggered"
        return {"triggers": found | ({"timestamp": rfc3339(order.working_ns)} if went else {})}

    def _sums(self, order: Order) -> dict[str, Any]:
        pair = self._pairs.by_symbol[order.symbol]
        fees = sum(fill.fee for fill in self._orders.details(order).fills)
        return {
            "cum_qty": size(pair, order.filled),
            "cum_cost": number(order.quote_filled),
            "avg_price": number(average(order)),
            "fee_usd_equiv": number(fees),
        }

    def _trade(self, order: Order, fill: Fill) -> dict[str, Any]:
        pair = self._pairs.by_symbol[fill.symbol]
        done = order.status == "FILLED"
        fees = [{"asset": fill.fee_asset, "qty": number(fill.fee)}] if fill.fee_asset else []
        return (
            self._ids(order)
            | {
                "exec_id": ids.trade_id(fill),
                "exec_type": "trade",
                "trade_id": fill.trade_id,
                "symbol": pair.name,
                "side": fill.side,
                "last_qty": size(pair, fill.size),
                "last_price": price(pair, fill.price),
                "liquidity_ind": "m" if fill.maker else "t",
                "cost": number(fill.quote),
                "order_type": NAMES[order.kind],
                "timestamp": rfc3339(fill.time_ns),
                "order_status": "filled" if done else "partially_filled",
            }
            | self._sums(order)
            | {"fees": fees, "order_qty": size(pair, order.size)}
        )

    def _balances(self, account: Account) -> list[dict[str, Any]]:
        rows = []
        for asset in account.balances:
            total = number(self._total(account, asset))
            wallet = {"type": "spot", "id": "main", "balance": total}
            rows.append({"asset": asset, "asset_class": "currency", "balance": total, "wallets": [wallet]})
        return rows

    def _entry(
        self, account: Account, asset: str, amount: int, fee: int, kind: str, about: str, time_ns: int
    ) -> dict[str, Any]:
        return {
            "ledger_id": ids.ledger_id(f"{about}/{asset}"),
            "ref_id": about if kind == "trade" else ids.ledger_id(about),
            "timestamp": rfc3339(time_ns),
            "type": kind,
            "asset": asset,
            "asset_class": "currency",
            "category": kind,
            "wallet_type": "spot",
            "wallet_id": "main",
            "amount": number(amount),
            "fee": number(fee),
            "balance": number(self._total(account, asset)),
        }

    def _total(self, account: Account, asset: str) -> int:
        held = account.balance(asset)
        wrong = self._floor.faults.misstated(NAME, account.name, (USER,)).get(asset, Decimal(0))
        return held.free + held.locked + to_raw(wrong, SCALE)

    def _send(self, to: Subscription, kind: str, data: Iterable[Mapping[str, Any]], symbol: str | None = None) -> None:
        to.counter.sequence += 1
        body = {"channel": to.channel, "type": kind, "data": data, "sequence": to.counter.sequence}
        self.streams.send(to, to.channel, text_frame(orjson.dumps(body)), symbol)

    def _now(self) -> int:
        return self._floor.clock.now_ns()
