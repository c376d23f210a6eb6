"""Private REST endpoints: an account's balances, orders, fills and trading.

Source: get-account-balance, get-extended-balance, get-trade-balance, get-open-orders, get-closed-orders,
get-orders-info, get-trade-history, get-trade-volume, get-websockets-token, add-order, add-order-batch, amend-order,
cancel-order, cancel-order-batch, cancel-all-orders, cancel-all-orders-after; read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ...model.events import Side
from ...model.time import DAY_NS, SECOND_NS
from ..engine.accounts import Account, Fill, Order
from ..engine.keys import ApiKey
from ..engine.rules import ONE, SCALE
from ..wire.numbers import BadNumber, Flaw, read_decimal, text
from . import ids, order_bodies
from .client import NAME, rfc3339_s
from .desk import Desk
from .errors import ApiError, invalid
from .names import Pair, asset_id
from .orders import KINDS, NAMES, SELF_TRADE, NewOrder, client_id_of, read_client_id
from .public import pairs_of, whole

PAGE = 50
BATCH, CANCELS = 15, 50
LONGEST_SWITCH_S = 86_399


@dataclass(frozen=True, slots=True)
class Asked:
    """One authenticated request. `arrived_ns` is its arrival, `now_ns` its execution."""

    desk: Desk
    account: Account
    key: ApiKey
    sent: Mapping[str, Any]
    arrived_ns: int
    now_ns: int


@dataclass(frozen=True, slots=True)
class Method:
    """One endpoint: its handler, its cost in the call counter, and whether its key must have permission to trade."""

    answer: Callable[[Asked], Any]
    cost: int = 1
    trades: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """The outcomes of the orders of a batch: rows of the result, and the client ids of refused orders."""

    rows: list[dict[str, Any]]
    refused: list[object]


def flag(sent: Mapping[str, Any], name: str, default: bool = False) -> bool:
    value = sent.get(name, default)
    if isinstance(value, str):
        value = {"true": True, "false": False, "1": True, "0": False}.get(value.lower(), value)
    if not isinstance(value, bool):
        raise invalid(name)
    return value


def amount(sent: Mapping[str, Any], name: str) -> int | None:
    """Read an amount above zero; None if absent."""
    if sent.get(name) in (None, ""):
        return None
    try:
        value = read_decimal(sent[name])
    except BadNumber:
        raise invalid(name) from None
    if not value:
        raise invalid(name)
    return value


def price_of(pair: Pair, sent: Mapping[str, Any], name: str) -> int | None:
    """Read a price with no more decimals than the pair has."""
    try:
        value = amount(sent, name)
    except ApiError:
        try:
            read_decimal(sent[name])
        except BadNumber as bad:
            if bad.flaw is not Flaw.TOO_PRECISE:
                raise invalid(name) from None
            value = 1
        else:
            raise
    if value is not None and value % 10 ** (SCALE - pair.price_decimals):
        raise ApiError(
            f"EOrder:Invalid price:{pair.altname} price can only be specified up to {pair.price_decimals} decimals."
        )
    return value


def deadline(sent: Mapping[str, Any], least_s: float, arrived_ns: int) -> int | None:
    """Read a deadline between `least_s` and a minute after the arrival of the request."""
    if "deadline" not in sent:
        return None
    try:
        at = datetime.fromisoformat(str(sent["deadline"]))
    except ValueError:
        raise invalid("deadline") from None
    if at.tzinfo is None:
        raise invalid("deadline")
    at_ns = int(at.astimezone(UTC).timestamp() * 1_000) * 1_000_000
    if not arrived_ns + least_s * SECOND_NS <= at_ns <= arrived_ns + 60 * SECOND_NS:
        raise invalid("deadline")
    return at_ns


# ------------------------------------------------------------------------------------------------------------ balances


def balance(asked: Asked) -> Any:
    """Totals, including the amounts locked by open orders."""
    held = asked.account.balances.items()
    return {asset_id(asset): text(found.free + found.locked) for asset, found in held if found.free + found.locked}


def balance_ex(asked: Asked) -> Any:
    held = asked.account.balances.items()
    return {
        asset_id(asset): {"balance": text(found.free + found.locked), "hold_trade": text(found.locked)}
        for asset, found in held
        if found.free + found.locked
    }


def trade_balance(asked: Asked) -> Any:
    """All balances at last prices, in the quote asset that most pairs have (there is no USD here)."""
    worth = 0
    for asset, found in asked.account.balances.items():
        total = found.free + found.locked
        market = asked.desk.floor.engine.markets.get(f"{asset}USDT")
        worth += total if asset == "USDT" else 0 if market is None else total * market.bars.last_price // ONE
    return {"eb": text(worth), "tb": text(worth), "m": text(0), "n": text(0), "c": text(0), "v": text(0)} | {
        "e": text(worth),
        "mf": text(worth),
    }


def trade_volume(asked: Asked) -> Any:
    now = asked.now_ns
    month = sum(fill.quote for fill in asked.account.fills if now - fill.time_ns < 30 * DAY_NS)
    result: dict[str, Any] = {"currency": "ZUSD", "volume": text(month)}
    if "pair" in asked.sent:
        for name, rate in (("fees", "taker_fee"), ("fees_maker", "maker_fee")):
            result[name] = {
                pair.key: _fee(getattr(pair.market.rules, rate)) for pair in pairs_of(asked.desk, asked.sent)
            }
    return result


def _fee(rate: int) -> dict[str, Any]:
    percent = f"{rate * 100 / ONE:.4f}"
    return {"fee": percent, "min_fee": percent, "max_fee": percent} | dict.fromkeys(
        ("next_fee", "tier_volume", "next_volume")
    )


def websockets_token(asked: Asked) -> Any:
    token = asked.desk.tokens.issue(asked.account, asked.key, asked.now_ns)
    return {"token": token, "expires": asked.desk.limits.token_s}


# -------------------------------------------------------------------------------------------------------------- orders


def _matches(asked: Asked, order: Order) -> bool:
    userref = asked.sent.get("userref")
    client_id = asked.sent.get("cl_ord_id")
    return (userref is None or str(order.strategy_id) == str(userref)) and client_id in (None, client_id_of(order))


def _bodies(asked: Asked, orders: Sequence[Order]) -> dict[str, Any]:
    desk, with_trades = asked.desk, flag(asked.sent, "trades")
    result = {}
    for order in orders:
        fills = desk.orders.details(order).fills
        named = None
        if with_trades and fills:
            named = order_bodies.consolidated(fills) if flag(asked.sent, "consolidate_taker", True) else fills
        result[ids.order_id(order.id)] = order_bodies.order(desk.pairs.by_symbol[order.symbol], order, named, fills)
    return result


def open_orders(asked: Asked) -> Any:
    """All open orders, newest first; a new order may be missing (the fault `unseen`)."""
    memory = asked.desk.floor.memory(NAME, asked.account)
    found = [
        order
        for order in reversed(asked.account.open.values())
        if _matches(asked, order) and memory.holds(order, True, asked.now_ns) and asked.desk.lists(order.symbol)
    ]
    return {"open": _bodies(asked, found)}


def closed_orders(asked: Asked) -> Any:
    memory = asked.desk.floor.memory(NAME, asked.account)
    which = asked.sent.get("closetime", "both")
    after, until = _bounds(asked)
    found = [
        order
        for order in reversed(asked.account.orders)
        if order.id not in asked.account.open
        and _matches(asked, order)
        and memory.holds(order, False, asked.now_ns)
        and asked.desk.lists(order.symbol)
        and any(
            after < at <= until
            for name, at in (("open", order.created_ns), ("close", order.updated_ns))
            if which in (name, "both")
        )
    ]
    result = {"closed": _bodies(asked, _page(asked, found))}
    return result if flag(asked.sent, "without_count") else result | {"count": len(found)}


def query_orders(asked: Asked) -> Any:
    """Orders by the exchange's ids only; unknown ids are left out."""
    given = str(asked.sent.get("txid", "")).split(",")
    if not given[0] or len(given) > PAGE:
        raise invalid("txid")
    found = []
    for txid in given:
        number = ids.order_number(txid.strip())
        order = None if number is None else asked.desk.floor.find_order(NAME, asked.account, number, None)
        if order is None or not asked.desk.lists(order.symbol):
            raise ApiError("EOrder:Invalid order")
        found.append(order)
    return _bodies(asked, found)


def trades_history(asked: Asked) -> Any:
    """Fills of all pairs, newest first; a taker order's fills of one instant are merged unless the request forbids
    it."""
    fills: list[Fill] = [fill for fill in asked.account.fills if asked.desk.lists(fill.symbol)]
    if flag(asked.sent, "consolidate_taker", True):
        fills = order_bodies.consolidated(fills)
    after, until = _bounds(asked, fills)
    found = [fill for fill in reversed(fills) if after < fill.time_ns <= until]
    by_id = asked.account.by_id
    result: dict[str, Any] = {}
    for fill in _page(asked, found):
        order = by_id.get(fill.order_id)
        kind = "limit" if order is None else NAMES[order.kind]
        fill = asked.desk.floor.late_fees.shown(NAME, fill)
        result[ids.trade_id(fill)] = order_bodies.trade(asked.desk.pairs.by_symbol[fill.symbol], fill, kind)
    return {"trades": result} if flag(asked.sent, "without_count") else {"trades": result, "count": len(found)}


def _bounds(asked: Asked, fills: Sequence[Fill] = ()) -> tuple[int, int]:
    """Return `start` (exclusive) and `end` (inclusive): each a time in seconds, or the id of an order or trade."""
    bounds = {"start": -1, "end": 2**63}
    for name in bounds:
        given = asked.sent.get(name)
        if given in (None, ""):
            continue
        number = ids.order_number(given)
        order = None if number is None else asked.account.by_id.get(number)
        times = [fill.time_ns for fill in fills if ids.trade_id(fill) == given]
        if order is not None:
            bounds[name] = order.created_ns
        elif times:
            bounds[name] = times[0]
        else:
            try:
                bounds[name] = read_decimal(given) * 10
            except BadNumber:
                raise invalid(name) from None
    return bounds["start"], bounds["end"]


def _page(asked: Asked, rows: Sequence[Any]) -> Sequence[Any]:
    offset = whole(asked.sent, "ofs", 0)
    return rows[offset : offset + PAGE]


# ------------------------------------------------------------------------------------------------------------- trading


def new_order(asked: Asked) -> NewOrder:
    """Read AddOrder's parameters.

    Raises:
        ApiError: one is missing, malformed, or not implemented (margin, trailing stops, GTD, iceberg).
    """
    sent = asked.sent
    pair = asked.desk.pairs.rest(sent.get("pair"))
    kind, side = sent.get("ordertype"), str(sent.get("type")).upper()
    if side not in ("BUY", "SELL"):
        raise invalid("type")
    if kind not in KINDS or sent.get("trigger", "last") != "last":
        raise invalid("trigger" if kind in KINDS else "ordertype")
    if sent.get("leverage", "none") not in ("none", "0", "", 0) or flag(sent, "reduce_only"):
        raise ApiError("EOrder:Cannot open position")
    names = [name.strip() for name in str(sent.get("oflags", "")).split(",") if name.strip()]
    if set(names) - {"post", "fciq", "fcib", "nompp", "viqc"}:
        raise invalid("oflags")
    triggered = "-" in kind
    trigger = price_of(pair, sent, "price") if triggered else None
    price = price_of(pair, sent, "price2" if triggered else "price")
    if (price is None) == kind.endswith("limit") or triggered != (trigger is not None):
        raise invalid("price2" if trigger is not None else "price")
    terms = NewOrder(pair, Side[side], 0, price, KINDS[kind], trigger, str(sent.get("timeinforce", "GTC")))
    return assemble(
        replace(terms, post_only="post" in names),
        amount(sent, "volume"),
        "viqc" in names,
        sent,
        {"client_id": "cl_ord_id", "userref": "userref", "stp": "stptype", "size": "volume", "tif": "timeinforce"},
        deadline(sent, 2.0, asked.arrived_ns),
    )


def assemble(
    order: NewOrder,
    volume: int | None,
    in_quote: bool,
    sent: Mapping[str, Any],
    names: Mapping[str, str],
    deadline_ns: int | None,
) -> NewOrder:
    """Check the parameters that both transports share; `names` are the parameters' names."""
    if volume is None:
        raise invalid(names["size"])
    if in_quote and (order.kind != "MARKET" or order.side is not Side.BUY):
        raise invalid("viqc")
    if not in_quote and volume % 10 ** (SCALE - order.pair.size_decimals):
        raise invalid(names["size"])
    if order.time_in_force not in ("GTC", "IOC", "FOK") or (order.price is None and order.time_in_force == "FOK"):
        raise invalid(names["tif"])
    if order.post_only and (order.kind != "LIMIT" or order.time_in_force != "GTC"):
        raise ApiError("EGeneral:Invalid arguments:post")
    given, userref = sent.get(names["client_id"]), sent.get(names["userref"])
    if given is not None and userref is not None:
        raise invalid(names["client_id"])
    chosen = str(sent.get(names["stp"], "cancel-newest")).replace("_", "-").removeprefix("cancel-")
    if chosen not in SELF_TRADE:
        raise invalid(names["stp"])
    try:
        number = None if userref is None else int(str(userref))
    except ValueError:
        raise invalid(names["userref"]) from None
    return replace(
        order,
        size=0 if in_quote else volume,
        quote_size=volume if in_quote else None,
        client_id="" if given is None else read_client_id(given),
        userref=number,
        self_trade=SELF_TRADE[chosen],
        deadline_ns=deadline_ns,
        validate=flag(sent, "validate"),
    )


def add_order(asked: Asked) -> Any:
    new = new_order(asked)
    order = asked.desk.orders.place(asked.account, new, asked.now_ns)
    words = order_bodies.described(new)
    result: dict[str, Any] = {"descr": {"order": words}}
    return result if order is None else result | {"txid": [ids.order_id(order.id)]}


def add_order_batch(asked: Asked) -> Any:
    """Place orders of one pair: a malformed order refuses the batch; an order that the engine refuses fails alone.

    The manual does not state which side checks the smallest size: here the engine does.
    """
    given = batch_of(asked.sent, ("pair", "deadline", "validate"))
    new = [new_order(replace(asked, sent=row)) for row in given]
    done = Batch([], [])
    for each, order in zip(new, asked.desk.orders.place_batch(asked.account, new, asked.now_ns), strict=True):
        found: dict[str, Any] = {"descr": {"order": order_bodies.described(each)}}
        if isinstance(order, ApiError):
            found["error"] = order.text
            done.refused.append(each.client_id)
        elif order is not None:
            found["txid"] = ids.order_id(order.id)
        done.rows.append(found)
    return done


def batch_of(sent: Mapping[str, Any], shared: Sequence[str]) -> list[dict[str, Any]]:
    """Read the orders of a batch, each with the parameters that the batch shares."""
    given = listed(sent, "orders", BATCH)
    if len(given) < 2 or not all(isinstance(row, dict) for row in given):
        raise invalid("orders")
    common = {name: sent[name] for name in shared if name in sent}
    return [row | common for row in given]


def cancel_order_batch(asked: Asked) -> Any:
    """Cancel orders by the exchange's ids, `userref` or the client's ids; an id without an open order does not count (a
    guess)."""
    return cancel_batch(asked.desk, asked.account, asked.sent, "cl_ord_ids", asked.now_ns)


def cancel_batch(desk: Desk, account: Account, sent: Mapping[str, Any], client_key: str, now_ns: int) -> Any:
    """Cancel orders by ids in `orders` and client ids under `client_key`."""
    txids, client_ids = listed(sent, "orders", CANCELS), listed(sent, client_key, CANCELS)
    if not 1 <= len(txids) + len(client_ids) <= CANCELS:
        raise invalid("orders")
    names = {str(one.get("txid") if isinstance(one, dict) else one) for one in txids}
    own = {str(one.get("cl_ord_id") if isinstance(one, dict) else one) for one in client_ids}
    found = [
        order
        for order in account.open.values()
        if desk.lists(order.symbol)
        and ({ids.order_id(order.id), str(order.strategy_id)} & names or client_id_of(order) in own)
    ]
    return {"count": desk.orders.cancel_many(account, found, now_ns)}


def listed(sent: Mapping[str, Any], name: str, most: int) -> list[Any]:
    found = sent.get(name, [])
    if not isinstance(found, list) or len(found) > most:
        raise invalid(name)
    return found


def amend_order(asked: Asked) -> Any:
    sent, orders = asked.sent, asked.desk.orders
    if ("txid" in sent) == ("cl_ord_id" in sent):
        raise invalid("txid")
    order = orders.find_open(asked.account, sent.get("txid"), sent.get("cl_ord_id"))
    pair = asked.desk.pairs.by_symbol[order.symbol]
    due_ns = deadline(sent, 2.0, asked.arrived_ns)
    size, price = amount(sent, "order_qty"), price_of(pair, sent, "limit_price")
    if size is None and price is None:
        raise invalid("order_qty")
    if due_ns is not None and asked.now_ns > due_ns:
        raise ApiError("EService:Deadline elapsed")
    return {"amend_id": orders.amend(asked.account, order, size, price, flag(sent, "post_only"), asked.now_ns)}


def cancel_order(asked: Asked) -> Any:
    """Cancel by `txid`, which may be a `userref`, or by `cl_ord_id`."""
    sent, account, orders = asked.sent, asked.account, asked.desk.orders
    if ("txid" in sent) == ("cl_ord_id" in sent):
        raise invalid("txid")
    txid = sent.get("txid")
    tagged = [order for order in account.open.values() if txid is not None and str(order.strategy_id) == str(txid)]
    found = tagged or [orders.find_open(account, txid, sent.get("cl_ord_id"))]
    for order in found:
        orders.cancel(account, order, asked.now_ns)
    return {"count": len(found)}


def cancel_all(asked: Asked) -> Any:
    return {"count": asked.desk.orders.cancel_all(asked.account, asked.now_ns)}


def cancel_all_after(asked: Asked) -> Any:
    if "timeout" not in asked.sent:
        raise invalid("timeout")
    timeout_s = whole(asked.sent, "timeout", 0, 0, LONGEST_SWITCH_S)
    due_ns = asked.desk.orders.cancel_all_after(asked.account, timeout_s, asked.now_ns)
    return {"currentTime": rfc3339_s(asked.now_ns), "triggerTime": "0" if due_ns is None else rfc3339_s(due_ns)}


METHODS = {
    "Balance": Method(balance),
    "BalanceEx": Method(balance_ex),
    "TradeBalance": Method(trade_balance),
    "TradeVolume": Method(trade_volume),
    "GetWebSocketsToken": Method(websockets_token),
    "OpenOrders": Method(open_orders),
    "ClosedOrders": Method(closed_orders),
    "QueryOrders": Method(query_orders),
    "TradesHistory": Method(trades_history, cost=2),
    "AddOrder": Method(add_order, cost=0, trades=True),
    "AddOrderBatch": Method(add_order_batch, cost=0, trades=True),
    "AmendOrder": Method(amend_order, cost=0, trades=True),
    "CancelOrder": Method(cancel_order, cost=0, trades=True),
    "CancelOrderBatch": Method(cancel_order_batch, cost=0, trades=True),
    "CancelAll": Method(cancel_all, trades=True),
    "CancelAllOrdersAfter": Method(cancel_all_after, trades=True),
}


def perform(desk: Desk, method: Method, account: Account, key: ApiKey, sent: Mapping[str, Any], arrived_ns: int) -> Any:
    """Execute a private request with a valid signature and nonce."""
    now = desk.now_ns()
    if not (key.can_trade if method.trades else key.can_read):
        raise ApiError("EGeneral:Permission denied")
    if method.cost:
        desk.meter.call(key.name, method.cost, now)
    return method.answer(Asked(desk, account, key, sent, arrived_ns, now))
