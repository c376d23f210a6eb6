"""Tables of orders, fills and balances for the command line. Formats; decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from rich.table import Table

from ..model.order import Balance, Fill, Order

GOOD, BAD = {"OPEN", "PARTIALLY_FILLED", "FILLED"}, {"REJECTED", "FAILED", "UNKNOWN"}


def plain_number(value: Decimal | None) -> str:
    """A number without exponent and without zeros that say nothing."""
    if value is None:
        return ""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def time_text(ns: int) -> str:
    """UTC, to the millisecond."""
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def status_text(status: str) -> str:
    colour = "green" if status in GOOD else "red" if status in BAD else "yellow"
    return f"[{colour}]{status}[/]"


def orders_table(orders: Iterable[Order]) -> Table:
    table = Table()
    right = ("amount", "price", "filled", "average")
    for name in ("created (UTC)", "id", "owner", "pair", "side", "type", *right, "status", "why"):
        table.add_column(name, justify="right" if name in right else "left")
    for order in orders:
        kind = order.order_type.value + (f" {order.time_in_force.value}" if order.time_in_force else "")
        amount = plain_number(order.amount) if order.amount is not None else f"{plain_number(order.quote_amount)} quote"
        average = order.average_price
        table.add_row(
            time_text(order.created_ns),
            order.client_order_id + (" (external)" if order.external else ""),
            order.owner,
            order.pair,
            order.side.value,
            kind,
            amount,
            plain_number(order.price),
            plain_number(order.filled),
            "" if average is None else plain_number(average.quantize(Decimal("0.00000001"))),
            status_text(order.status.value),
            order.reason or "",
        )
    return table


def fills_table(fills: Iterable[Fill]) -> Table:
    table = Table()
    right = ("amount", "price", "fee")
    for name in ("time (UTC)", "order", "trade", "pair", "side", *right, "liquidity"):
        table.add_column(name, justify="right" if name in right else "left")
    for fill in fills:
        fee = "" if fill.fee is None else f"{plain_number(fill.fee)} {fill.fee_asset}"
        table.add_row(
            time_text(fill.ts_event_ns),
            fill.client_order_id,
            fill.trade_id,
            fill.pair,
            fill.side.value,
            plain_number(fill.amount),
            plain_number(fill.price),
            fee,
            fill.liquidity,
        )
    return table


def balances_table(balances: Mapping[str, Balance]) -> Table:
    table = Table()
    for name in ("asset", "total", "free", "locked", "available"):
        table.add_column(name, justify="left" if name == "asset" else "right")
    for asset in sorted(balances):
        held = balances[asset]
        table.add_row(asset, *(plain_number(one) for one in (held.total, held.free, held.locked, held.available)))
    return table


def order_line(order: Order) -> str:
    """One order in a line."""
    filled = f", filled {plain_number(order.filled)}" if order.filled else ""
    average = f" at {plain_number(order.average_price.quantize(Decimal('0.00000001')))}" if order.average_price else ""
    why = f": {order.reason}" if order.reason else ""
    return f"{order.client_order_id}: {order.status.value}{filled}{average}{why}"
