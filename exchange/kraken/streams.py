"""The channels of market data of websocket v2: book, level3, trade, ticker, ohlc, instrument; status and heartbeat.

The topic of a book is `book-DEPTH:PAIR` or `level3-DEPTH:PAIR`, of a candle `ohlc-MINUTES:PAIR`, of a ticker
`ticker-TRIGGER:PAIR`; the others are `trade:PAIR` and `instrument`. Fault rules use these names, and `heartbeat` and
`status`.

Source: book, trade, ticker, ohlc, instrument, status, heartbeat (websocket v2), read 2026-11-27; level3, 2026-11-28.
The exchange sends the changes of `level3` at once; here they wait for the next tick, as those of `book`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from ..engine.candles import floor
from ..engine.market import LevelChanges, Market, Trade
from ..engine.rules import Rules
from ..floor import Floor
from ..wire.frames import text_frame
from ..wire.topics import Topic, Topics
from . import order_window, payloads
from .book_window import DEPTHS, BookWindow, checksum, write
from .client import NAME, Client, rfc3339
from .errors import ApiError
from .names import Pair, Pairs
from .order_window import OrderEvent, OrderWindow

TRADES_SHOWN = 50
CANDLES_SHOWN = 100
TRIGGERS = ("trades", "bbo")


@dataclass(slots=True)
class Channel(Topic):
    """One channel of one pair; the symbol is "" for `instrument`."""

    kind: str = ""
    argument: str = ""  # the depth, the minutes or the trigger
    bids: BookWindow | None = None
    asks: BookWindow | None = None
    orders: OrderWindow | None = None


class Streams:
    """All public channels of the protocol."""

    def __init__(self, exchange: Floor, pairs: Pairs) -> None:
        self.topics: Topics[Client, Channel, None] = Topics(exchange.faults, lambda client: None, self._watch)
        self.clients: dict[int, Client] = {}
        self._floor = exchange
        self._pairs = pairs
        self._changes: dict[str, LevelChanges] = {}
        self._decimals: dict[str, tuple[int, int]] = {}  # of prices and sizes, as listeners have them
        self._due: dict[str, Channel] = {}  # tickers and candles
        self._windows: dict[str, OrderWindow] = {}  # by topic, while it has listeners
        self._announced: dict[str, Rules] = {}
        self._system = "online"

    # ------------------------------------------------------------------------------------------- subscriptions

    def read(self, params: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """Return the topics of a request for a public channel, each with the content of its acknowledgement.

        Raises:
            ApiError: an unknown channel, pair or parameter.
        """
        kind = params.get("channel")
        if kind == "instrument":
            return [("instrument", {"channel": kind})]
        if kind not in payloads.CHANNELS:
            raise ApiError("Subscription name invalid")
        names = params.get("symbol")
        if not isinstance(names, list) or not names:
            raise ApiError("Pair field must be an array")
        argument, shown = self._argument(kind, params)
        head = f"{kind}-{argument}" if argument else kind
        return [
            (f"{head}:{self._pairs.websocket(name).name}", {"channel": kind, **shown, "symbol": name})
            for name in dict.fromkeys(name if isinstance(name, str) else repr(name) for name in names)
        ]

    @staticmethod
    def _argument(kind: str, params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        if kind in ("book", "level3"):
            depths = DEPTHS if kind == "book" else order_window.DEPTHS
            depth = params.get("depth", depths[0])
            if depth not in depths or isinstance(depth, float):
                raise ApiError("Subscription depth not supported")
            return str(depth), {"depth": depth}
        if kind == "ohlc":
            minutes = params.get("interval", 1)
            if minutes not in payloads.INTERVALS or isinstance(minutes, float | bool):
                raise ApiError("Subscription ohlc interval not supported")
            return str(minutes), {"interval": minutes}
        if kind == "ticker":
            trigger = params.get("event_trigger", TRIGGERS[0])
            if trigger not in TRIGGERS:
                raise ApiError("Subscription event_trigger not supported")
            return str(trigger), {"event_trigger": trigger}
        return "", {}

    def has_level3(self, client: Client, name: object) -> bool:
        """Return whether a client has order-level messages of a pair, at any depth."""
        return any(stream.startswith("level3-") and stream.partition(":")[2] == name for stream in client.streams)

    def uses(self, token: str) -> bool:
        """Return whether an order-level subscription uses the token."""
        return any(
            opened == token and name in client.streams
            for client in self.clients.values()
            for name, opened in client.tokens.items()
        )

    def subscribe(self, client: Client, name: str, snapshot: bool, token: str | None = None) -> None:
        """Subscribe a client to a channel, with a snapshot if requested."""
        client.subscribed = True
        if token is not None:
            client.tokens[name] = token
        symbol = self._symbol(name)
        if symbol:
            self._flush_books(self._pairs.by_symbol[symbol])  # so that all listeners of a book have the same state
        channel = self.topics.subscribe(client, name, self._make)
        if channel is not None and snapshot:
            body = self._snapshot(channel)
            if body is not None:
                self._floor.faults.frame(client, name, channel.symbol, text_frame(body))

    def _symbol(self, name: str) -> str:
        symbol = self._pairs.symbol(name.partition(":")[2])
        return symbol or ""

    def _make(self, name: str) -> Channel:
        head, _, _ = name.partition(":")
        kind, _, argument = head.partition("-")
        channel = Channel(name, self._symbol(name), kind=kind, argument=argument)
        if kind in ("book", "level3"):
            self._open_windows(channel, self._floor.engine.markets[channel.symbol])
        return channel

    @staticmethod
    def _open_windows(channel: Channel, market: Market) -> None:
        depth = int(channel.argument)
        if channel.kind == "level3":
            channel.orders = OrderWindow(market, depth)
            return
        channel.bids, channel.asks = BookWindow(market.bids, depth), BookWindow(market.asks, depth)

    def _snapshot(self, channel: Channel) -> bytes | None:
        if channel.kind == "instrument":
            assets, listed = payloads.instruments(list(self._pairs.by_symbol.values()))
            return _message("instrument", "snapshot", {"assets": assets, "pairs": listed})
        pair = self._pairs.by_symbol[channel.symbol]
        market = pair.market
        if (book := self._whole(pair, channel)) is not None:
            return book
        if channel.kind == "trade":
            return self._trades(pair, "snapshot", list(market.trades)[-TRADES_SHOWN:])
        if channel.kind == "ticker":
            return _message("ticker", "snapshot", [payloads.ticker(pair, self._now())])
        return self._candles(channel, "snapshot", CANDLES_SHOWN)

    def listed(self, market: Market) -> None:
        """A symbol was listed, perhaps again: listeners of its earlier books get the new one."""
        pair = self._pairs.add(market)
        self._changes[market.symbol] = market.level_changes()
        self._decimals[market.symbol] = pair.decimals
        self._announced[market.symbol] = market.rules
        self._announce_instruments([pair])
        for channel in self.topics.of(market.symbol):
            if channel.kind in ("book", "level3"):
                self._open_windows(channel, market)
                body = self._whole(pair, channel)
                self.topics.send(channel, lambda form, body=body: body)  # type: ignore[misc]

    def delisted(self, market: Market) -> None:
        """A symbol was delisted; its channels become silent."""
        pair = self._pairs.remove(market)
        del self._changes[market.symbol], self._announced[market.symbol], self._decimals[market.symbol]
        self._announce_instruments([pair], "delisted")

    def _watch(self, symbol: str) -> None:
        """Begin or end what the topics of a symbol need, after a change of the topics."""
        for name in [name for name in self._windows if name not in self.topics.by_name]:
            self._windows.pop(name).close()
        for channel in self.topics.of(symbol):
            if channel.orders is not None:
                self._windows[channel.name] = channel.orders
        market = self._floor.engine.markets.get(symbol)
        if market is not None:
            if any(channel.argument == "bbo" for channel in self.topics.of(symbol)):
                market.top_watchers.add(NAME)
            else:
                market.top_watchers.discard(NAME)

    # --------------------------------------------------------------------------------------- events of the engine

    def trades(self, market: Market, trades: list[Trade]) -> None:
        """Send trades at once; tickers and candles follow at the next tick."""
        pair = self._pairs.by_symbol.get(market.symbol)
        for channel in self.topics.of(market.symbol) if pair is not None else ():
            if channel.kind == "trade" and pair is not None:
                body = self._trades(pair, "update", trades)
                self.topics.send(channel, lambda form, body=body: body)  # type: ignore[misc]
            elif channel.kind == "ohlc" or channel.argument == "trades":
                self._due[channel.name] = channel

    def top(self, market: Market) -> None:
        for channel in self.topics.of(market.symbol):
            if channel.argument == "bbo":
                self._due[channel.name] = channel

    # ------------------------------------------------------------------------------------------------------ pace

    def tick(self, number: int) -> None:
        """Send due messages; call it every 10 ms with a rising number."""
        for pair in self._pairs.by_symbol.values():
            self._flush_books(pair)
        due, self._due = self._due, {}
        for channel in due.values():
            self._send_due(channel)
        if number % 10 == 0:
            self._compare_rules()
        if number % 100 == 0:
            self._heartbeats()

    def flush(self, market: Market) -> None:
        """Send all pending changes of a book now."""
        self._flush_books(self._pairs.by_symbol[market.symbol])

    def _flush_books(self, pair: Pair) -> None:
        market = pair.market
        taken = self._changes[market.symbol].take()
        rewritten = self._decimals[market.symbol] != pair.decimals  # the checksum of earlier levels has changed
        if taken is None and not rewritten:
            return
        self._decimals[market.symbol] = pair.decimals
        _, _, bids, asks = taken or (0, 0, {}, {})
        lost = self._floor.faults.skip(NAME, market.symbol)  # the feed has no ids to skip, so a message is left out
        for channel in self.topics.of(market.symbol):
            body: bytes | None = None
            if channel.orders is not None:
                events = channel.orders.advance()
                body = self._orders(pair, "update", *events) if any(events) else None
            elif channel.bids is not None and channel.asks is not None:
                changed = channel.bids.advance(bids), channel.asks.advance(asks)
                body = self._book(pair, "update", *changed) if any(changed) else None
            if rewritten:
                body = self._whole(pair, channel)
            if body is not None and (rewritten or not lost):
                self.topics.send(channel, lambda form, body=body: body)  # type: ignore[misc]

    def _send_due(self, channel: Channel) -> None:
        pair = self._pairs.by_symbol.get(channel.symbol)
        if pair is None or not channel.listeners:
            return
        if channel.kind == "ticker":
            body = _message("ticker", "update", [payloads.ticker(pair, self._now())])
        else:
            body = self._candles(channel, "update", 1)
        self.topics.send(channel, lambda form: body)

    def _compare_rules(self) -> None:
        """Announce changed trading rules and states."""
        changed = []
        for symbol, pair in self._pairs.by_symbol.items():
            if pair.market.rules is not self._announced[symbol]:
                self._announced[symbol] = pair.market.rules
                changed.append(pair)
        if not changed:
            return
        self._announce_instruments(changed)
        system = payloads.system_status(self._pairs)
        if system != self._system:
            self._system = system
            for client in self.clients.values():
                self.greet(client)

    def _announce_instruments(self, pairs: list[Pair], status: str | None = None) -> None:
        channel = self.topics.by_name.get("instrument")
        if channel is not None:
            assets, listed = payloads.instruments(pairs, status)
            body = _message("instrument", "update", {"assets": assets, "pairs": listed})
            self.topics.send(channel, lambda form: body)

    def _heartbeats(self) -> None:
        """Send a heartbeat to every client without another message for a second."""
        now = self._floor.clock.monotonic_ns()
        beat = text_frame(b'{"channel":"heartbeat"}')
        for client in list(self.clients.values()):
            if client.subscribed:
                client.mark_active(now)  # a connection with a subscription is not idle
                if client.sent_frames == client.sent_before:
                    self._floor.faults.frame(client, "heartbeat", None, beat)
                client.sent_before = client.sent_frames

    def greet(self, client: Client) -> None:
        """Send the exchange's status."""
        status = {"system": payloads.system_status(self._pairs), "api_version": "v2"}
        data = [{**status, "connection_id": client.number, "version": "2.0.10"}]
        self._floor.faults.frame(client, "status", None, text_frame(_message("status", "update", data)))

    # -------------------------------------------------------------------------------------------------- messages

    def _book(self, pair: Pair, kind: str, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> bytes:
        market = pair.market
        proof = checksum(pair, market.asks, market.bids)
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{pair.name}","bids":{write(pair, bids)},'
            f'"asks":{write(pair, asks)},"checksum":{proof},"timestamp":"{rfc3339(self._now())}"}}]}}'
        ).encode()

    def _orders(self, pair: Pair, kind: str, bids: list[OrderEvent], asks: list[OrderEvent]) -> bytes:
        written = order_window.write(pair, bids), order_window.write(pair, asks)
        return (
            f'{{"channel":"level3","type":"{kind}","data":[{{"symbol":"{pair.name}","bids":{written[0]},'
            f'"asks":{written[1]},"checksum":{order_window.checksum(pair)},"timestamp":"{rfc3339(self._now())}"}}]}}'
        ).encode()

    def _whole(self, pair: Pair, channel: Channel) -> bytes | None:
        """Return a whole book for the listeners of a channel of books; None: it is another channel."""
        if channel.orders is not None:
            return self._orders(pair, "snapshot", *channel.orders.whole())
        if channel.bids is None or channel.asks is None:
            return None
        return self._book(pair, "snapshot", channel.bids.levels(), channel.asks.levels())

    @staticmethod
    def _trades(pair: Pair, kind: str, trades: list[Trade]) -> bytes:
        return _message("trade", kind, [payloads.trade(pair, trade) for trade in trades])

    def _candles(self, channel: Channel, kind: str, count: int) -> bytes:
        pair, minutes, now = self._pairs.by_symbol[channel.symbol], int(channel.argument), self._now()
        interval = payloads.INTERVALS[minutes]
        bars = pair.market.bars.klines(interval, None, floor(now, interval), count)
        candles = [payloads.candle(pair, bar, minutes) for bar in bars]
        return orjson.dumps({"channel": "ohlc", "type": kind, "timestamp": rfc3339(now), "data": candles})

    def _now(self) -> int:
        return self._floor.clock.now_ns()


def _message(channel: str, kind: str, data: Any) -> bytes:
    return orjson.dumps({"channel": channel, "type": kind, "data": data})
