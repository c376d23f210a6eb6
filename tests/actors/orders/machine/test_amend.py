"""Amendments of amount and price: checks before sending, reports, and races with fills."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.fakes.order_world import TIMEOUT, World
from venuemesh.actors.orders.machine.effect_buffer import EffectBuffer
from venuemesh.actors.orders.machine.effects import Now
from venuemesh.actors.orders.machine.ledger import Held, Ledger
from venuemesh.connectors.reports import FillReport, OrderReport
from venuemesh.connectors.spec import Amend
from venuemesh.model.errors import (
    InsufficientBalance,
    MeshError,
    Misconfigured,
    NotOffered,
    Paused,
    Rejected,
    RetryLater,
    RuleViolation,
)
from venuemesh.model.events import Side
from venuemesh.model.order import NewOrder, OrderStatus, OrderType, TimeInForce, as_order

D = Decimal
S = OrderStatus
ALL = frozenset(Amend)
SOON = 5 * 10**9
NEW = NewOrder("vm1", "BTC-USDT", Side.BUY, OrderType.LIMIT, D(2), D(100), TimeInForce.GTC)


def resting(amend: frozenset[Amend] = ALL) -> World:
    world = World(amend=amend)
    world.go()
    world.do(world.machine.place(world.token(), [NEW], world.now.ns + SOON, world.now))
    world.go()
    return world


def asked(world: World, amount: str | None, price: str | None = None) -> str:
    token = world.token()
    numbers = (None if value is None else D(value) for value in (amount, price))
    amount_, price_ = numbers
    world.do(world.machine.amend(token, "vm1", amount_, world.now, price_))
    world.perform()
    return token


@pytest.mark.parametrize(
    ("amount", "price", "terms"),
    [
        ("3", None, (3, 100)),
        (None, "99.5", (2, D("99.5"))),
        ("1", "101", (1, 101)),
        ("3.14", "99.999", (D("3.1"), D("99.99"))),
    ],
)
def test_amount_and_price_change_and_the_id_stays(amount: str | None, price: str | None, terms: tuple[D, D]) -> None:
    world = resting()
    token = asked(world, amount, price)
    world.go()
    order = world.answer(token)
    assert (order.amount, order.price, order.status) == (*terms, S.OPEN)
    assert order.exchange_order_id == world.exchange.by_client("vm1").exchange_id
    world.settle()
    world.check()


@pytest.mark.parametrize(
    ("amend", "amount", "price", "error"),
    [
        ({Amend.SMALLER}, "3", None, RuleViolation),
        ({Amend.SMALLER}, None, "99", NotOffered),
        ({Amend.SMALLER, Amend.LARGER}, "3", "99", NotOffered),
        (set(), "1", None, NotOffered),
        (ALL, "0", None, RuleViolation),
        (ALL, "1e9", None, InsufficientBalance),
        (ALL, None, "1e9", InsufficientBalance),
    ],
)
def test_what_is_not_possible_is_refused_before_anything_is_sent(
    amend: set[Amend], amount: str | None, price: str | None, error: type[MeshError]
) -> None:
    world = resting(frozenset(amend))
    assert isinstance(world.answer(asked(world, amount, price)), error)
    assert not world.requests


def test_a_pause_holds_back_what_takes_more_and_not_what_takes_less() -> None:
    world = resting()
    world.do(world.machine.pause("account", "a test", world.now))
    assert isinstance(world.answer(asked(world, "3")), Paused)
    token = asked(world, "1")
    world.go()
    assert world.answer(token).amount == D(1)


def test_terms_that_are_there_already_are_answered_at_once() -> None:
    world = resting()
    assert world.answer(asked(world, "2", "100")).amount == D(2)
    assert not world.requests


def free(world: World) -> Decimal:
    return world.machine.balance("USDT").available


@pytest.mark.parametrize(
    ("amount", "price", "held"),
    [
        ("3", None, "100"),
        (None, "110", "20"),
        ("3", "90", "90"),  # after a fill of the old amount: less before
        ("1", "150", "0"),
        ("1", None, "0"),
    ],
)
def test_what_new_terms_take_beyond_the_old_ones_is_reserved_while_the_request_is_under_way(
    amount: str | None, price: str | None, held: str
) -> None:
    world = resting()
    world.reports()
    before = free(world)
    asked(world, amount, price)
    assert free(world) == before - D(held)
    world.arrive(world.requests[0])
    assert free(world) <= world.exchange.free["USDT"]
    world.deliver(world.requests[0])
    world.perform()
    assert free(world) == before - D(held)  # the balances are not reported yet
    world.settle()
    world.check()


@pytest.mark.parametrize("error", [Rejected("no", "no"), RetryLater(0.5, "busy"), Misconfigured("key", "gone")])
def test_an_amendment_that_changed_nothing_takes_nothing(error: MeshError) -> None:
    world = resting()
    world.reports()
    before = free(world)
    asked(world, "3", "99")
    world.deliver(world.requests[0], error)
    if world.requests:
        world.requests.clear()
    world.perform()
    assert free(world) == before
    assert not [name for name in world.journal.marks if name.startswith("growth")]


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("dies", [False, True])
def test_an_amendment_of_unknown_outcome_stays_reserved_also_by_a_successor(arrives: bool, dies: bool) -> None:
    world = resting()
    world.reports()
    before = free(world)
    asked(world, "3", "99")
    if arrives:
        world.arrive(world.requests[0])
        world.exchange.stream.clear()
    world.deliver(world.requests[0], TIMEOUT)
    if dies:
        world.crash()
        world.perform()
    for ask in list(world.asks):
        if world.machine.serving:
            break
        world.arrive(ask)
        world.deliver(ask)
        world.perform()
    assert free(world) <= min(before - D(97), world.exchange.free["USDT"])
    for _ in range(3):
        world.settle()
        world.advance(10.0)
    world.settle()
    world.check()
    assert not [name for name in world.journal.marks if name.startswith("growth")]


class Reported:
    """A ledger with one order, and reports of it."""

    def __init__(self, amend: frozenset[Amend] = ALL) -> None:
        self.effects = EffectBuffer(100)
        self.ledger = Ledger("acme", "main", self.effects, 10, amend)
        self.held: Held = self.ledger.add(as_order(NEW, "acme", "main", 1), "NEW", self.now)

    now = Now(100, 100, 100)

    def report(self, at_ns: int, amount: str, price: str = "100", filled: str = "0", status: S = S.OPEN) -> None:
        total = D(filled)
        terms = {"amount": D(amount), "price": D(price)}
        self.ledger.apply(
            self.held,
            OrderReport("BTCUSDT", "vm1", "77", status, at_ns, filled=total, quote_filled=total * 100, **terms),
            self.now,
        )

    def fill(self, number: int, amount: str) -> None:
        self.ledger.fill(
            self.held, FillReport(str(number), D(100), D(amount), D(amount) * 100, None, None, True, number), self.now
        )

    @property
    def terms(self) -> tuple[Decimal | None, Decimal | None]:
        return self.held.order.amount, self.held.order.price


def test_an_old_report_does_not_bring_old_terms_back() -> None:
    reported = Reported()
    reported.report(5, "2")
    reported.report(9, "3", "99")
    assert reported.terms == (3, 99)
    reported.report(7, "2")
    assert reported.terms == (3, 99)
    reported.report(9, "2.5", "99")
    assert reported.terms == (3, 99)
    reported.report(11, "1", "99")
    assert reported.terms == (1, 99)


def test_a_report_of_the_same_instant_counts_where_it_is_awaited() -> None:
    reported = Reported()
    reported.report(5, "2")
    reported.held.amending = (D(3), D(100))
    reported.report(5, "3")
    assert reported.terms == (3, 100)


def test_the_fill_of_the_old_amount_does_not_end_an_order_that_may_grow() -> None:
    reported = Reported()
    reported.report(5, "2")
    reported.held.amending = (D(3), D(100))
    reported.fill(6, "2")
    assert (reported.held.order.status, reported.held.order.filled) == (S.PARTIALLY_FILLED, 2)
    reported.report(7, "3", filled="2", status=S.PARTIALLY_FILLED)
    reported.ledger.end_amending(reported.held, reported.now)
    reported.fill(8, "1")
    assert (reported.held.order.status, reported.terms) == (S.FILLED, (3, 100))


def test_an_order_that_was_filled_before_it_could_grow_has_ended() -> None:
    reported = Reported()
    reported.report(5, "2")
    reported.held.amending = (D(3), D(100))
    reported.fill(6, "2")
    reported.ledger.end_amending(reported.held, reported.now)
    assert reported.held.order.status is S.FILLED


def test_a_fill_beyond_the_amount_requests_the_order_where_orders_may_grow() -> None:
    reported = Reported()
    reported.report(5, "2")
    reported.fill(6, "3")
    assert (reported.held.short, reported.held.amount_unstated, reported.effects.halted) == (True, True, None)
    reported.report(7, "4", filled="3", status=S.PARTIALLY_FILLED)
    reported.fill(6, "3")
    assert (reported.held.order.status, reported.held.short, reported.terms) == (S.PARTIALLY_FILLED, False, (4, 100))
    shrinking = Reported(frozenset({Amend.SMALLER}))
    shrinking.report(5, "2")
    shrinking.fill(6, "3")
    assert (shrinking.held.short, shrinking.held.order.filled) == (True, 0)


def test_a_change_that_the_exchange_refuses_leaves_the_order_as_it_was() -> None:
    world = resting()
    token = asked(world, "3", "99")
    world.do(world.machine.answered(world.requests.pop().id, Rejected("no", "no"), world.now))
    world.perform()
    order = world.machine.order("vm1")
    assert isinstance(world.answer(token), Rejected)
    assert order is not None
    assert (order.amount, order.price) == (NEW.amount, NEW.price)
