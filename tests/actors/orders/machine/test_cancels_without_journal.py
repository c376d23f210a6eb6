"""While the journal cannot be written, cancels are sent without it (docs/adr/0013), and nothing else is."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from tests.fakes.order_exchange import OFFER
from tests.fakes.order_world import TIMEOUT, World, limit
from venuemesh.connectors.binance.spec import OFFER as BINANCE
from venuemesh.connectors.bybit.spec import OFFER as BYBIT
from venuemesh.connectors.coinbase.spec import OFFER as COINBASE
from venuemesh.connectors.htx.spec import OFFER as HTX
from venuemesh.connectors.kraken.spec import OFFER as KRAKEN
from venuemesh.connectors.okx.spec import OFFER as OKX
from venuemesh.model.errors import JournalUnavailable, Rejected
from venuemesh.model.order import CancelResult, OrderStatus
from venuemesh.model.time import SECOND_NS

S = OrderStatus
OFFERS = {
    "acme": OFFER,
    "binance": BINANCE,
    "okx": OKX,
    "bybit": BYBIT,
    "coinbase": COINBASE,
    "kraken": KRAKEN,
    "htx": HTX,
}


def a_world(*orders: str, owner: str = "", **more: Any) -> World:
    """Return a world with these open orders."""
    world = World(**more)
    world.go()
    for one in orders:
        world.do(world.machine.place(world.token(), [limit(one, owner=owner)], soon(world), world.now))
        world.go()
        world.reports()
    world.go()
    return world


def soon(world: World) -> int:
    return world.now.ns + 10 * SECOND_NS


def down(world: World) -> None:
    """Let a commit fail: from now on the machine knows that the journal is down."""
    world.journal_fault = "before"
    world.do(world.machine.pause("ETH-USDT", "a write", world.now))
    world.perform()
    assert world.machine.status()["journal"] is not None


def cancel(world: World, one: str) -> str:
    token = world.token()
    world.do(world.machine.cancel(token, one, world.now))
    world.go()
    return token


def result(world: World, token: str) -> CancelResult:
    found = world.answer(token)
    assert isinstance(found, CancelResult), found
    return found


def agrees(world: World) -> None:
    """Check that journal and exchange agree when the journal is back, and that nothing more was sent."""
    sent = dict(world.exchange.reached)
    world.settle()
    world.check()
    assert world.exchange.reached == sent


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("exchange", OFFERS)
def test_a_cancel_whose_intent_the_journal_does_not_accept_is_sent_at_once(exchange: str, fault: str) -> None:
    world = a_world("vm1", like=OFFERS[exchange])
    world.journal_fault = fault
    token = cancel(world, "vm1")
    world.reports()
    found = result(world, token)
    assert (found.done, found.status, found.journaled) == (True, S.CANCELED, False)
    assert world.journal.orders["vm1"].status is not S.CANCELED
    assert world.machine.status()["unjournaled_cancels"] == 1
    agrees(world)
    assert [one.type.value for one in world.journal.events][-1] == "cancelled"


@pytest.mark.parametrize("batch", [0, 10])
def test_cancel_all_is_sent_while_the_journal_is_down(batch: int) -> None:
    world = a_world("vm1", "vm2", "vm3", batch=batch)
    down(world)
    world.do(world.machine.cancel_all("all", world.now, timeout_s=10.0))
    world.go()
    found = world.answer("all")
    assert {one.client_order_id for one in found} == {"vm1", "vm2", "vm3"}
    assert all(one.done and not one.journaled for one in found)
    assert not any(one.open for one in world.exchange.orders.values())
    agrees(world)


def test_what_is_no_cancel_is_refused_at_once_and_never_sent() -> None:
    world = a_world("vm1")
    down(world)
    sent = dict(world.exchange.reached)
    world.do(world.machine.place("place", [limit("vm2")], soon(world), world.now))
    world.do(world.machine.amend("amend", "vm1", D("0.5"), world.now))
    world.do(world.machine.replace("replace", "vm1", limit("vm3"), soon(world), world.now))
    world.do(world.machine.cancel("old", "vm-not-in-memory", world.now))
    world.go()
    for token in ("place", "amend", "replace", "old"):
        assert isinstance(world.answer(token), JournalUnavailable)
    assert world.exchange.reached == sent
    agrees(world)
    assert [one.open for one in world.exchange.orders.values()] == [True]


def test_a_replace_that_was_not_sent_does_not_become_a_cancel() -> None:
    world = a_world("vm1")
    world.journal_fault = "before"
    world.do(world.machine.replace("replace", "vm1", limit("vm2"), soon(world), world.now))
    world.go()
    assert isinstance(world.answer("replace"), JournalUnavailable)
    agrees(world)
    order = world.machine.order("vm1")
    assert order is not None
    assert order.status is S.OPEN


def test_the_orders_of_a_dead_owner_are_cancelled_while_the_journal_is_down() -> None:
    world = a_world("vm1", owner="quoter")
    world.do(world.machine.lease("quoter", "cancel", 5.0, world.now))
    world.go()
    down(world)
    world.advance(6)
    world.go()
    assert not any(one.open for one in world.exchange.orders.values())
    agrees(world)


def test_the_result_of_a_cancel_does_not_wait_for_the_journal() -> None:
    """The intent is durable; the outcome's commit fails."""
    world = a_world("vm1")
    world.do(world.machine.cancel("one", "vm1", world.now))
    world.perform()
    world.journal_fault = "before"
    world.go()
    found = result(world, "one")
    assert (found.done, found.journaled) == (True, False)
    agrees(world)


def test_a_cancel_without_an_answer_is_queried_until_its_outcome_is_known() -> None:
    world = a_world("vm1")
    down(world)
    world.do(world.machine.cancel("one", "vm1", world.now))
    world.perform()
    (request,) = world.requests
    world.deliver(request, TIMEOUT)  # it was lost
    world.requests.clear()
    world.perform()
    assert (result(world, "one").done, result(world, "one").journaled) == (False, False)
    world.settle()
    world.check()
    assert world.answer(cancel(world, "vm1")).done
    world.settle()
    world.check()


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("exchange", OFFERS)
def test_a_successor_that_does_not_know_of_the_cancel_finds_what_it_did(exchange: str, arrives: bool) -> None:
    world = a_world("vm1", "vm2", like=OFFERS[exchange])
    down(world)
    world.do(world.machine.cancel("one", "vm1", world.now))
    world.perform()
    (request,) = world.requests
    nonce = request.what.draft.nonce
    if arrives:
        world.arrive(request)
    world.crash()
    if not arrives:  # it is still under way, and a higher nonce may overtake it
        world.go(requests=False)
        world.arrive(request)
    world.requests.clear()
    world.settle()
    world.check()
    if nonce is not None:
        assert int(world.journal.marks["nonce"]) < nonce  # the journal never had it
    world.do(world.machine.place("next", [limit("vm3")], soon(world), world.now))
    world.settle()
    assert world.answer("next")[0].status is S.OPEN
    world.check()


def test_a_refused_cancel_of_cancel_all_is_repeated_without_the_journal() -> None:
    world = a_world("vm1")
    down(world)
    real = world.exchange.execute
    world.exchange.execute = lambda request: Rejected("busy", "later")  # type: ignore[method-assign]
    world.do(world.machine.cancel_all("all", world.now, timeout_s=10.0))
    world.go()
    assert "all" not in world.answers
    world.exchange.execute = real  # type: ignore[method-assign]
    world.advance(2)
    world.go()
    assert [one.done for one in world.answer("all")] == [True]
    agrees(world)
