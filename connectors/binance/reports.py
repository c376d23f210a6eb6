"""Read orders, fills, balances and lists from Binance's answers and stream events. Pure.

The codec reads inside `reading`, which turns every error here into DecodeError, also for an order status, side or time
in force that is not in the tables.

Source: enums.md, rest-api.md (Trading and Account endpoints), user-data-stream.md, all read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ...model.events import Side
from ...model.order import OrderStatus, OrderType, TimeInForce
from ..reading import (
    decimal,
    each_row,
    flag,
    identifier,
    known_decimal,
    milliseconds,
    plain_decimal,
    positive_decimal,
    rows,
    text,
)
from ..reports import AccountReport, BalanceChange, BalanceReport, Fees, FillReport, ListReport, OrderReport

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


def order(row: dict[str, Any], ts_ns: int | None = None) -> OrderReport:
    """Read one order of an answer: placing (ACK, RESULT or FULL), cancel, query, or an amended order.

    A cancel gives the order the cancel's own client id; the order's original one is `origClientOrderId`.
    """
    kind = OrderType(row["type"]) if "type" in row else None
    if ts_ns is None:
        ts_ns = milliseconds(next(row[key] for key in ("transactTime", "updateTime", "time") if key in row))
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
        list_id=_list_id(row.get("orderListId", -1)),
        fills=(),
        code=_why(row.get("status"), row.get("expiryReason")),
        reason=_reason(row.get("status"), row.get("expiryReason")),
    )
    return report if not row.get("fills") else _with_fills(report, row["fills"])


def _with_fills(report: OrderReport, rows: Sequence[dict[str, Any]]) -> OrderReport:
    """The fills in the answer to a new order. They are taker fills, because the order fills at once."""
    fills = tuple(
        FillReport(
            trade_id=_trade_id(row["tradeId"], row.get("allocId")),
            price=(price := decimal(row["price"])),
            amount=(amount := decimal(row["qty"])),
            quote_amount=price * amount,
            fee=decimal(row["commission"]),
            fee_asset=text(row["commissionAsset"]),
            is_maker=False,
            ts_event_ns=report.ts_event_ns,
            exchange_order_id=report.exchange_order_id,
            side=report.side,
            symbol=report.symbol,
        )
        for row in rows
    )
    return replace(report, fills=fills)


def orders(answer: Any) -> tuple[tuple[OrderReport, ...], tuple[ListReport, ...]]:
    """Read an order, an order list, or an array of both: the possible answers to a cancel or a cancel of all."""
    if isinstance(answer, list):
        parts = [orders(row) for row in answer]
        return tuple(o for found, _ in parts for o in found), tuple(r for _, found in parts for r in found)
    if "orderReports" in answer:
        return tuple(order(row) for row in answer["orderReports"]), (order_list(answer),)
    return (order(answer),), ()


def amended(answer: dict[str, Any]) -> tuple[tuple[OrderReport, ...], tuple[ListReport, ...]]:
    """Read the answer to an amendment; the time is beside the order."""
    at_ns = milliseconds(answer["transactTime"])
    lists = (order_list(answer["listStatus"], at_ns),) if "listStatus" in answer else ()
    return (order(answer["amendedOrder"], at_ns),), lists


def order_list(row: dict[str, Any], ts_ns: int | None = None) -> ListReport:
    return ListReport(
        list_id=identifier(row["orderListId"]),
        symbol=text(row["symbol"]),
        state=_state(row["listOrderStatus"]),
        orders=tuple((text(one["clientOrderId"]), identifier(one["orderId"])) for one in row["orders"]),
        ts_event_ns=milliseconds(row["transactionTime"]) if ts_ns is None else ts_ns,
        client_list_id=text(row["listClientOrderId"]),
    )


def trade(row: dict[str, Any]) -> FillReport:
    """Read one row of the account's trades."""
    return FillReport(
        trade_id=identifier(row["id"]),
        price=decimal(row["price"]),
        amount=decimal(row["qty"]),
        quote_amount=decimal(row["quoteQty"]),
        fee=decimal(row["commission"]),
        fee_asset=text(row["commissionAsset"]),
        is_maker=flag(row["isMaker"]),
        ts_event_ns=milliseconds(row["time"]),
        exchange_order_id=identifier(row["orderId"]),
        side=Side.BUY if flag(row["isBuyer"]) else Side.SELL,
        symbol=text(row["symbol"]),
    )


def account(row: dict[str, Any]) -> AccountReport:
    """Read the account. The request leaves out zero balances, so an asset that the answer does not name is zero, unless
    a row names no asset."""
    held, left_out = each_row(rows(row["balances"]), _balance, lambda one: text(one["asset"]))
    unread = tuple(one.name for one in left_out if one.name is not None)
    whole = len(unread) == len(left_out)
    rates = row.get("commissionRates")
    return AccountReport(
        balances=BalanceReport(dict(held), whole, milliseconds(row["updateTime"]), unread),
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
    kind = OrderType(event["o"])
    fills = (_execution_fill(event),) if event["x"] == "TRADE" else ()
    why, rejected = event.get("eR"), event.get("r", "NONE")
    return OrderReport(
        symbol=text(event["s"]),
        client_order_id=text(event.get("C") or event["c"]),
        exchange_order_id=identifier(event["i"]),
        status=STATUS[event["X"]],
        ts_event_ns=milliseconds(event["T"]),
        side=SIDE[event["S"]],
        order_type=kind,
        time_in_force=TimeInForce(event["f"]),
        amount=positive_decimal(event, "q"),
        price=None if kind in NO_PRICE else positive_decimal(event, "p"),
        stop_price=positive_decimal(event, "P"),
        quote_amount=positive_decimal(event, "Q"),
        filled=known_decimal(event, "z"),
        quote_filled=known_decimal(event, "Z"),
        list_id=_list_id(event.get("g", -1)),
        fills=fills,
        code=rejected if rejected != "NONE" else _why(event["X"], why),
        reason=REJECT_REASONS.get(rejected, f"rejected: {rejected}")
        if rejected != "NONE"
        else _reason(event["X"], why),
    )


def _execution_fill(event: dict[str, Any]) -> FillReport:
    return FillReport(
        trade_id=_trade_id(event["t"], event.get("a")),
        price=decimal(event["L"]),
        amount=decimal(event["l"]),
        quote_amount=decimal(event["Y"]),
        fee=decimal(event["n"]),
        fee_asset=None if event["N"] is None else text(event["N"]),
        is_maker=flag(event["m"]),
        ts_event_ns=milliseconds(event["T"]),
        exchange_order_id=identifier(event["i"]),
        side=SIDE[event["S"]],
        symbol=text(event["s"]),
    )


def position(event: dict[str, Any]) -> BalanceReport:
    rows = {text(row["a"]): (decimal(row["f"]), decimal(row["l"])) for row in event["B"]}
    return BalanceReport(rows, False, milliseconds(event["u"]))


def balance_change(event: dict[str, Any]) -> BalanceChange:
    return BalanceChange(text(event["a"]), decimal(event["d"]), milliseconds(event["T"]))


def list_event(event: dict[str, Any]) -> ListReport:
    return ListReport(
        list_id=identifier(event["g"]),
        symbol=text(event["s"]),
        state=_state(event["L"]),
        orders=tuple((text(one["c"]), identifier(one["i"])) for one in event["O"]),
        ts_event_ns=milliseconds(event["T"]),
        client_list_id=text(event["C"]),
    )


# user-data-stream.md, Order Reject Reason, in our words
REJECT_REASONS = {
    "INSUFFICIENT_BALANCES": "not enough funds",
    "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY": "its stop price would trigger at once",
    "WOULD_MATCH_IMMEDIATELY": "a post-only order would have matched at once",
    "OCO_BAD_PRICES": "the prices of the list are not in the right order",
}
# user-data-stream.md, Order Expiry Reason, in our words
EXPIRY_REASONS = {
    "REJECTED": "a contingent order was rejected at placement",
    "EXCHANGE_CANCELED": "canceled by the exchange",
    "OCO_TRIGGER": "the other order of the pair started working, or the list expired",
    "OTO_PHASE_ONE_EXPIRED": "the working order of its list expired",
    "UNFILLED_IOC_QUANTITY_EXPIRED": "IOC: the rest was not filled at once",
    "UNFILLED_FOK_ORDER_EXPIRED": "FOK: not all of it could be filled at once",
    "INSUFFICIENT_LIQUIDITY": "not enough orders to match with",
    "EXECUTION_RULE_PRICE_RANGE_EXCEEDED": "it would have traded outside the allowed price range",
}
PREVENTED = "EXPIRED_IN_MATCH"


def _why(status: Any, expiry: Any) -> str | None:
    if isinstance(expiry, str) and expiry != "NONE":
        return expiry
    return PREVENTED if status == PREVENTED else None


def _reason(status: Any, expiry: Any) -> str | None:
    if status == PREVENTED:
        return "self-trade prevention"
    why = _why(status, expiry)
    return None if why is None else EXPIRY_REASONS.get(why, why)


def _state(value: Any) -> str:
    if value not in LIST_STATES:
        raise ValueError(f"order list status {value!r} is not known")
    return str(value)


def _trade_id(trade: Any, allocation: Any) -> str:
    """Return the id of a trade, or of an allocation where the exchange routed the order over several books.

    Other programs on the same account may place such orders. Source: faqs/sor_faq.md, read 2026-11-22.
    """
    return f"allocation-{identifier(allocation)}" if trade == -1 and allocation is not None else identifier(trade)


def _list_id(value: Any) -> str | None:
    return None if value == -1 else identifier(value)
