"""Coinbase Exchange market data: bytes to events, intents to requests.

Books come from the channel `level2_batch`, which needs no key: the entire book, then every 50 ms the changed levels.
Neither has a number; the exchange guarantees their delivery, so the connection is the proof. The channel `heartbeat`
sends a message each second and product, so a dead connection is noticed.

An answer to a subscription lists all subscriptions of the connection and repeats no id. A refusal is about the whole
message and may name a product; so each message is about one product.

Source: as in `spec.py`; the sections are named where they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import urlsplit

import orjson

from ...model.candle import Candle
from ...model.events import (
    DepthDelta,
    DepthSnapshot,
    Ignored,
    Levels,
    MarketEvent,
    PublicTrade,
    Side,
    Status,
    Subscribed,
    SubscribeRefused,
)
from ...model.http import HttpRequest, HttpResponse
from ...model.instrument import TRADING, Instrument, scale_for
from ...model.time import SECOND_NS
from ..candles import CLOCK_DOUBT_NS, candle, ceiling, closed_by, in_order
from ..drafts import public
from ..listing import Listing, listing
from ..market import MarketData, whole_book
from ..market_codec import Expected, Outgoing, Scanner, SnapshotKey
from ..reading import (
    amount_text,
    decimal,
    expanded,
    fixed_rows,
    flag,
    integer,
    levels,
    mapping,
    plain_decimal,
    positive_decimal,
    price_text,
    readable,
    reading,
    rfc3339,
    rows,
    seconds,
    text,
)
from ..sequence import Numbers, Verdict, by_connection
from ..signing import encoded, rfc3339_text, with_query
from ..spec import ExchangeSpec
from .refusals import BAD_PRODUCT, FAILURES
from .scanner import BookScanner
from .spec import CANDLES, ENTIRE

BOOK, TRADES, HEARTBEAT = "level2_batch", "matches", "heartbeat"
CHANNELS = (BOOK, TRADES, HEARTBEAT)
RENAMED = {"level2_50": BOOK}  # ws, Level2 Batch Channel: the old name, which answers still state
SIDES = {"buy": Side.BUY, "sell": Side.SELL}
OTHER_SIDE = {"buy": Side.SELL, "sell": Side.BUY}
ONLINE = "online"
# rest, Get all known trading pairs: at most one of the first four is true; the fifth is a separate state
RESTRICTIONS = ("trading_disabled", "cancel_only", "post_only", "limit_only", "auction_mode")
PATH = re.compile(r"/products/(?P<product>[^/]+)/(?P<what>book|candles)")
REST_LEVEL_FIELDS = 3  # price, size, number of orders
CANDLE_FIELDS = 6
MASK = "***"  # for a secret
MAX_ORDERS = 500  # rest, Create a new order: open orders of a profile on a product
STEPS = 10**10  # our figure: no level has more steps of the size's increment, as the list states no largest size


class CoinbaseCodec(MarketData):
    """Market data of an exchange with Coinbase Exchange's protocol. `channels` of a product begin with the book's."""

    failures = FAILURES
    channels: ClassVar[tuple[str, ...]] = CHANNELS

    def __init__(self, spec: ExchangeSpec, rest: str | None, ws: str | None) -> None:
        super().__init__(spec, rest, ws)
        self._access: Mapping[str, str] = {}  # fields that sign a subscription

    # Requests

    def opening(self, request_id: int) -> list[Outgoing]:
        """Subscribe to the states of all products (ws, Status Channel)."""
        return [Outgoing(orjson.dumps({"type": "subscribe", "channels": [{"name": "status"}]}))]

    def subscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return [
            Outgoing(
                self._message("subscribe", symbol, self._access),
                tuple(Expected(f"{name}:{symbol}", (symbol,)) for name in self.channels),
                masked=self._message("subscribe", symbol, dict.fromkeys(self._access, MASK)) if self._access else None,
            )
            for symbol in _symbols(instruments)
        ]

    def unsubscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return [Outgoing(self._message("unsubscribe", symbol, {})) for symbol in _symbols(instruments)]

    def _message(self, kind: str, symbol: str, proof: Mapping[str, str]) -> bytes:
        return orjson.dumps({"type": kind, "product_ids": [symbol], "channels": self.channels, **proof})

    def snapshot_request(self, instrument: Instrument, limit: int) -> HttpRequest:
        """The answer has all levels (`ExchangeSpec.whole_books`)."""
        return self._of_product("snapshot", instrument, ("level", "2"))

    def candles_request(
        self, instrument: Instrument, interval: str, start_ns: int, end_ns: int, now_ns: int
    ) -> HttpRequest:
        """Source: rest, Get product candles: both times included."""
        first, last = ceiling(start_ns, SECOND_NS), ceiling(end_ns, SECOND_NS) - 1
        window = [(name, rfc3339_text(at * SECOND_NS)) for name, at in (("start", first), ("end", last))]
        return self._of_product("candles", instrument, ("granularity", CANDLES.intervals[interval]), *window)

    def _of_product(self, name: str, instrument: Instrument, *params: tuple[str, str]) -> HttpRequest:
        endpoint = self.spec.endpoints[name]
        named = replace(endpoint, path=endpoint.path.format(product_id=instrument.symbol))
        return public(named, self._rest, with_query("", encoded(params)))

    def recognise(self, url: str) -> SnapshotKey | str | None:
        found = PATH.search(urlsplit(url).path)
        if found is None:
            return super().recognise(url)
        return SnapshotKey(found["product"], ENTIRE) if found["what"] == "book" else "candles"

    # Answers over REST

    def instruments(self, body: bytes) -> Listing:
        """Source: rest, Get all known trading pairs. Lists from before 2022 also have the sizes of an order."""
        with reading("a list of products", body) as read:
            return listing(rows(read), self._instrument, lambda row: text(row["id"]))

    def _instrument(self, row: dict[str, Any]) -> Instrument:
        tick, step = decimal(row["quote_increment"]), decimal(row["base_increment"])
        largest = positive_decimal(row, "base_max_size")
        smallest = positive_decimal(row, "base_min_size")
        wire, most = self.spec.wire_decimals, max(largest or Decimal(0), step * STEPS)
        return Instrument(
            exchange=self.spec.exchange,
            name=f"{text(row['base_currency'])}-{text(row['quote_currency'])}",
            symbol=text(row["id"]),
            base=row["base_currency"],
            quote=row["quote_currency"],
            price_scale=scale_for(wire, tick, None),
            size_scale=scale_for(wire, step, most),
            status=_state(row),
            price_increment=tick or None,
            size_increment=step or None,
            min_size=smallest,
            max_size=largest,
            min_notional=positive_decimal(row, "min_market_funds"),
            max_orders=MAX_ORDERS,
            features=("quote_amount",),  # rest, Create a new order, Funds: for every product
        )

    def snapshot(self, instrument: Instrument, body: bytes, limit: int, recv_ns: int) -> DepthSnapshot:
        """Read the best levels of an entire book. Source: rest, Get product book."""
        with reading("an order book", body) as read:
            sides = self._best(instrument, read["bids"], limit), self._best(instrument, read["asks"], limit)
            ts_event_ns = rfc3339(read["time"]) if "time" in read else None
            return whole_book(instrument, integer(read["sequence"]), sides, limit, recv_ns, ts_event_ns)

    @staticmethod
    def _best(instrument: Instrument, value: Any, limit: int) -> Levels:
        return levels(instrument, rows(value)[:limit], REST_LEVEL_FIELDS)

    def tickers(self, body: bytes) -> dict[str, Any]:
        """Read {"BTC-USD": {"stats_24hour": {...}, ...}, ...}.

        The exchange states no bid, ask and quote volume for all products. The quote volume here is the volume at the
        last price.
        """
        with reading("statistics of all products", body) as read:
            return readable(list(mapping(read).items()), _ticker)

    def candles(self, instrument: Instrument, interval: str, response: HttpResponse) -> list[Candle]:
        """Source: rest, Get product candles. The newest comes first; only our clock shows which have closed."""
        with reading("a list of candles", response.body, exact=True) as read:
            listed = in_order(_candle(interval, row) for row in fixed_rows(read, CANDLE_FIELDS))
        return closed_by(listed, response.sent_ns - CLOCK_DOUBT_NS)

    def server_time(self, body: bytes) -> int:
        """Read {"iso": "2015-01-07T23:47:25.201Z", "epoch": 1420674445.201}."""
        with reading("a server time", body) as read:
            return rfc3339(read["iso"])

    # Frames of the websocket

    def scanner(self) -> Scanner | None:
        return BookScanner(ENTIRE)

    def decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[MarketEvent]:
        with reading("a frame of this exchange", frame) as message:
            kind = text(message["type"])
            if kind == "subscriptions":
                return list(_confirmed(message)) or (Ignored(kind),)
            if kind == "error":
                return (_refused(message, self.channels[0]),)
            if kind == "status":
                states = [self._status(row) for row in rows(message["products"]) if text(row["id"]) in self._bound]
                return states or (Ignored(kind),)
            if kind not in ("snapshot", "l2update", "match", "last_match"):
                return (Ignored(kind),)
            instrument = self._bound.get(text(message["product_id"]))
            if instrument is None:
                return (Ignored(kind),)
            if kind == "snapshot":
                return (self._book(instrument, message, recv_ns),)
            return ((_delta if kind == "l2update" else trade)(instrument, message, recv_ns),)

    def symbol_of(self, frame: bytes | memoryview) -> str | None:
        try:
            message = orjson.loads(frame)
            found = message["product_id"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None
        return found if isinstance(found, str) and message.get("type") not in (HEARTBEAT, "error") else None

    @staticmethod
    def _status(row: dict[str, Any]) -> Status:
        state = _state(row)
        return Status(row["id"], state == TRADING, state)

    @staticmethod
    def _book(instrument: Instrument, message: dict[str, Any], recv_ns: int) -> DepthSnapshot:
        """Source: ws, Level2 Channel. The time is not in the manual's example."""
        sides = levels(instrument, message["bids"]), levels(instrument, message["asks"])
        ts_event_ns = rfc3339(message["time"]) if "time" in message else None
        return whole_book(instrument, 0, sides, ENTIRE, recv_ns, ts_event_ns)

    def classify(self, sequence: int, delta: Numbers, joined: bool) -> Verdict:
        """Source: ws, Level2 Channel: "guarantees delivery of all updates"."""
        return by_connection()


def _symbols(instruments: Sequence[Instrument]) -> list[str]:
    return list(dict.fromkeys(one.symbol for one in instruments))


def _confirmed(message: dict[str, Any]) -> Iterator[Subscribed]:
    """Read all subscriptions of the connection (ws, Subscriptions Message)."""
    for channel in rows(message["channels"]):
        name = RENAMED.get(text(channel["name"]), channel["name"])
        for product in rows(channel.get("product_ids") or []):
            yield Subscribed(f"{name}:{text(product)}")


def _refused(message: dict[str, Any], channel: str) -> SubscribeRefused:
    """Read {"type":"error","message":"Failed to subscribe","reason":"X-Y is not a valid product"}."""
    what, reason = text(message["message"]), text(message.get("reason") or "")
    product, is_named, _ = reason.partition(f" {BAD_PRODUCT}")
    return SubscribeRefused(f"{channel}:{product}" if is_named else None, what, reason or what)


def _state(row: dict[str, Any]) -> str:
    """Return a product's state: TRADING, or the exchange's word for what restricts it."""
    if (status := text(row["status"])) != ONLINE:
        return status
    return next((name for name in RESTRICTIONS if name in row and flag(row[name])), TRADING)


def _delta(instrument: Instrument, message: dict[str, Any], recv_ns: int) -> DepthDelta:
    """Source: ws, Level2 Channel. Sizes are absolute; "0" removes the level."""
    sides: dict[str, list[Any]] = {"buy": [], "sell": []}
    for side, *level in fixed_rows(message["changes"], 3):
        sides[text(side)].append(level)
    bids, asks = (levels(instrument, listed) for listed in sides.values())
    return DepthDelta(instrument.symbol, 0, 0, bids, asks, rfc3339(message["time"]), recv_ns)


def trade(instrument: Instrument, message: dict[str, Any], recv_ns: int) -> PublicTrade:
    """Read a match; `side` is the maker's. A `last_match` was made before the subscription (ws, Matches Channel)."""
    return PublicTrade(
        instrument.symbol,
        integer(message["trade_id"]),
        instrument.price_raw(text(message["price"])),
        instrument.size_raw(text(message["size"])),
        OTHER_SIDE[message["side"]],
        rfc3339(message["time"]),
        recv_ns,
    )


def _ticker(row: tuple[str, Any]) -> tuple[str, dict[str, str | None]]:
    symbol, day = row[0], row[1]["stats_24hour"]
    volume = amount_text(day["volume"])
    opening, high, low, last = (price_text(day[name]) for name in ("open", "high", "low", "last"))
    quote_volume = None if last is None else f"{plain_decimal(volume) * plain_decimal(last):f}"
    prices = {"bid": None, "ask": None, "last": last, "open": opening, "high": high, "low": low}
    return symbol, {"volume": volume, "quote_volume": quote_volume, **prices}


def _candle(interval: str, row: list[Any]) -> Candle:
    """Read [time, low, high, open, close, volume], JSON numbers."""
    low, high, opening, close, volume = (expanded(value) for value in row[1:])
    return candle(interval, seconds(row[0]), (opening, high, low, close), volume)
