"""Coinbase Exchange spot as data.

Source: rosssaunders/coincise, docs/coinbase/exchange, a copy of docs.cdp.coinbase.com/exchange: "rest" is
private_rest_api.md and public_rest_api.md at 1ae34ec2 (2025-05), "ws" websocket_api.md at 7b30bfe2 (2025-11); and
docs.cdp.coinbase.com/exchange/websocket-feed/{overview, authentication, channels, rate-limits}.md; all read 2026-11-28.
"""

from __future__ import annotations

from ..spec import BookFeed, BookSource, CandleOffer, Endpoint, ExchangeSpec, Hosts, Limit, Proof, named
from .refusals import limit_answer

READ = "read 2026-11-28"
PUBLIC = "public"
PUBLIC_COST = ((PUBLIC, 1),)
ENTIRE = 1 << 20  # levels a side: books are whole, of any size (rest, Get product book; ws, Level2 Channel)
ENVIRONMENTS = {
    "sandbox": Hosts(  # rest, Sandbox URLs: separate keys, some of the products
        "https://api-public.sandbox.exchange.coinbase.com", "wss://ws-feed-public.sandbox.exchange.coinbase.com"
    )
}

# rest, Get product candles: granularity in seconds, at most 300 candles
CANDLES = CandleOffer(named("1m=60 5m=300 15m=900 1h=3600 6h=21600 1d=86400"), page=300)


def _public(path: str, page: str) -> Endpoint:
    return Endpoint("GET", path, PUBLIC_COST, f"rest, {page}, {READ}")


SPEC = ExchangeSpec(
    exchange="coinbase",
    rest="https://api.exchange.coinbase.com",  # rest, Production URLs
    ws="wss://ws-feed.exchange.coinbase.com",
    endpoints={
        "instruments": _public("/products", "Get all known trading pairs"),
        "snapshot": _public("/products/{product_id}/book", "Get product book"),
        # Not in the manual, which has this for one product (Get product stats); known from many public clients
        "tickers": _public("/products/stats", "Get product stats, for all products"),
        "candles": _public("/products/{product_id}/candles", "Get product candles"),
        "time": _public("/time", "Selecting a Timestamp"),
    },
    limits={
        PUBLIC: Limit(10, per_s=1.0),  # rest, Public Endpoints: a bucket of 15 that refills with 10 a second
        "connections": Limit(8, per_s=1.0),  # ws, Limits
        # ws, Limits: 100 a second; another section states a bucket of 1000 that refills with 10 a second. Both hold
        # for an address: this is our figure for one of its connections
        "messages": Limit(50, per_s=1.0, scope="connection"),
    },
    limit_answer=limit_answer,
    silence_s=10.0,  # ws, Heartbeat Channel: a message each second and product, and the mesh subscribes to all
    max_connection_s=23.5 * 3600,  # the manual states no longest life; we renew connections once a day
    # Our figure: the manual states no bound, and advises to spread products over connections (websocket-best-practices)
    max_streams=300,
    streams_per_instrument=3,  # level2_batch, matches, heartbeat
    # Prices and sizes have the decimals of the product's increments, as recorded; scales are finer because a book may
    # hold orders of an older increment
    wire_decimals=8,
    decimals_by_pair=True,
    # ws, Level2 Batch Channel: the entire book after each subscription, then changes without a number
    book=BookFeed(BookSource.PUSHED, Proof.CONNECTION),
    candles=CANDLES,
    # As recorded, a product's trades are numbered by one, and matches may be dropped (ws, Matches Channel)
    contiguous_trade_ids=True,
    example_pairs=("BTC-USD", "ETH-USD", "ETH-BTC"),
    max_snapshot=ENTIRE,
    whole_books=True,  # rest, Get product book: "The entire book is returned in one response"
    unknown_symbol=frozenset({"notfound", "not found", "product not found", "productnotfound"}),
    environments=ENVIRONMENTS,
)
