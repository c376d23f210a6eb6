"""Count what a predecessor spent of its key's limits, as far as the journal shows: the latest orders and cancels.

The journal has no separate record of amendments and reads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from ...connectors.order_codec import TradingCodec
from ...journal.committer import Committer
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


async def count_spent(
    gateway: Gateway, committer: Committer, of: OrderSettings, instruments: Sequence[Instrument], now_ns: int
) -> None:
    """Count what the account's latest orders and cancels spent in the gateway's counters."""
    if not gateway.spec.key_limits:
        return
    chosen = Filter(of.exchange, of.account, since_ns=now_ns - in_ns(WINDOW_S))
    orders = await committer.read(lambda journal: journal.orders(chosen, 0, MOST, newest=True).rows)
    gateway.counters.begin(spent(orders, gateway.codec, instruments, now_ns))


def spent(orders: Iterable[Order], codec: TradingCodec, instruments: Sequence[Instrument], now_ns: int) -> list[Spent]:
    """Return what the orders and their cancels cost; an order that ended unfilled counts as cancelled."""
    by_name = {instrument.name: instrument for instrument in instruments}
    found: list[Spent] = []
    for order in orders:
        cost, _ = codec.place_cost(as_new(order))
        found.append(Spent(now_ns - order.created_ns, cost, order.pair))
        if order.is_done and order.status is not OrderStatus.FILLED and order.pair in by_name:
            with contextlib.suppress(MeshError):
                cancel = codec.cancel(order, by_name[order.pair])
                found.append(Spent(now_ns - order.updated_ns, cancel.cost_at(order.updated_ns), order.pair))
    return found
