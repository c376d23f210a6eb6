"""Lengths of candles, months among them."""

from datetime import UTC, datetime

import pytest

from venuemesh.model.candle import close_of, longest_ns, shortest_ns
from venuemesh.model.time import DAY_NS, MINUTE_NS, SECOND_NS


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * SECOND_NS


@pytest.mark.parametrize(
    ("interval", "opened", "closed"),
    [
        ("1s", at(2026, 1, 1), at(2026, 1, 1) + SECOND_NS),
        ("15m", at(2026, 1, 1), at(2026, 1, 1, 0, 15)),
        ("4h", at(2026, 1, 1, 20), at(2026, 1, 2)),
        ("15d", at(2026, 2, 15), at(2026, 3, 2)),
        ("1w", at(2026, 11, 23), at(2026, 11, 30)),
        ("1M", at(2028, 2, 1), at(2028, 3, 1)),
        ("1M", at(2026, 12, 1), at(2027, 1, 1)),
        ("3M", at(2026, 10, 1), at(2027, 1, 1)),
    ],
)
def test_a_candle_ends_where_the_next_one_begins(interval: str, opened: int, closed: int) -> None:
    assert close_of(opened, interval) == closed
    assert shortest_ns(interval) <= closed - opened <= longest_ns(interval)


def test_the_lengths_of_months_and_others() -> None:
    assert (shortest_ns("1M"), longest_ns("1M")) == (28 * DAY_NS, 31 * DAY_NS)
    assert shortest_ns("5m") == longest_ns("5m") == 5 * MINUTE_NS


@pytest.mark.parametrize("interval", ["", "m", "0m", "1", "1y", "-1m", "1 m", "1m ", "1.5h", "١m"])
def test_what_is_no_interval(interval: str) -> None:
    with pytest.raises(ValueError, match="not an interval"):
        close_of(0, interval)
