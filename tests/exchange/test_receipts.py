"""Counting placements per client order id."""

from __future__ import annotations

import pytest

from venuemesh.exchange import receipts
from venuemesh.exchange.binance.methods import BY_NAME, METHODS
from venuemesh.exchange.receipts import PLACING, Receipts, settle


def test_a_placement_is_received_and_then_accepted_or_refused() -> None:
    counted = Receipts()
    first = counted.received("ws-api:order.place", {"newClientOrderId": "a"})
    again = counted.received("POST /api/v3/order", {"newClientOrderId": "a"})
    settle(first, accepted=True)
    settle(again, accepted=False)
    found = counted.of("a")
    assert (found.received, found.accepted, found.refused) == (2, 1, 1)


def test_what_places_nothing_or_names_nothing_is_not_counted() -> None:
    counted = Receipts()
    assert counted.received("ws-api:order.cancel", {"newClientOrderId": "a"}) == []
    assert counted.received("ws-api:order.place", {}) == []
    assert counted.received("ws-api:order.place", {"newClientOrderId": 5}) == []
    assert list(counted.since(0, 10)) == []


def test_every_method_that_counts_as_an_order_is_known_here() -> None:
    placing = {method for method in METHODS if method.orders}
    assert {f"ws-api:{method.name}" for method in placing} <= set(PLACING)
    assert {f"{method.verb} {method.path}" for method in placing} <= set(PLACING)
    for name, parameters in PLACING.items():
        method = BY_NAME.get(name.removeprefix("ws-api:"))
        if method is not None:
            assert set(parameters) <= {param.name for param in method.params}


def test_the_oldest_go_and_numbers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "KEPT", 3)
    counted = Receipts()
    for name in "abcde":
        counted.received("ws-api:order.place", {"newClientOrderId": name})
    assert [(number, found.client_id) for number, found in counted.since(0, 10)] == [(3, "c"), (4, "d"), (5, "e")]
    assert [number for number, _ in counted.since(3, 1)] == [4]
    assert counted.of("a").received == 0
