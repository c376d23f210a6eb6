"""The one backoff: its bounds, its jitter, and that it never overflows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venuemesh.model.backoff import Backoff


def test_it_doubles_up_to_its_cap() -> None:
    backoff = Backoff(first_s=1.0, cap_s=8.0)
    assert [backoff.delay_s(failures) for failures in range(7)] == [0, 1, 2, 4, 8, 8, 8]


def test_without_jitter_chance_changes_nothing() -> None:
    backoff = Backoff(first_s=0.05, cap_s=1.0, jitter=0.0)
    assert [backoff.delay_s(n, 0.9) for n in range(1, 7)] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0])


@given(st.integers(1, 10**6), st.floats(0.0, 1.0, exclude_max=True), st.floats(0.0, 1.0))
def test_the_delay_stays_between_its_bounds_and_never_overflows(failures: int, chance: float, jitter: float) -> None:
    backoff = Backoff(first_s=0.2, cap_s=30.0, jitter=jitter)
    full = min(30.0, 0.2 * 2.0 ** min(failures - 1, 60))
    assert full * (1.0 - jitter) <= backoff.delay_s(failures, chance) <= full


@given(st.floats(0.0, 1.0, exclude_max=True))
def test_the_spread_is_below_the_first_delay(chance: float) -> None:
    assert 0.0 <= Backoff(first_s=0.2, cap_s=30.0).spread_s(chance) <= 0.2
