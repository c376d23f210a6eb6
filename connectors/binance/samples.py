"""Messages in the forms of Binance's manual, each with the result of a correct reader. Invented, not recorded.

Source: binance/binance-spot-api-docs, rest-api.md, web-socket-streams.md and errors.md, read 2026-11-22.
"""

from __future__ import annotations

from typing import Any

import orjson

from ...model.errors import Rejected, RetryLater
from ...model.events import Side
from ..samples import CandlesSample, ErrorSample, MarketDataSamples, RefusalSample, TradeSample, candle

MS = 1672515782136
OPEN_MS = 1499040000000
PRICES = ("0.01634790", "0.80000000", "0.01575800", "0.01577100")
LATER = ("0.01577100", "0.01600000", "0.01577100", "0.01600000")


def _delta(first: int, last: int, bids: list[list[str]], asks: list[list[str]]) -> bytes:
    event = {"e": "depthUpdate", "E": MS, "s": "BNBBTC", "U": first, "u": last, "b": bids, "a": asks}
    return orjson.dumps(event)


def _combined(frame: bytes) -> bytes:
    return orjson.dumps({"stream": "bnbbtc@depth@100ms", "data": orjson.loads(frame)})


def _kline(open_ms: int, prices: tuple[str, str, str, str], count: int) -> list[Any]:
    volumes = ["148976.11427815", open_ms + 59_999, "2434.19055334", count, "1756.87402397", "28.46694368", "0"]
    return [open_ms, *prices, *volumes]


def _kline_frame(open_ms: int, prices: tuple[str, str, str, str], is_closed: bool) -> bytes:
    """web-socket-streams.md, Kline/Candlestick Streams for UTC."""
    names = dict(zip("ohlc", prices, strict=True))
    numbers = {"v": "1000", "n": 100, "x": is_closed, "q": "15.9", "V": "500", "Q": "8.1", "B": "123456"}
    head = {"t": open_ms, "T": open_ms + 59_999, "s": "BNBBTC", "i": "1m", "f": 100, "L": 200}
    return orjson.dumps({"e": "kline", "E": MS, "s": "BNBBTC", "k": head | names | numbers})


def _listed(base: str, quote: str, tick: str, step: str, **changes: Any) -> dict[str, Any]:
    rules = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "100000.00000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "900000.00000000", "stepSize": step},
        {"filterType": "NOTIONAL", "minNotional": "0.00010000", "maxNotional": "9000000.00000000"},
    ]
    symbol = {"symbol": base + quote, "status": "TRADING", "baseAsset": base, "quoteAsset": quote, "filters": rules}
    return {**symbol, "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"], **changes}


SAMPLES = MarketDataSamples(
    pair="BNB-BTC",
    instruments=orjson.dumps(
        {
            "timezone": "UTC",
            "serverTime": MS,
            "symbols": [
                _listed("BNB", "BTC", "0.00000100", "0.00100000"),
                _listed("BTC", "USDT", "0.01000000", "0.00001000"),
                _listed("BTCB", "USDT", "0.01000000", "0.00001000", status="HALT"),
            ],
        }
    ),
    symbols={"BNB-BTC": "BNBBTC", "BTC-USDT": "BTCUSDT", "BTCB-USDT": "BTCBUSDT"},
    snapshot=orjson.dumps(
        {
            "lastUpdateId": 160,
            "bids": [["0.00240000", "10.00000000"], ["0.00230000", "5.00000000"], ["0.00220000", "1.00000000"]],
            "asks": [["0.00260000", "100.00000000"], ["0.00270000", "7.50000000"]],
        }
    ),
    stale=_delta(150, 160, [["0.00240000", "10.00000000"]], []),
    deltas=(
        _delta(157, 163, [["0.00240000", "12.00000000"]], [["0.00260000", "0.00000000"]]),  # joins: 160 is inside
        _combined(_delta(164, 164, [["0.00245000", "0.12300000"], ["0.00100000", "0.00000000"]], [])),
        _delta(165, 170, [["0.00220000", "0.00000000"]], [["0.00265000", "3.00000000"], ["0.00270000", "8.00000001"]]),
    ),
    gap=_delta(172, 175, [["0.00240000", "1.00000000"]], []),
    bids=(("0.00245", "0.123"), ("0.0024", "12"), ("0.0023", "5")),
    asks=(("0.00265", "3"), ("0.0027", "8.00000001")),
    sequence=170,
    trades=(
        TradeSample(
            orjson.dumps(
                {
                    "e": "trade",
                    "E": MS,
                    "s": "BNBBTC",
                    "t": 12345,
                    "p": "0.00250000",
                    "q": "100.00000000",
                    "T": MS,
                    "m": True,
                    "M": True,
                }
            ),
            12345,
            "0.0025",
            "100",
            Side.SELL,  # m: the buyer was the maker, so the taker sold
        ),
        TradeSample(
            orjson.dumps(
                {
                    "e": "aggTrade",
                    "E": MS,
                    "s": "BNBBTC",
                    "a": 5933014,
                    "p": "0.00260000",
                    "q": "0.50000000",
                    "f": 100,
                    "l": 105,
                    "T": MS,
                    "m": False,
                    "M": True,
                }
            ),
            5933014,
            "0.0026",
            "0.5",
            Side.BUY,
        ),
    ),
    acks=((b'{"result":null,"id":1}', 1), (b'{"result":null,"id":"abc"}', "abc")),
    refusals=(
        RefusalSample(b'{"code":2,"msg":"Invalid request: unknown method"}', None, "2"),
        RefusalSample(b'{"error":{"code":3,"msg":"Invalid JSON"},"id":9}', 9, "3"),
    ),
    ignored=(
        b'{"result":["bnbbtc@depth"],"id":3}',
        b'{"e":"invented next year"}',
    ),
    closing=(b'{"e":"serverShutdown","E":1672515782136}',),
    errors=(
        ErrorSample(400, b'{"code":-1121,"msg":"Invalid symbol."}', Rejected),
        ErrorSample(429, b'{"code":-1003,"msg":"Too many requests."}', RetryLater, (("retry-after", "7"),)),
        ErrorSample(418, b'{"code":-1003,"msg":"IP banned."}', RetryLater, (("retry-after", "180"),)),
        ErrorSample(400, b'{"code":-1008,"msg":"Server is currently overloaded."}', RetryLater),
        ErrorSample(503, b'{"code":-1000,"msg":"Unknown error."}', RetryLater),
    ),
    tickers=orjson.dumps(
        [
            {
                "symbol": "BNBBTC",
                "lastPrice": "0.00250000",
                "openPrice": "0.00230000",
                "highPrice": "0.00260000",
                "lowPrice": "0.00220000",
                "bidPrice": "0.00240000",
                "askPrice": "0.00000000",
                "volume": "8913.30000000",
                "quoteVolume": "15.30000000",
            }
        ]
    ),
    candles=CandlesSample(
        "1m",
        orjson.dumps([_kline(OPEN_MS, PRICES, 308), _kline(OPEN_MS + 60_000, LATER, 2)]),
        (OPEN_MS + 90_000) * 1_000_000,
        (
            candle(OPEN_MS, OPEN_MS + 60_000, PRICES, "148976.11427815", "2434.19055334", 308, True),
            candle(OPEN_MS + 60_000, OPEN_MS + 120_000, LATER, "148976.11427815", "2434.19055334", 2, False),
        ),
        (
            (_kline_frame(OPEN_MS, PRICES, True), candle(OPEN_MS, OPEN_MS + 60_000, PRICES, "1000", "15.9", 100, True)),
            (_kline_frame(OPEN_MS, LATER, False), candle(OPEN_MS, OPEN_MS + 60_000, LATER, "1000", "15.9", 100, False)),
        ),
    ),
    server_time=(b'{"serverTime":1672515782136}', MS * 1_000_000),
)
