"""Repeated commands, and commands at bad moments: the machine neither loses nor doubles nor forgets an order."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes.order_world import TIMEOUT, World, limit, market
from venuemesh.actors.orders.settings import Limits
from venuemesh.connectors.reports import BalanceReport
from venuemesh.model.errors import JournalUnavailable, RuleViolation, UnknownInstrument, UnknownOrder
from venuemesh.model.events import Side
from venuemesh.model.ids import OrderIds, born
from venuemesh.model.order import EventType, NewOrder, Order, OrderStatus, as_order
from venuemesh.model.time import SECOND_NS

S = OrderStatus


def world(**settings: Any) -> World:
    made = World(**settings)
    rest(made)
    return made


def rest(made: World) -> None:
    made.go()
    made.reports()
    made.go()


def place(made: World, *orders: NewOrder, kind: str | None = None, expires_s: int = 10) -> str:
    token, expires_ns = made.token(), made.now.ns + expires_s * SECOND_NS
    if kind is None:
        made.do(made.machine.place(token, orders, expires_ns, made.now))
    else:
        made.do(made.machine.place_list(token, kind, orders, expires_ns, made.now))
    return token


def change(made: World, new: NewOrder, old: str = "vm1") -> str:
    token = made.token()
    made.do(made.machine.replace(token, old, new, made.now.ns + 10 * SECOND_NS, made.now))
    return token


def pass_time(made: World, seconds: int) -> None:
    for _ in range(seconds):
        made.advance(1.0)
        rest(made)


def test_a_repeated_replace_to_a_successor_is_answered_with_its_outcome() -> None:
    made, new = world(), limit("vm2", amount="3.0")
    place(made, limit("vm1", amount="2.0"))
    rest(made)
    change(made, new)
    rest(made)
    order = made.exchange.by_client("vm2")
    assert order is not None
    made.exchange.fill(order, Decimal(3))
    rest(made)
    made.crash()
    rest(made)
    again = change(made, new)
    rest(made)
    assert [one.status for one in made.answer(again)] == [S.CANCELED, S.FILLED]
    made.settle()
    made.check()


def test_a_replace_does_not_bring_an_id_that_was_declared_dead() -> None:
    made = world()
    place(made, limit("vm1"))
    asked = made.token()
    made.do(made.machine.get(asked, "vm2", made.now))
    rest(made)
    made.crash()
    rest(made)
    token = change(made, limit("vm2"))
    rest(made)
    assert isinstance(made.answer(token), UnknownOrder)
    made.settle()
    made.check()


@pytest.mark.parametrize("kind", ["amend", "replace"])
def test_a_change_that_waited_is_refused_when_the_journal_is_gone(kind: str) -> None:
    made = world()
    place(made, limit("vm1", amount="2.0"))
    rest(made)
    made.crash()
    made.perform()
    token = made.token()
    if kind == "amend":
        made.do(made.machine.amend(token, "vm1", Decimal(1), made.now))
    else:
        made.do(made.machine.replace(token, "vm1", limit("vm2"), made.now.ns + 10 * SECOND_NS, made.now))
    made.journal_fault = "before"
    made.do(made.machine.pause("account", "why", made.now))
    made.do(made.machine.resume("account", made.now))
    made.go()
    assert made.machine.serving
    assert isinstance(made.answer(token), JournalUnavailable)
    made.settle()
    made.check()


def test_an_amend_that_was_done_under_a_predecessor_is_not_reported_as_failed() -> None:
    made = world()
    place(made, limit("vm1", amount="2.0"))
    rest(made)
    made.do(made.machine.amend(made.token(), "vm1", Decimal(1), made.now))
    made.perform()
    (request,) = made.requests
    made.arrive(request)
    made.crash()
    made.requests.clear()
    pass_time(made, 20)
    types = [event.type for event in made.journal.events if event.client_order_id == "vm1"]
    assert types == [EventType.CREATED, EventType.AMENDED]
    again = made.token()
    made.do(made.machine.amend(again, "vm1", Decimal(1), made.now))
    rest(made)
    assert made.answer(again).amount == 1
    made.settle()
    made.check()


def test_an_order_of_a_list_may_have_spent_the_reservation_of_another() -> None:
    made = world()
    place(made, limit("vm1", amount="2.0"), limit("vm2", amount="2.0", price="120"), kind="OCO")
    made.go(requests=False)
    (request,) = made.requests
    made.arrive(request)
    filled = made.exchange.by_client("vm1")
    assert filled is not None
    made.exchange.fill(filled, Decimal(2))
    made.deliver(request)
    kept, made.exchange.stream = made.exchange.stream, []
    for report in kept:
        if not isinstance(report, BalanceReport):
            made.do(made.machine.report(report, made.now))
    assert made.machine.balance("USDT").available <= made.exchange.free["USDT"]
    made.exchange.stream = [report for report in kept if isinstance(report, BalanceReport)]
    made.settle()
    made.check()


def test_a_sale_is_worth_what_the_book_pays_for_any_limit_price() -> None:
    made = world(limits=Limits(max_order_notional=Decimal(500)))
    token = place(made, limit("vm1", Side.SELL, amount="10.0", price="1"))
    rest(made)
    assert isinstance(made.answer(token), RuleViolation)
    assert made.answer(token).rule == "max_order_notional"


def test_an_order_whose_owner_was_dead_already_is_cancelled_unless_it_lives_again() -> None:
    made = world()
    for owner in ("dead", "back"):
        made.do(made.machine.lease(owner, "cancel", 5.0, made.now))
    pass_time(made, 6)
    place(made, limit("vm1", owner="dead"))
    place(made, limit("vm2", owner="back"))
    rest(made)
    made.do(made.machine.lease("back", "cancel", 100.0, made.now))
    pass_time(made, 40)
    states = {name: made.exchange.by_client(name) for name in ("vm1", "vm2")}
    assert {name: one.status for name, one in states.items() if one is not None} == {"vm1": S.CANCELED, "vm2": S.OPEN}


def test_an_order_that_was_called_absent_and_shows_up_is_cancelled() -> None:
    made = world()
    place(made, limit("vm1"))
    made.go(requests=False)
    (request,) = made.requests
    made.deliver(request, TIMEOUT)
    for _ in range(30):
        made.advance(1.0)
        made.go(requests=False)
    order = made.machine.order("vm1")
    assert order is not None
    assert order.status is S.FAILED
    made.exchange.now_ns -= 60 * SECOND_NS  # its clock is set back: what was over is valid again
    made.arrive(request)
    made.requests.clear()
    made.exchange.now_ns += 60 * SECOND_NS
    pass_time(made, 3)
    found = made.exchange.by_client("vm1")
    assert found is not None
    assert found.status is S.CANCELED
    assert [event.code for event in made.journal.events if event.type is EventType.EXTERNAL] == ["late"]


def test_an_id_whose_maker_s_clock_is_ahead_is_looked_up() -> None:
    made = World(born=born)
    rest(made)
    order_id = OrderIds(made.now.ns + 300 * SECOND_NS, 7)()
    place(made, market(order_id), expires_s=310)
    rest(made)
    made.crash()
    rest(made)
    again = place(made, market(order_id), expires_s=310)
    rest(made)
    assert [one.status for one in made.answer(again)] == [S.FILLED]
    assert len(made.exchange.orders) == 1


def test_a_restored_market_buy_reserves_everything_only_until_its_cost_is_known() -> None:
    made = world()
    rest(made)
    free = made.machine.balance("USDT").available
    place(made, market("vm1", amount="1.0"))
    made.go(requests=False)  # its request is on the way
    made.has_tops = False
    made.crash()
    made.go(requests=False)
    assert made.machine.balance("USDT").available == 0
    made.give_tops()
    placed = place(made, limit("vm2", amount="1.0"))
    made.go(requests=False)
    assert not [one for one in made.answers.get(placed, ()) if isinstance(one, Exception)]
    assert made.machine.order("vm2") is not None
    left = made.machine.balance("USDT").available
    assert 0 < left < free - 200  # two orders of about 100 are reserved


def test_an_order_on_a_pair_that_is_not_listed_is_not_restored() -> None:
    made = world()
    order: Order = replace(as_order(limit("vm9"), "acme", "main", made.now.ns), pair="FOO-BAR")
    token = made.token()
    made.do(made.machine.restore(token, [order], made.now))
    pass_time(made, 5)
    assert isinstance(made.answer(token), UnknownInstrument)
    assert made.machine.reconciled


def test_dead_owners_with_nothing_open_are_forgotten() -> None:
    made = world(max_owners=5)
    made.do(made.machine.lease("first", "cancel", 1.0, made.now))
    place(made, limit("vm1", owner="first"))
    for number in range(20):
        made.do(made.machine.lease(f"owner{number}", "keep", 1.0, made.now))
        pass_time(made, 2)
    assert made.machine.status()["owners"] <= 6
    found = made.exchange.by_client("vm1")
    assert found is not None
    assert found.status is S.CANCELED


def test_no_caller_is_woken_for_cancels_while_the_journal_is_away() -> None:
    made = world()
    made.do(made.machine.lease("bob", "cancel", 1.0, made.now))
    place(made, limit("vm1", owner="bob"))
    rest(made)
    made.journal_fault = "before"
    made.do(made.machine.pause("account", "why", made.now))
    made.go()
    made.advance(3.0)
    made.go()
    made.tick()
    assert made.machine.wake_ns > made.mono_ns
    made.settle()
    made.check()
    assert not made.machine.orders()
