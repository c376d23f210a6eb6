"""The public topics of spot: `market.$symbol.mbp.$levels`, `.depth.step0`, `.trade.detail` and `.kline.$period`.

Theory of operation. An `mbp` topic keeps its listeners' window, the best `levels` a side. At the topic's interval the
window is compared with the market's book: changed, new and removed levels form one message, whose `prevSeqNum` is the
`seqNum` of the message before. `mbp.150` and `mbp.400` send a message with empty sides if nothing has changed; `mbp.5`
and `mbp.20` send only what has changed, and only the sides that have. `requested` is the whole window at the number of
the last message: pending changes are sent first. `depth.step0` is the whole book once a second.

Fault rules use the names of topics. `skip` skips numbers, as if messages were lost.

Source: public_websocket_api.md (mbp.$levels, depth.$type, trade.detail, kline.$period), read 2026-11-28. As recorded
(2021-04-17): a subscription to `trade.detail` begins with the last trade, a message has its newest trade first, and
depth.step0 has 150 levels. The form of a requested book is that of the older manual. Guesses, because the manual is
silent: numbers rise by one with each message, and every pair has mbp.20.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from ..engine.market import Market, Trade
from ..floor import Floor
from ..wire.candles import CandleFeed
from ..wire.frames import text_frame
from ..wire.topics import Topic, Topics
from . import payloads
from .client import NAME, Client, milliseconds
from .errors import ApiError
from .pairs import Pair, Pairs, double

MBP, WHOLE, TRADES, CANDLES = "mbp", "depth.step0", "trade.detail", "kline"
PACE = {5: 1, 20: 1, 150: 10, 400: 10}  # ticks of 10 ms between messages, by levels
BLANK = (150, 400)  # levels of topics that also send messages without changes
REQUESTED = (5, 20, 150)  # levels of books on request
WHOLE_PACE, CANDLE_PACE = 100, 100
LEVELS = 150
TRADES_A_MESSAGE = 1024
Side = dict[int, int]  # size by price


def refusal(what: str, topic: object) -> ApiError:
    return ApiError("bad-request", f"{what} {topic}")


def book_side(side: Side) -> list[list[orjson.Fragment]]:
    """Write levels in their order."""
    return [[double(price), double(size)] for price, size in side.items()]


@dataclass(slots=True)
class Channel(Topic):
    """One topic. `bids` and `asks` are its listeners' levels; `seen` is the market's state that they know."""

    kind: str = ""
    pair: Pair = field(kw_only=True)
    levels: int = 0
    bids: Side = field(default_factory=dict)
    asks: Side = field(default_factory=dict)
    number: int = 0
    seen: int = -1
    candles: CandleFeed | None = None


class Streams:
    """All public topics of the protocol."""

    def __init__(self, floor: Floor, pairs: Pairs) -> None:
        self.topics: Topics[Client, Channel, None] = Topics(floor.faults, lambda client: None, lambda symbol: None)
        self._floor = floor
        self._pairs = pairs
        self._numbers: dict[str, int] = {}  # last numbers of topics without listeners

    # ------------------------------------------------------------------------------------------- subscriptions

    def check(self, name: object, feed: bool) -> tuple[Pair, str]:
        """Return the pair and the rest of a topic's name. `feed`: the socket has changes of books, and only those.

        Raises:
            ApiError: the socket has no such topic.
        """
        parts = name.split(".", 2) if isinstance(name, str) else []
        if len(parts) != 3 or parts[0] != "market":
            raise refusal("invalid topic", name)
        pair, topic = self._pairs.by_symbol.get(parts[1]), parts[2]
        if pair is None:
            raise refusal("invalid symbol", parts[1])
        kind, _, rest = topic.partition(".")
        is_change = kind == MBP and rest in map(str, PACE)
        is_other = topic in (WHOLE, TRADES) or (kind == CANDLES and rest in payloads.INTERVALS)
        if not (is_change if feed else is_other):
            raise refusal("invalid topic", name)
        return pair, topic

    def subscribe(self, client: Client, name: str) -> None:
        """Subscribe a client to a topic."""
        channel = self.topics.by_name.get(name)
        if channel is not None and channel.kind == MBP:
            self._advance(channel, blank=False)  # so that all listeners have the same state
        channel = self.topics.subscribe(client, name, self._make)
        if channel is None:
            return
        body = None
        if channel.kind == WHOLE:
            body = self._whole(channel)
        elif channel.kind == TRADES and channel.pair.market.trades:
            body = self._message(channel, payloads.trade_tick([channel.pair.market.trades[-1]]))
        if body is not None:
            self._floor.faults.frame(client, name, channel.symbol, text_frame(body))

    def _make(self, name: str) -> Channel:
        _, symbol, topic = name.split(".", 2)
        pair = self._pairs.by_symbol[symbol]
        kind, _, rest = topic.partition(".")
        if kind == CANDLES:
            return Channel(name, pair.market.symbol, kind=kind, pair=pair, candles=CandleFeed(payloads.INTERVALS[rest]))
        if kind != MBP:
            return Channel(name, pair.market.symbol, kind=topic, pair=pair)
        channel = Channel(name, pair.market.symbol, kind=kind, pair=pair, levels=int(rest))
        self._take(channel)
        channel.number = max(self._numbers.get(name, 0), channel.seen)
        self._numbers[name] = channel.number
        return channel

    def requested(self, name: str) -> dict[str, Any]:
        """Return the whole book of an `mbp` topic, for an answer to `req`."""
        channel = self.topics.by_name.get(name)
        if channel is None:
            channel = self._make(name)
        else:
            self._advance(channel, blank=False)
        return {"seqNum": channel.number, "bids": book_side(channel.bids), "asks": book_side(channel.asks)}

    def listed(self, market: Market) -> None:
        self._pairs.list(market)

    def delisted(self, market: Market) -> None:
        """A symbol was delisted; its topics become silent."""
        self._pairs.delist(market)

    # --------------------------------------------------------------------------------------- events of the engine

    def trades(self, market: Market, trades: list[Trade]) -> None:
        pair = self._pairs.of(market.symbol)
        channel = None if pair is None else self.topics.by_name.get(f"market.{pair.symbol}.{TRADES}")
        if channel is None:
            return
        for at in range(0, len(trades), TRADES_A_MESSAGE):
            self._send(channel, self._message(channel, payloads.trade_tick(trades[at : at + TRADES_A_MESSAGE])))

    # ------------------------------------------------------------------------------------------------------ pace

    def tick(self, number: int) -> None:
        """Send due messages; call it every 10 ms with a rising number."""
        for channel in list(self.topics.by_name.values()):
            if self._pairs.of(channel.symbol) is None:
                continue
            if channel.kind == MBP and number % PACE[channel.levels] == 0:
                self._advance(channel, blank=channel.levels in BLANK)
            elif channel.kind == WHOLE and number % WHOLE_PACE == 0:
                self._send(channel, self._whole(channel))
            elif channel.candles is not None and number % CANDLE_PACE == 0:
                for bar, _ in channel.candles.due(channel.pair.market, self._now()):
                    self._send(channel, self._message(channel, payloads.candle(bar)))

    def flush(self, market: Market) -> None:
        """Send all pending changes of a book now."""
        for channel in self.topics.of(market.symbol):
            if channel.kind == MBP:
                self._advance(channel, blank=False)

    def _advance(self, channel: Channel, blank: bool) -> None:
        """Send the changes of a book since the last message; `blank`: also a message without changes."""
        bids, asks = self._take(channel)
        if not blank and not bids and not asks:
            return
        previous = channel.number + self._floor.faults.skip(NAME, channel.symbol)
        channel.number = self._numbers[channel.name] = previous + 1
        tick: dict[str, Any] = {"seqNum": channel.number, "prevSeqNum": previous}
        for name, side in (("asks", asks), ("bids", bids)):
            if side or channel.levels in BLANK:
                tick[name] = book_side(side)
        self._send(channel, self._message(channel, tick))

    def _take(self, channel: Channel) -> tuple[Side, Side]:
        """Update a window to the current market; return the new sizes of its changed levels."""
        market = channel.pair.market
        if channel.seen == market.update_id:
            return {}, {}
        channel.seen = market.update_id
        bids, asks = dict(market.bids.depth(channel.levels)), dict(market.asks.depth(channel.levels))
        changed = _difference(channel.bids, bids), _difference(channel.asks, asks)
        channel.bids, channel.asks = bids, asks
        return changed

    # -------------------------------------------------------------------------------------------------- messages

    def _whole(self, channel: Channel) -> bytes:
        return self._message(channel, whole_book(channel.pair.market, LEVELS, self._now()))

    def _send(self, channel: Channel, body: bytes) -> None:
        self.topics.send(channel, lambda form: body)

    def _message(self, channel: Channel, tick: dict[str, Any]) -> bytes:
        return orjson.dumps({"ch": channel.name, "ts": milliseconds(self._now()), "tick": tick})

    def _now(self) -> int:
        return self._floor.clock.now_ns()


def whole_book(market: Market, levels: int, now_ns: int) -> dict[str, Any]:
    """The best levels of a book, as depth.step0 and /market/depth write them."""
    bids, asks = dict(market.bids.depth(levels)), dict(market.asks.depth(levels))
    return {
        "bids": book_side(bids),
        "asks": book_side(asks),
        "version": market.update_id,
        "ts": milliseconds(now_ns),
    }


def _difference(before: Side, after: Side) -> Side:
    """Return the new sizes of changed levels, 0 for removed ones."""
    changed = {price: size for price, size in after.items() if before.get(price) != size}
    return changed | {price: 0 for price in before if price not in after}
