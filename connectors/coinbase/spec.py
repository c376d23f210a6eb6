"""Coinbase Exchange spot as data.

Source: rosssaunders/coincise, docs/coinbase/exchange, a copy of docs.cdp.coinbase.com/exchange: "rest" is
private_rest_api.md and public_rest_api.md at 1ae34ec2 (2025-05), "ws" websocket_api.md at 7b30bfe2 (2025-11); and
docs.cdp.coinbase.com/exchange/websocket-feed/{overview, authentication, channels, rate-limits}.md; all read 2026-11-28.
"""

from __future__ import annotations

from decimal import Decimal

from ...model.order import OrderType, TimeInForce
from ..spec import (
    BookFeed,
    BookSource,
    CandleOffer,
    Endpoint,
    ExchangeSpec,
    Hosts,
    KeyField,
    Limit,
    Offer,
    OrderLevelOffer,
    Proof,
    named,
)
from ..uuid_ids import OURS, packed
from .refusals import limit_answer

READ = "read 2026-11-28"
PUBLIC = "public"
PUBLIC_COST = ((PUBLIC, 1),)
PRIVATE, FILLS, ACCOUNTS = "private", "fills", "accounts"  # limits of a profile
PAGE = 1000  # rest, REST API Pagination
_UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
CLIENT = "client:"  # before our id, where an order is named in a path (rest, Get single order)
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


def _private(method: str, path: str, page: str, limit: str = PRIVATE) -> Endpoint:
    return Endpoint(method, path, ((limit, 1),), f"{page}, {READ}")


API = "docs.cdp.coinbase.com/api-reference/exchange-api/rest-api"
TRADING = {
    "place": _private("POST", "/orders", "rest, Create a new order"),
    "cancel": _private("DELETE", "/orders/{order_id}", "rest, Cancel an order"),
    "cancel_all": _private("DELETE", "/orders", "rest, Cancel all orders"),
    "order": _private("GET", "/orders/{order_id}", "rest, Get single order"),
    "orders": _private("GET", "/orders", "rest, Get all orders"),
    "fills": _private("GET", "/fills", "rest, Get all fills", FILLS),
    "accounts": _private("GET", "/accounts", f"{API}/accounts/get-all-accounts-profile.md", ACCOUNTS),
    "fees": _private("GET", "/fees", f"{API}/fees/get-fees.md"),
}
OFFER = Offer(
    # rest, Create a new order. Not offered: stop orders, GTT, and limit orders by funds
    order_types=frozenset({OrderType.LIMIT, OrderType.MARKET, OrderType.LIMIT_MAKER}),
    times_in_force=frozenset({TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK}),
    self_trade_modes=frozenset({"dc", "co", "cn", "cb"}),  # same, Self-Trade Prevention
    quote_amount=True,  # same, Funds: they include the fees
    cancel_all=True,  # rest, Cancel all orders
    # rest, Create a new order, Client Order ID: a UUID of version 4 in lower case; any other id is silently forgotten
    client_id_pattern=f"{OURS}|{_UUID4}",
    sent_id=packed,
    late_reject=True,  # same, Post Only and Order Lifecycle: the answer comes before the engine has matched the order
    late_fees=True,  # ws, Match: a rate and no fee; rest, Get all fills, Settlement and Fees: recorded in two stages
    asks_balances=True,  # the channel `user` has no balances, and `balance` "does not track every update"
    fee_on_top=True,  # rest, Create a new order, Holds: price x size x (1 + fee-percent)
    processing_s=5.0,  # our figure: the manual states no bound for the work on an accepted request
    appears_s=2.0,  # our figure: queries are known to find a new order a little later
    # rest, Get single order and Cancel an order: an order that was cancelled without a match "may be purged"; so a
    # query that finds nothing proves nothing at any time. Lists of orders and fills prove that an order has no fills
    lookup_s=0.0,
    purges_unfilled=True,
    max_validity_s=30.0,  # rest, Selecting a Timestamp
    maker_fee=Decimal("0.004"),  # our figures, the lowest tier of 2025; `fees` requests the profile's
    taker_fee=Decimal("0.006"),
    fills_page=PAGE,
)

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
        **TRADING,
    },
    limits={
        PUBLIC: Limit(10, per_s=1.0),  # rest, Public Endpoints: a bucket of 15 that refills with 10 a second
        "connections": Limit(8, per_s=1.0),  # ws, Limits
        # ws, Limits: 100 a second; another section states a bucket of 1000 that refills with 10 a second. Both hold
        # for an address: this is our figure for one of its connections
        "messages": Limit(50, per_s=1.0, scope="connection"),
    },
    key_limits={  # rest, REST API Rate Limits, of a profile; each is a bucket of twice as many
        PRIVATE: Limit(15, per_s=1.0, scope="account"),
        FILLS: Limit(10, per_s=1.0, scope="account"),
        ACCOUNTS: Limit(25, per_s=1.0, scope="account"),  # Get all accounts for a profile
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
    # ws, Full Channel: the channel needs a key, as public clients report, joined to rest, Get product book, level 3
    order_level=OrderLevelOffer(BookFeed(BookSource.REST, Proof.STEP, by_order=True), needs_account=True),
    candles=CANDLES,
    # As recorded, a product's trades are numbered by one, and matches may be dropped (ws, Matches Channel)
    contiguous_trade_ids=True,
    example_pairs=("BTC-USD", "ETH-USD", "ETH-BTC"),
    max_snapshot=ENTIRE,
    whole_books=True,  # rest, Get product book: "The entire book is returned in one response"
    unknown_symbol=frozenset({"notfound", "not found", "product not found", "productnotfound"}),
    environments=ENVIRONMENTS,
    # rest, Generating an API Key
    key_fields=(KeyField("passphrase", "the one that was chosen when the API key was made"),),
)
