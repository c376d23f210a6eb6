"""Compares the mesh's and the exchange's record of one order, for the trading checks."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from ...connectors.reports import OrderReport
from ...model.order import EventType, Order
from ..market.suite import expect
from .bench import Desk, status_text


async def event_types(desk: Desk, after: int, order: Order) -> list[EventType]:
    """Return the types of an order's events after an event number."""
    return [event.type for event in await desk.events(after) if event.client_order_id == order.client_order_id]


def expect_same(order: Order, report: OrderReport) -> None:
    """Compare the mesh's order with the exchange's report."""
    fields: Iterable[tuple[str, object, object]] = (
        ("status", order.status, report.status),
        ("exchange id", order.exchange_order_id, report.exchange_order_id),
        ("side", order.side, report.side),
        ("type", order.order_type, report.order_type),
        ("amount", order.amount, report.amount if order.amount is not None else None),
        ("price", order.price, report.price if order.price is not None else None),
        ("filled", order.filled, report.filled),
        ("quote filled", order.quote_filled, report.quote_filled),
    )
    for what, ours, theirs in fields:
        expect(
            theirs is None or ours == theirs,
            f"{order.client_order_id}: {what} is {_text(ours)} in the mesh, {_text(theirs)} at the exchange",
        )


async def exchange_agrees(desk: Desk, order: Order) -> None:
    """Compare the mesh's order with the exchange's own record; none is left of an order that the exchange purged."""
    if desk.codec().offer.purges_unfilled and order.is_done and not order.filled:
        return
    expect_same(order, await at_exchange(desk, order))


async def at_exchange(desk: Desk, order: Order) -> OrderReport:
    """Return the exchange's own report of an order. Raises AssertionError when the exchange does not know it."""
    reported = await desk.ask(desk.witness.order(order.client_order_id))
    if reported is None:
        raise AssertionError(
            f"{order.client_order_id} is {status_text(order)} in the mesh, but the exchange does not know it"
        )
    return reported


def _text(value: object) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(getattr(value, "value", value))
