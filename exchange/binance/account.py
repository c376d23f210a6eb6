"""An account's queries about itself: balances, orders, lists, fills, counts.

Source: rest-api.md (Account Endpoints), read 2026-11-22.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ...model.time import DAY_NS
from ..engine.accounts import Order
from ..engine.market import Market
from ..wire.numbers import text
from . import errors, order_bodies, payloads
from .limits import Limits
from .orders import NO_DISCOUNT, ONE_ORDER, SYMBOL
from .params import Param, timestamp_ns
from .signed import Asked, Values

T = TypeVar("T")
LIMIT = Param("limit", "limit")
_TIMES = (Param("startTime", "number"), Param("endTime", "number"))
ACCOUNT = (Param("omitZeroBalances", "bool"),)
ORDER = ONE_ORDER
OPEN_ORDERS = (Param("symbol", "symbol"),)
ALL_ORDERS = (SYMBOL, Param("orderId", "number"), *_TIMES, LIMIT)
TRADES = (SYMBOL, Param("orderId", "number"), *_TIMES, Param("fromId", "number"), LIMIT)
PREVENTED = (
    SYMBOL,
    Param("preventedMatchId", "number"),
    Param("orderId", "number"),
    Param("fromPreventedMatchId", "number"),
    LIMIT,
)
ALLOCATIONS = (SYMBOL, *_TIMES, Param("fromAllocationId", "number"), LIMIT, Param("orderId", "number"))
COMMISSION = (SYMBOL,)
AMENDMENTS = (SYMBOL, Param("orderId", "number", mandatory=True), Param("fromExecutionId", "number"), LIMIT)
FILTERS = (SYMBOL,)
LIST = (Param("orderListId", "number"), Param("origClientOrderId", "client_id"))
ALL_LISTS = (Param("fromId", "number"), *_TIMES, LIMIT)


def status(asked: Asked) -> Any:
    account = asked.account
    omit = asked.values.get("omitZeroBalances", False)
    rules = next((market.rules for market in asked.engine.markets.values()), None)
    maker, taker = (rules.maker_fee, rules.taker_fee) if rules is not None else (0, 0)
    return {
        "makerCommission": maker // 10_000,
        "takerCommission": taker // 10_000,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": text(maker), "taker": text(taker), "buyer": text(0), "seller": text(0)},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": asked.stamp(account.updated_ns),
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": text(balance.free), "locked": text(balance.locked)}
            for asset, balance in account.balances.items()
            if not omit or balance.free or balance.locked
        ],
        "permissions": ["SPOT"],
        "uid": zlib.crc32(account.name.encode()),
    }


def find(asked: Asked, symbol: str, order_id: int | None, client_id: str | None) -> Order:
    """Return an order, open or ended, by exchange id or else by client id (the latest order with that id).

    Raises:
        ApiError: -2013 no such order, -2039 the two ids are of different orders.
    """
    if order_id is None and client_id is None:
        raise errors.missing_either("origClientOrderId", "orderId")
    order = asked.floor.find_order(asked.protocol, asked.account, order_id, client_id)
    if order is None or order.symbol != symbol:
        raise errors.no_such_order()
    if client_id is not None and order.client_id != client_id:
        raise errors.wrong_client_id()
    return order


def order(asked: Asked) -> Any:
    values = asked.values
    asked.market()
    found = find(asked, values["symbol"], values.get("orderId"), values.get("origClientOrderId"))
    return order_bodies.queried(found, asked.unit)


def open_orders(asked: Asked) -> Any:
    symbol = asked.market().symbol if "symbol" in asked.values else None
    standing = asked.account.open.values()
    return [order_bodies.queried(order, asked.unit) for order in standing if symbol in (None, order.symbol)]


def _limit(values: Values) -> int:
    limit: int = values.get("limit", 500)
    if limit < 1:
        raise errors.invalid("limit")
    return min(limit, 1000)


def _span(values: Values) -> Callable[[int], bool] | None:
    """Return whether a time is between `startTime` and `endTime`, both inclusive; None without both."""
    if "startTime" not in values and "endTime" not in values:
        return None
    start = timestamp_ns(values["startTime"]) if "startTime" in values else 0
    end = values.get("endTime")
    stop = None if end is None else timestamp_ns(end) + (1_000 if end >= 10**15 else 1_000_000)
    if "startTime" in values and stop is not None:
        if stop <= start:
            raise errors.bad_combination()
        if timestamp_ns(end or 0) - start > DAY_NS:
            raise errors.lookup_too_long(24)
    return lambda time_ns: start <= time_ns and (stop is None or time_ns < stop)


def _page(rows: Iterable[T], values: Values, time_of: Callable[[T], int], first: Callable[[T], bool] | None) -> list[T]:
    """Return a part of a history, oldest first: from an id on, or between times, or the newest."""
    limit = _limit(values)
    inside = _span(values)
    if first is not None:
        return [row for row in rows if first(row) and (inside is None or inside(time_of(row)))][:limit]
    if inside is None:
        return list(rows)[-limit:]
    chosen = [row for row in rows if inside(time_of(row))]
    return chosen[:limit] if "startTime" in values else chosen[-limit:]


def all_orders(asked: Asked) -> Any:
    values, symbol = asked.values, asked.market().symbol
    since = values.get("orderId")
    rows = [order for order in asked.account.orders if order.symbol == symbol]  # in order of id
    first = None if since is None else lambda order: order.id >= since
    return [order_bodies.queried(order, asked.unit) for order in _page(rows, values, lambda o: o.created_ns, first)]


def trades(asked: Asked) -> Any:
    values, symbol = asked.values, asked.market().symbol
    since, of = values.get("fromId"), values.get("orderId")
    timed = "startTime" in values or "endTime" in values
    if timed and (since is not None or of is not None):
        raise errors.bad_combination()
    rows = [fill for fill in asked.account.fills if fill.symbol == symbol and of in (None, fill.order_id)]
    first = None if since is None else lambda fill: fill.trade_id >= since
    shown, page = asked.floor.late_fees.shown, _page(rows, values, lambda f: f.time_ns, first)
    return [order_bodies.trade(shown(asked.protocol, fill), asked.unit) for fill in page]


def order_counts(limits: Limits, counts: tuple[int, int]) -> list[dict[str, Any]]:
    """The ORDERS entries of rate limits, for the WebSocket API's answers and for `account.rateLimits.orders`."""
    named = (("SECOND", 10, limits.orders_10s), ("DAY", 1, limits.orders_1d))
    return [
        {"rateLimitType": "ORDERS", "interval": interval, "intervalNum": number, "limit": limit, "count": count}
        for (interval, number, limit), count in zip(named, counts, strict=True)
    ]


def rate_limits(asked: Asked) -> Any:
    return order_counts(asked.limits, asked.order_count.counts(asked.now_ns))


def prevented_matches(asked: Asked) -> Any:
    values, symbol = asked.values, asked.market().symbol
    one, of, since = (values.get(name) for name in ("preventedMatchId", "orderId", "fromPreventedMatchId"))
    if (one is None) == (of is None) or (since is not None and of is None):
        raise errors.bad_combination()
    rows = [
        match
        for match in asked.account.prevented
        if match.symbol == symbol
        and one in (None, match.id)
        and (of is None or of in (match.taker_order, match.maker_order))
        and (since is None or match.id >= since)
    ]
    return [order_bodies.prevented_match(match, asked.unit) for match in rows[: _limit(values)]]


def allocations(asked: Asked) -> Any:
    """Return no allocations, because there is no smart order routing."""
    asked.market()
    _span(asked.values)
    _limit(asked.values)
    return []


def commission(asked: Asked) -> Any:
    rules = asked.market().rules
    nothing = {"maker": text(0), "taker": text(0), "buyer": text(0), "seller": text(0)}
    return {
        "symbol": rules.symbol,
        "standardCommission": nothing | {"maker": text(rules.maker_fee), "taker": text(rules.taker_fee)},
        "specialCommission": nothing,
        "taxCommission": nothing,
        "discount": NO_DISCOUNT,
    }


def amendments(asked: Asked) -> Any:
    values, symbol = asked.values, asked.market().symbol
    since = values.get("fromExecutionId", 0)
    rows = [
        found
        for found in asked.account.amendments
        if found.symbol == symbol and found.order_id == values["orderId"] and found.execution_id >= since
    ]
    return [order_bodies.amendment(found, asked.unit) for found in rows[: _limit(values)]]


def filters(asked: Asked) -> Any:
    market: Market = asked.market()
    return {"exchangeFilters": [], "symbolFilters": payloads.filters(market.rules), "assetFilters": []}


def order_list(asked: Asked) -> Any:
    values, account = asked.values, asked.account
    number, name = values.get("orderListId"), values.get("origClientOrderId")
    if number is None and name is None:
        raise errors.missing_either("orderListId", "origClientOrderId")
    found = [
        group for group in account.lists.values() if number in (None, group.id) and name in (None, group.client_id)
    ]
    if not found:
        raise errors.no_such_order()
    return order_bodies.order_list(found[-1], asked.unit)


def all_lists(asked: Asked) -> Any:
    values = asked.values
    since = values.get("fromId")
    if since is not None and ("startTime" in values or "endTime" in values):
        raise errors.bad_combination()
    first = None if since is None else lambda group: group.id >= since
    rows = _page(asked.account.lists.values(), values, lambda group: group.time_ns, first)
    return [order_bodies.order_list(group, asked.unit) for group in rows]


def open_lists(asked: Asked) -> Any:
    groups = asked.account.lists.values()
    return [order_bodies.order_list(group, asked.unit) for group in groups if group.status != "ALL_DONE"]
