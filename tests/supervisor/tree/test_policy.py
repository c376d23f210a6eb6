"""Restart policy: OTP's words, as properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venuemesh.supervisor.tree.child import ChildSpec, Restart
from venuemesh.supervisor.tree.policy import Adopt, Escalate, Exit, History, Policy, Stop, decide

S = 1_000_000_000
POLICY = Policy(intensity=3, period_s=10, backoff_s=1, backoff_cap_s=30)
UNASKED = [why for why in Exit if why is not Exit.ASKED]


def spec(restart: Restart = Restart.PERMANENT) -> ChildSpec:
    return ChildSpec("book/x/a", "book", restart=restart)


@pytest.mark.parametrize("restart", list(Restart))
@pytest.mark.parametrize("why", list(Exit))
def test_restart_types(restart: Restart, why: Exit) -> None:
    again = isinstance(decide(spec(restart), why, History(), POLICY, 0), Adopt)
    expected = why is not Exit.ASKED and (
        restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and why is not Exit.FINISHED)
    )
    assert again is expected


def test_intensity_is_counted_over_the_period() -> None:
    history = History()
    for n in range(3):
        decision = decide(spec(), Exit.DIED, history, POLICY, n * S)
        assert isinstance(decision, Adopt)
        assert decision.after_ns == 0
        history = decision.history
    assert isinstance(decide(spec(), Exit.DIED, history, POLICY, 3 * S), Escalate)
    assert isinstance(decide(spec(), Exit.DIED, history, POLICY, 11 * S), Adopt)


def test_a_lost_node_is_not_the_childs_fault() -> None:
    history = History((0, 1, 2))
    assert isinstance(decide(spec(), Exit.NODE_LOST, history, POLICY, 3), Adopt)


def test_escalation_is_forgiven_after_a_period_of_service() -> None:
    degraded = History((0,), 4)
    assert isinstance(decide(spec(), Exit.DIED, degraded.served(20 * S), POLICY, 25 * S), Escalate)
    assert isinstance(decide(spec(), Exit.DIED, degraded.served(20 * S), POLICY, 30 * S), Adopt)


@given(st.lists(st.tuples(st.sampled_from(UNASKED), st.integers(0, 20 * S)), max_size=60), st.integers(1, 10))
def test_history_is_bounded_and_delays_are_capped(ends: list[tuple[Exit, int]], intensity: int) -> None:
    policy = Policy(intensity=intensity, period_s=10, backoff_s=0.5, backoff_cap_s=7)
    history, now, recent = History(), 0, []
    for why, pause in ends:
        now += pause
        decision = decide(spec(), why, history, policy, now)
        assert not isinstance(decision, Stop)
        history = decision.history
        assert len(history.ends_ns) <= intensity + 1
        if isinstance(decision, Escalate):
            assert 0 < decision.retry_after_ns <= 7 * S
        elif why is not Exit.NODE_LOST:
            recent = [t for t in recent if now - t < 10 * S] + [now]
            assert len(recent) <= intensity


@given(st.integers(1, 40))
def test_backoff_grows_to_its_cap(count: int) -> None:
    first = decide(spec(), Exit.DIED, History((), count), POLICY, 0)
    assert isinstance(first, Escalate)
    full = min(30.0, 2.0 ** min(count, 30))
    assert 0.5 * full * S <= first.retry_after_ns <= full * S
