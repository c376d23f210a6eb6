"""Binance.US as data: Binance's protocol with separate hosts, costs and limits. Market data only.

Source: binance-us/binance-us-api-docs (of 2023-09-06, last changed 2024-06), pages named below, read 2026-11-27.

Trading is not offered: this manual opens the user data stream by a listen key (user-data-stream.md), which the codec of
orders does not use.
"""

from __future__ import annotations

from dataclasses import replace

from ..spec import CandleOffer, Endpoint, Limit
from .spec import CANDLE_STREAM, INTERVALS, SPEC, WEIGHT

REST = "rest-api.md of Binance.US, read 2026-11-27"
# ENUM definitions; Kline data; web-socket-streams.md, Kline/Candlestick Streams
CANDLES = CandleOffer({name: name for name in INTERVALS if name != "1s"}, page=1000, stream=CANDLE_STREAM)

US_SPEC = replace(
    SPEC,
    exchange="binanceus",
    sister_of="binance",
    rest="https://api.binance.us",  # rest-api.md, General API Information
    ws="wss://stream.binance.us:9443",  # web-socket-streams.md, General WSS information
    ws_api=None,
    endpoints={
        "instruments": Endpoint("GET", "/api/v3/exchangeInfo", ((WEIGHT, 10),), f"{REST}: Exchange information"),
        "snapshot": Endpoint(
            "GET",
            "/api/v3/depth",
            ((WEIGHT, 50),),
            f"{REST}: Order book",
            cost_by_size=((100, 1), (500, 5), (1000, 10), (5000, 50)),
        ),
        "tickers": Endpoint("GET", "/api/v3/ticker/24hr", ((WEIGHT, 40),), f"{REST}: 24hr ticker, no symbol given"),
        "candles": Endpoint("GET", "/api/v3/klines", ((WEIGHT, 1),), f"{REST}: Kline/Candlestick data"),
        "time": Endpoint("GET", "/api/v3/time", ((WEIGHT, 1),), f"{REST}: Check server time"),
        "ping": Endpoint("GET", "/api/v3/ping", ((WEIGHT, 1),), f"{REST}: Test connectivity"),
    },
    limits={
        WEIGHT: Limit(1200, per_s=60.0),  # rest-api.md, Rate limiters: REQUEST_WEIGHT
        "requests": Limit(5000, per_s=300.0),  # same: RAW_REQUESTS
        "connections": SPEC.limits["connections"],  # this manual states no limit of attempts: Binance's limit
        "messages": Limit(5, per_s=1.0, scope="connection"),  # web-socket-streams.md, Websocket Limits
    },
    silence_s=400.0,  # web-socket-streams.md, General WSS information: a ping every 3 minutes; two of them missed
    candles=CANDLES,
    account_limits={},
    account_headers={},
    environments={},  # the manual names no other hosts
)
