"""Requests of an account on the private websocket: channels and orders, each with a token.

Source: add_order, amend_order, batch_add, batch_cancel, cancel_order, cancel_all, cancel_after, executions, balances
(websocket v2); wire-quirks.md of krakenfx/kraken-api-sdk (a validated order has an empty id, unknown fields are refused
by name) and its ws_compose.rs (a refused order of a batch is a row with `error` in an answer without success); read
2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...model.errors import Rejected
from ...model.events import Side
from ...model.time import SECOND_NS
from ..engine.accounts import Account, Order
from ..engine.keys import ApiKey
from . import ids
from .client import Client, rfc3339_s
from .desk import Desk
from .errors import ApiError, invalid, refused
from .front import Reply
from .names import Pair
from .orders import KINDS, NewOrder, client_id_of
from .private import LONGEST_SWITCH_S, amount, assemble, batch_of, cancel_batch, deadline, flag, price_of
from .public import whole

CHANNELS = ("executions", "balances")
DEADLINE_S = 5.0  # the deadline of orders without one
_NEW = frozenset(
    (
        *(
            "order_type",
            "side",
            "order_qty",
            "symbol",
            "limit_price",
            "time_in_force",
            "post_only",
            "deadline",
            "token",
        ),
        *("cl_ord_id", "order_userref", "stp_type", "cash_order_qty", "validate", "fee_preference", "no_mpp"),
        *("margin", "reduce_only", "triggers"),
    )
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request with a valid token."""

    desk: Desk
    client: Client
    account: Account
    key: ApiKey
    params: Mapping[str, Any]
    arrived_ns: int
    now_ns: int


def channel(asked: Asked, begins: bool) -> list[Reply]:
    """Begin or end a private channel."""
    desk, params, client = asked.desk, asked.params, asked.client
    name, token = str(params["channel"]), str(params["token"])
    desk.user_data.check(client, name, begins)
    if not begins:
        desk.user_data.unsubscribe(client, name)
        return [Reply({"channel": name})]
    result: dict[str, Any] = {"channel": name}
    if name == "balances":
        result["snapshot"] = params.get("snapshot", True)
    else:
        result |= {"snap_orders": params.get("snap_orders", True), "snap_trades": params.get("snap_trades", False)}
        result["maxratecount"] = round(desk.limits.transactions)
    account, key = asked.account, asked.key.name
    return [Reply(result, then=lambda: desk.user_data.subscribe(client, account, key, token, params))]


def add_order(asked: Asked) -> list[Reply]:
    new = _new_order(asked, asked.params)
    order = asked.desk.orders.place(asked.account, new, asked.now_ns)
    return [Reply(_placed(order, asked.params))]


def _placed(order: Order | None, params: Mapping[str, Any]) -> dict[str, Any]:
    found = {"order_id": "" if order is None else ids.order_id(order.id)}
    return found | {name: params[name] for name in ("cl_ord_id", "order_userref") if name in params}


def batch_add(asked: Asked) -> list[Reply]:
    """As AddOrderBatch of REST: one that is malformed refuses all, one that the engine refuses fails alone."""
    given = batch_of(asked.params, ("symbol", "deadline", "validate"))
    new = [_new_order(asked, row) for row in given]
    result, failed = [], []
    for row, order in zip(given, asked.desk.orders.place_batch(asked.account, new, asked.now_ns), strict=True):
        if isinstance(order, ApiError):
            result.append({"error": order.text})
            failed.append(row.get("cl_ord_id"))
        else:
            result.append(_placed(order, row))
    return [Reply(result, refused=failed)]


def batch_cancel(asked: Asked) -> list[Reply]:
    return [Reply(cancel_batch(asked.desk, asked.account, asked.params, "cl_ord_id", asked.now_ns))]


def _new_order(asked: Asked, params: Mapping[str, Any]) -> NewOrder:
    for name in params:
        if name not in _NEW:
            raise ApiError(f"Unsupported field: '{name}'")
    pair = asked.desk.pairs.websocket(params.get("symbol"))
    kind, side = params.get("order_type"), str(params.get("side")).upper()
    if side not in ("BUY", "SELL"):
        raise invalid("side")
    if kind not in KINDS:
        raise invalid("order_type")
    if flag(params, "margin") or flag(params, "reduce_only"):
        raise ApiError("EOrder:Cannot open position")
    price = price_of(pair, params, "limit_price")
    if (price is None) == kind.endswith("limit"):
        raise invalid("limit_price")
    trigger = _trigger(pair, params) if "-" in kind else None
    quote = amount(params, "cash_order_qty")
    due_ns = deadline(params, 0.5, asked.arrived_ns) or asked.arrived_ns + int(DEADLINE_S * SECOND_NS)
    tif = str(params.get("time_in_force", "gtc")).upper()
    return assemble(
        NewOrder(pair, Side[side], 0, price, KINDS[kind], trigger, tif, flag(params, "post_only")),
        amount(params, "order_qty") if quote is None else quote,
        quote is not None,
        params,
        {"client_id": "cl_ord_id", "userref": "order_userref", "stp": "stp_type"}
        | {"size": "order_qty", "tif": "time_in_force"},
        due_ns,
    )


def _trigger(pair: Pair, params: Mapping[str, Any]) -> int:
    """Read `triggers`: only the last price as reference, and only a fixed trigger price, are implemented."""
    given = params.get("triggers")
    if not isinstance(given, dict) or given.get("reference", "last") != "last":
        raise invalid("triggers")
    found = price_of(pair, given, "price")
    if found is None or given.get("price_type", "static") != "static":
        raise invalid("triggers")
    return found


def amend_order(asked: Asked) -> list[Reply]:
    params, orders = asked.params, asked.desk.orders
    named = {name: params[name] for name in ("order_id", "cl_ord_id") if name in params}
    if len(named) != 1:
        raise invalid("order_id")
    order = orders.find_open(asked.account, params.get("order_id"), params.get("cl_ord_id"))
    pair = asked.desk.pairs.by_symbol[order.symbol]
    size, price = amount(params, "order_qty"), price_of(pair, params, "limit_price")
    if size is None and price is None:
        raise invalid("order_qty")
    due_ns = deadline(params, 0.5, asked.arrived_ns) or asked.arrived_ns + int(DEADLINE_S * SECOND_NS)
    if asked.now_ns > due_ns:
        raise ApiError("EService:Deadline elapsed")
    amended = orders.amend(asked.account, order, size, price, flag(params, "post_only"), asked.now_ns)
    return [Reply({"amend_id": amended} | named)]


def cancel_order(asked: Asked) -> list[Reply]:
    """Cancel orders; each gets its own answer."""
    params, account, orders = asked.params, asked.account, asked.desk.orders
    lists = {name: params.get(name, []) for name in ("order_id", "cl_ord_id", "order_userref")}
    for name, given in lists.items():
        if not isinstance(given, list):
            raise invalid(name)
    named: list[tuple[str | None, str | None]] = [(str(txid), None) for txid in lists["order_id"]]
    named += [(None, str(client_id)) for client_id in lists["cl_ord_id"]]
    for tag in lists["order_userref"]:
        named += [(ids.order_id(order.id), None) for order in account.open.values() if order.strategy_id == tag]
    if not named:
        raise ApiError("EOrder:Invalid order") if lists["order_userref"] else invalid("order_id")
    replies = []
    for txid, client_id in named:
        try:
            order = orders.find_open(account, txid, client_id)
            orders.cancel(account, order, asked.now_ns)
        except ApiError as error:
            replies.append(Reply(error=error.text))
        except Rejected as rejected:
            replies.append(Reply(error=refused(rejected).text))
        else:
            chosen = client_id_of(order)
            result = {"order_id": ids.order_id(order.id)} | ({} if chosen is None else {"cl_ord_id": chosen})
            replies.append(Reply(result))
    return replies


def cancel_all(asked: Asked) -> list[Reply]:
    return [Reply({"count": asked.desk.orders.cancel_all(asked.account, asked.now_ns)})]


def cancel_all_after(asked: Asked) -> list[Reply]:
    if "timeout" not in asked.params:
        raise invalid("timeout")
    timeout_s = whole(asked.params, "timeout", 0, 0, LONGEST_SWITCH_S)
    due_ns = asked.desk.orders.cancel_all_after(asked.account, timeout_s, asked.now_ns)
    result = {"currentTime": rfc3339_s(asked.now_ns), "triggerTime": "0" if due_ns is None else rfc3339_s(due_ns)}
    return [Reply(result)]


METHODS: dict[str, Callable[[Asked], list[Reply]]] = {
    "add_order": add_order,
    "batch_add": batch_add,
    "amend_order": amend_order,
    "batch_cancel": batch_cancel,
    "cancel_order": cancel_order,
    "cancel_all": cancel_all,
    "cancel_all_orders_after": cancel_all_after,
}


def perform(desk: Desk, client: Client, method: str, params: Mapping[str, Any], arrived_ns: int) -> list[Reply]:
    """Execute a private request.

    Raises:
        ApiError, Rejected: why it is refused.
    """
    now = desk.now_ns()
    account, key = desk.tokens.owner(params.get("token"), now)
    asked = Asked(desk, client, account, key, params, arrived_ns, now)
    handler = METHODS.get(method)
    if not (key.can_read if handler is None else key.can_trade):
        raise ApiError("EGeneral:Permission denied")
    return channel(asked, method == "subscribe") if handler is None else handler(asked)
