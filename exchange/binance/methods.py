"""The table of signed methods, for both transports.

Source: rest-api.md and web-socket-api.md (Trading, Account), read 2026-11-22. The user data stream's methods belong to
the WebSocket API alone and are not here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import account, order_lists, orders
from .signed import Method

Sent = Mapping[str, Any]


def _flat(weight: int) -> Callable[[Sent], int]:
    return lambda sent: weight


def _with(name: str, there: int, absent: int) -> Callable[[Sent], int]:
    """One weight with a parameter, another without."""
    return lambda sent: there if name in sent else absent


def _test_weight(sent: Sent) -> int:
    return 20 if sent.get("computeCommissionRates") in (True, "true") else 1


TRADE, DATA = "TRADE", "USER_DATA"
METHODS: tuple[Method, ...] = (
    Method("POST", "/api/v3/order", "order.place", TRADE, orders.PLACE, _flat(1), orders.place, 1),
    Method("POST", "/api/v3/order/test", "order.test", TRADE, orders.TEST, _test_weight, orders.test),
    Method("DELETE", "/api/v3/order", "order.cancel", TRADE, orders.CANCEL, _flat(1), orders.cancel),
    Method(
        "DELETE", "/api/v3/openOrders", "openOrders.cancelAll", TRADE, orders.CANCEL_ALL, _flat(1), orders.cancel_all
    ),
    # The method counts its order itself: the effect of the limit depends on `orderRateLimitExceededMode`.
    Method(
        "POST",
        "/api/v3/order/cancelReplace",
        "order.cancelReplace",
        TRADE,
        orders.REPLACE,
        _flat(1),
        orders.cancel_replace,
        1,
        checks_orders=False,
    ),
    Method(
        "PUT",
        "/api/v3/order/amend/keepPriority",
        "order.amend.keepPriority",
        TRADE,
        orders.AMEND,
        _flat(4),
        orders.amend,
    ),
    Method(
        "POST", "/api/v3/orderList/oco", "orderList.place.oco", TRADE, order_lists.OCO, _flat(1), order_lists.oco, 2
    ),
    Method(
        "POST", "/api/v3/orderList/oto", "orderList.place.oto", TRADE, order_lists.OTO, _flat(1), order_lists.oto, 2
    ),
    Method(
        "POST",
        "/api/v3/orderList/otoco",
        "orderList.place.otoco",
        TRADE,
        order_lists.OTOCO,
        _flat(1),
        order_lists.otoco,
        3,
    ),
    Method("DELETE", "/api/v3/orderList", "orderList.cancel", TRADE, order_lists.CANCEL, _flat(1), order_lists.cancel),
    Method("GET", "/api/v3/account", "account.status", DATA, account.ACCOUNT, _flat(20), account.status),
    Method("GET", "/api/v3/order", "order.status", DATA, account.ORDER, _flat(4), account.order),
    Method(
        "GET",
        "/api/v3/openOrders",
        "openOrders.status",
        DATA,
        account.OPEN_ORDERS,
        _with("symbol", 6, 80),
        account.open_orders,
    ),
    Method("GET", "/api/v3/allOrders", "allOrders", DATA, account.ALL_ORDERS, _flat(20), account.all_orders),
    Method("GET", "/api/v3/orderList", "orderList.status", DATA, account.LIST, _flat(4), account.order_list),
    Method("GET", "/api/v3/allOrderList", "allOrderLists", DATA, account.ALL_LISTS, _flat(20), account.all_lists),
    Method("GET", "/api/v3/openOrderList", "openOrderLists.status", DATA, (), _flat(6), account.open_lists),
    Method("GET", "/api/v3/myTrades", "myTrades", DATA, account.TRADES, _with("orderId", 5, 20), account.trades),
    Method("GET", "/api/v3/rateLimit/order", "account.rateLimits.orders", DATA, (), _flat(40), account.rate_limits),
    Method(
        "GET",
        "/api/v3/myPreventedMatches",
        "myPreventedMatches",
        DATA,
        account.PREVENTED,
        _with("orderId", 20, 2),
        account.prevented_matches,
    ),
    Method("GET", "/api/v3/myAllocations", "myAllocations", DATA, account.ALLOCATIONS, _flat(20), account.allocations),
    Method(
        "GET",
        "/api/v3/account/commission",
        "account.commission",
        DATA,
        account.COMMISSION,
        _flat(20),
        account.commission,
    ),
    Method(
        "GET", "/api/v3/order/amendments", "order.amendments", DATA, account.AMENDMENTS, _flat(4), account.amendments
    ),
    Method("GET", "/api/v3/myFilters", "myFilters", DATA, account.FILTERS, _flat(40), account.filters),
)
BY_ROUTE = {(method.verb, method.path): method for method in METHODS}
BY_NAME = {method.name: method for method in METHODS}
