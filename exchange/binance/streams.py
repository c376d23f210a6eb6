"""Which streams there are, who listens, and what each sends when.

A message is encoded once per stream and form (raw or combined, milliseconds or microseconds) and the same websocket
frame goes to every listener. Diffs are taken from the market every 100 ms, in ten slots of 10 ms so that symbols do not
all fall on one instant; the 1000 ms diffs are added up from those.

Source: web-socket-streams.md, read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import orjson

from ...model.time import MINUTE_NS
from ..engine.book import OrderList
from ..engine.candles import INTERVALS, Bar, floor
from ..engine.engine import Engine
from ..engine.market import Aggregate, ExecutionReport, Market, Trade
from ..faults import Faults
from ..websocket_frames import text_frame
from . import payloads
from .client import Client, Form
from .user_data import UserData

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
class Stream:
    """One stream that somebody listens to."""

    name: str
    kind: str  # depth | partial | trade | aggTrade | bookTicker | second kinds | arr kinds
    symbol: str  # as the engine lists it; "" for all-market streams
    argument: str = ""
    fast: bool = False
    east: bool = False
    listeners: dict[Client, None] = field(default_factory=dict)
    seen_changes: int = -1
    open_bar_ns: int = 0


def parse(name: str) -> Stream | None:
    """Read a stream's name, or None where it names nothing that could ever send. Symbols are lower case."""
    match = _ONE.fullmatch(name)
    if match is None:
        market_wide = _ALL.fullmatch(name)
        if market_wide is None:
            return None
        return Stream(name, "arr", "", market_wide["window"] or "")
    symbol = match["symbol"]
    if symbol != symbol.lower():
        return None
    symbol = symbol.upper()
    if match["depth"]:
        kind = "partial" if match["levels"] else "depth"
        return Stream(name, kind, symbol, match["levels"] or "", fast=match["fast"] is not None)
    if match["interval"]:
        if match["interval"] not in INTERVALS:
            return None
        return Stream(name, "kline", symbol, match["interval"], east=match["east"] is not None)
    if match["window"]:
        return Stream(name, "window", symbol, match["window"])
    return Stream(name, match["plain"], symbol)


@dataclass(slots=True)
class _Slow:
    """Diffs added up for the 1000 ms stream."""

    first: int
    last: int
    bids: dict[int, int]
    asks: dict[int, int]


class Hub:
    """All streams of the exchange; the engine's `Listener`."""

    def __init__(self, faults: Faults, now_ns: Callable[[], int]) -> None:
        self.faults = faults
        self.now_ns = now_ns
        self.engine: Engine | None = None
        self.streams: dict[str, Stream] = {}
        self.by_symbol: dict[str, dict[str, Stream]] = {}
        self.clients: dict[int, Client] = {}
        self.messages = 0  # encoded
        self.frames = 0  # sent, one for each listener
        self._slow: dict[str, _Slow] = {}
        self._tick = 0
        self.user_data: UserData | None = None

    # ------------------------------------------------------------------------------------------- subscriptions

    def subscribe(self, client: Client, name: str) -> None:
        client.streams[name] = None
        stream = self.streams.get(name)
        if stream is None:
            stream = parse(name)
            if stream is None:
                return
            self.streams[name] = stream
            self.by_symbol.setdefault(stream.symbol, {})[name] = stream
            self._watch(stream.symbol)
        stream.listeners[client] = None

    def unsubscribe(self, client: Client, name: str) -> None:
        client.streams.pop(name, None)
        stream = self.streams.get(name)
        if stream is None:
            return
        stream.listeners.pop(client, None)
        if not stream.listeners:
            del self.streams[name]
            of_symbol = self.by_symbol[stream.symbol]
            del of_symbol[name]
            if not of_symbol:
                del self.by_symbol[stream.symbol]
            self._watch(stream.symbol)

    def add(self, client: Client) -> None:
        self.clients[client.number] = client

    def drop(self, client: Client) -> None:
        """Forget a client that is gone."""
        self.clients.pop(client.number, None)
        for name in list(client.streams):
            self.unsubscribe(client, name)
        if self.user_data is not None:
            self.user_data.drop(client)

    def _watch(self, symbol: str) -> None:
        if self.engine is not None and symbol in self.engine.markets:
            here = self.by_symbol.get(symbol, {})
            self.engine.markets[symbol].watch_top = any(s.kind == "bookTicker" for s in here.values())

    def listed(self, symbol: str) -> None:
        """A symbol was listed: those who wait for it are served."""
        self._watch(symbol)

    # ------------------------------------------------------------------------------------------------ engine

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        here = self.by_symbol.get(market.symbol)
        if not here:
            return
        now = self.now_ns()
        for stream in list(here.values()):
            if stream.kind == "trade":
                for trade in trades:
                    self.send(stream, lambda unit, t=trade: payloads.trade_event(market.symbol, t, now, unit))  # type: ignore[misc]
            elif stream.kind == "aggTrade":
                for found in aggregates:
                    self.send(stream, lambda unit, f=found: payloads.aggregate_event(market.symbol, f, now, unit))  # type: ignore[misc]

    def top(self, market: Market) -> None:
        stream = self.streams.get(f"{market.symbol.lower()}@bookTicker")
        if stream is not None:
            event = payloads.book_ticker_event(market)
            self.send(stream, lambda unit: event)

    def report(self, report: ExecutionReport) -> None:
        if self.user_data is not None and self.engine is not None:
            self.user_data.report(self.engine.market(report.order.symbol), report)

    def order_list(self, group: OrderList, kind: str, now_ns: int) -> None:
        if self.user_data is not None:
            self.user_data.order_list(group, kind, now_ns)

    # ------------------------------------------------------------------------------------------------- pace

    def tick(self) -> None:
        """Send what is due; call it every 10 ms."""
        engine = self.engine
        if engine is None:
            return
        number, self._tick = self._tick, self._tick + 1
        slot = number % SLOTS
        whole_second = number // SLOTS % 10
        for position, market in enumerate(list(engine.markets.values())):
            if position % SLOTS != slot:
                continue
            self._flush_fast(market)
            # Each symbol has its own tenth of the second for what comes once a second.
            if whole_second == position // SLOTS % 10:
                self._flush_slow(market)
                self._seconds(market, number)
        if number % 100 == 50:
            self._market_wide()

    def flush(self, market: Market) -> None:
        """Send all diffs of a market now, whatever the pace."""
        self._flush_fast(market)
        self._flush_slow(market)

    def _flush_fast(self, market: Market) -> None:
        here = self.by_symbol.get(market.symbol)
        taken = market.take_pending()
        skipped = self.faults.skip(market.symbol) if taken is not None else 0
        market.update_id += skipped
        if here is None:
            self._slow.pop(market.symbol, None)
            return
        now = self.now_ns()
        slow_wanted = False
        for stream in list(here.values()):
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
            self._flush_slow(market)  # or the gap would lie hidden inside one slow diff

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
        stream = self.streams.get(f"{market.symbol.lower()}@depth")
        if stream is not None:
            now = self.now_ns()
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
        here = self.by_symbol.get(market.symbol)
        if here is None:
            return
        now = self.now_ns()
        for stream in list(here.values()):
            if stream.kind == "partial" and not stream.fast:
                self._partial(stream, market)
            elif stream.kind == "kline":
                if stream.argument == "1s" or tick // 100 % 2 == 0:
                    self._kline(stream, market, now)
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

    def _kline(self, stream: Stream, market: Market, now: int) -> None:
        interval, offset = stream.argument, EAST_8 if stream.east else 0
        start = floor(now, interval, offset)
        bars = market.bars.klines(interval, None, start, 2, offset)
        if not bars:
            return
        if stream.open_bar_ns and stream.open_bar_ns < start:
            for bar in bars:
                if bar.open_ns == stream.open_bar_ns:
                    self._send_bar(stream, market, bar, True, offset, now)
        elif stream.seen_changes == market.changes:
            return
        stream.seen_changes = market.changes
        stream.open_bar_ns = start
        if bars[-1].open_ns == start:
            self._send_bar(stream, market, bars[-1], False, offset, now)

    def _send_bar(self, stream: Stream, market: Market, bar: Bar, closed: bool, offset: int, now: int) -> None:
        self.send(
            stream,
            lambda unit: dump(payloads.kline_event(market.symbol, bar, stream.argument, closed, offset, now, unit)),
        )

    def _market_wide(self) -> None:
        assert self.engine is not None
        now = self.now_ns()
        for stream in list(self.by_symbol.get("", {}).values()):
            changed = [m for m in self.engine.markets.values() if m.bars.last_time_ns > now - 1_000_000_000]
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
        """Encode once per form, give the frame to every listener."""
        frames: dict[Form, bytes] = {}
        faulty = self.faults.frames_active
        for client in list(stream.listeners):
            frame = frames.get(client.form)
            if frame is None:
                data = encode(client.form.unit)
                if client.form.combined:
                    data = f'{{"stream":"{stream.name}","data":{data}}}'
                frame = frames[client.form] = text_frame(data.encode())
                self.messages += 1
            self.frames += 1
            if faulty:
                self.faults.frame(client, stream.name, stream.symbol, frame)
            else:
                client.write(frame)

    def announce_shutdown(self, clients: Iterable[Client] | None = None) -> int:
        """Send `serverShutdown` to all clients of streams, or to some; return how many were told."""
        told = 0
        for client in list(self.clients.values() if clients is None else clients):
            event = f'{{"e":"serverShutdown","E":{self.now_ns() // client.form.unit}}}'
            if client.is_api:
                event = f'{{"event":{event}}}'
            elif client.form.combined:
                event = f'{{"stream":"!serverShutdown","data":{event}}}'
            client.write(text_frame(event.encode()))
            told += 1
        return told


def dump(body: object) -> str:
    return orjson.dumps(body).decode()
