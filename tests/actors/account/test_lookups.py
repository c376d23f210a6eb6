"""Queries for single orders that come together are one request, where the exchange takes that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from venuemesh.actors.account.lookups import Lookups
from venuemesh.actors.limits.machine import Priority
from venuemesh.connectors.order_codec import Draft, Kind, Reply
from venuemesh.connectors.reports import OrderReport
from venuemesh.model.errors import Rejected, RetryLater


class Codec:
    query_batch = 3

    def can_join(self, draft: Draft) -> bool:
        return True

    def join_queries(self, drafts: Sequence[Draft]) -> Draft:
        return query(*(name for one in drafts for name in one.orders))


def query(*names: str) -> Draft:
    return Draft(Kind.ORDER, ("GET", "/orders"), None, (), names)


class Exchange:
    """Has the order "a" and each "n...", and refuses requests with an id from `unknown`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.unknown: set[str] = set()
        self.error: Exception | None = None
        self.free = asyncio.Event()

    async def read(self, draft: Draft, priority: Priority, wait_s: float) -> Reply:
        self.asked.append(draft.orders)
        await self.free.wait()
        if self.error is not None:
            raise self.error
        if self.unknown & set(draft.orders):
            raise Rejected("unknown", "no such order")
        orders = tuple(OrderReport("BTC", one, f"X{one}", None, 0) for one in draft.orders if one[0] in "an")
        return Reply(orders=orders, absent=not orders)


@pytest.fixture
async def exchange() -> Exchange:
    return Exchange()


def begin(lookups: Lookups, *names: str) -> list[asyncio.Task[Reply]]:
    return [asyncio.ensure_future(lookups.read(query(one), Priority.URGENT, 5.0)) for one in names]


async def settled(tasks: Sequence[asyncio.Task[Reply]]) -> list[Any]:
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [[one.exchange_order_id for one in reply.orders] if isinstance(reply, Reply) else reply for reply in found]


async def test_queries_of_one_moment_and_those_that_come_meanwhile_are_joined(exchange: Exchange) -> None:
    lookups = Lookups(Codec(), exchange.read)
    tasks = begin(lookups, "a", "b", "n1", "n2")
    await asyncio.sleep(0.01)
    tasks += begin(lookups, "n3", "n4")
    await asyncio.sleep(0.01)
    exchange.free.set()
    assert await settled(tasks) == [["Xa"], [], ["Xn1"], ["Xn2"], ["Xn3"], ["Xn4"]]
    assert (await tasks[1]).absent
    assert exchange.asked == [("a", "b", "n1"), ("n2", "n3", "n4")]
    await lookups.stop()


async def test_a_refused_request_is_repeated_for_each_order(exchange: Exchange) -> None:
    exchange.unknown, lookups = {"b"}, Lookups(Codec(), exchange.read)
    exchange.free.set()
    first, refused, third = await settled(begin(lookups, "a", "b", "n1"))
    assert (first, third) == (["Xa"], ["Xn1"])
    assert isinstance(refused, Rejected)
    assert exchange.asked == [("a", "b", "n1"), ("a",), ("b",), ("n1",)]


async def test_any_other_error_is_that_of_every_query(exchange: Exchange) -> None:
    exchange.error, lookups = RetryLater(1.0, "busy"), Lookups(Codec(), exchange.read)
    exchange.free.set()
    assert await settled(begin(lookups, "a", "b")) == [exchange.error] * 2
    exchange.error = None
    assert await settled(begin(lookups, "a")) == [["Xa"]]


async def test_queries_end_with_their_owner(exchange: Exchange) -> None:
    lookups = Lookups(Codec(), exchange.read)
    tasks = begin(lookups, "a", "b", "n1", "n2")
    await asyncio.sleep(0.01)
    await lookups.stop()
    assert all(isinstance(one, asyncio.CancelledError) for one in await settled(tasks))
