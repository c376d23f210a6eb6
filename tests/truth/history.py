"""The exchange's own book at any update id: a base book and the later numbered changes of levels.

The second book of the tests, kept as simple as can be: a dict of price to size a side and a sorted list of prices.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

Rows = Sequence[Sequence[int]]  # (price, size), best first
Change = tuple[int, int, int, int]  # update id, side (0 bid, 1 ask), price, size now


class Ladder:
    """One side. `keys` rise towards the touch on both sides: bid prices, ask prices negated."""

    def __init__(self, sign: int, rows: Rows) -> None:
        self.sign = sign
        self.sizes = {price * sign: size for price, size in rows}
        self.keys = sorted(self.sizes)

    def set(self, price: int, size: int) -> None:
        key = price * self.sign
        held = key in self.sizes
        if size:
            self.sizes[key] = size
            if not held:
                insort(self.keys, key)
        elif held:
            del self.sizes[key]
            del self.keys[bisect_left(self.keys, key)]

    def best(self, n: int | None = None) -> list[tuple[int, int]]:
        keys = self.keys if n is None else self.keys[-n:] if n else []
        return [(key * self.sign, self.sizes[key]) for key in reversed(keys)]


class History:
    """One symbol's book, advanced from id to id. Ids that the exchange skipped change nothing."""

    def __init__(self, sequence: int, bids: Rows, asks: Rows, changes: Iterable[Change]) -> None:
        self.base = self.sequence = sequence
        self.sides = (Ladder(1, bids), Ladder(-1, asks))
        self._changes = sorted(change for change in changes if change[0] > sequence)
        self._next = 0
        ids = [change[0] for change in self._changes]
        if len(set(ids)) != len(ids):
            raise AssertionError("the exchange's history numbers two changes alike")
        self.last = ids[-1] if ids else sequence

    def advance(self, sequence: int) -> None:
        """Apply every change up to and with `sequence`; it may not go back."""
        if sequence < self.sequence:
            raise ValueError(f"{sequence} is before {self.sequence}")
        changes, at = self._changes, self._next
        while at < len(changes) and changes[at][0] <= sequence:
            _, side, price, size = changes[at]
            self.sides[side].set(price, size)
            at += 1
        self._next, self.sequence = at, sequence

    def top(self) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        bid, ask = (side.best(1) for side in self.sides)
        return (bid[0] if bid else None, ask[0] if ask else None)
