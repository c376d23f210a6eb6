"""The requests that place orders, and their client order ids."""

from __future__ import annotations

from venuemesh.exchange.binance.methods import BY_NAME, METHODS
from venuemesh.exchange.binance.placements import PLACING, client_ids


def test_only_placements_have_client_order_ids() -> None:
    assert client_ids("ws-api:order.place", {"newClientOrderId": "a"}) == ["a"]
    assert client_ids("POST /api/v3/orderList/oco", {"aboveClientOrderId": "a"}) == ["a", None]
    assert client_ids("ws-api:order.cancel", {"newClientOrderId": "a"}) == []


def test_every_method_that_counts_as_an_order_is_known_here() -> None:
    placing = {method for method in METHODS if method.orders}
    assert {f"ws-api:{method.name}" for method in placing} <= set(PLACING)
    assert {f"{method.verb} {method.path}" for method in placing} <= set(PLACING)
    for name, parameters in PLACING.items():
        method = BY_NAME.get(name.removeprefix("ws-api:"))
        if method is not None:
            assert set(parameters) <= {param.name for param in method.params}
