"""Answers that only acknowledge: the stream, or a query after a while, states the order's status."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.actors.orders.machine.test_machine import cancel, events, place, status
from tests.fakes.order_exchange import OFFER, FakeCodec
from tests.fakes.order_world import World, limit, market
from venuemesh.connectors.order_codec import Kind
from venuemesh.connectors.reports import FillReport
from venuemesh.model.errors import Rejected, RetryLater
from venuemesh.model.events import Side
from venuemesh.model.order import OrderStatus

S = OrderStatus
D = Decimal


@pytest.fixture
def world() -> World:
    found = World(acknowledges=True)
    found.go()
    assert found.machine.reconciled
    return found


def queries(world: World) -> int:
    return sum(one.what.kind is Kind.ORDER for one in world.asks)  # type: ignore[union-attr]


def test_an_acknowledged_order_is_open_and_is_queried_when_no_report_comes(world: World) -> None:
    token = place(world, limit("vm1"))
    assert world.answer(token)[0].status is S.OPEN
    assert world.machine.order("vm1").exchange_order_id  # type: ignore[union-attr]
    world.advance(0.9)
    world.perform()
    assert queries(world) == 0
    world.advance(0.2)
    world.perform()
    assert queries(world) == 1
    world.go()
    world.advance(5.0)
    world.perform()
    assert queries(world) == 0
    assert events(world) == ["created"]


def test_a_report_makes_the_query_superfluous(world: World) -> None:
    place(world, limit("vm1"))
    world.reports()
    world.advance(2.0)
    world.perform()
    assert queries(world) == 0


def test_a_market_order_of_which_no_report_comes_is_filled_by_a_query(world: World) -> None:
    place(world, market("vm1", Side.BUY, D(1)))
    assert status(world) is S.OPEN
    world.exchange.stream.clear()
    for _ in range(4):
        world.advance(1.1)
        world.go()
    assert status(world) is S.FILLED
    assert sum(fill.amount for fill in world.journal.fills_of("vm1")) == D(1)


def test_a_cancel_is_concluded_by_its_report(world: World) -> None:
    place(world, limit("vm1"))
    world.reports()
    token = cancel(world)
    world.go()
    assert status(world) is S.PENDING_CANCEL
    assert token not in world.answers
    world.reports()
    assert world.answer(token).status is S.CANCELED
    world.advance(2.0)
    world.perform()
    assert queries(world) == 0


def test_a_cancel_without_a_report_is_concluded_by_a_query(world: World) -> None:
    place(world, limit("vm1"))
    world.reports()
    token = cancel(world)
    world.go()
    world.exchange.stream.clear()
    world.advance(1.1)
    world.go()
    assert world.answer(token).status is S.CANCELED
    assert world.machine.reconciled


def test_a_cancel_that_is_only_late_is_not_called_refused_and_its_end_is_found(world: World) -> None:
    place(world, limit("vm1"))
    world.reports()
    world.exchange.lazy = True
    token = cancel(world)
    world.go()
    world.advance(0.9)
    world.go()
    assert token not in world.answers
    world.advance(0.2)
    world.go()
    result = world.answer(token)
    assert (result.done, result.status, result.code) == (False, S.PENDING_CANCEL, "acknowledged")
    assert events(world) == ["created"]
    for _ in range(3):
        world.advance(1.0)
        world.go()
    assert status(world) is S.PENDING_CANCEL
    world.exchange.catch_up()
    world.exchange.stream.clear()  # no report comes
    for _ in range(10):
        world.advance(1.0)
        world.go()
    assert status(world) is S.CANCELED
    assert events(world) == ["created", "cancelled"]
    assert world.machine.reconciled
    assert not world.journal.unsettled()


def test_a_late_cancel_is_concluded_by_its_report_too(world: World) -> None:
    place(world, limit("vm1"))
    world.reports()
    world.exchange.lazy = True
    token = cancel(world)
    world.go()
    world.exchange.catch_up()
    world.reports()
    assert world.answer(token).done
    assert not world.journal.unsettled()


def test_an_acknowledged_cancel_without_effect_fails_when_it_can_no_longer_take_effect(world: World) -> None:
    """The request is valid for 5 s, and the exchange may work on it for one more second."""
    place(world, limit("vm1"))
    world.reports()
    world.exchange.lazy = True
    began_ns = world.now.mono_ns
    cancel(world)
    while status(world) is S.PENDING_CANCEL:
        world.go()
        world.advance(0.2)
        assert world.now.mono_ns < began_ns + 30 * 10**9
    assert world.now.mono_ns > began_ns + 6 * 10**9
    assert status(world) is S.OPEN
    assert events(world) == ["created", "cancel_failed"]
    assert not world.journal.unsettled()
    world.exchange.lazy = False
    token = cancel(world)
    world.go()
    world.reports()
    assert world.answer(token).done


def test_cancel_all_repeats_a_cancel_that_had_no_effect(world: World) -> None:
    place(world, limit("vm1"))
    world.reports()
    world.exchange.lazy = True
    token = world.token()
    world.do(world.machine.cancel_all(token, world.now, timeout_s=60.0))
    for _ in range(10):
        world.go()
        world.advance(1.0)
    world.exchange.lazy = False
    for _ in range(10):
        world.go()
        world.advance(1.0)
        world.reports()
    assert [one.done for one in world.answer(token)] == [True]


def test_a_successor_continues_to_query_a_late_cancel(world: World) -> None:
    place(world, limit("vm1"))
    world.reports()
    world.exchange.lazy = True
    cancel(world)
    world.go()
    world.crash()
    world.go()
    world.exchange.catch_up()
    for _ in range(10):
        world.advance(1.0)
        world.go()
    assert status(world) is S.CANCELED
    assert not world.journal.unsettled()


def test_an_amendment_is_answered_once_the_order_has_its_new_amount(world: World) -> None:
    place(world, limit("vm1", amount=D(2)))
    world.reports()
    token = world.token()
    world.do(world.machine.amend(token, "vm1", D(1), world.now))
    world.go(asks=False)
    assert token not in world.answers
    world.go()
    assert world.answer(token).amount == D(1)
    assert events(world) == ["created", "amended"]
    assert world.machine.reconciled


def test_an_amendment_of_an_order_that_ended_meanwhile_fails(world: World) -> None:
    place(world, limit("vm1", amount=D(2)))
    world.reports()
    world.exchange.amend = lambda client_id, amount, price: world.exchange.by_client(client_id)  # type: ignore
    token = world.token()
    world.do(world.machine.amend(token, "vm1", D(1), world.now))
    world.go(asks=False)
    world.exchange.end(world.exchange.by_client("vm1"), S.CANCELED)
    world.go()
    assert isinstance(world.answer(token), Rejected)
    assert events(world) == ["created", "cancelled", "amend_failed"]


@pytest.mark.parametrize("dies", [False, True])
def test_the_time_until_an_order_is_found_begins_with_its_acknowledgement(dies: bool) -> None:
    """The request may have waited long after the order was journaled."""
    world = World(like=replace(OFFER, appears_s=5.0), acknowledges=True)
    world.go()
    place(world, limit("vm1"), fate="sent")
    world.advance(4.4)
    world.arrive(world.requests[0])
    world.deliver(world.requests[0])
    world.exchange.stream.clear()
    world.perform()
    if dies:
        world.crash()
    for _ in range(16):
        world.advance(0.5)
        world.perform()
        for ask in list(world.asks):
            if ask.what.kind is Kind.OPEN_ORDERS:  # type: ignore[union-attr]
                world.deliver(ask, RetryLater(1.0, "busy"))
        world.go()
        assert status(world) is S.OPEN
    world.settle()
    world.check()


def test_absence_right_after_the_acknowledgement_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some exchanges cannot find an order that they have just acknowledged."""
    slow = FakeCodec(replace(OFFER, appears_s=5.0))
    monkeypatch.setattr("tests.fakes.order_world.FakeCodec", lambda *args: slow)
    world = World(acknowledges=True)
    world.go()
    place(world, limit("vm1"))
    world.exchange.stream.clear()
    read = world.exchange.read
    world.exchange.read = lambda draft: (  # type: ignore[method-assign]
        Rejected("unknown_order", "not yet") if draft.kind is Kind.ORDER else read(draft)
    )
    for _ in range(4):
        world.advance(1.1)
        world.go()
    assert status(world) is S.OPEN
    for _ in range(4):
        world.advance(1.1)
        world.go()
    assert status(world) is S.EXPIRED


def test_pages_of_fills_are_walked_by_the_exchanges_own_number(world: World) -> None:
    """Two own orders that traded with each other share a trade id: a page may end between them."""
    for number in ("vm1", "vm2"):
        place(world, limit(number))
    one, two = (world.exchange.by_client(number).exchange_id for number in ("vm1", "vm2"))  # type: ignore[union-attr]
    fills = [
        FillReport("7", D(100), D("0.1"), D(10), D(0), "BTC", True, world.exchange.now_ns, order, page=page)
        for order, page in ((one, "901"), (two, "902"))
    ]
    read = world.exchange.read

    def answer(draft):  # type: ignore[no-untyped-def]
        if draft.kind is not Kind.FILLS:
            return read(draft)
        words = dict(draft.params)
        left = [fill for fill in fills if int(fill.page) > int(words.get("after") or 0)]
        return replace(read(draft), fills=tuple(left[:1]))

    world.exchange.read = answer  # type: ignore[method-assign]
    world.do(world.machine.stream("gap", world.now))
    world.go()
    assert [world.machine.order(number).filled for number in ("vm1", "vm2")] == [D("0.1")] * 2  # type: ignore[union-attr]
    assert world.journal.marks["fills:BTC-USDT"] == "902"
