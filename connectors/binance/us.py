"""Binance.US: Binance's protocol with separate hosts, costs and limits, and with some different requests.

All keys are HMAC keys. The user stream opens by a listen key in its address, which a request every half hour extends.
An OCO names its orders "limit" and "stop"; the limit order is post-only. There are no amendments and no other lists,
and the fees are those of the account. Orders go over REST only, because the WebSocket API has a separate host.

Source: binance-us/binance-us-api-docs (of 2023-09-06, last changed 2024-06), pages named below, read 2026-11-27.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

from ...model.instrument import Instrument
from ...model.order import NewOrder, OrderType, TimeInForce
from ..drafts import plain
from ..listing import Listing, listing
from ..market import Fixed
from ..order_codec import Auth, Draft, Kind, Reply
from ..reading import decimal, reading, rows, text
from ..reports import Fees, StreamReport
from ..spec import CandleOffer, Endpoint, ExchangeSpec, Limit
from ..trading import STOP_LOSSES, TIMED, Params
from .auth import BinanceAuth
from .market import BinanceCodec
from .orders import BinanceTrading, event
from .spec import CANDLE_STREAM, INTERVALS, OFFER, SPEC, TRADING, WEIGHT

REST = "rest-api.md of Binance.US, read 2026-11-27"
# ENUM definitions; Kline data; web-socket-streams.md, Kline/Candlestick Streams
CANDLES = CandleOffer({name: name for name in INTERVALS if name != "1s"}, page=1000, stream=CANDLE_STREAM)
MODES = "allowedSelfTradePreventionModes"
# rest-api.md, Account endpoints and User data stream endpoints: weights; the other figures are Binance's
WEIGHTS = {
    "place": 1,
    "cancel": 1,
    "cancel_all": 1,
    "replace": 1,
    "order": 2,
    "open_orders": 40,
    "orders": 10,
    "fills": 10,
    "fills_of_order": 10,
    "account": 10,
    "order_count": 20,
}
OWN = {"oco": ("POST", "order/oco", 1, 2), "listen_key": ("POST", "userDataStream", 1, 0)}

US_OFFER = replace(
    OFFER,
    self_trade_modes=frozenset({"NONE", "EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH"}),  # rest-api.md, New order
    amend=frozenset(),
    amend_keeps_place=frozenset(),
    order_lists=frozenset({"OCO"}),  # rest-api.md, New OCO
    token_every_s=30 * 60.0,  # user-data-stream.md: a key ends after 60 minutes; about every 30 minutes is recommended
    ws_orders=False,
    maker_fee=Decimal("0.0015"),  # rest-api.md, Account information: its example; `fees` requests the account's
    taker_fee=Decimal("0.0015"),
)


def _weighing(endpoint: Endpoint, weight: int) -> Endpoint:
    return replace(endpoint, cost=((WEIGHT, weight),), source=REST, call=None)


US_SPEC = replace(
    SPEC,
    exchange="binanceus",
    sister_of="binance",
    rest="https://api.binance.us",  # rest-api.md, General API Information
    ws="wss://stream.binance.us:9443",  # web-socket-streams.md, General WSS information
    ws_api=None,
    endpoints={
        "instruments": Endpoint("GET", "/api/v3/exchangeInfo", ((WEIGHT, 10),), f"{REST}: Exchange information"),
        "snapshot": Endpoint(
            "GET",
            "/api/v3/depth",
            ((WEIGHT, 50),),
            f"{REST}: Order book",
            cost_by_size=((100, 1), (500, 5), (1000, 10), (5000, 50)),
        ),
        "tickers": Endpoint("GET", "/api/v3/ticker/24hr", ((WEIGHT, 40),), f"{REST}: 24hr ticker, no symbol given"),
        "candles": Endpoint("GET", "/api/v3/klines", ((WEIGHT, 1),), f"{REST}: Kline/Candlestick data"),
        "time": Endpoint("GET", "/api/v3/time", ((WEIGHT, 1),), f"{REST}: Check server time"),
        "ping": Endpoint("GET", "/api/v3/ping", ((WEIGHT, 1),), f"{REST}: Test connectivity"),
        **{name: _weighing(TRADING[name], weight) for name, weight in WEIGHTS.items()},
        **{
            name: Endpoint(method, f"/api/v3/{path}", ((WEIGHT, weight),), REST, order_count=count)
            for name, (method, path, weight, count) in OWN.items()
        },
    },
    limits={
        WEIGHT: Limit(1200, per_s=60.0),  # rest-api.md, Rate limiters: REQUEST_WEIGHT
        "requests": Limit(5000, per_s=300.0),  # same: RAW_REQUESTS
        "connections": SPEC.limits["connections"],  # this manual states no limit of attempts: Binance's limit
        "messages": Limit(5, per_s=1.0, scope="connection"),  # web-socket-streams.md, Websocket Limits
    },
    silence_s=400.0,  # web-socket-streams.md, General WSS information: a ping every 3 minutes; two of them missed
    candles=CANDLES,
    # rest-api.md, Rate limiters: ORDERS, 10 in a second; web-socket-api.md, Order rate limits: the lower of the figures
    # in the manual's examples
    account_limits={
        "orders_1s": Limit(10, per_s=1.0, scope="account"),
        **SPEC.account_limits,
    },
    account_headers={"x-mbx-order-count-1s": "orders_1s", **SPEC.account_headers},
    environments={},  # the manual names no other hosts
)


class BinanceUsCodec(BinanceCodec):
    """Market data of Binance.US. The list of instruments has no parameters, and states modes of self-trade prevention
    for all pairs together (as its example shows; those of a pair come first)."""

    fixed: ClassVar[Fixed] = {}

    def instruments(self, body: bytes) -> Listing:
        with reading("a list of instruments", body) as read:
            shared = {MODES: rows(read[MODES])} if MODES in read else {}
            return listing(rows(read["symbols"]), lambda row: self._instrument(shared | row))


class BinanceUsAuth(BinanceAuth):
    """One API key of Binance.US. Source: rest-api.md, SIGNED Endpoint security."""

    __slots__ = ()
    exchange = "binanceus"
    kinds = ("hmac",)


class BinanceUsTrading(BinanceTrading):
    """The trading side of Binance.US; `ws` is the base URL of the streams.

    With `rest` and without `ws` there is no user stream, so that the listen key reaches that server only.
    """

    def __init__(self, spec: ExchangeSpec, rest: str | None, ws: str | None) -> None:
        offer = US_OFFER if ws is not None or rest is None else replace(US_OFFER, stream=False)
        super().__init__(spec, rest, "", offer)
        self._ws = (ws or spec.ws).rstrip("/")
        self._listen_key = ""
        self._readers |= {
            Kind.FEES: lambda draft, read, at_ns: Reply(fees=_fees(draft.pair or "", read["commissionRates"])),
            Kind.TOKEN: lambda draft, read, at_ns: Reply(token=text(read["listenKey"])),
        }

    def _members(self, roles: list[tuple[str, NewOrder]]) -> Params:
        """Source: rest-api.md, New OCO."""
        stop, limit = sorted((order for _, order in roles), key=lambda order: order.order_type not in STOP_LOSSES)
        if limit.order_type is not OrderType.LIMIT_MAKER or limit.price is None or stop.stop_price is None:
            raise self._refuse("an OCO other than one stop loss with one LIMIT_MAKER")
        self._shaped(stop)
        params = [("side", stop.side.name), ("quantity", plain(self._shaped(limit)))]
        params += [("limitClientOrderId", limit.client_order_id), ("price", plain(limit.price))]
        params += [("stopClientOrderId", stop.client_order_id), ("stopPrice", plain(stop.stop_price))]
        if stop.order_type in TIMED and stop.price is not None:
            params.append(("stopLimitPrice", plain(stop.price)))
            params.append(("stopLimitTimeInForce", (stop.time_in_force or TimeInForce.GTC).value))
        return params

    def account(self) -> Draft:
        return self._draft(Kind.ACCOUNT, "account", [])

    def fees(self, instrument: Instrument) -> Draft:
        return self._draft(Kind.FEES, "account", [], (), instrument)

    # The user stream. Source: user-data-stream.md

    def token(self) -> Draft:
        """Request the listen key. A second request returns the same key and extends it."""
        return replace(self._draft(Kind.TOKEN, "listen_key", []), signed=False)

    def use_token(self, token: str) -> None:
        self._listen_key = token

    def stream_url(self) -> str:
        return f"{self._ws}/ws/{self._listen_key}"

    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        """Return nothing: the address opens the stream."""
        return []

    def stream_decode(self, frame: bytes | memoryview, recv_ns: int) -> tuple[StreamReport, ...]:
        with reading("a frame of the user stream", frame) as message:
            return tuple(event(message))


def _fees(pair: str, rates: dict[str, Any]) -> Fees:
    """Read the rates of the account, to which the higher of buyer's and seller's is added."""
    side = max(decimal(rates["buyer"]), decimal(rates["seller"]))
    return Fees(pair, decimal(rates["maker"]) + side, decimal(rates["taker"]) + side, "exchange")
