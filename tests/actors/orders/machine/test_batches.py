"""Orders and cancels in batches: each has a separate outcome."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.actors.orders.machine.test_machine import place, status
from tests.fakes.order_world import TIMEOUT, World, limit
from venuemesh.actors.orders.machine.requests import Part
from venuemesh.connectors import registry
from venuemesh.connectors.order_codec import Kind, trading_connector
from venuemesh.model.errors import RetryLater
from venuemesh.model.order import OrderStatus

S = OrderStatus
FIVE = [f"vm{number}" for number in range(1, 6)]


def on_the_wire(world: World) -> list[tuple[Kind, tuple[str, ...]]]:
    world.perform()
    return [(one.what.draft.kind, one.what.draft.orders) for one in world.requests]  # type: ignore[union-attr]


@pytest.fixture
def world() -> World:
    found = World(batch=3)
    found.go()
    return found


def send(world: World, *ids: str, price: str = "10") -> str:
    token = world.token()
    orders = [limit(one, price=price) for one in ids]
    world.do(world.machine.place(token, orders, world.now.ns + 60 * 10**9, world.now))
    return token


def test_several_orders_go_in_as_few_requests_as_the_exchange_takes(world: World) -> None:
    token = send(world, *FIVE)
    assert on_the_wire(world) == [(Kind.BATCH_PLACE, ("vm1", "vm2", "vm3")), (Kind.BATCH_PLACE, ("vm4", "vm5"))]
    world.go()
    assert [order.status for order in world.answer(token)] == [S.OPEN] * 5
    assert place(world, limit("vm6"))
    world.do(world.machine.cancel_all("t", world.now))
    assert [kind for kind, _ in on_the_wire(world)] == [Kind.BATCH_CANCEL] * 2
    world.go()
    assert all(result.done for result in world.answer("t"))
    world.settle()
    world.check()


@pytest.mark.parametrize("exchange", sorted(registry.known()))
def test_a_connector_with_limits_by_pair_sends_batches_of_one_pair(exchange: str) -> None:
    """A batch over several pairs would count in no pair's limit."""
    connector = registry.connector(exchange)
    offer = trading_connector(connector).trading().offer
    by_pair = any(limit.by_pair for limit in connector.spec.key_limits.values())
    assert offer.batch_of_pair or not by_pair or max(offer.batch_place, offer.batch_cancel) < 2


def test_orders_of_one_pair_go_together_where_the_exchange_requires_it(world: World) -> None:
    state = world.machine._state
    codec, instrument = state.codec, world.instruments[0]
    drafts = [codec.place(limit(f"vm{number}"), instrument) for number in range(5)]
    mixed = [replace(draft, pair="ETH-USDT" if number % 2 else "BTC-USDT") for number, draft in enumerate(drafts)]
    codec.offer = replace(codec.offer, batch_place=3)
    assert [one.orders for one in state.joined(Part.PLACE, mixed)] == [("vm0", "vm1", "vm2"), ("vm3", "vm4")]
    codec.offer = replace(codec.offer, batch_of_pair=True)
    assert [one.orders for one in state.joined(Part.PLACE, mixed)] == [("vm0", "vm2", "vm4"), ("vm1", "vm3")]


def test_one_that_is_refused_leaves_the_others(world: World) -> None:
    world.exchange.free["USDT"] = Decimal(15)  # of which the manager does not know yet
    token = send(world, "vm1", "vm2")
    world.go()
    assert [order.status for order in world.answer(token)] == [S.OPEN, S.REJECTED]
    world.exchange.free["USDT"] += 2985
    world.lose_stream()  # so that the balances are requested
    world.settle()
    world.check()


def test_one_that_may_not_be_placed_is_not_in_the_batch(world: World) -> None:
    send(world, "vm1", "vm2")
    token = world.token()
    orders = [limit("vm3", price="10"), limit("vm4", amount="0.00001"), limit("vm5", price="10")]
    world.do(world.machine.place(token, orders, world.now.ns + 60 * 10**9, world.now))
    assert on_the_wire(world)[1] == (Kind.BATCH_PLACE, ("vm3", "vm5"))
    world.go()
    assert [order.status for order in world.answer(token)] == [S.OPEN, S.FAILED, S.OPEN]


@pytest.mark.parametrize("arrives", [True, False])
def test_without_an_answer_each_is_queried(world: World, arrives: bool) -> None:
    send(world, "vm1", "vm2")
    world.perform()
    (one,) = world.requests
    if arrives:
        world.arrive(one)
    world.deliver(one, TIMEOUT)
    assert {status(world, "vm1"), status(world, "vm2")} == {S.UNKNOWN}
    for _ in range(12):
        world.advance(1.0)
        world.go(requests=False)
    assert {status(world, "vm1"), status(world, "vm2")} == {S.OPEN if arrives else S.FAILED}
    world.requests.clear()
    world.settle()
    world.check()


def test_cancels_that_were_not_served_are_repeated(world: World) -> None:
    send(world, "vm1", "vm2")
    world.go()
    world.do(world.machine.cancel_all("t", world.now))
    world.perform()
    (one,) = world.requests
    world.deliver(one, RetryLater(0.5, "busy"))
    world.settle()
    assert all(result.done for result in world.answer("t"))
    world.check()


@pytest.mark.parametrize("arrives", [True, False])
def test_a_successor_takes_over_what_a_batch_left_open(world: World, arrives: bool) -> None:
    send(world, "vm1", "vm2")
    world.go()
    send(world, "vm3", "vm4")
    world.do(world.machine.cancel_all("t", world.now))
    world.perform()
    if arrives:
        for one in list(world.requests):
            world.arrive(one)
    world.crash()
    for _ in range(12):
        world.advance(1.0)
        world.go(requests=False)
    world.settle()
    world.check()
