"""Fees that the exchange states after the fill: in another report, or only in its lists."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.fakes.order_world import World, limit
from venuemesh.actors.orders.machine.effects import Purpose
from venuemesh.actors.orders.machine.late_fees import ASKS
from venuemesh.model.errors import OutcomeUnknown
from venuemesh.model.order import EventType, NewOrder
from venuemesh.model.time import SECOND_NS

D = Decimal
ABSENT: dict[str, Any] = {"fee": None, "fee_asset": None}
ZERO: dict[str, Any] = {"fee": D(0)}
FEE = {"BTC": D("0.0010")}  # of one BTC


@pytest.fixture
def world() -> World:
    found = World()
    found.go()
    place(found, limit("vm1"))
    return found


def place(world: World, *orders: NewOrder) -> None:
    world.do(world.machine.place(world.token(), list(orders), world.now.ns + 60 * SECOND_NS, world.now))
    world.go()


def fill(world: World, amount: str, first_fee: dict[str, Any]) -> None:
    world.exchange.first_fee = first_fee
    world.exchange.fill(world.exchange.orders["1000"], D(amount))
    world.reports()
    world.go()


def fees(world: World) -> dict[str, Decimal]:
    order = world.machine.order("vm1")
    assert order is not None
    assert order == world.journal.orders["vm1"]
    return order.fees


def fee_events(world: World) -> list[EventType]:
    return [one.type for one in world.journal.events if one.fill is not None]


def rest(world: World, seconds: int) -> int:
    """Let time pass; return how often fees were requested."""
    asks = 0
    for _ in range(seconds):
        world.advance(1.0)
        world.perform()
        asks += sum(world.machine._reconcile._asked[one.id].purpose is Purpose.FEES for one in world.asks)
        world.go()
    return asks


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("amount", ["0.5", "1"])
def test_a_missing_fee_is_found(world: World, amount: str, again: bool, crash: bool) -> None:
    fill(world, amount, ABSENT)
    assert fees(world) == {}
    assert world.machine.reconciled  # nothing waits for a fee
    rest(world, 3)
    assert fees(world) == {}
    if crash:
        world.crash()
        world.go()
    world.exchange.state_fees(again=again)
    if again:
        world.reports()
    rest(world, 5)
    assert fees(world) == {"BTC": FEE["BTC"] * D(amount)}
    assert fee_events(world) == [EventType.FILLED, EventType.FEE]
    world.settle()
    world.check()


@pytest.mark.parametrize("again", [False, True])
def test_a_fee_of_zero_is_replaced_by_the_one_that_is_stated_later(world: World, again: bool) -> None:
    fill(world, "1", ZERO)
    assert fees(world) == {"BTC": D(0)}
    world.exchange.state_fees(again=again)
    if again:
        world.reports()
    else:  # the next walk through the fills of the pair
        rest(world, 65)
    assert fees(world) == FEE
    assert fee_events(world) == [EventType.FILLED, EventType.FEE]


def test_fees_that_are_never_stated_are_requested_less_and_less_often_and_then_no_longer(world: World) -> None:
    fill(world, "1", ABSENT)
    assert [rest(world, seconds) for seconds in (1, 2, 4, 8)] == [1, 1, 1, 1]
    assert rest(world, 2**ASKS) == ASKS - 4
    assert rest(world, 100) == 0
    assert world.machine.wake_ns > world.mono_ns
    world.crash()
    world.go()
    assert rest(world, 1) == 1
    fill(world, "1", {})


def test_a_failed_request_for_a_fee_is_repeated(world: World) -> None:
    fill(world, "1", ABSENT)
    world.exchange.state_fees(again=False)
    world.advance(1.0)
    world.perform()
    (ask,) = world.asks
    world.deliver(ask, OutcomeUnknown("fills", "no answer"))
    assert fees(world) == {}
    rest(world, 2)
    assert fees(world) == FEE


def test_the_missing_fee_of_an_external_order_is_taken_from_a_later_report(world: World) -> None:
    """Its fills are not requested: the mesh does not manage the order."""
    world.exchange.place(limit("other"))
    world.exchange.first_fee = ABSENT
    world.exchange.fill(world.exchange.orders["1001"], D(1))
    world.reports()
    world.go()
    (bare,) = world.journal.fills.values()
    assert bare.fee is None
    assert rest(world, 5) == 0
    world.exchange.state_fees(again=True)
    world.reports()
    (stated,) = world.journal.fills.values()
    assert (stated.fee, stated.fee_asset) == (FEE["BTC"], "BTC")
    events = [one.type for one in world.journal.events if one.fill is not None]
    assert events == [EventType.EXTERNAL, EventType.FEE]
    world.exchange.stream.append(
        world.exchange.report(world.exchange.orders["1001"], (world.exchange.orders["1001"].fills[0],))
    )
    world.reports()
    assert len([one for one in world.journal.events if one.fill is not None]) == 2
