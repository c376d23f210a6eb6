"""Messages in the forms of Bybit's manual, each with the result of a correct reader. Invented, not recorded.

Source: bybit-exchange/docs, docs/v5, pages as in `market.py`, read 2026-11-27.
"""

from __future__ import annotations

from typing import Any

import orjson

from ...model.errors import Rejected, RetryLater
from ...model.events import Side
from ..samples import CandlesSample, ErrorSample, MarketDataSamples, RefusalSample, TradeSample, candle
from ..trade_ids import trade_id
from .spec import DEPTH

MS = 1672304484978
HOUR_MS = 3_600_000
OPEN_MS = MS - MS % HOUR_MS - HOUR_MS
PRICES = ("30000.1", "30073.5", "29927.05", "30010.01")  # time of the samples of candles
LATER = ("30010.01", "30020", "30000", "30015")
UUID = "20f43950-d8dd-5b31-9112-a178eb6023af"
Levels = list[tuple[str, str]]

# Fifty levels a side, which is the whole window: 30000.00, 29999.00, ... and 30001.00, 30002.00, ...
BIDS: Levels = [(f"{30000 - at}.00", f"{at + 1}.5") for at in range(DEPTH.default)]
ASKS: Levels = [(f"{30001 + at}.00", f"{at + 1}.25") for at in range(DEPTH.default)]


def _book(kind: str, update: int, bids: Levels, asks: Levels) -> bytes:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": update, "seq": 7961638724 + update}
    topic = f"orderbook.{DEPTH.default}.BTCUSDT"
    return orjson.dumps({"topic": topic, "ts": MS, "type": kind, "data": data, "cts": MS - 2})


def _result(result: dict[str, Any]) -> bytes:
    return orjson.dumps({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": MS})


def _refused(code: int, reason: str) -> bytes:
    return orjson.dumps({"retCode": code, "retMsg": reason, "result": {}, "retExtInfo": {}, "time": MS})


def _listed(base: str, quote: str, tick: str, step: str, most: str, **changes: Any) -> dict[str, Any]:
    sizes = {
        "basePrecision": step,
        "quotePrecision": "0.00000001",
        "minOrderQty": step,
        "maxOrderQty": most,
        "minOrderAmt": "5",
        "maxOrderAmt": "8000000",
        "maxLimitOrderQty": most,
        "maxMarketOrderQty": "33",
        "postOnlyMaxLimitOrderSize": most,
    }
    listed = {"symbol": base + quote, "symbolId": 5, "baseCoin": base, "quoteCoin": quote, "innovation": "0"}
    listed |= {"symbolType": "", "status": "Trading", "marginTrading": "utaOnly", "stTag": "0", "lotSizeFilter": sizes}
    return {**listed, "priceFilter": {"tickSize": tick}, "riskParameters": {"priceLimitRatioX": "0.01"}, **changes}


def _trade(identifier: str, price: str, size: str, side: str) -> bytes:
    trade = {"i": identifier, "T": MS, "p": price, "v": size, "S": side, "s": "BTCUSDT", "BT": False, "RPI": False}
    return orjson.dumps(
        {"topic": "publicTrade.BTCUSDT", "ts": MS, "type": "snapshot", "data": [{**trade, "seq": 1783284617}]}
    )


def _kline(prices: tuple[str, str, str, str], confirm: bool) -> bytes:
    """websocket/public/kline.mdx."""
    row = {
        "start": OPEN_MS,
        "end": OPEN_MS + HOUR_MS - 1,
        "interval": "60",
        "volume": "2.081",
        "turnover": "34666.4005",
    }
    row |= {**dict(zip(("open", "high", "low", "close"), prices, strict=True)), "confirm": confirm, "timestamp": MS}
    return orjson.dumps({"topic": "kline.60.BTCUSDT", "data": [row], "ts": MS, "type": "snapshot"})


SAMPLES = MarketDataSamples(
    pair="BTC-USDT",
    instruments=_result(
        {
            "category": "spot",
            "list": [
                _listed("BTC", "USDT", "0.01", "0.000001", "83"),
                _listed("ETH", "BTC", "0.000001", "0.0001", "9000"),
                _listed("PEPE", "USDT", "0.0000000001", "0.1", "90000000000"),
                _listed("NEW", "USDT", "0.01", "0.01", "1000", status="PreLaunch"),
            ],
        }
    ),
    symbols={"BTC-USDT": "BTCUSDT", "ETH-BTC": "ETHBTC", "PEPE-USDT": "PEPEUSDT", "NEW-USDT": "NEWUSDT"},
    snapshot=_book("snapshot", 100, BIDS, ASKS),
    rest_book=_result({"s": "BTCUSDT", "b": BIDS, "a": ASKS, "ts": MS, "u": 100, "seq": 7961638824, "cts": MS - 2}),
    deltas=(
        _book("delta", 101, [("30000.00", "12")], [("30001.00", "0")]),
        # a better bid pushes the last one, 29951.00, out of the window
        _book("delta", 102, [("30000.50", "0.123")], [("30050.00", "0"), ("30049.5", "7")]),
        _book("delta", 103, [("29999.00", "0"), ("29951.00", "50.5")], [("30001.01", "3.00000001")]),
    ),
    gap=_book("delta", 105, [("30000.00", "1")], []),
    bids=(("30000.5", "0.123"), ("30000", "12"), *((price, size) for price, size in BIDS[2:])),
    asks=(
        ("30001.01", "3.00000001"),
        *((price, size) for price, size in ASKS[1:48]),
        ("30049", "49.25"),
        ("30049.5", "7"),
    ),
    sequence=103,
    trades=(
        TradeSample(_trade(UUID, "16578.50", "0.001", "Buy"), trade_id(UUID)[0], "16578.5", "0.001", Side.BUY),
        TradeSample(
            _trade("2290000000068683542", "16578.4", "2", "Sell"), 2290000000068683542, "16578.4", "2", Side.SELL
        ),
    ),
    acks=(
        (
            b'{"success":true,"ret_msg":"subscribe","conn_id":"2324d924-aa4d-45b0-a858-7b8be29ab52b","req_id":"10001",'
            b'"op":"subscribe"}',
            "10001",
        ),
        (b'{"success":true,"ret_msg":"","conn_id":"3cd84cb1-4d06","req_id":"7","op":"subscribe"}', "7"),
    ),
    refusals=(
        RefusalSample(
            b'{"success":false,"ret_msg":"Invalid symbol :[orderbook.50.NOPE]","conn_id":"2324d924","req_id":"10002",'
            b'"op":"subscribe"}',
            "10002",
            "subscribe",
        ),
        RefusalSample(b'{"success":false,"ret_msg":"error:Invalid op","conn_id":"2324d924","op":"pinf"}', None, "pinf"),
    ),
    ignored=(
        b'{"success":true,"ret_msg":"pong","conn_id":"0970e817-426e-429a-a679-ff7f55e0b16a","op":"ping"}',
        b'{"success":true,"ret_msg":"pong","conn_id":"465772b1-7630-4fdc-a492-e003e6f0f260","req_id":"","op":"ping"}',
        b'{"req_id":"test","op":"pong","args":["1675418560633"],"conn_id":"cfcb4ocsvfriu23r3er0-1b"}',
        b'{"success":true,"ret_msg":"","conn_id":"2324d924","req_id":"9","op":"unsubscribe"}',
        b'{"topic":"tickers.BTCUSDT","ts":1673853746003,"type":"snapshot","cs":2588407389,"data":{"symbol":"BTCUSDT"}}',
        b'{"topic":"invented next year","data":[]}',
    ),
    errors=(
        ErrorSample(200, _refused(10001, "Not supported symbols"), Rejected),
        ErrorSample(200, _refused(10006, "Too many visits!"), RetryLater),
        ErrorSample(200, _refused(10016, "Server error."), RetryLater),
        ErrorSample(403, b"access too frequent", RetryLater),
        ErrorSample(429, b"", RetryLater, (("retry-after", "7"),)),
        ErrorSample(404, b"404 page not found", Rejected),
        ErrorSample(503, b"", RetryLater),
    ),
    tickers=_result(
        {
            "category": "spot",
            "list": [
                {
                    "symbol": "BTCUSDT",
                    "bid1Price": "20517.96",
                    "bid1Size": "2",
                    "ask1Price": "",
                    "ask1Size": "",
                    "lastPrice": "20533.13",
                    "prevPrice24h": "20393.48",
                    "price24hPcnt": "0.0068",
                    "highPrice24h": "21128.12",
                    "lowPrice24h": "20318.89",
                    "turnover24h": "243765620.65899866",
                    "volume24h": "11801.27771",
                    "usdIndexPrice": "20784.12009279",
                }
            ],
        }
    ),
    candles=CandlesSample(
        "1h",
        _result(
            {
                "symbol": "BTCUSDT",
                "category": "spot",
                "list": [
                    [str(OPEN_MS + HOUR_MS), *LATER, "0.5", "15005.005"],
                    [str(OPEN_MS), *PRICES, "268.611", "8058330.74462667"],
                ],
            }
        ),
        (MS + 5) * 1_000_000,
        (
            candle(OPEN_MS, OPEN_MS + HOUR_MS, PRICES, "268.611", "8058330.74462667", None, True),
            candle(OPEN_MS + HOUR_MS, OPEN_MS + 2 * HOUR_MS, LATER, "0.5", "15005.005", None, False),
        ),
        (
            (_kline(PRICES, True), candle(OPEN_MS, OPEN_MS + HOUR_MS, PRICES, "2.081", "34666.4005", None, True)),
            (_kline(LATER, False), candle(OPEN_MS, OPEN_MS + HOUR_MS, LATER, "2.081", "34666.4005", None, False)),
        ),
    ),
    server_time=(
        _result({"timeSecond": "1688639403", "timeNano": "1688639403423213947"}),
        1688639403423213947,
    ),
    optional=frozenset({"ts", "cts", "seq"}),
)
