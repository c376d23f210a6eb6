"""OKX spot as data.

Source: docs/crypto/okx of qiuham/marketdata-api-doc, a crawl of the manual at www.okx.com/docs-v5/en of 2026-09-08; the
pages named at each figure were read 2026-11-27. Nothing here has been tested against the exchange itself.
"""

from __future__ import annotations

from decimal import Decimal

from ...model.order import OrderType, TimeInForce
from ..spec import (
    Amend,
    BookFeed,
    BookSource,
    CandleOffer,
    CandleStream,
    Endpoint,
    ExchangeSpec,
    Hosts,
    KeepAlive,
    KeyField,
    Limit,
    Offer,
    Proof,
)
from .refusals import AMEND, BATCH_PLACE, PLACE, limit_answer

MARKET = "order/book/trading-market-data"
CHANNEL = f"{MARKET}-ws-order-book-channel.md, read 2026-11-27"
DEPTH = 400  # levels a side of the channel `books`, and the largest number over REST

# overview/production/trading-services.md and overview/demo/trading-services.md; demo trading has the same REST host and
# the header below.
REAL = Hosts(rest="https://openapi.okx.com", ws="wss://ws.okx.com:8443")
DEMO = Hosts(rest="https://openapi.okx.com", ws="wss://wspap.okx.com:8443")
# Companies of other regions, each for the accounts that were registered there, with the hosts of demo trading.
# overview.md: hosts of REST. The hosts of the websockets are taken from ccxt 4.5.90: the regions' manuals were not read
REGIONS = {
    "okxeea": (
        Hosts(rest="https://eea.okx.com", ws="wss://wseea.okx.com:8443"),
        Hosts(rest="https://eea.okx.com", ws="wss://wseeapap.okx.com:8443"),
    ),
    "okxus": (
        Hosts(rest="https://us.okx.com", ws="wss://wsus.okx.com:8443"),
        Hosts(rest="https://us.okx.com", ws="wss://wsuspap.okx.com:8443"),
    ),
}
DEMO_HEADER = ("x-simulated-trading", "1")

DEMO_NAME = "demo"


# market data, Candlesticks: the number of candles of an interval at that endpoint; the history has all candles
NEW_CANDLES = 1440
# Same and Candlesticks history: `bar`, where an interval that ends in "utc" begins at midnight in UTC; `limit`
CANDLES = CandleOffer(
    {
        "1s": "1s",
        "1m": "1m",
        "3m": "3m",
        "5m": "5m",
        "15m": "15m",
        "30m": "30m",
        "1h": "1H",
        "2h": "2H",
        "4h": "4H",
        "6h": "6Hutc",
        "12h": "12Hutc",
        "1d": "1Dutc",
        "2d": "2Dutc",
        "3d": "3Dutc",
        "1w": "1Wutc",
        "1M": "1Mutc",
        "3M": "3Mutc",
    },
    page=300,
    stream=CandleStream(pairs_per_message=100, max_streams=400),  # overview/websocket/connect.md names no such bound
)
ONLY_OLD = frozenset({"1s"})  # intervals that only the history has


def _endpoint(path: str, limit: str, page: str) -> Endpoint:
    """A public endpoint; each has a separate limit."""
    return Endpoint("GET", f"/api/v5/{path}", ((limit, 1),), f"{page}, read 2026-11-27")


TRADE = "order/book/trading-trade"
PAGE = 100  # get-order-list.md and the other lists: limit
OTHER = "other"  # the limit of requests that are not listed here
SLIPPAGE = "0.05"  # post-place-order.md, slippagePct: the widest


def _private(method: str, path: str, limit: str, page: str, order_count: int = 0, call: str | None = None) -> Endpoint:
    """An endpoint of an account; each has a separate limit, which its websocket call shares."""
    source = f"{page}.md, read 2026-11-27"
    return Endpoint(method, f"/api/v5/{path}", ((limit, 1),), source, call=call, order_count=order_count)


TRADING = {
    "place": _private("POST", "trade/order", PLACE, f"{TRADE}-post-place-order", 1, "order"),
    "cancel": _private("POST", "trade/cancel-order", "cancel", f"{TRADE}-post-cancel-order", 0, "cancel-order"),
    "batch_place": _private(
        "POST", "trade/batch-orders", BATCH_PLACE, f"{TRADE}-post-place-multiple-orders", 1, "batch-orders"
    ),
    "batch_cancel": _private(
        "POST",
        "trade/cancel-batch-orders",
        "batch_cancel",
        f"{TRADE}-post-cancel-multiple-orders",
        0,
        "batch-cancel-orders",
    ),
    "amend": _private("POST", "trade/amend-order", AMEND, f"{TRADE}-post-amend-order", 1, "amend-order"),
    "dead_man": _private("POST", "trade/cancel-all-after", "dead_man", f"{TRADE}-post-cancel-all-after"),
    "order": _private("GET", "trade/order", "order", f"{TRADE}-get-order-details"),
    "pending": _private("GET", "trade/orders-pending", "pending", f"{TRADE}-get-order-list"),
    "history": _private("GET", "trade/orders-history", "history", f"{TRADE}-get-order-history-last-7-days"),
    "fills": _private("GET", "trade/fills", "fills", f"{TRADE}-get-transaction-details-last-3-days"),
    "fills_history": _private(
        "GET", "trade/fills-history", "fills_history", f"{TRADE}-get-transaction-details-last-3-months"
    ),
    "balance": _private("GET", "account/balance", "balance", "trading/account/rest-api-get-balance"),
    "trade_fee": _private("GET", "account/trade-fee", "trade_fee", "trading/account/rest-api-get-fee-rates"),
}
OFFER = Offer(
    # post-place-order.md, ordType
    order_types=frozenset({OrderType.LIMIT, OrderType.MARKET, OrderType.LIMIT_MAKER}),
    times_in_force=frozenset({TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK}),
    self_trade_modes=frozenset({"cancel_maker", "cancel_taker", "cancel_both"}),  # same, stpMode
    quote_amount=True,  # same, tgtCcy
    # post-amend-order.md; the page does not state which changes keep the order's position in the queue
    amend=frozenset(Amend),
    batch_place=20,  # post-place-multiple-orders.md
    batch_cancel=20,  # post-cancel-multiple-orders.md
    batch_of_pair=True,  # a batch may span pairs; but its orders count in the window of each pair
    ws_orders=True,  # ws-{place-order, place-multiple-orders, cancel-order, cancel-multiple-orders, amend-order}.md
    dead_man_s=(10, 120),  # post-cancel-all-after.md, timeOut
    client_id_pattern="[A-Za-z0-9]{1,32}",  # same, clOrdId
    late_reject=True,  # same, ordType: a post-only order that would take is cancelled
    # Not in the manual: a text that has no value is empty there, so the codec takes an empty fee as not stated yet
    late_fees=True,
    # The manual states no bound for the work on an accepted request
    processing_s=10.0,
    # The manual does not state that an acknowledged order may not be found yet; waiting a moment costs little
    appears_s=2.0,
    max_validity_s=30.0,  # overview/rest/authentication-making-requests.md, OK-ACCESS-TIMESTAMP
    # get-order-history-last-7-days.md: it keeps orders that were cancelled without a fill for two hours, all others for
    # seven days. get-order-details.md states no such time: the same is assumed of queries
    lookup_s=2 * 3_600.0,
    history_s=7 * 86_400.0,
    maker_fee=Decimal("0.0008"),  # get-fee-rates.md, the example: level Lv1; `fees` requests the account's
    taker_fee=Decimal("0.001"),
    fills_page=PAGE,
)

SPEC = ExchangeSpec(
    exchange="okx",
    rest=REAL.rest,
    ws=REAL.ws,
    endpoints={
        "instruments": _endpoint("public/instruments", "instruments", "public/data/rest-api-get-instruments.md"),
        "snapshot": _endpoint("market/books", "books", f"{MARKET}-get-order-book.md"),
        "tickers": _endpoint("market/tickers", "tickers", f"{MARKET}-get-tickers.md"),
        "candles": _endpoint("market/candles", "candles", f"{MARKET}-get-candlesticks.md"),
        "old_candles": _endpoint("market/history-candles", "old_candles", f"{MARKET}-get-candlesticks-history.md"),
        "time": _endpoint("public/time", "time", "public/data/rest-api-get-system-time.md"),
        **TRADING,
    },
    limits={  # by IP, each on the page of its endpoint
        "instruments": Limit(20, per_s=2.0),
        "books": Limit(40, per_s=2.0),
        "tickers": Limit(20, per_s=2.0),
        "candles": Limit(40, per_s=2.0),
        "old_candles": Limit(20, per_s=2.0),
        "time": Limit(10, per_s=2.0),
        OTHER: Limit(1, per_s=1.0),  # the smallest of these limits
        "connections": Limit(3, per_s=1.0),  # overview/websocket/connect.md, Connection limit
        # same, Request limit: subscribe, unsubscribe and login together
        "subscriptions": Limit(480, per_s=3600.0, scope="connection"),
    },
    # overview/websocket/connect.md: a connection without data for 30 s breaks; the answer to "ping" comes within 30 s
    silence_s=30.0,
    keepalive=KeepAlive(b"ping", every_s=15.0),
    max_connection_s=86_400.0,  # the manual states no longest life; we renew connections once a day
    # CHANNEL: less than 30 channels of 400 levels a connection are recommended
    max_streams=58,
    streams_per_instrument=2,  # books and trades
    # Prices and sizes have as many decimals as an instrument's tickSz and lotSz: eight cover most; finer scales are
    # added
    wire_decimals=8,
    book=BookFeed(BookSource.PUSHED, Proof.CHAIN, window=DEPTH),  # CHANNEL, Sequence ID; the checksum is always 0
    candles=CANDLES,
    example_pairs=("BTC-USDT", "ETH-USDT", "ETH-BTC"),
    max_snapshot=DEPTH,  # market data, Order book: sz
    unknown_symbol=frozenset({"51001"}),  # error/code.md, Trade Class
    environments={DEMO_NAME: DEMO},
    # overview/rest/authentication-generating-an-api-key.md
    key_fields=(KeyField("passphrase", "the one that was chosen when the API key was made"),),
    # By user, and the first limits by user and instrument; each on the page of its endpoint
    key_limits={
        PLACE: Limit(60, per_s=2.0, scope="account", by_pair=True),
        "cancel": Limit(60, per_s=2.0, scope="account", by_pair=True),
        AMEND: Limit(60, per_s=2.0, scope="account", by_pair=True),
        BATCH_PLACE: Limit(300, per_s=2.0, scope="account", by_pair=True),  # counts orders, as does the next limit
        "batch_cancel": Limit(300, per_s=2.0, scope="account", by_pair=True),
        "order": Limit(60, per_s=2.0, scope="account", by_pair=True),
        "dead_man": Limit(1, per_s=1.0, scope="account"),
        "pending": Limit(60, per_s=2.0, scope="account"),
        "history": Limit(40, per_s=2.0, scope="account"),
        "fills": Limit(60, per_s=2.0, scope="account"),
        "fills_history": Limit(10, per_s=2.0, scope="account"),
        "balance": Limit(10, per_s=2.0, scope="account"),
        "trade_fee": Limit(5, per_s=2.0, scope="account"),
    },
    limit_answer=limit_answer,
    # overview/rate/limits-sub-account-rate-limit.md: new and amended orders, over all pairs
    account_limits={"orders_2s": Limit(1000, per_s=2.0, scope="account")},
)
