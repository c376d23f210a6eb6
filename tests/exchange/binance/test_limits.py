"""Rate limits and reading of parameters, without sockets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venuemesh.exchange.binance.errors import ApiError
from venuemesh.exchange.binance.limits import Limits, Meter
from venuemesh.exchange.binance.params import Param, read, timestamp_ns
from venuemesh.exchange.binance.streams import parse
from venuemesh.exchange.wire.frames import payload_of, text_frame
from venuemesh.exchange.wire.windows import SlidingWindow

MINUTE = 60_000_000_000
SECOND = 1_000_000_000


def refuse(meter: Meter, weight: int, now_ns: int) -> ApiError:
    with pytest.raises(ApiError) as caught:
        meter.spend("ip", weight, now_ns)
    return caught.value


def test_bans_grow_longer() -> None:
    meter, now = Meter(Limits(weight=1, violations=0, ban_s=120, longest_ban_s=1000)), 0
    lasted = []
    for _ in range(4):
        meter.spend("ip", 1, now)
        banned = refuse(meter, 1, now)
        assert banned.status == 418
        assert banned.retry_after_s is not None
        lasted.append(banned.retry_after_s)
        assert refuse(meter, 1, now + 1).status == 418
        meter.spend("other", 1, now)
        now += (banned.retry_after_s + 60) * SECOND
        now -= now % MINUTE
    assert lasted == [120, 480, 1000, 1000]


def test_raw_requests_have_their_own_window() -> None:
    meter = Meter(Limits(raw_requests=2))
    meter.spend("ip", 1, 0)
    meter.spend("ip", 1, 0)
    refused = refuse(meter, 1, 100 * SECOND)
    assert (refused.status, refused.retry_after_s) == (429, 200)
    meter.spend("ip", 1, 300 * SECOND)


@given(st.lists(st.integers(0, 3 * SECOND), max_size=40), st.integers(1, 6))
def test_message_rate_counts_any_second(times: list[int], limit: int) -> None:
    rate, seen = SlidingWindow(SECOND), []
    for now in sorted(times):
        seen.append(now)
        assert (rate.add(now) > limit) == (sum(1 for t in seen if t > now - SECOND) > limit)


@pytest.mark.parametrize(
    ("kind", "good", "value", "bad"),
    [
        ("symbol", "BTCUSDT", "BTCUSDT", "btcusdt"),
        ("symbol", "１２３４５６", "１２３４５６", "BTC/USDT"),
        ("number", "0012", 12, "-1"),
        ("symbols", '["A","B"]', ["A", "B"], "[]"),
        ("symbols", '["A"]', ["A"], '["a"]'),
        ("interval", "1M", "1M", "1Y"),
        ("zone", "-1:00", -3600 * SECOND, "-12:01"),
        ("zone", "05:45", 20_700 * SECOND, "14:30"),
        ("zone", "8", 28_800 * SECOND, "x"),
        ("window", "59m", 59 * MINUTE, "60m"),
        ("window", "7d", 7 * 1440 * MINUTE, "8d"),
        ("bool", "true", True, "1"),
        ("permissions", "SPOT", ["SPOT"], "spot"),
        ("type", "MINI", "MINI", "mini"),
        ("status", "BREAK", "BREAK", "END_OF_DAY"),
    ],
)
def test_parameters(kind: str, good: str, value: Any, bad: str) -> None:
    known = (Param("x", kind),)
    assert read({"x": good}, known, rest=True) == {"x": value}
    with pytest.raises(ApiError):
        read({"x": bad}, known, rest=True)


def test_timestamps_in_both_units() -> None:
    assert timestamp_ns(1_700_000_000_000) == timestamp_ns(1_700_000_000_000_000) == 1_700_000_000 * SECOND


@given(st.binary(max_size=200_000))
def test_frames_give_back_their_payload(payload: bytes) -> None:
    assert payload_of(text_frame(payload)) == payload


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("btcusdt@depth", "depth"),
        ("btcusdt@depth@100ms", "depth"),
        ("btcusdt@depth20", "partial"),
        ("btcusdt@depth7", None),
        ("btcusdt@depth@10ms", None),
        ("BTCUSDT@depth", None),
        ("btcusdt@kline_1M", "kline"),
        ("btcusdt@kline_1y", None),
        ("btcusdt@kline_1h@+08:00", "kline"),
        ("btcusdt@ticker_4h", "window"),
        ("!miniTicker@arr", "arr"),
        ("!ticker_1d@arr", "arr"),
        ("!bookTicker", None),
        ("btcusdt", None),
    ],
)
def test_names_of_streams(name: str, kind: str | None) -> None:
    stream = parse(name)
    assert (None if stream is None else stream.kind) == kind
