"""Reads orders, fills, balances and fees from Coinbase Exchange's REST answers. Pure.

The codec reads inside `reading`, which turns every error here into DecodeError, also for a status or side that is not
in the tables.

Source: "rest" as in `spec.py`: Create a new order, Get single order, Get all fills; Get all accounts for a profile, Get
fees (docs.cdp.coinbase.com/api-reference/exchange-api/rest-api); read 2026-11-28.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ...model.events import Side
from ...model.order import OrderStatus, OrderType, TimeInForce
from ..reading import decimal, flag, identifier, plain_decimal, product, rfc3339, text, text_or_none
from ..reports import AccountReport, Fees, FillReport, OrderReport
from ..trading import held
from ..uuid_ids import unpacked

PENDING = frozenset({"pending", "received"})  # taken, and not processed yet
OPEN = PENDING | {"open", "active"}  # a stop order that waits is active
ENDED = {"filled": OrderStatus.FILLED, "canceled": OrderStatus.CANCELED}
SIDE = {"buy": Side.BUY, "sell": Side.SELL}
MAKER = {"M": True, "T": False}
FORCES = {force.value: force for force in (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)}


def order(row: dict[str, Any]) -> OrderReport:
    """Read one order. Orders with a stop or another time in force come from other programs."""
    status = text(row["status"])
    filled, size = plain_decimal(row["filled_size"]), _amount(row, "size")
    kind = order_type(row)
    reason = text_or_none(row.get("reject_reason"))
    if status in OPEN:
        found = OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.OPEN
    elif status == "rejected":
        found = OrderStatus.REJECTED
    elif status == "done":
        found = ENDED[row["done_reason"]]
        if found is OrderStatus.FILLED and size is not None and filled < size:
            found = OrderStatus.EXPIRED  # self-trade prevention took the rest
    else:
        raise ValueError(f"status {status!r} is not known")
    return OrderReport(
        symbol=text(row["product_id"]),
        client_order_id=client_id(row) or "",
        exchange_order_id=text(row["id"]),
        status=found,
        ts_event_ns=rfc3339(row["done_at"] if row.get("done_at") else row["created_at"]),
        side=SIDE[row["side"]],
        order_type=kind,
        time_in_force=FORCES.get(row.get("time_in_force") or ""),
        amount=size if kind is not OrderType.MARKET or "specified_funds" not in row else None,
        price=None if kind is OrderType.MARKET else _amount(row, "price"),
        stop_price=_amount(row, "stop_price"),
        quote_amount=_amount(row, "specified_funds") if kind is OrderType.MARKET else None,
        filled=filled,
        quote_filled=plain_decimal(row["executed_value"]),
        code=None if reason is None else "rejected",
        reason=reason,
        is_dated=status not in PENDING,
    )


def order_type(row: dict[str, Any]) -> OrderType | None:
    """Return an order's type; None for a stop order."""
    kind = text(row["type"])
    if row.get("stop") or kind not in ("limit", "market"):
        return None
    if kind == "market":
        return OrderType.MARKET
    is_maker = row.get("post_only") is not None and flag(row["post_only"])
    return OrderType.LIMIT_MAKER if is_maker else OrderType.LIMIT


def client_id(row: dict[str, Any]) -> str | None:
    """Read the client id of an order; None if it has none."""
    sent = text_or_none(row.get("client_oid"))
    return None if sent is None else unpacked(sent)


def _amount(row: dict[str, Any], name: str) -> Decimal | None:
    """Read a number above zero; None if the field is missing or zero."""
    return (plain_decimal(row[name]) or None) if row.get(name) else None


def fill(row: dict[str, Any]) -> FillReport:
    """Read one fill. Its fee, in the quote currency, is final when the fill is settled (Settlement and Fees)."""
    price, amount = plain_decimal(row["price"]), plain_decimal(row["size"])
    symbol = text(row["product_id"])
    is_settled = flag(row["settled"])
    return FillReport(
        trade_id=identifier(row["trade_id"]),
        price=price,
        amount=amount,
        quote_amount=product(price, amount),
        fee=decimal(row["fee"]) if is_settled else None,
        fee_asset=quote_of(symbol) if is_settled else None,
        is_maker=MAKER.get(text(row["liquidity"])),
        ts_event_ns=rfc3339(row["created_at"]),
        exchange_order_id=text(row["order_id"]),
        side=SIDE[row["side"]],
        symbol=symbol,
    )


def quote_of(symbol: str) -> str:
    """Return the quote currency of a product, as its id names it."""
    return symbol.rpartition("-")[2]


def account(rows: list[Any]) -> AccountReport:
    """Read the balances of a profile. The answer states neither the key's permissions nor a time."""
    return AccountReport(held(rows, _balance, "currency", 0, whole=True), True, (), None, None)


def _balance(row: dict[str, Any]) -> tuple[str, tuple[Decimal, Decimal]]:
    return text(row["currency"]), (decimal(row["available"]), plain_decimal(row["hold"]))


def fees(pair: str, row: dict[str, Any]) -> Fees:
    """Read the profile's rates. They are the same for all products but stable pairs, for which they may be lower."""
    maker, taker = (decimal(row[name]) for name in ("maker_fee_rate", "taker_fee_rate"))
    return Fees(pair, maker, taker, "exchange")
