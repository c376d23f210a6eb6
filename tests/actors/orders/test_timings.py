"""Stages of orders: in order, once each, bounded, and only of sent orders."""

from __future__ import annotations

import itertools

from venuemesh.actors.orders.timings import ANSWERED, COMMITTED, JUDGED, SIGNED, STAGES, WRITTEN, Timings

SENT = (JUDGED, SIGNED, COMMITTED, WRITTEN, ANSWERED)


def timings(kept: int = 10) -> Timings:
    clock, wall = itertools.count(1000, 1000), itertools.count(5)
    return Timings(lambda: next(clock), lambda: next(wall), kept)


def test_an_order_has_a_time_for_every_stage() -> None:
    found = timings()
    found.received(["a"])
    for stage in SENT:
        found.reached(stage, ["a"])
    found.replied(["a"])
    assert found.plain(10)["orders"] == [["a", *range(1000, 8000, 1000)]]
    assert found.summary() == {"orders": 1, **{stage: [1, 1] for stage in STAGES[1:]}}


def test_unsent_and_ended_orders_leave_nothing() -> None:
    found = timings()
    found.received(["refused", "cancelled later"])
    found.reached(JUDGED, ["refused"])
    found.replied(["refused"])
    for stage in (*SENT, *SENT):  # the second time for another request about the order
        found.reached(stage, ["cancelled later", "never received"])
    found.replied(["cancelled later"])
    found.reached(JUDGED, ["cancelled later"])
    found.replied(["cancelled later"])
    (row,) = found.plain(10)["orders"]
    assert row[0] == "cancelled later"
    assert row[1:] == sorted(row[1:])
    assert len(row) == 1 + len(STAGES)


def test_the_same_order_handed_over_twice_keeps_the_first_time() -> None:
    found = timings()
    found.received(["a"])
    found.received(["a"])
    for stage in SENT:
        found.reached(stage, ["a"])
    found.replied(["a"])
    found.replied(["a"])
    assert [row[1] for row in found.plain(10)["orders"]] == [1000]


def test_the_last_ones_are_kept() -> None:
    found = timings(kept=3)
    for name in "abcde":
        found.received([name])
        for stage in SENT:
            found.reached(stage, [name])
        found.replied([name])
        found.durable(found.reports_received(), 1, 2)
    assert [row[0] for row in found.plain(10)["orders"]] == ["c", "d", "e"]
    assert [row[0] for row in found.plain(2)["orders"]] == ["d", "e"]
    assert [row[2:] for row in found.plain(1)["reports"]] == [[13, 14]]
