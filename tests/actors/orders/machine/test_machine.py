"""The machine of one account in a fake world: commands, answers, doubt and proof, the journal."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.fakes.order_world import TIMEOUT, World, limit, market
from venuemesh.actors.orders.machine.effects import Answer, Ask, Commit, Found, Halt, Lookup, Purpose, Refuse, Send
from venuemesh.connectors.order_codec import Kind, Reply
from venuemesh.connectors.reports import BalanceReport, OrderReport
from venuemesh.journal.writes import PutEvent, PutMark, PutOrder, PutRequest
from venuemesh.model.errors import (
    Fenced,
    InboxFull,
    InsufficientBalance,
    JournalUnavailable,
    Misconfigured,
    NotOffered,
    Paused,
    Rejected,
    RetryLater,
    RuleViolation,
    UnknownOrder,
)
from venuemesh.model.events import Side
from venuemesh.model.ids import OrderIds
from venuemesh.model.order import NewOrder, Order, OrderStatus, OrderType
from venuemesh.model.time import SECOND_NS

S = OrderStatus
D = Decimal
SOON = 60 * SECOND_NS


@pytest.fixture
def world() -> World:
    found = World()
    found.go()
    assert found.machine.reconciled
    return found


def place(world: World, *orders: NewOrder, fate: str = "answered") -> str:
    """Place orders and advance them to this stage; return the token."""
    token = world.token()
    world.do(world.machine.place(token, list(orders), world.now.ns + SOON, world.now))
    world.perform()
    ids = {one.client_order_id for one in orders}
    for one in [one for one in world.requests if ids & set(one.what.draft.orders)]:  # type: ignore[union-attr]
        if fate in ("answered", "lost", "arrived"):
            world.arrive(one)
        if fate == "answered":
            world.deliver(one)
        elif fate in ("lost", "late"):
            world.deliver(one, TIMEOUT)
    world.perform()
    return token


def status(world: World, one: str = "vm1") -> OrderStatus:
    order = world.machine.order(one)
    assert order is not None
    return order.status


def events(world: World, one: str = "vm1") -> list[str]:
    return [event.type.value for event in world.journal.events if event.client_order_id == one]


def cancel(world: World, one: str = "vm1") -> str:
    token = world.token()
    world.do(world.machine.cancel(token, one, world.now))
    world.perform()
    return token


# Placing


def test_the_intent_is_committed_before_the_request_and_answered_once_the_exchange_has(world: World) -> None:
    effects = world.machine.place("t", [limit("vm1")], world.now.ns + SOON, world.now)
    lookup = next(one for one in effects if isinstance(one, Lookup))
    effects = world.machine.looked_up(lookup.key, Found(), world.now)
    commit, send = effects[0], effects[1]
    assert isinstance(commit, Commit)
    assert isinstance(send, Send)
    mark, put, request = commit.batch.writes
    assert isinstance(mark, PutMark)
    assert isinstance(put, PutOrder)
    assert isinstance(request, PutRequest)
    assert (request.digest, request.not_after_ns) == (send.request.digest, send.request.not_after_ns)
    world.do(effects)
    world.go()
    (order,) = world.answer("t")
    assert order.status is S.OPEN
    assert events(world) == ["created"]


def test_the_journal_is_read_for_the_first_order_of_a_maker_only(world: World) -> None:
    make = OrderIds(1, 1)
    first, second, third, again = make(), make(), make(), make()
    for one, asked in ((first, True), (third, False), (second, False), (again, False)):
        effects = world.machine.place(one, [limit(one)], world.now.ns + SOON, world.now)
        assert any(isinstance(effect, Lookup) for effect in effects) is asked
        world.do(effects)
        world.go()
        assert world.answer(one)[0].status is S.OPEN
    world.crash()
    world.go()
    effects = world.machine.place("again", [limit(again, price="11")], world.now.ns + SOON, world.now)
    world.do(effects)
    world.go()
    assert isinstance(world.answer("again"), Rejected)  # it is another order's


def test_several_orders_of_one_command_stand_in_one_commit_before_the_first_is_sent(world: World) -> None:
    world.do(world.machine.place("t", [limit(f"vm{n}") for n in range(3)], world.now.ns + SOON, world.now))
    while any(isinstance(one, Lookup) for one in world.queue):
        world.perform(1)
    kinds = [type(one) for one in world.queue]
    assert kinds == [Commit, Send, Send, Send]
    world.go()
    assert [one.status for one in world.answer("t")] == [S.OPEN] * 3


def test_a_refusal_by_the_exchange_is_an_answer(world: World) -> None:
    world.exchange.refuse_new = True
    token = place(world, limit("vm1"))
    (order,) = world.answer(token)
    assert (order.status, order.code) == (S.REJECTED, "filter")
    assert world.machine.balance("USDT").available == D(3000)


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (limit("vm1", amount="0.01"), RuleViolation),
        (limit("vm1", amount="1000"), InsufficientBalance),
        (NewOrder("vm1", "BTC-USDT", Side.BUY, OrderType.MARKET, D(1), self_trade="NONE"), NotOffered),
    ],
)
def test_a_refused_order_is_not_sent_and_ends_as_failed(world: World, order: NewOrder, error: type[Rejected]) -> None:
    token = place(world, order)
    assert isinstance(world.answer(token), error)
    assert (status(world), events(world)) == (S.FAILED, ["failed"])
    assert not world.exchange.reached
    assert isinstance(world.answer(place(world, order)), error)  # the same answer again
    assert world.machine.balance("USDT").available == D(3000)


def test_a_command_after_its_time_is_refused_and_ends_as_failed(world: World) -> None:
    world.do(world.machine.place("t", [limit("vm1")], world.now.ns - 1, world.now))
    world.go()
    assert world.answer("t").code == "expired"
    assert (status(world), world.exchange.orders) == (S.FAILED, {})


def test_a_repeated_command_gets_the_outcome_of_the_first(world: World) -> None:
    place(world, limit("vm1"))
    world.exchange.fill(world.exchange.orders["1000"], D(1))
    world.reports()
    (order,) = world.answer(place(world, limit("vm1")))
    assert order.status is S.FILLED
    assert len(world.exchange.orders) == 1
    other = world.answer(place(world, limit("vm1", price="99")))
    assert other.code == "duplicate_id"


def test_a_repeated_command_while_the_first_waits_is_answered_with_it(world: World) -> None:
    first = place(world, limit("vm1"), fate="sent")
    second = place(world, limit("vm1"), fate="sent")
    world.go()
    assert world.answer(first) == world.answer(second)


def test_a_successor_knows_the_commands_of_its_predecessor(world: World) -> None:
    place(world, market("vm1"))
    world.reports()
    assert status(world) is S.FILLED
    world.crash()
    world.go()
    (order,) = world.answer(place(world, market("vm1")))
    assert order.status is S.FILLED
    assert len(world.exchange.orders) == 1


def test_an_id_that_was_queried_and_never_seen_stays_unknown(world: World) -> None:
    world.do(world.machine.get("t", "vm1", world.now))
    world.go()
    assert world.answer("t") == UnknownOrder("vm1")
    assert isinstance(world.answer(place(world, limit("vm1"))), UnknownOrder)
    world.crash()
    world.go()
    assert isinstance(world.answer(place(world, limit("vm1"))), UnknownOrder)
    assert not world.exchange.orders


def test_an_id_that_is_not_of_our_shape_gets_no_tombstone(world: World) -> None:
    world.do(world.machine.get("t", "web1", world.now))
    world.go()
    assert world.answer("t") == UnknownOrder("web1")
    assert not world.journal.tombstones


def test_commands_wait_until_the_machine_serves_and_are_bounded() -> None:
    world = World(max_waiting=2)
    world.perform()
    for number in range(3):
        world.do(world.machine.place(f"t{number}", [limit(f"vm{number}")], world.now.ns + SOON, world.now))
    world.perform()
    assert isinstance(world.answer("t2"), InboxFull)
    assert not world.exchange.orders
    world.go()
    assert [world.answer(f"t{number}")[0].status for number in range(2)] == [S.OPEN, S.OPEN]


def test_a_market_order_by_quote_amount(world: World) -> None:
    token = place(world, market("vm1", amount=None, quote_amount=D(250)))
    (order,) = world.answer(token)
    assert (order.status, order.amount, order.quote_filled) == (S.FILLED, D("2.5"), D(250))
    assert events(world) == ["created", "filled", "filled", "completed"]


# Doubt


def test_no_answer_is_unknown_and_a_query_finds_it(world: World) -> None:
    token = place(world, limit("vm1"), fate="lost")
    (order,) = world.answer(token)
    assert order.status is S.UNKNOWN
    world.go()
    assert (status(world), events(world)) == (S.OPEN, ["unknown", "created"])
    assert not world.journal.unsettled()


def test_no_answer_and_a_report_finds_it(world: World) -> None:
    place(world, limit("vm1"), fate="lost")
    world.reports()
    assert status(world) is S.OPEN
    assert not world.machine.in_doubt


def test_absence_is_proven_by_two_asks_begun_late_enough(world: World) -> None:
    place(world, limit("vm1"), fate="late")
    request = world.requests.pop()  # it never arrives
    not_after_ns = request.what.not_after_ns  # type: ignore[union-attr]
    asks: list[int] = []
    while status(world) is S.UNKNOWN:
        for one in [ask for ask in world.asks if ask.what.kind.value == "order"]:  # type: ignore[union-attr]
            begun_ns = world.exchange.now_ns
            world.arrive(one)
            world.deliver(one)
            asks.append(begun_ns)
        world.go()
        world.advance(0.1)
        world.perform()
    late = [one for one in asks if one > not_after_ns + 2 * SECOND_NS]
    assert len(late) == 2
    assert len(asks) > 2
    assert (status(world), events(world)) == (S.FAILED, ["unknown", "failed"])
    assert world.machine.balance("USDT").available == D(3000)
    assert not world.journal.unsettled()


def test_an_ask_begun_before_the_time_is_over_proves_nothing(world: World) -> None:
    place(world, limit("vm1"), fate="late")
    asks = [one for one in world.asks if one.what.kind.value == "order"]  # type: ignore[union-attr]
    for one in asks:
        world.arrive(one)  # asked and answered early, "not there"
    world.advance(20)
    for one in asks:
        world.deliver(one)
    assert status(world) is S.UNKNOWN


def test_an_answer_that_comes_after_its_timeout_counts(world: World) -> None:
    place(world, limit("vm1"), fate="late")
    (request,) = world.requests
    world.arrive(request)
    world.deliver(request)
    world.perform()
    assert status(world) is S.OPEN
    assert not world.journal.unsettled()


@pytest.mark.parametrize(
    ("error", "after"),
    [
        (RetryLater(1.0, "busy"), S.FAILED),
        (Rejected("busy", "not served"), S.FAILED),
        (Rejected("filter", "no"), S.REJECTED),
        (Rejected("clock", "outside the window"), S.REJECTED),
        (Misconfigured("key", "no permission"), S.REJECTED),
        (Rejected("unknown", "we do not know either"), S.UNKNOWN),
        (Rejected("duplicate", "there already"), S.UNKNOWN),
        (TIMEOUT, S.UNKNOWN),
    ],
)
def test_the_meaning_of_an_error_for_an_order(world: World, error: Rejected, after: OrderStatus) -> None:
    place(world, limit("vm1"), fate="sent")
    world.do(world.machine.answered(world.requests.pop().id, error, world.now))
    assert status(world) is after


def test_a_refusal_that_crosses_a_report_of_the_order_changes_nothing(world: World) -> None:
    place(world, limit("vm1"), fate="arrived")
    world.reports()
    world.do(world.machine.answered(world.requests.pop().id, Rejected("filter", "no"), world.now))
    assert status(world) is S.OPEN


def test_a_successor_spends_nothing_that_an_order_in_doubt_may_have_taken(world: World) -> None:
    world.do(world.machine.place("t", [limit("vm1", amount="2"), market("vm2")], world.now.ns + SOON, world.now))
    while world.machine.order("vm2") is None:
        world.perform(1)
    world.perform()
    world.requests.clear()
    world.crash()
    world.machine.tops({})
    world.go()
    assert world.machine.balance("USDT").available <= D(3000) - D(200) - D(100)
    world.settle()
    assert world.machine.balance("USDT").available == D(3000)


# Cancelling


def test_a_cancel_before_the_answer_is_sent_after_it(world: World) -> None:
    place(world, limit("vm1"), fate="sent")
    token = cancel(world)
    assert len(world.requests) == 1
    world.go()
    assert (world.answer(token).done, status(world)) == (True, S.CANCELED)


def test_a_cancel_in_doubt_is_remembered_and_sent_when_the_order_is_found(world: World) -> None:
    place(world, limit("vm1"), fate="lost")
    result = world.answer(cancel(world))
    assert (result.done, result.status, result.code) == (False, S.UNKNOWN, "remembered")
    world.go()
    assert (status(world), events(world)) == (S.CANCELED, ["unknown", "created", "cancelled"])


def test_a_remembered_cancel_outlives_its_manager(world: World) -> None:
    place(world, limit("vm1"), fate="lost")
    cancel(world)
    world.crash()
    world.go()
    assert status(world) is S.CANCELED


def test_a_cancel_refused_as_unknown_order_is_queried_and_was_filled(world: World) -> None:
    place(world, limit("vm1"))
    world.exchange.fill(world.exchange.orders["1000"], D(1))
    token = cancel(world)
    world.go()
    assert (world.answer(token).done, world.answer(token).status) == (True, S.FILLED)
    assert events(world) == ["created", "filled", "completed"]


def test_a_cancel_that_crosses_a_fill(world: World) -> None:
    place(world, limit("vm1", amount="2"))
    cancel(world)
    world.exchange.fill(world.exchange.orders["1000"], D(1))
    world.reports()
    assert status(world) is S.PENDING_CANCEL
    world.go()
    order = world.machine.order("vm1")
    assert order is not None
    assert (order.status, order.filled) == (S.CANCELED, D(1))


def test_a_cancel_without_an_answer_that_never_arrived_is_reported_and_may_be_repeated(world: World) -> None:
    place(world, limit("vm1"))
    token = cancel(world)
    world.deliver(world.requests[0], TIMEOUT)
    world.requests.clear()
    world.perform()
    assert world.answer(token).code == "outcome_unknown"
    world.settle()
    assert (status(world), events(world)) == (S.OPEN, ["created", "cancel_failed"])
    cancel(world)
    world.go()
    assert status(world) is S.CANCELED


def test_a_cancel_without_an_answer_that_was_executed(world: World) -> None:
    place(world, limit("vm1"))
    cancel(world)
    world.arrive(world.requests[0])
    world.deliver(world.requests[0], TIMEOUT)
    world.go()
    assert (status(world), events(world)) == (S.CANCELED, ["created", "cancelled"])


def test_a_refused_cancel_is_reported(world: World) -> None:
    place(world, limit("vm1"))
    token = cancel(world)
    world.do(world.machine.answered(world.requests.pop().id, Rejected("no", "not now"), world.now))
    world.perform()
    assert (world.answer(token).done, world.answer(token).code) == (False, "no")
    assert (status(world), events(world)) == (S.OPEN, ["created", "cancel_failed"])


def test_cancel_all_answers_with_a_result_per_order(world: World) -> None:
    place(world, limit("vm1"), limit("vm2", pair="ETH-USDT", owner="a"))
    place(world, limit("vm3"), fate="lost")
    world.do(world.machine.cancel_all("t", world.now))
    world.go()
    assert {one.client_order_id: one.status for one in world.answer("t")} == dict.fromkeys(
        ["vm1", "vm2", "vm3"], S.CANCELED
    )


def test_cancel_all_of_a_pair_or_an_owner_leaves_the_others(world: World) -> None:
    place(world, limit("vm1"), limit("vm2", pair="ETH-USDT", owner="a"))
    world.do(world.machine.cancel_all("t", world.now, owner="b"))
    world.do(world.machine.cancel_all("u", world.now, pair="ETH-USDT"))
    world.go()
    assert world.answer("t") == []
    assert [one.client_order_id for one in world.answer("u")] == ["vm2"]
    assert status(world) is S.OPEN


def test_cancel_all_waits_for_requests_of_a_predecessor(world: World) -> None:
    """A paused manager's request arrives late, under its successor, which finds the order and cancels it."""
    world.do(world.machine.place("t", [limit("vm1")], world.now.ns + SOON, world.now))
    while not isinstance(world.queue[0], Send):
        world.perform(1)
    world.pause()
    world.go()
    world.do(world.machine.cancel_all("u", world.now, timeout_s=60))
    world.advance(3)
    world.go()
    assert world.machine.serving
    assert not world.machine.reconciled
    assert "u" not in world.answers
    world.resume(world.paused[0])
    world.arrive(world.requests[0])
    world.advance(2)
    world.go()
    (result,) = world.answer("u")
    assert (result.done, result.status) == (True, S.CANCELED)
    assert world.machine.reconciled
    assert list(world.exchange.reached.values()) == [1, 1]


def test_cancel_all_of_a_request_that_never_got_in_waits_for_the_proof(world: World) -> None:
    world.do(world.machine.place("t", [limit("vm1")], world.now.ns + SOON, world.now))
    while not isinstance(world.queue[0], Send):
        world.perform(1)
    world.crash()
    world.go()
    world.do(world.machine.cancel_all("u", world.now, timeout_s=60))
    waited = 0.0
    while "u" not in world.answers:
        assert not world.machine.reconciled
        world.advance(0.25)
        waited += 0.25
        world.go()
    assert waited > 5 + 1 + 1  # validity, processing, margin
    assert world.answer("u")[0].status is S.FAILED
    assert world.machine.reconciled


def test_cancel_all_that_runs_out_of_time_returns_the_known_state_and_continues(world: World) -> None:
    place(world, limit("vm1"))
    place(world, limit("vm2"), fate="late")
    world.requests.clear()
    world.do(world.machine.cancel_all("t", world.now, timeout_s=2))
    world.go(asks=False)
    world.advance(3)
    world.perform()
    results = {one.client_order_id: one for one in world.answer("t")}
    assert (results["vm1"].done, results["vm2"].done, results["vm2"].code) == (True, False, "timeout")
    world.settle()
    assert status(world, "vm2") is S.FAILED


def test_cancel_all_repeats_unserved_cancels(world: World) -> None:
    place(world, limit("vm1"))
    world.do(world.machine.cancel_all("t", world.now))
    world.perform()
    world.deliver(world.requests[0], RetryLater(0.5, "busy"))
    world.perform()
    assert status(world) is S.OPEN
    order = world.machine.order("vm1")
    assert order is not None
    assert order.cancel_requested  # a successor continues it
    world.advance(1.5)
    world.go()
    assert world.answer("t")[0].status is S.CANCELED


def test_the_orders_of_a_dead_owner_are_kept_or_cancelled_as_it_declared(world: World) -> None:
    place(world, limit("vm1", owner="a"), limit("vm2", owner="b"))
    world.do(world.machine.lease("a", "cancel", 5, world.now))
    world.do(world.machine.lease("b", "keep", 5, world.now))
    world.advance(4)
    world.do(world.machine.lease("a", "cancel", 5, world.now))
    world.advance(4)
    world.go()
    assert status(world) is S.OPEN
    world.advance(2)
    world.go()
    assert (status(world), status(world, "vm2")) == (S.CANCELED, S.OPEN)


def test_an_owner_that_never_comes_back_after_a_restart_is_dead(world: World) -> None:
    place(world, limit("vm1", owner="a"))
    world.do(world.machine.lease("a", "cancel", 5, world.now))
    world.perform()
    world.crash()
    world.go()
    world.advance(20)
    world.go()
    assert status(world) is S.OPEN
    world.advance(11)
    world.go()
    assert status(world) is S.CANCELED


# Changing


def test_an_amended_order_keeps_its_id_and_is_reported(world: World) -> None:
    place(world, limit("vm1", amount="2"))
    world.do(world.machine.amend("t", "vm1", D("1.5"), world.now))
    world.go()
    assert world.answer("t").amount == D("1.5")
    assert events(world) == ["created", "amended"]


@pytest.mark.parametrize("amount", ["3", "0"])
def test_an_amendment_that_is_no_reduction_is_refused(world: World, amount: str) -> None:
    place(world, limit("vm1", amount="2"))
    world.do(world.machine.amend("t", "vm1", D(amount), world.now))
    world.go()
    assert isinstance(world.answer("t"), Rejected)


def test_an_amendment_refused_by_the_exchange_is_reported(world: World) -> None:
    place(world, limit("vm1", amount="2"))
    world.do(world.machine.amend("t", "vm1", D(1), world.now))
    world.perform()
    world.do(world.machine.answered(world.requests.pop().id, Rejected("no", "no"), world.now))
    world.perform()
    assert world.answer("t") == Rejected("no", "no")
    assert events(world) == ["created", "amend_failed"]


@pytest.mark.parametrize("executed", [True, False])
def test_an_amendment_without_an_answer_is_resolved_by_the_amount(world: World, executed: bool) -> None:
    place(world, limit("vm1", amount="2"))
    world.do(world.machine.amend("t", "vm1", D(1), world.now))
    world.perform()
    (request,) = world.requests
    if executed:
        world.arrive(request)
    world.deliver(request, TIMEOUT)
    world.requests.clear()
    world.settle()
    assert events(world) == ["created", "amended" if executed else "amend_failed"]
    assert not world.journal.unsettled()


def test_a_replace_is_two_fates_in_one_request(world: World) -> None:
    place(world, limit("vm1"))
    world.do(world.machine.replace("t", "vm1", limit("vm2", price="99"), world.now.ns + SOON, world.now))
    world.go()
    assert [one.status for one in world.answer("t")] == [S.CANCELED, S.OPEN]
    assert len(world.exchange.reached) == 2


def test_a_replace_whose_new_half_is_refused(world: World) -> None:
    place(world, limit("vm1"))
    world.exchange.refuse_new = True
    world.do(world.machine.replace("t", "vm1", limit("vm2", price="99"), world.now.ns + SOON, world.now))
    world.go()
    assert [one.status for one in world.answer("t")] == [S.CANCELED, S.REJECTED]


def test_a_replace_whose_cancel_finds_a_filled_order(world: World) -> None:
    place(world, limit("vm1"))
    world.exchange.fill(world.exchange.orders["1000"], D(1))
    world.do(world.machine.replace("t", "vm1", limit("vm2", price="99"), world.now.ns + SOON, world.now))
    world.go()
    assert (status(world), status(world, "vm2")) == (S.FILLED, S.REJECTED)


@pytest.mark.parametrize("executed", [True, False])
def test_a_replace_without_an_answer(world: World, executed: bool) -> None:
    place(world, limit("vm1"))
    world.do(world.machine.replace("t", "vm1", limit("vm2", price="99"), world.now.ns + SOON, world.now))
    world.perform()
    (request,) = world.requests
    if executed:
        world.arrive(request)
    world.deliver(request, TIMEOUT)
    world.requests.clear()
    world.settle()
    after = (S.CANCELED, S.OPEN) if executed else (S.OPEN, S.FAILED)
    assert (status(world), status(world, "vm2")) == after
    world.check()


def test_a_leg_of_a_list_expires_when_the_other_fills(world: World) -> None:
    legs = [limit("vm1", Side.SELL, price="110"), limit("vm2", Side.SELL, price="105")]
    world.do(world.machine.place_list("t", "OCO", legs, world.now.ns + SOON, world.now))
    world.go()
    first, second = world.answer("t")
    assert first.list_id == second.list_id is not None
    assert len(world.journal.requests) == 1
    world.exchange.fill(world.exchange.orders["1000"], D(1))
    world.reports()
    assert (status(world), status(world, "vm2")) == (S.FILLED, S.EXPIRED)


def test_a_list_that_is_not_offered_or_refused_fails_whole(world: World) -> None:
    legs = [limit("vm1", Side.SELL), limit("vm2", Side.SELL, amount="0.01")]
    world.do(world.machine.place_list("t", "OCO", legs, world.now.ns + SOON, world.now))
    world.do(world.machine.place_list("u", "OTOCO", [limit("vm3"), limit("vm4")], world.now.ns + SOON, world.now))
    world.go()
    assert isinstance(world.answer("t"), RuleViolation)
    assert isinstance(world.answer("u"), NotOffered)
    assert {status(world, f"vm{n}") for n in range(1, 5)} == {S.FAILED}
    assert not world.exchange.reached


# The journal


def test_a_journal_that_fails_places_nothing(world: World) -> None:
    world.journal_fault = "before"
    token = place(world, limit("vm1"))
    assert isinstance(world.answer(token), JournalUnavailable)
    assert not world.exchange.reached
    assert world.machine.balance("USDT").available == D(3000)
    again = place(world, limit("vm2"))
    assert isinstance(world.answer(again), JournalUnavailable)
    assert world.machine.order("vm2") is None
    world.journal_back()
    world.perform()
    assert (world.journal.orders["vm1"].status, events(world)) == (S.FAILED, ["failed"])
    assert world.answer(place(world, limit("vm2")))[0].status is S.OPEN


def test_a_commit_that_took_effect_before_the_line_was_cut_is_not_doubled(world: World) -> None:
    world.journal_fault = "after"
    place(world, limit("vm1"))
    world.journal_back()
    world.perform()
    assert world.journal.orders["vm1"].status is S.FAILED
    assert [one.outcome for one in world.journal.requests.values()] == ["not_sent"]
    assert not world.exchange.reached


def test_reports_are_applied_while_the_journal_is_down_and_reported_when_it_is_back(world: World) -> None:
    place(world, limit("vm1", amount="2"))
    world.reports()
    world.journal_fault = "before"
    world.exchange.fill(world.exchange.orders["1000"], D(1))
    world.reports()
    world.exchange.fill(world.exchange.orders["1000"], D(1))
    world.reports()
    assert status(world) is S.FILLED
    assert events(world) == ["created"]
    world.journal_back()
    world.perform()
    assert events(world) == ["created", "filled", "filled", "completed"]
    assert world.journal.orders["vm1"].status is S.FILLED


def test_an_answer_behind_a_failed_commit_waits_for_the_journal(world: World) -> None:
    token = place(world, limit("vm1"), fate="sent")
    world.journal_fault = "before"
    world.go()
    assert token not in world.answers
    world.journal_back()
    world.perform()
    assert world.answer(token)[0].status is S.OPEN


def test_too_many_batches_for_a_journal_that_does_not_come_back_end_the_manager() -> None:
    world = World(max_backlog=3)
    world.go()
    world.journal_fault = "before"
    for number in range(6):
        world.do(world.machine.pause("account", f"{number}", world.now))
        world.perform()
    assert isinstance(world.halted, JournalUnavailable)


def test_an_old_epoch_halts_and_does_nothing_more(world: World) -> None:
    effects = world.machine.journal_failed([], Fenced("orders/acme/main", (1, 0), (2, 0)), world.now)
    assert [type(one) for one in effects] == [Halt]
    effects = world.machine.place("t", [limit("vm1")], world.now.ns + SOON, world.now)
    assert [type(one) for one in effects] == [Refuse]
    assert world.machine.tick(world.now) == []


# What is not ours


def test_an_order_from_outside_is_marked_and_never_adopted(world: World) -> None:
    world.exchange.place(limit("web1"))
    world.reports()
    (order,) = world.machine.externals()
    assert order.external
    assert world.machine.orders() == []
    world.do(world.machine.cancel_all("t", world.now))
    world.exchange.fill(world.exchange.orders["1000"], D(1))
    world.reports()
    assert world.answer("t") == []
    assert [event.type.value for event in world.journal.events] == ["external", "external"]
    assert world.machine.externals()[0].status is S.FILLED


def test_an_order_of_our_shape_that_the_journal_does_not_know_is_external(world: World) -> None:
    world.exchange.place(limit("vm77"))
    world.reports()
    assert world.machine.order("vm77") is None
    assert len(world.machine.externals()) == 1


def test_a_report_of_an_order_that_only_the_journal_remembers_is_applied(world: World) -> None:
    place(world, limit("vm1"))
    cancel(world)
    world.go()
    world.exchange.stream.clear()
    world.crash()
    world.go()
    assert world.machine.order("vm1") is None
    order = world.exchange.orders["1000"]
    world.exchange.stream.append(world.exchange.report(order))
    world.reports()
    assert not world.machine.externals()
    assert status(world) is S.CANCELED


def test_a_report_on_an_unlisted_pair_is_no_order_of_ours(world: World) -> None:
    report = OrderReport("XXXYYY", "vm1", "5", S.OPEN, 1)
    assert world.machine.report(report, world.now) == []


# Pauses, states, settings


def test_a_pause_refuses_new_orders_lets_cancels_through_and_outlives_the_manager(world: World) -> None:
    place(world, limit("vm1"))
    world.do(world.machine.pause("BTC-USDT", "news", world.now))
    assert isinstance(world.answer(place(world, limit("vm2"))), Paused)
    assert world.answer(place(world, limit("vm3", pair="ETH-USDT")))[0].status is S.OPEN
    world.crash()
    world.go()
    assert isinstance(world.answer(place(world, limit("vm4"))), Paused)
    assert cancel(world)
    world.do(world.machine.resume("BTC-USDT", world.now))
    world.go()
    assert status(world) is S.CANCELED
    assert world.answer(place(world, limit("vm5")))[0].status is S.OPEN
    assert [one.type.value for one in world.journal.events if one.code == "BTC-USDT"] == ["paused", "resumed"]


def test_saved_states_that_the_journal_does_not_know_are_taken_up_and_checked(world: World) -> None:
    rested = world.exchange.place(limit("vm1", amount="2"))
    assert not isinstance(rested, Rejected)
    world.exchange.fill(rested, D(1))
    world.exchange.stream.clear()
    saved = Order(
        "acme", "main", "vm1", "BTC-USDT", Side.BUY, OrderType.LIMIT, D(2), D(100), None, S.PARTIALLY_FILLED, 1, 1,
        exchange_order_id="1000", filled=D(1), quote_filled=D(100),
    )  # fmt: skip
    done = Order("acme", "main", "vm2", "BTC-USDT", Side.BUY, OrderType.LIMIT, D(2), D(1), None, S.CANCELED, 1, 1)
    world.do(world.machine.restore("t", [saved, done], world.now))
    world.settle()
    assert world.answer("t") == ["vm1"]
    order = world.machine.order("vm1")
    assert order is not None
    assert (order.status, order.filled) == (S.PARTIALLY_FILLED, D(1))
    assert len(world.journal.fills_of("vm1")) == 1
    world.do(world.machine.restore("u", [saved], world.now))
    world.perform()
    assert world.answer("u") == []


def test_the_machine_states_its_next_wake(world: World) -> None:
    quiet = world.machine.wake_ns - world.mono_ns
    assert 50 * SECOND_NS < quiet <= 60 * SECOND_NS
    place(world, limit("vm1"), fate="late")
    world.go(requests=False)
    assert world.machine.wake_ns - world.mono_ns <= SECOND_NS


def test_balances_by_report_and_by_snapshot(world: World) -> None:
    world.do(world.machine.report(BalanceReport({"BTC": (D(5), D(1))}, False, world.exchange.now_ns + 1), world.now))
    assert world.machine.balance("BTC").total == D(6)
    world.advance(61)
    world.go()
    assert world.machine.balance("BTC").total == D(20)


def test_balances_without_a_time_in_the_stream_are_requested(world: World) -> None:
    free = world.machine.balance("BTC").free
    for _ in range(3):
        world.do(world.machine.report(BalanceReport({"BTC": (D(50), D(1))}, False, 0), world.now))
    world.perform()
    assert world.machine.balance("BTC").free == free, "they may be older than the known balances"
    world.advance(0.6)
    world.perform()
    assert [one.what.kind for one in world.asks] == [Kind.ACCOUNT]


def test_a_report_without_a_time_does_not_put_its_order_into_balances_of_its_time(world: World) -> None:
    place(world, limit("vm1"))
    world.exchange.stream.clear()
    at_ns = world.exchange.now_ns
    stated = {"USDT": (world.exchange.free["USDT"] + 100, D(0))}  # of before the order
    undated = OrderReport("BTCUSDT", "vm1", "1000", S.OPEN, at_ns, is_dated=False)
    world.do(world.machine.report(undated, world.now))
    world.do(world.machine.report(BalanceReport(stated, False, at_ns), world.now))
    assert world.machine.balance("USDT").available == world.exchange.free["USDT"]


def test_a_reply_without_a_request_is_applied(world: World) -> None:
    place(world, limit("vm1"), fate="lost")
    report = world.exchange.report(world.exchange.orders["1000"])
    world.do(world.machine.answered("nobody", Reply(orders=(report,)), world.now))
    assert status(world) is S.OPEN


def test_every_effect_of_an_idle_tick_is_nothing(world: World) -> None:
    assert world.machine.tick(world.now) == []
    kinds = {type(one) for one in world.queue} & {Answer, Ask, PutEvent}
    assert not kinds
    assert Purpose.QUERY.value == "query"
