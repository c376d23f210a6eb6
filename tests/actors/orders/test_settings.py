"""The settings of an account, read from its configuration."""

from __future__ import annotations

from decimal import Decimal

import pytest

from venuemesh.actors.orders.settings import born, order_settings
from venuemesh.model.errors import Misconfigured
from venuemesh.model.ids import OrderIds


def test_settings_come_from_the_configuration_and_unknown_ones_are_named():
    config = {
        "exchange": "acme",
        "account": "main",
        "max_open_orders": 5,
        "price_band": "0.1",
        "pairs": {"A-B": {"max_order_notional": "10.5"}},
        "settings": {"margin_s": 0.5, "query_s": [1, 2], "processing_s": 3},
    }
    found = order_settings(config)
    assert (found.limits.max_open_orders, found.limits.price_band) == (5, Decimal("0.1"))
    assert found.pair_limits["A-B"].max_order_notional == Decimal("10.5")
    assert (found.margin_s, found.query_s) == (0.5, (1, 2))
    with pytest.raises(Misconfigured, match="nonsense"):
        order_settings({**config, "settings": {"nonsense": 1}})


def test_an_id_tells_when_its_maker_began():
    began_ns = 1_795_000_000_123_000_000
    assert born(OrderIds(began_ns, 5)()) == began_ns
    assert born("somebody-elses") is None
    assert born("vm!!") is None
