"""HTX spot as data.

Source: rosssaunders/coincise, docs/htx/spot, a copy of htx.com/en-us/opend/newApiPages (2025-11): "rest" is
public_rest_api.md, "ws" public_websocket_api.md, "private" private_rest_api.md, "stream" private_websocket_api.md; the
sections are named at each figure; all read 2026-11-28.
"""

from __future__ import annotations

from ..spec import (
    BookFeed,
    BookSource,
    CandleOffer,
    CandleStream,
    Endpoint,
    ExchangeSpec,
    Limit,
    Option,
    Proof,
    named,
)
from .refusals import NO_SYMBOL, limit_answer

READ = "read 2026-11-28"
BOOKS, MARKET = "/feed", "/ws"  # ws, Websocket URL: changes of books have their own socket
LEVELS = 150  # a side: of the largest book on request, and of a whole book (ws, mbp.$levels; rest, /market/depth)
WHOLE = "depth.step0"

BOOK = Option(
    "book",
    "mbp.150",
    "The topic of books: mbp.150 sends changes of 150 levels a side every 100 ms, mbp.5 and mbp.20 (some pairs only) "
    "each change of 5 or 20 levels, depth.step0 a whole book of 150 levels each second.",
    choices=("mbp.5", "mbp.20", "mbp.150", WHOLE),  # ws, mbp.$levels: books of mbp.400 cannot be requested
)
ASKED = "requested books"
ASKED_COST = ((ASKED, 1),)

# rest, /market/history/kline; days and longer begin at midnight in Singapore, not UTC
CANDLES = CandleOffer(
    named("1m=1min 5m=5min 15m=15min 30m=30min 1h=60min 4h=4hour"),
    page=2000,
    kept=2000,  # a request states no time: it gets the newest ones
    stream=CandleStream(pairs_per_message=1, max_streams=300),  # ws, kline.$period; the manual states no bound
)


def _public(path: str, limit: str = "reference") -> Endpoint:
    return Endpoint("GET", path, ((limit, 1),), f"rest, {path}, {READ}")


SPEC = ExchangeSpec(
    exchange="htx",
    rest="https://api.huobi.pro",  # rest, Access URLs
    ws="wss://api.huobi.pro",
    endpoints={
        "instruments": _public("/v1/settings/common/market-symbols"),
        "snapshot": _public("/market/depth", "depth"),
        "tickers": _public("/market/tickers", "tickers"),
        "candles": _public("/market/history/kline", "kline"),
        "time": _public("/v1/common/timestamp"),
    },
    limits={
        "depth": Limit(4000, per_s=300.0),  # rest, /market/depth, Rate Limit
        "tickers": Limit(4500, per_s=300.0),  # rest, /market/tickers
        "kline": Limit(4500, per_s=300.0),  # rest, /market/history/kline
        "reference": Limit(10, per_s=1.0),  # our figure: the manual states none
        "connections": Limit(10, per_s=1.0),  # our figure: the manual states none
        ASKED: Limit(1, per_s=0.1, scope="connection"),  # ws, Rate limit of pull style query
    },
    limit_answer=limit_answer,
    silence_s=20.0,  # ws, Heartbeat and Connection: a ping every 5 s
    max_connection_s=23.5 * 3600,  # the manual states no longest life; we renew connections once a day
    max_streams=300,  # our figure: "not too many topics in a connection" (ws, Best Practice)
    streams_per_instrument=1,  # a book; trades use another connection
    # As recorded, prices have the decimals of their pair; scales are finer because a book may hold prices of an older
    # precision
    wire_decimals=8,
    decimals_by_pair=True,
    book=BookFeed(BookSource.REQUESTED, Proof.CHAIN, window=LEVELS),  # ws, mbp.$levels
    candles=CANDLES,
    gzip=True,  # ws, Data Format
    contiguous_trade_ids=False,  # as recorded, ids of a pair rise by one, but a message has its newest trade first
    example_pairs=("BTC-USDT", "ETH-USDT", "ETH-BTC"),
    max_snapshot=LEVELS,
    unknown_symbol=frozenset({NO_SYMBOL, "base-symbol-error"}),  # rest, Error Code; ccxt 4.5.90
    options=(BOOK,),
)
