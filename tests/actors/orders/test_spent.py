"""What a predecessor spent, from the journal's orders; the costs are Kraken's (guides/spot-ratelimits, 2026-11-27)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.connectors.kraken.test_orders import BTC, known
from venuemesh.actors.limits.counters import Spent
from venuemesh.actors.orders.spent import spent
from venuemesh.connectors.kraken import CONNECTOR
from venuemesh.model.order import OrderStatus

SECOND = 10**9


def transactions(units: int) -> tuple[tuple[str, int], ...]:
    return (("transactions", units),)


@pytest.mark.parametrize(
    ("status", "rested_s", "cancel"),
    [
        (OrderStatus.OPEN, 2, None),
        (OrderStatus.FILLED, 2, None),
        (OrderStatus.CANCELED, 2, 8),
        (OrderStatus.CANCELED, 20, 4),
        (OrderStatus.FAILED, 2, 8),  # perhaps cancelled: it was not there in time
    ],
)
def test_a_placement_and_a_cancel_count_each_at_its_time(
    status: OrderStatus, rested_s: int, cancel: int | None
) -> None:
    order = known()
    order = replace(order, status=status, updated_ns=order.created_ns + rested_s * SECOND)
    found = spent([order], CONNECTOR.trading(), [BTC], order.updated_ns + 5 * SECOND, {})
    expected = [Spent((rested_s + 5) * SECOND, transactions(1), "BTC-USD")]
    if cancel is not None:
        expected.append(Spent(5 * SECOND, transactions(cancel), "BTC-USD"))
    assert found == expected


def test_only_placements_count_of_a_pair_that_is_no_longer_listed() -> None:
    order = replace(known(), status=OrderStatus.CANCELED)
    assert [one.cost for one in spent([order], CONNECTOR.trading(), [], order.updated_ns, {})] == [transactions(1)]


def test_amendments_count_and_make_an_order_young_again() -> None:
    """An amendment 4 s after another counts 1 and 3; the cancel 6 s later counts that of a young order."""
    order, codec = known(), CONNECTOR.trading()
    order = replace(order, status=OrderStatus.CANCELED, updated_ns=order.created_ns + 110 * SECOND)
    times = [order.created_ns + 100 * SECOND, order.created_ns + 104 * SECOND]
    found = spent([order], codec, [BTC], order.updated_ns, {order.client_order_id: times})
    assert [(one.age_ns // SECOND, dict(one.cost)["transactions"]) for one in found] == [
        (110, 1),
        (10, 1),
        (6, 4),
        (0, 6),
    ]
    later_ns = order.updated_ns + 10 * SECOND
    assert codec.cancel(order, BTC).cost_at(later_ns) == transactions(4)
