"""A small exchange with a known history, with which tests compare LIVE books.

Prices stay on their sides (bids below 100, asks above), so its book never crosses.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from venuemesh.model.instrument import Instrument

INSTRUMENT = Instrument("binance", "AAA-BBB", "AAABBB", "AAA", "BBB", 2, 2)

Sides = tuple[dict[int, int], dict[int, int]]
Change = tuple[int, int, int]  # side (0 bid, 1 ask), distance from the middle, size; size 0 removes


@dataclass(slots=True)
class Venue:
    """Changes come one by one; `frame` sends the changes since the last frame as one delta."""

    symbol: str = "AAABBB"
    sequence: int = 1000
    bids: dict[int, int] = field(default_factory=lambda: {99_00: 5_00, 98_00: 7_00})
    asks: dict[int, int] = field(default_factory=lambda: {101_00: 5_00})
    history: dict[int, Sides] = field(default_factory=dict)
    unsent: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.remember()

    def remember(self) -> None:
        self.history[self.sequence] = (dict(self.bids), dict(self.asks))

    def change(self, change: Change) -> None:
        side, distance, size = change
        book, price = (self.bids, 100_00 - distance) if side == 0 else (self.asks, 100_00 + distance)
        if size:
            book[price] = size
        else:
            book.pop(price, None)
        self.sequence += 1
        self.unsent.append(change)
        self.remember()

    def frame(self) -> tuple[bytes, int] | None:
        """The next delta and its last sequence; None when nothing changed."""
        if not self.unsent:
            return None
        levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for side, distance, size in self.unsent:
            levels[side][100_00 - distance if side == 0 else 100_00 + distance] = size
        first = self.sequence - len(self.unsent) + 1
        self.unsent = []
        return delta(self.symbol, first, self.sequence, *levels), self.sequence

    def snapshot(self, back: int = 0) -> tuple[bytes, int]:
        """The whole book as it was `back` changes ago."""
        sequence = max(min(self.history), self.sequence - back)
        bids, asks = self.history[sequence]
        rows = [rows_of(dict(sorted(bids.items(), reverse=True))), rows_of(dict(sorted(asks.items())))]
        return json.dumps({"lastUpdateId": sequence, "bids": rows[0], "asks": rows[1]}).encode(), sequence


def rows_of(levels: dict[int, int]) -> list[list[str]]:
    return [[f"{price / 100:.2f}", f"{size / 100:.2f}"] for price, size in levels.items()]


def delta(symbol: str, first: int, last: int, bids: dict[int, int], asks: dict[int, int]) -> bytes:
    message = {"e": "depthUpdate", "E": 1, "s": symbol, "U": first, "u": last, "b": rows_of(bids), "a": rows_of(asks)}
    return json.dumps(message, separators=(",", ":")).encode()


class Clock:
    """A clock in nanoseconds that the test moves."""

    def __init__(self) -> None:
        self.now_ns = 1

    def __call__(self) -> int:
        return self.now_ns

    def pass_s(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


Chance = Callable[[], float]
