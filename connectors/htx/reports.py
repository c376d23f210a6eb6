"""Read orders, fills and balances from HTX's answers and private topics. Pure.

The codec reads inside `reading`, which turns every error here into DecodeError, also for a state or type that is not in
the tables. Numbers are text.

Source: private_rest_api.md and private_websocket_api.md of rosssaunders/coincise, docs/htx/spot (2025-11), read
2026-11-28; the endpoints and topics are named where they are read.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from ...model.events import Side
from ...model.order import Fee, OrderStatus, OrderType, TimeInForce
from ..reading import (
    EXACT,
    decimal,
    digits,
    first_of,
    flag,
    integer,
    milliseconds,
    plain_decimal,
    product,
    rows,
    text,
    text_or_none,
)
from ..reports import AccountReport, BalanceReport, Fees, FillReport, OrderReport
from ..trading import held

STATUS = {  # Trading, order state
    "created": OrderStatus.OPEN,
    "submitted": OrderStatus.OPEN,
    "partial-filled": OrderStatus.PARTIALLY_FILLED,
    "filled": OrderStatus.FILLED,
    "partial-canceled": OrderStatus.CANCELED,
    "canceling": OrderStatus.OPEN,
    "canceled": OrderStatus.CANCELED,
}
SIDE = {"buy": Side.BUY, "sell": Side.SELL}
# Trading, order type. The last five cannot be placed here; orders of other programs may have them.
TYPES: dict[str, tuple[OrderType, TimeInForce | None]] = {
    "limit": (OrderType.LIMIT, TimeInForce.GTC),
    "ioc": (OrderType.LIMIT, TimeInForce.IOC),
    "limit-fok": (OrderType.LIMIT, TimeInForce.FOK),
    "limit-maker": (OrderType.LIMIT_MAKER, TimeInForce.GTC),
    "market": (OrderType.MARKET, None),
    "stop-limit": (OrderType.LIMIT, TimeInForce.GTC),
    "stop-limit-fok": (OrderType.LIMIT, TimeInForce.FOK),
    "limit-grid": (OrderType.LIMIT, TimeInForce.GTC),
    "market-grid": (OrderType.MARKET, None),
}
LEFT = {  # what the exchange does with the rest of an order of these terms; a client cannot cancel such an order
    TimeInForce.IOC: "the rest was not filled at once",
    TimeInForce.FOK: "FOK: not all of it could be filled at once",
    None: "the rest was not filled at once",
}
SPOT, WORKING = "spot", "working"
DONE = "done"  # the state of a deduction of fees


def terms(written: Any) -> tuple[Side, OrderType, TimeInForce | None]:
    """Read an order's type, such as "buy-limit-maker"."""
    side, _, kind = text(written).partition("-")
    return SIDE[side], *TYPES[kind]


def number_of(value: Any) -> str:
    """Read an id: a JSON integer, or its digits as text."""
    found = digits(value) if isinstance(value, str) else integer(value)
    if not found:
        raise ValueError("not an id")
    return str(found)


def order(row: dict[str, Any]) -> OrderReport:
    """Read one order of an answer (/v1/order/orders/{order-id}, /v1/order/openOrders, /v1/order/orders).

    `amount` of a market buy is in quote.
    """
    side, kind, force = terms(row["type"])
    is_market = kind is OrderType.MARKET
    in_quote = is_market and side is Side.BUY
    size, filled = plain_decimal(row["amount"]), plain_decimal(first_of(row, "field-amount", "filled-amount"))
    times = [
        milliseconds(row[name]) for name in ("created-at", "updated-at", "finished-at", "canceled-at") if row.get(name)
    ]
    status, reason = _ended(STATUS[row["state"]], filled, force)
    return OrderReport(
        symbol=text(row["symbol"]),
        client_order_id=_client_id(row.get("client-order-id")),
        exchange_order_id=number_of(row["id"]),
        status=status,
        ts_event_ns=max(times),
        side=side,
        order_type=kind,
        time_in_force=force,
        amount=None if in_quote else size,
        price=None if is_market else plain_decimal(row["price"]),
        quote_amount=size if in_quote else None,
        filled=filled,
        quote_filled=plain_decimal(first_of(row, "field-cash-amount", "filled-cash-amount")),
        code=None if reason is None else row["state"],
        reason=reason,
    )


def _ended(status: OrderStatus, filled: Decimal | None, force: TimeInForce | None) -> tuple[OrderStatus, str | None]:
    """Return the status of an order with these terms, and why the exchange ended it."""
    if status is OrderStatus.CANCELED and force is not TimeInForce.GTC:
        return OrderStatus.EXPIRED, LEFT[force]
    if status is OrderStatus.OPEN and filled:
        return OrderStatus.PARTIALLY_FILLED, None
    return status, None


def _client_id(value: Any) -> str:
    return text_or_none(value) or ""


def fill(row: dict[str, Any]) -> FillReport:
    """Read one match result (/v1/order/matchresults, /v1/order/orders/{order-id}/matchresults)."""
    side, _, _ = terms(row["type"])
    fee, more = _charged(row, "filled-fees", "fee-currency", "filled-points", "fee-deduct-currency")
    if text_or_none(row.get("fee-deduct-state")) not in (None, DONE):
        fee, more = None, ()  # the deduction is not complete
    role = text(row["role"])
    if role not in ("maker", "taker"):
        raise ValueError(f"the role {role!r}")
    return FillReport(
        trade_id=number_of(row["trade-id"]),
        price=plain_decimal(row["price"]),
        amount=plain_decimal(row["filled-amount"]),
        quote_amount=product(plain_decimal(row["price"]), plain_decimal(row["filled-amount"])),
        fee=None if fee is None else fee.amount,
        fee_asset=None if fee is None else fee.asset,
        is_maker=role == "maker",
        ts_event_ns=milliseconds(row["created-at"]),
        exchange_order_id=number_of(row["order-id"]),
        side=side,
        symbol=text(row["symbol"]),
        more_fees=more,
    )


def _charged(
    row: dict[str, Any], amount: str, asset: str, deducted: str, deducted_asset: str
) -> tuple[Fee | None, tuple[Fee, ...]]:
    """Read a fee, positive if it is paid, and one that was deducted from HTX or points instead; None: not stated."""
    fees = []
    for value, name in ((amount, asset), (deducted, deducted_asset)):
        written, currency = text_or_none(row.get(value)), text_or_none(row.get(name))
        if written is not None and currency is not None:
            fees.append(Fee(currency.upper(), decimal(written)))
    paid = [fee for fee in fees if fee.amount] or fees[:1]
    return (paid[0] if paid else None), tuple(paid[1:])


def account_of(listed: Any) -> tuple[str, bool]:
    """Return the id of the spot account, and whether it may trade (/v1/account/accounts)."""
    (found,) = [row for row in rows(listed) if row["type"] == SPOT]
    return number_of(found["id"]), text(found["state"]) == WORKING


def account(data: dict[str, Any], number: str) -> AccountReport:
    """Read balances (/v1/account/accounts/{account-id}/balance). The answer states neither the key's permissions nor a
    time."""
    if number_of(data["id"]) != number or data["type"] != SPOT:
        raise ValueError(f"balances of the account {data['id']!r}")
    may_trade = text(data["state"]) == WORKING
    return AccountReport(balances(data["list"]), may_trade, ("SPOT",), None, None, number)


def balances(listed: Any) -> BalanceReport:
    """Read the rows of each currency: `trade` is free, `frozen` and `lock` are locked."""
    by_currency: dict[Any, list[Any]] = {}
    for row in rows(listed):
        by_currency.setdefault(_asset(row), []).append(row)
    grouped = [{"currency": name, "rows": found} for name, found in by_currency.items()]
    return held(grouped, lambda one: (text(one["currency"]), _amounts(one["rows"])), "currency", 0, True)


def _asset(row: Any) -> Any:
    return row["currency"].upper() if isinstance(row, dict) and isinstance(row.get("currency"), str) else None


def _amounts(found: Iterable[dict[str, Any]]) -> tuple[Decimal, Decimal]:
    free = locked = Decimal(0)
    for row in found:
        kind, amount = text(row["type"]), row["balance"]
        if kind == "trade":
            free = EXACT.add(free, plain_decimal(amount))
        elif kind in ("frozen", "lock"):
            locked = EXACT.add(locked, plain_decimal(amount))
    return free, locked


def fees(pair: str, listed: Any) -> Fees:
    """Read the fee rates of one pair (/v2/reference/transact-fee-rate); a negative rate is a rebate."""
    (row,) = rows(listed)
    maker, taker = decimal(row["makerFeeRate"]), decimal(row["takerFeeRate"])
    paid = decimal(row["actualMakerRate"]), decimal(row["actualTakerRate"])
    discount = "" if paid == (maker, taker) else f"with the deduction {paid[0]:f} and {paid[1]:f}"
    return Fees(pair, maker, taker, "exchange", discount)


# The private websocket


def pushed_order(data: dict[str, Any]) -> OrderReport:
    """Read an event of `orders#*`: a creation, a trade without its fee, or a cancellation.

    `orderSize` is missing for a market buy, whose `execAmt` is in quote.
    """
    side, kind, force = terms(data["type"])
    is_market = kind is OrderType.MARKET
    in_quote = is_market and side is Side.BUY
    event = text(data["eventType"])
    fills = (_pushed_fill(data, side),) if event == "trade" else ()
    done = None if event == "creation" else plain_decimal(data["execAmt"])
    status, reason = _ended(STATUS[data["orderStatus"]], done, force)
    at = {"creation": "orderCreateTime", "trade": "tradeTime", "cancellation": "lastActTime"}[event]
    return OrderReport(
        symbol=text(data["symbol"]),
        client_order_id=_client_id(data.get("clientOrderId")),
        exchange_order_id=number_of(data["orderId"]),
        status=status,
        ts_event_ns=milliseconds(data[at]),
        side=side,
        order_type=kind,
        time_in_force=force,
        amount=None if in_quote else plain_decimal(data["orderSize"]),
        price=None if is_market else plain_decimal(data["orderPrice"]),
        quote_amount=plain_decimal(data["orderValue"]) if in_quote else None,
        filled=None if in_quote else done,
        quote_filled=done if in_quote else None,
        fills=fills,
        code=None if reason is None else data["orderStatus"],
        reason=reason,
    )


def _pushed_fill(data: dict[str, Any], side: Side, fee: Fee | None = None, more: tuple[Fee, ...] = ()) -> FillReport:
    price, amount = plain_decimal(data["tradePrice"]), plain_decimal(data["tradeVolume"])
    return FillReport(
        trade_id=number_of(data["tradeId"]),
        price=price,
        amount=amount,
        quote_amount=product(price, amount),
        fee=None if fee is None else fee.amount,
        fee_asset=None if fee is None else fee.asset,
        is_maker=not flag(data["aggressor"]),
        ts_event_ns=milliseconds(data["tradeTime"]),
        exchange_order_id=number_of(data["orderId"]),
        side=side,
        symbol=text(data["symbol"]),
        more_fees=more,
    )


def clearing(data: dict[str, Any]) -> OrderReport:
    """Read a fill with its fee of `trade.clearing`, as a report on its order without a state: its order among other
    events is not guaranteed."""
    side = SIDE[data["orderSide"]]
    made = _pushed_fill(data, side, *_charged(data, "transactFee", "feeCurrency", "feeDeduct", "feeDeductType"))
    client_id = _client_id(data.get("clientOrderId"))
    return OrderReport(made.symbol, client_id, made.exchange_order_id, None, made.ts_event_ns, side=side, fills=(made,))


def balance(data: dict[str, Any]) -> BalanceReport:
    """Read a change of `accounts.update#2`, which has the balance and its available part. The first message of a
    currency, after the subscription, states no time."""
    total, free = plain_decimal(data["balance"]), plain_decimal(data["available"])
    if free > total:
        raise ValueError("the available amount is above the balance")
    at_ns = 0 if data.get("changeTime") is None else milliseconds(data["changeTime"])
    return BalanceReport({text(data["currency"]).upper(): (free, EXACT.subtract(total, free))}, False, at_ns)
