"""Looks up an order in the journal: by client id, or by the exchange's id within a pair."""

from __future__ import annotations

from ...journal.journal import Journal
from ...journal.records import Filter
from ...model.ids import maker_of
from ...model.order import Fill
from .machine.effects import Found, Lookup


def find(journal: Journal, of: tuple[str, str], wanted: Lookup) -> Found:
    """Return the journal's order or tombstone, or neither; `of` is (exchange, account)."""
    if wanted.client_order_id is not None:
        order = journal.order(*of, wanted.client_order_id)
    else:
        order = journal.order_by_exchange_id(*of, wanted.pair or "", wanted.exchange_order_id or "")
    if order is None:
        name = wanted.client_order_id
        if name is None:
            return Found()
        maker = maker_of(name)
        highest = None if maker is None else journal.highest_id(*of, maker[0])
        return Found(tombstone=journal.is_tombstone(*of, name), highest=highest)
    fills: list[Fill] = []
    after: int | None = 0
    while after is not None:
        page = journal.fills(Filter(*of, client_order_id=order.client_order_id), after)
        fills, after = fills + page.rows, page.next
    return Found(order, tuple(fills))
