"""The channels of market data: `level2`, `level2_batch`, `full`, `matches`, `heartbeat`, `ticker` and `status`.

Topics are `level2_batch:BTC-USDT` and `status`.

Theory of operation. A listener of a book gets the entire book, then the changed levels, at once or every 50 ms; the
messages have no number. All listeners of a book have the same state. A listener of `matches` first gets the last trade.
Each second `heartbeat` has the numbers of the last message and the last trade of its product.

Numbers are those of the messages of `full` (`full.py`).

Fault rules use the names of topics. `snapshot` and `reset` send the entire book between changes. `skip` has no effect:
the exchange guarantees the delivery of `level2`.

Source: ws, Heartbeat Channel, Status Channel, Matches Channel, Ticker Channel, Level2 Channel, Level2 Batch Channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from ..engine.market import LevelChanges, Market, Trade
from ..engine.rules import Rules
from ..floor import Floor
from ..wire.frames import text_frame
from ..wire.numbers import text
from ..wire.topics import Topic, Topics
from . import payloads
from .client import NAME, Client, stamp
from .full import CHANNEL as FULL
from .full import Body, FullFeed

PACE = {"level2": 1, "level2_batch": 5}  # ticks of 10 ms between messages
HEARTBEAT_PACE = 100
STATUS_PACE = 500  # "on a preset interval": our figure
OTHER_NAMES = {"level2_50": "level2_batch", "ticker_1000": "ticker"}  # old names; this exchange batches no tickers
STATUS = "status"
CHANNELS = (*PACE, FULL, "matches", "heartbeat", "ticker")
SIGNED = frozenset({"level2", FULL})  # channels that need a signed subscription


@dataclass(slots=True)
class Channel(Topic):
    """One channel of one product; the symbol is "" for `status`."""

    kind: str = ""
    changes: LevelChanges | None = None  # what listeners of a book do not know yet
    due: bool = False  # a changed ticker


class Streams:
    """All public channels of the protocol."""

    def __init__(self, floor: Floor) -> None:
        self.topics: Topics[Client, Channel, None] = Topics(floor.faults, lambda client: None, lambda symbol: None)
        self.markets: dict[str, Market] = {}  # by product id
        self._floor = floor
        self._rules: dict[str, Rules] = {}  # as last sent, by product id
        self.full = FullFeed(self._number, lambda market: self._full(market) is not None)

    def sequence(self, market: Market) -> int:
        """Return the number of a product's last message."""
        return self.full.number(market)

    def _full(self, market: Market) -> Channel | None:
        return self.topics.by_name.get(f"{FULL}:{payloads.product_id(market.rules)}")

    def _number(self, market: Market, body: Body) -> None:
        topic = self._full(market)
        if topic is not None:
            self._send(topic, body)

    # ------------------------------------------------------------------------------------------- subscriptions

    def names(self, channel: str, products: list[str]) -> list[str]:
        """Return the topics of a channel of these products."""
        channel = OTHER_NAMES.get(channel, channel)
        return [STATUS] if channel == STATUS else [f"{channel}:{product}" for product in products]

    def subscribe(self, client: Client, name: str) -> None:
        """Subscribe a client to a topic; an existing subscription continues."""
        if name in client.streams:
            return
        topic = self.topics.by_name.get(name)
        if topic is not None and topic.changes is not None:
            self._advance(topic)  # so that all listeners of a book have the same state
        topic = self.topics.subscribe(client, name, self._make)
        if topic is None:
            return
        market = self.markets.get(name.partition(":")[2])
        if topic.kind == STATUS:
            self._tell(client, topic, self._status())
        elif market is not None and topic.changes is not None:
            topic.changes.take()
            self._tell(client, topic, self._book(market))
        elif market is not None and topic.kind == "matches" and market.trades:
            self._tell(client, topic, payloads.match(market, market.trades[-1], self.sequence(market), "last_match"))
        elif market is not None and topic.kind == "ticker" and market.trades:
            self._tell(client, topic, payloads.ticker(market, self.sequence(market), self._now()))

    def _make(self, name: str) -> Channel:
        kind, _, product = name.partition(":")
        market = self.markets.get(product)
        changes = market.level_changes() if market is not None and kind in PACE else None
        return Channel(name, "" if market is None else market.symbol, kind=kind, changes=changes)

    def listed(self, market: Market) -> None:
        """A symbol was listed; its channels continue."""
        product = payloads.product_id(market.rules)
        self.markets[product] = market
        self.full.listed(market)
        for topic in self.topics.of(market.symbol):
            if topic.kind in PACE:
                topic.changes = market.level_changes()
                self._send(topic, self._book(market))

    def delisted(self, market: Market) -> None:
        """A symbol was delisted; its channels become silent."""
        del self.markets[payloads.product_id(market.rules)]

    # --------------------------------------------------------------------------------------- events of the engine

    def trades(self, market: Market, trades: list[Trade]) -> None:
        """Send trades at once, one message each."""
        sent = self.full.trades(market, trades)
        for topic in self.topics.of(market.symbol):
            if topic.kind == "ticker":
                topic.due = True
            elif topic.kind == "matches":
                for body in sent:
                    self._send(topic, body)

    # ------------------------------------------------------------------------------------------------------ pace

    def tick(self, number: int) -> None:
        """Send due messages; call it every 10 ms with a rising number."""
        for listed in self.markets.values():
            self.full.flush(listed)
        for topic in list(self.topics.by_name.values()):
            market = self.markets.get(topic.name.partition(":")[2])
            if topic.kind == STATUS:
                self._tell_status(topic, number)
            elif market is None:
                continue
            elif topic.kind in PACE and number % PACE[topic.kind] == 0:
                self._advance(topic)
            elif topic.kind == "heartbeat" and number % HEARTBEAT_PACE == 0:
                self._send(topic, self._heartbeat(market))
            elif topic.kind == "ticker" and topic.due:
                topic.due = False
                self._send(topic, payloads.ticker(market, self.sequence(market), self._now()))

    def flush(self, market: Market) -> None:
        """Send all pending changes of a book now."""
        self.full.flush(market)
        for topic in self.topics.of(market.symbol):
            if topic.kind in PACE:
                self._advance(topic)

    def _advance(self, topic: Channel) -> None:
        """Send the changes of a book since the last message, or the entire book if a fault requires it."""
        market = self.markets.get(topic.name.partition(":")[2])
        if market is None or topic.changes is None:
            return
        changed = topic.changes.take()
        if self._floor.faults.restarts(NAME, market.symbol, topic.name) is not None:
            self._send(topic, self._book(market))
        elif changed is not None:
            _, _, bids, asks = changed
            rows = [("buy", bids), ("sell", asks)]
            changes = [
                [side, payloads.price(market.rules, price), text(size)]
                for side, sizes in rows
                for price, size in sizes.items()
            ]
            head = {"type": "l2update", "product_id": payloads.product_id(market.rules)}
            self._send(topic, {**head, "changes": changes, "time": stamp(self._now())})

    def _tell_status(self, topic: Channel, number: int) -> None:
        """Send the states of all products at the channel's interval, and at once after a change."""
        rules = {product: market.rules for product, market in self.markets.items()}
        if number % STATUS_PACE == 0 or rules != self._rules:
            self._rules = rules
            self._send(topic, self._status())

    # -------------------------------------------------------------------------------------------------- messages

    def _send(self, topic: Channel, message: dict[str, Any]) -> None:
        body = orjson.dumps(message)
        self.topics.send(topic, lambda form: body)

    def _tell(self, client: Client, topic: Channel, message: dict[str, Any]) -> None:
        """Send the first message of a subscription to its client alone."""
        self._floor.faults.frame(client, topic.name, topic.symbol, text_frame(orjson.dumps(message)))

    def _book(self, market: Market) -> dict[str, Any]:
        rules = market.rules
        sides = {"bids": payloads.levels(rules, market.bids), "asks": payloads.levels(rules, market.asks)}
        head = {"type": "snapshot", "product_id": payloads.product_id(rules)}
        return {**head, **sides, "time": stamp(self._now())}

    def _heartbeat(self, market: Market) -> dict[str, Any]:
        return {
            "type": "heartbeat",
            "sequence": self.sequence(market),
            "last_trade_id": market.next_trade_id - 1,
            "product_id": payloads.product_id(market.rules),
            "time": stamp(self._now()),
        }

    def _status(self) -> dict[str, Any]:
        products = [payloads.product(market.rules, whole=False) for market in self.markets.values()]
        return {"type": STATUS, "products": products, "currencies": []}

    def _now(self) -> int:
        return self._floor.clock.now_ns()
