"""Data frames of orders and fills, and the error without pandas."""

from __future__ import annotations

import math
import pickle
import sys
from decimal import Decimal

import pytest

from venuemesh import Fill, Misconfigured, Order, OrderStatus, OrderType, Side
from venuemesh.market.rows import ActiveMarkets
from venuemesh.market.values import Page
from venuemesh.model.order import Fee

NOW = 1_700_000_000_123_456_789
ORDER = Order(
    "acme", "main", "one", "A-B", Side.BUY, OrderType.LIMIT, Decimal("0.3"), Decimal("0.1"), None,
    OrderStatus.FILLED, NOW, NOW + 1, filled=Decimal("0.3"), quote_filled=Decimal("0.03"), fees={"B": Decimal("0.01")},
)  # fmt: skip
MARKET = Order(
    "acme", "main", "two", "A-B", Side.SELL, OrderType.MARKET, None, None, None, OrderStatus.OPEN, NOW, NOW,
    quote_amount=Decimal(5), external=True,
)  # fmt: skip
FILL = Fill(
    "t1", "one", "77", "A-B", Side.BUY, Decimal("0.1"), Decimal("0.3"), Decimal("0.03"), None, None, True, NOW, NOW,
    (Fee("TAX", Decimal("0.01")),),
)  # fmt: skip


def page(kind, *rows):
    return Page.read(kind, {"rows": [row.to_dict() for row in rows], "next": 7})


def test_a_frame_of_orders_has_numbers_times_and_text():
    frame = page(Order, ORDER, MARKET).to_pandas()
    assert list(frame.side) == ["buy", "sell"]
    assert list(frame.status) == ["FILLED", "OPEN"]
    assert frame.price[0] == 0.1
    assert math.isnan(frame.price[1])
    assert frame.average_price[0] == 0.1
    assert frame.created[0].value == NOW
    assert str(frame.created.dtype) == "datetime64[ns, UTC]"
    assert list(frame.external) == [False, True]
    assert frame.fees[0] == {"B": 0.01}
    assert {"created_ns", "updated_ns"}.isdisjoint(frame.columns)
    assert (frame.amount * frame.price).sum() == 0.03


def test_an_exact_frame_keeps_decimals():
    frame = page(Order, ORDER, MARKET).to_pandas(exact=True)
    assert list(frame.amount) == [Decimal("0.3"), None]
    assert frame.fees[0] == {"B": Decimal("0.01")}


def test_a_frame_of_fills_has_their_fees_and_liquidity():
    frame = page(Fill, FILL).to_pandas()
    assert list(frame.liquidity) == ["maker"]
    assert frame.is_maker.dtype == bool
    assert math.isnan(frame.fee[0])
    assert frame.more_fees[0] == (Fee("TAX", Decimal("0.01")),)
    assert frame.ts_event[0].value == NOW


@pytest.mark.parametrize(("kind", "row"), [(Order, ORDER), (Fill, FILL)])
def test_a_page_without_rows_has_the_same_columns_of_the_same_types(kind, row):
    full, empty = page(kind, row).to_pandas(), page(kind).to_pandas()
    assert len(empty) == 0
    assert dict(empty.dtypes) == dict(full.dtypes)


def test_a_page_that_was_pickled_makes_a_frame_and_knows_its_next():
    copy = pickle.loads(pickle.dumps(page(Fill, FILL)))
    assert copy.next == 7
    assert len(copy.to_pandas()) == 1


def test_without_pandas_an_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for rows in (page(Order, ORDER), page(Fill), ActiveMarkets()):
        with pytest.raises(Misconfigured, match=r"venuemesh\[pandas\]"):
            rows.to_pandas()
