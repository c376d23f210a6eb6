"""Numbers that people and programs give: exact, or refused with the reason."""

from __future__ import annotations

from decimal import Decimal

import pytest

from venuemesh.config.mesh import check_config
from venuemesh.model.arguments import needed_number
from venuemesh.model.errors import Misconfigured, Rejected
from venuemesh.model.fixed import read_exact

NO_NUMBERS = ["1_0", "１０", "٣", " 1", "1 ", "+1", "1.", ".5", "01", "", "-", "1,5", "0x1", "NaN", "inf", "1e", "1\n"]
TOO_LONG = ["1" * 41, "1e40", "1e-41", "1e9999", Decimal("1E+999999"), Decimal("1E-999999"), 10**40]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("0.001", "0.001"),
        ("-3", "-3"),
        ("1E-7", "0.0000001"),
        ("2.50", "2.50"),
        (7, "7"),
        (Decimal("1E+3"), "1000"),
        ("9" * 40, "9" * 40),
    ],
)
def test_a_number_is_read_exactly(given: Decimal | int | str, read: str) -> None:
    assert f"{read_exact(given):f}" == read


@pytest.mark.parametrize("given", [*NO_NUMBERS, *TOO_LONG, Decimal("NaN"), Decimal("-Infinity")])
def test_anything_else_is_refused_where_a_price_or_size_is_given(given: Decimal | int | str) -> None:
    with pytest.raises(ValueError, match=r"number|finite|digits"):
        read_exact(given)
    with pytest.raises(Rejected, match="amount"):
        needed_number("amount", given)


@pytest.mark.parametrize("given", [*NO_NUMBERS, "1e9999"])
def test_the_configuration_reads_the_same_numbers(given: str) -> None:
    account = {"api_key_file": "/k", "secret_file": "/s", "max_order_notional": given}
    exchange = {"pairs": ["BTC-USDT"], "accounts": {"main": account}}
    with pytest.raises(Misconfigured, match="max_order_notional"):
        check_config({"exchanges": {"binance": exchange}}, "test")
