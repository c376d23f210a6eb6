"""The budget: its grants in any window, to which holder, in which order, and its cool-down."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fakes.clock import FakeClock, until
from tests.fakes.context import context_of
from venuemesh.actors.limits.bucket import Rest
from venuemesh.actors.limits.machine import Granted, Lease, LimitsMachine, Priority, Refused
from venuemesh.actors.limits.role import LimitsRole
from venuemesh.actors.limits.settings import GrantSettings, LimitsSettings
from venuemesh.connectors.limit_answers import Hit, by_status, cause_of
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.spec import Limit
from venuemesh.connectors.transport import SYSTEM_CLOCK
from venuemesh.model.errors import InboxFull, Misconfigured, Rejected, RetryLater
from venuemesh.model.time import in_ns

S = 1_000_000_000
T0 = 1000 * S
LIMITS = {"weight": Limit(6000, 60.0), "connections": Limit(300, 300.0), "messages": Limit(5, 1.0, scope="connection")}


def machine(fresh: bool = True, now_ns: int = T0, limits: dict[str, Limit] = LIMITS, **options: Any) -> LimitsMachine:
    return LimitsMachine("limits/acme/here", limits, now_ns, fresh, GrantSettings(**options))


def granted(m: LimitsMachine, cost: dict[str, int], now_ns: int, wait_s: float = 0.0, **how: Any) -> Any:
    """Return the lease granted at once, or the refusal."""
    ticket = m.acquire(cost, "me", wait_s, now_ns, **how)
    for effect in m.advance(now_ns):
        if effect.ticket == ticket:
            return effect.lease if isinstance(effect, Granted) else effect.error
    return None


def test_a_cancel_is_granted_before_all_that_wait_and_never_finds_the_queue_full() -> None:
    m = machine(max_waiting=2)
    assert granted(m, {"weight": 2160}, T0)
    early = m.acquire({"weight": 50}, "a", 60.0, T0, Priority.URGENT)
    late = m.acquire({"weight": 50}, "b", 60.0, T0 + S, Priority.NORMAL)
    with pytest.raises(InboxFull):
        m.acquire({"weight": 1}, "c", 60.0, T0 + 5 * S, Priority.URGENT)
    cancel = m.acquire({"weight": 1}, "d", 60.0, T0 + 5 * S, Priority.FIRST)
    order = []
    for second in range(5, 20):
        order += [effect.ticket for effect in m.advance(T0 + second * S)]
    assert order == [cancel, early, late]


def test_orders_wait_behind_no_snapshot_and_have_separate_units() -> None:
    m = machine()
    assert granted(m, {"weight": 10}, T0, priority=Priority.ORDER)  # there are orders: 540 of 5,400 units are kept
    books = [m.acquire({"weight": 250}, f"book {n}", 60.0, T0, Priority.URGENT) for n in range(40)]
    snapshots = [effect.ticket for effect in m.advance(T0)]
    assert snapshots == books[:6]  # 1,610 of the burst of 2,160
    for _ in range(10):
        assert granted(m, {"weight": 50}, T0, priority=Priority.ORDER).cost == {"weight": 50}
    order = m.acquire({"weight": 50}, "orders", 60.0, T0 + S, Priority.ORDER)
    cancel = m.acquire({"weight": 50}, "orders", 60.0, T0 + S, Priority.FIRST)
    served = [effect.ticket for second in range(1, 30) for effect in m.advance(T0 + second * S)]
    assert served[:3] == [cancel, order, books[6]]


def test_the_books_of_a_successor_do_not_wait_until_the_units_for_orders_are_refilled() -> None:
    m = machine(fresh=False)  # 46.3 units a second
    order = m.acquire({"weight": 1}, "orders", 60.0, T0, Priority.ORDER)
    books = [m.acquire({"weight": 250}, f"book {n}", 60.0, T0, Priority.URGENT) for n in range(3)]
    at: dict[int, float] = {}
    for tick in range(3_000):
        for effect in m.advance(T0 + tick * S // 100):
            assert isinstance(effect, Granted)
            at[effect.ticket] = tick / 100
    assert at[order] < 0.1
    assert [round(at[book]) for book in books] == [7, 13, 20]  # with all 540 at once the first came after 17 s
    later = T0 + 100 * S  # a period later all are kept
    m.buckets["weight"].lift()  # its own promise has been stored
    m.advance(later)
    snapshots = [m.acquire({"weight": 250}, f"book {n}", 60.0, later, Priority.URGENT) for n in range(20)]
    assert [effect.ticket for effect in m.advance(later)] == snapshots[:6]
    assert m.buckets["weight"].free >= 540


def saturated(m: LimitsMachine, reads: int, seconds: int) -> tuple[int, int, list[float]]:
    """Let 60 orders come each second, more than the limit refills, and `reads` reads of 80 units at once, each repeated
    when it is refused. Return the units of orders, of reads, and when each read was granted."""
    orders, read_units, read_at = 0, 0, list[float]()
    waiting = {m.acquire({"weight": 80}, "account", 5.0, T0, Priority.ACCOUNT) for _ in range(reads)}
    for tick in range(seconds * 20):
        now = T0 + tick * S // 20
        for _ in range(3):
            m.acquire({"weight": 1}, "orders", 1.0, now, Priority.ORDER)
        for effect in m.advance(now):
            if effect.ticket in waiting:
                waiting.remove(effect.ticket)
                if isinstance(effect, Granted):
                    read_units += 80
                    read_at.append((now - T0) / S)
                else:
                    waiting.add(m.acquire({"weight": 80}, "account", 5.0, now, Priority.ACCOUNT))
            elif isinstance(effect, Granted):
                orders += 1
    return orders, read_units, read_at


def test_an_account_is_read_while_orders_use_up_a_limit() -> None:
    m = machine(fresh=False, max_waiting=10_000, max_waiting_per_holder=10_000)
    orders, _, read_at = saturated(m, 3, 30)
    assert len(read_at) == 3
    assert max(read_at) < 15.0
    assert orders >= 30 * 46 - 3 * 80 - 40


def test_many_reads_of_accounts_leave_orders_half_of_a_limit() -> None:
    m = machine(fresh=False, max_waiting=10_000, max_waiting_per_holder=10_000)
    orders, reads, read_at = saturated(m, 100, 60)
    assert orders >= 0.4 * (orders + reads)
    assert reads >= 0.2 * (orders + reads)
    assert max(later - before for before, later in itertools.pairwise([0.0, *read_at])) < 15.0


def test_a_read_of_an_account_that_takes_nothing_from_orders_keeps_its_pace() -> None:
    m = machine()
    assert granted(m, {"weight": 10}, T0, priority=Priority.ORDER)
    for _ in range(15):
        assert granted(m, {"weight": 80}, T0, priority=Priority.ACCOUNT).cost == {"weight": 80}
    next_ns = m.buckets["weight"].next_read_ns
    assert T0 < next_ns < T0 + 5 * S, "only the first was in the line of the orders"


def test_the_wake_of_a_paced_read_is_its_start() -> None:
    m = machine(fresh=False)
    assert m.acquire({"weight": 1}, "orders", 60.0, T0, Priority.ORDER)
    first, second = (m.acquire({"weight": 80}, "account", 60.0, T0, Priority.ACCOUNT) for _ in range(2))
    served = dict[int, float]()
    wake = T0
    while len(served) < 3:
        served |= {effect.ticket: (wake - T0) / S for effect in m.advance(wake)}
        wake, before = m.next_ns() or wake, wake
        assert wake > before or len(served) == 3
    assert served[first] < 2.0
    assert 3.0 < served[second] < 5.0


def test_a_mesh_without_orders_keeps_no_units_for_them() -> None:
    m = machine()
    assert granted(m, {"weight": 2160}, T0).cost == {"weight": 2160}


def test_a_request_as_large_as_a_burst_is_served_together_with_orders() -> None:
    m = machine()
    assert granted(m, {"weight": 10}, T0, priority=Priority.ORDER)
    whole = m.acquire({"weight": 2160}, "catalog", 600.0, T0)
    assert [effect.ticket for second in range(300) for effect in m.advance(T0 + second * S)] == [whole]


def test_the_status_names_the_limit_that_requests_wait_for() -> None:
    m = machine()
    assert m.status(T0)["pace"] is None
    assert granted(m, {"weight": 2160}, T0)
    for _ in range(3):
        m.acquire({"weight": 250, "connections": 1}, "me", 60.0, T0)
    m.advance(T0)
    pace = m.status(T0)["pace"]
    assert (pace["limit"], pace["waiting"], pace["units"], pace["period_s"]) == ("weight", 3, 6000, 60.0)
    assert 0 < pace["next_s"] < 60
    m.advance(T0 + in_ns(pace["next_s"]) + 1)
    assert m.status(T0 + in_ns(pace["next_s"]) + 1)["pace"]["waiting"] == 2


class TestWindows:
    def test_a_fresh_mesh_may_burst_and_then_earns(self) -> None:
        m = machine()
        assert m.buckets["weight"].usable == 5400
        assert granted(m, {"weight": 2160}, T0).cost == {"weight": 2160}
        refused = granted(m, {"weight": 250}, T0)
        assert isinstance(refused, RetryLater)
        assert refused.after_s == pytest.approx(250 * 70 / 3240)
        assert granted(m, {"weight": 250}, T0 + int(refused.after_s * S) - 10) != refused
        assert granted(m, {"weight": 250}, T0 + int(refused.after_s * S) + 1).cost == {"weight": 250}

    def test_a_successor_assumes_all_is_spent_and_earns_it_back(self) -> None:
        m = machine(fresh=False)
        assert isinstance(granted(m, {"weight": 1}, T0), RetryLater)
        assert isinstance(granted(m, {"weight": 250}, T0 + 5 * S), RetryLater)
        assert granted(m, {"weight": 250}, T0 + 6 * S).cost == {"weight": 250}

    def test_limits_of_a_connection_are_not_ours_to_share(self) -> None:
        with pytest.raises(Rejected):
            machine().acquire({"messages": 1}, "me", 0.0, T0)

    @pytest.mark.parametrize("cost", [{"wait": 1}, {"weight": -1}, {"weight": 1.5}, {"weight": 2161}, {"weight": True}])
    def test_an_invalid_cost_is_rejected_at_once(self, cost: dict[str, Any]) -> None:
        with pytest.raises(Rejected):
            machine().acquire(cost, "me", 60.0, T0)

    def test_unspent_units_are_returned(self) -> None:
        m = machine()
        block = granted(m, {"weight": 2000}, T0)
        assert isinstance(granted(m, {"weight": 250}, T0), RetryLater)
        assert m.release(block.id, {"weight": 100}, T0 + 1)
        assert granted(m, {"weight": 2000}, T0 + 1).cost == {"weight": 2000}
        assert not m.release(block.id, None, T0 + 2)

    def test_a_lease_that_is_never_ended_counts_as_spent(self) -> None:
        m = machine()
        block = granted(m, {"weight": 2160}, T0)
        assert isinstance(granted(m, {"weight": 2160}, T0 + 11 * S), RetryLater)
        assert not m.release(block.id, None, T0 + 11 * S)
        assert m.status(T0 + 11 * S)["leases"] == 0

    def test_a_limit_of_one(self) -> None:
        m = machine(limits={"x": Limit(1, 10.0)})
        assert granted(m, {"x": 1}, T0).cost == {"x": 1}
        assert isinstance(granted(m, {"x": 1}, T0 + 19 * S), RetryLater)
        assert granted(m, {"x": 1}, T0 + 20 * S).cost == {"x": 1}

    def test_a_short_period_is_counted_exactly(self) -> None:
        m = machine(limits={"connections": Limit(3, 1.0)})
        first, second = granted(m, {"connections": 1}, T0), granted(m, {"connections": 1}, T0)
        assert isinstance(granted(m, {"connections": 1}, T0), RetryLater), "one of three is the reserve"
        m.release(first.id, first.cost, T0 + S // 2)
        assert isinstance(granted(m, {"connections": 1}, T0 + S), RetryLater), "it may have been made half a second ago"
        assert granted(m, {"connections": 1}, T0 + S + S // 2).cost == {"connections": 1}
        m.release(second.id, None, T0 + S + S // 2)
        assert granted(m, {"connections": 1}, T0 + S + S // 2).cost == {"connections": 1}
        assert m.status(T0 + 2 * S)["windows"]["connections"]["most"] == 2

    def test_a_limit_of_five_seconds_is_used_almost_in_full_by_requests_that_are_answered_soon(self) -> None:
        m = machine(limits={"requests": Limit(600, 5.0)})  # Bybit's limit of an address
        made = 0
        for tenth in range(300):
            now_ns = T0 + tenth * S // 10
            while isinstance(lease := granted(m, {"requests": 1}, now_ns), Lease):
                m.release(lease.id, lease.cost, now_ns)
                made += 1
        assert 3000 <= made <= 3240

    def test_after_a_death_a_limit_with_a_short_period_waits_for_the_grants_of_the_predecessor(self) -> None:
        m = machine(fresh=False, limits={"connections": Limit(3, 1.0)})
        refused = granted(m, {"connections": 2}, T0)
        assert refused.after_s == pytest.approx(11.0)
        assert granted(m, {"connections": 2}, T0 + 11 * S).cost == {"connections": 2}

    def test_settings_that_cannot_work(self) -> None:
        with pytest.raises(Misconfigured):
            machine(burst=1.0)


class TestExchangeCount:
    def test_a_higher_count_of_the_exchange_wins(self) -> None:
        m = machine()
        lease = granted(m, {"weight": 10}, T0)
        m.observe({"weight": 5300}, None, lease.id, T0 + S)
        assert granted(m, {"weight": 100}, T0 + S).cost == {"weight": 100}
        assert isinstance(granted(m, {"weight": 1}, T0 + S), RetryLater)

    def test_a_lower_count_is_believed_only_when_it_is_surely_later(self) -> None:
        m = machine()
        first, second = granted(m, {"weight": 10}, T0), granted(m, {"weight": 10}, T0)
        m.observe({"weight": 5390}, None, first.id, T0 + S)
        m.observe({"weight": 20}, None, second.id, T0 + 2 * S)  # may have been overtaken on the way
        m.observe({"weight": 20}, None, None, T0 + 2 * S)
        assert isinstance(granted(m, {"weight": 1}, T0 + 2 * S), RetryLater)

    def test_when_the_exchanges_window_has_turned_its_count_is_low_again(self) -> None:
        m = machine()
        first = granted(m, {"weight": 10}, T0)
        m.observe({"weight": 5300}, None, first.id, T0 + S)
        second = granted(m, {"weight": 10}, T0 + 2 * S)
        m.observe({"weight": 10}, None, second.id, T0 + 3 * S)
        assert granted(m, {"weight": 1000}, T0 + 3 * S).cost == {"weight": 1000}

    def test_without_news_a_count_holds_for_a_whole_window(self) -> None:
        m = machine()
        m.observe({"weight": 6000}, None, None, T0)
        refused = granted(m, {"weight": 1}, T0 + S)
        assert refused.after_s == pytest.approx(59.0)
        assert granted(m, {"weight": 1}, T0 + 60 * S).cost == {"weight": 1}

    def test_grants_under_way_are_added_to_the_count(self) -> None:
        m = machine()
        a, b = granted(m, {"weight": 1000}, T0), granted(m, {"weight": 100}, T0)
        granted(m, {"weight": 50}, T0 + 1)
        m.observe({"weight": 4000}, None, b.id, T0 + S, keep=True)
        floor = m.buckets["weight"].floor
        assert floor is not None
        assert (floor.count, floor.extra) == (4000, 1150)
        m.release(a.id, None, T0 + S)
        assert floor.extra == 150
        m.observe({"weight": 4100}, None, b.id, T0 + S)
        assert m.status(T0 + S)["leases"] == 1, "an answer ends the lease it came under"

    def test_a_low_count_frees_nothing_for_a_successor(self) -> None:
        m = machine(fresh=False)
        m.observe({"weight": 0}, None, None, T0)
        assert isinstance(granted(m, {"weight": 1}, T0), RetryLater)


class TestCoolDown:
    def test_no_caller_gets_a_grant_until_it_ends(self) -> None:
        m = machine()
        waiting = m.acquire({"weight": 1}, "you", 100.0, T0)
        m.observe({}, Hit(30.0), None, T0)
        assert m.advance(T0) == []
        with pytest.raises(RetryLater) as refused:
            m.acquire({"connections": 1}, "me", 5.0, T0 + S)
        assert refused.value.after_s == pytest.approx(29.0)
        assert m.advance(T0 + 30 * S - 1) == []
        assert [effect.ticket for effect in m.advance(T0 + 30 * S)] == [waiting]

    def test_requests_that_were_under_way_do_not_lengthen_it_and_later_ones_do(self) -> None:
        m = machine()
        a, b = granted(m, {"weight": 1}, T0), granted(m, {"weight": 1}, T0)
        m.observe({}, Hit(10.0), a.id, T0 + S)
        m.observe({}, Hit(10.0), b.id, T0 + S + 1)
        assert m.hits == 0
        assert m.status(T0 + S)["cooldown_s"] == pytest.approx(10.0)
        late = granted(m, {"weight": 1}, T0 + 12 * S)
        m.observe({}, Hit(10.0), late.id, T0 + 13 * S)
        assert m.hits == 1
        assert m.status(T0 + 13 * S)["cooldown_s"] == pytest.approx(20.0)

    def test_it_has_a_length_also_when_the_exchange_states_no_length_and_never_shrinks(self) -> None:
        m = machine()
        m.observe({}, by_status(418, {}, b"", ()).hit, None, T0)
        assert m.status(T0)["cooldown_s"] == 120.0
        m.observe({}, Hit(1.0), None, T0 + S)
        assert m.status(T0 + S)["cooldown_s"] == 119.0

    def test_a_hit_of_one_limit_leaves_the_others(self) -> None:
        m = machine()
        m.observe({}, Hit(3.0, ("connections", "unknown")), None, T0)
        assert m.status(T0)["cooldown_s"] == 0.0
        assert granted(m, {"weight": 1}, T0).cost == {"weight": 1}
        assert isinstance(granted(m, {"connections": 1}, T0 + 3 * S - 1), RetryLater)
        assert granted(m, {"connections": 1}, T0 + 3 * S).cost == {"connections": 1}

    @pytest.mark.parametrize(("stated_s", "longest_s"), [(60.0, 600), (86_400.0, 86_400), (1e12, 3 * 86_400)])
    def test_hits_in_a_row_lengthen_a_pause_to_ten_minutes_and_no_ban(self, stated_s: float, longest_s: int) -> None:
        m = machine()
        now = T0
        pauses = []
        for _ in range(50):
            m.observe({}, Hit(stated_s), None, now)
            pauses.append((m.cool_ns - now) / S)
            now = m.cool_ns + 60 * S
        assert max(pauses) == longest_s


class TestOrder:
    def test_first_come_first_served_and_no_caller_overtakes_a_waiting_one(self) -> None:
        m = machine()
        granted(m, {"weight": 2160}, T0)
        big = m.acquire({"weight": 1000}, "big", 600.0, T0)
        small = m.acquire({"weight": 1}, "small", 600.0, T0 + 1)
        other = m.acquire({"connections": 1}, "other", 600.0, T0 + 2)
        assert [e.ticket for e in m.advance(T0 + S)] == [other]
        order = [effect.ticket for now in range(2, 60) for effect in m.advance(T0 + now * S)]
        assert order == [big, small]

    def test_urgent_goes_first_but_the_last_is_served_too(self) -> None:
        m = machine()
        granted(m, {"weight": 2160}, T0)
        tickets = {m.acquire({"weight": 2000}, "refresh", 600.0, T0, Priority.BACKGROUND): "background"}
        order: list[str] = []
        for second in range(40):
            now = T0 + second * S
            tickets[m.acquire({"weight": 200}, "book", 600.0, now, Priority.URGENT)] = f"urgent {second}"
            order += [tickets[effect.ticket] for effect in m.advance(now)]
        for second in range(40, 120):
            order += [tickets[effect.ticket] for effect in m.advance(T0 + second * S)]
        assert order[0] == "urgent 0"
        at = order.index("background")
        assert 0 < at <= 5  # those that came before its four seconds of handicap were over

    @pytest.mark.parametrize("exact_s", [5.0, 100.0], ids=["bucket", "exact"])
    def test_spare_requests_take_a_share_of_what_is_not_used_and_delay_nobody(self, exact_s: float) -> None:
        m = machine(exact_s=exact_s)  # 30 % of 5400 are 1620
        spare = {"cost": {"weight": 500}, "priority": Priority.SPARE, "wait_s": 60.0}
        for _ in range(3):
            lease = granted(m, now_ns=T0, **spare)
            m.release(lease.id, lease.cost, T0)  # spent
        refused = granted(m, now_ns=T0, **spare)  # at once, also if it would wait
        assert isinstance(refused, RetryLater)
        assert refused.after_s >= 1.0
        assert "can be left out" in str(refused)
        assert m.next_ns() is None
        assert granted(m, {"weight": 500}, T0).cost == {"weight": 500}
        assert granted(m, now_ns=T0 + 130 * S, **spare).cost == {"weight": 500}

    def test_spare_requests_yield_to_other_programs_and_to_those_that_wait(self) -> None:
        m = machine()
        m.observe({"weight": 1600}, None, None, T0)  # the exchange counts another program
        assert isinstance(granted(m, {"weight": 50}, T0, priority=Priority.SPARE), RetryLater)
        later = T0 + 61 * S
        assert granted(m, {"weight": 50}, later, priority=Priority.SPARE).cost == {"weight": 50}
        m = machine(fresh=False)
        m.acquire({"weight": 1000}, "book", 600.0, T0)
        m.advance(T0)
        assert isinstance(granted(m, {"weight": 5}, T0 + S, priority=Priority.SPARE), RetryLater)

    def test_a_caller_that_waits_too_long_is_refused_with_the_time_to_wait(self) -> None:
        m = machine()
        granted(m, {"weight": 2160}, T0)
        ticket = m.acquire({"weight": 2160}, "me", 5.0, T0)
        assert m.next_ns() == T0 + 5 * S
        (effect,) = m.advance(T0 + 5 * S)
        assert isinstance(effect, Refused)
        assert effect.ticket == ticket
        assert effect.error.after_s == pytest.approx(2160 * 70 / 3240 - 5)
        assert m.next_ns() is None

    def test_the_queue_is_bounded_for_all_and_for_each(self) -> None:
        m = machine(fresh=False, max_waiting=5, max_waiting_per_holder=3)
        for _ in range(3):
            m.acquire({"weight": 1}, "greedy", 60.0, T0)
        with pytest.raises(InboxFull):
            m.acquire({"weight": 1}, "greedy", 60.0, T0)
        mine = m.acquire({"weight": 1}, "me", 60.0, T0)
        m.acquire({"weight": 1}, "you", 60.0, T0)
        with pytest.raises(InboxFull):
            m.acquire({"weight": 1}, "they", 60.0, T0)
        m.cancel(mine, T0)
        m.acquire({"weight": 1}, "they", 60.0, T0)

    def test_leases_are_bounded(self) -> None:
        m = machine(max_leases=3)
        for _ in range(3):
            granted(m, {"weight": 1}, T0)
        with pytest.raises(InboxFull):
            m.acquire({"weight": 1}, "me", 1.0, T0)


AWAY = [("promise", "acknowledged"), ("die and bequeath", 0, True)]  # it is not stored that the promise is used up
steps = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(0, 8 * S)),
        st.tuples(st.just("pass"), st.sampled_from([S // 1000, S, 2 * S, 8 * S, 9 * S, 10 * S])),
        st.tuples(st.just("drain"), st.integers(0, 12), st.booleans()),
        st.tuples(st.just("acquire"), st.integers(1, 36), st.floats(0.0, 1.0), st.integers(-4, 3), st.integers(0, 20)),
        st.tuples(st.just("release"), st.integers(0, 30), st.integers(0, 40)),
        st.tuples(
            st.just("observe"), st.integers(0, 130), st.sampled_from([200, 200, 200, 429, 418]), st.integers(0, 9)
        ),
        st.tuples(st.just("die"), st.booleans()),
        st.tuples(st.just("promise"), st.sampled_from(["acknowledged", "stored", "arrived", "lost"])),
        st.tuples(st.just("die and bequeath"), st.integers(0, 3 * S), st.booleans()),
        st.tuples(st.just("die with the supervisor"), st.integers(0, 3 * S), st.booleans()),
    ),
    max_size=60,
)


@pytest.mark.parametrize("exact_s", [2.0, 10.0], ids=["bucket", "exact"])
@settings(max_examples=200, deadline=None)
@example(trace=[("promise", "acknowledged"), ("drain", 9, True), ("die and bequeath", 0, False), ("drain", 0, True)])
@example(trace=[("promise", "arrived"), ("drain", 9, True), ("die and bequeath", S, False), ("drain", 0, True)])
@example(
    trace=[("promise", "acknowledged"), ("drain", 0, True), ("die with the supervisor", 0, False), ("drain", 0, True)]
)
@example(
    trace=[*AWAY, ("pass", 14 * S), ("drain", 11, False), ("die with the supervisor", 0, False), ("drain", 0, True)]
)
@example(
    trace=[
        ("promise", "acknowledged"),
        ("pass", 14 * S),
        ("die and bequeath", 0, True),
        ("drain", 9, False),
        *[("pass", S), ("drain", 0, False)] * 2,
        ("pass", S - 1),
        ("die with the supervisor", 0, False),
        ("drain", 0, True),
    ]
)
@given(trace=steps)
def test_over_any_trace_no_window_is_overspent_and_nothing_is_granted_in_a_cool_down(
    trace: list[Any], exact_s: float
) -> None:
    """Every holder spends at the worst allowed moment, and the role may die and be replaced at any time, also together
    with its supervisor, and while the store is away."""
    limits, period = {"w": Limit(100, 10.0)}, 10 * S
    options = GrantSettings(lease_s=2.0, max_waiting=12, max_waiting_per_holder=12, max_leases=50, exact_s=exact_s)
    m = LimitsMachine("limits/x/y", limits, T0, True, options)
    usable = m.buckets["w"].usable
    assert usable == 90
    now = T0
    lives: dict[int, tuple[Any, float]] = {}  # lease id: lease, when in its life the holder spends
    fates: dict[int, float] = {}  # ticket: the same
    spent: list[tuple[int, int]] = []  # when, how much
    held: tuple[dict[str, Any], int] | None = None  # the promise that the supervisor holds, and when it came
    stored: dict[str, Any] | None = None

    def run() -> None:
        cooling = now < m.cool_ns
        for effect in m.advance(now):
            fate = fates.pop(effect.ticket)
            if isinstance(effect, Granted):
                assert not cooling
                lives[effect.lease.id] = (effect.lease, fate)
            else:
                assert effect.error.after_s > 0
        for lease_id, (lease, fate) in list(lives.items()):
            due = lease.granted_ns + int(fate * (lease.expires_ns - lease.granted_ns))
            if due <= now:
                spent.append((due, lease.cost["w"]))
                del lives[lease_id]

    for step in trace:
        match step:
            case ("pass", ns):
                now += ns
            case ("acquire", cost, fate, priority, wait_s):
                try:
                    fates[m.acquire({"w": cost}, "h", float(wait_s), now, Priority(priority))] = fate
                except (InboxFull, RetryLater):
                    pass
            case ("drain", seconds, settle):  # take all there is, for so long; the last to come spend at once
                for second in range(seconds + 1):
                    for cost in (9, 9, 9, 9, 1, 1, 1, 1, 1, 1, 1, 1):
                        try:
                            fates[m.acquire({"w": cost}, "h", 0.0, now)] = float(second < seconds)
                        except (InboxFull, RetryLater):
                            pass
                        run()
                        for lease_id in list(lives) if settle else ():  # and say at once what was spent: all
                            if m.release(lease_id, {"w": 36}, now):
                                spent.append((now, lives.pop(lease_id)[0].cost["w"]))
                    if second < seconds:
                        now += S
                        run()
            case ("release", which, amount) if lives:
                lease_id = sorted(lives)[which % len(lives)]
                lease, _ = lives[lease_id]
                amount = min(amount, lease.cost["w"])
                if m.release(lease_id, {"w": amount}, now):
                    spent.append((now, amount))
                    del lives[lease_id]
            case ("observe", count, status, which):
                lease_id = sorted(lives)[which % len(lives)] if lives and which < 8 else None
                m.observe(
                    {"w": count},
                    by_status(status, {} if which % 2 else {"retry-after": "3"}, b"", ()).hit,
                    lease_id,
                    now,
                )
                if lease_id is not None:  # which ends it, spent in full
                    spent.append((now, lives.pop(lease_id)[0].cost["w"]))
            case ("die", is_away):
                m = LimitsMachine("limits/x/y", limits, now, False, options)
                fates.clear()
                held, stored = None, stored if is_away else None
            case ("promise", fate):
                promise = m.promises.make(now, m.cool_ns)
                if fate != "lost":
                    held = promise, now
                if fate in ("acknowledged", "stored"):
                    stored = promise
                if fate == "acknowledged":
                    m.promises.acknowledge(promise["version"])
            case ("die with the supervisor", later_ns, is_away):
                cool_ns, began = m.cool_ns, now
                m = LimitsMachine("limits/x/y", limits, now, False, options)
                fates.clear()
                run()
                now += later_ns
                if stored is not None:
                    m.inherit(stored, 0, began, now, rest=Rest.NONE if is_away else Rest.HALF)
                    assert m.cool_ns >= min(cool_ns, began + int(stored["cool_s"] * S))
                held, stored = None, stored if is_away else None
            case ("die and bequeath", later_ns, is_away):  # it died at an unknown moment since the promise came
                cool_ns = m.cool_ns
                began = now
                m = LimitsMachine("limits/x/y", limits, now, False, options)
                fates.clear()
                run()
                now += later_ns
                if held is not None:
                    m.inherit(held[0], began - held[1], began, now, rest=Rest.HALF if is_away else Rest.WHOLE)
                    assert m.cool_ns >= min(cool_ns, held[1] + int(held[0]["cool_s"] * S))
                held, stored = None, stored if is_away else None
        run()
        described = m.status(now)
        assert described["waiting"] <= 12
        assert described["leases"] <= 50
        assert 0 <= described["windows"]["w"]["used"] <= described["windows"]["w"]["burst"]
    now += 3 * S
    run()
    spent.sort()
    for end, _ in spent:
        assert sum(amount for at, amount in spent if end - period < at <= end) <= usable


@pytest.mark.parametrize("exact_s", [2.0, 10.0], ids=["bucket", "exact"])
@settings(max_examples=50, deadline=None)
@given(
    wanted=st.lists(st.tuples(st.integers(1, 36), st.integers(-4, 2)), min_size=1, max_size=12),
    count=st.integers(0, 200),
)
def test_every_caller_that_waits_long_enough_is_served(
    wanted: list[tuple[int, int]], count: int, exact_s: float
) -> None:
    m = LimitsMachine("limits/x/y", {"w": Limit(100, 10.0)}, T0, False, GrantSettings(lease_s=2.0, exact_s=exact_s))
    tickets = {m.acquire({"w": cost}, "h", 10_000.0, T0, Priority(priority)) for cost, priority in wanted}
    m.observe({"w": count}, Hit(5.0), None, T0)
    m.buckets["w"].lift()  # its own promise has been stored
    now = T0
    for _ in range(200):
        tickets -= {effect.ticket for effect in m.advance(now) if isinstance(effect, Granted)}
        wake = m.next_ns()
        if wake is None:
            break
        assert wake > now, "a wake-up must not spin"
        now = wake
    assert tickets == set()
    assert now - T0 < 120 * S


# ---------------------------------------------------------------------- the role


def role(clock: Any, restarts: int = 0, limits: Mapping[str, Limit] = LIMITS) -> LimitsRole:
    context = context_of("limits/acme/here", clock, restarts=restarts)
    return LimitsRole(LimitsSettings(ConnectorSettings("acme", egress="here")), context, limits=limits)


async def test_acquire_waits_its_turn_and_answers_with_a_lease() -> None:
    clock = FakeClock()
    limits = role(clock)
    await limits.start()
    first = await limits.handle("acquire", {"cost": {"weight": 2160}, "holder": "a", "wait_s": 5})
    assert first["ttl_s"] == 10.0
    assert first["expires_ns"] == clock.now_ns + 10 * S
    waiting = asyncio.ensure_future(limits.handle("acquire", {"cost": {"weight": 54}, "holder": "b", "wait_s": 5}))
    await until(lambda: limits.status()["waiting"] == 1)
    clock.advance(1.2)
    limits.beat()
    assert (await waiting)["lease"] != first["lease"]
    assert await limits.handle("release", {"lease": first["lease"], "spent": {"weight": 60}})
    report = limits.status()
    assert report["state"] == "SERVING"
    assert report["windows"]["weight"]["limit"] == 6000
    await limits.stop()


async def test_its_own_timer_wakes_it() -> None:
    limits = role(SYSTEM_CLOCK, limits={"weight": Limit(1000, 0.1)})
    await limits.handle("acquire", {"cost": {"weight": 360}, "holder": "a", "wait_s": 0})
    await asyncio.wait_for(limits.handle("acquire", {"cost": {"weight": 10}, "holder": "a", "wait_s": 5}), 2.0)
    await limits.stop()


async def test_a_successor_starts_with_nothing() -> None:
    clock = FakeClock()
    limits = role(clock, restarts=1)
    await limits.start()
    with pytest.raises(RetryLater):
        await limits.handle("acquire", {"cost": {"weight": 1}, "holder": "a", "wait_s": 0})
    assert limits.status()["fresh"] is False


def test_a_successor_continues_from_the_last_promise() -> None:
    m = machine()
    promise = m.promises.make(T0, m.cool_ns)
    m.promises.acknowledge(promise["version"])
    assert not m.promises.is_wanted(m.cool_ns)
    assert granted(m, {"weight": 250}, T0)
    assert not m.promises.is_wanted(m.cool_ns)
    assert granted(m, {"weight": 250}, T0)
    assert m.promises.is_wanted(m.cool_ns)  # 500 of 540 units
    waits = m.acquire({"weight": 250}, "me", 60.0, T0)
    assert m.advance(T0) == []  # the promise would be broken
    newer = m.promises.make(T0, m.cool_ns)
    assert m.advance(T0) == []  # the supervisor may still hold the older one
    m.promises.acknowledge(newer["version"])
    assert [effect.ticket for effect in m.advance(T0)] == [waits]
    heir = machine(fresh=False, now_ns=7 * S)
    heir.inherit(newer, 5 * S, 7 * S, 8 * S)  # half of five seconds and a whole one are refilled
    assert heir.buckets["weight"].free == 2160 - 500 - 540 + int(3240 / 70 * 3.5)


def test_what_is_left_to_orders_needs_no_promise() -> None:
    m = machine()
    assert granted(m, {"weight": 1}, T0, priority=Priority.ORDER)  # from now on 540 units stay free for orders
    m.promises.acknowledge(m.promises.make(T0, m.cool_ns)["version"])  # the slack is 540, too
    for _ in range(5):
        assert granted(m, {"weight": 50}, T0, priority=Priority.URGENT)


def test_without_a_supervisor_the_slack_and_half_of_the_refill_are_granted() -> None:
    m = machine()
    m.promises.acknowledge(m.promises.make(T0, m.cool_ns)["version"])
    tickets = [m.acquire({"weight": 50}, "me", 600.0, T0) for _ in range(40)]
    at: dict[int, int] = {}
    for second in range(120):
        for effect in m.advance(T0 + second * S):
            at[effect.ticket] = second
    assert [at[ticket] for ticket in tickets[:10]] == [0] * 10
    assert at[tickets[39]] == pytest.approx((40 * 50 - 540) / (3240 / 140), abs=2)


def test_a_successor_continues_a_cool_down_and_the_count_of_the_exchange() -> None:
    m = machine()
    m.promises.acknowledge(m.promises.make(T0, m.cool_ns)["version"])
    m.observe({"weight": 5300}, Hit(120.0), None, T0)
    assert m.promises.is_wanted(m.cool_ns)
    promise = m.promises.make(T0 + S, m.cool_ns)
    heir = machine(fresh=False, now_ns=5 * S)
    heir.inherit(promise, 20 * S, 5 * S, 5 * S)
    assert heir.status(5 * S)["cooldown_s"] == 99.0
    assert heir.status(5 * S)["windows"]["weight"]["exchange_count"] == 5300


def test_a_successor_that_shares_refills_by_half_until_it_is_alone() -> None:
    limits = LIMITS | {"burst": Limit(20, 2.0)}
    m = machine(limits=limits)
    promise = m.promises.make(T0, m.cool_ns)
    heir = machine(fresh=False, now_ns=0, limits=limits)
    heir.inherit(promise, 0, 0, 0, shared=True)
    assert heir.promises.is_shared
    assert granted(heir, {"weight": 2160 - 540}, 0)
    heir.advance(20 * S)
    assert heir.buckets["weight"].free == int(20 * 3240 / 140)
    refused = granted(heir, {"burst": 1}, 20 * S)  # it is counted exactly, and not promised
    assert isinstance(refused, RetryLater)
    assert refused.after_s <= 1.0, "the caller would sleep for longer than the two share"
    heir.alone(20 * S)
    heir.advance(30 * S)
    assert heir.buckets["weight"].free == int(20 * 3240 / 140 + 10 * 3240 / 70)
    assert isinstance(granted(heir, {"burst": 1}, 32 * S - 1), RetryLater)
    assert granted(heir, {"burst": 1}, 32 * S).cost == {"burst": 1}


requests = st.lists(
    st.tuples(st.sampled_from(["old", "new"]), st.integers(1, 36), st.integers(0, 2 * S), st.booleans()), max_size=60
)


class Spenders:
    """Roles of one limit, 100 units in 10 s of which 90 are granted, and what they spend together."""

    def __init__(self) -> None:
        self.machines: dict[str, LimitsMachine] = {}
        self._spent: list[tuple[int, int]] = []  # (time at which it counts, units)
        self.start("old", T0, fresh=True)

    def start(self, which: str, now_ns: int, fresh: bool = False) -> LimitsMachine:
        options = GrantSettings(lease_s=2.0, exact_s=1.0, max_waiting=500, max_waiting_per_holder=500)
        made = self.machines[which] = LimitsMachine("limits/x/y", {"w": Limit(100, 10.0)}, now_ns, fresh, options)
        return made

    def request(self, which: str, cost: int, late: bool, now_ns: int) -> None:
        """Request units; `late`: they are spent when their lease is over."""
        ticket = self.machines[which].acquire({"w": cost}, "h", 0.0, now_ns)
        for effect in self.machines[which].advance(now_ns):
            if isinstance(effect, Granted) and effect.ticket == ticket:
                self._spent.append((effect.lease.expires_ns if late else now_ns, cost))

    def check(self) -> None:
        """Check that no window is overspent."""
        self._spent.sort()
        for end, _ in self._spent:
            assert sum(amount for at, amount in self._spent if end - 10 * S < at <= end) <= 90


@settings(max_examples=200, deadline=None)
@example([("old", 9, 0, True)] * 30 + [("new", 9, 0, True)] * 30, [], 0, 0)
@example([("old", 9, S, True)] * 30, [("old", 9, 0, True), ("new", 9, 0, True)] * 20, 0, 0)
@example([], [("old", 9, S // 4, True), ("new", 9, S // 4, True)] * 30, 13 * S, S)
@example(
    [],
    [("new", 1, 2 * S, False)] * 15 + [("old", 9, 0, True)] * 8 + [("new", 9, 0, True)] * 8 + [("old", 9, S, True)] * 9,
    0,
    0,
)
@given(before=requests, after=requests, silent_ns=st.integers(0, 30 * S), told_ns=st.integers(0, S))
def test_a_predecessor_and_a_successor_that_share_never_overspend_a_window(
    before: list[Any], after: list[Any], silent_ns: int, told_ns: int
) -> None:
    """The predecessor learns nothing of its successor, which starts at any time after the last promise."""
    spenders, now = Spenders(), T0
    machines = spenders.machines

    promise, held_ns = machines["old"].promises.make(now, 0), now
    machines["old"].promises.acknowledge(promise["version"])
    for which, cost, wait_ns, late in before:
        if which == "old":
            spenders.request("old", cost, late, now)
        else:  # the supervisor polls
            promise, held_ns = machines["old"].promises.make(now, 0), now
            machines["old"].promises.acknowledge(promise["version"])
        now += wait_ns
    now += silent_ns
    began = now
    heir = spenders.start("new", began)
    now += told_ns
    heir.inherit(promise, began - held_ns, began, now, shared=True)
    for which, cost, wait_ns, late in after:
        spenders.request(which, cost, late, now)
        now += wait_ns
    spenders.check()


QUIET = [("new", 2, 2 * S, False)] * 7
DRAINED = [  # both take all there is, each second, and most is spent late; an even cost stands for a promise
    (which, cost, wait_ns, second < 9)
    for second in range(11)
    for which in ("old", "new")
    for cost, wait_ns in [*[(9, 0), (2, 0)] * 4, *[(1, 0)] * 9, (1, S if which == "new" else 0)]
    if which == "new" or cost != 2
]
AT_ONCE = [(which, cost, 0, False) for which in ("old", "third") for cost in [9] * 4 + [1] * 9]


@settings(max_examples=200, deadline=None)
@example([], QUIET + DRAINED, AT_ONCE, True, True, 14 * S)
@example([], DRAINED, AT_ONCE, True, True, 14 * S)
@example([], QUIET + DRAINED, AT_ONCE, True, False, 14 * S)
@given(
    before=requests,
    after=requests,
    last=st.lists(
        st.tuples(st.sampled_from(["old", "third"]), st.integers(1, 36), st.integers(0, 2 * S), st.booleans()),
        max_size=60,
    ),
    is_away=st.booleans(),
    old_lives=st.booleans(),
    silent_ns=st.integers(0, 30 * S),
)
def test_no_window_is_overspent_when_a_supervisor_dies_with_a_successor_that_shares(
    before: list[Any], after: list[Any], last: list[Any], is_away: bool, old_lives: bool, silent_ns: int
) -> None:
    """The next supervisor knows what is stored, and the first role may live on on its silent host."""
    spenders, now = Spenders(), T0
    machines = spenders.machines

    def promised() -> dict[str, Any]:
        return machines["old"].promises.make(now, 0)

    held, held_ns = promised(), now
    stored = held
    machines["old"].promises.acknowledge(stored["version"])
    for which, cost, wait_ns, late in before:
        if which == "old":
            spenders.request("old", cost, late, now)
        else:  # the supervisor polls; the store answers or is away
            held, held_ns = promised(), now
            if late:
                stored = held
                machines["old"].promises.acknowledge(stored["version"])
        now += wait_ns
    now += silent_ns
    spenders.start("new", now)
    machines["new"].inherit(held, now - held_ns, now, now, shared=True, rest=Rest.HALF if is_away else Rest.WHOLE)
    for which, cost, wait_ns, late in after:
        if which == "old" or cost % 2:
            spenders.request(which, cost, late, now)
        else:  # while it shares, its promises are acknowledged, and not kept
            machines["new"].promises.acknowledge(machines["new"].promises.make(now, 0)["version"])
        now += wait_ns
    spenders.start("third", now)
    if is_away:
        machines["third"].inherit(stored, 0, now, now, shared=old_lives, rest=Rest.HALF)
    for which, cost, wait_ns, late in last:
        if which == "third" or (old_lives and is_away):  # without a promise the next one waits for its end
            spenders.request(which, cost, late, now)
        now += wait_ns
    spenders.check()


def test_a_successor_of_which_only_the_store_knows_has_half_until_its_own_promise_is_stored() -> None:
    m = machine()
    promise = m.promises.make(T0, m.cool_ns)
    heir = machine(fresh=False, now_ns=0)
    heir.inherit(promise, 0, 0, 0, rest=Rest.HALF)
    assert heir.buckets["weight"].free == (2160 - 540) // 2
    heir.advance(60 * S)
    assert heir.buckets["weight"].free == 2160 - (2160 - 540) // 2  # the other half may be another one's
    refused = granted(heir, {"weight": 1351}, 60 * S)
    assert isinstance(refused, RetryLater)
    assert refused.after_s <= 1.0, "the caller would sleep for longer than it takes to store a promise"
    heir.promises.acknowledge(heir.promises.make(60 * S, heir.cool_ns)["version"])
    heir.advance(90 * S)
    assert heir.buckets["weight"].free == 2160


def test_what_a_successor_promises_while_it_shares_is_not_stored() -> None:
    m = machine()
    heir = machine(fresh=False, now_ns=0)
    heir.inherit(m.promises.make(T0, m.cool_ns), 0, 0, 0, shared=True, rest=Rest.HALF)
    shared = heir.promises.make(0, heir.cool_ns)
    heir.alone(0)
    heir.promises.acknowledge(shared["version"])
    assert heir.buckets["weight"].withheld
    heir.promises.acknowledge(heir.promises.make(0, heir.cool_ns)["version"])
    assert not heir.buckets["weight"].withheld


def test_a_limit_that_the_exchange_refused_is_promised_anew_at_once() -> None:
    m = machine()
    m.promises.acknowledge(m.promises.make(T0, m.cool_ns)["version"])
    m.observe({}, Hit(30.0, ("weight",)), None, T0)
    assert m.promises.is_wanted(m.cool_ns)
    promise = m.promises.make(T0, m.cool_ns)
    m.promises.acknowledge(promise["version"])
    heir = machine(fresh=False, now_ns=0)
    heir.inherit(promise, 0, 0, 0)
    assert isinstance(granted(heir, {"weight": 1}, 29 * S), RetryLater)


async def test_the_role_promises_at_once_when_much_was_granted_and_inherits_once() -> None:
    clock = FakeClock()
    old, new = role(clock), role(clock, restarts=1)
    for one in (old, new):
        await one.start()
    first = await old.poll("levels", None, 60.0)
    waiting = asyncio.ensure_future(old.poll("levels", {"after": first["version"]}, 60.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    for _ in range(3):
        await old.handle("acquire", {"cost": {"weight": 100}, "holder": "me"})
    second = await asyncio.wait_for(waiting, 10.0)
    assert second["version"] > first["version"]
    for _ in range(2):
        await new.handle("inherit", {"promise": second, "age_s": 0.0, "shared": True})
    assert new.status()["windows"]["weight"]["free"] == 2160 - 300 - 540
    assert new.status()["shared"]
    await new.handle("alone", None)
    assert not new.status()["shared"]
    await old.handle("inherit", {"promise": second, "age_s": 0.0, "shared": True})  # it had full buckets
    assert old.status()["windows"]["weight"]["free"] == 2160 - 300


async def test_a_budget_of_which_nothing_is_taken_promises_nothing_new() -> None:
    clock = FakeClock()
    limits = role(clock)
    await limits.start()
    promise = await limits.poll("levels", None, 0.0)
    clock.advance(5.0)
    assert (await limits.poll("levels", {"after": promise["version"]}, 0.0))["version"] == promise["version"]
    await limits.handle("acquire", {"cost": {"weight": 100}, "holder": "me"})
    newer = await limits.poll("levels", {"after": promise["version"]}, 0.0)
    assert newer["version"] > promise["version"]
    clock.advance(100.0)  # it is full again
    newest = await limits.poll("levels", {"after": newer["version"]}, 0.0)
    assert newest["version"] > newer["version"]
    assert (await limits.poll("levels", {"after": newest["version"]}, 0.0))["version"] == newest["version"]
    await limits.handle("observe", {"used": {"weight": 6000}})
    assert (await limits.poll("levels", {"after": newest["version"]}, 0.0))["version"] > newest["version"]


async def test_a_caller_that_goes_away_leaves_its_place_and_its_grant() -> None:
    clock = FakeClock()
    limits = role(clock)
    await limits.start()
    free = limits.status()["windows"]["weight"]["free"]
    first = await limits.handle("acquire", {"cost": {"weight": free}, "holder": "a", "wait_s": 0})
    gone = asyncio.ensure_future(limits.handle("acquire", {"cost": {"weight": 100}, "holder": "b", "wait_s": 60}))
    await until(lambda: limits.status()["waiting"] == 1)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert limits.status()["waiting"] == 0
    late = asyncio.ensure_future(limits.handle("acquire", {"cost": {"weight": 100}, "holder": "b", "wait_s": 60}))
    await until(lambda: limits.status()["waiting"] == 1)
    await limits.handle("release", {"lease": first["lease"], "spent": None})  # grants `late`
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    assert limits.status()["windows"]["weight"]["free"] == free


async def test_a_cool_down_is_reported_to_polls_and_shown() -> None:
    clock = FakeClock()
    limits = role(clock)
    await limits.start()
    poll = asyncio.ensure_future(limits.poll("cooldown", {"cooling": False}, 5.0))
    cause = cause_of(418, {"retry-after": "60"}, b"banned\n")
    hit = {"wait_s": 20.0, "limits": [], "cause": cause}
    await limits.handle("observe", {"used": {"weight": 6001}, "hit": hit})
    assert (await poll)["cooldown_s"] == pytest.approx(20.0)
    assert limits.status()["state"] == "COOLING"
    assert "(HTTP 418, Retry-After: 60: banned); nothing is granted for" in limits.status()["error"]
    poll = asyncio.ensure_future(limits.poll("cooldown", {"cooling": True}, 5.0))
    clock.advance(20.0)
    limits.beat()
    assert (await poll)["cooldown_s"] == 0.0
    assert (await limits.poll("cooldown", {"cooling": False}, 0.01))["cooldown_s"] == 0.0


async def test_unknown_requests_are_rejected() -> None:
    limits = role(FakeClock())
    with pytest.raises(Rejected):
        await limits.handle("spend", {})
    with pytest.raises(Rejected):
        await limits.poll("weather", {}, 0.1)
    with pytest.raises(Rejected):
        await limits.handle("acquire", {"cost": {}, "holder": "a", "priority": 7})


async def test_stopping_answers_waiting_callers() -> None:
    limits = role(FakeClock(), restarts=1)
    waiting = asyncio.ensure_future(limits.handle("acquire", {"cost": {"weight": 1}, "holder": "a", "wait_s": 60}))
    await until(lambda: limits.status()["waiting"] == 1)
    await limits.stop()
    with pytest.raises(RetryLater):
        await waiting


async def test_an_answer_ends_its_lease_unless_it_is_kept() -> None:
    limits = role(FakeClock())
    await limits.start()
    lease = (await limits.handle("acquire", {"cost": {"weight": 100}, "holder": "a", "wait_s": 5}))["lease"]
    seen = {"used": {"weight": 40}, "hit": None, "lease": lease}
    await limits.handle("observe", {**seen, "keep": True})
    assert limits.status()["leases"] == 1
    await limits.handle("observe", seen)
    assert limits.status()["leases"] == 0
    await limits.stop()
