"""What a new manager takes over from the journal: open orders, and requests of earlier epochs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from ....connectors.order_codec import Kind
from ....journal.writes import CloseRequest
from ....model.order import Fill, NewOrder, Order
from .core import Core
from .doubt import Part, Pending
from .effects import Now

EVERYTHING = Decimal("Infinity")
KINDS = {
    "cancel": (Part.CANCEL,),
    "batch_cancel": (Part.CANCEL,),
    "amend": (Part.AMEND,),
    "replace": (Part.CANCEL, Part.PLACE),
}


def adopt(core: Core, order: Order, fills: list[Fill], now: Now) -> None:
    """Hold an order of the journal; what it takes stays reserved while it is in doubt whether it is there."""
    held = core.ledger.restore(order, fills)
    held.insist = order.cancel_requested and not order.is_done
    if order.is_done or order.exchange_order_id is not None:
        return
    asked = NewOrder(
        order.client_order_id,
        order.pair,
        order.side,
        order.order_type,
        order.amount,
        order.price,
        quote_amount=order.quote_amount,
        stop_price=order.stop_price,
    )
    instrument = core.guards.instruments.get(order.pair)
    if instrument is not None:
        asset, amount = core.guards.need(asked, now)
        core.funds.hold(order.client_order_id, asset, EVERYTHING if amount is None else amount)


def inherit(core: Core, request_id: str, kind: str, ids: Sequence[str], not_after_ns: int, now: Now) -> None:
    """A request of an earlier epoch: it may still arrive."""
    parts = KINDS.get(kind, (Part.PLACE,))
    named = {one: parts[min(index, len(parts) - 1)] for index, one in enumerate(ids) if core.ledger.get(one)}
    if not named:
        core.out.write(CloseRequest(request_id, "resolved:nothing", now.ns))
        return
    request = Pending(request_id, Kind(kind), named, not_after_ns, earlier=True, doubt=True)
    core.requests.add(request)
    for one in named:
        core.requests.ask_for(one, now)
        core.ledger.changed[one] = None
