"""Places, tests, cancels, replaces and amends single orders.

Source: rest-api.md (Trading endpoints), errors.md, faqs/order_amend_keep_priority.md, read 2026-11-22.
"""

from __future__ import annotations

from typing import Any

from ...model.errors import Rejected
from ...model.events import Side
from ..engine.accounts import Account, Order, Ticket
from ..engine.market import Market
from ..wire.numbers import text
from . import errors, order_bodies
from .errors import ApiError
from .params import Param
from .signed import Asked, Values, refused

SYMBOL = Param("symbol", "symbol", mandatory=True)
_NEW = (
    SYMBOL,
    Param("side", "side", mandatory=True),
    Param("type", "order_type", mandatory=True),
    Param("timeInForce", "time_in_force"),
    Param("quantity", "decimal"),
    Param("quoteOrderQty", "decimal"),
    Param("price", "decimal"),
    Param("newClientOrderId", "client_id"),
    Param("strategyId", "number"),
    Param("strategyType", "strategy_type"),
    Param("stopPrice", "decimal"),
    Param("trailingDelta", "number"),
    Param("icebergQty", "decimal"),
    Param("newOrderRespType", "response"),
    Param("selfTradePreventionMode", "self_trade"),
    Param("pegPriceType", "peg"),
    Param("pegOffsetValue", "number"),
    Param("pegOffsetType", "peg_offset"),
)
PLACE = _NEW
TEST = (*_NEW, Param("computeCommissionRates", "bool"))
ONE_ORDER = (SYMBOL, Param("orderId", "number"), Param("origClientOrderId", "client_id"))
CANCEL = (*ONE_ORDER, Param("newClientOrderId", "client_id"), Param("cancelRestrictions", "restrictions"))
CANCEL_ALL = (SYMBOL,)
REPLACE = (
    *_NEW,
    Param("cancelReplaceMode", "replace_mode", mandatory=True),
    Param("cancelNewClientOrderId", "client_id"),
    Param("cancelOrigClientOrderId", "client_id"),
    Param("cancelOrderId", "number"),
    Param("cancelRestrictions", "restrictions"),
    Param("orderRateLimitExceededMode", "exceeded_mode"),
)
AMEND = (*ONE_ORDER, Param("newClientOrderId", "client_id"), Param("newQty", "decimal", mandatory=True))

# Of the parameters that depend on the type: those that each type must have, and may have.
_SHAPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "LIMIT": (("timeInForce", "quantity", "price"), ()),
    "LIMIT_MAKER": (("quantity", "price"), ()),
    "MARKET": ((), ("quantity", "quoteOrderQty")),
    "STOP_LOSS": (("quantity", "stopPrice"), ()),
    "STOP_LOSS_LIMIT": (("timeInForce", "quantity", "price", "stopPrice"), ()),
    "TAKE_PROFIT": (("quantity", "stopPrice"), ()),
    "TAKE_PROFIT_LIMIT": (("timeInForce", "quantity", "price", "stopPrice"), ()),
}
_SHAPED = ("timeInForce", "quantity", "quoteOrderQty", "price", "stopPrice")


def no_extras(values: Values, prefix: str = "") -> None:
    """Refuse features that no symbol here allows, as in the manual."""
    for name, what in (
        ("icebergQty", "Iceberg orders are"),
        ("trailingDelta", "Trailing stop orders are"),
        ("pegPriceType", "Pegged orders are"),
        ("pegOffsetType", "Pegged orders are"),
        ("pegOffsetValue", "Pegged orders are"),
    ):
        named = prefix + name[0].upper() + name[1:] if prefix else name
        if named in values:
            raise ApiError(-2010, f"{what} not supported for this symbol.")


def ticket(values: Values, market: Market) -> Ticket:
    """Read the parameters of a new order.

    Raises:
        ApiError: -1102, -1106 and similar if the parameters do not fit the type; -1130 for a mode of self-trade
            prevention that the symbol does not allow.
    """
    kind: str = values["type"]
    must, may = _SHAPES[kind]
    if kind == "MARKET":
        if "quantity" in values and "quoteOrderQty" in values:
            raise errors.not_required("quoteOrderQty")
        if "quantity" not in values and "quoteOrderQty" not in values:
            raise errors.missing_either("quantity", "quoteOrderQty")
    no_extras(values)
    for name in must:
        if name not in values:
            raise errors.missing(name)
    for name in _SHAPED:
        if name in values and name not in must and name not in may:
            raise errors.not_required(name)
    if values.get("quantity") == 0:
        raise ApiError(-1013, "Filter failure: LOT_SIZE")
    if values.get("quoteOrderQty") == 0:
        raise ApiError(-1013, "Filter failure: NOTIONAL")
    return Ticket(
        side=Side[values["side"]],
        kind=kind,
        size=values.get("quantity", 0),
        price=values.get("price"),
        time_in_force=values.get("timeInForce", "GTC"),
        client_id=values.get("newClientOrderId", ""),
        quote_size=values.get("quoteOrderQty"),
        self_trade=self_trade(values, market),
        stop_price=values.get("stopPrice"),
        strategy_id=values.get("strategyId"),
        strategy_type=values.get("strategyType"),
    )


def self_trade(values: Values, market: Market) -> str:
    mode: str = values.get("selfTradePreventionMode", market.rules.self_trade)
    if mode not in market.rules.self_trades:
        raise errors.invalid("selfTradePreventionMode")
    return mode


def response_type(values: Values, kind: str) -> str:
    default = "FULL" if kind in ("LIMIT", "MARKET") else "ACK"
    chosen: str = values.get("newOrderRespType", default)
    return chosen


def place(asked: Asked) -> Any:
    return _place(asked, ticket(asked.values, asked.market()))


def _place(asked: Asked, wanted: Ticket) -> Any:
    account, now = asked.account, asked.now_ns
    before = account.fill_count
    asked.order_count.add(1, now)
    try:
        order = asked.floor.submit(asked.protocol, account, asked.values["symbol"], wanted, now)
    except Rejected:
        asked.order_count.add(-1, now)
        raise
    made = account.fill_count - before
    fills = [account.fills[n] for n in range(-min(made, len(account.fills)), 0)]
    own = [asked.floor.late_fees.shown(asked.protocol, fill) for fill in fills if fill.order_id == order.id]
    return order_bodies.placed(order, response_type(asked.values, order.kind), own, now, asked.unit)


def test(asked: Asked) -> Any:
    market = asked.market()
    wanted = ticket(asked.values, market)
    asked.engine.check_filters(asked.account, asked.values["symbol"], wanted, asked.now_ns)
    if not asked.values.get("computeCommissionRates", False):
        return {}
    rules, nothing = market.rules, {"maker": text(0), "taker": text(0)}
    return {
        "standardCommissionForOrder": {"maker": text(rules.maker_fee), "taker": text(rules.taker_fee)},
        "specialCommissionForOrder": nothing,
        "taxCommissionForOrder": nothing,
        "discount": NO_DISCOUNT,
    }


NO_DISCOUNT = {
    "enabledForAccount": False,
    "enabledForSymbol": False,
    "discountAsset": "BNB",
    "discount": text(0),
}


def find_open(account: Account, symbol: str, order_id: int | None, client_id: str | None) -> Order:
    """Return the open order with this exchange id, or else with this client id.

    Raises:
        Rejected: UNKNOWN_ORDER, also if both ids are given and belong to different orders.
    """
    if order_id is None and client_id is not None:
        order_id = account.client_ids.get(client_id)
    order = account.open.get(order_id) if order_id is not None else None
    if order is None or order.symbol != symbol or (client_id is not None and order.client_id != client_id):
        raise Rejected("UNKNOWN_ORDER", "Unknown order sent.")
    return order


def _allowed(order: Order, restrictions: str | None) -> None:
    if restrictions is not None and order.status != restrictions.removeprefix("ONLY_"):
        raise Rejected("RESTRICTED", "Order was not canceled due to cancel restrictions.")


def cancel(asked: Asked) -> Any:
    values = asked.values
    asked.market()
    if "orderId" not in values and "origClientOrderId" not in values:
        raise errors.missing_either("origClientOrderId", "orderId")
    order = find_open(asked.account, values["symbol"], values.get("orderId"), values.get("origClientOrderId"))
    _allowed(order, values.get("cancelRestrictions"))
    return cancel_one(asked, order, values.get("newClientOrderId"))


def cancel_one(asked: Asked, order: Order, cancel_id: str | None) -> Any:
    """Cancel an order, or the whole list that it belongs to; answer for the order or for the list."""
    cancel_id = cancel_id or asked.engine.fresh_id("c")
    group = order.group
    was = [member for member in group.orders if member.id in asked.account.open] if group is not None else []
    asked.engine.cancel(order.symbol, order.id, asked.now_ns, asked.account, cancel_id)
    if group is None:
        return order_bodies.cancelled(order, cancel_id, asked.unit)
    reports = [order_bodies.cancelled(member, cancel_id, asked.unit) for member in was]
    return order_bodies.order_list(group, asked.unit, reports)


def cancel_all(asked: Asked) -> Any:
    symbol = asked.market().symbol
    standing = [order for order in asked.account.open.values() if order.symbol == symbol]
    if not standing:
        raise Rejected("UNKNOWN_ORDER", "Unknown order sent.")
    cancel_id = asked.engine.fresh_id("c")
    return [cancel_one(asked, order, cancel_id) for order in standing if order.id in asked.account.open]


def cancel_replace(asked: Asked) -> Any:
    """Cancel, then place; the answer's status and `data` show which of the two succeeded."""
    values, account, now = asked.values, asked.account, asked.now_ns
    market = asked.market()
    if "cancelOrderId" not in values and "cancelOrigClientOrderId" not in values:
        raise errors.missing_either("cancelOrigClientOrderId", "cancelOrderId")
    wanted = ticket(values, market)
    crowded: ApiError | None = None
    try:
        asked.order_count.check(asked.limits, 1, now)
    except ApiError as error:
        if values.get("orderRateLimitExceededMode") != "CANCEL_ONLY":
            raise
        crowded = error
    asked.engine.check_filters(account, market.symbol, wanted, now)
    cancel_body: Any
    new_body: Any = None
    cancelled = placed = False
    try:
        given = (values.get("cancelOrderId"), values.get("cancelOrigClientOrderId"))
        order = find_open(account, market.symbol, *given)
        _allowed(order, values.get("cancelRestrictions"))
        cancel_body = cancel_one(asked, order, values.get("cancelNewClientOrderId"))
        cancelled = True
    except Rejected as rejected:
        cancel_body = refused(rejected).body
    attempted = cancelled or values["cancelReplaceMode"] == "ALLOW_FAILURE"
    if crowded is not None:
        new_body = crowded.body if attempted else None
    elif attempted:
        try:
            new_body = _place(asked, wanted)
            placed = True
        except Rejected as rejected:
            new_body = refused(rejected).body
    else:
        asked.order_count.add(1, now)  # by the manual, an order that was not attempted counts too
    data = {
        "cancelResult": "SUCCESS" if cancelled else "FAILURE",
        "newOrderResult": "SUCCESS" if placed else "FAILURE" if attempted else "NOT_ATTEMPTED",
        "cancelResponse": cancel_body,
        "newOrderResponse": new_body,
    }
    if cancelled and placed:
        return data
    partly = cancelled or placed
    status = 429 if crowded is not None else 409 if partly else 400
    msg = "Order cancel-replace partially failed." if partly else "Order cancel-replace failed."
    wait_s = crowded.retry_after_s if crowded is not None else None
    raise ApiError(-2021 if partly else -2022, msg, status, wait_s, data)


def amend(asked: Asked) -> Any:
    values = asked.values
    symbol = asked.market().symbol
    if "orderId" not in values and "origClientOrderId" not in values:
        raise errors.missing_either("origClientOrderId", "orderId")
    try:
        order = find_open(asked.account, symbol, values.get("orderId"), values.get("origClientOrderId"))
    except Rejected:
        raise Rejected("AMEND_UNKNOWN", "Unknown order sent.") from None
    if values["newQty"] > order.size:
        raise Rejected("AMEND_INCREASE", "Order amend (quantity increase) is not supported.")
    amendment = asked.engine.amend(order, values["newQty"], values.get("newClientOrderId", ""), asked.now_ns)
    return order_bodies.amended(order, amendment, asked.unit)
