"""Kraken spot as data.

Source: docs.kraken.com, the pages named at each figure (as crawled from 2026-05-27 on), read 2026-11-27.
"""

from __future__ import annotations

from decimal import Decimal

from ...model.order import OrderType, TimeInForce
from ...model.time import SECOND_NS
from ..spec import (
    Amend,
    BookFeed,
    BookSource,
    CandleOffer,
    CandleStream,
    Compared,
    Decay,
    Endpoint,
    ExchangeSpec,
    KeepAlive,
    Limit,
    Offer,
    Option,
    OrderLevelOffer,
    Proof,
)
from ..uuid_ids import OURS, packed
from .refusals import TRANSACTIONS, limit_answer

CALLS = "calls"
LEVEL3 = "level3"  # the rate of subscriptions to order-level books
KEY_CALLS = "key_calls"  # the call counter of a key


def _public(method: str, page: str) -> Endpoint:
    return Endpoint("GET", f"/0/public/{method}", ((CALLS, 1),), f"rest-api/{page}, read 2026-11-27")


def _private(method: str, page: str, calls: int = 1, transactions: int = 0, call: str | None = None) -> Endpoint:
    cost = tuple(one for one in ((KEY_CALLS, calls), (TRANSACTIONS, transactions)) if one[1])
    return Endpoint("POST", f"/0/private/{method}", cost, f"rest-api/{page}, read 2026-11-27", call=call)


# guides/spot-rest-ratelimits: histories cost 4 there and 2 in its successor guides/rest/ratelimits (read 2026-11-27);
# trading costs nothing of this counter. guides/spot-ratelimits: a cancel costs 8 of the engine's counter at most, and
# an amendment 4, by the time since the order was created or amended (`..._STEPS`).
CANCEL_STEPS: tuple[tuple[float, int], ...] = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))
AMEND_STEPS: tuple[tuple[float, int], ...] = ((5, 3), (10, 2), (15, 1))
TRADING = {
    "place": _private("AddOrder", "add-order", 0, 1, "add_order"),
    "cancel": _private("CancelOrder", "cancel-order", 0, 8, "cancel_order"),
    # The codec counts the orders of a batch: half of this for each order, and this for each cancel
    "place_batch": _private("AddOrderBatch", "add-order-batch", 0, 1, "batch_add"),
    "cancel_batch": _private("CancelOrderBatch", "cancel-order-batch", 0, 8, "batch_cancel"),
    "amend": _private("AmendOrder", "amend-order", 0, 4, "amend_order"),
    "dead_man": _private("CancelAllOrdersAfter", "cancel-all-orders-after"),
    "open_orders": _private("OpenOrders", "get-open-orders"),
    "closed_orders": _private("ClosedOrders", "get-closed-orders"),
    "orders_info": _private("QueryOrders", "get-orders-info"),
    "fills": _private("TradesHistory", "get-trade-history", 2),
    "account": _private("BalanceEx", "get-extended-balance"),
    "fees": _private("TradeVolume", "get-trade-volume"),
    "token": _private("GetWebSocketsToken", "get-websockets-token"),
}

OFFER = Offer(
    # rest-api/add-order: all but trailing stops, iceberg orders and settle-position; triggers follow the last price
    order_types=frozenset(OrderType),
    times_in_force=frozenset({TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK}),  # same: timeinforce
    self_trade_modes=frozenset({"cancel-newest", "cancel-oldest", "cancel-both"}),  # same: stptype
    quote_amount=True,  # same: oflags viqc, buy market orders only
    batch_place=15,  # rest-api/add-order-batch
    batch_cancel=50,  # rest-api/cancel-order-batch
    # rest-api/cancel-all-orders-after: "less than 86400 seconds", recommended is 60 s; the shortest is our figure: each
    # renewal, after a third of the time, costs a call of the key
    dead_man_s=(30, 86_399),
    batch_of_pair=True,  # rest-api/add-order-batch; cancels so that each counts against its pair's limit
    amend=frozenset(Amend),  # rest-api/amend-order: in place, under the same ids
    ws_orders=True,  # websocket-v2/add_order and the other pages of `calls`
    # guides/spot-clordid: a UUID, or free text of at most 18 characters
    client_id_pattern=f"{OURS}|[A-Za-z0-9_-]{{1,18}}",
    # our figure: the manual states no bound for the work on an accepted request
    processing_s=5.0,
    max_validity_s=60.0,  # rest-api/add-order: deadline, "max now() + 60 seconds"
    min_validity_s=2.2,  # same: "min now() + 2 seconds", when the request arrives
    maker_fee=Decimal("0.0016"),  # rest-api/get-tradable-asset-pairs, its example; `fees` requests the account's
    taker_fee=Decimal("0.0026"),
    fills_page=50,  # rest-api/get-trade-history
    lookup_s=86_400.0,  # our figure: get-closed-orders does not state how long `cl_ord_id` finds an order
    # `history_s`: get-closed-orders and get-trade-history state no limit, read 2026-11-27
    late_reject=True,  # rest-api/add-order, oflags post: the local exchange acknowledges the order, and cancels it
    nonces=True,  # guides/spot-rest-auth
    fills_by_time=True,  # rest-api/get-trade-history: ids such as THVRQM-33VKH-UCI7BS
    asks_balances=True,  # websocket-v2/balances: totals
    # oflags fciq: the fee of a buy is in the quote currency; the manual does not state what is held for the fee
    fee_on_top=True,
    sent_id=packed,
)

DEPTH = Option(
    "depth",
    10,  # websocket-v2/book: the default
    "Levels a side of a book; the exchange's checksum verifies the best ten. Order-level books: 10, 100 or 1000.",
    choices=(10, 25, 100, 500, 1000),  # same
)

# websocket-v2/level3, read 2026-11-28: depth -> increase of the rate counter per symbol; 200 a second ("pro": 500).
# guides/spot-ws-l3-v2: readers drop levels beyond the depth; the checksum covers the best ten
LEVEL3_COSTS = {10: 5, 100: 25, 1000: 100}
ORDERS = OrderLevelOffer(
    BookFeed(BookSource.PUSHED, Proof.CHECKSUM, window=DEPTH.default, compared=Compared.PRICES, by_order=True),
    ws="wss://ws-l3.kraken.com/v2",
    needs_account=True,
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
    stream=CandleStream(pairs_per_message=100, max_streams=400),  # websocket-v2/ohlc; both figures are ours
)

SPEC = ExchangeSpec(
    exchange="kraken",
    rest="https://api.kraken.com",  # guides/spot-rest-intro
    ws="wss://ws.kraken.com/v2",  # guides/spot-ws-intro, Connection Details
    endpoints={
        **TRADING,
        "instruments": _public("AssetPairs", "get-tradable-asset-pairs"),
        "snapshot": _public("Depth", "get-order-book"),
        "tickers": _public("Ticker", "get-ticker-information"),
        "candles": _public("OHLC", "get-ohlc-data"),
        "time": _public("Time", "get-server-time"),
        "ping": _public("SystemStatus", "get-system-status"),
    },
    limits={
        # guides/spot-rest-ratelimits counts calls of a key, and states no figure for public calls: this is the slowest
        # of its counters, 20 calls that decay by 0.5 a second
        CALLS: Limit(20, per_s=40.0),
        "connections": Limit(150, per_s=600.0),  # guides/spot-ws-intro: attempts by IP; beyond it a ban of ten minutes
        LEVEL3: Limit(200, per_s=1.0, scope="connection"),
        "messages": Limit(10, per_s=1.0, scope="connection"),  # our figure: the manual states none for public channels
    },
    # websocket-v2/heartbeat: one a second without other messages, once a channel is subscribed; ten of them missed.
    # Before a subscription only the answers to our pings come.
    silence_s=10.0,
    # guides/spot-ws-intro: closed after a minute of inactivity; any request, for example this one, keeps it open
    keepalive=KeepAlive(b'{"method":"ping"}', 4.0),
    max_connection_s=86_400.0,  # our figure: the manual states no longest life
    max_streams=400,  # our figure: the manual states no bound
    wire_decimals=10,
    decimals_by_pair=True,  # rest-api/get-tradable-asset-pairs: pair_decimals, lot_decimals
    # guides/spot-ws-book-v2: the snapshot comes in the channel, without numbers; each message has a CRC-32 of the best
    # ten levels a side; readers drop levels beyond the depth. Only the connection proves the levels below the best ten,
    # until they move up. rest-api/get-order-book: the sizes of its example have three decimals.
    book=BookFeed(BookSource.PUSHED, Proof.CHECKSUM, window=DEPTH.default, compared=Compared.PRICES),
    order_level=ORDERS,
    candles=CANDLES,
    contiguous_trade_ids=True,  # websocket-v2/trade: "a sequence number, unique per book"
    example_pairs=("BTC-USD", "ETH-USD", "BTC-USDT"),
    streams_per_instrument=2,  # the channels book and trade
    time_resolution_ns=SECOND_NS,  # rest-api/get-server-time: unixtime
    # guides/spot-rest-ratelimits and guides/spot-ratelimits: the figures of the tier Intermediate
    limit_answer=limit_answer,
    key_limits={KEY_CALLS: Decay(20, 0.5), TRANSACTIONS: Decay(125, 2.34, by_pair=True)},
    ws_api="wss://ws-auth.kraken.com/v2",  # guides/spot-ws-intro, Connection Details: the private websocket
    max_snapshot=500,  # rest-api/get-order-book: count
    options=(DEPTH,),
    unknown_symbol=frozenset({"EQuery:Unknown asset pair"}),  # ccxt 4.5.90 and the local exchange; not in the manual
)
