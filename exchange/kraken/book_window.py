"""The window of the listeners of a book channel: the best levels of a book, cut to a depth, and its checksum. Pure.

Theory of operation. A listener applies all levels of a message, then cuts each side to its depth. So a level that
leaves the window is not sent, and a level that enters the window because another one was removed is sent, although it
did not change. Removals come first in a message, so that a listener that cuts after every level has the same book.

Source: book (websocket v2), spot-ws-book-v2 (guide), read 2026-11-27.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from ..engine.book import BookSide
from .names import Pair

DEPTHS = (10, 25, 100, 500, 1000)
SUMMED = 10  # levels a side in the checksum, at any depth


class BookWindow:
    """The listeners' levels of one side: sizes by price."""

    __slots__ = ("_depth", "_held", "_side")

    def __init__(self, side: BookSide, depth: int) -> None:
        self._side = side
        self._depth = depth
        self._held = dict(side.depth(depth))

    def levels(self) -> list[tuple[int, int]]:
        """Return (price, size) of the window, best first."""
        return self._side.depth(self._depth)

    def advance(self, changed: Mapping[int, int]) -> list[tuple[int, int]]:
        """Apply the new sizes of changed levels; return the levels to send to listeners, 0 for a removed level."""
        side, held, depth = self._side, self._held, self._depth
        keys, sign = side.keys, side.sign
        sent = [(price, 0) for price, size in changed.items() if not size and price in held]
        for price, _ in sent:
            del held[price]
        last = keys[-depth] if len(keys) >= depth else None
        entered: list[int] = []
        for at in range(max(0, len(keys) - depth), len(keys)):  # from the worst of the window towards the best
            if keys[at] * sign in held:
                break
            entered.append(keys[at] * sign)
        for price, size in changed.items():
            if size and price not in entered and (last is None or price * sign >= last):
                entered.append(price)
        for price in entered:
            held[price] = side.levels[price].size
            sent.append((price, held[price]))
        beyond = len(keys) - depth
        while len(held) > min(depth, len(keys)):  # pushed out: the next worse levels that were held
            beyond -= 1
            held.pop(keys[beyond] * sign, None)
        return sent


def checksum(pair: Pair, asks: BookSide, bids: BookSide) -> int:
    """CRC32 over the best ten asks, then bids: prices and sizes as on the wire, without dot and leading zeros."""
    price_unit, size_unit = 10 ** (8 - pair.price_decimals), 10 ** (8 - pair.size_decimals)
    text = "".join(
        f"{price // price_unit}{size // size_unit}" for side in (asks, bids) for price, size in side.depth(SUMMED)
    )
    return zlib.crc32(text.encode())


def write(pair: Pair, levels: Iterable[tuple[int, int]]) -> str:
    """Write levels as JSON."""
    found = (f'{{"price":{pair.price(price)},"qty":{pair.size(size)}}}' for price, size in levels)
    return f"[{','.join(found)}]"
