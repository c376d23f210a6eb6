"""Stored records are read with their exact types, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import pytest

from venuemesh.model.errors import Misconfigured
from venuemesh.model.fixed import INT64_MAX
from venuemesh.model.instrument import Instrument
from venuemesh.model.plain import from_plain, to_plain


@dataclass
class Record:
    name: str | None
    count: int
    more: int | str = 0


def test_a_record_comes_back():
    for record in (Record("größe", INT64_MAX, -INT64_MAX), Record(None, 0, "x")):
        assert from_plain(Record, to_plain(record)) == record


@pytest.mark.parametrize(
    ("name", "count", "more", "where"),
    [("x\ud800", 1, 2, "name"), ("x", 2**63, 2, "count"), ("x", 1, -(2**63), "more"), ("x", 1, "\udfff", "more")],
)
def test_what_no_store_can_keep_is_refused(name, count, more, where):
    with pytest.raises(Misconfigured, match=rf"^Record\.{where}: "):
        from_plain(Record, {"name": name, "count": count, "more": more})


@dataclass
class Nested:
    rows: tuple[tuple[Decimal, float], ...]
    named: Mapping[str, Record]


@pytest.mark.parametrize(
    ("rows", "named", "error"),
    [
        ([["1", 2], ["NaN", 2]], {}, r"Nested\.rows\[1\]\[0\]: is not finite"),
        ([["-Infinity", 2]], {}, r"Nested\.rows\[0\]\[0\]: is not finite"),
        ([["1", 2**2000]], {}, r"Nested\.rows\[0\]\[1\]: is an integer of 2001 bits"),
        ([["1", 2, 3]], {}, r"Nested\.rows\[0\]: has 3 items instead of 2"),
        ([["1", True]], {}, r"Nested\.rows\[0\]\[1\]: is bool"),
        ([], {"a": {"name": "x", "count": "1", "more": 0}}, r"Nested\.named\.a\.count: is str"),
        ([], {1: {"name": "x", "count": 1, "more": 0}}, r"Nested\.named\.1: is int"),
        ([], [], r"Nested\.named: is list"),
    ],
)
def test_an_error_names_the_path_to_the_value(rows, named, error):
    with pytest.raises(Misconfigured, match=f"^{error}"):
        from_plain(Nested, {"rows": rows, "named": named})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"percent_price": ["1", "1", "NaN", "1"]}, r"percent_price\[2\]: is not finite"),
        ({"min_price": 5}, "min_price: is int"),
        ({"order_types": [[]]}, r"order_types\[0\]: is list"),
        ({"price_scale": "8"}, "price_scale: is str"),
        ({"colour": 1}, "does not have exactly the fields"),
    ],
)
def test_an_instrument_has_the_declared_types(change, error):
    good = Instrument("acme", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 8, 8, min_price=Decimal("1E+5")).to_dict()
    assert Instrument.from_dict(good).min_price == 100_000
    older = {key: value for key, value in good.items() if key not in ("aliases", "max_orders")}
    assert Instrument.from_dict(older) == Instrument.from_dict(good)
    with pytest.raises(Misconfigured, match=error):
        Instrument.from_dict(good | change)
