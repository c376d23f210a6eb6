"""HTX spot as data.

Source: rosssaunders/coincise, docs/htx/spot, a copy of htx.com/en-us/opend/newApiPages (2025-11): "rest" is
public_rest_api.md, "ws" public_websocket_api.md, "private" private_rest_api.md, "stream" private_websocket_api.md; the
sections are named at each figure; all read 2026-11-28.
"""

from __future__ import annotations

from decimal import Decimal

from ...model.order import OrderType, TimeInForce
from ..spec import (
    BookFeed,
    BookSource,
    CandleOffer,
    CandleStream,
    Endpoint,
    ExchangeSpec,
    Limit,
    Offer,
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

# rest, /market/history/kline: at most 2000 of the newest candles, of which some are for a clock that is ahead of ours.
# Days, weeks and months begin at midnight in Singapore (/market/tickers: "Singapore time")
MOST_CANDLES, AHEAD = 2000, 60
CANDLES = CandleOffer(
    named("1m=1min 5m=5min 15m=15min 30m=30min 1h=60min 4h=4hour 1d=1day 1w=1week"),
    page=MOST_CANDLES - AHEAD,
    kept=MOST_CANDLES - AHEAD,
    stream=CandleStream(pairs_per_message=1, max_streams=300),  # ws, kline.$period; the manual states no bound
)


def _public(path: str, limit: str = "reference") -> Endpoint:
    return Endpoint("GET", path, ((limit, 1),), f"rest, {path}, {READ}")


OPEN_PAGE, ORDERS_PAGE, FILLS_PAGE = 500, 100, 500  # private, openOrders, orders, matchresults: size


def _private(method: str, path: str, limit: str) -> Endpoint:
    """An endpoint of an account, each with its limit; `{id}` is of an account or an order."""
    return Endpoint(method, path, ((limit, 1),), f"private, {path}, {READ}")


TRADING = {
    "accounts": _private("GET", "/v1/account/accounts", "accounts"),
    "balance": _private("GET", "/v1/account/accounts/{id}/balance", "balance"),
    "place": _private("POST", "/v1/order/orders/place", "place"),
    "place_batch": _private("POST", "/v1/order/batch-orders", "place_batch"),
    "cancel": _private("POST", "/v1/order/orders/{id}/submitcancel", "cancel"),
    "cancel_client": _private("POST", "/v1/order/orders/submitCancelClientOrder", "cancel_client"),
    "cancel_batch": _private("POST", "/v1/order/orders/batchcancel", "cancel_batch"),
    "dead_man": _private("POST", "/v2/algo-orders/cancel-all-after", "dead_man"),
    "order": _private("GET", "/v1/order/orders/{id}", "order"),
    "client_order": _private("GET", "/v1/order/orders/getClientOrder", "client_order"),
    "open_orders": _private("GET", "/v1/order/openOrders", "open_orders"),
    "orders": _private("GET", "/v1/order/orders", "orders"),
    "order_fills": _private("GET", "/v1/order/orders/{id}/matchresults", "order_fills"),
    "fills": _private("GET", "/v1/order/matchresults", "fills"),
    "fees": _private("GET", "/v2/reference/transact-fee-rate", "fees"),
}
OFFER = Offer(
    order_types=frozenset({OrderType.LIMIT, OrderType.MARKET, OrderType.LIMIT_MAKER}),  # private, Trading, order type
    times_in_force=frozenset({TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK}),  # same
    quote_amount=True,  # private, /v1/order/orders/place: `amount` of a market buy is its value
    by_spent_asset=True,  # same: a market buy has no amount, a market sell no value
    batch_place=10,  # private, /v1/order/batch-orders
    batch_cancel=50,  # private, /v1/order/orders/batchcancel
    dead_man_s=(5, 3600),  # private, /v2/algo-orders/cancel-all-after: at least 5 seconds; the end is our figure
    client_id_pattern="[A-Za-z0-9_-]{1,64}",  # private, Trading, client-order-id
    late_reject=True,  # the answer to placing states no status
    late_fees=True,  # stream, orders#: events of orders have no fees; private, fee-deduct-state
    processing_s=10.0,  # the manual states no bound for the work on an accepted request
    appears_s=5.0,  # our figure: the manual does not state when a new order can be queried
    max_validity_s=300.0,  # authentication.md: valid within 5 minutes
    min_validity_s=2.0,  # timestamps are whole seconds
    maker_fee=Decimal("0.002"),  # private, transact-fee-rate, example; `fees` requests the account's
    taker_fee=Decimal("0.002"),
    fills_page=FILLS_PAGE,
    # private, Trading, client-order-id: ended orders are found by it for 2 hours from their creation
    lookup_s=7_200.0,
    history_s=120 * 86_400.0,  # private, matchresults: 120 days; orders: 180 days, cancelled ones 2 hours
    fills_by_time=True,  # private, matchresults: record ids are "non sequential"
)


def _a_window(most: int) -> Limit:
    """A limit of a user on one endpoint."""
    return Limit(most, per_s=2.0, scope="account")


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
        **TRADING,
    },
    limits={
        "depth": Limit(4000, per_s=300.0),  # rest, /market/depth, Rate Limit
        "tickers": Limit(4500, per_s=300.0),  # rest, /market/tickers
        "kline": Limit(4500, per_s=300.0),  # rest, /market/history/kline
        "reference": Limit(10, per_s=1.0),  # our figure: the manual states none
        "connections": Limit(10, per_s=1.0),  # our figure: the manual states none
        ASKED: Limit(1, per_s=0.1, scope="connection"),  # ws, Rate limit of pull style query
    },
    key_limits={  # private, Rate Limit of each endpoint: requests of a UID in two seconds
        **dict.fromkeys(("accounts", "balance", "place", "cancel", "cancel_client"), _a_window(100)),
        **dict.fromkeys(("place_batch", "cancel_batch", "order", "client_order", "open_orders"), _a_window(50)),
        **dict.fromkeys(("orders", "order_fills", "fees"), _a_window(50)),
        "fills": _a_window(20),
        "dead_man": _a_window(20),  # our figure: the manual states none
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
