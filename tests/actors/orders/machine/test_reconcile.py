"""Questions to the exchange and the meaning of answers: at the start, after a gap, periodically."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes.order_exchange import OFFER, OrderExchange, Rested
from tests.fakes.order_world import TIMEOUT, World, limit
from venuemesh.actors.orders.machine.effects import Ask, Lookup, Purpose
from venuemesh.connectors.kraken.spec import OFFER as KRAKEN
from venuemesh.connectors.order_codec import Draft, Kind, Reply
from venuemesh.connectors.reports import BalanceReport
from venuemesh.model.errors import MeshError, Rejected, RetryLater
from venuemesh.model.events import Side
from venuemesh.model.order import NewOrder, OrderStatus
from venuemesh.model.time import SECOND_NS

S = OrderStatus
D = Decimal


@pytest.fixture
def world() -> World:
    found = World()
    found.go()
    return found


def place(world: World, *orders: NewOrder) -> None:
    world.do(world.machine.place(world.token(), list(orders), world.now.ns + 60 * SECOND_NS, world.now))
    world.go()


def asked(world: World) -> list[str]:
    """Return the asks under way."""
    world.perform()
    return sorted(one.what.kind.value for one in world.asks)


def status(world: World, one: str = "vm1") -> OrderStatus:
    order = world.machine.order(one)
    assert order is not None
    return order.status


def test_a_start_requests_open_orders_and_balances_and_serves_then() -> None:
    world = World()
    assert asked(world) == ["account", "open_orders"]
    assert not world.machine.serving
    world.go()
    assert world.machine.serving
    assert world.machine.reconciled


def test_a_start_with_open_orders_walks_their_pairs(world: World) -> None:
    place(world, limit("vm1"))
    world.crash()
    assert asked(world) == ["account", "fills", "open_orders"]


@pytest.mark.parametrize("fills", [1, 2, 3, 4, 7])
def test_no_fill_is_missed_in_any_outage(world: World, fills: int) -> None:
    place(world, limit("vm1", amount="0.8"), limit("vm2", amount="0.8", pair="ETH-USDT"))
    world.lose_stream()
    for number in range(fills):
        world.exchange.fill(world.exchange.orders[str(1000 + number % 2)], D("0.1"))
    world.exchange.stream.clear()
    world.regain_stream()
    world.settle()
    world.check()
    assert len(world.journal.fills) == fills


def test_an_unreadable_row_of_the_open_orders_affects_only_its_own_order(world: World) -> None:
    place(world, limit("vm1"), limit("vm2"))
    world.exchange.odd = {"1000"}
    world.crash()
    world.settle()
    assert world.machine.serving
    assert [status(world, one) for one in ("vm1", "vm2")] == [S.OPEN, S.OPEN]  # the query of vm1 can be read


@pytest.mark.parametrize("odd", [("100",), ("101",), ("102",), ("100", "101", "102")])
def test_an_unreadable_row_of_the_fills_affects_only_its_own_order(world: World, odd: tuple[str, ...]) -> None:
    """A page of the fake exchange has three rows: unreadable rows count for a full page, and the walk continues after
    it."""
    place(world, limit("vm1"), limit("vm2"))
    world.lose_stream()
    for number in ("1000", "1000", "1000", "1001", "1001", "1001"):
        world.exchange.fill(world.exchange.orders[number], D("0.1"))
    world.exchange.stream.clear()
    world.exchange.odd = set(odd)
    world.regain_stream()
    for _ in range(20):
        world.advance(1.0)
        world.go()
    assert len(world.journal.fills_of("vm2")) == 3
    world.exchange.odd = set()
    world.settle()
    world.check()
    assert len(world.journal.fills) == 6


@pytest.mark.parametrize("crash", [True, False])
def test_an_order_that_ended_unnoticed_is_found_by_its_absence_from_the_open_ones(world: World, crash: bool) -> None:
    place(world, limit("vm1"), limit("vm2"))
    world.exchange.fill(world.exchange.orders["1000"], D(1))
    world.exchange.end(world.exchange.orders["1001"], S.EXPIRED)
    world.exchange.stream.clear()
    world.advance(0.001)
    if crash:
        world.crash()
    else:
        world.do(world.machine.stream("gap", world.now))
    world.go()
    assert (status(world), status(world, "vm2")) == (S.FILLED, S.EXPIRED)
    world.settle()
    world.check()


def test_a_snapshot_that_was_on_its_way_while_an_order_was_placed_causes_no_wrong_state(world: World) -> None:
    world.advance(61)
    world.perform()
    snapshot = next(one for one in world.asks if one.what.kind is Kind.OPEN_ORDERS)
    world.arrive(snapshot)  # it shows no order
    world.do(world.machine.place("t", [limit("vm1")], world.now.ns + 60 * SECOND_NS, world.now))
    world.go(asks=False)
    world.deliver(snapshot)
    world.perform()
    assert status(world) is S.OPEN
    assert "order" not in asked(world)


def test_an_order_missing_from_a_later_snapshot_is_queried_not_ended(world: World) -> None:
    place(world, limit("vm1"))
    world.advance(61)
    world.perform()
    snapshot = next(one for one in world.asks if one.what.kind is Kind.OPEN_ORDERS)
    held = dict(world.exchange.orders)
    world.exchange.orders.clear()  # a replica that lags
    world.arrive(snapshot)
    world.exchange.orders.update(held)
    world.deliver(snapshot)
    assert "order" in asked(world)
    world.go()
    assert status(world) is S.OPEN
    assert not world.machine.in_doubt


def test_an_order_that_the_exchange_has_forgotten_ends_as_expired(world: World) -> None:
    place(world, limit("vm1"))
    world.reports()
    world.exchange.orders.clear()
    world.advance(61)
    world.settle()
    order = world.machine.order("vm1")
    assert order is not None
    assert (order.status, order.code) == (S.EXPIRED, "not_there")


@pytest.mark.parametrize(
    ("stream", "doubt", "least", "most"), [(True, False, 50, 60), (False, False, 0, 5), (True, True, 0, 5)]
)
def test_the_pause_between_rounds_adapts(world: World, stream: bool, doubt: bool, least: int, most: int) -> None:
    if not stream:
        world.lose_stream()
    if doubt:
        world.do(world.machine.place("t", [limit("vm1")], world.now.ns + 60 * SECOND_NS, world.now))
        world.perform()
        world.deliver(world.requests[0], TIMEOUT)
        world.requests.clear()
    world.go()
    began_ns = world.mono_ns
    while "open_orders" not in asked(world):
        for one in list(world.asks):
            world.arrive(one)
            world.deliver(one)
        world.advance(0.5)
    assert least * SECOND_NS <= world.mono_ns - began_ns <= most * SECOND_NS


def test_a_gap_while_a_round_is_under_way_queries_again(world: World) -> None:
    world.advance(61)
    world.perform()
    old = list(world.asks)
    place_before = world.exchange.place(limit("web1"))
    assert place_before is not None
    world.do(world.machine.stream("gap", world.now))
    for one in old:
        world.arrive(one)
        world.deliver(one)
    assert not world.machine.reconciled
    assert asked(world) == ["account", "open_orders"]
    world.go()
    assert world.machine.reconciled


def rounds_in(world: World, seconds: float, gaps_per_s: float) -> int:
    """Let gaps come, answer every ask at once, and count the requests for the open orders."""
    count = 0
    for step in range(int(seconds * 10)):
        world.advance(0.1)
        if (step * gaps_per_s) % 10 < gaps_per_s:
            world.do(world.machine.stream("gap", world.now))
        world.perform()
        count += asked(world).count("open_orders")
        world.go()
    return count


def test_gaps_that_follow_each_other_cost_one_round_in_some_seconds(world: World) -> None:
    assert rounds_in(world, 60, gaps_per_s=10) <= 6
    assert not world.machine.reconciled  # another round is due
    assert world.machine.status()["waits_for_gaps"]
    place(world, limit("vm1"))
    world.exchange.fill(world.exchange.orders["1000"], D(1))
    world.exchange.stream.clear()  # the frame of this fill was unreadable
    assert rounds_in(world, 20.5, gaps_per_s=10) in (1, 2)
    assert status(world) is S.FILLED
    world.settle()
    assert world.machine.reconciled
    assert not world.machine.status()["waits_for_gaps"]


def test_a_gap_after_a_calm_minute_is_answered_at_once(world: World) -> None:
    rounds_in(world, 60, gaps_per_s=10)
    rounds_in(world, 90, gaps_per_s=0)
    assert world.machine.reconciled
    assert rounds_in(world, 0.2, gaps_per_s=10) == 1
    assert rounds_in(world, 30, gaps_per_s=0.5) in (2, 3)


def test_a_failed_ask_is_repeated_after_a_pause(world: World) -> None:
    world.advance(61)
    world.perform()
    for one in list(world.asks):
        world.deliver(one, RetryLater(3.0, "busy"))
    assert asked(world) == []
    world.advance(2.9)
    assert asked(world) == []
    world.advance(0.2)
    assert asked(world) == ["account", "open_orders"]


def test_fills_of_one_order_are_requested_by_its_id(world: World) -> None:
    place(world, limit("vm1", amount="2"))
    world.exchange.fill(world.exchange.orders["1000"], D(1))
    bare = world.exchange.report(world.exchange.orders["1000"])  # a total, and no fill
    effects = world.machine.report(bare, world.now)
    (ask,) = [one for one in effects if isinstance(one, Ask)]
    assert ask.purpose is Purpose.ORDER_FILLS
    assert dict(ask.draft.params)["exchange_id"] == "1000"
    assert ask.urgent
    world.do(effects)
    world.go()
    order = world.machine.order("vm1")
    assert order is not None
    assert order.filled == D(1)


def test_a_walk_waits_for_an_order_in_doubt_that_a_fill_may_belong_to(world: World) -> None:
    world.do(world.machine.place("t", [limit("vm1")], world.now.ns + 60 * SECOND_NS, world.now))
    world.perform()
    world.arrive(world.requests[0])
    world.exchange.fill(world.exchange.orders["1000"], D(1))
    world.exchange.stream.clear()
    world.crash()
    world.perform()
    walk = next(one for one in world.asks if one.what.kind is Kind.FILLS)
    world.arrive(walk)
    world.deliver(walk)
    world.perform()
    assert not world.journal.fills
    assert "fills:BTC-USDT" not in world.journal.marks
    world.settle()
    world.check()
    assert not world.machine.externals()


def test_a_walk_without_a_mark_continues_day_by_day() -> None:
    """Some exchanges answer with one day from the given time: then an empty page proves nothing."""
    world = World()
    world.go()
    place(world, limit("vm1"))
    seen: list[int] = []

    def read(draft: Any) -> Any:
        if draft.kind is Kind.FILLS and "since" in dict(draft.params):
            seen.append(int(dict(draft.params)["since"]))
        return real(draft)

    real, world.exchange.read = world.exchange.read, read  # type: ignore[method-assign]
    for _ in range(5):
        world.advance(20 * 3600)
        world.go()
    assert len(set(seen)) > 2
    assert world.machine.reconciled


def test_fills_from_outside_are_reported_once_also_over_a_restart(world: World) -> None:
    place(world, limit("vm1"))
    rested = world.exchange.place(limit("web1"))
    world.exchange.fill(rested, D(1))  # type: ignore[arg-type]
    world.exchange.stream.clear()
    for _ in range(2):
        world.crash()
        world.settle()
    fills = [event for event in world.journal.events if event.fill is not None]
    assert len(fills) == 1
    assert [one.status for one in world.journal.orders.values() if one.external] == [S.FILLED]


@pytest.mark.parametrize("before", [0, 1, 2, 3])
@pytest.mark.parametrize("owner", ["vm", "web"])
def test_two_orders_that_meet_keep_a_fill_each_wherever_a_page_ends(world: World, owner: str, before: int) -> None:
    place(world, limit("vm1"))
    if owner == "vm":
        place(world, limit("vm2", amount="5"), limit("vm3", side=Side.SELL, amount="5"))
        buy, sell = (world.exchange.by_client(one) for one in ("vm2", "vm3"))
    else:
        buy, sell = (
            world.exchange.place(limit("web2", amount="5")),
            world.exchange.place(limit("web3", side=Side.SELL, amount="5")),
        )
    assert isinstance(buy, Rested)
    assert isinstance(sell, Rested)
    for _ in range(before):
        world.exchange.fill(buy, D(1))
    world.exchange.meet(buy, sell, D(1))
    world.exchange.meet(buy, sell, D(1))
    world.exchange.stream.clear()
    for _ in range(2):
        world.crash()
        world.settle()
    reported = [(one.fill.trade_id, one.fill.exchange_order_id) for one in world.journal.events if one.fill is not None]
    there = [(one.trade_id, one.exchange_order_id) for order in (buy, sell) for one in order.fills]
    assert sorted(reported) == sorted(there)
    assert len(world.journal.fills) == len(there)
    world.check()


def test_an_external_order_that_ended_unnoticed_is_queried(world: World) -> None:
    rested = world.exchange.place(limit("web1"))
    world.reports()
    world.exchange.end(rested, S.EXPIRED)  # type: ignore[arg-type]
    world.exchange.stream.clear()
    world.advance(61)
    world.go()
    assert world.machine.externals()[0].status is S.EXPIRED


@pytest.mark.parametrize("filled", ["0", "0.4", "1"])
@pytest.mark.parametrize("by_time", [False, True])
def test_the_fills_of_a_forgotten_external_order_state_how_it_ended(filled: str, by_time: bool) -> None:
    world = World(lookup_s=5.0, by_time=by_time)
    world.go()
    rested = world.exchange.place(limit("web1"))
    world.reports()
    world.exchange.fill(rested, D(filled))  # type: ignore[arg-type]
    world.exchange.end(rested, S.EXPIRED)  # type: ignore[arg-type]
    world.exchange.stream.clear()
    world.advance(61)
    world.go()
    (order,) = world.machine.externals()
    assert (order.status, order.filled) == (rested.status, D(filled))  # type: ignore[union-attr]
    told = [one.fill.amount for one in world.journal.events if one.fill is not None]
    assert told == ([D(filled)] if D(filled) else [])
    assert not world.machine.in_doubt


def test_a_forgotten_external_order_whose_end_was_reported_meanwhile_keeps_that_end() -> None:
    world = World(lookup_s=5.0)
    world.go()
    rested = world.exchange.place(limit("web1"))
    world.reports()
    world.exchange.fill(rested, D(1))  # type: ignore[arg-type]
    late, world.exchange.stream = list(world.exchange.stream), []
    world.advance(61)
    world.perform()
    for purpose in (Purpose.OPEN_ORDERS, Purpose.QUERY):
        ask = next(one for one in world.asks if world.machine._reconcile._asked[one.id].purpose is purpose)
        world.arrive(ask)
        if purpose is Purpose.QUERY:
            for report in late:
                world.do(world.machine.report(report, world.now))
        world.deliver(ask)
        world.perform()
    assert [one.status for one in world.machine.externals()] == [S.FILLED]
    world.settle()
    world.check()


@pytest.mark.parametrize("hidden", ["too young to be found", "the query is refused"])
def test_an_external_order_is_not_ended_by_an_answer_that_proves_nothing(
    monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    world = World(like=replace(OFFER, appears_s=5.0 if hidden == "too young to be found" else 0.0))
    world.go()
    rested = world.exchange.place(limit("web1"))
    world.reports()
    world.exchange.fill(rested, D(1))  # type: ignore[arg-type]
    world.exchange.stream.clear()
    with monkeypatch.context() as patch:
        if hidden == "the query is refused":
            patch.setattr(world.exchange, "read", lambda draft: refused_query(world.exchange, draft))
        world.crash()  # the successor misses the order among the open ones, and queries it
        for _ in range(4):
            world.go()
            world.advance(0.5)
            assert [one.status for one in world.machine.externals()] == [S.OPEN]
    for _ in range(20):
        world.go()
        world.advance(1.0)
    assert world.machine.externals()[0].status is S.FILLED


def refused_query(exchange: OrderExchange, draft: Draft) -> Reply | MeshError:
    return Rejected("-2015", "no permission") if draft.kind is Kind.ORDER else OrderExchange.read(exchange, draft)


def test_a_lookup_is_made_once_for_many_reports_of_one_order(world: World) -> None:
    place(world, limit("vm1"))
    world.crash()
    world.go()
    report = world.exchange.report(world.exchange.orders["1000"])
    unknown = [type(report)("BTCUSDT", "vm9", "9", S.OPEN, 1) for _ in range(3)]
    effects = [one for each in unknown for one in world.machine.report(each, world.now)]
    assert sum(isinstance(one, Lookup) for one in effects) == 1


@pytest.mark.parametrize("by", ["stream", "query"])
def test_a_rejection_after_the_acknowledgement_reaches_the_strategy(world: World, by: str) -> None:
    place(world, limit("vm1"))
    rested = world.exchange.by_client("vm1")
    assert rested is not None
    world.reports()
    assert status(world) is S.OPEN
    world.exchange.reject(rested, "170131", "no money")
    if by == "query":
        world.lose_stream()
        world.regain_stream()
    world.settle()
    last = [one for one in world.journal.events if one.order is not None][-1]
    assert (last.type.value, last.code, last.reason) == ("rejected", "170131", "no money")
    assert (status(world), world.journal.orders["vm1"].status) == (S.REJECTED, S.REJECTED)
    world.check()


def test_a_refusal_in_the_answer_after_an_acknowledgement_is_queried(world: World) -> None:
    world.do(world.machine.place(world.token(), [limit("vm1")], world.now.ns + 60 * SECOND_NS, world.now))
    world.perform()
    request = world.requests[0]
    world.arrive(request)
    world.reports()
    assert status(world) is S.OPEN
    rested = world.exchange.by_client("vm1")
    assert rested is not None
    world.exchange.reject(rested, "170131", "no money")
    world.exchange.stream.clear()
    world.deliver(request, Rejected("filter", "no money"))
    world.go()
    order = world.journal.orders["vm1"]
    assert (order.status, order.code, order.reason) == (S.REJECTED, "170131", "no money")


def test_one_request_for_balances_is_under_way_after_any_changes() -> None:
    """The stream of this exchange does not state balances: they are requested after a change, once for several."""
    world = World(like=KRAKEN)
    world.go()
    place(world, limit("vm1"))
    place(world, limit("vm2"))
    assert "account" not in asked(world)
    world.advance(0.6)
    assert asked(world).count("account") == 1
    for number in range(3, 6):
        place_unanswered(world, limit(f"vm{number}"))
        world.advance(0.6)
    assert asked(world).count("account") == 1
    world.go()
    world.advance(0.6)
    assert asked(world).count("account") == 1  # of the changes meanwhile
    world.go()
    world.advance(0.6)
    assert "account" not in asked(world)


@pytest.mark.parametrize("off_s", [0.0, 1.2, 5.0])
def test_balances_of_before_an_order_do_not_end_its_reservation_if_our_clock_is_set(off_s: float) -> None:
    """Neither the answer to the order nor that with the balances has a time."""
    world = World(like=replace(KRAKEN, nonces=False))
    world.go()
    before = world.exchange.free["USDT"]
    world.do(world.machine.report(BalanceReport({}, False, 0), world.now))
    world.do(world.machine.place(world.token(), [limit("vm1")], world.now.ns + 60 * SECOND_NS, world.now))
    world.perform()
    world.mono_ns += SECOND_NS
    ahead = replace(world.now, exchange_ns=world.now.exchange_ns + int(off_s * SECOND_NS))
    world.do(world.machine.tick(ahead))  # then the estimate of the exchange's clock goes back
    world.perform()
    (ask,) = [one for one in world.asks if one.what.kind is Kind.ACCOUNT]
    (request,) = world.requests
    world.arrive(ask)
    world.arrive(request)
    world.exchange.stream.clear()
    assert isinstance(request.answer, Reply)
    request.answer = replace(
        request.answer, orders=tuple(replace(one, is_dated=False) for one in request.answer.orders)
    )
    world.deliver(request)
    assert isinstance(ask.answer, Reply)
    assert ask.answer.account is not None
    undated = replace(ask.answer.account.balances, ts_event_ns=0)
    ask.answer = replace(ask.answer, account=replace(ask.answer.account, balances=undated))
    world.deliver(ask)
    assert world.machine.balance("USDT").free == before
    assert world.machine.balance("USDT").available == before - 100
    world.settle()
    world.check()


def place_unanswered(world: World, order: NewOrder) -> None:
    """Place an order; the asks under way stay unanswered."""
    world.do(world.machine.place(world.token(), [order], world.now.ns + 60 * SECOND_NS, world.now))
    world.go(asks=False)


def test_an_order_that_was_rejected_after_its_acknowledgement_was_lost_keeps_the_exchange_id() -> None:
    world = World(acknowledges=True)
    world.go()
    token = world.token()
    world.do(world.machine.place(token, [limit("vm1")], world.now.ns + 10 * SECOND_NS, world.now))
    world.perform()
    world.arrive(world.requests[0])
    rested = world.exchange.by_client("vm1")
    assert rested is not None
    world.exchange.reject(rested, "post", "it would take")
    world.exchange.stream.clear()
    world.requests.clear()
    world.crash()
    world.settle()
    order = world.journal.orders["vm1"]
    assert (order.status, order.exchange_order_id, order.code) == (S.REJECTED, rested.exchange_id, "post")
    world.check()


def test_a_late_report_does_not_change_the_end_of_an_external_order() -> None:
    world = World(lookup_s=5.0)
    world.go()
    rested = world.exchange.place(limit("web1"))
    world.reports()
    world.exchange.end(rested, S.CANCELED)  # type: ignore[arg-type]
    late, world.exchange.stream = list(world.exchange.stream), []
    world.advance(61)
    world.go()
    assert [order.status for order in world.machine.externals()] == [S.EXPIRED]
    for report in late:
        world.do(world.machine.report(report, world.now))
    world.perform()
    assert [order.status for order in world.machine.externals()] == [S.EXPIRED]
    world.settle()
    world.check()
