"""The books of a node, as a link reads them: from the segments of their writers, woken by the kernel at each change.

A `Watched` book has one reader and one waiting task, however many mirrors follow it, and packs each publication once.
It reads the newest segment that a book's own writer made; segments of this node's mirror are left out, because two
mirrors that copied each other would keep a dead book alive. When a successor has a segment while its predecessor is
still LIVE, the predecessor is read on until the successor is LIVE.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from ...model.errors import NotSynced, SegmentMismatch
from ...model.events import BookState, Side
from ...orderbook.records import Content
from ...orderbook.segment import SegmentReader
from ...orderbook.segment.directory import list_segments
from ...orderbook.segment.waiter import Waiter
from .wire import Book, Segment, Trade, pack_trades

SETTLED_NS = 50_000_000  # changes of a directory within one tick of its file system's clock look alike
TRADES_AT_ONCE = 500


class Watched:
    """One book of this node. `changed` is called when there is something new; `reader` is None without a source."""

    def __init__(
        self,
        address: str,
        changed: Callable[[Watched], None],
        ended: Callable[[Watched], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self.address = address
        self.reader: SegmentReader | None = None
        self.segment: Segment | None = None
        self.users = 0
        self._changed, self._on_end, self._fail = changed, ended, fail
        self._next: SegmentReader | None = None  # a successor that is not LIVE yet
        self._task: asyncio.Task[None] | None = None
        self._content: Content | None = None
        self._packed = b""
        self._packed_of: tuple[Segment, int] | None = None

    @property
    def needs_look(self) -> bool:
        """Whether it may have another source although the directory has not changed."""
        return self._next is not None or self.reader is None or self.reader.ended

    def look(self, paths: list[Path]) -> None:
        """Choose the segment to read, of those with this address, oldest first."""
        newest, reader = self._newest(paths), self.reader
        if newest is None or newest is reader:
            self._next = None
            if reader is not None and reader.ended:
                self._begin(None)
        elif reader is not None and _is_live(reader) and not _is_live(newest):
            self._next = newest
        else:
            self._begin(newest)

    def _newest(self, paths: list[Path]) -> SegmentReader | None:
        """Return the newest segment whose writer lives, or the present one before any that is older."""
        for path in reversed(paths):
            for known in (self.reader, self._next):
                if known is not None and known.path == path and not known.ended:
                    return known
            try:
                found = SegmentReader(path)
            except (FileNotFoundError, SegmentMismatch):
                continue
            if found.alive and not found.mirrored:
                return found
        return None

    def _begin(self, reader: SegmentReader | None) -> None:
        """Read this segment from now on."""
        self.close()
        self.reader = reader
        if reader is not None:
            self.segment = Segment(*reader.incarnation, reader.identity[1])
            self._task = asyncio.ensure_future(self._watch(reader))
            self._task.add_done_callback(self._ended)
        self._changed(self)

    async def _watch(self, reader: SegmentReader) -> None:
        waiter = Waiter.shared()
        while not reader.ended:
            version, alive = reader.version, reader.alive
            self._changed(self)
            await asyncio.sleep(0)  # a book that changes all the time leaves the loop to others
            await waiter.change(reader, version, None, alive)
        self._on_end(self)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = self.reader = self.segment = self._next = self._content = self._packed_of = None

    # ---- what is sent

    def content(self) -> Content | None:
        """Return the newest content; None if the writer died within a publication."""
        reader, content = self.reader, self._content
        assert reader is not None
        if content is None or content.version != reader.version:
            try:
                content = self._content = reader.content()
            except NotSynced:
                return None
        return content

    def packed(self, content: Content) -> bytes:
        """Return the content of a BOOK frame of a segment that the mirror has already."""
        assert self.segment is not None
        if self._packed_of != (self.segment, content.update):
            self._packed, self._packed_of = self.first(content).pack(), (self.segment, content.update)
        return self._packed

    def first(self, content: Content) -> Book:
        """Return the book with its newest trade, for the first BOOK frame of a segment."""
        reader, segment = self.reader, self.segment
        assert reader is not None
        assert segment is not None
        last = reader.last_trade_number
        found = reader.trades(last - 1, 1) if last else []
        return Book(
            segment,
            reader.price_scale,
            reader.size_scale,
            reader.sequenced,
            reader.exact,
            reader.redundant,
            reader.comparable,
            found[-1].number if found else last,
            found[-1].lost if found else 0,
            *content[2:],
        )

    def trades(self, after: int) -> tuple[bytes, int]:
        """Return the content of a TRADES frame, and the number of its last trade; (b"", after) without trades."""
        assert self.reader is not None
        found = self.reader.trades(after, TRADES_AT_ONCE, 0)
        if not found:
            return b"", after
        rows = (
            Trade(
                t.number, t.trade_id, t.price_raw, t.size_raw, t.side is Side.SELL, t.ts_event_ns, t.ts_recv_ns, t.lost
            )
            for t in found
        )
        return pack_trades(rows), found[-1].number


def _is_live(reader: SegmentReader) -> bool:
    return reader.state is BookState.LIVE


class LocalBooks:
    """The watched books of a segment directory, by address."""

    def __init__(self, directory: Path, changed: Callable[[Watched], None], fail: Callable[[BaseException], None]):
        self._directory, self._changed, self._fail = directory, changed, fail
        self._watched: dict[str, Watched] = {}
        self._paths: dict[str, list[Path]] = {}
        self._seen_ns = -1  # modification time of the directory when it was listed

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, address: str) -> Watched:
        """Return the book; each call needs a call of `leave`."""
        book = self._watched.get(address)
        if book is None:
            book = self._watched[address] = Watched(address, self._changed, self._look_at, self._fail)
            self._look_at(book)
        book.users += 1
        return book

    def leave(self, book: Watched) -> None:
        book.users -= 1
        if not book.users:
            book.close()
            del self._watched[book.address]

    def look(self, now_ns: int) -> None:
        """Find new segments: one call of the file system while nothing changes. `now_ns` is the wall clock."""
        try:
            changed_ns = os.stat(self._directory).st_mtime_ns
        except FileNotFoundError:
            changed_ns = 0
        is_new = changed_ns != self._seen_ns
        if is_new:
            self._list()
            if now_ns - changed_ns > SETTLED_NS:
                self._seen_ns = changed_ns
        for book in list(self._watched.values()):
            if is_new or book.needs_look:
                book.look(self._paths.get(book.address, []))

    def _look_at(self, book: Watched) -> None:
        self._list()
        book.look(self._paths.get(book.address, []))

    def _list(self) -> None:
        self._paths = {}
        for address, _, path in list_segments(self._directory):
            self._paths.setdefault(address, []).append(path)
