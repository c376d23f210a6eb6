"""Ticks keep to the grid of the first one and say how many were slept through."""

import pytest

from venuemesh.market.aio.ticks import every
from venuemesh.market.sync import ticks
from venuemesh.model.errors import Misconfigured


class Clock:
    def __init__(self):
        self.now = 5_000_000_000
        self.slept = []

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += round(seconds * 1e9)


async def test_ticks_are_numbered_and_on_the_grid():
    clock = Clock()
    seen = []
    async for tick in every(0.25, monotonic_ns=clock, sleep=clock.sleep):
        seen.append((tick, clock.now))
        clock.now += 100_000_000  # the consumer takes 100 ms
        if tick == 3:
            break
    assert seen == [(n, 5_000_000_000 + n * 250_000_000) for n in range(4)]


async def test_a_slow_consumer_sees_how_many_ticks_it_missed():
    clock = Clock()
    ticks = []
    async for tick in every(1, monotonic_ns=clock, sleep=clock.sleep):
        ticks.append(tick)
        if tick == 0:
            clock.now += 3_400_000_000
        if tick >= 4:
            break
    assert ticks == [0, 3, 4]
    assert clock.now == 5_000_000_000 + 4 * 1_000_000_000


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
async def test_a_period_must_be_positive(seconds):
    with pytest.raises(Misconfigured, match="must be more than 0"):
        await anext(every(seconds))


def test_sync_code_gets_the_same_ticks():
    clock = Clock()
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        clock.now += round(seconds * 1e9)

    found = ticks.every(1, monotonic_ns=clock, sleep=sleep)
    assert [next(found), next(found)] == [0, 1]
    clock.now += 2_500_000_000
    assert next(found) == 3
    assert slept == [1.0, 0.0]
