"""The view of an account: durable state, numbered events, and tasks that wait for a change."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from venuemesh.actors.orders.queries import AccountView, Queries
from venuemesh.journal.writes import PutEvent, PutOrder
from venuemesh.model.errors import InvalidTransition, Rejected
from venuemesh.model.events import Side
from venuemesh.model.order import AccountEvent, EventType, Order, OrderStatus, OrderType


def order(name: str, status: OrderStatus = OrderStatus.OPEN, created_ns: int = 1) -> Order:
    return Order(
        "acme", "main", name, "A-B", Side.BUY, OrderType.LIMIT, Decimal(1), Decimal(1), None, status, created_ns, 1
    )


def event(name: str) -> PutEvent:
    return PutEvent(AccountEvent(0, EventType.CREATED, "acme", "main", 1, order=order(name)))


async def test_the_view_shows_what_is_durable_numbers_events_and_wakes_waiting_tasks():
    view = AccountView(6, [order("old", created_ns=5)], events=3, done=2)
    assert view.events(5, 10) == []
    waiting = asyncio.ensure_future(view.news(5))
    changed = asyncio.ensure_future(view.changed("new"))
    await asyncio.sleep(0)
    view.committed([PutOrder(order("new"), "NEW", 1), event("new"), event("old")], [6, 7])
    await asyncio.gather(waiting, changed)
    assert [one.number for one in view.events(5, 10) or []] == [6, 7]
    assert [one.number for one in view.events(5, 1) or []] == [6]
    assert view.events(4, 10) is None  # only the journal has it
    view.committed([event("new"), event("old")], [6, 7])  # a batch that was repeated
    assert view.last == 7
    assert [one.client_order_id for one in view.open_orders()] == ["new", "old"]
    for name in ("a", "b", "c"):
        view.committed([PutOrder(order(name, OrderStatus.FILLED), "FILL", 1)], [])
    assert view.order("a") is None
    assert view.order("c") is not None
    with pytest.raises(InvalidTransition):
        view.committed([event("new")], [])


async def test_a_caller_that_stops_waiting_for_an_order_leaves_nothing_behind():
    view = AccountView(1, [order("one")])
    waiting = [asyncio.ensure_future(view.changed("one")) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    view.committed([PutOrder(order("one", OrderStatus.OPEN), "ACK", 1)], [])
    await waiting[1]
    late = asyncio.ensure_future(view.changed("one"))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    assert view.watched == 0


async def test_open_orders_come_in_pages_and_a_page_says_where_the_others_begin():
    view = AccountView(1, [order(name, created_ns=at) for name, at in (("d", 2), ("b", 1), ("a", 1), ("c", 2))])
    queries = Queries("acme", "main", view, no_journal)
    seen, after = [], None
    for _ in range(3):
        page = await queries.orders({"open": True, "limit": 2, "after": after})
        seen.append([row["client_order_id"] for row in page["rows"]])
        after = page["next"]
        if after is None:
            break
        view.committed([PutOrder(order("a", OrderStatus.FILLED), "FILL", 1)], [])  # one that was listed ends
    assert seen == [["a", "b"], ["c", "d"]]
    with pytest.raises(Rejected):
        await queries.orders({"open": True, "after": 5})


async def no_journal(work):
    raise AssertionError("open orders are in memory")
