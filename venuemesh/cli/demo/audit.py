"""Compare what an account's journal holds with the local exchange's ledger: order by order, fill by fill. Pure.

The ledger is what the exchange itself did; nothing of the mesh wrote it. `compare` finds every difference and names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ...model.order import AccountEvent, Balance, EventType, Fill, Order, OrderStatus

# The exchange's words for how an order stands, and ours (enums.md, Order status, read 2026-11-22).
STATUS = {
    "NEW": OrderStatus.OPEN,
    "PENDING_NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
    "REJECTED": OrderStatus.REJECTED,
}
NEVER_THERE = {OrderStatus.REJECTED, OrderStatus.FAILED}
LAST_WORDS = {
    EventType.COMPLETED: OrderStatus.FILLED,
    EventType.CANCELED: OrderStatus.CANCELED,
    EventType.EXPIRED: OrderStatus.EXPIRED,
    EventType.REJECTED: OrderStatus.REJECTED,
    EventType.FAILED: OrderStatus.FAILED,
}
SHOWN = 5  # differences of one kind that are written out


@dataclass(slots=True)
class Comparison:
    """`problems` is empty when everything agrees; the rest counts what was compared."""

    orders: dict[str, int] = field(default_factory=dict)  # by status
    fills: int = 0
    events: int = 0
    balances: int = 0
    problems: list[str] = field(default_factory=list)


def compare(
    orders: Iterable[Order],
    fills: Iterable[Fill],
    events: Sequence[AccountEvent],
    balances: Mapping[str, Balance],
    handed_out: Iterable[str],
    ledger: Mapping[str, Any],
    receipts: Iterable[Mapping[str, Any]],
) -> Comparison:
    """Compare one account at rest.

    Args:
        orders, fills, events, balances: all that the mesh knows, events from number 1 on.
        handed_out: every client order id that a strategy was given.
        ledger: the exchange's own record of the account; `receipts` how often it was asked to place each id.
    """
    ours = {order.client_order_id: order for order in orders}
    theirs = {row["client_order_id"]: row for row in ledger["orders"]}
    found = Comparison(orders=dict(Counter(order.status.value for order in ours.values())), events=len(events))
    found.problems += _limited(_orders(ours, theirs))
    found.problems += _limited(f"{one}: handed out, and of no fate" for one in sorted(set(handed_out) - ours.keys()))
    found.problems += _limited(
        f"{row['client_order_id']}: the exchange was asked to place it {row['received']} times"
        for row in receipts
        if row["received"] > 1
    )
    mine = list(fills)
    found.fills = len(mine)
    found.problems += _limited(_fills(mine, ledger["fills"]))
    found.problems += _limited(_balances(balances, ledger["balances"]))
    found.balances = len(ledger["balances"])
    found.problems += _limited(_events(events, ours, mine))
    return found


def _orders(ours: Mapping[str, Order], theirs: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    for client_order_id, row in theirs.items():
        order = ours.get(client_order_id)
        if order is None:
            yield f"{client_order_id}: at the exchange and not in the journal"
            continue
        said = {
            "status": (order.status, STATUS[row["status"]]),
            "exchange id": (order.exchange_order_id, str(row["order_id"])),
            "filled": (order.filled, Decimal(row["filled"])),
            "quote filled": (order.quote_filled, Decimal(row["quote_filled"])),
            "side": (order.side.name, row["side"]),
            "type": (order.order_type.value, row["type"]),
            "price": (order.price, None if row["price"] is None else Decimal(row["price"])),
        }
        if order.quote_amount is None:
            said["amount"] = (order.amount, Decimal(row["size"]))
        for what, (here, there) in said.items():
            if here != there:
                yield f"{client_order_id}: {what} is {_text(here)} here, {_text(there)} at the exchange"
    for client_order_id in ours.keys() - theirs.keys():
        if ours[client_order_id].status not in NEVER_THERE:
            status = ours[client_order_id].status.value
            yield f"{client_order_id}: {status} in the journal and not at the exchange"


def _fills(mine: Iterable[Fill], rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    def of(fill: Fill) -> tuple[Any, ...]:
        return (
            fill.trade_id,
            fill.client_order_id,
            fill.exchange_order_id,
            fill.side.value,
            fill.price,
            fill.amount,
            fill.quote_amount,
            fill.fee,
            fill.fee_asset,
            fill.is_maker,
        )

    def at(row: Mapping[str, Any]) -> tuple[Any, ...]:
        numbers = (Decimal(row[key]) for key in ("price", "size", "quote", "fee"))
        ids = (str(row["trade_id"]), row["client_id"], str(row["order_id"]), row["side"])
        return (*ids, *numbers, row["fee_asset"], row["maker"])

    here, there = Counter(of(fill) for fill in mine), Counter(at(row) for row in rows)
    yield from (f"fill {fill[0]} of {fill[1]}: at the exchange and not here: {_row(fill)}" for fill in there - here)
    yield from (f"fill {fill[0]} of {fill[1]}: here and not at the exchange: {_row(fill)}" for fill in here - there)


def _balances(ours: Mapping[str, Balance], theirs: Mapping[str, Mapping[str, str]]) -> Iterable[str]:
    zero = Balance("", Decimal(0), Decimal(0), Decimal(0), Decimal(0))
    for asset in sorted(ours.keys() | theirs.keys()):
        held, row = ours.get(asset, zero), theirs.get(asset, {"free": "0", "locked": "0"})
        if (held.free, held.locked) != (Decimal(row["free"]), Decimal(row["locked"])):
            yield f"{asset}: {held.free:f} free, {held.locked:f} locked here; {row['free']}, {row['locked']} there"


def _events(events: Sequence[AccountEvent], ours: Mapping[str, Order], fills: Iterable[Fill]) -> Iterable[str]:
    for number, event in enumerate(events, 1):
        if event.number != number:
            yield f"event {event.number} comes where {number} should"
            return
    ends: dict[str, list[OrderStatus]] = {}
    for event in events:
        if event.type in LAST_WORDS and event.client_order_id is not None:
            ends.setdefault(event.client_order_id, []).append(LAST_WORDS[event.type])
    for client_order_id, order in ours.items():
        told = ends.get(client_order_id, [])
        if order.is_done and (not told or told[-1] is not order.status):
            yield f"{client_order_id}: {order.status.value}, and its events end with {[one.value for one in told]}"
    told_fills = Counter(
        (event.fill.pair, event.fill.trade_id, event.fill.client_order_id) for event in events if event.fill is not None
    )
    known = Counter((fill.pair, fill.trade_id, fill.client_order_id) for fill in fills)
    yield from (f"fill {fill[1]} of {fill[2]}: no event told it" for fill in known - told_fills)
    yield from (f"fill {fill[1]} of {fill[2]}: told {told_fills[fill]} times" for fill in told_fills - known)


def _limited(found: Iterable[str]) -> list[str]:
    listed = list(found)
    return listed[:SHOWN] + ([f"... and {len(listed) - SHOWN} more like it"] if len(listed) > SHOWN else [])


def _text(value: Any) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(getattr(value, "value", value))


def _row(values: Iterable[Any]) -> str:
    return ", ".join(_text(value) for value in values)
