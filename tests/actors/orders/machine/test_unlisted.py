"""Orders on a pair that the exchange no longer lists, or no longer knows."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.actors.orders.machine.test_fates import wait
from tests.actors.orders.machine.test_machine import cancel, events, place, status
from tests.fakes.order_exchange import Rested, pair
from tests.fakes.order_world import World, limit
from venuemesh.model.errors import RetryLater, UnknownInstrument
from venuemesh.model.order import CancelResult, OrderStatus

S = OrderStatus
BTC, ETH = "BTC-USDT", "ETH-USDT"


@pytest.fixture
def world() -> World:
    world = World()
    world.go()
    place(world, limit("vm1"))
    place(world, limit("vm2", pair=ETH))
    world.reports()
    return world


def resting(world: World, one: str = "vm1") -> Rested:
    found = world.exchange.by_client(one)
    assert found is not None
    return found


def unsettled(world: World) -> dict[str, str]:
    found: dict[str, str] = world.machine.status()["unsettled"]
    return found


@pytest.mark.parametrize("listed", [[], [pair("X-Y")]])
def test_a_successor_follows_its_orders_with_any_list(world: World, listed: list[object]) -> None:
    world.instruments = listed  # type: ignore[assignment]
    world.exchange.fill(resting(world), Decimal(1))
    world.exchange.stream.clear()
    world.crash()
    world.settle()
    assert status(world) is S.FILLED
    token = cancel(world, "vm2")
    world.go()
    assert world.answer(token) == CancelResult("vm2", True, S.CANCELED)
    token = place(world, limit("vm3", pair="NEW-USDT"))
    assert isinstance(world.answer(token), UnknownInstrument if listed else RetryLater)
    world.reports()
    world.check()


def test_a_pair_with_open_orders_keeps_its_symbol(world: World) -> None:
    moved = replace(pair(BTC), symbol="BTC2")
    world.do(world.machine.rules([moved, pair(ETH)], world.now))
    world.instruments = [moved, pair(ETH)]
    for _ in range(2):
        world.exchange.fill(resting(world), Decimal("0.25"))
        world.reports()
        world.crash()
        world.go()
    assert [one.symbol for one in world.machine.instruments if one.name == BTC] == ["BTCUSDT"]
    order = world.machine.order("vm1")
    assert order is not None
    assert order.filled == Decimal("0.5")
    token = cancel(world)
    world.go()
    assert world.answer(token).done
    world.do(world.machine.rules([moved], world.now))
    assert [one.symbol for one in world.machine.instruments if one.name == BTC] == ["BTC2"]


@pytest.mark.parametrize("filled", [False, True])
def test_an_order_that_ended_unseen_with_its_pair_is_named_as_unsettled(world: World, filled: bool) -> None:
    world.lose_stream()
    if filled:
        world.exchange.fill(resting(world), Decimal(1))
    world.exchange.end(resting(world), S.EXPIRED)
    world.exchange.unlisted.add(BTC)
    world.regain_stream()
    token = cancel(world)
    wait(world, 30)
    assert status(world) is S.UNKNOWN
    assert (world.answer(token).done, world.answer(token).code) == (False, "no_pair")
    assert list(unsettled(world)) == ["vm1"]
    assert "no longer knows BTC-USDT" in unsettled(world)["vm1"]
    world.crash()
    wait(world, 30)
    assert (status(world), list(unsettled(world)), world.machine.reconciled) == (S.UNKNOWN, ["vm1"], True)
    assert status(world, "vm2") is S.OPEN
    asked = world.machine.wake_ns - world.mono_ns
    assert asked > 0
    world.exchange.unlisted.clear()
    world.settle()
    assert status(world) is (S.FILLED if filled else S.EXPIRED)
    assert unsettled(world) == {}
    world.check()


def test_an_order_that_was_followed_until_its_pair_was_gone_ends(world: World) -> None:
    world.advance(60)  # a round states the order after the stream came up
    wait(world, 5)
    world.exchange.end(resting(world), S.EXPIRED)
    world.exchange.stream.clear()
    world.exchange.unlisted.add(BTC)
    wait(world, 130)
    order = world.machine.order("vm1")
    assert order is not None
    assert (order.status, order.code, unsettled(world)) == (S.EXPIRED, "no_pair", {})
    assert events(world)[-1] == "expired"
    assert world.machine.reconciled


def test_an_order_whose_rows_cannot_be_read_holds_back_nothing_else(world: World) -> None:
    number = resting(world).exchange_id
    world.exchange.odd = world.exchange.odd_queries = {number}
    world.exchange.names_odd = True
    world.crash()
    wait(world, 30)
    assert (status(world), world.machine.reconciled, world.machine.in_doubt) == (S.OPEN, True, False)
    assert list(unsettled(world)) == ["vm1"]
    assert "GTD" in unsettled(world)["vm1"]
    place(world, limit("vm3", pair=ETH))
    assert status(world, "vm3") is S.OPEN
    world.exchange.odd, world.exchange.odd_queries = set(), set()
    world.settle()
    world.check()
