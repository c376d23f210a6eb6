"""Reads orders, fills, balances and fees from Kraken's REST answers.

Source: rest-api/get-open-orders, get-closed-orders, get-orders-info, get-trade-history, get-extended-balance,
get-trade-volume of docs.kraken.com, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from ...model.events import Side
from ...model.order import OrderStatus, OrderType, TimeInForce
from ...model.time import SECOND_NS
from ..reading import decimal, flag, integer, number, plain_decimal, text
from ..reports import AccountReport, Fees, FillReport, OrderReport
from ..trading import held
from ..uuid_ids import unpacked

STATUS = {
    "pending": OrderStatus.OPEN,  # "order pending book entry"
    "open": OrderStatus.OPEN,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
}
SIDE = {"buy": Side.BUY, "sell": Side.SELL}
TYPES = {
    "limit": OrderType.LIMIT,
    "market": OrderType.MARKET,
    "stop-loss": OrderType.STOP_LOSS,
    "stop-loss-limit": OrderType.STOP_LOSS_LIMIT,
    "take-profit": OrderType.TAKE_PROFIT,
    "take-profit-limit": OrderType.TAKE_PROFIT_LIMIT,
}
# Orders of these types come from other programs: their type stays unknown
OTHER_TYPES = frozenset({"iceberg", "trailing-stop", "trailing-stop-limit", "settle-position"})
FORCES = {force.value: force for force in (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)}
HUNDRED = Decimal(100)

Symbol = Callable[[str], str]


def time_ns(value: Any) -> int:
    """Read a time in seconds with a fraction, as a JSON number; return nanoseconds since the Unix epoch."""
    return integer(int(Decimal(number(value)) * SECOND_NS))


def order_type(kind: str, is_post_only: bool) -> OrderType | None:
    if kind in OTHER_TYPES:
        return None
    found = TYPES[kind]
    return OrderType.LIMIT_MAKER if is_post_only and found is OrderType.LIMIT else found


def order(txid: str, row: dict[str, Any], symbol: Symbol) -> OrderReport:
    """Read one order of OpenOrders, ClosedOrders or QueryOrders."""
    described, status = row["descr"], STATUS[text(row["status"])]
    flags = text(row["oflags"]).split(",")
    filled, amount = plain_decimal(row["vol_exec"]), plain_decimal(row["vol"])
    if status is OrderStatus.OPEN and filled:
        status = OrderStatus.PARTIALLY_FILLED
    reason = row.get("reason")
    kind = text(described["ordertype"])
    in_quote, of_type = "viqc" in flags, order_type(kind, "post" in flags)
    stop, price = None, None
    if of_type is not None and of_type.has_stop:
        stop = plain_decimal(described["price"])
    if of_type is not None and of_type.has_price:
        price = plain_decimal(described["price" if stop is None else "price2"])
    return OrderReport(
        symbol=symbol(text(described["pair"])),
        client_order_id=client_id(row) or "",
        exchange_order_id=text(txid),
        status=status,
        ts_event_ns=time_ns(row["closetm"] if "closetm" in row else row["opentm"]),
        side=SIDE[described["type"]],
        order_type=of_type,
        amount=None if in_quote else amount,
        price=price,
        stop_price=stop,
        quote_amount=amount if in_quote else None,
        filled=filled,
        quote_filled=plain_decimal(row["cost"]),
        code=None if reason is None else status.value.lower(),
        reason=None if reason is None else text(reason),
    )


def client_id(row: dict[str, Any]) -> str | None:
    """Read the client id of an order; None if it has none."""
    packed = row.get("cl_ord_id")
    return None if packed is None else unpacked(text(packed))


def fill(trade_id: str, row: dict[str, Any], symbol: Symbol, quote: Callable[[str], str]) -> FillReport:
    """Read one fill of TradesHistory. Its fee is in the quote currency."""
    name = symbol(text(row["pair"]))
    return FillReport(
        trade_id=text(trade_id),
        price=plain_decimal(row["price"]),
        amount=plain_decimal(row["vol"]),
        quote_amount=plain_decimal(row["cost"]),
        fee=decimal(row["fee"]),
        fee_asset=quote(name),
        is_maker=flag(row["maker"]),
        ts_event_ns=time_ns(row["time"]),
        exchange_order_id=text(row["ordertxid"]),
        side=SIDE[row["type"]],
        symbol=name,
    )


def account(result: dict[str, Any], asset: Callable[[str], str]) -> AccountReport:
    """Read BalanceEx: "available balance = balance + credit - credit_used - hold_trade". The answer does not state the
    key's permissions, nor a time."""
    named = [(asset(name), row) for name, row in result.items()]
    return AccountReport(held(named, _balance, 0, 0, whole=True), True, (), None, None)


def _balance(named: tuple[str, dict[str, Any]]) -> tuple[str, tuple[Decimal, Decimal]]:
    name, row = named
    locked = plain_decimal(row["hold_trade"])
    credit = plain_decimal(row.get("credit", "0")) - plain_decimal(row.get("credit_used", "0"))
    return name, (decimal(row["balance"]) + credit - locked, locked)


def fees(pair: str, result: dict[str, Any]) -> Fees:
    """Read TradeVolume of one pair, in percent. A pair without separate maker fees has one fee."""
    (taker,) = result["fees"].values()
    (maker,) = (result.get("fees_maker") or result["fees"]).values()
    return Fees(pair, decimal(maker["fee"]) / HUNDRED, decimal(taker["fee"]) / HUNDRED, "exchange")
