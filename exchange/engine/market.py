"""One listed symbol as the engine keeps it, its trades, and who is told about them."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from ...model.events import Side
from .accounts import Account, Fill, PreventedMatch
from .book import BookSide, Order, OrderList
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


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Trades of one taker order at one price, together."""

    id: int
    price: int
    size: int
    first: int
    last: int
    time_ns: int
    buyer_is_maker: bool


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """What happened to one order.

    `kind` is the execution type: NEW, TRADE, CANCELED, REPLACED, EXPIRED or TRADE_PREVENTION; `fill` with TRADE,
    `match` with TRADE_PREVENTION. `order` is the engine's own and lives on: read it when told, keep no reference.
    Reports of one account have rising `id`s and come in the order of what happened. A refused order is no order and
    makes no report.
    """

    account: Account
    order: Order
    kind: str
    fill: Fill | None
    time_ns: int
    id: int = 0  # execution id, rising over the whole exchange
    client_id: str = ""  # of the order, or of the request that cancelled it
    original: str = ""  # the order's own id, where a cancel or amendment brought another
    match: PreventedMatch | None = None
    prevented: int = 0  # size taken off this order by that match


class Listener(Protocol):
    """Who is told at once. Calls come from inside the engine and must not call back into it."""

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None: ...
    def top(self, market: Market) -> None:
        """The best price or its size changed, for markets whose `watch_top` is set."""

    def report(self, report: ExecutionReport) -> None: ...

    def order_list(self, group: OrderList, kind: str, now_ns: int) -> None:
        """An order list changed: `kind` is EXEC_STARTED, UPDATED or ALL_DONE. Comes after the reports of its orders."""


class Quiet:
    """A listener that wants nothing."""

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        return

    def top(self, market: Market) -> None:
        return

    def report(self, report: ExecutionReport) -> None:
        return

    def order_list(self, group: OrderList, kind: str, now_ns: int) -> None:
        return


class Market:
    """One listed symbol: its book, numbers and recent past."""

    def __init__(self, rules: Rules, history: int) -> None:
        number = zlib.crc32(rules.symbol.encode())
        self.rules = rules
        self.symbol = rules.symbol
        self.bids = BookSide(Side.BUY)
        self.asks = BookSide(Side.SELL)
        # Real ids are far past 32 bits; begin there, at another place for each symbol.
        self.update_id = 60_000_000_000 + number % 1_000_000_000
        self.next_trade_id = 3_000_000_001 + number % 1_000_000
        self.next_aggregate_id = 2_000_000_001 + number % 1_000_000
        self.log = UpdateLog(history)
        self.trades: deque[Trade] = deque(maxlen=TRADES_KEPT)
        self.aggregates: deque[Aggregate] = deque(maxlen=TRADES_KEPT)
        self.bars = Bars(rules.start_price)
        self.pending_bids: dict[int, int] = {}
        self.pending_asks: dict[int, int] = {}
        self.pending_first: int | None = None
        self.watch_top = False
        self.waiting: dict[int, Order] = {}  # orders that wait for their stop price
        self.seen_trade_id = self.next_trade_id  # up to where stop prices were compared with trades
        self.next_prevented_id = 1
        self.changes = 0

    def changed(self, side: BookSide, price: int, size: int, now_ns: int) -> None:
        """Number one change of a level."""
        self.update_id = number = self.update_id + 1
        self.changes += 1
        if self.pending_first is None:
            self.pending_first = number
        if side is self.bids:
            self.pending_bids[price] = size
            self.log.append(number, now_ns, 0, price, size)
        else:
            self.pending_asks[price] = size
            self.log.append(number, now_ns, 1, price, size)

    def take_pending(self) -> tuple[int, int, dict[int, int], dict[int, int]] | None:
        """Return and clear (first id, last id, bids, asks) changed since the last call, or None."""
        first = self.pending_first
        if first is None:
            return None
        taken = first, self.update_id, self.pending_bids, self.pending_asks
        self.pending_first, self.pending_bids, self.pending_asks = None, {}, {}
        return taken

    @property
    def tops(self) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        return self.bids.top, self.asks.top
