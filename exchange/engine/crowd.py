"""The crowd: seeded participants that make an active market through the engine's ordinary interface.

Theory of operation. Market time is divided into windows of 100 ms. For each window and symbol the crowd draws a number
of changes (log-normal: most windows are calm and some are bursts) and plays them in ten slices. One action places,
cancels or takes an order, at a log-normal rank from the best price, so that changes are distributed as in recordings:
levels per message p50/p90/p99 4/15/43 and ranks 9/76/406 (measured). The number of levels a side stays
near a target: the crowd prefers cancels when there are more levels and new orders when there are fewer.

The crowd has no clock: `play(now_ns)` advances every symbol by one slice. The same seed and calls give the same market.
"""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass, field

from ...model.errors import Rejected
from ...model.events import Side
from .accounts import Account, Order
from .book import BookSide, Level
from .engine import Engine
from .market import Market
from .rules import ONE

SLICES = 10  # of a window
WINDOW_NS = 100_000_000
MEDIAN_CHANGES, SIGMA_CHANGES = 4.3, 1.1  # of a window, at the rate of the recorded markets
MEAN_CHANGES = MEDIAN_CHANGES * math.exp(SIGMA_CHANGES**2 / 2)  # 7.9, so 79 a second
MU_RANK, SIGMA_RANK = math.log(9.2), 1.61
TAKERS = 0.035  # of all actions
MAKERS = 6
ENOUGH = 10**10 * ONE
PER_LEVEL = 2  # approximate number of the crowd's orders at one price
FLEETING = 0.2  # share of orders that are cancelled at once, so that diffs delete levels that no diff added


@dataclass(slots=True)
class Pit:
    """The crowd in one symbol."""

    market: Market
    draw: random.Random
    rate: float  # level changes a second
    reference: float  # the crowd's reference price, raw
    due: float = 0.0
    slice: int = 0
    per_slice: float = 0.0
    lot: int = 0  # median size, raw
    makers: list[Account] = field(default_factory=list)
    fleeting: Order | None = None


class Crowd:
    """Makers and takers of all symbols. `rate` is level changes a second over all symbols, evenly spread."""

    def __init__(self, engine: Engine, seed: int, rate: float) -> None:
        self.engine = engine
        self.seed = seed
        self.rate = rate
        self.paused = False
        self.pits: dict[str, Pit] = {}
        self.own_rates: dict[str, float] = {}
        self.makers = [engine.add_account(Account(f"maker-{n}", internal=True)) for n in range(1, MAKERS + 1)]
        self.taker = engine.add_account(Account("taker-1", internal=True))
        self._rich: set[str] = set()

    def join(self, market: Market, now_ns: int) -> None:
        """Start in a symbol: fund the accounts in its assets and fill its book."""
        rules = market.rules
        for asset in (rules.base, rules.quote):
            if asset not in self._rich:
                self._rich.add(asset)
                for account in (*self.makers, self.taker):
                    account.deposit(asset, ENOUGH)
        draw = random.Random(f"{self.seed}/{zlib.crc32(market.symbol.encode())}")
        lot = max(rules.min_size, rules.min_notional * 60 * ONE // rules.start_price // rules.step * rules.step)
        self.pits[market.symbol] = pit = Pit(market, draw, 0.0, float(rules.start_price), lot=lot, makers=self.makers)
        self._share()
        self._fill(pit, now_ns)

    def leave(self, symbol: str) -> None:
        """Drop a symbol, for example a delisted symbol."""
        self.pits.pop(symbol, None)
        self.own_rates.pop(symbol, None)
        self._share()

    def set_rate(self, rate: float, symbol: str | None = None) -> None:
        """Set the rate over all symbols, or of one symbol, which then keeps its own rate."""
        if symbol is None:
            self.rate = rate
        else:
            self.own_rates[symbol] = rate
        self._share()

    def play(self, now_ns: int) -> int:
        """Advance every symbol by one slice (10 ms of market time); return the number of changes."""
        made = 0
        for pit in self.pits.values():
            if pit.market.rules.status == "TRADING":
                made += self._slice(pit, now_ns)
        return made

    # ------------------------------------------------------------------------------------------------ inside

    def _share(self) -> None:
        others = [symbol for symbol in self.pits if symbol not in self.own_rates]
        for symbol, pit in self.pits.items():
            pit.rate = self.own_rates[symbol] if symbol in self.own_rates else self.rate / len(others)

    def _fill(self, pit: Pit, now_ns: int) -> None:
        market, draw, tick = pit.market, pit.draw, pit.market.rules.tick
        middle = market.rules.start_price // tick
        for side in (Side.BUY, Side.SELL):
            away = -1 if side is Side.BUY else 1
            at = middle + (away if side is Side.SELL else 0)
            for rank in range(market.rules.levels):
                if at * tick < market.rules.min_price or (at - 1) * tick <= 0:
                    break
                for _ in range(1 + (draw.random() < 0.45)):
                    self._place(pit, side, at * tick, now_ns)
                at += away * (1 + int(draw.expovariate(1.0 / (0.4 + rank / 300))))

    def _slice(self, pit: Pit, now_ns: int) -> int:
        draw = pit.draw
        if pit.slice == 0:
            scale = pit.rate / (MEAN_CHANGES * 10)
            pit.per_slice = draw.lognormvariate(math.log(MEDIAN_CHANGES), SIGMA_CHANGES) * scale / SLICES
            drift = (pit.market.rules.start_price - pit.reference) * 1e-4  # stay near the start
            pit.reference += drift + draw.gauss(0.0, 0.00004) * pit.reference * min(1.0, pit.rate / 20)
        pit.slice = (pit.slice + 1) % SLICES
        pit.due += pit.per_slice
        before = pit.market.changes
        end = before + int(pit.due)
        tries = 2 * int(pit.due) + 4
        while pit.market.changes < end and tries:
            tries -= 1
            self._act(pit, now_ns)
        made = pit.market.changes - before
        pit.due -= made
        return made

    def _act(self, pit: Pit, now_ns: int) -> None:
        market, draw = pit.market, pit.draw
        buys = draw.random() < 0.5
        own, other = (market.bids, market.asks) if buys else (market.asks, market.bids)
        if not own.keys or not other.keys:
            side = own if not own.keys else other
            self._place(pit, side.side, self._fresh_price(pit, side.side), now_ns)
            return
        gone, pit.fleeting = pit.fleeting, None
        if gone is not None and gone.status == "NEW":
            self.engine.cancel_order(market, gone, now_ns)
            return
        if draw.random() < TAKERS:
            self._take(pit, own, other, now_ns)
            return
        rank = int(draw.lognormvariate(MU_RANK, SIGMA_RANK))
        held = len(own.keys)
        target = market.rules.levels
        if rank >= held:
            rank = held - 1
        if held > target * 1.2:
            order = self._newest(own.levels[own.keys[0] * own.sign])
            if order is not None:
                self.engine.cancel_order(market, order, now_ns)
                return
        if rank and draw.random() < FLEETING:
            fleeting = self._place(pit, own.side, self._price_near(pit, own, other, rank), now_ns)
            if fleeting is not None and draw.random() < 0.8:
                self.engine.cancel_order(market, fleeting, now_ns)
            else:
                pit.fleeting = fleeting
            return
        level = own.at_rank(rank)
        crowded = len(level.orders) > PER_LEVEL
        cancels = 0.48 + 0.25 * (held / target - 1.0)
        if crowded or draw.random() < cancels:
            if rank == 0 and len(level.orders) == 1 and draw.random() < 0.6:
                rank = min(1 + int(draw.expovariate(0.3)), held - 1)  # orders at the touch stay longer than others
                level = own.at_rank(rank)
            order = self._newest(level)
            if order is not None:
                self.engine.cancel_order(market, order, now_ns)
        else:
            self._place(pit, own.side, self._price_near(pit, own, other, rank), now_ns)

    def _take(self, pit: Pit, own: BookSide, other: BookSide, now_ns: int) -> None:
        """Buy or sell at the best price, mostly towards the reference price, mostly less than the level's size."""
        market, draw = pit.market, pit.draw
        bid, ask = market.bids.at_rank(0).price, market.asks.at_rank(0).price
        if draw.random() < 0.8:
            own, other = (market.bids, market.asks) if pit.reference * 2 > bid + ask else (market.asks, market.bids)
        rules = market.rules
        touch = other.at_rank(0)
        share = draw.random() ** 2 * (1.6 if draw.random() < 0.2 else 0.9)
        size = max(int(touch.size * share) // rules.step * rules.step, self._least(pit, touch.price))
        worst = other.at_rank(min(2, len(other.keys) - 1)).price
        try:
            self.engine.place(self.taker, market.symbol, own.side, "LIMIT", size, worst, now_ns, "IOC")
        except Rejected:
            return

    def _price_near(self, pit: Pit, own: BookSide, other: BookSide, rank: int) -> int:
        """Return a price for a new order about `rank` levels from the best price: in a gap if possible, else at a
        level."""
        draw, tick, sign = pit.draw, pit.market.rules.tick, own.sign
        best_here = own.keys[-1 - rank]
        beyond = own.keys[-rank] if rank else other.keys[-1] * -1
        room = (beyond - best_here) // tick - 1
        if rank == 0:
            towards = (pit.reference - best_here * sign) * sign > tick
            if room > 0 and (towards or room > 20) and draw.random() < 0.7:
                return (best_here + tick * draw.randint(1, min(room, 3 if room < 20 else room))) * sign
            return best_here * sign
        if rank >= len(own.keys) - 2 and len(own.keys) < pit.market.rules.levels:
            return max(self._floor(pit), (best_here - tick * draw.randint(1, 8)) * sign)
        if room > 0 and draw.random() < 0.75:
            return (best_here + tick * draw.randint(1, room)) * sign
        return best_here * sign

    def _fresh_price(self, pit: Pit, side: Side) -> int:
        market, tick = pit.market, pit.market.rules.tick
        around = int(pit.reference) // tick * tick
        if side is Side.BUY:
            best = market.asks.best
            return max(self._floor(pit), min(around, best.price - tick) if best else around)
        low = market.bids.best
        return max(around + tick, low.price + tick) if low else around + tick

    @staticmethod
    def _floor(pit: Pit) -> int:
        return max(pit.market.rules.min_price, pit.market.rules.tick)

    @staticmethod
    def _least(pit: Pit, price: int) -> int:
        """Return the smallest size that the rules allow at `price`."""
        rules = pit.market.rules
        needed: int = -(-rules.min_notional * ONE // price)
        return max(rules.min_size, -(-needed // rules.step) * rules.step)

    def _place(self, pit: Pit, side: Side, price: int, now_ns: int) -> Order | None:
        rules, draw = pit.market.rules, pit.draw
        size = int(pit.lot * draw.lognormvariate(0.0, 1.1)) // rules.step * rules.step
        size = min(max(size, self._least(pit, price)), rules.max_size)
        maker = pit.makers[draw.randrange(MAKERS)]
        try:
            return self.engine.place(maker, pit.market.symbol, side, "LIMIT_MAKER", size, price, now_ns)
        except Rejected:
            return None  # for example, changed rules refuse this order

    @staticmethod
    def _newest(level: Level) -> Order | None:
        """Return the newest order of the crowd at a level, if there is one."""
        for order in reversed(level.orders.values()):
            if order.account.internal:
                return order
        return None
