"""The tables of Binance.US: which of Binance's requests there are, with their own weights, and its OCO.

Source: rest-api.md (General, Market Data and Account endpoints; New OCO), read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ...model.events import Side
from ..binance import errors, order_lists, queries
from ..binance.methods import METHODS
from ..binance.orders import SYMBOL, self_trade
from ..binance.params import Param
from ..binance.queries import Query
from ..binance.signed import Asked, Method
from ..engine.accounts import Ticket

# Parameters of Binance's requests that this manual does not have
ABSENT = frozenset(
    {
        *("strategyId", "strategyType", "pegPriceType", "pegOffsetValue", "pegOffsetType", "computeCommissionRates"),
        *("omitZeroBalances", "orderRateLimitExceededMode", "showPermissionSets", "symbolStatus", "timeZone"),
    }
)
# By the request's name on the WebSocket API. Open orders and tickers weigh less for one symbol
WEIGHTS: dict[str, tuple[int, int]] = {
    "order.place": (1, 1),
    "order.test": (1, 1),
    "order.cancel": (1, 1),
    "openOrders.cancelAll": (1, 1),
    "order.cancelReplace": (1, 1),
    "orderList.cancel": (1, 1),
    "account.status": (10, 10),
    "order.status": (2, 2),
    "openOrders.status": (3, 40),
    "allOrders": (10, 10),
    "orderList.status": (2, 2),
    "allOrderLists": (10, 10),
    "openOrderLists.status": (3, 3),
    "myTrades": (10, 10),
    "account.rateLimits.orders": (20, 20),
    "myPreventedMatches": (10, 10),
    "ping": (1, 1),
    "time": (1, 1),
    "exchangeInfo": (10, 10),
    "trades.recent": (1, 1),
    "trades.historical": (5, 5),
    "trades.aggregate": (1, 1),
    "klines": (1, 1),
    "avgPrice": (1, 1),
    "ticker.24hr": (1, 40),
    "ticker.price": (1, 2),
    "ticker.book": (1, 2),
}
# Fields of a symbol and of an account that this manual does not have
UNLISTED = frozenset(
    {
        *("otoAllowed", "opoAllowed", "amendAllowed", "pegInstructionsAllowed", "permissions", "permissionSets"),
        *("defaultSelfTradePreventionMode", "allowedSelfTradePreventionModes"),
    }
)
SELF_TRADES = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")  # New order, selfTradePreventionMode
SELF_TRADE = Param("selfTradePreventionMode", "us_self_trade")

OCO = (
    SYMBOL,
    Param("listClientOrderId", "client_id"),
    Param("side", "side", mandatory=True),
    Param("quantity", "decimal", mandatory=True),
    Param("limitClientOrderId", "client_id"),
    Param("price", "decimal", mandatory=True),
    Param("stopClientOrderId", "client_id"),
    Param("stopPrice", "decimal", mandatory=True),
    Param("stopLimitPrice", "decimal"),
    Param("stopLimitTimeInForce", "time_in_force"),
    Param("newOrderRespType", "response"),
    SELF_TRADE,
)


def _weight(name: str) -> Callable[[Any], int]:
    one, many = WEIGHTS[name]
    return lambda sent: one if "symbol" in sent else many


def _depth_weight(values: Any) -> int:
    limit = values.get("limit", 100)
    return 1 if limit <= 100 else 5 if limit <= 500 else 10 if limit <= 1000 else 50


def _own(params: Iterable[Param]) -> tuple[Param, ...]:
    return tuple(SELF_TRADE if one.name == SELF_TRADE.name else one for one in params if one.name not in ABSENT)


def exchange_info(asked: queries.Asked) -> Any:
    """The symbols without the fields of Binance alone; modes of self-trade prevention are those of all symbols."""
    whole = queries.exchange_info(asked)
    for row in whole["symbols"]:
        for name in UNLISTED & row.keys():
            del row[name]
    return whole | {
        "permissions": ["SPOT"],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": list(SELF_TRADES),
    }


def account(asked: Asked) -> Any:
    whole = METHODS_BY_NAME["account.status"].answer(asked)
    return {name: value for name, value in whole.items() if name not in ("uid", "preventSor")}


def oco(asked: Asked) -> Any:
    """Place a post-only order and a stop loss; the stop loss is first, as in the manual's answer."""
    market, values = asked.market(), asked.values
    limit_price, force = values.get("stopLimitPrice"), values.get("stopLimitTimeInForce")
    if limit_price is not None and force is None:
        raise errors.missing("stopLimitTimeInForce")
    side, size, mode = Side[values["side"]], values["quantity"], self_trade(values, market)
    stop = Ticket(
        side=side,
        kind="STOP_LOSS" if limit_price is None else "STOP_LOSS_LIMIT",
        size=size,
        price=limit_price,
        time_in_force=force or "GTC",
        client_id=values.get("stopClientOrderId", ""),
        self_trade=mode,
        stop_price=values["stopPrice"],
    )
    limit = Ticket(
        side=side,
        kind="LIMIT_MAKER",
        size=size,
        price=values["price"],
        client_id=values.get("limitClientOrderId", ""),
        self_trade=mode,
    )
    return order_lists.submit(asked, "OCO", (stop, limit))


METHODS_BY_NAME = {method.name: method for method in METHODS}
BY_ROUTE = {
    (method.verb, method.path): replace(method, params=_own(method.params), weight=_weight(method.name))
    for method in METHODS
    if method.name in WEIGHTS
}
BY_ROUTE["GET", "/api/v3/account"] = replace(BY_ROUTE["GET", "/api/v3/account"], answer=account)
BY_ROUTE["POST", "/api/v3/order/oco"] = Method(
    "POST", "/api/v3/order/oco", "orderList.place", "TRADE", OCO, lambda sent: 1, oco, 2
)
BY_PATH: dict[str, Query] = {
    path: replace(query, params=_own(query.params), weight=_weight(name))
    for path, name, query in queries.QUERIES
    if name in WEIGHTS
}
BY_PATH["/api/v3/depth"] = Query((queries.SYMBOL, queries.LIMIT), _depth_weight, queries.depth)
BY_PATH["/api/v3/exchangeInfo"] = replace(BY_PATH["/api/v3/exchangeInfo"], answer=exchange_info)
