"""Count what a predecessor spent of its key's limits, as far as the journal shows: the latest orders, amendments and
cancels.

The journal has no record of reads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence

from ...connectors.order_codec import AgesOrders, Kind, TradingCodec
from ...journal.committer import Committer
from ...journal.journal import Journal
from ...journal.records import Filter
from ...model.errors import MeshError
from ...model.instrument import Instrument
from ...model.order import Order, OrderStatus, as_new
from ...model.time import in_ns
from ..account.gateway import Gateway
from ..limits.counters import Spent
from .settings import OrderSettings

WINDOW_S = 600.0  # older orders no longer count
MOST = 1_000  # number of orders: more than any counter holds
UNDONE = ("rejected", "not_sent", "resolved:absent")  # outcomes of requests that changed nothing


async def count_spent(
    gateway: Gateway, committer: Committer, of: OrderSettings, instruments: Sequence[Instrument], now_ns: int
) -> None:
    """Count what the account's latest orders, amendments and cancels spent in the gateway's counters."""
    if not gateway.spec.key_limits:
        return
    since_ns = now_ns - in_ns(WINDOW_S)

    def read(journal: Journal) -> tuple[list[Order], dict[str, list[int]]]:
        chosen = Filter(of.exchange, of.account, since_ns=since_ns)
        orders = list(journal.orders(chosen, 0, MOST, newest=True).rows)
        amended: dict[str, list[int]] = {}
        for request in journal.requests(of.exchange, of.account, Kind.AMEND.value, since_ns):
            if request.outcome not in UNDONE:
                for name in request.client_order_ids:
                    amended.setdefault(name, []).append(request.created_ns)
        older = amended.keys() - {order.client_order_id for order in orders}
        found = (journal.order(of.exchange, of.account, name) for name in sorted(older))
        return [*orders, *(order for order in found if order is not None)], amended

    orders, amended = await committer.read(read)
    gateway.counters.begin(spent(orders, gateway.codec, instruments, now_ns, amended))


def spent(
    orders: Iterable[Order],
    codec: TradingCodec,
    instruments: Sequence[Instrument],
    now_ns: int,
    amended: Mapping[str, Sequence[int]],
) -> list[Spent]:
    """Return the cost of the orders, their amendments and their cancels; each order that ended unfilled counts as
    cancelled.

    `amended`: when each order was amended, oldest first. The codec gets these times, too.
    """
    by_name = {instrument.name: instrument for instrument in instruments}
    found: list[Spent] = []
    for order in orders:
        cost, _ = codec.place_cost(as_new(order))
        found.append(Spent(now_ns - order.created_ns, cost, order.pair))
        instrument = by_name.get(order.pair)
        for at_ns in amended.get(order.client_order_id, ()):
            if instrument is not None:
                with contextlib.suppress(MeshError):
                    draft = codec.amend(order, instrument, order.amount)
                    found.append(Spent(now_ns - at_ns, draft.cost_at(at_ns), order.pair))
            if isinstance(codec, AgesOrders):
                codec.was_amended(order.client_order_id, at_ns)
        if order.is_done and order.status is not OrderStatus.FILLED and instrument is not None:
            with contextlib.suppress(MeshError):
                cancel = codec.cancel(order, instrument)
                found.append(Spent(now_ns - order.updated_ns, cancel.cost_at(order.updated_ns), order.pair))
    return found
