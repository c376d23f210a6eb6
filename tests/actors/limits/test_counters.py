"""Counters that rise with requests and fall with time."""

from __future__ import annotations

import pytest

from tests.fakes.clock import FakeClock
from venuemesh.actors.limits.counters import Counters
from venuemesh.connectors.limit_answers import Hit, LimitAnswer
from venuemesh.connectors.spec import Decay, Limit
from venuemesh.model.errors import RetryLater

CALLS = (("calls", 2),)
PAIR = (("transactions", 1),)


def counters(clock: FakeClock) -> Counters:
    return Counters({"calls": Decay(20, 0.5), "transactions": Decay(10, 1.0, by_pair=True)}, clock.monotonic_ns)


async def test_what_fits_passes_at_once_and_the_rest_is_refused_with_the_time_to_wait():
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


async def test_a_hit_fills_the_counter():
    clock = FakeClock()
    made = counters(clock)
    made.hit(CALLS, None)
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
    made.stated(LimitAnswer(left={"calls": 19, "unknown": 0}), None)
    await made.take(CALLS, None, 0.0)
    made.stated(LimitAnswer(left={"calls": 5}), None)
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
    assert raised.value.after_s == pytest.approx(7.0)
    clock.advance(7.0)
    await made.take(PAIR, "BTC-USD", 0.0)
