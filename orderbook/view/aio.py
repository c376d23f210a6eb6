"""`AsyncBookView`: a view of a book for async code. `sync` is generated from this file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from ...model.errors import NotSynced
from ...model.events import BookState
from ...model.time import SECOND_NS, in_ns
from ..records import Trade
from ..segment import SegmentReader, Top, monotonic_ns
from ..segment.names import Incarnation
from .overlap import Overlap
from .reading import LOOK_NS, BookReading
from .waits import AsyncWaits

LATE_LOOK_NS = 25_000_000  # pause between two checks for a successor when the writer died some time ago
FRESH_NS = 2_000_000_000  # a writer that died within this time has died recently
RELOOK_S = 0.1  # pause between two checks for a successor if the writer lives but its book is not LIVE
LONGEST_S = 1.0  # longest wait for a change of a quiet LIVE book

_GONE = (BookState.DEAD, BookState.RETIRED)


class AsyncBookView(BookReading):
    """A book for async code: `BookReading`, and methods that wait for changes."""

    async def changes(self, states: bool = False) -> AsyncIterator[Top]:
        """Yield the top of the book now and after every change; only the newest if changes are faster than the caller.

        All tops are LIVE; with `states` each change of state is yielded too, with the last known levels. The iteration
        survives the writer's death: it continues when the successor is LIVE.
        """
        AsyncWaits.begin()
        seen: Top | None = None
        while True:
            reader, top = self._observe()
            if self._is_news(top, seen):
                seen = top
                if top.live or states:
                    yield top
                    continue
            if reader is not None and top.live and not self._awaited:  # the quickest way to wake: no coroutine between
                await AsyncWaits.change(reader, top.version, LONGEST_S)
            else:
                await self._sleep(reader, top)

    async def wait_live(self, timeout_s: float | None = None) -> Top:
        """Return the top as soon as the book is LIVE. `timeout_s` None or infinite means no limit.

        Raises:
            NotSynced: the book was not LIVE within `timeout_s`.
        """
        return await self._wait(None, timeout_s, f"not LIVE within {timeout_s} s")

    async def wait_change(self, after: Top | None, timeout_s: float | None = None) -> Top:
        """Return the top as soon as the book is LIVE and differs from `after` (None: as soon as it is LIVE).

        `timeout_s` None or infinite means no limit.

        Raises:
            NotSynced: no change within `timeout_s`; `state` is the book's state then, LIVE when nothing changed.
        """
        return await self._wait(after, timeout_s, f"no change within {timeout_s} s")

    async def _wait(self, after: Top | None, timeout_s: float | None, failure: str) -> Top:
        AsyncWaits.begin()
        until_ns = _until_ns(timeout_s)
        while True:
            reader, top = self._observe()
            if top.live and self._is_news(top, after):
                return top
            left_s = None if until_ns is None else (until_ns - monotonic_ns()) / SECOND_NS
            if left_s is not None and left_s <= 0:
                raise NotSynced(self.address, top.state.name, failure)
            await self._sleep(reader, top, left_s)

    async def trades(self, after: Trade | int | None = None) -> AsyncIterator[Trade]:
        """Yield trades in order, each once. `after` None begins with the next trade; a number, or a trade that
        was yielded before, resumes after that trade.

        Numbers start again at 1 with each incarnation; a trade that the incarnation before has written, too, is not
        yielded again. A trade's `missed` is the number of trades known to be lost just
        before it: by this reader (the ring keeps the last 1,024 trades by default), by the mirror of another node's
        book, or by the connection, where the exchange numbers its trades without gaps. It is None if a new incarnation
        of the book or of its mirror began without the last trades of the one before, so that the number is unknown.
        The two actors of a redundant book number their trades separately: resume there after a trade, not a number.

        Raises:
            ValueError: a number below 0.
        """
        AsyncWaits.begin()
        reader = self._serving()
        incarnation: Incarnation | None = None
        identity: tuple[int, int] | None = None  # of the segment that `number` belongs to
        number, lost = 0, None
        last: Trade | None = None  # the last trade that was yielded
        left: SegmentReader | None = None  # its segment
        begun = self._trade_numbers()
        overlap = Overlap()
        if isinstance(after, Trade):
            incarnation, number, lost, last = after.incarnation, after.number, after.lost, after
            reader = self._copy_of(after.incarnation) or reader
        elif after is not None:
            number = after
        elif reader is not None:
            number = reader.last_trade_number
        if number < 0:
            raise ValueError(f"{after}: trades are numbered from 1")
        began_anew = False
        while True:
            if reader is None:
                await AsyncWaits.sleep(LOOK_NS / SECOND_NS)
                reader = self._serving()
                continue
            if reader.identity != identity:
                # A number that this segment has not reached belongs to an earlier segment of the same incarnation.
                is_other = incarnation not in (None, reader.incarnation) or number > reader.last_trade_number
                if identity is not None or is_other:
                    overlap = Overlap(last, left)
                    reader, place = self._continued(overlap, reader)
                    began_anew = place is None
                    number, lost = (0, None) if place is None else (place.number, place.lost)
                    if last is None and identity is not None and reader in begun:
                        number, began_anew = begun[reader], False
                else:
                    left = reader
                identity = reader.identity
            # Read before the trades, so that they include the last ones of a dead writer.
            alive = reader.alive and not self._is_outlived(reader)
            version = reader.version
            found = reader.trades(number, lost=lost)
            for trade in found:
                number, lost = trade.number, trade.lost
                if overlap.has(trade):
                    began_anew = False
                    continue
                last, left = trade, reader
                yield replace(trade, missed=None) if began_anew else trade
                began_anew = False
            if found:
                continue
            if alive:
                await AsyncWaits.change(reader, version, LONGEST_S)
            else:
                await AsyncWaits.sleep(LOOK_NS / SECOND_NS)
                reader = self._serving() or reader

    async def _sleep(self, reader: SegmentReader | None, top: Top, at_most_s: float | None = None) -> None:
        """Sleep until the book may differ from `top`."""
        unreadable = reader is not None and top.version == 0 and reader.version > 0
        if reader is None or top.state in _GONE or unreadable:
            fresh = reader is not None and reader.heartbeat_age_ns < FRESH_NS
            pause_s = (LOOK_NS if fresh else LATE_LOOK_NS) / SECOND_NS
            await AsyncWaits.sleep(pause_s if at_most_s is None else min(pause_s, at_most_s))
            return
        pause_s = LONGEST_S if top.live else RELOOK_S
        pause_s = pause_s if at_most_s is None else min(pause_s, at_most_s)
        if self._awaited:
            await AsyncWaits.change_of_any(self._awaited, pause_s)
        else:
            await AsyncWaits.change(reader, top.version, pause_s)


def _until_ns(timeout_s: float | None) -> int | None:
    """Return the end of a wait (CLOCK_MONOTONIC); None for no limit: None, infinity or centuries.

    Raises:
        ValueError: not a number.
    """
    if timeout_s is None or timeout_s > 1e10:
        return None
    return monotonic_ns() + in_ns(max(timeout_s, 0.0))
