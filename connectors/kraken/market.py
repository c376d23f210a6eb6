"""Kraken spot market data: bytes to events, intents to requests.

A pair has three names: BTC/USD in websocket version 2, which is its symbol, and in REST the altname XBTUSD and the key
XXBTZUSD, which are its aliases. REST's assets XBT and XDG are BTC and DOGE on the websocket.

Source: docs.kraken.com, websocket-v2/{book,trade,ticker,instrument,status,heartbeat,ping}, guides/spot-ws-book-v2,
guides/spot-ws-intro, rest-api/get-{tradable-asset-pairs,order-book,ticker-information,server-time}, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
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
    Ticker,
)
from ...model.http import HttpRequest, HttpResponse
from ...model.instrument import TRADING, Instrument
from ...model.time import SECOND_NS
from ...orderbook.checksum import crc32
from ...orderbook.l2 import OrderBook
from ..candles import candle, ceiling, closed_by, in_order
from ..drafts import batches
from ..listing import Listing, listing
from ..market import MarketData, whole_book
from ..market_codec import Expected, Outgoing, Scanner
from ..reading import (
    amount_text,
    decimal,
    fixed_rows,
    flag,
    integer,
    levels,
    number,
    plain_decimal,
    price_text,
    readable,
    reading,
    rfc3339,
    rows,
    seconds,
    text,
)
from ..sequence import Numbers, Verdict, by_connection
from ..spec import ExchangeSpec
from .refusals import FAILURES
from .scanner import BookScanner
from .spec import CANDLES, DEPTH

CANDLE_FIELDS = 8  # rest-api/get-ohlc-data
CHECKED = 10  # websocket-v2/book: the checksum covers the best ten levels a side, at any depth
ONLINE = "online"
FEATURES = ("amend", "quote_amount")  # rest-api/amend-order, add-order: for every pair
NEW_NAMES = {"XBT": "BTC", "XDG": "DOGE"}  # the websocket's names of assets, by REST's different names
BY_PAIR = ("book", "level3", "trade", "ticker")  # channels whose messages are about one pair
PAIRS_PER_MESSAGE = 100  # the manual states no bound


class KrakenCodec(MarketData):
    """Market data of an exchange with Kraken's protocol. Raises Misconfigured: an option does not allow its value."""

    failures = FAILURES
    book_query = ("pair", "count", 100)  # rest-api/get-order-book: default 100

    def __init__(self, spec: ExchangeSpec, rest: str | None, ws: str | None, depth: int = DEPTH.default) -> None:
        super().__init__(replace(spec, book=replace(spec.book, window=DEPTH.checked(depth))), rest, ws)
        self._depth = depth
        self._symbols: dict[str, str] = {}  # by altname and key
        self._system = ONLINE
        self._states: dict[str, str] = {}  # status of pairs, as far as the channel `instrument` has stated it
        self._readers: dict[str, Callable[[dict[str, Any], int], Sequence[MarketEvent]]] = {
            "book": self._book,
            "trade": self._trades,
            "ticker": self._ticker,
            "ohlc": self._ohlc,
            "instrument": self._instruments,
            "status": self._status,
        }

    # Requests

    def opening(self, request_id: int) -> list[Outgoing]:
        """Subscribe to the channel `instrument`, which states the trading status of all pairs."""
        return [Outgoing(request("subscribe", request_id, {"channel": "instrument"}))]

    def subscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        channels: dict[str, dict[str, Any]] = {"book": {"depth": self._depth}, "trade": {"snapshot": False}}
        return self._channels("subscribe", instruments, request_id, channels)

    def unsubscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return self._channels("unsubscribe", instruments, request_id, {"book": {"depth": self._depth}, "trade": {}})

    @staticmethod
    def _channels(
        method: str, instruments: Sequence[Instrument], request_id: int, channels: dict[str, dict[str, Any]]
    ) -> list[Outgoing]:
        """Make the messages of channels with their parameters.

        The exchange answers for each pair separately, under the id of the message.
        """
        messages: list[Outgoing] = []
        for batch in batches([one.symbol for one in instruments], PAIRS_PER_MESSAGE):
            for channel, options in channels.items():
                key = request_id + len(messages)
                frame = request(method, key, {"channel": channel, "symbol": batch, **options})
                expects = tuple(Expected(key_of(key, symbol), (symbol,)) for symbol in dict.fromkeys(batch))
                messages.append(Outgoing(frame, expects))
        return messages

    def candle_message(self, op: str, interval: str, instruments: Sequence[Instrument], request_id: int) -> Outgoing:
        """Source: websocket-v2/ohlc, read 2026-11-27."""
        symbols = [one.symbol for one in instruments]
        params = {"channel": "ohlc", "symbol": symbols, "interval": int(CANDLES.intervals[interval])}
        frame = request(op, request_id, params | ({"snapshot": False} if op == "subscribe" else {}))
        return Outgoing(frame, tuple(Expected(key_of(request_id, symbol), (symbol,)) for symbol in symbols))

    def _rest_name(self, instrument: Instrument) -> str:
        return instrument.aliases[0] if instrument.aliases else instrument.symbol

    def _symbol_of(self, rest_name: str) -> str:
        return self._symbols.get(rest_name, rest_name)

    def candles_request(
        self, instrument: Instrument, interval: str, start_ns: int, end_ns: int, now_ns: int
    ) -> HttpRequest:
        """Source: rest-api/get-ohlc-data, read 2026-11-27. The exchange returns all candles after `since`, without that
        of `since`."""
        since = max(0, ceiling(start_ns, SECOND_NS) - 1)
        bars = ("interval", CANDLES.intervals[interval])
        return self._request("candles", ("pair", self._rest_name(instrument)), bars, ("since", str(since)))

    # Answers over REST

    def instruments(self, body: bytes) -> Listing:
        """Leave out pairs without a websocket name, because they have no feed."""
        with reading("a list of instruments", body) as read:
            pairs = [(key, pair) for key, pair in read["result"].items() if not _has_no_feed(pair)]
            listed = listing(pairs, lambda named: self._instrument(*named), lambda named: named[0])
        self._learn(listed)
        return listed

    def _learn(self, instruments: Iterable[Instrument]) -> None:
        self._symbols.update((alias, one.symbol) for one in instruments for alias in one.aliases)

    def _instrument(self, key: str, pair: dict[str, Any]) -> Instrument:
        """Source: rest-api/get-tradable-asset-pairs. Lists from before 2022 have neither tick size nor status."""
        base, quote_asset = (NEW_NAMES.get(asset, asset) for asset in text(pair["wsname"]).split("/"))
        price_scale, size_scale = integer(pair["pair_decimals"]), integer(pair["lot_decimals"])
        if max(price_scale, size_scale) > 18:
            raise ValueError(f"{price_scale} and {size_scale} decimals")
        status = text(pair.get("status", ONLINE))
        tick = decimal(pair["tick_size"]) if "tick_size" in pair else Decimal(1).scaleb(-price_scale)
        return Instrument(
            exchange=self.spec.exchange,
            name=f"{base}-{quote_asset}",
            symbol=f"{base}/{quote_asset}",
            base=base,
            quote=quote_asset,
            price_scale=price_scale,
            size_scale=size_scale,
            status=TRADING if status == ONLINE else status,
            price_increment=tick,
            size_increment=Decimal(1).scaleb(-size_scale),
            min_size=decimal(pair["ordermin"]) if "ordermin" in pair else None,
            min_notional=decimal(pair["costmin"]) if "costmin" in pair else None,
            features=FEATURES,
            aliases=(text(pair["altname"]), key),
        )

    def snapshot(self, instrument: Instrument, body: bytes, limit: int, recv_ns: int) -> DepthSnapshot:
        """Read rows of price, size and a time in seconds. A book over REST has neither number nor checksum."""
        with reading("a depth snapshot", body) as read:
            (book,) = read["result"].values()
            sides = levels(instrument, book["bids"], 3), levels(instrument, book["asks"], 3)
        return whole_book(instrument, 0, sides, limit, recv_ns)

    def tickers(self, body: bytes) -> dict[str, Any]:
        """Source: rest-api/get-ticker-information. Of two figures the second one is that of the last 24 hours; the
        quote volume is the volume at its average price."""
        with reading("a list of tickers", body) as read:
            listed = [(self._symbols[key], row) for key, row in read["result"].items() if key in self._symbols]
            return readable(listed, _day_ticker)

    def candles(self, instrument: Instrument, interval: str, response: HttpResponse) -> list[Candle]:
        """Source: rest-api/get-ohlc-data, read 2026-11-27. The last row is always the candle that is still open. The
        exchange states no quote volume, only an average price that is rounded."""
        with reading("a list of candles", response.body) as read:
            (listed,) = (value for key, value in read["result"].items() if key != "last")
            return closed_by(
                in_order(
                    candle(interval, seconds(row[0]), row[1:5], row[6], None, integer(row[7]))
                    for row in fixed_rows(listed, CANDLE_FIELDS)
                ),
                0,
            )

    def server_time(self, body: bytes) -> int:
        """Source: rest-api/get-server-time; whole seconds."""
        with reading("a server time", body) as read:
            return seconds(read["result"]["unixtime"])

    # Frames of the websocket

    def bind(self, instruments: Iterable[Instrument]) -> None:
        super().bind(instruments)
        self._learn(self._bound.values())

    def scanner(self) -> Scanner | None:
        return BookScanner(self._depth, CHECKED)

    def decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[MarketEvent]:
        with reading("a frame of this exchange", frame, exact=True) as message:
            if "channel" in message:
                channel = text(message["channel"])
                reader = self._readers.get(channel)
                return (Ignored(channel),) if reader is None else reader(message, recv_ns)
            if "method" in message:
                return self._answers(message)
            return (SubscribeRefused(None, "error", text(message["error"])),)

    def _answers(self, message: dict[str, Any]) -> Sequence[MarketEvent]:
        """Read an answer to a request. A refusal has the pair next to the error."""
        return (answer(message),)

    def symbol_of(self, frame: bytes | memoryview) -> str | None:
        try:
            message = orjson.loads(frame)
            found = message["data"][0]["symbol"] if message["channel"] in BY_PAIR else None
        except (orjson.JSONDecodeError, LookupError, TypeError):
            return None
        return found if isinstance(found, str) else None

    def _book(self, message: dict[str, Any], recv_ns: int) -> Sequence[MarketEvent]:
        (book,) = message["data"]
        is_whole = is_snapshot(message)
        instrument = self._bound.get(text(book["symbol"]))
        if instrument is None:
            return (Ignored("book"),)
        sides = _levels(instrument, book["bids"]), _levels(instrument, book["asks"])
        checksum = integer(book["checksum"])
        time_ns = rfc3339(book["timestamp"]) if "timestamp" in book else None
        if is_whole:
            return (whole_book(instrument, 0, sides, self._depth, recv_ns, time_ns, checksum),)
        return (DepthDelta(instrument.symbol, 0, 0, *sides, time_ns, recv_ns, None, checksum),)

    def _trades(self, message: dict[str, Any], recv_ns: int) -> Sequence[MarketEvent]:
        is_snapshot(message)
        return [self._trade(row, recv_ns) for row in rows(message["data"])]

    def _trade(self, row: dict[str, Any], recv_ns: int) -> MarketEvent:
        instrument = self._bound.get(text(row["symbol"]))
        if instrument is None:
            return Ignored("trade")
        return PublicTrade(
            instrument.symbol,
            integer(row["trade_id"]),
            instrument.price_raw(number(row["price"])),
            instrument.size_raw(number(row["qty"])),
            Side(row["side"]),
            rfc3339(row["timestamp"]),
            recv_ns,
        )

    def _ticker(self, message: dict[str, Any], recv_ns: int) -> Sequence[MarketEvent]:
        (row,) = message["data"]
        instrument = self._bound.get(text(row["symbol"]))
        if instrument is None:
            return (Ignored("ticker"),)
        bid, ask = (
            (instrument.price_raw(number(row[side])), instrument.size_raw(number(row[f"{side}_qty"])))
            for side in ("bid", "ask")
        )
        return (Ticker(instrument.symbol, 0, bid if bid[1] else None, ask if ask[1] else None, recv_ns),)

    def _ohlc(self, message: dict[str, Any], recv_ns: int) -> Sequence[MarketEvent]:
        """No message says that a candle has closed."""
        is_snapshot(message)
        known = [row for row in rows(message["data"]) if text(row["symbol"]) in self._bound]
        return [self._candle(row) for row in known] or (Ignored("ohlc"),)

    def _candle(self, row: dict[str, Any]) -> MarketEvent:
        prices, volume = [number(row[name]) for name in ("open", "high", "low", "close")], number(row["volume"])
        begin, trades = rfc3339(row["interval_begin"]), integer(row["trades"])
        return self._streamed(row["symbol"], str(integer(row["interval"])), begin, prices, volume, None, trades)

    def _instruments(self, message: dict[str, Any], recv_ns: int) -> Sequence[MarketEvent]:
        """Read the trading status of pairs: of all pairs in the first message, then of those that changed."""
        stated = {text(pair["symbol"]): text(pair["status"]) for pair in rows(message["data"]["pairs"])}
        self._states.update(stated)
        return [self._state(symbol) for symbol in stated if symbol in self._bound] or (Ignored("instrument"),)

    def _status(self, message: dict[str, Any], recv_ns: int) -> Sequence[MarketEvent]:
        """Read the status of the exchange: sent when a connection opens, and when the status changes."""
        (row,) = message["data"]
        self._system = text(row["system"])
        return [self._state(symbol) for symbol in self._bound] or (Ignored("status"),)

    def _state(self, symbol: str) -> Status:
        """A pair trades while it and the exchange are online."""
        listed = self._bound[symbol].status
        own = self._states.get(symbol, ONLINE if listed == TRADING else listed)
        status = own if self._system == ONLINE else self._system
        return Status(symbol, status == ONLINE, status)

    def classify(self, sequence: int, delta: Numbers, joined: bool) -> Verdict:
        """Apply every message: messages have no numbers, and the checksum shows whether one is missing."""
        return by_connection()

    def checksum(self, instrument: Instrument, book: OrderBook) -> int:
        """Source: guides/spot-ws-book-v2, Checksum Calculation. The text has all decimals of the pair in each
        number."""
        return crc32(book, CHECKED, instrument.price_scale, instrument.size_scale)


def _has_no_feed(pair: Any) -> bool:
    return isinstance(pair, dict) and pair.get("wsname") is None


def request(method: str, request_id: int, params: dict[str, Any]) -> bytes:
    return orjson.dumps({"method": method, "params": params, "req_id": request_id})


def key_of(request_id: int, symbol: str) -> str:
    return f"{request_id} {symbol}"


def answer(message: dict[str, Any]) -> MarketEvent:
    method = text(message["method"])
    if method != "subscribe":
        return Ignored(method)
    accepted = flag(message["success"])
    about = message["result"] if accepted else message
    has_key = "symbol" in about and "req_id" in message
    key = key_of(integer(message["req_id"]), text(about["symbol"])) if has_key else None
    if not accepted:
        return SubscribeRefused(key, method, text(message["error"]))
    return Ignored(f"{method} {text(about['channel'])}") if key is None else Subscribed(key)


def is_snapshot(message: dict[str, Any]) -> bool:
    kind = text(message["type"])
    if kind not in ("snapshot", "update"):
        raise ValueError(f"{kind!r} is neither a snapshot nor an update")
    return kind == "snapshot"


def _levels(instrument: Instrument, value: Any) -> Levels:
    """Read levels: objects of JSON numbers with all their decimals."""
    read = rows(value)
    array = np.empty((len(read), 2), dtype=np.int64)
    for at, row in enumerate(read):
        array[at, 0] = instrument.price_raw(number(row["price"]))
        array[at, 1] = instrument.size_raw(number(row["qty"]))
    return array


def _day_ticker(named: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, str | None]]:
    """`o` is the price at midnight; the exchange does not state the price of 24 hours ago."""
    symbol, row = named
    volume, average = plain_decimal(row["v"][1]), plain_decimal(row["p"][1])
    return symbol, {
        "volume": amount_text(row["v"][1]),
        "quote_volume": f"{volume * average:f}",
        "bid": price_text(row["b"][0]),
        "ask": price_text(row["a"][0]),
        "last": price_text(row["c"][0]),
        "open": None,
        "high": price_text(row["h"][1]),
        "low": price_text(row["l"][1]),
    }
