"""One side of a price-time priority book: levels by price, the orders of a level by arrival."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from ...model.events import Side
from .accounts import Order


class Level:
    """All orders at one price, oldest first, and the sum of their remaining sizes."""

    __slots__ = ("orders", "price", "size")

    def __init__(self, price: int) -> None:
        self.price = price
        self.size = 0
        self.orders: dict[int, Order] = {}


class BookSide:
    """Bids or asks. `keys` are prices (asks negated) in rising order, so the best is last on both sides."""

    __slots__ = ("keys", "levels", "side", "sign")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.sign = 1 if side is Side.BUY else -1
        self.keys: list[int] = []
        self.levels: dict[int, Level] = {}

    @property
    def best(self) -> Level | None:
        return self.levels[self.keys[-1] * self.sign] if self.keys else None

    @property
    def top(self) -> tuple[int, int] | None:
        """Price and size of the best level."""
        if not self.keys:
            return None
        level = self.levels[self.keys[-1] * self.sign]
        return level.price, level.size

    def at_rank(self, rank: int) -> Level:
        """Return the level at `rank`, counted from the best level (0)."""
        return self.levels[self.keys[-1 - rank] * self.sign]

    def crosses(self, price: int) -> bool:
        """Return whether an order of the other side at `price` would trade with the best level of this side."""
        return bool(self.keys) and self.keys[-1] >= price * self.sign

    def add(self, order: Order) -> int:
        """Queue `order` at its price; return the level's new size."""
        price = order.price
        assert price is not None
        level = self.levels.get(price)
        if level is None:
            level = self.levels[price] = Level(price)
            insort(self.keys, price * self.sign)
        level.orders[order.id] = order
        level.size += order.remaining
        return level.size

    def reduce(self, level: Level, order: Order, by: int) -> int:
        """Reduce the level by `by`, the reduction of `order`; drop an empty level. Return the level's size."""
        level.size -= by
        if not order.remaining:
            del level.orders[order.id]
        self._drop_if_empty(level)
        return level.size

    def remove(self, order: Order) -> int:
        """Remove `order` with its whole remaining size from the level; return the level's new size."""
        assert order.price is not None
        level = self.levels[order.price]
        del level.orders[order.id]
        level.size -= order.remaining
        self._drop_if_empty(level)
        return level.size

    def _drop_if_empty(self, level: Level) -> None:
        if level.orders:
            return
        del self.levels[level.price]
        key = level.price * self.sign
        if self.keys[-1] == key:
            self.keys.pop()
        else:
            del self.keys[bisect_left(self.keys, key)]

    def depth(self, n: int | None = None) -> list[tuple[int, int]]:
        """Return (price, size) of the best `n` levels, or of all levels, best first."""
        keys = self.keys if n is None else self.keys[-n:] if n else []
        levels, sign = self.levels, self.sign
        return [(key * sign, levels[key * sign].size) for key in reversed(keys)]

    def best_first(self) -> Iterator[Level]:
        for key in reversed(self.keys):
            yield self.levels[key * self.sign]
