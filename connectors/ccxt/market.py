"""Market data of any exchange of ccxt: its unified structures to events, intents to its calls.

A frame is a message of `link.py`: a whole book, trades, or the end of a subscription. Prices and sizes of streamed
books are floats in ccxt; the shortest text of a float is the exchange's text up to 15 digits. Prices and sizes of
orders never come from here.

Source: the manual of ccxt's unified interface (docs.ccxt.com, structures of markets, order books and trades), ccxt
4.5.90, read 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
import orjson

from ...model.errors import DecodeError
from ...model.events import (
    DepthSnapshot,
    Ignored,
    Levels,
    MarketEvent,
    PublicTrade,
    Side,
    Subscribed,
    SubscribeRefused,
)
from ...model.fixed import INT64_MAX
from ...model.http import HttpRequest
from ...model.instrument import TRADING, Instrument, scale_for
from ..drafts import recognised
from ..listing import Listing, listing
from ..market import MarketData, whole_book
from ..market_codec import Expected, Outgoing, SnapshotKey
from ..reading import UNREADABLE, integer, mapping, milliseconds, reading, rows, text
from ..sequence import Numbers, Verdict, by_connection
from ..spec import ExchangeSpec
from ..trade_ids import trade_id
from .calls import Procedure, call
from .failures import FAILURES
from .session import Session

SIDES = {"buy": Side.BUY, "sell": Side.SELL}
HALTED = "HALTED"
# By ccxt's precisionMode: decimal places, significant digits (which no tick states) and ticks
IN_TICKS: dict[int, Callable[[Any], Any]] = {
    2: lambda places: str(Decimal(1).scaleb(-int(places))),
    3: lambda digits: None,
    4: lambda tick: tick,
}
PLACES = 8  # decimals of a pair for which ccxt states no precision


async def _markets(exchange: Any) -> Any:
    found = await exchange.load_markets(True)
    in_ticks = IN_TICKS[exchange.precisionMode]
    return [_plain(market, in_ticks) for market in found.values() if market.get("spot")]


def _plain(market: Mapping[str, Any], in_ticks: Callable[[Any], Any]) -> dict[str, Any]:
    """Return what `instruments` reads of a market, with its precision in ticks."""
    kept = {name: market.get(name) for name in ("symbol", "id", "base", "quote", "active", "limits")}
    precision = market.get("precision") or {}
    steps = {name: precision.get(name) for name in ("price", "amount")}
    return kept | {"precision": {name: None if one is None else in_ticks(one) for name, one in steps.items()}}


async def _book(exchange: Any, symbol: str) -> Any:
    return await exchange.fetch_order_book(symbol)


async def _tickers(exchange: Any) -> Any:
    return list((await exchange.fetch_tickers()).values()) if exchange.has.get("fetchTickers") is True else []


async def _time(exchange: Any) -> Any:
    return {"time": await exchange.fetch_time()}


class CcxtCodec(MarketData):
    """Market data of one exchange of ccxt."""

    failures = FAILURES

    def __init__(
        self,
        spec: ExchangeSpec,
        session: Session,
        where: Mapping[str, str],
        *,
        depth: int,
        poll_s: float,
        has_time: bool,
        features: tuple[str, ...] = (),
    ) -> None:
        """`where`: the settings of a session, as text, for the stream's own. `features`: of every pair's orders."""
        super().__init__(spec, None, None)
        self._session, self._where, self._has_time = session, {**where, "poll_s": f"{poll_s:g}"}, has_time
        self._depth, self._features = depth, features

    def ws_url(self) -> str:
        return f"{self._ws}/stream?{urlencode(self._where)}"

    # Requests over REST

    def instruments_request(self) -> HttpRequest:
        return self._call("instruments", _markets, markets=False)

    def snapshot_request(self, instrument: Instrument, limit: int) -> HttpRequest:
        asked = {"symbol": instrument.symbol}
        return self._call("snapshot", _book, asked, shown={**asked, "limit": limit})

    def tickers_request(self) -> HttpRequest:
        return self._call("tickers", _tickers)

    def time_request(self) -> HttpRequest | None:
        return self._call("time", _time, markets=False) if self._has_time else None

    def _call(
        self,
        name: str,
        procedure: Procedure,
        given: Mapping[str, Any] | None = None,
        *,
        shown: Mapping[str, Any] | None = None,
        markets: bool = True,
    ) -> HttpRequest:
        endpoint = self.spec.endpoints[name]
        path = endpoint.path.strip("/")
        return call(self._session, path, procedure, given or {}, endpoint.cost, shown or {}, needs_markets=markets)

    def recognise(self, url: str) -> SnapshotKey | str | None:
        parts = urlsplit(url)
        name = recognised(self.spec, parts.path)
        if name != "snapshot":
            return name
        query = parse_qs(parts.query)
        if "symbol" not in query or not query.get("limit", [""])[0].isdigit():
            return None
        return SnapshotKey(query["symbol"][0], min(int(query["limit"][0]), self.spec.max_snapshot))

    # Answers

    def instruments(self, body: bytes) -> Listing:
        with reading("a list of markets", body) as data:
            return listing(rows(data), self._instrument)

    def _instrument(self, row: Mapping[str, Any]) -> Instrument:
        precision, limits = mapping(row.get("precision") or {}), mapping(row.get("limits") or {})
        price_step, size_step = _step(precision.get("price")), _step(precision.get("amount"))
        base, quote = text(row["base"]), text(row["quote"])

        def bound(of: str, end: str) -> Decimal | None:
            value = (limits.get(of) or {}).get(end)
            return None if value is None else _positive(value)

        largest_price, largest_size = bound("price", "max"), bound("amount", "max")
        return Instrument(
            exchange=self.spec.exchange,
            name=f"{base}-{quote}",
            symbol=text(row["symbol"]),
            base=base,
            quote=quote,
            price_scale=scale_for(self.spec.wire_decimals, price_step, largest_price),
            size_scale=scale_for(self.spec.wire_decimals, size_step, largest_size),
            status=HALTED if row.get("active") is False else TRADING,
            price_increment=price_step,
            size_increment=size_step,
            min_price=bound("price", "min"),
            max_price=largest_price,
            min_size=bound("amount", "min"),
            max_size=largest_size,
            min_notional=bound("cost", "min"),
            max_notional=bound("cost", "max"),
            features=self._features,
        )

    def snapshot(self, instrument: Instrument, body: bytes, limit: int, recv_ns: int) -> DepthSnapshot:
        with reading("a book", body) as data:
            return self._whole(instrument, data, limit, recv_ns)

    def _whole(self, instrument: Instrument, data: Mapping[str, Any], limit: int, recv_ns: int) -> DepthSnapshot:
        """Return a book of at most `limit` levels a side. ccxt does not state how many an exchange has, so no side is
        complete."""
        stated = data.get("timestamp")
        ts_ns = None if stated is None else milliseconds(stated)
        bids, asks = (_levels(instrument, rows(data[side])[:limit]) for side in ("bids", "asks"))
        return whole_book(instrument, 0, (bids, asks), 0, recv_ns, ts_ns)

    def tickers(self, body: bytes) -> dict[str, Any]:
        names = {
            "volume": "baseVolume",
            "quote_volume": "quoteVolume",
            "bid": "bid",
            "ask": "ask",
            "last": "last",
            "open": "open",
            "high": "high",
            "low": "low",
        }
        with reading("tickers", body) as data:
            found: dict[str, Any] = {}
            for row in rows(data):
                read = {ours: _ticked(row.get(theirs)) for ours, theirs in names.items()}
                volumes = {name: read[name] or "0" for name in ("volume", "quote_volume")}
                found[text(row["symbol"])] = read | volumes
            return found

    def server_time(self, body: bytes) -> int:
        with reading("the time", body) as data:
            return milliseconds(data["time"])

    # The stream

    def subscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return [self._ask("watch", one, number) for number, one in enumerate(instruments, request_id)]

    def unsubscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        return [self._ask("unwatch", one, number) for number, one in enumerate(instruments, request_id)]

    def _ask(self, op: str, instrument: Instrument, number: int) -> Outgoing:
        frame = {"op": op, "symbol": instrument.symbol, "id": number, "depth": self._depth}
        return Outgoing(orjson.dumps(frame), (Expected(number, (instrument.symbol,)),))

    def decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[MarketEvent]:
        with reading("a frame", frame) as message:
            kind = text(message["kind"])
            if kind == "done":
                return (Subscribed(integer(message["id"])),)
            if kind == "refused":
                return (SubscribeRefused(integer(message["id"]), text(message["code"]), text(message["reason"])),)
            if kind not in ("book", "trades"):
                return (Ignored(kind[:64]),)
            instrument = self._bound.get(text(message["symbol"]))
            if instrument is None:
                return (Ignored(kind),)
            if kind == "book":
                return (self._whole(instrument, message, self._depth, recv_ns),)
            return [self._trade(instrument, row, recv_ns) for row in rows(message["trades"])]

    def _trade(self, instrument: Instrument, row: Mapping[str, Any], recv_ns: int) -> MarketEvent:
        stated = row.get("timestamp")
        ts_ns = None if stated is None else milliseconds(stated)
        if row.get("side") not in SIDES:
            return Ignored("a trade without a side")
        price, size = _exact(row["price"]), _exact(row["amount"])
        number, written = trade_id(text(row.get("id") or f"{stated}-{price}-{size}"))
        raw = instrument.price_raw(price), instrument.size_raw(size)
        return PublicTrade(instrument.symbol, number, *raw, SIDES[row["side"]], ts_ns, recv_ns, id_text=written)

    def symbol_of(self, frame: bytes | memoryview) -> str | None:
        with suppress(*UNREADABLE):
            message = orjson.loads(frame)
            return text(message["symbol"]) if message["kind"] in ("book", "trades") else None
        return None

    def classify(self, sequence: int, delta: Numbers, joined: bool) -> Verdict:
        return by_connection()


def _exact(value: Any) -> Decimal:
    """Return a number of ccxt: text as it is, a float as its shortest text, which is the exchange's up to 15 digits."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DecodeError(f"{value!r:.100} is not a number", None)
    number = Decimal(repr(value) if isinstance(value, float) else str(value))
    if not number.is_finite() or abs(number.adjusted()) > 40:
        raise DecodeError(f"{value!r:.100} is not a number of a price or size", None)
    return number


def _positive(value: Any) -> Decimal | None:
    """Return a bound; None if it is zero or below, which means no bound."""
    number = _exact(value)
    return number.normalize() if number > 0 else None


def _step(value: Any) -> Decimal:
    """Return an increment, as ccxt's precision in ticks states it; a guess where ccxt states none."""
    found = None if value is None else _positive(value)
    return found if found is not None else Decimal(1).scaleb(-PLACES)


def _ticked(value: Any) -> str | None:
    if value is None:
        return None
    number = _exact(value)
    return f"{number:f}" if number > 0 else None


def _levels(instrument: Instrument, given: list[Any]) -> Levels:
    """Return levels, best first, without those of size zero. Raises DecodeError: a number does not fit the scale."""
    found = []
    for level in given:
        price, size = _exact(level[0]), _exact(level[1])
        raw = _raw(price, instrument.price_scale), _raw(size, instrument.size_scale)
        if raw[0] <= 0 or raw[1] < 0:
            raise DecodeError(f"a level of {size} at {price}", None)
        if raw[1]:
            found.append(raw)
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _raw(value: Decimal, scale: int) -> int:
    """Return the fixed-point value, rounded where a float of ccxt has more digits than the scale."""
    raw = int(value.scaleb(scale).to_integral_value())
    if abs(raw) > INT64_MAX:
        raise DecodeError(f"{value} does not fit {scale} decimals", None)
    return raw
