"""Counting placements per client order id."""

from __future__ import annotations

import pytest

from venuemesh.exchange.wire import receipts
from venuemesh.exchange.wire.receipts import Receipts, settle


def test_a_placement_is_received_and_then_accepted_or_refused() -> None:
    counted = Receipts()
    first = counted.received(["a"])
    again = counted.received(["a"])
    settle(first, accepted=True)
    settle(again, accepted=False)
    found = counted.find("a")
    assert (found.received, found.accepted, found.refused) == (2, 1, 1)


def test_what_is_no_id_is_not_counted() -> None:
    counted = Receipts()
    assert counted.received(["", None, 5]) == []
    assert list(counted.since(0, 10)) == []


def test_the_oldest_go_and_numbers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "KEPT", 3)
    counted = Receipts()
    for name in "abcde":
        counted.received([name])
    assert [(number, found.client_id) for number, found in counted.since(0, 10)] == [(3, "c"), (4, "d"), (5, "e")]
    assert [number for number, _ in counted.since(3, 1)] == [4]
    assert counted.find("a").received == 0
