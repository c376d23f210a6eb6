"""The public topics of spot: `orderbook.{depth}.{symbol}`, `publicTrade.SYMBOL`, `tickers.SYMBOL`, `kline.1.SYMBOL`.

Theory of operation. A book topic keeps its listeners' window, the best `DEPTH` levels a side. At the topic's interval
the window is compared with the market's book: changed, new and removed levels form one delta, whose `u` is one more
than that of the previous message. Each depth counts its own `u`. At depth 1 every message is a snapshot, sent again
with the same `u` after three seconds without a change. Each second the open candle is sent if it has changed, and a
candle that has ended is sent once more as confirmed; the manual does not state whether a candle without trades is sent.

Fault rules use the names of topics. `skip` skips numbers of `u`, `snapshot` sends the whole book between deltas, and
`reset` sends the whole book with `u` = 1, as after a restart of the service.

Source: websocket/public/{orderbook, trade, ticker, kline}.mdx, read 2026-11-27. As recorded (orderbook.500,
2024-12-01), levels that fall out of the window are sent as deleted, and `u` rises by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from ...model.time import SECOND_NS
from ..engine.market import Market, Trade
from ..floor import Floor
from ..wire.candles import CandleFeed
from ..wire.frames import text_frame
from ..wire.topics import Topic, Topics
from . import payloads
from .client import NAME, Client, milliseconds
from .errors import ApiError
from .pairs import Pair, Pairs

BOOK, TRADES, TICKERS, CANDLES = "orderbook", "publicTrade", "tickers", "kline"
PACE = {1: 1, 50: 2, 200: 10, 1000: 20}  # ticks of 10 ms between messages, by depth
TICKER_PACE = 5
CANDLE_PACE = 100
REPEAT_NS = 3 * SECOND_NS
TRADES_A_MESSAGE = 1024
RESTARTED = 1
Side = dict[int, int]  # size by price


@dataclass(slots=True)
class Channel(Topic):
    """One topic. `bids` and `asks` are its listeners' levels; `seen` is the market's state that they know."""

    kind: str = ""
    depth: int = 0
    bids: Side = field(default_factory=dict)
    asks: Side = field(default_factory=dict)
    update: int = 0
    seen: int = -1
    sent_ns: int = 0
    candles: CandleFeed | None = None


class Streams:
    """All public topics of the protocol."""

    def __init__(self, floor: Floor, pairs: Pairs) -> None:
        self.topics: Topics[Client, Channel, None] = Topics(floor.faults, lambda client: None, lambda symbol: None)
        self._floor = floor
        self._pairs = pairs
        self._updates: dict[str, int] = {}  # last numbers of topics without listeners

    # ------------------------------------------------------------------------------------------- subscriptions

    def check(self, name: object) -> str:
        """Return the name of a topic.

        Raises:
            ApiError: there is no such topic.
        """
        if not isinstance(name, str):
            raise ApiError(f"error:handler not found,topic:{name}")
        kind, _, rest = name.partition(".")
        if kind == BOOK:
            depth, _, symbol = rest.partition(".")
            if depth not in map(str, PACE):
                raise ApiError(f"error:handler not found,topic:{name}")
        elif kind == CANDLES:
            interval, _, symbol = rest.partition(".")
            if interval not in payloads.INTERVALS:
                raise ApiError(f"error:handler not found,topic:{name}")
        elif kind in (TRADES, TICKERS):
            symbol = rest
        else:
            raise ApiError(f"error:handler not found,topic:{name}")
        if symbol not in self._pairs.by_symbol:
            raise ApiError(f"Invalid symbol :[{name}]")
        return name

    def subscribe(self, client: Client, name: str) -> None:
        """Subscribe a client to a topic; a book and a ticker begin with a snapshot."""
        channel = self.topics.by_name.get(name)
        if channel is not None and channel.kind == BOOK:
            self._advance(channel)  # so that all listeners of a book have the same state
        channel = self.topics.subscribe(client, name, self._make)
        if channel is None or channel.kind in (TRADES, CANDLES):
            return
        channel.sent_ns = channel.sent_ns or self._floor.clock.monotonic_ns()
        body = self._book(channel, "snapshot") if channel.kind == BOOK else self._ticker(channel)
        self._floor.faults.frame(client, name, channel.symbol, text_frame(body))

    def _make(self, name: str) -> Channel:
        kind, _, rest = name.partition(".")
        if kind == CANDLES:
            interval, _, symbol = rest.partition(".")
            return Channel(name, symbol, kind=kind, candles=CandleFeed(payloads.INTERVALS[interval]))
        if kind != BOOK:
            return Channel(name, rest, kind=kind)
        depth, _, symbol = rest.partition(".")
        channel = Channel(name, symbol, kind=kind, depth=int(depth))
        self._take(channel)
        channel.update = self._updates.get(name, channel.seen) + 1
        self._updates[name] = channel.update
        return channel

    def update_of(self, name: str) -> int:
        """Return the current number of a book topic, with or without listeners."""
        channel = self.topics.by_name.get(name)
        return self._updates.get(name, 1) if channel is None else channel.update

    def listed(self, market: Market) -> None:
        self._pairs.by_symbol[market.symbol] = Pair(market)

    def delisted(self, market: Market) -> None:
        """A symbol was delisted; its topics become silent."""
        del self._pairs.by_symbol[market.symbol]

    # --------------------------------------------------------------------------------------- events of the engine

    def trades(self, market: Market, trades: list[Trade]) -> None:
        channel = self.topics.by_name.get(f"{TRADES}.{market.symbol}")
        if channel is None or market.symbol not in self._pairs.by_symbol:
            return
        pair = self._pairs.find(market.symbol)
        for at in range(0, len(trades), TRADES_A_MESSAGE):
            data = [payloads.trade(pair, made) for made in trades[at : at + TRADES_A_MESSAGE]]
            self._send(channel, self._message(channel, "snapshot", data))

    # ------------------------------------------------------------------------------------------------------ pace

    def tick(self, number: int) -> None:
        """Send due messages; call it every 10 ms with a rising number."""
        for channel in list(self.topics.by_name.values()):
            if channel.symbol not in self._pairs.by_symbol:
                continue
            if channel.kind == BOOK and number % PACE[channel.depth] == 0:
                self._advance(channel)
            elif channel.kind == TICKERS and number % TICKER_PACE == 0:
                self._tell_ticker(channel)
            elif channel.candles is not None and number % CANDLE_PACE == 0:
                self._send_candles(channel, channel.candles)

    def flush(self, market: Market) -> None:
        """Send all pending changes of a book now, at every depth."""
        for channel in self.topics.of(market.symbol):
            if channel.kind == BOOK:
                self._advance(channel)

    def _advance(self, channel: Channel) -> None:
        """Send the changes of a book since the last message, or the whole book if a fault or the depth requires it."""
        faults, symbol = self._floor.faults, channel.symbol
        now_ns = self._floor.clock.monotonic_ns()
        again = faults.restarts(NAME, symbol, channel.name)
        changed = self._take(channel)
        if changed is None and again is None:
            if channel.depth == 1 and now_ns - channel.sent_ns >= REPEAT_NS:
                self._send(channel, self._book(channel, "snapshot"))
            return
        channel.update = RESTARTED if again == "reset" else channel.update + 1 + faults.skip(NAME, symbol)
        self._updates[channel.name] = channel.update
        if again is not None or channel.depth == 1 or changed is None:
            self._send(channel, self._book(channel, "snapshot"))
        else:
            self._send(channel, self._book(channel, "delta", *changed))

    def _take(self, channel: Channel) -> tuple[Side, Side] | None:
        """Update a window to the current market; return the new sizes of its changed levels, or None."""
        market = self._pairs.by_symbol[channel.symbol].market
        if channel.seen == market.update_id:
            return None
        channel.seen = market.update_id
        bids, asks = dict(market.bids.depth(channel.depth)), dict(market.asks.depth(channel.depth))
        changed = _difference(channel.bids, bids), _difference(channel.asks, asks)
        channel.bids, channel.asks = bids, asks
        return changed if any(changed) else None

    def _tell_ticker(self, channel: Channel) -> None:
        market = self._pairs.by_symbol[channel.symbol].market
        if channel.seen != market.bars.last_time_ns:
            channel.seen = market.bars.last_time_ns
            self._send(channel, self._ticker(channel))

    def _send_candles(self, channel: Channel, candles: CandleFeed) -> None:
        market, pair = self._pairs.by_symbol[channel.symbol].market, self._pairs.find(channel.symbol)
        for bar, has_ended in candles.due(market, self._now()):
            data = [payloads.candle_event(pair, bar, candles.interval, has_ended, self._now())]
            self._send(channel, self._message(channel, "snapshot", data))

    # -------------------------------------------------------------------------------------------------- messages

    def _send(self, channel: Channel, body: bytes) -> None:
        channel.sent_ns = self._floor.clock.monotonic_ns()
        self.topics.send(channel, lambda form: body)

    def _book(self, channel: Channel, kind: str, bids: Side | None = None, asks: Side | None = None) -> bytes:
        pair = self._pairs.find(channel.symbol)
        data = {
            "s": channel.symbol,
            "b": levels(pair, channel.bids if bids is None else bids),
            "a": levels(pair, channel.asks if asks is None else asks),
            "u": channel.update,
            "seq": channel.seen,
        }
        return self._message(channel, kind, data, cts=milliseconds(self._now()))

    def _ticker(self, channel: Channel) -> bytes:
        pair, market = self._pairs.find(channel.symbol), self._pairs.by_symbol[channel.symbol].market
        return self._message(
            channel, "snapshot", payloads.ticker_event(pair, self._now()), before={"cs": market.update_id}
        )

    def _message(
        self, channel: Channel, kind: str, data: Any, before: dict[str, Any] | None = None, **after: Any
    ) -> bytes:
        head = {"topic": channel.name, "ts": milliseconds(self._now()), "type": kind}
        return orjson.dumps({**head, **(before or {}), "data": data, **after})

    def _now(self) -> int:
        return self._floor.clock.now_ns()


def _difference(before: Side, after: Side) -> Side:
    """Return the new sizes of changed levels, 0 for removed ones."""
    changed = {price: size for price, size in after.items() if before.get(price) != size}
    return changed | {price: 0 for price in before if price not in after}


def levels(pair: Pair, side: Side) -> list[list[str]]:
    """Write levels in their order."""
    return [[pair.price(price), pair.size(size)] for price, size in side.items()]
