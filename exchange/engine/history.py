"""A bounded log of the numbered changes of levels. A checker compares readers' books with it."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass

CHUNK = 4096
WIDTH = 5  # update id, time in ns, side (0 bid, 1 ask), price, new size


@dataclass(frozen=True, slots=True)
class Change:
    """Update `id` set the level at `price` to `size` (0 removed it)."""

    id: int
    time_ns: int
    side: int
    price: int
    size: int


class UpdateLog:
    """Append-only, bounded log of level changes of one symbol; 40 bytes a change, oldest dropped in chunks."""

    __slots__ = ("_chunks", "_current", "_limit_chunks", "dropped")

    def __init__(self, limit: int) -> None:
        self._chunks: deque[array[int]] = deque()
        self._current = array("q")
        self._chunks.append(self._current)
        self.dropped = 0  # changes no longer held
        self._limit_chunks = max(2, -(-limit // CHUNK))

    def append(self, update_id: int, time_ns: int, side: int, price: int, size: int) -> None:
        current = self._current
        current.extend((update_id, time_ns, side, price, size))
        if len(current) >= CHUNK * WIDTH:
            self._current = array("q")
            self._chunks.append(self._current)
            if len(self._chunks) > self._limit_chunks:
                self._chunks.popleft()
                self.dropped += CHUNK

    def __len__(self) -> int:
        return (len(self._chunks) - 1) * CHUNK + len(self._current) // WIDTH

    @property
    def first_id(self) -> int | None:
        """Id of the oldest change still held."""
        oldest = self._chunks[0]
        return oldest[0] if oldest else None

    def since(self, after_id: int, limit: int) -> list[Change]:
        """Return at most `limit` changes with an id above `after_id`, oldest first."""
        found: list[Change] = []
        for chunk in self._chunks:
            n = len(chunk) // WIDTH
            if not n or chunk[(n - 1) * WIDTH] <= after_id:
                continue
            low, high = 0, n
            while low < high:
                middle = (low + high) // 2
                if chunk[middle * WIDTH] <= after_id:
                    low = middle + 1
                else:
                    high = middle
            for i in range(low * WIDTH, n * WIDTH, WIDTH):
                found.append(Change(*chunk[i : i + WIDTH]))
                if len(found) >= limit:
                    return found
        return found
