"""Requests for candles: windows, pages, and refusals before anything is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from venuemesh.actors.candles.query import DEFAULT, MOST, read_query
from venuemesh.connectors.spec import CandleOffer
from venuemesh.model.candle import Candle, close_of
from venuemesh.model.errors import NotOffered, Rejected
from venuemesh.model.time import DAY_NS, MINUTE_NS, SECOND_NS

OFFER = CandleOffer({"1m": "1", "1d": "D", "1M": "M"}, page=100)
NOW = 1_700_000_030 * SECOND_NS  # half a minute after a whole one
WHOLE = NOW - NOW % MINUTE_NS


def query(offer: CandleOffer | None = OFFER, interval: Any = "1m", **body: Any) -> Any:
    return read_query("acme", offer, {"pair": "BTC-USDT", "interval": interval, **body}, NOW)


def candle(open_ns: int, close: str = "1") -> Candle:
    one = Decimal(1)
    return Candle(open_ns, close_of(open_ns, "1m"), one, one, one, Decimal(close), one, None, None, True)


def opens(first_ns: int, end_ns: int) -> list[int]:
    """Return the opening times of candles of a minute, from a time until before another time."""
    return list(range(-(-first_ns // MINUTE_NS) * MINUTE_NS, end_ns, MINUTE_NS))


@pytest.mark.parametrize(
    ("body", "first", "count"),
    [
        ({}, WHOLE - (DEFAULT - 1) * MINUTE_NS, DEFAULT),
        ({"limit": 1}, WHOLE, 1),
        ({"limit": 250}, WHOLE - 249 * MINUTE_NS, 250),
        ({"limit": 3, "end_ns": WHOLE - DAY_NS}, WHOLE - DAY_NS - 3 * MINUTE_NS, 3),
        ({"start_ns": WHOLE - 5 * MINUTE_NS}, WHOLE - 5 * MINUTE_NS, 6),
        ({"start_ns": WHOLE - 5 * MINUTE_NS + 1}, WHOLE - 4 * MINUTE_NS, 5),
        ({"start_ns": WHOLE - DAY_NS, "limit": 101}, WHOLE - DAY_NS, 101),
        ({"start_ns": WHOLE - DAY_NS, "end_ns": WHOLE - DAY_NS + 1}, WHOLE - DAY_NS, 1),
        ({"start_ns": WHOLE - 2 * MINUTE_NS, "end_ns": NOW + DAY_NS}, WHOLE - 2 * MINUTE_NS, 3),
        ({"start_ns": NOW + DAY_NS}, 0, 0),
    ],
)
def test_the_pages_hold_exactly_what_is_requested(body: dict[str, Any], first: int, count: int) -> None:
    """Pages follow each other without a gap, none has more than one answer holds, and together they have all
    candles."""
    asked = query(**body)
    for (_, end_ns), (start_ns, _) in zip(asked.pages, asked.pages[1:], strict=False):
        assert start_ns == end_ns
    pages = [opens(*page) for page in asked.pages]
    assert all(len(page) <= OFFER.page for page in pages)
    found = asked.chosen([candle(open_ns) for page in pages for open_ns in page])
    assert [each.open_ns for each in found] == [first + at * MINUTE_NS for at in range(count)]


def test_candles_come_once_and_only_the_requested_ones() -> None:
    """An answer may have other candles, and two pages may overlap: then the later answer counts."""
    asked = query(start_ns=WHOLE - 2 * MINUTE_NS)
    others = [candle(WHOLE - 9 * MINUTE_NS), candle(NOW + DAY_NS)]
    again = [candle(WHOLE, "1"), *others, candle(WHOLE - MINUTE_NS), candle(WHOLE, "2")]
    assert asked.chosen(again) == [candle(WHOLE - MINUTE_NS), candle(WHOLE, "2")]


def test_a_limit_takes_the_first_from_a_start_and_the_last_without_one() -> None:
    months = [candle(at) for at in range(0, NOW, 31 * DAY_NS)]
    assert (
        query(interval="1M", limit=2).chosen(months)
        == [each for each in months if each.open_ns > NOW - 62 * DAY_NS][-2:]
    )
    assert query(interval="1M", start_ns=0, limit=2).chosen(months) == months[:2]


@pytest.mark.parametrize("interval", ["7m", "", None, 5, ["1m"]])
def test_an_interval_that_is_not_offered_names_those_that_are(interval: Any) -> None:
    with pytest.raises(NotOffered) as caught:
        query(interval=interval)
    assert str(caught.value).endswith("its intervals are 1m, 1d, 1M")


def test_an_exchange_without_candles() -> None:
    with pytest.raises(NotOffered, match="acme does not offer candles"):
        query(offer=None)


def test_what_the_exchange_does_not_keep_is_refused_with_what_it_keeps() -> None:
    kept = CandleOffer({"1m": "1"}, page=720, kept=720)
    assert len(query(kept, limit=720).pages) == 1
    assert query(kept, start_ns=NOW + 1).pages == ()
    for body in ({"limit": 721}, {"start_ns": 0}, {"start_ns": WHOLE - DAY_NS, "limit": 1}, {"end_ns": 1}):
        with pytest.raises(Rejected, match="newest 720") as caught:
            query(kept, **body)
        assert caught.value.code == "too_old"
        assert "2023-11-14 10:13 UTC" in caught.value.reason


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"start_ns": 0}, "too_many"),
        ({"limit": MOST + 1}, "too_many"),
        ({"limit": 0}, "bad_request"),
        ({"limit": "5"}, "bad_request"),
        ({"start_ns": -1}, "bad_request"),
        ({"end_ns": 1.5}, "bad_request"),
        ({"start_ns": True}, "bad_request"),
    ],
)
def test_unanswerable_queries_are_refused(body: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as caught:
        query(**body)
    assert caught.value.code == code
