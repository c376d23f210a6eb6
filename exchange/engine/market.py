"""One listed symbol: its book, trades, numbers and listeners."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ...model.events import Side
from .accounts import Account, Fill, Order, OrderList, PreventedMatch
from .book import BookSide
from .candles import Bars
from .history import UpdateLog
from .rules import Rules

TRADES_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Trade:
    """One public trade."""

    id: int
    price: int
    size: int
    time_ns: int
    buyer_is_maker: bool
    maker_order: int
    taker_order: int
    by_market_order: bool = False  # whether the taker was a MARKET order


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The trades of one taker order at one price, combined."""

    id: int
    price: int
    size: int
    first: int
    last: int
    time_ns: int
    buyer_is_maker: bool


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """One event of one order.

    `kind` is the execution type: NEW, TRADE, CANCELED, REPLACED, REJECTED, EXPIRED or TRADE_PREVENTION. `fill` comes
    with TRADE, `match` with TRADE_PREVENTION. `order` is the engine's own and changes later: read it at once, keep no
    reference.
    Reports of one account have rising `id`s and come in the order of events. A refused order has no report.
    """

    account: Account
    order: Order
    kind: str
    fill: Fill | None
    time_ns: int
    id: int = 0  # execution id, rising over the whole exchange
    client_id: str = ""  # of the order, or of the request that cancelled it
    original: str = ""  # the order's original id, if a cancel or amendment changed it
    match: PreventedMatch | None = None
    prevented: int = 0  # reduction of this order by that match


@dataclass(frozen=True, slots=True)
class OrderChange:
    """One order entered the book, changed its size there, or left the book. `size` is its size after the change.

    `update_id` is that of the level's change. An order that is amended in price leaves and appears again.
    """

    kind: str  # "add" | "change" | "remove"
    order_id: int
    side: Side
    price: int
    size: int
    update_id: int
    time_ns: int


class Listener(Protocol):
    """Receives events at once. The engine calls a listener in the middle of a call, so it must not call the engine."""

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        """Called when one order has traded."""

    def top(self, market: Market) -> None:
        """Called when the best price or its size has changed, in markets with `top_watchers`."""

    def report(self, report: ExecutionReport) -> None:
        """Called for an event of an account's order."""

    def order_list(self, group: OrderList, kind: str, now_ns: int) -> None:
        """Called after the reports of its orders when an order list has changed: EXEC_STARTED, UPDATED or ALL_DONE."""


class Quiet:
    """A listener that does nothing."""

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        return

    def top(self, market: Market) -> None:
        return

    def report(self, report: ExecutionReport) -> None:
        return

    def order_list(self, group: OrderList, kind: str, now_ns: int) -> None:
        return


class Listeners:
    """Passes every event to each of several listeners, in order."""

    def __init__(self) -> None:
        self.all: list[Listener] = []

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        for listener in self.all:
            listener.trades(market, trades, aggregates)

    def top(self, market: Market) -> None:
        for listener in self.all:
            listener.top(market)

    def report(self, report: ExecutionReport) -> None:
        for listener in self.all:
            listener.report(report)

    def order_list(self, group: OrderList, kind: str, now_ns: int) -> None:
        for listener in self.all:
            listener.order_list(group, kind, now_ns)


class LevelChanges:
    """Changes of levels since the last `take`, for one reader that takes them at its own interval."""

    __slots__ = ("asks", "bids", "first_id", "last_id")

    def __init__(self) -> None:
        self.first_id: int | None = None
        self.last_id = 0
        self.bids: dict[int, int] = {}  # new size by price, 0 for a removed level
        self.asks: dict[int, int] = {}

    def take(self) -> tuple[int, int, dict[int, int], dict[int, int]] | None:
        """Return and clear (first id, last id, bids, asks); None if nothing changed."""
        first = self.first_id
        if first is None:
            return None
        taken = first, self.last_id, self.bids, self.asks
        self.first_id, self.bids, self.asks = None, {}, {}
        return taken


class Market:
    """One listed symbol: its book, numbers and recent past."""

    def __init__(self, rules: Rules, history: int) -> None:
        number = zlib.crc32(rules.symbol.encode())
        self.rules = rules
        self.symbol = rules.symbol
        self.bids = BookSide(Side.BUY)
        self.asks = BookSide(Side.SELL)
        # Real ids are far above 32 bits: start there, with a different number for each symbol.
        self.update_id = 60_000_000_000 + number % 1_000_000_000
        self.next_trade_id = 3_000_000_001 + number % 1_000_000
        self.next_aggregate_id = 2_000_000_001 + number % 1_000_000
        self.log = UpdateLog(history)
        self.trades: deque[Trade] = deque(maxlen=TRADES_KEPT)
        self.aggregates: deque[Aggregate] = deque(maxlen=TRADES_KEPT)
        self.bars = Bars(rules.start_price)
        self.top_watchers: set[str] = set()  # names of the users of `Listener.top` for this market
        self.order_watchers: list[Callable[[Market, OrderChange], None]] = []
        self.waiting: dict[int, Order] = {}  # orders that wait for their stop price
        self.seen_trade_id = self.next_trade_id  # number of the last trade compared with stop prices
        self.next_prevented_id = 1
        self.changes = 0
        self._readers: list[LevelChanges] = []

    def level_changes(self) -> LevelChanges:
        """Return a new reader of the changes of levels from now on."""
        reader = LevelChanges()
        self._readers.append(reader)
        return reader

    def side_of(self, order: Order) -> BookSide:
        """The side on which an order rests."""
        return self.bids if order.side is Side.BUY else self.asks

    def against(self, order: Order) -> BookSide:
        """The side with which an order trades."""
        return self.asks if order.side is Side.BUY else self.bids

    def add(self, order: Order, now_ns: int) -> None:
        """Add an order to the book."""
        side, price = self.side_of(order), order.price or 0
        self._changed(side, price, side.add(order), now_ns)
        if self.order_watchers:
            self._notify("add", order, order.remaining, now_ns)

    def reduce(self, order: Order, by: int, now_ns: int) -> None:
        """Reduce a level by `by`, the reduction of a resting order."""
        side, price = self.side_of(order), order.price or 0
        self._changed(side, price, side.reduce(side.levels[price], order, by), now_ns)
        if self.order_watchers:
            self._notify("change" if order.remaining else "remove", order, order.remaining, now_ns)

    def remove(self, order: Order, now_ns: int) -> None:
        """Remove a resting order with its whole remaining size."""
        side, price = self.side_of(order), order.price or 0
        self._changed(side, price, side.remove(order), now_ns)
        if self.order_watchers:
            self._notify("remove", order, 0, now_ns)

    def _changed(self, side: BookSide, price: int, size: int, now_ns: int) -> None:
        """Number one change of a level."""
        self.update_id = number = self.update_id + 1
        self.changes += 1
        is_ask = side is self.asks
        self.log.append(number, now_ns, int(is_ask), price, size)
        for reader in self._readers:
            if reader.first_id is None:
                reader.first_id = number
            reader.last_id = number
            (reader.asks if is_ask else reader.bids)[price] = size

    def _notify(self, kind: str, order: Order, size: int, now_ns: int) -> None:
        change = OrderChange(kind, order.id, order.side, order.price or 0, size, self.update_id, now_ns)
        for watcher in self.order_watchers:
            watcher(self, change)

    @property
    def tops(self) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        return self.bids.top, self.asks.top
