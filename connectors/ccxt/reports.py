"""Read orders, fills and balances from ccxt's unified structures. Pure; every number is text (`number = str`).

Orders and balances are undated: a class of ccxt may state the exchange's time, one in whole seconds, or the time at
which it read the message, and the structure does not state which.

Source: docs.ccxt.com, structures of orders, trades, balances and fees, ccxt 4.5.90, read 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ...model.events import Side
from ...model.order import Fee, OrderStatus, OrderType, TimeInForce
from ..reading import mapping, milliseconds, plain_decimal, product, rows, text
from ..reports import AccountReport, BalanceReport, Fees, FillReport, OrderReport
from ..uuid_ids import unpacked

STATUS = {
    "open": OrderStatus.OPEN,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "cancelled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}
SIDE = {"buy": Side.BUY, "sell": Side.SELL}
FORCE = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK}
MAKER = {"maker": True, "taker": False}


def number(value: Any) -> Decimal | None:
    """Read a number that ccxt may leave out. A whole number may be a JSON integer."""
    if value is None:
        return None
    return plain_decimal(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def time_ns(value: Any, otherwise_ns: int) -> int:
    return otherwise_ns if value is None else milliseconds(value)


def order(row: Mapping[str, Any], at_ns: int, client_order_id: str | None = None) -> OrderReport:
    """Read an order. A status that ccxt does not state is None; an order that is closed but not full was cancelled."""
    stated, kind, force = row.get("status"), row.get("type"), row.get("timeInForce")
    amount, filled, price = number(row.get("amount")), number(row.get("filled")), number(row.get("price"))
    status = None if stated in (None, "canceling") else STATUS[text(stated)]
    if status is OrderStatus.OPEN and filled:
        status = OrderStatus.PARTIALLY_FILLED
    if status is OrderStatus.FILLED and filled is not None and amount is not None and filled < amount:
        status = OrderStatus.CANCELED
    order_type = {"limit": OrderType.LIMIT, "market": OrderType.MARKET}.get(kind) if isinstance(kind, str) else None
    if order_type is OrderType.LIMIT and (row.get("postOnly") is True or force == "PO"):
        order_type = OrderType.LIMIT_MAKER
    if status is OrderStatus.CANCELED and (order_type is OrderType.MARKET or force in ("IOC", "FOK")):
        status = OrderStatus.EXPIRED  # ccxt has one word for both; the terms of such an order end it
    ended = None
    if status is OrderStatus.REJECTED or (order_type is OrderType.LIMIT_MAKER and status is OrderStatus.CANCELED):
        ended = f"the order was {stated}; ccxt does not state why"
    given = text(row.get("clientOrderId") or "")
    return OrderReport(
        symbol=text(row["symbol"]),
        client_order_id=client_order_id or unpacked(given),
        exchange_order_id=text(row["id"]),
        status=status,
        ts_event_ns=time_ns(row.get("lastUpdateTimestamp") or row.get("lastTradeTimestamp"), at_ns),
        side=SIDE.get(row.get("side") or ""),
        order_type=order_type,
        time_in_force=FORCE.get(force or ""),
        amount=amount or None,
        price=(price or None) if order_type is not OrderType.MARKET else None,
        filled=filled,
        # Not `cost`: for an order by quote amount ccxt states what was to be spent at some exchanges
        code=None if ended is None else stated,
        reason=ended,
        is_dated=False,
    )


def fill(row: Mapping[str, Any]) -> FillReport:
    price, amount = number(row["price"]), number(row["amount"])
    if price is None or amount is None:
        raise ValueError("a trade without a price or an amount")
    first, *more = _fees(row) or [(None, None)]
    return FillReport(
        trade_id=text(row["id"]),
        price=price,
        amount=amount,
        quote_amount=product(price, amount),
        fee=first[0],
        fee_asset=first[1],
        is_maker=MAKER.get(row.get("takerOrMaker") or ""),
        ts_event_ns=milliseconds(row["timestamp"]),
        exchange_order_id=text(row.get("order") or ""),
        side=SIDE[text(row["side"])],
        symbol=text(row["symbol"]),
        more_fees=tuple(Fee(asset, cost) for cost, asset in more if cost is not None and asset is not None),
    )


def _fees(row: Mapping[str, Any]) -> list[tuple[Decimal | None, str | None]]:
    listed = [mapping(one) for one in rows(row.get("fees") or [])] or [mapping(row.get("fee") or {})]
    return [
        (number(one["cost"]), text(one["currency"]))
        for one in listed
        if one.get("cost") is not None and one.get("currency")
    ]


def balances(found: Mapping[str, Any], whole: bool) -> BalanceReport:
    """Read `free` and `used` of each asset; an asset without both keeps its last balances."""
    read: dict[str, tuple[Decimal, Decimal]] = {}
    unread: list[str] = []
    free, used, total = (mapping(found.get(name) or {}) for name in ("free", "used", "total"))
    for asset in dict.fromkeys((*free, *used, *total)):
        left, locked, all_of = number(free.get(asset)), number(used.get(asset)), number(total.get(asset))
        if left is None and all_of is not None and locked is not None:
            left = all_of - locked
        if locked is None and all_of is not None and left is not None:
            locked = all_of - left
        if left is None:
            unread.append(asset)
        else:
            read[asset] = (left, locked or Decimal(0))
    return BalanceReport(read, whole, 0, tuple(unread))


def account(found: Mapping[str, Any]) -> AccountReport:
    """Read the balances. ccxt does not state the key's permissions; orders of a read-only key are refused."""
    return AccountReport(balances(found, True), True, ("SPOT",), None, None)


def fees(pair: str, row: Mapping[str, Any]) -> Fees:
    maker, taker = number(row["maker"]), number(row["taker"])
    if maker is None or taker is None:
        raise ValueError("a fee without rates")
    return Fees(pair, maker, taker, "exchange")
