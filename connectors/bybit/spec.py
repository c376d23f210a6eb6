"""Bybit spot as data: v5.

Source: bybit-exchange/docs, docs/v5, pages named at each figure, read 2026-11-27 (last changed 2026-07-24).
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
    Limit,
    Offer,
    Option,
    Proof,
    named,
)
from .refusals import REQUESTS, limit_answer

CATEGORY = "spot"
PUBLIC = f"/v5/public/{CATEGORY}"  # websocket/wss-authentication.mdx: each category has its own socket
PRIVATE = "/v5/private"  # same; one socket for all categories
CALLS = "/v5/trade"  # websocket/trade/guideline.mdx
COST = ((REQUESTS, 1),)
READ = "read 2026-11-27"

DEPTH = Option(
    "depth",
    50,
    "Levels a side that the exchange sends: 1 every 10 ms, 50 every 20 ms, 200 every 100 ms, 1000 every 200 ms.",
    choices=(1, 50, 200, 1000),  # websocket/public/orderbook.mdx, Depths: spot
)

EVERYWHERE = Hosts("https://api.bybit.com", "wss://stream.bybit.com")  # guide.mdx; websocket/wss-authentication.mdx
# Sites of other countries, each for the accounts that were registered there. guide.mdx, Base URL: hosts of REST;
# websocket/wss-authentication.mdx: hosts of the streams. Where the second page names no host for a country, the streams
# are the international ones.
SITES = {
    "bybitae": Hosts("https://api.bybit.ae", EVERYWHERE.ws),
    # Its streams: websocket/system/system-status.mdx. guide.mdx: only for applications of API brokers
    "bybiteu": Hosts("https://api.bybit.eu", "wss://stream.bybit.eu"),
    "bybitge": Hosts("https://api.bybitgeorgia.ge", "wss://stream.bybitgeorgia.ge"),
    "bybitid": Hosts("https://api.bybit.id", "wss://stream.bybit.id"),
    "bybitjp": Hosts("https://api.manepa.jp", "wss://stream.manepa.jp"),
    "bybitkz": Hosts("https://api.bybit.kz", "wss://stream.bybit.kz"),
    "bybitnl": Hosts("https://api.bybit.nl", EVERYWHERE.ws),
    "bybittr": Hosts("https://api.bybit.tr", "wss://stream.bybit.tr"),
}

DEMO = "demo"
TESTNET_WS = "wss://stream-testnet.bybit.com"
ENVIRONMENTS = {
    # pages as above
    "testnet": Hosts("https://api-testnet.bybit.com", TESTNET_WS, TESTNET_WS),
    # demo.mdx: it has separate keys, the international market data, and a separate host of the private websocket
    DEMO: Hosts("https://api-demo.bybit.com", EVERYWHERE.ws, "wss://stream-demo.bybit.com"),
}
DCP = Option(
    "dcp",
    False,
    "Whether the user stream takes part in the exchange's dead-man switch for institutional accounts: all spot orders "
    "are cancelled `dead_man_s` after the loss of the stream's connection, also after an orderly stop.",
    market=False,
    orders=True,
)
DEAD_MAN_S = (3, 300)  # order/dcp.mdx, timeWindow

# market/kline.mdx: interval, and the bound of `limit`
CANDLES = CandleOffer(
    named("1m=1 3m=3 5m=5 15m=15 30m=30 1h=60 2h=120 4h=240 6h=360 12h=720 1d=D 1w=W 1M=M"),
    page=1000,
    # websocket/public/kline.mdx; wss-authentication.mdx, Args limits: spot; a bound on topics is not stated for spot
    stream=CandleStream(pairs_per_message=10, max_streams=400),
)

BATCHED = "request"  # order/batch-place.mdx: the parameter that has the orders of a batch
WRITTEN = frozenset({BATCHED, "timeWindow"})  # parameters whose text is JSON already; order/dcp.mdx: an integer
ORDERS_PAGE, FILLS_PAGE = 50, 100  # order/open-order.mdx, order/order-list.mdx; order/execution.mdx: limit


def _private(method: str, path: str, limit: str, page: str, call: str | None = None) -> Endpoint:
    """An endpoint of an account: each has a limit in addition to the limit of all requests."""
    return Endpoint(method, f"/v5/{path}", (*COST, (limit, 1)), f"{page}.mdx, {READ}", call=call)


TRADING = {
    "place": _private("POST", "order/create", "place", "order/create-order", "order.create"),
    "cancel": _private("POST", "order/cancel", "cancel", "order/cancel-order", "order.cancel"),
    "amend": _private("POST", "order/amend", "amend", "order/amend-order", "order.amend"),
    "cancel_all": _private("POST", "order/cancel-all", "cancel_all", "order/cancel-all"),
    # These two have separate limits of the same size, counted in orders: the mesh counts them with single orders
    "place_batch": _private("POST", "order/create-batch", "place", "order/batch-place", "order.create-batch"),
    "cancel_batch": _private("POST", "order/cancel-batch", "cancel", "order/batch-cancel", "order.cancel-batch"),
    "dead_man": _private("POST", "order/disconnected-cancel-all", "dead_man", "order/dcp"),
    "realtime": _private("GET", "order/realtime", "realtime", "order/open-order"),
    "history": _private("GET", "order/history", "history", "order/order-list"),
    "fills": _private("GET", "execution/list", "fills", "order/execution"),
    "balance": _private("GET", "account/wallet-balance", "balance", "account/wallet-balance"),
    "fees": _private("GET", "account/fee-rate", "fees", "account/fee-rate"),
}
OFFER = Offer(
    order_types=frozenset({OrderType.LIMIT, OrderType.MARKET, OrderType.LIMIT_MAKER}),  # order/create-order.mdx
    times_in_force=frozenset({TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK}),  # same
    self_trade_modes=frozenset({"CancelMaker", "CancelTaker", "CancelBoth"}),  # enum.mdx, smpType
    # order/amend-order.mdx; the page does not state which changes keep the order's position in the queue
    amend=frozenset(Amend),
    cancel_all=True,  # order/cancel-all.mdx
    batch_place=10,  # order/batch-place.mdx: spot
    batch_cancel=10,  # order/batch-cancel.mdx: spot
    quote_amount=True,  # order/create-order.mdx, marketUnit
    ws_orders=True,  # websocket/trade/guideline.mdx
    client_id_pattern="[A-Za-z0-9_-]{1,36}",  # same, orderLinkId
    late_fees=True,  # not in the manual: the codec takes an empty execFee as not stated yet
    late_reject=True,  # same, timeInForce: a post-only order that would take; creation is asynchronous
    processing_s=10.0,  # the manual states no bound for the work on an accepted request
    # Same: "This request is asynchronous", without a time. A new order cannot be queried at once (docs-legacy issue
    # 184)
    appears_s=5.0,
    # order/order-list.mdx, read 2026-11-27: cancelled and rejected orders are kept for 24 hours, others for longer; a
    # request with a start time only returns the 7 days from that time (same, and order/execution.mdx)
    lookup_s=86_400.0,
    history_s=7 * 86_400.0,
    max_validity_s=60.0,  # our figure: the manual states no bound of the window
    maker_fee=Decimal("0.001"),  # account/fee-rate.mdx has no schedule; `fees` requests the account's
    taker_fee=Decimal("0.001"),
    fills_page=FILLS_PAGE,
    fills_by_time=True,  # order/execution.mdx: ids are in no stated order
)


def _a_second(most: int) -> Limit:
    """A limit of a user on one endpoint."""
    return Limit(most, per_s=1.0, scope="account")


SPEC = ExchangeSpec(
    exchange="bybit",
    rest=EVERYWHERE.rest,
    ws=EVERYWHERE.ws,
    endpoints={
        "instruments": Endpoint("GET", "/v5/market/instruments-info", COST, f"market/instrument.mdx, {READ}"),
        "snapshot": Endpoint("GET", "/v5/market/orderbook", COST, f"market/orderbook.mdx, {READ}"),
        "tickers": Endpoint("GET", "/v5/market/tickers", COST, f"market/tickers.mdx, {READ}"),
        "candles": Endpoint("GET", "/v5/market/kline", COST, f"market/kline.mdx, {READ}"),
        "time": Endpoint("GET", "/v5/market/time", COST, f"market/time.mdx, {READ}"),
        **TRADING,
    },
    limits={
        REQUESTS: Limit(600, per_s=5.0),  # rate-limit/rate-limit.mdx, HTTP IP limit
        "connections": Limit(500, per_s=300.0),  # same, Websocket IP limit
    },
    key_limits={  # same, API Rate Limit Table, spot: requests of a user in a rolling second
        "place": _a_second(20),
        "cancel": _a_second(20),
        "amend": _a_second(10),
        "cancel_all": _a_second(20),
        "dead_man": _a_second(5),
        "realtime": _a_second(50),
        "history": _a_second(50),
        "fills": _a_second(50),
        "balance": _a_second(50),
        "fees": _a_second(5),
    },
    limit_answer=limit_answer,
    silence_s=45.0,  # websocket/wss-authentication.mdx: our pings every 20 s are answered; two of them missed
    max_connection_s=23.5 * 3600,  # the manual states no longest life; we renew connections once a day
    # same, Args limits: 21,000 characters of args on a connection, which leaves 52 for each of 400
    max_streams=400,
    # as recorded, prices have the decimals of their tick; scales are finer because a book may hold prices of an older
    # tick
    wire_decimals=8,
    decimals_by_pair=True,
    # websocket/public/orderbook.mdx, Process snapshot/delta: a snapshot at any time; `u` rises by one, as recorded (the
    # manual states this only for orderbook.full: websocket/public/full-ob.mdx). `window` is the option `depth`.
    book=BookFeed(BookSource.PUSHED, Proof.STEP, window=DEPTH.default),
    keepalive=KeepAlive(b'{"op":"ping"}', 20.0),  # websocket/wss-authentication.mdx, How to Send the Heartbeat Packet
    candles=CANDLES,
    contiguous_trade_ids=False,  # websocket/public/trade.mdx: UUIDs
    example_pairs=("BTC-USDT", "ETH-USDT", "ETH-BTC"),
    streams_per_instrument=2,  # orderbook.<depth>.<symbol> and publicTrade.<symbol>
    max_snapshot=1000,  # market/orderbook.mdx: limit of spot
    lists_halted=False,  # market/instrument.mdx: spot lists pairs that trade
    unknown_symbol=frozenset({"170121", "10029"}),  # error.mdx: "Invalid symbol."; 10001 means any invalid parameter
    environments=ENVIRONMENTS,
    options=(DEPTH, DCP),
)
