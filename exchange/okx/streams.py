"""The public channels: books, trades, tickers, candles, instruments.

Topics are `books:BTC-USDT`, `candle1m:BTC-USDT` and `instruments:SPOT`.

Theory of operation. A listener of `books` gets a whole book of 400 levels a side, then every 100 ms the changed levels;
each message has the number of the previous message. All listeners of a book have the same number. The manual does not
state whether a level that leaves the best 400 is removed by a message; here it is.

Candles are on the socket `business`, and on no other. Each second the open candle is sent if it has changed, and a
candle that has ended is sent once more as complete. The manual does not state whether a candle without trades is sent;
here it is.

Source: order/book/trading-market-data-ws-{order-book, trades, tickers, candlesticks}-channel.md,
public/data/websocket-instruments-channel.md, read 2026-11-27.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from ...model.time import SECOND_NS
from ..engine.market import Aggregate, LevelChanges, Market
from ..engine.rules import Rules
from ..floor import Floor
from ..wire.candles import CandleFeed
from ..wire.frames import text_frame
from ..wire.topics import Topic, Topics
from . import payloads
from .client import NAME, Client

DEPTH = 400
STILL_NS = 60 * SECOND_NS  # after this time without a change an empty message is sent
SET_BACK_TO = 3
FIRST_CODE = 1_000_000
CANDLE_PACE = 100  # ticks of 10 ms
CHANNELS = ("books", "trades", "tickers")
CANDLE = "candle"  # before the name of the interval, in the name of a channel
INSTRUMENTS = "instruments:SPOT"


@dataclass(slots=True)
class Channel(Topic):
    """One channel of one instrument; the symbol is "" for `instruments`."""

    kind: str = ""
    due: bool = False  # a changed ticker
    candles: CandleFeed | None = None


@dataclass(slots=True)
class Feed:
    """The listeners' levels of one book, and their number: the engine's number less `base`."""

    market: Market
    changes: LevelChanges
    rules: Rules  # as last sent
    base: int = 0
    number: int = 0
    sent_ns: int = 0
    bids: payloads.Held = field(default_factory=dict)
    asks: payloads.Held = field(default_factory=dict)

    def look(self) -> tuple[payloads.Held, payloads.Held]:
        """Update to the current book; return the changed levels, with size 0 for removed ones."""
        changed = []
        for name, side in (("bids", self.market.bids), ("asks", self.market.asks)):
            held, now = getattr(self, name), payloads.depth(side, DEPTH)
            gone = {price: (0, 0) for price in held if price not in now}
            changed.append(gone | {price: level for price, level in now.items() if held.get(price) != level})
            setattr(self, name, now)
        return changed[0], changed[1]

    def set_back(self) -> None:
        """Restart the numbers, unless they are still small."""
        if self.number > SET_BACK_TO:
            self.base = self.market.update_id - SET_BACK_TO


class Streams:
    """All public channels of the protocol."""

    def __init__(self, exchange: Floor) -> None:
        self.topics: Topics[Client, Channel, None] = Topics(exchange.faults, lambda client: None, self._watch)
        self.markets: dict[str, Market] = {}  # by instId
        self._feeds: dict[str, Feed] = {}  # by the engine's symbol
        self._codes: dict[str, int] = {}
        self._floor = exchange

    def number(self, market: Market) -> int:
        """Return the seqId of the current book."""
        return market.update_id - self._feeds[market.symbol].base

    def code(self, market: Market) -> int:
        """The instIdCode of an instrument."""
        return self._codes.setdefault(market.symbol, FIRST_CODE + len(self._codes))

    def instrument(self, market: Market) -> dict[str, Any]:
        return payloads.instrument(market.rules, self.code(market))

    # ------------------------------------------------------------------------------------------- subscriptions

    def find(self, arg: Any, is_business: bool) -> str | None:
        """Return the topic of a request's argument; None if the public or the business socket has none."""
        if not isinstance(arg, dict):
            return None
        channel, inst_id = arg.get("channel"), arg.get("instId")
        if is_business:
            exists = isinstance(channel, str) and channel.removeprefix(CANDLE) in payloads.BARS
            exists = exists and str(channel).startswith(CANDLE)
        elif channel == "instruments":
            return INSTRUMENTS if arg.get("instType") == "SPOT" else None
        else:
            exists = channel in CHANNELS
        known = exists and isinstance(inst_id, str) and inst_id in self.markets
        return f"{channel}:{inst_id}" if known else None

    def subscribe(self, client: Client, name: str) -> None:
        """Subscribe a client to a channel, which begins with a whole book or ticker; an existing subscription
        continues."""
        if name in client.streams:
            return
        kind, _, inst_id = name.partition(":")
        market = self.markets.get(inst_id)
        if market is not None:
            self._flush_book(self._feeds[market.symbol])  # so that all listeners of a book have the same state
        channel = self.topics.subscribe(client, name, self._make)
        if channel is None or market is None:
            return
        if kind == "books":
            self._floor.faults.frame(client, name, channel.symbol, text_frame(self._whole(self._feeds[market.symbol])))
        elif kind == "tickers":
            self._floor.faults.frame(client, name, channel.symbol, text_frame(self._ticker(market)))

    def _make(self, name: str) -> Channel:
        kind, _, inst_id = name.partition(":")
        market = self.markets.get(inst_id)
        candles = CandleFeed(*payloads.BARS[kind.removeprefix(CANDLE)]) if kind.startswith(CANDLE) else None
        return Channel(name, market.symbol if market is not None else "", kind=kind, candles=candles)

    def listed(self, market: Market) -> None:
        """A symbol was listed."""
        self.markets[payloads.inst_id(market.rules)] = market
        feed = self._feeds[market.symbol] = Feed(market, market.level_changes(), market.rules)
        feed.number, feed.sent_ns = market.update_id, self._now()
        feed.look()
        self._tell_instruments([market])

    def delisted(self, market: Market) -> None:
        """A symbol was delisted; its channels become silent."""
        del self.markets[payloads.inst_id(market.rules)], self._feeds[market.symbol]

    def _watch(self, symbol: str) -> None:
        market = self._floor.engine.markets.get(symbol)
        if market is not None:
            if any(channel.kind == "tickers" for channel in self.topics.of(symbol)):
                market.top_watchers.add(NAME)
            else:
                market.top_watchers.discard(NAME)

    # --------------------------------------------------------------------------------------- events of the engine

    def trades(self, market: Market, aggregates: list[Aggregate]) -> None:
        """Send trades at once, one message per price at which an order traded."""
        if market.symbol not in self._feeds:
            return
        for channel in self.topics.of(market.symbol):
            if channel.kind == "tickers":
                channel.due = True
            elif channel.kind == "trades":
                for made in aggregates:
                    row = payloads.trade(market, made.last, made.price, made.size, made.buyer_is_maker, made.time_ns)
                    row |= {"count": str(made.last - made.first + 1), "seqId": self.number(market)}
                    self._send(channel, orjson.dumps({"arg": _arg("trades", market), "data": [row]}))

    def top(self, market: Market) -> None:
        for channel in self.topics.of(market.symbol):
            if channel.kind == "tickers":
                channel.due = True

    # ------------------------------------------------------------------------------------------------------ pace

    def tick(self, number: int) -> None:
        """Send due messages; call it every 10 ms with a rising number."""
        if number % 10:
            return
        for feed in self._feeds.values():
            self._flush_book(feed)
            for channel in self.topics.of(feed.market.symbol):
                if channel.due:
                    channel.due = False
                    self._send(channel, self._ticker(feed.market))
                if channel.candles is not None and number % CANDLE_PACE == 0:
                    self._send_candles(channel, channel.candles, feed.market)
        changed = [feed for feed in self._feeds.values() if feed.market.rules is not feed.rules]
        for feed in changed:
            feed.rules = feed.market.rules
        self._tell_instruments([feed.market for feed in changed])

    def flush(self, market: Market) -> None:
        """Send all pending changes of a book now."""
        self._flush_book(self._feeds[market.symbol])

    def _flush_book(self, feed: Feed) -> None:
        symbol, faults = feed.market.symbol, self._floor.faults
        channel = self.topics.by_name.get(f"books:{payloads.inst_id(feed.market.rules)}")
        if feed.changes.take() is None:
            if channel is not None and self._now() - feed.sent_ns >= STILL_NS:
                self._update(feed, channel, feed.number)
            return
        changed = feed.look()
        if channel is None:
            feed.number, feed.sent_ns = self.number(feed.market), self._now()
            return
        if faults.is_still(NAME, symbol, channel.name):
            self._update(feed, channel, feed.number)
        restart, lost = faults.restarts(NAME, symbol, channel.name), faults.skip(NAME, symbol)
        if restart == "reset":
            feed.set_back()
        if restart == "snapshot":
            feed.number, feed.sent_ns = self.number(feed.market), self._now()
            self._send(channel, self._whole(feed))
        elif lost:  # the feed has no ids to skip, so a message is left out
            feed.number = self.number(feed.market)
        else:
            self._update(feed, channel, self.number(feed.market), *changed)

    def _update(
        self,
        feed: Feed,
        channel: Channel,
        number: int,
        bids: payloads.Held | None = None,
        asks: payloads.Held | None = None,
    ) -> None:
        """Send the changes up to `number`."""
        body = self._book(feed, "update", bids or {}, asks or {}, feed.number, number)
        feed.number, feed.sent_ns = number, self._now()
        self._send(channel, body)

    # -------------------------------------------------------------------------------------------------- messages

    def _send(self, channel: Channel, body: bytes) -> None:
        self.topics.send(channel, lambda form: body)

    def _whole(self, feed: Feed) -> bytes:
        return self._book(feed, "snapshot", feed.bids, feed.asks, -1, feed.number)

    def _book(
        self, feed: Feed, action: str, bids: payloads.Held, asks: payloads.Held, previous: int, number: int
    ) -> bytes:
        data = {
            "asks": payloads.levels(asks),
            "bids": payloads.levels(bids),
            "ts": payloads.ms(self._now()),
            "checksum": 0,
            "prevSeqId": previous,
            "seqId": number,
        }
        return orjson.dumps({"arg": _arg("books", feed.market), "action": action, "data": [data]})

    def _ticker(self, market: Market) -> bytes:
        return orjson.dumps({"arg": _arg("tickers", market), "data": [payloads.ticker(market, self._now())]})

    def _send_candles(self, channel: Channel, candles: CandleFeed, market: Market) -> None:
        for bar, is_complete in candles.due(market, self._now()):
            row = payloads.candle(bar, is_complete)
            self._send(channel, orjson.dumps({"arg": _arg(channel.kind, market), "data": [row]}))

    def _tell_instruments(self, markets: list[Market]) -> None:
        channel = self.topics.by_name.get(INSTRUMENTS)
        if channel is not None and markets:
            data = [self.instrument(market) for market in markets]
            self._send(channel, orjson.dumps({"arg": {"channel": "instruments", "instType": "SPOT"}, "data": data}))

    def _now(self) -> int:
        return self._floor.clock.now_ns()


def _arg(channel: str, market: Market) -> dict[str, str]:
    return {"channel": channel, "instId": payloads.inst_id(market.rules)}
