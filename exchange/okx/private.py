"""Private REST endpoints: reads of an account, and the table of trading endpoints.

Source: order/book/trading-trade-get-{order-details, order-list, order-history-last-7-days, order-history-last-3-months,
transaction-details-last-3-days, transaction-details-last-3-months, account-rate-limit}.md,
trading/account/rest-api-get-{balance, fee-rates, account-configuration, instruments}.md, read 2026-11-27. The manual
does not state which rows `before` alone returns: here the rows that follow, so that a client can page forwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from ...model.time import DAY_NS, MILLISECOND_NS, SECOND_NS
from ..engine.accounts import Memory, Order
from ..engine.keys import ApiKey
from ..wire.numbers import BadNumber, read_whole
from . import ids, order_bodies, payloads
from .client import NAME
from .errors import ApiError, invalid, missing
from .orders import state
from .trading import Asked, amend, cancel, cancel_all_after, many, one, place

PAGE = 100
CANCELED_MEMORY = Memory(lasts_ns=2 * 3_600 * SECOND_NS)  # how long orders are kept that were cancelled without a fill
HISTORY_NS, FILLS_NS, LONG_NS = 7 * DAY_NS, 3 * DAY_NS, 90 * DAY_NS
T = TypeVar("T")


def body(asked: Asked, order: Order) -> dict[str, Any]:
    market = asked.desk.floor.engine.markets[order.symbol]
    return order_bodies.order(market, order, asked.desk.orders.details(order))


def _is_kept(asked: Asked, order: Order) -> bool:
    """Return whether lookups still find an order: two hours for a cancelled order without a fill, long for others."""
    forgets = state(order) == "canceled" and not order.filled
    usual = CANCELED_MEMORY if forgets else Memory()
    memory = asked.desk.floor.memory(NAME, asked.account, usual)
    return memory.holds(order, order.id in asked.account.open, asked.now_ns)


def order(asked: Asked) -> Any:
    """One order by either id; the latest of several orders with one client id."""
    market, account, sent = asked.desk.market(asked.sent.get("instId")), asked.account, asked.sent
    asked.desk.meter.spend(account.name, "order", 1, asked.now_ns, market.symbol)
    if not sent.get("ordId") and not sent.get("clOrdId"):
        raise ApiError("50015", "Either parameter ordId or clOrdId is required", 400)
    number = ids.order_number(sent["ordId"]) if sent.get("ordId") else None
    found = account.by_id.get(number or -1) if sent.get("ordId") else account.by_client.get(str(sent["clOrdId"]))
    if found is None or found.symbol != market.symbol or not _is_kept(asked, found):
        raise ApiError("51603", "Order does not exist.")
    return [body(asked, found)]


def orders_pending(asked: Asked) -> Any:
    """Open orders, newest first; a new order may be missing (the fault `unseen`)."""
    asked.desk.meter.spend(asked.account.name, "pending", 1, asked.now_ns)
    return [body(asked, each) for each in _page(asked, _listed(asked, asked.account.open.values()))]


def orders_history(asked: Asked) -> Any:
    asked.desk.meter.spend(asked.account.name, "history", 1, asked.now_ns)
    return _history(asked, HISTORY_NS)


def orders_archive(asked: Asked) -> Any:
    asked.desk.meter.spend(asked.account.name, "history", 1, asked.now_ns)
    return _history(asked, LONG_NS)


def _history(asked: Asked, back_ns: int) -> Any:
    if not asked.sent.get("instType"):
        raise missing("instType")
    ended = [each for each in asked.account.orders if each.id not in asked.account.open]
    begin, end = _times(asked)
    found = [each for each in _listed(asked, ended) if asked.now_ns - each.updated_ns < back_ns]
    return [body(asked, each) for each in _page(asked, [each for each in found if begin <= each.created_ns <= end])]


def _listed(asked: Asked, orders: Iterable[Order]) -> list[Order]:
    """Return the orders that match the parameters, oldest first."""
    sent, desk = asked.sent, asked.desk
    if sent.get("instType", "SPOT") != "SPOT":
        return []
    symbol = desk.market(sent["instId"]).symbol if sent.get("instId") else None
    kinds = str(sent["ordType"]).split(",") if sent.get("ordType") else None
    return [
        each
        for each in orders
        if symbol in (None, each.symbol)
        and each.symbol in desk.floor.engine.markets
        and (kinds is None or desk.orders.details(each).kind in kinds)
        and sent.get("state", state(each)) == state(each)
        and _is_kept(asked, each)
    ]


def _times(asked: Asked) -> tuple[int, int]:
    """Return `begin` and `end`, both inclusive."""
    bounds = []
    for name, default in (("begin", 0), ("end", 2**62 // MILLISECOND_NS)):
        try:
            bounds.append(read_whole(asked.sent[name]) if asked.sent.get(name) else default)
        except BadNumber:
            raise invalid(name) from None
    return bounds[0] * MILLISECOND_NS, (bounds[1] + 1) * MILLISECOND_NS - 1


def _page(asked: Asked, orders: Sequence[Order]) -> Sequence[Order]:
    return _between(asked, [(each.id, each) for each in orders])


def _between(asked: Asked, rows: Sequence[tuple[int, T]]) -> list[T]:
    """Return a page, newest first: the newest of the rows earlier than the id `after` and newer than `before`.

    With only `before` the page has the rows that follow it, so that a client can page forwards.
    """
    sent = asked.sent
    try:
        after, before = (read_whole(sent[name]) if sent.get(name) else None for name in ("after", "before"))
        limit = min(read_whole(sent["limit"]), PAGE) if sent.get("limit") else PAGE
    except BadNumber:
        raise invalid("after") from None
    found = [row for number, row in rows if (after is None or number < after) and (before is None or number > before)]
    page = found[:limit] if before is not None and after is None else found[-limit:] if limit else []
    return page[::-1]


def fills(asked: Asked) -> Any:
    asked.desk.meter.spend(asked.account.name, "fills", 1, asked.now_ns)
    return _fills(asked, FILLS_NS)


def fills_history(asked: Asked) -> Any:
    asked.desk.meter.spend(asked.account.name, "fills_history", 1, asked.now_ns)
    if not asked.sent.get("instType"):
        raise missing("instType")
    return _fills(asked, LONG_NS)


def _fills(asked: Asked, back_ns: int) -> Any:
    sent, desk = asked.sent, asked.desk
    if sent.get("instType", "SPOT") != "SPOT":
        return []
    symbol = desk.market(sent["instId"]).symbol if sent.get("instId") else None
    number = ids.order_number(sent["ordId"]) if sent.get("ordId") else None
    begin, end = _times(asked)
    rows = [
        (bill, (bill, fill))
        for bill, fill in ids.bills(asked.account)
        if symbol in (None, fill.symbol)
        and fill.symbol in desk.floor.engine.markets
        and (not sent.get("ordId") or fill.order_id == number)
        and begin <= fill.time_ns + MILLISECOND_NS <= end
        and asked.now_ns - fill.time_ns < back_ns
    ]
    markets, shown = desk.floor.engine.markets, desk.floor.late_fees.shown
    page = [(bill, shown(NAME, fill)) for bill, fill in _between(asked, rows)]
    return [order_bodies.fill_row(markets[fill.symbol], fill, bill) for bill, fill in page]


# ------------------------------------------------------------------------------------------------------------- account


def balance(asked: Asked) -> Any:
    asked.desk.meter.spend(asked.account.name, "balance", 1, asked.now_ns)
    wanted = str(asked.sent["ccy"]).split(",") if asked.sent.get("ccy") else None
    return [payloads.account(asked.account, asked.now_ns, wanted)]


def config(asked: Asked) -> Any:
    asked.desk.meter.spend(asked.account.name, "config", 1, asked.now_ns)
    return [payloads.config(asked.account)]


def trade_fee(asked: Asked) -> Any:
    """The account's fee rates; a paid fee is negative."""
    asked.desk.meter.spend(asked.account.name, "trade_fee", 1, asked.now_ns)
    if not asked.sent.get("instType"):
        raise missing("instType")
    markets = asked.desk.floor.engine.markets
    named = asked.desk.market(asked.sent["instId"]) if asked.sent.get("instId") else next(iter(markets.values()))
    maker, taker = (order_bodies.fee(rate) for rate in (named.rules.maker_fee, named.rules.taker_fee))
    group = {"elpMaker": "", "rpiMaker": "", "groupId": "1", "maker": maker, "taker": taker}
    empty = dict.fromkeys(("delivery", "exercise", "makerU", "makerUSDC", "takerU", "takerUSDC", "settle"), "")
    row = {"category": "1", "feeGroup": [group], "fiat": [], "instType": "SPOT", "level": "Lv1", "ruleType": "normal"}
    return [empty | row | {"maker": maker, "taker": taker, "ts": payloads.ms(asked.now_ns)}]


def instruments(asked: Asked) -> Any:
    asked.desk.meter.spend(asked.account.name, "account_instruments", 1, asked.now_ns)
    if asked.sent.get("instType", "SPOT") != "SPOT":
        return []
    return [asked.desk.streams.instrument(market) for market in asked.desk.streams.markets.values()]


def account_rate_limit(asked: Asked) -> Any:
    asked.desk.meter.spend(asked.account.name, "account_rate_limit", 1, asked.now_ns)
    limit = str(asked.desk.limits.orders)
    ratios = {"fillRatio": "", "mainFillRatio": "", "nextAccRateLimit": ""}
    return [ratios | {"accRateLimit": limit, "ts": payloads.ms(asked.now_ns)}]


READS: dict[str, Callable[[Asked], Any]] = {
    "account/balance": balance,
    "account/config": config,
    "account/trade-fee": trade_fee,
    "account/instruments": instruments,
    "trade/account-rate-limit": account_rate_limit,
    "trade/order": order,
    "trade/orders-pending": orders_pending,
    "trade/orders-history": orders_history,
    "trade/orders-history-archive": orders_archive,
    "trade/fills": fills,
    "trade/fills-history": fills_history,
}
WRITES: dict[str, Callable[[Asked], Any]] = {
    "trade/order": one(place, "place"),
    "trade/batch-orders": many(place, "place"),
    "trade/cancel-order": one(cancel, "cancel"),
    "trade/cancel-batch-orders": many(cancel, "cancel"),
    "trade/amend-order": one(amend, "amend"),
    "trade/amend-batch-orders": many(amend, "amend"),
    "trade/cancel-all-after": cancel_all_after,
}
PLACES = ("trade/order", "trade/batch-orders")


def perform(answer: Callable[[Asked], Any], key: ApiKey, asked: Asked, trades: bool) -> Any:
    """Execute an authenticated private request.

    Raises:
        ApiError: why it is refused.
    """
    if key.revoked or not (key.can_trade if trades else key.can_read):
        raise ApiError("50120", "This API key doesn't have permission to use this function.")
    return answer(asked)
