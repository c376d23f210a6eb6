"""Each connector's requests for candles; the codecs name the pages of the manuals."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from venuemesh.connectors import registry
from venuemesh.model.errors import DecodeError
from venuemesh.model.http import HttpResponse
from venuemesh.model.instrument import Instrument
from venuemesh.model.time import MINUTE_NS, SECOND_NS

START = 1_700_000_040 * SECOND_NS
END = START + 60 * MINUTE_NS
NAMES = {
    "binance": "BTCUSDT",
    "bybit": "BTCUSDT",
    "coinbase": "BTC-USDT",
    "htx": "btcusdt",
    "kraken": "BTC/USDT",
    "okx": "BTC-USDT",
}
FIRST_MS, LAST_MS = START // 10**6, END // 10**6 - 1


def instrument(exchange: str) -> Instrument:
    aliases = ("XBTUSDT",) if exchange == "kraken" else ()
    return Instrument(exchange, "BTC-USDT", NAMES[exchange], "BTC", "USDT", 2, 8, aliases=aliases)


def asked(exchange: str, interval: str, start_ns: int = START, end_ns: int = END, now_ns: int = END) -> tuple[str, Any]:
    request = (
        registry.connector(exchange)
        .codec()
        .candles_request(  # type: ignore[attr-defined]
            instrument(exchange), interval, start_ns, end_ns, now_ns
        )
    )
    parts = urlsplit(request.url)
    return parts.path, {name: value for name, (value,) in parse_qs(parts.query).items()}


@pytest.mark.parametrize(
    ("exchange", "interval", "path", "query"),
    [
        (
            "binance",
            "1M",
            "/api/v3/klines",
            {"symbol": "BTCUSDT", "interval": "1M", "startTime": FIRST_MS, "endTime": LAST_MS, "limit": 1000},
        ),
        ("htx", "15m", "/market/history/kline", {"symbol": "btcusdt", "period": "15min", "size": 4 + 60}),
        ("kraken", "15d", "/0/public/OHLC", {"pair": "XBTUSDT", "interval": 21600, "since": START // SECOND_NS - 1}),
        (
            "okx",
            "6h",
            "/api/v5/market/candles",
            {"instId": "BTC-USDT", "bar": "6Hutc", "before": FIRST_MS - 1, "after": LAST_MS + 1, "limit": 300},
        ),
        (
            "coinbase",
            "5m",
            "/products/BTC-USDT/candles",
            {"granularity": 300, "start": "2023-11-14T22:14:00.000Z", "end": "2023-11-14T23:13:59.000Z"},
        ),
        (
            "bybit",
            "2h",
            "/v5/market/kline",
            {
                "category": "spot",
                "symbol": "BTCUSDT",
                "interval": "120",
                "start": FIRST_MS,
                "end": LAST_MS,
                "limit": 1000,
            },
        ),
    ],
)
def test_a_window_is_requested(exchange: str, interval: str, path: str, query: dict[str, Any]) -> None:
    assert asked(exchange, interval) == (path, {name: str(value) for name, value in query.items()})


@pytest.mark.parametrize("exchange", sorted(NAMES))
def test_a_window_between_two_milliseconds_requests_no_candle_outside(exchange: str) -> None:
    """Bounds are rounded up: a candle at the start is included, a candle at the end is not."""
    _, exact = asked(exchange, "1m", START - 1, END - 1)
    _, rounded = asked(exchange, "1m", START, END)
    assert exact == rounded


def test_old_candles_of_okx_come_from_the_history() -> None:
    """The newer endpoint has the latest 1,440 candles of an interval; only the history has candles of a second."""
    new, old = "/api/v5/market/candles", "/api/v5/market/history-candles"
    assert asked("okx", "1m", now_ns=START + 1440 * MINUTE_NS)[0] == new
    assert asked("okx", "1m", now_ns=START + 1440 * MINUTE_NS + 1)[0] == old
    assert asked("okx", "1h", now_ns=START + 1440 * MINUTE_NS + 1)[0] == new
    assert asked("okx", "1s")[0] == old


def answer(body: bytes, now_ns: int = END) -> HttpResponse:
    return HttpResponse(200, {}, body, now_ns, now_ns)


@pytest.mark.parametrize("exchange", sorted(NAMES))
def test_no_candles_are_no_error(exchange: str) -> None:
    body = {
        "binance": b"[]",
        "coinbase": b"[]",
        "kraken": b'{"error":[],"result":{"XBTUSDT":[],"last":1}}',
        "okx": b'{"code":"0","msg":"","data":[]}',
        "htx": b'{"ch":"market.btcusdt.kline.1min","status":"ok","ts":1,"data":[]}',
        "bybit": b'{"retCode":0,"retMsg":"OK","result":{"symbol":"BTCUSDT","list":[]},"time":1}',
    }[exchange]
    codec: Any = registry.connector(exchange).codec()
    assert codec.candles(instrument(exchange), "1m", answer(body)) == []


def test_bybit_candles_of_another_pair_are_refused() -> None:
    codec: Any = registry.connector("bybit").codec()
    body = b'{"retCode":0,"retMsg":"OK","result":{"symbol":"ETHUSDT","list":[]},"time":1}'
    with pytest.raises(DecodeError):
        codec.candles(instrument("bybit"), "1m", answer(body))


def test_our_clock_alone_closes_a_candle_of_binance_only_after_a_minute() -> None:
    codec: Any = registry.connector("binance").codec()
    row = f'[[{FIRST_MS},"1","2","1","2","3",{FIRST_MS + 59_999},"4",5,"0","0","0"]]'.encode()
    for late_ns, is_closed in ((0, False), (MINUTE_NS - 1, False), (MINUTE_NS, True)):
        (found,) = codec.candles(instrument("binance"), "1m", answer(row, START + MINUTE_NS + late_ns))
        assert found.is_closed is is_closed


def test_bybit_closes_a_candle_by_the_time_of_its_answer() -> None:
    codec: Any = registry.connector("bybit").codec()
    for time_ms, is_closed in ((FIRST_MS + 59_999, False), (FIRST_MS + 60_000, True)):
        rows = f'[["{FIRST_MS}","1","2","1","2","3","4"]]'
        body = f'{{"retCode":0,"retMsg":"OK","result":{{"symbol":"BTCUSDT","list":{rows}}},"time":{time_ms}}}'.encode()
        (found,) = codec.candles(instrument("bybit"), "1m", answer(body, END * 2))
        assert found.is_closed is is_closed
