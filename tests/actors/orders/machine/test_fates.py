"""Absence outside the exchange's memory: the lists of orders and of fills decide, and must agree."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.actors.orders.machine.test_machine import events, place, status
from tests.fakes.order_exchange import OrderExchange
from tests.fakes.order_world import World, limit
from venuemesh.connectors.order_codec import Kind, Reply
from venuemesh.model.errors import RetryLater
from venuemesh.model.events import Side
from venuemesh.model.order import NewOrder, OrderStatus, OrderType, TimeInForce
from venuemesh.model.time import SECOND_NS

S = OrderStatus
D = Decimal


def forgotten(arrives: bool, **options: object) -> World:
    """A world whose manager starts two minutes after it sent an order, at an exchange that remembers orders for a
    minute."""
    world = World(lookup_s=60.0, **options)  # type: ignore[arg-type]
    world.exchange.lookup_ns = 60 * SECOND_NS
    world.go()
    place(world, limit("vm1"), fate="queued")
    world.perform()
    if arrives:
        world.arrive(world.requests[0])
    world.requests.clear()
    world.asks.clear()
    return world


def later(world: World, seconds: int = 120) -> None:
    world.mono_ns += seconds * SECOND_NS
    world.exchange.now_ns += seconds * SECOND_NS
    world.exchange.stream.clear()
    world.crash()


def wait(world: World, seconds: int = 20) -> None:
    for _ in range(seconds):
        world.go()
        world.advance(1.0)
    world.go()


def theirs(exchange: OrderExchange, name: str) -> str:
    """Place an order outside the mesh; return its id."""
    made = exchange.place(NewOrder(name, "BTC-USDT", Side.BUY, OrderType.LIMIT, D(1), D(90), TimeInForce.GTC))
    return made.exchange_id  # type: ignore[union-attr]


@pytest.mark.parametrize("by_time", [False, True])
def test_an_order_that_neither_orders_nor_fills_show_was_never_there(by_time: bool) -> None:
    world = forgotten(False, by_time=by_time)
    for number in range(7):  # more than a page of fills, all of orders that are known
        world.exchange.fill(world.exchange.orders[theirs(world.exchange, f"web{number}")], D(1))
    later(world)
    wait(world)
    assert status(world) is S.FAILED
    assert events(world)[-2:] == ["unknown", "failed"]
    assert not world.journal.unsettled()
    assert world.machine.reconciled


def test_it_is_searched_twice_and_only_when_no_request_can_still_place_it() -> None:
    world = World(lookup_s=1.0)
    world.exchange.lookup_ns = SECOND_NS
    world.go()
    place(world, limit("vm1"), fate="late")
    asked: list[int] = []
    sent_ns, read = world.exchange.now_ns, world.exchange.read

    def answer(draft):  # type: ignore[no-untyped-def]
        asked.extend([world.exchange.now_ns] if draft.kind is Kind.ORDERS else [])
        return read(draft)

    world.exchange.read = answer  # type: ignore[method-assign]
    while status(world) is S.UNKNOWN:
        world.go(requests=False)
        world.advance(0.25)
        assert world.exchange.now_ns < sent_ns + 60 * SECOND_NS
    assert len(asked) == 2
    assert min(asked) > sent_ns + 6 * SECOND_NS
    assert status(world) is S.FAILED


@pytest.mark.parametrize("ended", [None, S.CANCELED, S.FILLED])
def test_an_order_that_the_history_shows_is_taken_over(ended: OrderStatus | None) -> None:
    world = forgotten(True)
    rested = world.exchange.by_client("vm1")
    assert rested is not None
    if ended is S.CANCELED:
        world.exchange.end(rested, S.CANCELED)
    elif ended is S.FILLED:
        world.exchange.fill(rested, D(1))
    later(world)
    wait(world)
    assert status(world) is (ended or S.OPEN)
    assert len(world.journal.fills_of("vm1")) == (ended is S.FILLED)
    assert not world.journal.unsettled()


def test_a_fill_of_an_unknown_order_may_be_ours() -> None:
    world = forgotten(True)
    rested = world.exchange.by_client("vm1")
    assert rested is not None
    world.exchange.fill(rested, D(1))
    hidden = dict(world.exchange.orders)
    world.exchange.orders.clear()  # neither list nor lookup has it; its fill is there
    read = world.exchange.read

    def fills(draft):  # type: ignore[no-untyped-def]
        if draft.kind is not Kind.FILLS:
            return read(draft)
        words = dict(draft.params)
        return Reply(fills=() if "after" in words or words["exchange_id"] else tuple(rested.fills))

    world.exchange.read = fills  # type: ignore[method-assign]
    later(world)
    wait(world, 60)
    assert status(world) is S.UNKNOWN
    world.exchange.orders.update(hidden)
    wait(world, 60)
    assert status(world) is S.FILLED


def with_odd_row(what: Kind) -> World:
    """Return a forgotten order's world in which a foreign order, or its fill, cannot be read."""
    world = forgotten(False)
    other = theirs(world.exchange, "web")
    world.exchange.fill(world.exchange.orders[other], D(1))
    world.exchange.odd = {other} if what is Kind.ORDERS else {world.exchange.orders[other].fills[0].trade_id}
    return world


@pytest.mark.parametrize("what", [Kind.ORDERS, Kind.FILLS])
def test_a_row_that_cannot_be_read_may_be_ours(what: Kind) -> None:
    world = with_odd_row(what)
    later(world)
    wait(world, 60)
    assert status(world) is S.UNKNOWN
    world.exchange.odd.clear()
    wait(world, 60)
    assert status(world) is S.FAILED


@pytest.mark.parametrize("what", [Kind.ORDERS, Kind.FILLS])
def test_an_unreadable_row_with_the_id_of_another_order_holds_nothing_back(what: Kind) -> None:
    world = with_odd_row(what)
    world.exchange.names_odd = True
    later(world)
    wait(world, 60)
    assert status(world) is S.FAILED


def test_a_search_that_fails_is_made_again() -> None:
    world = forgotten(False)
    read, failures = world.exchange.read, [RetryLater(0.5, "busy")] * 3

    def answer(draft):  # type: ignore[no-untyped-def]
        return failures.pop() if draft.kind in (Kind.ORDERS, Kind.FILLS) and failures else read(draft)

    world.exchange.read = answer  # type: ignore[method-assign]
    later(world)
    wait(world, 60)
    assert not failures
    assert status(world) is S.FAILED


def test_beyond_the_reach_of_the_lists_nothing_is_proven() -> None:
    world = forgotten(False, history_s=100.0)
    later(world)
    wait(world, 60)
    assert status(world) is S.UNKNOWN
    assert "never placed" in world.machine.status()["unsettled"]["vm1"]


@pytest.mark.parametrize("filled", ["0", "0.4", "1"])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("reach_s", [100.0, 3600.0])
def test_an_acknowledged_order_that_is_forgotten_ends_as_its_own_fills_state(
    filled: str, known: bool, reach_s: float
) -> None:
    """Also beyond the reach of the lists, with fills of others that no list shows, and with its fill known before."""
    world = World(lookup_s=60.0, history_s=reach_s, forgets_unfilled=True)
    world.go()
    place(world, limit("vm1"))
    rested = world.exchange.by_client("vm1")
    assert rested is not None
    world.exchange.fill(rested, D(filled))
    if known:
        world.reports()
    world.exchange.end(rested, S.CANCELED)
    if D(filled):
        world.exchange._is_listed = lambda one, since_ns: False  # type: ignore[method-assign]
    web = theirs(world.exchange, "web")
    world.exchange.fill(world.exchange.orders[web], D(1))
    later(world)
    wait(world, 30)
    order = world.journal.orders["vm1"]
    assert (order.status, order.filled) == (S.FILLED if filled == "1" else S.EXPIRED, D(filled))
    assert not world.machine.in_doubt


@pytest.mark.parametrize(("filled", "ended"), [("0", S.CANCELED), ("0.4", S.EXPIRED), ("1", S.FILLED)])
def test_an_acknowledged_order_that_the_exchange_purged_was_cancelled(filled: str, ended: OrderStatus) -> None:
    """Where every order that ends without a fill is purged, only a cancel explains the absence of an acknowledged
    order; an order with fills is never purged."""
    world = World(lookup_s=0.0, purges_unfilled=True)
    world.go()
    place(world, limit("vm1"))
    rested = world.exchange.by_client("vm1")
    assert rested is not None
    world.exchange.fill(rested, D(filled))
    world.exchange.end(rested, S.CANCELED)
    later(world)
    wait(world, 30)
    order = world.journal.orders["vm1"]
    if filled == "0":
        assert (order.status, order.code) == (ended, "not_there")
        assert "ended without a fill" in str(order.reason)
    assert order.filled == D(filled)
    assert order.is_done
    assert not world.machine.in_doubt


def test_the_absence_of_a_purged_order_is_no_proof_that_it_never_existed() -> None:
    """The order had arrived and was cancelled; the mesh has no answer to it, and only says what it knows."""
    world = World(lookup_s=0.0, purges_unfilled=True)
    world.go()
    place(world, limit("vm1"), fate="queued")
    world.perform()
    world.arrive(world.requests[0])
    world.requests.clear()
    world.asks.clear()
    rested = world.exchange.by_client("vm1")
    assert rested is not None
    world.exchange.end(rested, S.CANCELED)
    later(world)
    wait(world, 30)
    order = world.journal.orders["vm1"]
    assert order.status is S.FAILED
    assert "or the exchange ended it without a fill" in str(order.reason)


def test_an_acknowledged_order_that_lookups_forgot_is_not_called_expired() -> None:
    world = World(lookup_s=60.0)
    world.exchange.lookup_ns = 60 * SECOND_NS
    world.go()
    place(world, limit("vm1"))
    rested = world.exchange.by_client("vm1")
    assert rested is not None
    world.exchange.fill(rested, D(1))
    rested.status = S.EXPIRED  # it is in no list of open orders; its fills tell the truth
    del world.exchange.orders[rested.exchange_id]
    world.exchange.stream.clear()
    other = replace(rested)
    read = world.exchange.read

    def answer(draft):  # type: ignore[no-untyped-def]
        if draft.kind is Kind.FILLS and "after" not in dict(draft.params):
            return Reply(fills=tuple(other.fills))
        return read(draft)

    world.exchange.read = answer  # type: ignore[method-assign]
    later(world)
    wait(world, 30)
    assert status(world) is S.FILLED
    assert len(world.journal.fills_of("vm1")) == 1


def test_an_order_at_the_edge_of_the_memory_is_searched_in_the_lists() -> None:
    """The exchange's clock forgets it a moment before ours."""
    world = World(lookup_s=8.0)
    world.go()
    place(world, limit("vm1"))
    rested = world.exchange.by_client("vm1")
    assert rested is not None
    world.exchange.end(rested, S.CANCELED)
    later(world, 7)
    world.exchange.now_ns += SECOND_NS + 1
    for _ in range(30):
        world.go()
        world.advance(0.1)
    assert world.journal.orders["vm1"].status is S.CANCELED
