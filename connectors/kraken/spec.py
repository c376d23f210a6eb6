"""Kraken spot as data.

Source: docs.kraken.com, the pages named at each figure (as crawled from 2026-05-27 on), read 2026-11-27.
"""

from __future__ import annotations

from ...model.time import SECOND_NS
from ..spec import BookFeed, BookSource, CandleOffer, Endpoint, ExchangeSpec, KeepAlive, Limit, Option, Proof

CALLS = "calls"


def _public(method: str, page: str) -> Endpoint:
    return Endpoint("GET", f"/0/public/{method}", ((CALLS, 1),), f"rest-api/{page}, read 2026-11-27")


DEPTH = Option(
    "depth",
    10,  # websocket-v2/book: the default
    "Levels a side that a book has; the exchange's checksum proves the best ten.",
    choices=(10, 25, 100, 500, 1000),  # same
)

# rest-api/get-ohlc-data: the interval in minutes; "up to 720 of the most recent entries (older data cannot be
# retrieved)"
CANDLES = CandleOffer(
    {
        "1m": "1",
        "5m": "5",
        "15m": "15",
        "30m": "30",
        "1h": "60",
        "4h": "240",
        "1d": "1440",
        "1w": "10080",
        "15d": "21600",
    },
    page=720,
    kept=720,
)

SPEC = ExchangeSpec(
    exchange="kraken",
    rest="https://api.kraken.com",  # guides/spot-rest-intro
    ws="wss://ws.kraken.com/v2",  # guides/spot-ws-intro, Connection Details
    endpoints={
        "instruments": _public("AssetPairs", "get-tradable-asset-pairs"),
        "snapshot": _public("Depth", "get-order-book"),
        "tickers": _public("Ticker", "get-ticker-information"),
        "candles": _public("OHLC", "get-ohlc-data"),
        "time": _public("Time", "get-server-time"),
        "ping": _public("SystemStatus", "get-system-status"),
    },
    limits={
        # guides/spot-rest-ratelimits counts calls of a key, and states no figure for public ones: this is the slowest
        # of its counters, 20 calls that come back at 0.5 a second
        CALLS: Limit(20, per_s=40.0),
        "connections": Limit(150, per_s=600.0),  # guides/spot-ws-intro: attempts by IP; beyond it a ban of ten minutes
        "messages": Limit(10, per_s=1.0, scope="connection"),  # ours: the manual states none for public channels
    },
    # websocket-v2/heartbeat: one a second while nothing else comes, once a channel is subscribed; ten of them missed.
    # Where none is, the answers to our pings come.
    silence_s=10.0,
    # guides/spot-ws-intro: closed after a minute of inactivity; any request, such as this one, keeps it
    keepalive=KeepAlive(b'{"method":"ping"}', 4.0),
    max_connection_s=86_400.0,  # ours: the manual states no longest life
    max_streams=400,  # ours: the manual states no bound
    wire_decimals=10,
    decimals_by_pair=True,  # rest-api/get-tradable-asset-pairs: pair_decimals, lot_decimals
    # guides/spot-ws-book-v2: the snapshot comes in the channel, without numbers; a CRC-32 of the best ten levels a side
    # in each message; levels beyond the depth are ours to forget. What lies below the best ten is proven by nothing but
    # the connection, until it comes up.
    book=BookFeed(BookSource.PUSHED, Proof.CHECKSUM, window=DEPTH.default),
    candles=CANDLES,
    contiguous_trade_ids=True,  # websocket-v2/trade: "a sequence number, unique per book"
    example_pairs=("BTC-USD", "ETH-USD", "BTC-USDT"),
    streams_per_instrument=2,  # the channels book and trade
    time_resolution_ns=SECOND_NS,  # rest-api/get-server-time: unixtime
    max_snapshot=500,  # rest-api/get-order-book: count
    options=(DEPTH,),
    unknown_symbol=frozenset({"EQuery:Unknown asset pair"}),  # ccxt 4.5.90 and the local exchange; not in the manual
)
