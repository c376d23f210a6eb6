"""Pauses between rounds for gaps, and requests for balances outside rounds."""

from __future__ import annotations

from venuemesh.actors.orders.machine.rounds import FAILED_S, GAPS_CALM_S, GAPS_S, BalanceAsks, GapRounds
from venuemesh.model.time import SECOND_NS, in_ns

START_NS = 100 * SECOND_NS


def test_the_first_gap_begins_a_round_at_once_and_the_next_ones_wait_longer_each() -> None:
    rounds, now_ns, pauses = GapRounds(1.0), START_NS, []
    for _ in range(8):
        rounds.lost(now_ns)
        due_ns = rounds.due_ns
        assert due_ns is not None
        pauses.append((due_ns - now_ns) / SECOND_NS)
        if due_ns > now_ns:
            rounds.lost(due_ns - 1)  # another gap changes nothing
            assert not rounds.take(due_ns - 1)
        now_ns = due_ns
        assert rounds.take(now_ns)
        assert rounds.due_ns is None
    assert pauses[0] == 0
    assert pauses == sorted(pauses)
    assert pauses[-1] == GAPS_S
    now_ns += in_ns(GAPS_CALM_S)
    rounds.lost(now_ns)
    assert rounds.take(now_ns), "after a calm time a gap is the first again"


def test_one_request_for_balances_serves_the_changes_of_a_short_time() -> None:
    asks = BalanceAsks(0.5)
    asks.changed(START_NS)
    asks.changed(START_NS + 1)
    assert asks.wake_ns == START_NS + SECOND_NS // 2
    assert not asks.take(None, asks.wake_ns - 1)
    assert asks.take(None, asks.wake_ns)
    assert asks.wake_ns is None
    asks.answered(True, 0.0, START_NS + SECOND_NS)
    assert asks.wake_ns is None


def test_a_change_during_a_request_or_its_failure_requests_again() -> None:
    for changes, stated in ((True, True), (False, False)):
        asks = BalanceAsks(0.5)
        asks.changed(0)
        assert asks.take(None, SECOND_NS)
        if changes:
            asks.changed(SECOND_NS)
        assert asks.wake_ns is None, "one at a time"
        asks.answered(stated, 0.0, 2 * SECOND_NS)
        assert asks.take(None, 3 * SECOND_NS)


def test_requests_that_fail_become_rare_and_wait_as_long_as_the_exchange_wants() -> None:
    asks, now_ns, pauses = BalanceAsks(0.5), START_NS, []
    asks.changed(now_ns)
    for _ in range(12):
        wake_ns = asks.wake_ns
        assert wake_ns is not None
        pauses.append((wake_ns - now_ns) / SECOND_NS)
        now_ns = wake_ns
        assert asks.take(START_NS, now_ns)
        asks.answered(False, 0.0, now_ns)
    assert pauses == sorted(pauses)
    assert pauses[-1] == FAILED_S
    assert asks.take(START_NS, now_ns + in_ns(FAILED_S))
    asks.answered(False, 300.0, now_ns)
    assert asks.wake_ns == now_ns + 300 * SECOND_NS


def test_owed_balances_are_requested_after_a_time_and_ever_more_rarely() -> None:
    asks, now_ns, taken = BalanceAsks(0.5), START_NS, []
    assert not asks.take(START_NS, now_ns)
    assert not asks.take(None, now_ns + 1)
    assert asks.wake_ns is None, "they came"
    while now_ns < START_NS + 600 * SECOND_NS:
        if asks.take(START_NS, now_ns):
            taken.append((now_ns - START_NS) / SECOND_NS)
            asks.answered(True, 0.0, now_ns)  # it states other assets only
        now_ns = asks.wake_ns or now_ns + SECOND_NS
    assert taken[0] == 1.5
    assert len(taken) < 20
    assert not asks.take(now_ns, now_ns)
    assert asks.wake_ns == now_ns + SECOND_NS * 3 // 2, "another reservation begins anew"
