"""The exchange's clock stays within its error bound under any delays, drifts and jumps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from venuemesh.connectors.exchange_clock import DRIFT_PPM, KEPT, TURN, ClockOffset
from venuemesh.model.errors import RetryLater

MS = 1_000_000
S = 1000 * MS
EPOCH = 1_700_000_000 * S


class World:
    """A true offset that drifts and is set, and a client's view of it."""

    def __init__(self, offset_ns: int = EPOCH, ppm: int = 0) -> None:
        self.offset_ns, self.ppm, self.mono_ns = offset_ns, ppm, 5 * S
        self.began_ns = self.mono_ns
        self.clock = ClockOffset()

    def truth(self) -> int:
        return self.mono_ns + self.offset_ns + (self.mono_ns - self.began_ns) * self.ppm // 1_000_000

    def wait(self, ns: int) -> None:
        self.mono_ns += ns

    def ask(self, there_ns: int, back_ns: int, wrong_ns: int = 0) -> None:
        sent_ns = self.mono_ns
        self.wait(there_ns)
        server_ns = (self.truth() + wrong_ns) // MS * MS
        self.wait(back_ns)
        self.clock.add(sent_ns, self.mono_ns, server_ns)

    def off(self) -> int:
        return abs(self.clock.exchange_now_ns(self.mono_ns) - self.truth())

    def bound(self) -> int:
        return self.clock.error_ns(self.mono_ns)


DELAY = st.integers(10_000, 3 * S)
STEPS = st.lists(st.tuples(DELAY, DELAY, st.integers(0, 600 * S)), min_size=1, max_size=15)


@settings(deadline=None)
@given(steps=STEPS, ppm=st.integers(-DRIFT_PPM, DRIFT_PPM), offset=st.integers(-3600 * S, 3600 * S))
def test_the_truth_is_within_the_bound_for_all_delays(steps, ppm, offset):
    world = World(EPOCH + offset, ppm)
    for there, back, pause in steps:
        world.ask(there, back)
        assert world.off() <= world.bound()
        world.wait(pause)
        assert world.off() <= world.bound()
    assert world.clock.turns == 0


@settings(deadline=None)
@given(slow=st.lists(st.tuples(DELAY, DELAY), max_size=KEPT - 1), there=st.integers(50_000, 5 * MS))
def test_one_quick_answer_among_slow_ones_is_enough(slow, there):
    world = World()
    world.ask(there, there)
    for delays in slow:
        world.ask(*delays)
    drift_ns = 2 * (KEPT * 6 * S * DRIFT_PPM // 1_000_000)
    assert world.bound() <= there + MS + drift_ns
    assert world.off() <= world.bound()


def test_more_samples_never_make_it_worse_than_the_best_of_them():
    world = World()
    world.ask(4 * MS, 1 * MS)
    before = world.bound()
    world.ask(900 * MS, 100 * MS)
    assert world.bound() <= before + 1 * MS


@settings(deadline=None)
@given(wrong=st.integers(-3600 * S, 3600 * S), position=st.integers(2, 6))
def test_one_wrong_answer_is_not_followed(wrong, position):
    """A wrong answer that contradicts no other answer shifts the offset only within the uncertainty of the round
    trip."""
    world = World()
    for at in range(8):
        world.ask(2 * MS, 3 * MS, wrong if at == position else 0)
        assert world.off() <= 6 * MS
        assert world.off() <= world.bound() or abs(wrong) <= 12 * MS
        world.wait(S)
    assert world.clock.turns == 0


@settings(deadline=None)
@given(step=st.one_of(st.integers(20 * MS, 3600 * S), st.integers(-3600 * S, -20 * MS)), before=st.integers(1, 10))
def test_an_exchange_that_sets_its_clock_is_followed(step, before):
    world = World()
    for _ in range(before):
        world.ask(2 * MS, 3 * MS)
    world.offset_ns += step
    for _ in range(TURN):
        world.ask(2 * MS, 3 * MS)
        assert world.off() <= world.bound()  # from the first answer on the bound covers it
    assert world.off() <= 5 * MS
    assert world.bound() <= 6 * MS


@settings(deadline=None)
@given(jump=st.one_of(st.integers(21 * MS, 3600 * S), st.integers(-3600 * S, -21 * MS)))
def test_a_wall_clock_that_is_set_changes_no_time_of_the_exchange(jump):
    world = World()
    world.clock.watch(EPOCH, world.mono_ns)
    world.ask(2 * MS, 3 * MS)
    assert world.clock.watch(EPOCH + 5 * MS + jump, world.mono_ns) == jump
    assert world.off() <= 5 * MS
    world.ask(2 * MS, 3 * MS)
    assert world.bound() <= 6 * MS
    assert world.clock.turns == 0


@settings(deadline=None)
@given(slept=st.integers(21 * MS, 36_000 * S))
def test_a_machine_that_slept_doubts_and_measures_again(slept):
    world = World()
    world.clock.watch(EPOCH, world.mono_ns)
    for _ in range(5):
        world.ask(2 * MS, 3 * MS)
    world.offset_ns += slept  # the monotonic clock stood still
    assert world.clock.watch(EPOCH + 25 * MS + slept, world.mono_ns) == slept
    assert world.off() <= world.bound()
    world.ask(2 * MS, 3 * MS)
    assert world.off() <= 6 * MS
    assert world.bound() <= 6 * MS


def test_slewing_is_no_jump():
    world = World()
    world.ask(2 * MS, 3 * MS)
    bound = world.bound()
    for second in range(60):
        assert world.clock.watch(EPOCH + second * (S + 500_000), world.mono_ns + second * S) == 0
    assert world.bound() == bound
    assert world.clock.jumps == 0


def test_the_bound_grows_with_time():
    world = World()
    world.ask(MS, MS)
    before = world.bound()
    world.wait(3600 * S)
    assert world.bound() == before + 3600 * S * DRIFT_PPM // 1_000_000


def test_nothing_is_known_before_the_first_answer():
    clock = ClockOffset()
    assert not clock.is_known
    with pytest.raises(RetryLater):
        clock.exchange_now_ns(5)
    with pytest.raises(RetryLater):
        clock.error_ns(5)
    with pytest.raises(ValueError, match="before sent"):
        clock.add(5, 4, EPOCH)
