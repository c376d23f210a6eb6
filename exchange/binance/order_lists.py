"""Places and cancels order lists: OCO, OTO, OTOCO.

Source: rest-api.md (Order lists), errors.md (-1158 to -1199), read 2026-11-22. Not offered: OPO, OPOCO, and the
deprecated POST /api/v3/order/oco.
"""

from __future__ import annotations

from typing import Any

from ...model.errors import Rejected
from ...model.events import Side
from ..engine.accounts import Account, OrderList, Ticket
from ..engine.market import Market
from . import errors, order_bodies
from .errors import ApiError
from .orders import SYMBOL, no_extras, response_type, self_trade
from .params import Param
from .signed import Asked

_LEG = (
    ("Type", "order_type"),
    ("ClientOrderId", "client_id"),
    ("IcebergQty", "decimal"),
    ("Price", "decimal"),
    ("StopPrice", "decimal"),
    ("TrailingDelta", "number"),
    ("TimeInForce", "time_in_force"),
    ("StrategyId", "number"),
    ("StrategyType", "strategy_type"),
    ("PegPriceType", "peg"),
    ("PegOffsetType", "peg_offset"),
    ("PegOffsetValue", "number"),
)


def _leg(prefix: str, *mandatory: str) -> tuple[Param, ...]:
    return tuple(Param(prefix + name, kind, name in ("Type", *mandatory)) for name, kind in _LEG)


def _more(prefix: str) -> tuple[Param, ...]:
    return (Param(f"{prefix}Side", "side", mandatory=True), Param(f"{prefix}Quantity", "decimal", mandatory=True))


_COMMON = (
    SYMBOL,
    Param("listClientOrderId", "client_id"),
    Param("newOrderRespType", "response"),
    Param("selfTradePreventionMode", "self_trade"),
)
OCO = (
    *_COMMON,
    Param("side", "side", mandatory=True),
    Param("quantity", "decimal", mandatory=True),
    *_leg("above"),
    *_leg("below"),
)
OTO = (*_COMMON, *_leg("working", "Price"), *_more("working"), *_leg("pending"), *_more("pending"))
OTOCO = (
    *_COMMON,
    *_leg("working", "Price"),
    *_more("working"),
    *_more("pending"),
    *_leg("pendingAbove"),
    *_leg("pendingBelow"),
)
CANCEL = (
    SYMBOL,
    Param("orderListId", "number"),
    Param("listClientOrderId", "client_id"),
    Param("newClientOrderId", "client_id"),
)

# The parameters that a leg of each type must have; it may have no others.
_NEEDS: dict[str, tuple[str, ...]] = {
    "LIMIT": ("Price", "TimeInForce"),
    "LIMIT_MAKER": ("Price",),
    "MARKET": (),
    "STOP_LOSS": ("StopPrice",),
    "STOP_LOSS_LIMIT": ("Price", "StopPrice", "TimeInForce"),
    "TAKE_PROFIT": ("StopPrice",),
    "TAKE_PROFIT_LIMIT": ("Price", "StopPrice", "TimeInForce"),
}
_LIMITS = ("LIMIT_MAKER", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
_STOPS = ("STOP_LOSS", "STOP_LOSS_LIMIT")


def _ticket(asked: Asked, market: Market, prefix: str, side: Side, size: int) -> Ticket:
    """Read one leg; its parameters begin with `prefix`."""
    values = asked.values
    kind: str = values[f"{prefix}Type"]
    no_extras(values, prefix)
    for name in _NEEDS[kind]:
        if prefix + name not in values:
            raise errors.missing(prefix + name)
    for name in ("Price", "StopPrice", "TimeInForce"):
        if prefix + name in values and name not in _NEEDS[kind]:
            raise errors.not_required(prefix + name)
    return Ticket(
        side=side,
        kind=kind,
        size=size,
        price=values.get(f"{prefix}Price"),
        time_in_force=values.get(f"{prefix}TimeInForce", "GTC"),
        client_id=values.get(f"{prefix}ClientOrderId", ""),
        self_trade=self_trade(values, market),
        stop_price=values.get(f"{prefix}StopPrice"),
        strategy_id=values.get(f"{prefix}StrategyId"),
        strategy_type=values.get(f"{prefix}StrategyType"),
    )


def _check_kinds(above: str, below: str, side: Side) -> None:
    """Refuse all types but a limit or take-profit order and a stop loss, each on its own side."""
    if any(kind not in _LIMITS and kind not in _STOPS for kind in (above, below)):
        raise ApiError(-1158, "Order type not supported in OCO.")
    if above in _LIMITS and below in _LIMITS:
        raise ApiError(-1168, "At least one OCO order must be contingent.")
    buys = side is Side.BUY
    if above in _STOPS and below in _STOPS:
        if buys:
            raise ApiError(-1196, "A stop loss order in a buy OCO must be above.")
        raise ApiError(-1197, "A stop loss order in a sell OCO must be below.")
    if buys and above in _LIMITS:
        if above == "LIMIT_MAKER":
            raise ApiError(-1165, "A limit order in a buy OCO must be below.")
        raise ApiError(-1198, "A take profit order in a buy OCO must be below.")
    if not buys and below in _LIMITS:
        if below == "LIMIT_MAKER":
            raise ApiError(-1166, "A limit order in a sell OCO must be above.")
        raise ApiError(-1199, "A take profit order in a sell OCO must be above.")


def _pair(asked: Asked, market: Market, prefixes: tuple[str, str], side: Side, size: int) -> tuple[Ticket, Ticket]:
    """Read the two legs of an OCO, above and below; return the stop loss first, as in the manual's samples."""
    _check_kinds(asked.values[f"{prefixes[0]}Type"], asked.values[f"{prefixes[1]}Type"], side)
    above, below = (_ticket(asked, market, prefix, side, size) for prefix in prefixes)
    return (above, below) if above.kind in _STOPS else (below, above)


def _working(asked: Asked, market: Market) -> Ticket:
    values = asked.values
    if values["workingType"] not in ("LIMIT", "LIMIT_MAKER"):
        raise errors.bad_enum("order_type", "workingType")
    return _ticket(asked, market, "working", Side[values["workingSide"]], values["workingQuantity"])


def oco(asked: Asked) -> Any:
    market, values = asked.market(), asked.values
    side = Side[values["side"]]
    return submit(asked, "OCO", _pair(asked, market, ("above", "below"), side, values["quantity"]))


def oto(asked: Asked) -> Any:
    market, values = asked.market(), asked.values
    working = _working(asked, market)
    pending = _ticket(asked, market, "pending", Side[values["pendingSide"]], values["pendingQuantity"])
    return submit(asked, "OTO", (working, pending))


def otoco(asked: Asked) -> Any:
    market, values = asked.market(), asked.values
    working = _working(asked, market)
    side = Side[values["pendingSide"]]
    pair = _pair(asked, market, ("pendingAbove", "pendingBelow"), side, values["pendingQuantity"])
    return submit(asked, "OTO", (working, *pair))


def submit(asked: Asked, contingency: str, tickets: tuple[Ticket, ...]) -> Any:
    """Place the orders of a list; the answer reports each."""
    account, values, now = asked.account, asked.values, asked.now_ns
    asked.order_count.add(len(tickets), now)
    before = account.fill_count
    try:
        group, seen = asked.engine.submit_list(
            account, values["symbol"], contingency, tickets, values.get("listClientOrderId", ""), now
        )
    except Rejected:
        asked.order_count.add(-len(tickets), now)
        raise
    made = account.fill_count - before
    shown = asked.floor.late_fees.shown
    fills = [shown(asked.protocol, account.fills[n]) for n in range(-min(made, len(account.fills)), 0)]
    reports = [
        order_bodies.placed(
            order,
            response_type(values, order.kind),
            [fill for fill in fills if fill.order_id == order.id],
            now,
            asked.unit,
        )
        for order in seen
    ]
    return order_bodies.order_list(group, asked.unit, reports)


def find_open(account: Account, symbol: str, number: int | None, name: str | None) -> OrderList:
    """Return the open list with this id, or else with this client id.

    Raises:
        Rejected: UNKNOWN_ORDER, also if both ids are given and belong to different lists.
    """
    if number is None and name is not None:
        number = account.list_ids.get(name)
    group = account.lists.get(number) if number is not None else None
    if group is None or group.symbol != symbol or group.status == "ALL_DONE":
        raise Rejected("UNKNOWN_ORDER", "Unknown order sent.")
    if name is not None and group.client_id != name:
        raise Rejected("UNKNOWN_ORDER", "Unknown order sent.")
    return group


def cancel(asked: Asked) -> Any:
    values, account = asked.values, asked.account
    symbol = asked.market().symbol
    if "orderListId" not in values and "listClientOrderId" not in values:
        raise errors.missing_either("orderListId", "listClientOrderId")
    group = find_open(account, symbol, values.get("orderListId"), values.get("listClientOrderId"))
    cancel_id = values.get("newClientOrderId") or asked.engine.fresh_id("c")
    standing = [order for order in group.orders if order.id in account.open]
    asked.engine.cancel(symbol, standing[0].id, asked.now_ns, account, cancel_id)
    reports = [order_bodies.cancelled(order, cancel_id, asked.unit) for order in standing]
    return order_bodies.order_list(group, asked.unit, reports)
