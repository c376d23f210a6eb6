"""Binance spot market data: bytes to events, intents to requests.

Source: binance/binance-spot-api-docs, web-socket-streams.md, rest-api.md, filters.md and errors.md, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar

import orjson

from ...model import events
from ...model.candle import Candle
from ...model.http import HttpResponse
from ...model.instrument import Instrument, scale_for
from .. import market_codec
from ..candles import CLOCK_DOUBT_NS, candle, closed_by, in_order
from ..listing import Listing, listing
from ..market import Fixed, MarketData, day_ticker, requests, whole_book
from ..reading import (
    decimal,
    fixed_rows,
    flag,
    integer,
    levels,
    milliseconds,
    readable,
    reading,
    request_key,
    rows,
    text,
)
from ..sequence import APPLY, GAP, STALE, Numbers, Verdict
from ..spec import ExchangeSpec
from .refusals import FAILURES
from .scanner import DepthScanner, SnapshotScanner
from .spec import DEPTH_SPEED, SNAPSHOT_LIMIT

CANDLE_FIELDS = 12  # rest-api.md, Kline/Candlestick data
# 24hr ticker price change statistics, in the order of `day_ticker`
DAY = ["volume", "quoteVolume", "bidPrice", "askPrice", "lastPrice", "openPrice", "highPrice", "lowPrice"]
SPEEDS = {"100ms": "@depth@100ms", "1000ms": "@depth"}
PAIRS_PER_MESSAGE = 100  # the manual states no bound; this keeps a request of two streams a pair below 8 KB
BOOK_TICKER = frozenset("usbBaA")
TRADE_ID = {"trade": "t", "aggTrade": "a"}
PERCENT_BY_SIDE = ("bidMultiplierDown", "bidMultiplierUp", "askMultiplierDown", "askMultiplierUp")
FEATURES = {  # rest-api.md, Exchange information: what a pair offers, by its flags
    "quote_amount": ("quoteOrderQtyMarketAllowed",),
    "amend": ("amendAllowed",),
    "replace": ("cancelReplaceAllowed",),
    "order_lists": ("ocoAllowed", "otoAllowed"),
}


class BinanceCodec(MarketData):
    """Market data of an exchange with Binance's protocol. Raises Misconfigured: an option has a forbidden value."""

    failures = FAILURES
    fixed: ClassVar[Fixed] = {"instruments": (("showPermissionSets", "false"),)}

    def __init__(
        self,
        spec: ExchangeSpec,
        rest: str | None,
        ws: str | None,
        depth_speed: str = DEPTH_SPEED.default,
        snapshot_limit: int = SNAPSHOT_LIMIT.default,
    ) -> None:
        super().__init__(spec, rest, ws)
        self._suffixes = (SPEEDS[DEPTH_SPEED.checked(depth_speed)], "@trade")
        self.snapshot_limit = SNAPSHOT_LIMIT.checked(snapshot_limit)
        self._readers: dict[str, Callable[[dict[str, Any], int], events.MarketEvent]] = {
            "depthUpdate": self._delta,
            "trade": self._trade,
            "aggTrade": self._trade,
            "kline": self._kline,
            "serverShutdown": lambda data, _: events.GoingAway(milliseconds(data["E"])),
        }

    def ws_url(self) -> str:
        return f"{self._ws}/ws"

    def subscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[market_codec.Outgoing]:
        return self._stream_requests("SUBSCRIBE", instruments, request_id)

    def unsubscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[market_codec.Outgoing]:
        return self._stream_requests("UNSUBSCRIBE", instruments, request_id)

    def _stream_requests(
        self, method: str, instruments: Sequence[Instrument], request_id: int
    ) -> list[market_codec.Outgoing]:
        return requests(instruments, PAIRS_PER_MESSAGE, request_id, partial(_frame, method, self._suffixes))

    def candle_message(
        self, op: str, interval: str, instruments: Sequence[Instrument], request_id: int
    ) -> market_codec.Outgoing:
        """Source: web-socket-streams.md, Kline/Candlestick Streams for UTC, read 2026-11-27."""
        frame = partial(_frame, op.upper(), (f"@kline_{interval}",))
        return requests(instruments, len(instruments), request_id, frame)[0]

    # Answers over REST

    def instruments(self, body: bytes) -> Listing:
        with reading("a list of instruments", body) as read:
            return listing(rows(read["symbols"]), self._instrument)

    def _instrument(self, listed: dict[str, Any]) -> Instrument:
        """Source: filters.md, Symbol filters; rest-api.md, Exchange information. A zero disables its rule.

        The exchange alone judges by the filters that are not read (stop orders, icebergs, positions, trailing).
        """
        filters = {rule["filterType"]: rule for rule in listed["filters"]}

        def rule(key: str, *kinds: str) -> Decimal | None:
            found = next((filters[kind][key] for kind in kinds if key in filters.get(kind, ())), None)
            return None if found is None else decimal(found) or None

        price_increment, max_price = rule("tickSize", "PRICE_FILTER"), rule("maxPrice", "PRICE_FILTER")
        size_increment, max_size = rule("stepSize", "LOT_SIZE"), rule("maxQty", "LOT_SIZE")
        return Instrument(
            exchange=self.spec.exchange,
            name=f"{listed['baseAsset']}-{listed['quoteAsset']}",
            symbol=text(listed["symbol"]),
            base=text(listed["baseAsset"]),
            quote=text(listed["quoteAsset"]),
            price_scale=scale_for(self.spec.wire_decimals, price_increment, max_price),
            size_scale=scale_for(self.spec.wire_decimals, size_increment, max_size),
            status=text(listed["status"]),
            price_increment=price_increment,
            size_increment=size_increment,
            min_price=rule("minPrice", "PRICE_FILTER"),
            max_price=max_price,
            min_size=rule("minQty", "LOT_SIZE"),
            max_size=max_size,
            min_notional=rule("minNotional", "NOTIONAL", "MIN_NOTIONAL"),
            max_notional=rule("maxNotional", "NOTIONAL"),
            order_types=_words(listed, "orderTypes"),
            market_size_increment=rule("stepSize", "MARKET_LOT_SIZE"),
            market_min_size=rule("minQty", "MARKET_LOT_SIZE"),
            market_max_size=rule("maxQty", "MARKET_LOT_SIZE"),
            market_min_notional=_on_market(filters, "applyMinToMarket", "applyToMarket"),
            market_max_notional=_on_market(filters, "applyMaxToMarket"),
            max_orders=_count(filters.get("MAX_NUM_ORDERS")),
            percent_price=_percent_price(rule),
            self_trade_modes=_words(listed, "allowedSelfTradePreventionModes"),
            features=tuple(name for name, flags in FEATURES.items() if any(listed.get(flag) is True for flag in flags)),
        )

    def snapshot(self, instrument: Instrument, body: bytes, limit: int, recv_ns: int) -> events.DepthSnapshot:
        with reading("a depth snapshot", body) as data:
            sides = levels(instrument, data["bids"]), levels(instrument, data["asks"])
            return whole_book(instrument, integer(data["lastUpdateId"]), sides, limit, recv_ns)

    def tickers(self, body: bytes) -> dict[str, Any]:
        """Source: rest-api.md, 24hr ticker price change statistics. An empty side of the book is None."""
        with reading("a list of tickers", body) as read:
            return readable(rows(read), lambda row: (text(row["symbol"]), day_ticker(row, DAY)))

    def candles(self, instrument: Instrument, interval: str, response: HttpResponse) -> list[Candle]:
        """Source: rest-api.md, Kline/Candlestick data, read 2026-11-27. No row says whether its candle has closed."""
        with reading("a list of candles", response.body) as read:
            listed = in_order(
                candle(interval, milliseconds(row[0]), row[1:5], row[5], row[7], integer(row[8]))
                for row in fixed_rows(read, CANDLE_FIELDS)
            )
        return closed_by(listed, response.sent_ns - CLOCK_DOUBT_NS)

    def server_time(self, body: bytes) -> int:
        """Source: rest-api.md, Check server time."""
        with reading("a server time", body) as data:
            return milliseconds(data["serverTime"])

    # Frames of the websocket

    def scanner(self) -> market_codec.Scanner | None:
        return DepthScanner()

    def snapshot_scanner(self) -> market_codec.SnapshotScanner | None:
        return SnapshotScanner()

    def decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[events.MarketEvent]:
        with reading("a frame of this exchange", frame) as message:
            combined = isinstance(message, dict) and "stream" in message
            return (self._event(message["data"] if combined else message, recv_ns),)

    def symbol_of(self, frame: bytes | memoryview) -> str | None:
        try:
            data = orjson.loads(frame)
            data = data.get("data", data)
            wanted = data["e"] in self._readers if "e" in data else data.keys() >= BOOK_TICKER
            return str(data["s"]) if wanted else None
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return None

    def _event(self, data: Any, recv_ns: int) -> events.MarketEvent:
        if isinstance(data, list):
            return events.Ignored("array")
        kind = data.get("e") if isinstance(data, dict) else None
        if isinstance(kind, str):
            reader = self._readers.get(kind)
            known = reader is not None and (kind == "serverShutdown" or data["s"] in self._bound)
            return reader(data, recv_ns) if reader is not None and known else events.Ignored(kind)
        if not isinstance(data, dict) or "e" in data:
            raise TypeError("neither an event nor an answer")
        if data.keys() >= BOOK_TICKER:
            return self._ticker(data, recv_ns)
        if "code" in data or "error" in data:
            refusal = data.get("error", data)
            key = None if data.get("id") is None else request_key(data["id"])
            return events.SubscribeRefused(key, str(refusal["code"]), str(refusal["msg"]))
        if "result" in data:
            return events.Subscribed(request_key(data["id"])) if data["result"] is None else events.Ignored("result")
        if data.keys() >= {"lastUpdateId", "bids", "asks"}:
            return events.Ignored("partialDepth")
        raise TypeError("neither an event nor an answer")

    def _delta(self, data: dict[str, Any], recv_ns: int) -> events.DepthDelta:
        instrument = self._bound[data["s"]]
        first, last = integer(data["U"]), integer(data["u"])
        if first > last:
            raise ValueError(f"U {first} is after u {last}")
        sides, at_ns = (levels(instrument, data["b"]), levels(instrument, data["a"])), milliseconds(data["E"])
        return events.DepthDelta(instrument.symbol, first, last, *sides, at_ns, recv_ns)

    def _trade(self, data: dict[str, Any], recv_ns: int) -> events.PublicTrade:
        """`m` true: the buyer was the maker, so the taker sold."""
        instrument = self._bound[data["s"]]
        price, size = instrument.price_raw(text(data["p"])), instrument.size_raw(text(data["q"]))
        side = events.Side.SELL if flag(data["m"]) else events.Side.BUY
        number, at_ns, is_joined = integer(data[TRADE_ID[data["e"]]]), milliseconds(data["T"]), data["e"] == "aggTrade"
        return events.PublicTrade(instrument.symbol, number, price, size, side, at_ns, recv_ns, is_joined)

    def _ticker(self, data: dict[str, Any], recv_ns: int) -> events.MarketEvent:
        instrument = self._bound.get(data["s"])
        if instrument is None:
            return events.Ignored("bookTicker")
        sides = [
            (instrument.price_raw(text(data[price])), instrument.size_raw(text(data[size])))
            for price, size in ("bB", "aA")
        ]
        bid, ask = (side if side[1] else None for side in sides)
        return events.Ticker(instrument.symbol, integer(data["u"]), bid, ask, recv_ns)

    def _kline(self, data: dict[str, Any], recv_ns: int) -> events.MarketEvent:
        """`x`: whether the candle is closed."""
        row = data["k"]
        prices = [row[name] for name in "ohlc"]
        numbers = (prices, row["v"], row["q"], integer(row["n"]), flag(row["x"]))
        return self._streamed(data["s"], text(row["i"]), milliseconds(row["t"]), *numbers)

    def classify(self, sequence: int, delta: Numbers, joined: bool) -> Verdict:
        """Decide about the event [U=`first`, u=`last`] for a local book whose update id is `sequence`.

        How to manage a local order book correctly:
        4. If the `lastUpdateId` from the snapshot is strictly less than the `U` of the first event, get another.
        5. Discard any buffered event where `u` is <= `lastUpdateId`. The first event that remains should have
           `lastUpdateId` within its [U;u] range.
        7. To apply an event: if `u` is less than the update id of the local book, ignore it; if `U` is greater than
           the update id + 1, some events were missed: discard the book and restart from the beginning; normally `U` is
           the previous `u` + 1. Sizes are absolute, so an event that overlaps the book is applied completely.

        A first event whose `U` is exactly `lastUpdateId` + 1 leaves no gap and is applied (rule 7), as in recordings,
        so the rule is the same before and after the join. (It is `by_range`, inlined because it runs for each frame.)

        Source: web-socket-streams.md, How to manage a local order book correctly, read 2026-11-22.
        """
        if delta.last <= sequence:
            return STALE
        return GAP if delta.first > sequence + 1 else APPLY


def _frame(method: str, suffixes: Sequence[str], key: int, batch: Sequence[Instrument]) -> bytes:
    streams = [one.symbol.lower() + suffix for one in batch for suffix in suffixes]
    return orjson.dumps({"method": method, "params": streams, "id": key})


def _on_market(filters: dict[str, dict[str, Any]], *flags: str) -> bool:
    """Return whether a bound on notional holds for MARKET orders. Source: filters.md, NOTIONAL and MIN_NOTIONAL."""
    kinds = (filters.get(kind, {}) for kind in ("NOTIONAL", "MIN_NOTIONAL"))
    stated = [rule[flag] is True for rule in kinds for flag in flags if flag in rule]
    return not stated or any(stated)


def _words(listed: dict[str, Any], name: str) -> tuple[str, ...]:
    return tuple(text(word) for word in rows(listed.get(name, [])))


def _count(rule: dict[str, Any] | None) -> int | None:
    """Source: filters.md, MAX_NUM_ORDERS."""
    return None if rule is None else integer(rule["maxNumOrders"]) or None


def _percent_price(rule: Callable[..., Decimal | None]) -> tuple[Decimal, Decimal, Decimal, Decimal] | None:
    """Bounds for a buy and a sell, as multiples of the average price. Source: filters.md, PERCENT_PRICE*."""
    sides = tuple(rule(key, "PERCENT_PRICE_BY_SIDE") for key in PERCENT_BY_SIDE)
    both = tuple(rule(key, "PERCENT_PRICE") for key in ("multiplierDown", "multiplierUp")) * 2
    return next((bounds for bounds in (sides, both) if None not in bounds), None)  # type: ignore[return-value]
