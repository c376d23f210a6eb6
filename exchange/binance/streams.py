"""The market streams: their names, their messages and when they are sent.

The form of a message is raw or combined, in milliseconds or microseconds. Diffs are taken from the market every 100 ms,
in ten slots of 10 ms, so that symbols are spread over time; 1000 ms diffs are sums of the 100 ms diffs.

Source: web-socket-streams.md, read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from ...model.time import MINUTE_NS
from ..engine.candles import INTERVALS, Bar
from ..engine.market import Aggregate, LevelChanges, Market, Trade
from ..floor import Floor
from ..wire.candles import CandleFeed
from ..wire.topics import Topic, Topics
from . import payloads
from .client import Client, Form

SLOTS = 10
EAST_8 = 8 * 60 * MINUTE_NS
WINDOWS = {"1h": 60 * MINUTE_NS, "4h": 240 * MINUTE_NS, "1d": 1440 * MINUTE_NS}

_ONE = re.compile(
    r"(?P<symbol>[^@!]+)@(?:"
    r"(?P<depth>depth)(?P<levels>5|10|20)?(?P<fast>@100ms)?"
    r"|kline_(?P<interval>\w+)(?P<east>@\+08:00)?"
    r"|ticker_(?P<window>1h|4h|1d)"
    r"|(?P<plain>trade|aggTrade|bookTicker|miniTicker|ticker|avgPrice|referencePrice|blockTrade))"
)
_ALL = re.compile(r"!(?:(?P<mini>miniTicker)|ticker_(?P<window>1h|4h|1d))@arr")

Encode = Callable[[int], str]  # nanoseconds of a unit of time -> JSON


@dataclass(slots=True)
class Stream(Topic):
    """One market stream; the symbol is "" for streams of the whole market."""

    kind: str = ""  # depth | partial | trade | aggTrade | bookTicker | second kinds | arr kinds
    argument: str = ""
    fast: bool = False
    seen_changes: int = -1
    candles: CandleFeed | None = None


def parse(name: str) -> Stream | None:
    """Read a stream's name; return None for an impossible name. Symbols are lower case."""
    match = _ONE.fullmatch(name)
    if match is None:
        market_wide = _ALL.fullmatch(name)
        if market_wide is None:
            return None
        return Stream(name, "", kind="arr", argument=market_wide["window"] or "")
    symbol = match["symbol"]
    if symbol != symbol.lower():
        return None
    symbol = symbol.upper()
    if match["depth"]:
        kind = "partial" if match["levels"] else "depth"
        return Stream(name, symbol, kind=kind, argument=match["levels"] or "", fast=match["fast"] is not None)
    if match["interval"]:
        if match["interval"] not in INTERVALS:
            return None
        candles = CandleFeed(match["interval"], EAST_8 if match["east"] else 0)
        return Stream(name, symbol, kind="kline", argument=match["interval"], candles=candles)
    if match["window"]:
        return Stream(name, symbol, kind="window", argument=match["window"])
    return Stream(name, symbol, kind=match["plain"])


@dataclass(slots=True)
class _Slow:
    """The sum of diffs for the 1000 ms stream."""

    first: int
    last: int
    bids: dict[int, int]
    asks: dict[int, int]


class Streams:
    """All market streams of the protocol."""

    def __init__(self, floor: Floor, protocol: str) -> None:
        self.topics: Topics[Client, Stream, Form] = Topics(floor.faults, lambda client: client.form, self._watch)
        self._floor = floor
        self._protocol = protocol
        self._changes: dict[str, LevelChanges] = {}
        self._slow: dict[str, _Slow] = {}

    def subscribe(self, client: Client, name: str) -> None:
        self.topics.subscribe(client, name, parse)

    def listed(self, market: Market) -> None:
        """Start the streams that waited for a symbol: the symbol was listed."""
        self._changes[market.symbol] = market.level_changes()
        self._watch(market.symbol)

    def delisted(self, market: Market) -> None:
        del self._changes[market.symbol]

    def _watch(self, symbol: str) -> None:
        market = self._floor.engine.markets.get(symbol)
        if market is None:
            return
        if any(stream.kind == "bookTicker" for stream in self.topics.of(symbol)):
            market.top_watchers.add(self._protocol)
        else:
            market.top_watchers.discard(self._protocol)

    # ------------------------------------------------------------------------------------------------ engine

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        streams = self.topics.of(market.symbol)
        if not streams:
            return
        now = self._now()
        for stream in streams:
            if stream.kind == "trade":
                for trade in trades:
                    self.send(stream, lambda unit, t=trade: payloads.trade_event(market.symbol, t, now, unit))  # type: ignore[misc]
            elif stream.kind == "aggTrade":
                for found in aggregates:
                    self.send(stream, lambda unit, f=found: payloads.aggregate_event(market.symbol, f, now, unit))  # type: ignore[misc]

    def top(self, market: Market) -> None:
        stream = self.topics.by_name.get(f"{market.symbol.lower()}@bookTicker")
        if stream is not None:
            event = payloads.book_ticker_event(market)
            self.send(stream, lambda unit: event)

    # ------------------------------------------------------------------------------------------------- pace

    def tick(self, number: int) -> None:
        """Send what is due; call it every 10 ms with a rising number."""
        slot = number % SLOTS
        whole_second = number // SLOTS % 10
        for position, market in enumerate(list(self._floor.engine.markets.values())):
            if position % SLOTS != slot:
                continue
            self._flush_fast(market)
            # Messages of once a second go out in each symbol's own tenth of the second.
            if whole_second == position // SLOTS % 10:
                self._flush_slow(market)
                self._seconds(market, number)
        if number % 100 == 50:
            self._market_wide()

    def flush(self, market: Market) -> None:
        """Send all diffs of a market now, before their time."""
        self._flush_fast(market)
        self._flush_slow(market)

    def _flush_fast(self, market: Market) -> None:
        streams = self.topics.of(market.symbol)
        taken = self._changes[market.symbol].take()
        skipped = self._floor.faults.skip(self._protocol, market.symbol) if taken is not None else 0
        market.update_id += skipped
        if not streams:
            self._slow.pop(market.symbol, None)
            return
        now = self._now()
        slow_wanted = False
        for stream in streams:
            if stream.kind == "depth":
                if not stream.fast:
                    slow_wanted = True
                elif taken is not None:
                    first, last, bids, asks = taken
                    self.send(
                        stream,
                        lambda unit, f=first, last=last, b=bids, a=asks: payloads.depth_update(  # type: ignore[misc]
                            market.symbol, f, last, b, a, now, unit
                        ),
                    )
            elif stream.kind == "partial" and stream.fast:
                self._partial(stream, market)
        if not slow_wanted:
            self._slow.pop(market.symbol, None)
        elif taken is not None:
            self._add_slow(market, *taken)
        if skipped:
            self._flush_slow(market)  # otherwise one slow diff would hide the gap

    def _add_slow(self, market: Market, first: int, last: int, bids: dict[int, int], asks: dict[int, int]) -> None:
        slow = self._slow.get(market.symbol)
        if slow is None:
            self._slow[market.symbol] = _Slow(first, last, dict(bids), dict(asks))
        else:
            slow.last = last
            slow.bids.update(bids)
            slow.asks.update(asks)

    def _flush_slow(self, market: Market) -> None:
        slow = self._slow.pop(market.symbol, None)
        if slow is None:
            return
        stream = self.topics.by_name.get(f"{market.symbol.lower()}@depth")
        if stream is not None:
            now = self._now()
            self.send(
                stream,
                lambda unit: payloads.depth_update(
                    market.symbol, slow.first, slow.last, slow.bids, slow.asks, now, unit
                ),
            )

    def _partial(self, stream: Stream, market: Market) -> None:
        body = payloads.depth(market, int(stream.argument)).decode()
        self.send(stream, lambda unit: body)

    def _seconds(self, market: Market, tick: int) -> None:
        streams = self.topics.of(market.symbol)
        now = self._now()
        for stream in streams:
            if stream.kind == "partial" and not stream.fast:
                self._partial(stream, market)
            elif stream.candles is not None:
                if stream.argument == "1s" or tick // 100 % 2 == 0:
                    self._klines(stream, stream.candles, market, now)
            elif stream.kind in ("miniTicker", "ticker", "avgPrice", "window", "referencePrice"):
                if stream.seen_changes == market.changes:
                    continue
                stream.seen_changes = market.changes
                self._each_second(stream, market, now)

    def _each_second(self, stream: Stream, market: Market, now: int) -> None:
        kind = stream.kind
        if kind == "miniTicker":
            self.send(stream, lambda unit: dump(payloads.mini_ticker_event(market, now, unit)))
        elif kind == "ticker":
            self.send(stream, lambda unit: dump(payloads.ticker_event(market, now, unit)))
        elif kind == "avgPrice":
            self.send(stream, lambda unit: dump(payloads.average_event(market, now, unit)))
        elif kind == "window":
            name = stream.argument
            self.send(stream, lambda unit: dump(payloads.window_event(market, name, WINDOWS[name], now, unit)))

    def _klines(self, stream: Stream, candles: CandleFeed, market: Market, now: int) -> None:
        for bar, closed in candles.due(market, now):

            def encode(unit: int, bar: Bar = bar, closed: bool = closed) -> str:
                offset = candles.offset_ns
                return dump(payloads.kline_event(market.symbol, bar, stream.argument, closed, offset, now, unit))

            self.send(stream, encode)

    def _market_wide(self) -> None:
        now = self._now()
        for stream in self.topics.of(""):
            changed = [m for m in self._floor.engine.markets.values() if m.bars.last_time_ns > now - 1_000_000_000]
            if not changed:
                continue
            name = stream.argument

            def encode(unit: int, name: str = name, changed: list[Market] = changed) -> str:
                if name:
                    return dump([payloads.window_event(m, name, WINDOWS[name], now, unit) for m in changed])
                return dump([payloads.mini_ticker_event(m, now, unit) for m in changed])

            self.send(stream, encode)

    # ------------------------------------------------------------------------------------------------- sending

    def send(self, stream: Stream, encode: Encode) -> None:
        """Encode a message once per form and send the frame to every listener."""

        def encode_form(form: Form) -> bytes:
            data = encode(form.unit)
            return (f'{{"stream":"{stream.name}","data":{data}}}' if form.combined else data).encode()

        self.topics.send(stream, encode_form)

    def _now(self) -> int:
        return self._floor.clock.now_ns()


def shutdown_event(client: Client, now_ns: int) -> str:
    """`serverShutdown` in the form of one connection."""
    event = f'{{"e":"serverShutdown","E":{now_ns // client.form.unit}}}'
    if client.is_api:
        return f'{{"event":{event}}}'
    return f'{{"stream":"!serverShutdown","data":{event}}}' if client.form.combined else event


def dump(body: object) -> str:
    return orjson.dumps(body).decode()
