"""Values of a report are checked, not only their types."""

from __future__ import annotations

from decimal import Decimal

import pytest

from venuemesh.connectors.reports import FillReport

GOOD = {"trade_id": "7", "price": Decimal("25000"), "amount": Decimal("0.01"), "quote_amount": Decimal("250")}
REST = {"fee": None, "fee_asset": None, "is_maker": None, "ts_event_ns": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"trade_id": ""},
        {"price": Decimal(0)},
        {"price": Decimal("-1")},
        {"amount": Decimal(0)},
        {"amount": Decimal("-0.01")},
        {"quote_amount": Decimal("-250")},
    ],
)
def test_what_cannot_be_a_fill_is_refused(wrong):
    with pytest.raises(ValueError, match="a fill"):
        FillReport(**(GOOD | REST | wrong))


def test_the_quote_amount_of_a_tiny_fill_may_be_rounded_to_zero():
    assert FillReport(**(GOOD | REST | {"quote_amount": Decimal("0.00000000")})).quote_amount == 0
