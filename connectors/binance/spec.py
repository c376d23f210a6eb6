"""Binance spot market data as data.

Source: binance/binance-spot-api-docs, pages named at each figure, read 2026-11-22 (last changed 2026-07-21).
"""

from __future__ import annotations

from ..protocol import Endpoint, ExchangeSpec, Limit

WEIGHT = "weight"
REST = "rest-api.md, read 2026-11-22"

SPEC = ExchangeSpec(
    exchange="binance",
    rest="https://api.binance.com",  # rest-api.md, General API Information
    ws="wss://stream.binance.com:9443",  # web-socket-streams.md, General WSS information
    endpoints={
        "instruments": Endpoint("GET", "/api/v3/exchangeInfo", ((WEIGHT, 20),), f"{REST}: Exchange information"),
        "snapshot": Endpoint(
            "GET",
            "/api/v3/depth",
            ((WEIGHT, 250),),
            f"{REST}: Order book",
            cost_by_size=((100, 5), (500, 25), (1000, 50), (5000, 250)),
        ),
        "tickers": Endpoint("GET", "/api/v3/ticker/24hr", ((WEIGHT, 80),), f"{REST}: 24hr ticker, no symbol given"),
        "time": Endpoint("GET", "/api/v3/time", ((WEIGHT, 1),), f"{REST}: Check server time"),
        "ping": Endpoint("GET", "/api/v3/ping", ((WEIGHT, 1),), f"{REST}: Test connectivity"),
    },
    limits={
        WEIGHT: Limit(6000, per_s=60.0),  # enums.md, Rate limiters: REQUEST_WEIGHT, by IP (rest-api.md, IP Limits)
        "requests": Limit(61_000, per_s=300.0),  # enums.md, Rate limiters: RAW_REQUESTS
        "connections": Limit(300, per_s=300.0),  # web-socket-streams.md, WebSocket Limits: attempts by IP
        "messages": Limit(5, per_s=1.0, scope="connection"),  # same: pings, pongs and requests that we send
    },
    silence_s=45.0,  # web-socket-streams.md: a ping every 20 s; two of them missed
    max_connection_s=23.5 * 3600,  # same: a connection is valid for 24 hours
    max_streams=1024,  # same, WebSocket Limits
    used_headers={"x-mbx-used-weight-1m": WEIGHT},  # rest-api.md, IP Limits
    wire_decimals=8,  # as recorded; baseAssetPrecision and quoteAssetPrecision of exchangeInfo
    # web-socket-streams.md, Aggregate Trade Streams: `f` and `l` name a range of trade ids; that `t` of <symbol>@trade
    # has no holes is not said in words
    contiguous_trade_ids=True,
    example_pairs=("BTC-USDT", "ETH-USDT", "BNB-BTC"),
    streams_per_instrument=2,  # <symbol>@depth@100ms and <symbol>@trade
    max_snapshot=5000,  # rest-api.md, Order book
    unknown_symbol=frozenset({"-1121"}),  # errors.md, BAD_SYMBOL
)
