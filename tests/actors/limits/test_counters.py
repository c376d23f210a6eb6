"""Counters that rise with requests and fall with time."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.clock import FakeClock
from venuemesh.actors.limits.counters import Counters, Spent
from venuemesh.connectors.limit_answers import Hit, LimitAnswer
from venuemesh.connectors.spec import Decay, Limit
from venuemesh.model.errors import RetryLater

CALLS = (("calls", 2),)
PAIR = (("transactions", 1),)


def counters(clock: FakeClock) -> Counters:
    return Counters({"calls": Decay(20, 0.5), "transactions": Decay(10, 1.0, by_pair=True)}, clock.monotonic_ns)


async def test_fitting_requests_pass_at_once_and_others_are_refused_with_the_time_to_wait():
    clock = FakeClock()
    made = counters(clock)
    for _ in range(9):
        await made.take(CALLS, None, 0.0)
    with pytest.raises(RetryLater) as raised:
        await made.take(CALLS, None, 1.0)
    assert raised.value.after_s == pytest.approx(4.0)
    clock.advance(4.0)
    await made.take(CALLS, None, 1.0)


async def test_a_counter_by_pair_is_one_of_each_pair():
    clock = FakeClock()
    made = counters(clock)
    for _ in range(9):
        await made.take(PAIR, "BTC-USD", 0.0)
    await made.take(PAIR, "ETH-USD", 0.0)
    with pytest.raises(RetryLater):
        await made.take(PAIR, "BTC-USD", 0.0)


async def test_a_cancel_is_counted_and_never_waits():
    clock = FakeClock()
    made = counters(clock)
    for _ in range(5):
        made.add((("transactions", 8),), "BTC-USD")
    assert made.status()["transactions BTC-USD"]["used"] == 40
    with pytest.raises(RetryLater):
        await made.take(PAIR, "BTC-USD", 1.0)


async def test_reads_that_poll_leave_a_reserve():
    """Seven tenths of 20 calls for polls, nine tenths for others; a window has no reserve, as it is free again soon."""
    made = Counters({"calls": Decay(20, 0.5), "window": Limit(20, 1.0)}, FakeClock().monotonic_ns)
    for _ in range(7):
        await made.take(CALLS, None, 0.0, reads=True, polls=True)
    with pytest.raises(RetryLater) as raised:
        await made.take(CALLS, None, 0.0, reads=True, polls=True)
    assert raised.value.after_s == pytest.approx(4.0)
    for _ in range(2):
        await made.take(CALLS, None, 0.0, reads=True)
    for _ in range(9):
        await made.take((("window", 2),), None, 0.0, reads=True, polls=True)


async def test_a_read_may_wait_for_as_long_as_a_slow_counter_needs():
    made = Counters({"calls": Decay(15, 0.33), "window": Limit(20, 1.0)}, FakeClock().monotonic_ns)
    assert made.patience_s(CALLS) == pytest.approx(24.2, abs=0.1)  # six seconds for its two units, four times
    assert made.patience_s((("window", 1), ("other", 9))) == pytest.approx(0.2)
    assert made.patience_s(()) == 0.0


async def test_an_order_does_not_wait_behind_a_read_that_waits_for_another_counter():
    made = counters(FakeClock())
    for _ in range(9):
        await made.take(CALLS, None, 0.0)
    reading = asyncio.ensure_future(made.take(CALLS, None, 60.0, reads=True))
    await asyncio.sleep(0)
    await asyncio.wait_for(made.take(PAIR, "BTC-USD", 1.0), 1.0)
    assert not reading.done()
    reading.cancel()


async def test_a_hit_fills_the_counter():
    clock = FakeClock()
    made = counters(clock)
    made.stated(LimitAnswer(Hit(0.0, ("calls",))), None)
    with pytest.raises(RetryLater):
        await made.take(CALLS, None, 1.0)


async def test_granted_figures_replace_the_published_ones():
    made = counters(FakeClock())
    rest = made.granted({"calls": Limit(1000, 10.0), "orders_1d": Limit(5, 1.0)})
    assert list(rest) == ["orders_1d"]
    for _ in range(100):
        await made.take(CALLS, None, 0.0)


async def test_costs_of_other_limits_are_not_counted_here():
    made = counters(FakeClock())
    await made.take((("weight", 1_000_000),), None, 0.0)
    assert made.status() == {}


async def test_no_more_is_spent_than_the_exchange_says_is_left():
    clock = FakeClock()
    made = counters(clock)
    made.stated(LimitAnswer(remaining={"calls": 19, "unknown": 0}), None)
    await made.take(CALLS, None, 0.0)
    made.stated(LimitAnswer(remaining={"calls": 5}), None)
    await made.take(CALLS, None, 0.0)
    with pytest.raises(RetryLater):
        await made.take(CALLS, None, 0.0)


async def test_nothing_is_spent_of_a_limit_that_was_hit_until_its_time():
    clock = FakeClock()
    made = counters(clock)
    made.stated(LimitAnswer(Hit(6.0, ("transactions",))), "BTC-USD")
    made.stated(LimitAnswer(Hit(6.0)), None)  # concerns the egress alone
    await made.take(CALLS, None, 0.0)
    with pytest.raises(RetryLater) as raised:
        await made.take(PAIR, "BTC-USD", 0.0)
    assert raised.value.after_s == pytest.approx(6.0)
    clock.advance(7.0)
    await made.take(PAIR, "BTC-USD", 0.0)


async def test_a_successor_counts_what_its_predecessor_spent():
    """Each request counts by its age, less what has fallen meanwhile. Reads are unknown, so their counter begins half
    full."""
    clock = FakeClock()
    clock.advance(1000.0)
    made = counters(clock)
    spent = [Spent(2 * 10**9, (("transactions", 8),), "BTC-USD"), Spent(60 * 10**9, (("transactions", 9),), "BTC-USD")]
    made.begin([*spent, Spent(3 * 10**9, PAIR, "BTC-USD")])
    assert made.status() == {
        "transactions BTC-USD": {"limit": 10, "used": 6.0},
        "calls": {"limit": 20, "used": 10.0},
    }
    clock.advance(6.0)
    assert made.status()["transactions BTC-USD"]["used"] == 0


def test_what_may_be_spent_for_ever_a_second():
    made = counters(FakeClock())
    assert made.per_s() == {"calls": 0.5, "transactions": 1.0}
    made.granted({"calls": Limit(40, 20.0, "account")})
    assert made.per_s()["calls"] == 2.0
    assert windows(FakeClock()).per_s() == {"orders": 10.0, "asked": 10.0}


ORDERS, ASKED = (("orders", 1),), (("asked", 1),)


def windows(clock: FakeClock, share: float = 1.0) -> Counters:
    limits = {"orders": Limit(10, 1.0, "account", by_pair=True), "asked": Limit(20, 2.0, "account")}
    return Counters(limits, clock.monotonic_ns, share)


async def taken(made: Counters, cost: tuple[tuple[str, int], ...], pair: str | None, reads: bool = False) -> int:
    """Return how many requests pass at once."""
    for passed in range(100):
        try:
            await made.take(cost, pair, 0.0, reads)
        except RetryLater:
            return passed
    raise AssertionError("nothing limits these requests")


async def test_a_window_of_a_key_is_kept_in_each_period_of_its_length():
    clock = FakeClock()
    made = windows(clock)
    assert await taken(made, ORDERS, "BTC-USD") == 9
    assert await taken(made, ORDERS, "ETH-USD") == 9
    clock.advance(0.9)
    assert await taken(made, ORDERS, "BTC-USD") == 0
    clock.advance(0.2)
    assert await taken(made, ORDERS, "BTC-USD") == 9


async def test_where_two_processes_read_each_spends_half_and_changes_have_it_all():
    assert await taken(windows(FakeClock(), 0.5), ASKED, None, reads=True) == 9
    assert await taken(windows(FakeClock(), 0.5), ASKED, None) == 18


async def test_a_hit_rests_what_it_names_for_its_pair_and_nothing_else():
    clock = FakeClock()
    made = windows(clock)
    made.stated(LimitAnswer(Hit(3.0, ("orders",))), "BTC-USD")
    assert await taken(made, ORDERS, "BTC-USD") == 0
    assert await taken(made, ORDERS, "ETH-USD") == 9
    assert await taken(made, ASKED, None) == 18
    clock.advance(2.9)
    assert await taken(made, ORDERS, "BTC-USD") == 0
    assert made.status()["orders BTC-USD"]["waits_s"] == pytest.approx(0.1)
    clock.advance(0.2)
    assert await taken(made, ORDERS, "BTC-USD") == 9
    made.stated(LimitAnswer(Hit(1e300, ("asked",))), None)
    assert made.status()["asked"]["waits_s"] == 3 * 86_400.0


async def test_what_is_left_of_a_window_raises_its_count_and_never_lowers_it():
    clock = FakeClock()
    made = windows(clock)
    await made.take(ASKED, None, 0.0)
    made.stated(LimitAnswer(remaining={"asked": 2}), None)
    assert made.status()["asked"] == {"limit": 20, "used": 18}
    made.stated(LimitAnswer(remaining={"asked": 19}), None)  # of an answer that came late
    made.stated(LimitAnswer(remaining={"asked": 10**39}), None)
    assert made.status()["asked"]["used"] == 18
    assert await taken(made, ASKED, None) == 0
    clock.advance(2.1)
    assert await taken(made, ASKED, None) == 18


async def test_granted_figures_of_a_window_replace_the_published_ones():
    made = windows(FakeClock())
    assert made.granted({"asked": Limit(100, 2.0)}) == {}
    assert await taken(made, ASKED, None) == 90


async def test_a_hit_of_an_account_rests_every_pair():
    clock = FakeClock()
    made = windows(clock)
    assert await taken(made, ORDERS, "BTC-USD") == 9
    made.stated(LimitAnswer(Hit(3.0, ("orders",), of_account=True)), "BTC-USD")
    clock.advance(2.9)
    assert await taken(made, ORDERS, "ETH-USD") == 0
    assert made.status()["orders BTC-USD"]["waits_s"] == pytest.approx(0.1)
    assert await taken(made, ASKED, None) == 18
    clock.advance(0.2)
    assert await taken(made, ORDERS, "ETH-USD") == 9
