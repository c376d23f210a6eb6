"""The mirror of a node: copies the books of other nodes into segments of this node.

One long poll `next` per source actor carries the newest state of each of its books that changed since the last answer
(states in between are conflated) and its new trades. A local segment gets heartbeats only while its source proves to be
alive: the source must answer a poll that was *sent* within the heartbeat limit. Otherwise the segment is SILENT. The
source's own states are copied. When the route of a source is gone, its local segments are retired until the next
incarnation has a route.

Trades begin with the first trade that the source reports after this mirror began to follow it, so that no trade appears
twice across mirrors; the first trade of each segment states that the number of missed trades before it is unknown.
Trades that the source's ring loses between two polls, and trades that the source itself missed, are reported as missed.

A segment's incarnation is the later of the source's and this mirror's, so it succeeds both an earlier mirror of the
same source and an earlier source of the same mirror. A new incarnation of the mirror starts empty: the supervisor sends
the mirror its sources (`follow`), and the mirror requests the whole book from each source.

    follow {sources}    set all sources: {child address: {"books": {address: {"levels", "trades"}}}}
    stats               the same as `status`
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...model.errors import MeshError, Rejected
from ...model.events import BookState, Levels, PublicTrade, Side
from ...model.shown import few
from ...model.time import SECOND_NS, in_ns
from ...orderbook.segment import SegmentWriter
from ..cell.messages import AGAIN_S
from ..cell.role import Context, Incarnation
from .settings import MirrorSettings

POLL_SHARE = 0.25  # times the heartbeat limit: the timeout of a poll of a quiet source
POLL_MAX_S = 0.1


@dataclass(slots=True)
class Mirrored:
    """The local copy of one remote book."""

    address: str
    levels: int
    trades: int
    writer: SegmentWriter | None = None
    source: Incarnation = (0, 0)
    version: int = 0
    last_trade: int = 0  # number, in the source's segment, of the last trade seen
    lost: int = 0  # trades that the source had lost by that trade
    traded: bool = False  # whether the current segment holds a trade
    reason: str = ""
    state: BookState = BookState.CONNECTING
    silent: bool = False

    @property
    def after(self) -> list[int]:
        return [*self.source, self.version, self.last_trade]

    @property
    def sizes(self) -> dict[str, int]:
        return {"levels": self.levels, "trades": self.trades}


@dataclass(slots=True)
class Source:
    """One remote actor; one poll serves all its mirrored books."""

    child: str
    books: dict[str, Mirrored] = field(default_factory=dict)
    proved_ns: int = 0  # the source was alive at this time or later
    polls: int = 0
    error: str | None = None
    task: asyncio.Task[None] | None = None


class MirrorRole:
    """See the module."""

    reads = frozenset({"stats"})

    def __init__(self, settings: MirrorSettings, context: Context) -> None:
        self._context = context
        self._limit_ns = in_ns(settings.heartbeat_limit_s)
        self._poll_s = min(POLL_MAX_S, POLL_SHARE * self._limit_ns / SECOND_NS)
        self._sources: dict[str, Source] = {}

    async def start(self) -> None: ...

    async def stop(self) -> None:
        for child in list(self._sources):
            self._leave(child)

    async def handle(self, kind: str, body: Any) -> Any:
        match kind:
            case "follow":
                self._follow(body["sources"])
                return len(self._sources)
            case "stats":
                return self.status()
        raise Rejected("unknown_kind", f"{self._context.address} answers no {kind!r}")

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        raise Rejected("unknown_kind", f"{self._context.address} has no poll {kind!r}")

    def status(self) -> dict[str, Any]:
        books = [book for source in self._sources.values() for book in source.books.values()]
        errors = [f"{source.child}: {source.error}" for source in self._sources.values() if source.error]
        return {
            "state": "SERVING",
            "error": few(errors, 3, "; ") or None,
            "sources": {
                s.child: {"polls": s.polls, "books": {b.address: b.sizes for b in s.books.values()}}
                for s in self._sources.values()
            },
            "books": {b.address: (BookState.SILENT if b.silent else b.state).name for b in books},
        }

    def beat(self) -> None:
        """Write heartbeats for the sources that are known to be alive."""
        self._context.alive()
        now_ns = self._context.monotonic_ns()
        for source in self._sources.values():
            if now_ns - source.proved_ns <= self._limit_ns:
                for book in source.books.values():
                    if book.writer is not None:
                        book.writer.beat()
                continue
            for book in source.books.values():
                if book.writer is not None and not book.silent:
                    book.silent = True
                    book.writer.set_state(BookState.SILENT, "its source does not answer")

    # Sources

    def _follow(self, wanted: Mapping[str, Any]) -> None:
        for child in [child for child in self._sources if child not in wanted]:
            self._leave(child)
        for child, plain in wanted.items():
            source = self._sources.get(child)
            if source is None:
                source = self._sources[child] = Source(child)
                source.task = asyncio.get_running_loop().create_task(self._poll(source))
                source.task.add_done_callback(self._ended)
            for address in [a for a, book in source.books.items() if plain["books"].get(a) != book.sizes]:
                self._close(source.books.pop(address))  # its source may have other sizes now: a new segment follows
            for address, sizes in plain["books"].items():
                if address not in source.books:
                    source.books[address] = Mirrored(address, int(sizes["levels"]), int(sizes["trades"]))

    def _leave(self, child: str) -> None:
        source = self._sources.pop(child)
        if source.task is not None:
            source.task.cancel()
        for book in source.books.values():
            self._close(book)

    def _close(self, book: Mirrored) -> None:
        if book.writer is not None:
            book.writer.close()
            book.writer = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._context.fail(error)

    async def _poll(self, source: Source) -> None:
        while True:
            after = {address: book.after for address, book in source.books.items()}
            sent_ns = self._context.monotonic_ns()
            try:
                news = await self._context.ask(source.child, "poll:next", {"after": after}, self._poll_s)
            except MeshError as error:
                source.error = str(error)
                await asyncio.sleep(AGAIN_S)
                continue
            self._context.alive()
            source.error, source.proved_ns = None, sent_ns
            source.polls += 1
            for address, plain in news.items():
                book = source.books.get(address)
                if book is not None:
                    self._take(book, plain)
            for book in source.books.values():
                if book.silent and book.writer is not None:
                    book.silent = False
                    book.writer.set_state(book.state, book.reason)

    def _take(self, book: Mirrored, plain: Mapping[str, Any]) -> None:
        """Publish one answer."""
        incarnation = (int(plain["incarnation"][0]), int(plain["incarnation"][1]))
        if incarnation < book.source:
            return  # a late answer of an earlier incarnation
        writer, left = book.writer, None
        is_first = book.source == (0, 0)
        if (
            writer is None or incarnation != book.source or plain["version"] < book.version
        ):  # lower: the source has a new segment
            name = max(incarnation, self._context.incarnation)
            if writer is not None and writer.incarnation == name:
                writer.close()  # its name is needed again
            left = writer
            writer = book.writer = SegmentWriter(
                self._context.segments,
                book.address,
                name,
                plain["price_scale"],
                plain["size_scale"],
                levels=book.levels,
                trades=book.trades,
                heartbeat_limit_ns=self._limit_ns,
                sequenced=plain["sequenced"],
                exact=plain["exact"],
            )
            book.source, book.last_trade, book.lost, book.traded = incarnation, 0, 0, False
        for number, trade_id, price_raw, size_raw, side, ts_event_ns, ts_recv_ns, lost in plain["trades"]:
            if number <= book.last_trade:
                continue
            if not is_first:
                missed = number - book.last_trade - 1 + lost - book.lost if book.traded else None
                trade = PublicTrade("", trade_id, price_raw, size_raw, Side(side), ts_event_ns, ts_recv_ns)
                writer.trade(trade, missed)
                book.traded = True
            book.last_trade, book.lost = number, lost
        book.version, book.state, book.silent = plain["version"], BookState(plain["state"]), False
        book.reason = plain["reason"]
        bids, asks = _levels(plain["bids"]), _levels(plain["asks"])
        if len(bids) or len(asks) or book.state is BookState.LIVE:
            writer.publish_levels(
                bids,
                asks,
                plain["bids_complete"],
                plain["asks_complete"],
                plain["sequence"],
                book.state,
                plain["ts_event_ns"],
                plain["ts_recv_ns"],
                reason=book.reason,
            )
        else:
            writer.set_state(book.state, book.reason)
        if left is not None:
            left.close()  # after the new segment is filled, so that readers see no gap


def _levels(raw: bytes) -> Levels:
    return np.frombuffer(raw, dtype="<i8").astype(np.int64, copy=False).reshape(-1, 2)
