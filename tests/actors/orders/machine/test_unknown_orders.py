"""Orders with an id of our form that the journal does not know: after a restored backup, and next to another mesh."""

from __future__ import annotations

import copy
from decimal import Decimal as D
from typing import Any

import pytest

from tests.fakes.order_exchange import OFFER, Rested
from tests.fakes.order_world import EPOCH_S, World, limit
from venuemesh.actors.orders.condition import condition
from venuemesh.actors.orders.machine.effects import Lookup
from venuemesh.actors.orders.machine.requests import QUERIES_MAX
from venuemesh.connectors.binance.spec import OFFER as BINANCE
from venuemesh.connectors.bybit.spec import OFFER as BYBIT
from venuemesh.connectors.coinbase.spec import OFFER as COINBASE
from venuemesh.connectors.htx.spec import OFFER as HTX
from venuemesh.connectors.kraken.spec import OFFER as KRAKEN
from venuemesh.connectors.okx.spec import OFFER as OKX
from venuemesh.connectors.order_codec import Kind
from venuemesh.model.errors import UnknownOrder
from venuemesh.model.events import Side
from venuemesh.model.ids import OrderIds, born
from venuemesh.model.order import ADOPTED, EventType, OrderStatus
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
BEFORE_NS, NOW_NS = EPOCH_S * SECOND_NS, (EPOCH_S + 1000) * SECOND_NS  # long before the manager starts; when it starts


def a_world(**more: Any) -> World:
    world = World(born=born, **more)
    world.go()
    return world


def place(world: World, *orders: Any) -> None:
    world.do(world.machine.place(world.token(), list(orders), world.now.ns + 10 * SECOND_NS, world.now))
    world.go()
    world.reports()


def restored(world: World, backup: Any) -> None:
    """Continue with an older journal."""
    backup.epoch = world.journal.epoch  # its file has an older one; nothing else fences in this world
    world.journal = backup
    world.exchange.stream.clear()
    world.crash()
    world.settle()


def on(world: World, one: str) -> Rested:
    found = world.exchange.by_client(one)
    assert found is not None
    return found


def cancel_all(world: World) -> list[Any]:
    token = world.token()
    world.do(world.machine.cancel_all(token, world.now))
    world.go()
    world.reports()
    found: list[Any] = world.answer(token)
    return found


def adopted(world: World) -> list[str | None]:
    return [one.client_order_id for one in world.journal.events if one.type is EventType.ADOPTED]


def shown(world: World) -> str:
    return condition(world.machine.status(), "acme", "main", None, [])[1] or ""


@pytest.mark.parametrize("exchange", OFFERS)
def test_open_orders_that_a_restored_journal_lacks_are_adopted_and_cancelled_with_the_others(exchange: str) -> None:
    world, ids = a_world(like=OFFERS[exchange]), OrderIds(BEFORE_NS, 1)
    known, lost, partly = ids(), ids(), ids()
    place(world, limit(known, owner="quoter"))
    backup = copy.deepcopy(world.journal)
    place(world, limit(lost, owner="quoter"), limit(partly, Side.SELL, amount="2", price="110", owner="quoter"))
    world.exchange.fill(on(world, partly), D("0.5"))
    world.exchange.fill(on(world, partly), D("0.3"))
    restored(world, backup)
    world.check()  # each order and each fill, as the exchange has them
    assert sorted(one or "" for one in adopted(world)) == sorted([lost, partly])
    assert not world.machine.externals()
    order = world.machine.order(partly)
    assert order is not None
    assert (order.filled, order.owner, order.code, order.side) == (D("0.8"), "quoter", ADOPTED, Side.SELL)
    assert "the journal is older than the exchange: it did not know 2 open orders" in shown(world)
    assert {one.client_order_id for one in cancel_all(world)} == {known, lost, partly}
    world.settle()
    assert not any(one.open for one in world.exchange.orders.values())
    assert shown(world) == ""
    world.check()


def test_an_adopted_order_is_the_same_after_a_restart() -> None:
    world, ids = a_world(), OrderIds(BEFORE_NS, 1)
    backup, lost = copy.deepcopy(world.journal), ids()
    place(world, limit(lost))
    restored(world, backup)
    world.crash()
    world.settle()
    assert adopted(world) == [lost]
    assert "did not know the open order" in shown(world)
    world.check()


def test_the_death_of_the_owner_cancels_an_adopted_order() -> None:
    world, ids = a_world(owner_grace_s=30.0), OrderIds(BEFORE_NS, 1)
    world.do(world.machine.lease("quoter", "cancel", 10.0, world.now))
    world.do(world.machine.lease("other", "keep", 10.0, world.now))
    place(world, limit(ids(), owner="quoter"))
    backup, lost, others = copy.deepcopy(world.journal), ids(), OrderIds(BEFORE_NS, 2)
    place(world, limit(lost, owner="quoter"))
    unowned = others()
    place(world, limit(unowned, owner="quoter"))  # the journal has no other order of its maker
    restored(world, backup)
    found = {one: world.machine.order(one) for one in (lost, unowned)}
    assert {one: order and order.owner for one, order in found.items()} == {lost: "quoter", unowned: ""}
    world.do(world.machine.lease("quoter", "cancel", 10.0, world.now))
    world.advance(11)
    world.go()
    world.settle()
    assert not any(one.open for one in world.exchange.orders.values())


def test_an_unowned_order_that_is_found_after_every_owner_died_is_cancelled() -> None:
    world, ids = a_world(owner_grace_s=5.0), OrderIds(BEFORE_NS, 1)
    world.do(world.machine.lease("quoter", "cancel", 1.0, world.now))
    world.go()
    backup, lost = copy.deepcopy(world.journal), ids()
    place(world, limit(lost, owner="quoter"))
    world.journal, backup.epoch = backup, world.journal.epoch
    world.exchange.stream.clear()
    world.crash()
    world.perform()
    world.advance(6)  # the answers are late: the owner dies before the order is known
    world.perform()
    world.settle()
    world.advance(6)
    world.go()
    world.settle()
    assert not on_exchange(world)


def on_exchange(world: World) -> list[Rested]:
    return [one for one in world.exchange.orders.values() if one.open]


@pytest.mark.parametrize("by_time", [False, True])
def test_a_lost_order_that_has_ended_is_an_own_order_with_its_fills(by_time: bool) -> None:
    world, ids = a_world(by_time=by_time), OrderIds(BEFORE_NS, 1)
    place(world, limit(ids()))  # its pair is walked
    backup, lost = copy.deepcopy(world.journal), ids()
    place(world, limit(lost, owner="quoter"))
    world.exchange.fill(on(world, lost), D(1))
    restored(world, backup)
    world.settle()
    order = world.journal.orders[lost]
    assert (order.status, order.filled, order.external) == (S.FILLED, D(1), False)
    assert [one.amount for one in world.journal.fills_of(lost)] == [D(1)]
    assert len(world.journal.fills) == 1
    filled = [one for one in world.journal.events if one.type is EventType.FILLED]
    assert [one.client_order_id for one in filled] == [lost]
    world.crash()
    world.settle()
    assert world.journal.orders[lost] == order
    assert not [one for one in world.journal.orders.values() if one.external and not one.is_done]


def test_many_unknown_fills_are_looked_up_a_few_at_a_time() -> None:
    """Otherwise they would fill the queue for rate units. The account is reconciled meanwhile, and none looks open."""
    world, ids = a_world(by_time=True), OrderIds(BEFORE_NS, 1)
    place(world, limit(ids()))
    backup, lost = copy.deepcopy(world.journal), [ids() for _ in range(3 * QUERIES_MAX)]
    for one in lost:
        place(world, limit(one, amount="0.1"))
        world.exchange.fill(on(world, one), D("0.1"))
    backup.epoch = world.journal.epoch
    world.journal = backup
    world.exchange.stream.clear()
    world.crash()
    most, is_busy, answers = 0, False, 0
    while not all(one in world.journal.orders and world.journal.orders[one].status is S.FILLED for one in lost):
        world.perform()
        under_way = sum(one.what.kind is Kind.ORDER for one in world.asks)
        most = max(most, under_way)
        if under_way == QUERIES_MAX:
            world.do(world.machine.tick(world.now))
            world.perform()
            is_busy = is_busy or world.machine.wake_ns <= world.now.mono_ns  # it would be called without a pause
        assert not [one for one in world.machine.orders() if one.client_order_id in lost]
        of_no_order = [one for one in world.asks if one.what.kind is not Kind.ORDER]
        if (is_still := not of_no_order) and not answers:  # only those queries are open, and they hold back nothing
            assert world.machine.reconciled
            assert f"{len(lost)} ended orders with fills are being queried" in shown(world)
        for one in of_no_order or world.asks[:1]:
            world.arrive(one)
            world.deliver(one)
            answers += is_still
        if not world.asks:
            world.advance(1.0)
        assert world.now.ns < NOW_NS + 3_600 * SECOND_NS
    assert most == QUERIES_MAX
    assert not is_busy
    world.settle()
    assert world.machine.reconciled
    assert world.machine.status()["looked_for"] == 0


def test_orders_of_another_mesh_stay_external_and_the_status_says_so() -> None:
    world = a_world()
    others = OrderIds(world.now.ns + 200 * SECOND_NS, 9)
    world.advance(300)
    theirs = others()
    world.exchange.place(limit(theirs))
    world.settle()
    (external,) = world.machine.externals()
    assert external.external
    assert not adopted(world)
    assert "another mesh trades on this account with another journal" in shown(world)
    assert cancel_all(world) == []
    world.crash()  # that mesh began before this manager: the journal remembers it
    world.advance(100)
    again = others()
    world.exchange.place(limit(again))
    world.settle()
    assert not adopted(world)
    assert len(world.machine.status()["of_other_meshes"]) == 2
    assert len(on_exchange(world)) == 2


def test_an_order_that_was_placed_while_this_manager_ran_is_another_mesh_s() -> None:
    """Its maker began earlier, but a complete list of the open orders did not have it."""
    world, others = a_world(), OrderIds(BEFORE_NS, 9)
    world.advance(130)
    world.settle()
    world.advance(61)
    world.settle()
    world.exchange.place(limit(others()))
    world.settle()
    assert not adopted(world)
    assert len(world.machine.externals()) == 1


def test_a_maker_whose_clock_is_ahead_a_little_is_ours() -> None:
    world = a_world()
    backup, lost = copy.deepcopy(world.journal), OrderIds(world.now.ns + 20 * SECOND_NS, 1)()
    place(world, limit(lost))
    restored(world, backup)
    assert adopted(world) == [lost]


def test_as_configured_lost_orders_stay_external_until_they_are_adopted_by_request() -> None:
    world, ids = a_world(unknown_orders="external"), OrderIds(BEFORE_NS, 1)
    place(world, limit(ids(), owner="quoter"))
    backup, lost, second = copy.deepcopy(world.journal), ids(), ids()
    place(world, limit(lost, amount="2"), limit(second))
    world.exchange.fill(on(world, lost), D("0.5"))
    restored(world, backup)
    assert not adopted(world)
    assert "venuemesh journal adopt acme/main" in shown(world)
    assert len(world.machine.status()["adoptable"]) == 2
    world.do(world.machine.adopt("no", ["vm-nobody"], world.now))
    world.do(world.machine.adopt("one", [lost], world.now))
    world.go()
    assert isinstance(world.answer("no"), UnknownOrder)
    assert [one.client_order_id for one in world.answer("one")] == [lost]
    world.do(world.machine.adopt("all", None, world.now))
    world.settle()
    assert [one.client_order_id for one in world.answer("all")] == [second]
    assert world.machine.status()["adoptable"] == []
    order = world.machine.order(lost)
    assert order is not None
    assert (order.filled, order.status, len(world.journal.fills_of(lost))) == (D("0.5"), S.PARTIALLY_FILLED, 1)
    assert len(cancel_all(world)) == 3
    world.settle()
    assert not on_exchange(world)
    world.crash()
    world.settle()
    assert not world.machine.externals()
    assert world.machine.reconciled


def test_a_status_while_orders_are_looked_up_loses_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ids = a_world(unknown_orders="external"), OrderIds(BEFORE_NS, 1)
    backup, perform = copy.deepcopy(world.journal), World._perform
    place(world, limit(ids()), limit(ids()), limit(ids()))

    counts: list[int] = []  # of adoptable orders, after each lookup of an external one in the journal

    def queried(world: World, effect: Any) -> None:
        world.machine.status()
        perform(world, effect)
        if isinstance(effect, Lookup) and effect.key.startswith("id:external:"):
            counts.append(len(world.machine.status()["adoptable"]))

    monkeypatch.setattr(World, "_perform", queried)
    restored(world, backup)
    assert counts == [1, 2, 3]


def test_what_the_journal_has_as_external_stays_external_until_it_is_adopted() -> None:
    world, ids = a_world(unknown_orders="external"), OrderIds(BEFORE_NS, 1)
    backup, lost = copy.deepcopy(world.journal), ids()
    place(world, limit(lost))
    restored(world, backup)
    world.settings = type(world.settings)("acme", "main")
    world.crash()
    world.settle()
    assert not adopted(world)
    assert len(world.machine.status()["adoptable"]) == 1
    world.do(world.machine.adopt("all", None, world.now))
    world.settle()
    assert adopted(world) == [lost]
    world.check()


def test_an_id_that_was_queried_too_early_is_adopted_all_the_same() -> None:
    world, ids = a_world(), OrderIds(BEFORE_NS, 1)
    backup, lost = copy.deepcopy(world.journal), ids()
    place(world, limit(lost))
    backup.epoch, world.journal = world.journal.epoch, backup
    world.crash()
    world.do(world.machine.get("early", lost, world.now))
    world.perform()
    assert isinstance(world.answer("early"), UnknownOrder)
    world.settle()
    world.do(world.machine.get("later", lost, world.now))
    world.perform()
    assert world.answer("later").status is S.OPEN


def test_the_saved_state_of_an_adopted_order_returns_its_owner() -> None:
    world, ids = a_world(), OrderIds(BEFORE_NS, 1)
    backup, lost = copy.deepcopy(world.journal), ids()
    place(world, limit(lost, owner="quoter"))
    saved = world.machine.order(lost)
    assert saved is not None
    restored(world, backup)
    for token in ("first", "second"):
        world.do(world.machine.restore(token, [saved], world.now))
        world.go()
    assert (world.answer("first"), world.answer("second")) == ([lost], [])
    order = world.machine.order(lost)
    assert order is not None
    assert (order.owner, order.code) == ("quoter", None)
    world.check()


def test_cancel_all_right_after_the_start_waits_for_the_orders_that_are_looked_up() -> None:
    world, ids = a_world(), OrderIds(BEFORE_NS, 1)
    backup, lost = copy.deepcopy(world.journal), ids()
    place(world, limit(lost))
    backup.epoch, world.journal = world.journal.epoch, backup
    world.crash()
    world.do(world.machine.cancel_all("all", world.now, timeout_s=10.0))
    world.go()
    world.reports()
    assert [(one.client_order_id, one.done) for one in world.answer("all")] == [(lost, True)]
    assert not on_exchange(world)
