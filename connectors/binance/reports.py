"""Read orders, fills, balances and lists from Binance's answers and stream events. Pure.

The codec reads inside `reading`, which turns every error here into DecodeError, also for an order status, side or time
in force that is not in the tables. Events of the stream have letters for names: they are read under REST's names.

Source: enums.md, rest-api.md (Trading and Account endpoints), user-data-stream.md, all read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ...model.events import Side
from ...model.order import OrderStatus, OrderType, TimeInForce
from ..reading import (
    decimal,
    first_of,
    flag,
    identifier,
    known_decimal,
    mapping,
    milliseconds,
    plain_decimal,
    positive_decimal,
    product,
    rows,
    text,
    text_or_none,
)
from ..reports import AccountReport, BalanceChange, BalanceReport, Fees, FillReport, ListReport, OrderReport
from ..spec import named
from ..trading import held

# enums.md, Order status
STATUS = {
    "NEW": OrderStatus.OPEN,
    "PENDING_NEW": OrderStatus.OPEN,  # accepted; waits for the working order of its list
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,  # by self-trade prevention
}  # PENDING_CANCEL is "currently unused": the manual does not define it, so it is not read
# enums.md, Execution types
EXECUTIONS = frozenset({"NEW", "CANCELED", "REPLACED", "REJECTED", "TRADE", "EXPIRED", "TRADE_PREVENTION"})
LIST_STATES = frozenset({"EXECUTING", "ALL_DONE", "REJECT"})  # enums.md, Order List Order Status
SIDE = {"BUY": Side.BUY, "SELL": Side.SELL}
NO_PRICE = frozenset({OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT})
ZERO = Decimal(0)


# user-data-stream.md: what each event must have, and what it may have
EXECUTION = named("symbol=s orderId=i status=X transactTime=T side=S type=o timeInForce=f")
MAYBE = named("origClientOrderId=C clientOrderId=c origQty=q price=p stopPrice=P quoteOrderQty=Q executedQty=z")
MAYBE |= named("cummulativeQuoteQty=Z orderListId=g expiryReason=eR rejectReason=r")
FILL = named("price=L qty=l quoteQty=Y commission=n commissionAsset=N isMaker=m tradeId=t")
LIST = named("orderListId=g symbol=s listOrderStatus=L transactionTime=T listClientOrderId=C")


def _named(
    event: Mapping[str, Any], needed: Mapping[str, str], maybe: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return an event under REST's names. Raises KeyError: the event lacks a field that it must have."""
    found = {name: event[letter] for name, letter in (maybe or {}).items() if letter in event}
    return found | {name: event[letter] for name, letter in needed.items()}


def order(row: dict[str, Any], ts_ns: int | None = None) -> OrderReport:
    """Read one order of an answer: placing (ACK, RESULT or FULL), cancel, query, or an amended order.

    A cancel gives the order the cancel's own client id; the order's original one is `origClientOrderId`.
    """
    kind = OrderType(row["type"]) if "type" in row else None
    if ts_ns is None:
        ts_ns = milliseconds(first_of(row, "transactTime", "updateTime", "time"))
    code, reason = _why(row)
    report = OrderReport(
        symbol=text(row["symbol"]),
        client_order_id=text(row.get("origClientOrderId") or row["clientOrderId"]),
        exchange_order_id=identifier(row["orderId"]),
        status=STATUS[row["status"]] if "status" in row else None,
        ts_event_ns=ts_ns,
        side=SIDE[row["side"]] if "side" in row else None,
        order_type=kind,
        time_in_force=TimeInForce(row["timeInForce"]) if "timeInForce" in row else None,
        amount=positive_decimal(row, "origQty", "qty"),
        price=None if kind in NO_PRICE else positive_decimal(row, "price"),
        stop_price=positive_decimal(row, "stopPrice"),
        quote_amount=positive_decimal(row, "origQuoteOrderQty", "quoteOrderQty"),
        filled=known_decimal(row, "executedQty"),
        quote_filled=known_decimal(row, "cummulativeQuoteQty", "cumulativeQuoteQty"),
        list_id=None if row.get("orderListId", -1) == -1 else identifier(row["orderListId"]),
        code=code,
        reason=reason,
    )
    fills = row.get("fills")
    if not fills:
        return report
    # The order fills at once, so the fills in the answer to a new order are taker fills
    return replace(report, fills=tuple(_fill_of(report, one, False) for one in fills))


def _fill_of(order: OrderReport, row: dict[str, Any], is_maker: bool) -> FillReport:
    """Read one fill of an order's answer or event. Programs that route an order over several books get allocations
    instead of trades (faqs/sor_faq.md, read 2026-11-22)."""
    trade, allocation = row["tradeId"], row.get("allocId")
    is_trade = trade != -1 or allocation is None
    trade_id = identifier(trade) if is_trade else f"allocation-{identifier(allocation)}"
    about = (order.ts_event_ns, order.exchange_order_id, order.side, order.symbol)
    price, amount = decimal(row["price"]), decimal(row["qty"])
    quote = decimal(row["quoteQty"]) if "quoteQty" in row else product(price, amount)
    fee, asset = decimal(row["commission"]), text_or_none(row["commissionAsset"])
    return FillReport(trade_id, price, amount, quote, fee, asset, is_maker, *about)


def orders(answer: Any) -> tuple[tuple[OrderReport, ...], tuple[ListReport, ...]]:
    """Read an order, an order list, or an array of both: the possible answers to a cancel or a cancel of all."""
    if isinstance(answer, list):
        parts = [orders(mapping(row)) for row in answer]
        return tuple(o for found, _ in parts for o in found), tuple(r for _, found in parts for r in found)
    if "orderReports" in answer:
        return tuple(order(row) for row in answer["orderReports"]), (order_list(answer),)
    return (order(answer),), ()


def amended(answer: dict[str, Any]) -> tuple[tuple[OrderReport, ...], tuple[ListReport, ...]]:
    """Read the answer to an amendment, which has the time outside the order."""
    at_ns = milliseconds(answer["transactTime"])
    lists = (order_list(answer["listStatus"], at_ns),) if "listStatus" in answer else ()
    return (order(answer["amendedOrder"], at_ns),), lists


def order_list(row: dict[str, Any], ts_ns: int | None = None) -> ListReport:
    state = row["listOrderStatus"]
    if state not in LIST_STATES:
        raise ValueError(f"order list status {state!r} is not known")
    found = tuple((text(one["clientOrderId"]), identifier(one["orderId"])) for one in row["orders"])
    at_ns = milliseconds(row["transactionTime"]) if ts_ns is None else ts_ns
    list_id = identifier(row["orderListId"])
    return ListReport(list_id, text(row["symbol"]), state, found, at_ns, text(row["listClientOrderId"]))


def trade(row: dict[str, Any]) -> FillReport:
    """Read one row of the account's trades."""
    side = Side.BUY if flag(row["isBuyer"]) else Side.SELL
    about = OrderReport(text(row["symbol"]), "", identifier(row["orderId"]), None, milliseconds(row["time"]), side)
    return _fill_of(about, row | {"tradeId": row["id"], "quoteQty": row["quoteQty"]}, flag(row["isMaker"]))


def account(row: dict[str, Any]) -> AccountReport:
    """Read the account. The request leaves out zero balances, so an asset that the answer does not name is zero."""
    rates = row.get("commissionRates")
    return AccountReport(
        balances=held(rows(row["balances"]), _balance, "asset", milliseconds(row["updateTime"]), whole=True),
        can_trade=flag(row["canTrade"]),
        permissions=tuple(text(one) for one in row["permissions"]),
        maker_fee=None if rates is None else decimal(rates["maker"]),
        taker_fee=None if rates is None else decimal(rates["taker"]),
        account_id=identifier(row["uid"]) if "uid" in row else None,
    )


def _balance(row: dict[str, Any]) -> tuple[str, tuple[Decimal, Decimal]]:
    return text(row["asset"]), (plain_decimal(row["free"]), plain_decimal(row["locked"]))


def fees(pair: str, row: dict[str, Any]) -> Fees:
    """Add up the rates of one pair: standard, special and tax; the higher of buyer's and seller's.

    Source: faqs/commission_faq.md, read 2026-11-22.
    """
    maker = taker = ZERO
    for rates in (row["standardCommission"], row.get("specialCommission") or {}, row.get("taxCommission") or {}):
        side = max(decimal(rates.get("buyer", "0")), decimal(rates.get("seller", "0")))
        maker += decimal(rates.get("maker", "0")) + side
        taker += decimal(rates.get("taker", "0")) + side
    off = row.get("discount") or {}
    words = ""
    if off.get("enabledForAccount") and off.get("enabledForSymbol"):
        words = f"paid in {off['discountAsset']}, the standard part is reduced at the rate {off['discount']}"
    return Fees(pair, maker, taker, "exchange", words)


# The user stream


def execution(event: dict[str, Any]) -> OrderReport:
    """Read an executionReport. `C` is the order's client id where `c` is the id of a request that changed the order.

    TRADE_PREVENTION: self-trade prevention reduced the order, without a fill.
    """
    if event["x"] not in EXECUTIONS:
        raise ValueError(f"execution type {event['x']!r} is not known")
    report = order(_named(event, EXECUTION, MAYBE))
    if event["x"] != "TRADE":
        return report
    fill = _named(event, FILL, {"allocId": "a"})
    return replace(report, fills=(_fill_of(report, fill, flag(fill["isMaker"])),))


def position(event: dict[str, Any]) -> BalanceReport:
    return held(rows(event["B"]), _changed_balance, "a", milliseconds(event["u"]), whole=False)


def _changed_balance(row: dict[str, Any]) -> tuple[str, tuple[Decimal, Decimal]]:
    return text(row["a"]), (plain_decimal(row["f"]), plain_decimal(row["l"]))


def balance_change(event: dict[str, Any]) -> BalanceChange:
    return BalanceChange(text(event["a"]), decimal(event["d"]), milliseconds(event["T"]))


def list_event(event: dict[str, Any]) -> ListReport:
    found = [{"clientOrderId": one["c"], "orderId": one["i"]} for one in event["O"]]
    return order_list(_named(event, LIST) | {"orders": found})


# user-data-stream.md, Order Reject Reason and Order Expiry Reason, in our words
REASONS = {
    "INSUFFICIENT_BALANCES": "not enough funds",
    "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY": "its stop price would trigger at once",
    "WOULD_MATCH_IMMEDIATELY": "a post-only order would have matched at once",
    "OCO_BAD_PRICES": "the prices of the list are not in the right order",
    "REJECTED": "a contingent order was rejected at placement",
    "EXCHANGE_CANCELED": "canceled by the exchange",
    "OCO_TRIGGER": "the other order of the pair started working, or the list expired",
    "OTO_PHASE_ONE_EXPIRED": "the working order of its list expired",
    "UNFILLED_IOC_QUANTITY_EXPIRED": "IOC: the rest was not filled at once",
    "UNFILLED_FOK_ORDER_EXPIRED": "FOK: not all of it could be filled at once",
    "INSUFFICIENT_LIQUIDITY": "not enough orders to match with",
    "EXECUTION_RULE_PRICE_RANGE_EXCEEDED": "it would have traded outside the allowed price range",
}


def _why(row: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return why an order was rejected, or why it expired: the exchange's code, and our words."""
    rejected, expired = text_or_none(row.get("rejectReason")) or "NONE", row.get("expiryReason")
    if rejected != "NONE":
        return rejected, REASONS.get(rejected, f"rejected: {rejected}")
    code = expired if isinstance(expired, str) and expired != "NONE" else None
    if row.get("status") == "EXPIRED_IN_MATCH":
        return code or "EXPIRED_IN_MATCH", "self-trade prevention"
    return code, None if code is None else REASONS.get(code, code)
