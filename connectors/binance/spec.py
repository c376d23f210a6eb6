"""Binance spot as data.

Source: binance/binance-spot-api-docs, pages named at each figure, read 2026-11-22 (last changed 2026-07-21).
"""

from __future__ import annotations

from decimal import Decimal

from ...model.order import OrderType, TimeInForce
from ..spec import (
    Amend,
    BookFeed,
    CandleOffer,
    CandleStream,
    Compared,
    Endpoint,
    ExchangeSpec,
    Hosts,
    Limit,
    Offer,
    Option,
)
from .refusals import limit_answer

WEIGHT = "weight"
REST = "rest-api.md, read 2026-11-22"


def _signed(method: str, path: str, call: str | None, weight: int, section: str, order_count: int = 0) -> Endpoint:
    """A signed endpoint; `order_count`: its "Unfilled Order Count"."""
    return Endpoint(
        method, f"/api/v3/{path}", ((WEIGHT, weight),), f"{REST}: {section}", call=call, order_count=order_count
    )


TRADING = {
    "place": _signed("POST", "order", "order.place", 1, "New order", 1),
    "cancel": _signed("DELETE", "order", "order.cancel", 1, "Cancel order"),
    "cancel_all": _signed("DELETE", "openOrders", "openOrders.cancelAll", 1, "Cancel All Open Orders on a Symbol"),
    "replace": _signed(
        "POST", "order/cancelReplace", "order.cancelReplace", 1, "Cancel an Existing Order and Send a New Order", 1
    ),
    "amend": _signed("PUT", "order/amend/keepPriority", "order.amend.keepPriority", 4, "Order Amend Keep Priority"),
    "oco": _signed("POST", "orderList/oco", "orderList.place.oco", 1, "New Order list - OCO", 2),
    "oto": _signed("POST", "orderList/oto", "orderList.place.oto", 1, "New Order list - OTO", 2),
    "otoco": _signed("POST", "orderList/otoco", "orderList.place.otoco", 1, "New Order list - OTOCO", 3),
    "order": _signed("GET", "order", "order.status", 4, "Query order"),
    "open_orders": _signed("GET", "openOrders", "openOrders.status", 80, "Current open orders, no symbol given"),
    "orders": _signed("GET", "allOrders", "allOrders", 20, "All orders"),
    "fills": _signed("GET", "myTrades", "myTrades", 20, "Account trade list, no orderId given"),
    "fills_of_order": _signed("GET", "myTrades", "myTrades", 5, "Account trade list, with orderId"),
    "account": _signed("GET", "account", "account.status", 20, "Account information"),
    "fees": _signed("GET", "account/commission", "account.commission", 20, "Query Commission Rates"),
    "order_count": _signed("GET", "rateLimit/order", "account.rateLimits.orders", 40, "Query Unfilled Order Count"),
}

OFFER = Offer(
    order_types=frozenset(OrderType),  # enums.md, Order types: these seven; each pair lists the types that it accepts
    times_in_force=frozenset(TimeInForce),  # enums.md, Time in force
    # enums.md, STP Modes; each pair lists the modes that it allows
    self_trade_modes=frozenset({"NONE", "EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER"}),
    quote_amount=True,  # rest-api.md, New order: quoteOrderQty, MARKET only
    # rest-api.md, Order Amend Keep Priority: quantity, downwards only
    amend=frozenset({Amend.SMALLER}),
    amend_keeps_place=frozenset({Amend.SMALLER}),
    replace=True,  # rest-api.md, Cancel an Existing Order and Send a New Order
    order_lists=frozenset({"OCO", "OTO", "OTOCO"}),  # rest-api.md, Order lists
    batch_place=0,  # rest-api.md, Trading endpoints: spot has no batches
    batch_cancel=0,
    cancel_all=True,  # rest-api.md, Cancel All Open Orders on a Symbol
    dead_man_s=None,  # not in rest-api.md and web-socket-api.md for spot
    stream=True,  # user-data-stream.md
    # Assumed: one stream, event by event; user-data-stream.md states no order of the messages of one event. If the
    # balances of an event came first, reservations would only end later.
    streams_in_order=True,
    ws_orders=True,  # web-socket-api.md, Trading requests
    # exchange answer to a bad newClientOrderId (-1100, "legal range"); the manual itself states no range
    client_id_pattern="[a-zA-Z0-9_-]{1,36}",
    # rest-api.md, General API Information: without the matching engine's answer within 10 s the answer is -1007,
    # execution unknown. The manual states no longer bound for the work on an accepted request.
    processing_s=10.0,
    # errors.md, -2026, read 2026-11-27: orders that ended without a fill are archived after 90 days, and a query states
    # that. So every query is answered: no `lookup_s`
    max_validity_s=60.0,  # rest-api.md, Timing security: recvWindow
    maker_fee=Decimal("0.001"),  # the exchange's published schedule for regular users; `fees` requests the account's
    taker_fee=Decimal("0.001"),
    fills_page=1000,  # rest-api.md, Account trade list: maximum limit
)

DEPTH_SPEED = Option(
    "depth_speed",
    "100ms",
    "How often the exchange sends the changes of a book.",
    choices=("100ms", "1000ms"),  # web-socket-streams.md, Diff. Depth Stream: update speed
)
SNAPSHOT_LIMIT = Option(
    "snapshot_limit",
    1000,  # 50 of weight, where the largest costs 250
    "Levels a side of a requested snapshot; more levels cost more of the rate limit.",
    least=1,
    most=5000,  # rest-api.md, Order book
)

# rest-api.md, Kline/Candlestick data, read 2026-11-27: intervals, and the maximum of `limit`
INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
# web-socket-streams.md, Kline/Candlestick Streams; WebSocket Limits: the streams of a connection
CANDLE_STREAM = CandleStream(pairs_per_message=100, max_streams=1024)
CANDLES = CandleOffer({name: name for name in INTERVALS}, page=1000, stream=CANDLE_STREAM)

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
        "candles": Endpoint("GET", "/api/v3/klines", ((WEIGHT, 2),), "rest-api.md, read 2026-11-27: Kline data"),
        "time": Endpoint("GET", "/api/v3/time", ((WEIGHT, 1),), f"{REST}: Check server time"),
        "ping": Endpoint("GET", "/api/v3/ping", ((WEIGHT, 1),), f"{REST}: Test connectivity"),
        **TRADING,
    },
    limits={
        WEIGHT: Limit(6000, per_s=60.0),  # enums.md, Rate limiters: REQUEST_WEIGHT, by IP (rest-api.md, IP Limits)
        "requests": Limit(61_000, per_s=300.0),  # enums.md, Rate limiters: RAW_REQUESTS
        "connections": Limit(300, per_s=300.0),  # web-socket-streams.md, WebSocket Limits: attempts by IP
        "messages": Limit(5, per_s=1.0, scope="connection"),  # same: our pings, pongs and requests
    },
    silence_s=45.0,  # web-socket-streams.md: a ping every 20 s; two of them missed
    max_connection_s=23.5 * 3600,  # same: a connection is valid for 24 hours
    max_streams=1024,  # same, WebSocket Limits
    used_headers={"x-mbx-used-weight-1m": WEIGHT},  # rest-api.md, IP Limits
    limit_answer=limit_answer,
    wire_decimals=8,  # as recorded; baseAssetPrecision and quoteAssetPrecision of exchangeInfo
    # web-socket-streams.md, Aggregate Trade Streams: `f` and `l` name a range of trade ids; the manual does not state
    # that `t` of <symbol>@trade has no gaps
    contiguous_trade_ids=True,
    example_pairs=("BTC-USDT", "ETH-USDT", "BNB-BTC"),
    streams_per_instrument=2,  # <symbol>@depth@100ms and <symbol>@trade
    max_snapshot=5000,  # rest-api.md, Order book
    # web-socket-streams.md, How to manage a local order book correctly: `lastUpdateId` counts as `u` does
    book=BookFeed(compared=Compared.NUMBER),
    candles=CANDLES,
    options=(DEPTH_SPEED, SNAPSHOT_LIMIT),
    unknown_symbol=frozenset({"-1121"}),  # errors.md, BAD_SYMBOL
    ws_api="wss://ws-api.binance.com:443/ws-api/v3",  # web-socket-api.md, General API Information
    # rest-api.md, Query Unfilled Order Count (its example states both). Windows begin at whole multiples of their
    # length; an order's first fill uncounts the order (faqs/order_count_decrement.md); kept per account, over all
    # keys, addresses and interfaces
    account_limits={
        "orders_10s": Limit(50, per_s=10.0, scope="account"),
        "orders_1d": Limit(160_000, per_s=86_400.0, scope="account"),
    },
    account_headers={  # rest-api.md, Unfilled Order Count
        "x-mbx-order-count-10s": "orders_10s",
        "x-mbx-order-count-1d": "orders_1d",
    },
    environments={
        "testnet": Hosts(  # testnet/general-info.md, read 2026-11-22
            rest="https://testnet.binance.vision",
            ws="wss://stream.testnet.binance.vision:9443",
            ws_api="wss://ws-api.testnet.binance.vision/ws-api/v3",
        ),
    },
)
