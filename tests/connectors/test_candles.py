"""Rows of candles are checked, ordered, and closed only with proof."""

from __future__ import annotations

from decimal import Decimal

import pytest

from venuemesh.connectors.candles import candle, closed_by, in_order
from venuemesh.model.errors import DecodeError
from venuemesh.model.time import MINUTE_NS

PRICES = ("10.0", "12", "9.50", "11")


def test_a_row_is_exact() -> None:
    read = candle("1m", MINUTE_NS, PRICES, "0.00000001", "0", 4, True)
    assert (read.open_ns, read.close_ns) == (MINUTE_NS, 2 * MINUTE_NS)
    assert [str(price) for price in (read.open, read.high, read.low, read.close)] == list(PRICES)
    assert (read.volume, read.quote_volume, read.count) == (Decimal("1E-8"), Decimal(0), 4)
    assert read.is_closed


@pytest.mark.parametrize(
    "prices",
    [
        ("13", "12", "9", "11"),
        ("10", "12", "10.5", "11"),
        ("10", "12", "9", "8"),
        ("10", "12", "9", "12.1"),
        ("0", "12", "0", "11"),
        ("-1", "12", "9", "11"),
        ("1e1", "12", "9", "11"),
        ("10", "Infinity", "9", "11"),
        ("10", "NaN", "9", "11"),
        ("10", "", "9", "11"),
        (10, "12", "9", "11"),
        ("10", "1" * 42, "9", "11"),
        ("１０", "12", "9", "11"),
        ("10", "12", "9"),
    ],
)
def test_a_candle_that_cannot_be_true(prices: tuple[object, ...]) -> None:
    with pytest.raises((DecodeError, ValueError)):
        candle("1m", 0, prices, "1")


@pytest.mark.parametrize("volume", ["-1", "1e5", "", None, 1, "NaN"])
def test_a_volume_that_cannot_be_true(volume: object) -> None:
    with pytest.raises((DecodeError, ValueError)):
        candle("1m", 0, PRICES, volume)


def test_order_and_repetition() -> None:
    first, second = (candle("1m", at * MINUTE_NS, PRICES, "1") for at in (1, 2))
    assert in_order([second, first]) == [first, second]
    with pytest.raises(ValueError, match="two candles"):
        in_order([first, second, first])


def test_a_candle_is_closed_by_time_or_by_a_later_one() -> None:
    listed = [candle("1m", at * MINUTE_NS, PRICES, "1") for at in (1, 2, 3)]
    for time_ns, closed in (
        (0, [True, True, False]),
        (4 * MINUTE_NS - 1, [True, True, False]),
        (4 * MINUTE_NS, [True, True, True]),
    ):
        assert [each.is_closed for each in closed_by(listed, time_ns)] == closed
    assert closed_by([], 0) == []
