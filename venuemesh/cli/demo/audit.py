"""Compare an account's journal with the local exchange's ledger: order by order, fill by fill. Pure.

The exchange alone writes the ledger, never the mesh. `compare` lists every difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ...model.order import AccountEvent, Balance, EventType, Fill, Order, OrderStatus

# The exchange's order statuses, and ours (enums.md, Order status, read 2026-11-22).
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
NOT_FOUND = frozenset({"not_there", "absent"})  # codes of orders that ended because no answer had them
LAST_WORDS = {
    EventType.COMPLETED: OrderStatus.FILLED,
    EventType.CANCELED: OrderStatus.CANCELED,
    EventType.EXPIRED: OrderStatus.EXPIRED,
    EventType.REJECTED: OrderStatus.REJECTED,
    EventType.FAILED: OrderStatus.FAILED,
}
SHOWN = 5  # most differences of one kind that are listed


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
    purges: bool = False,
) -> Comparison:
    """Compare one account at rest.

    Args:
        orders, fills, events, balances: the mesh's complete record, with events from number 1 on.
        handed_out: every client order id that a strategy was given.
        ledger: the exchange's own record of the account.
        receipts: the number of placements that the exchange received per id.
        purges: the exchange purges orders that end without a fill (`Offer.purges_unfilled`), so a mesh that missed the
            end of such an order cannot know how it ended, or that it was there.
    """
    ours = {order.client_order_id: order for order in orders}
    theirs = {row["client_order_id"]: row for row in ledger["orders"]}
    found = Comparison(orders=dict(Counter(order.status.value for order in ours.values())), events=len(events))
    found.problems += _limited(_orders(ours, theirs, purges))
    found.problems += _limited(
        f"{order_id}: given to a strategy, but the journal has no outcome"
        for order_id in sorted(set(handed_out) - ours.keys())
    )
    found.problems += _limited(
        f"{row['client_order_id']}: the exchange received it {row['received']} times"
        for row in receipts
        if row["received"] > 1
    )
    our_fills = list(fills)
    found.fills = len(our_fills)
    found.problems += _limited(_fills(our_fills, ledger["fills"]))
    found.problems += _limited(_balances(balances, ledger["balances"]))
    found.balances = len(ledger["balances"])
    found.problems += _limited(_events(events, ours, our_fills))
    return found


def _orders(ours: Mapping[str, Order], theirs: Mapping[str, Mapping[str, Any]], purges: bool) -> Iterable[str]:
    for client_order_id, row in theirs.items():
        order = ours.get(client_order_id)
        if order is None:
            yield f"{client_order_id}: at the exchange, but not in the journal"
            continue
        fields = {
            "status": (order.status, STATUS[row["status"]]),
            "exchange id": (order.exchange_order_id, str(row["order_id"])),
            "filled": (order.filled, Decimal(row["filled"])),
            "quote filled": (order.quote_filled, Decimal(row["quote_filled"])),
            "side": (order.side.name, row["side"]),
            "type": (order.order_type.value, row["type"]),
            "price": (order.price, None if row["price"] is None else Decimal(row["price"])),
        }
        is_purged = purges and order.code in NOT_FOUND and order.is_done and STATUS[row["status"]].is_terminal
        if is_purged and not Decimal(row["filled"]):
            del fields["status"], fields["exchange id"]
        if order.quote_amount is None:
            fields["amount"] = (order.amount, Decimal(row["size"]))
        for name, (own, exchange) in fields.items():
            if own != exchange:
                yield f"{client_order_id}: {name} is {_text(own)} in the journal, {_text(exchange)} at the exchange"
    for client_order_id in ours.keys() - theirs.keys():
        if ours[client_order_id].status not in NEVER_THERE:
            status = ours[client_order_id].status.value
            yield f"{client_order_id}: {status} in the journal, but not at the exchange"


def _fills(fills: Iterable[Fill], rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    def journaled(fill: Fill) -> tuple[Any, ...]:
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

    def executed(row: Mapping[str, Any]) -> tuple[Any, ...]:
        numbers = (Decimal(row[key]) for key in ("price", "size", "quote", "fee"))
        ids = (str(row["trade_id"]), row["client_id"], str(row["order_id"]), row["side"])
        return (*ids, *numbers, row["fee_asset"], row["maker"])

    ours, theirs = Counter(journaled(fill) for fill in fills), Counter(executed(row) for row in rows)
    for fill in theirs - ours:
        yield f"fill {fill[0]} of {fill[1]}: at the exchange, but not in the journal: {_row(fill)}"
    for fill in ours - theirs:
        yield f"fill {fill[0]} of {fill[1]}: in the journal, but not at the exchange: {_row(fill)}"


def _balances(ours: Mapping[str, Balance], theirs: Mapping[str, Mapping[str, str]]) -> Iterable[str]:
    zero = Balance("", Decimal(0), Decimal(0), Decimal(0), Decimal(0))
    for asset in sorted(ours.keys() | theirs.keys()):
        held, row = ours.get(asset, zero), theirs.get(asset, {"free": "0", "locked": "0"})
        if (held.free, held.locked) != (Decimal(row["free"]), Decimal(row["locked"])):
            yield (
                f"{asset}: {held.free:f} free, {held.locked:f} locked in the mesh; "
                f"{row['free']} free, {row['locked']} locked at the exchange"
            )


def _events(events: Sequence[AccountEvent], ours: Mapping[str, Order], fills: Iterable[Fill]) -> Iterable[str]:
    for number, event in enumerate(events, 1):
        if event.number != number:
            yield f"event {event.number} is in the place of event {number}"
            return
    ends: dict[str, list[OrderStatus]] = {}
    for event in events:
        if event.type in LAST_WORDS and event.client_order_id is not None:
            ends.setdefault(event.client_order_id, []).append(LAST_WORDS[event.type])
    for client_order_id, order in ours.items():
        statuses = ends.get(client_order_id, [])
        if order.is_done and (not statuses or statuses[-1] is not order.status):
            shown = [status.value for status in statuses]
            yield f"{client_order_id}: {order.status.value}, but its events end with {shown}"
    in_events = Counter(
        (event.fill.pair, event.fill.trade_id, event.fill.client_order_id)
        for event in events
        if event.fill is not None and event.type is not EventType.FEE  # which completes a fill reported before
    )
    journaled = Counter((fill.pair, fill.trade_id, fill.client_order_id) for fill in fills)
    yield from (f"fill {fill[1]} of {fill[2]}: no event reports it" for fill in journaled - in_events)
    yield from (f"fill {fill[1]} of {fill[2]}: {in_events[fill]} events report it" for fill in in_events - journaled)


def _limited(found: Iterable[str]) -> list[str]:
    listed = list(found)
    return listed[:SHOWN] + ([f"... and {len(listed) - SHOWN} more like it"] if len(listed) > SHOWN else [])


def _text(value: Any) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(getattr(value, "value", value))


def _row(values: Iterable[Any]) -> str:
    return ", ".join(_text(value) for value in values)
