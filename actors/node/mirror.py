"""The mirror of a node: copies the books of other nodes into segments of this node.

The mirror has one connection to the link of each node that holds books it copies (`actors.link`). The link pushes the
newest state of each book as soon as it changes (states in between are conflated if the mirror is slow) and its new
trades. A local segment gets heartbeats only while its source is proved to live: the link must answer a PING that was
*sent* within the heartbeat limit, with a heartbeat of the source that is no older than the rest of the limit. Otherwise
the segment is SILENT. The source's own states are copied. When the route of a source is gone, its local segments are
retired until the next incarnation has a route; `local_copy` says how a book follows its successor.

Trades begin with the first trade that the source reports after this mirror began to follow it, so that no trade appears
twice across mirrors; the first trade of each segment states that the number of missed trades before it is unknown.
Trades that the source's ring loses before they are sent, and trades that the source itself missed, are reported as
missed.

A segment's incarnation is the later of the source's and this mirror's, so it succeeds both an earlier mirror of the
same source and an earlier source of the same mirror. A new incarnation of the mirror starts empty: the supervisor sends
the mirror its sources (`follow`), and each link sends the whole books.

    follow {sources}    set all sources: {child address: {"node", "books": {address: {"levels", "trades"}}}}
    stats               the same as `status`
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from ...model.address import NODE_CHARACTERS
from ...model.shown import few
from ...model.time import in_ns
from ..cell.pulse import PERIOD_S
from ..cell.role import Context
from ..link.client import LinkClient
from ..link.wire import Book, Position, Trade
from .local_copy import Feed, LocalCopy
from .settings import MirrorSettings

PING_SHARE = 0.2  # times the heartbeat limit: the time between two PINGs
PING_MAX_S = 0.1


class _Node:
    """One node with sources: its link, and the feeds of the books there."""

    def __init__(self, node: str, context: Context, ping_ns: int) -> None:
        self.node = node
        self.feeds: dict[int, tuple[LocalCopy, Feed]] = {}
        self.changed = False
        self._now_ns = context.monotonic_ns
        self.client = LinkClient(node, context, self, ping_ns)

    def subscriptions(self) -> dict[int, tuple[str, Position | None]]:
        return {number: (copy.address, copy.position(feed)) for number, (copy, feed) in self.feeds.items()}

    def on_book(self, number: int, book: Book) -> None:
        if (found := self.feeds.get(number)) is not None:
            found[0].on_book(found[1], book, self._now_ns())

    def on_trades(self, number: int, trades: list[Trade]) -> None:
        if (found := self.feeds.get(number)) is not None:
            found[0].on_trades(found[1], trades)

    def on_gone(self, number: int) -> None:
        if (found := self.feeds.get(number)) is not None:
            found[0].on_gone(found[1], self._now_ns())

    def on_life(self, number: int, proved_ns: int) -> None:
        if (found := self.feeds.get(number)) is not None:
            found[0].on_life(found[1], proved_ns, self._now_ns())


class MirrorRole:
    """See the module."""

    reads = frozenset({"stats"})

    def __init__(self, settings: MirrorSettings, context: Context) -> None:
        self._context = context
        self._limit_ns = in_ns(settings.heartbeat_limit_s)
        # A beat comes a little later than the one before: the half of one keeps it from missing its PING.
        self._ping_ns = in_ns(min(PING_MAX_S, PING_SHARE * settings.heartbeat_limit_s) - PERIOD_S / 2)
        self._numbers = itertools.count(1)
        self._nodes: dict[str, _Node] = {}
        self._copies: dict[str, LocalCopy] = {}
        self._sources: dict[str, dict[str, Any]] = {}

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self._follow({})

    async def handle(self, kind: str, body: Any) -> Any:
        match kind:
            case "follow":
                self._follow(body["sources"])
                return len(self._sources)
            case "stats":
                return self.status()
        raise self._context.unknown(kind)

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        raise self._context.unknown_poll(kind)

    def status(self) -> dict[str, Any]:
        errors = [node.client.error for node in self._nodes.values() if node.client.error]
        return {
            "state": "SERVING",
            "error": few(errors, 3, "; ") or None,
            "sources": self._sources,
            "links": {
                name[:NODE_CHARACTERS]: {"books": len(node.feeds), "connected": node.client.is_connected}
                for name, node in self._nodes.items()
            },
            "books": {copy.address: copy.state.name for copy in self._copies.values()},
        }

    def beat(self) -> None:
        """Request proofs of life; write heartbeats for the sources that are known to live."""
        self._context.alive()
        now_ns = self._context.monotonic_ns()
        for node in self._nodes.values():
            node.client.beat(now_ns)
        for copy in self._copies.values():
            copy.beat(now_ns)
            for feed in copy.surplus:
                self._unsubscribe(copy, feed)
        self._tell()

    # Sources

    def _follow(self, wanted: Mapping[str, Any]) -> None:
        books = {
            address: (source["node"], sizes) for source in wanted.values() for address, sizes in source["books"].items()
        }
        for copy in list(self._copies.values()):
            found = books.get(copy.address)
            if found is None or found[1] != copy.sizes:  # its source may have other sizes now: a new segment follows
                self._leave(copy)
        for address, (node, sizes) in books.items():
            copy = self._copies.get(address) or self._copy(address, sizes)
            copy.wanted = node
            if node not in copy.feeds:
                self._subscribe(copy, node)
        self._sources = {
            child: {"node": source["node"], "books": {a: dict(sizes) for a, sizes in source["books"].items()}}
            for child, source in wanted.items()
        }
        self._tell()

    def _copy(self, address: str, sizes: Mapping[str, int]) -> LocalCopy:
        context = self._context
        copy = self._copies[address] = LocalCopy(
            address,
            int(sizes["levels"]),
            int(sizes["trades"]),
            context.segments,
            context.incarnation,
            self._limit_ns,
        )
        return copy

    def _leave(self, copy: LocalCopy) -> None:
        for feed in list(copy.feeds.values()):
            self._unsubscribe(copy, feed)
        copy.close()
        del self._copies[copy.address]

    def _subscribe(self, copy: LocalCopy, name: str) -> None:
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = _Node(name, self._context, self._ping_ns)
        feed = copy.feeds[name] = Feed(next(self._numbers), name)
        node.feeds[feed.number] = copy, feed
        node.changed = True

    def _unsubscribe(self, copy: LocalCopy, feed: Feed) -> None:
        node = self._nodes[feed.node]
        del copy.feeds[feed.node], node.feeds[feed.number]
        node.changed = True

    def _tell(self) -> None:
        """Tell the links what changed; leave those that are not needed."""
        for name, node in list(self._nodes.items()):
            if not node.feeds:
                node.client.close()
                del self._nodes[name]
            elif node.changed:
                node.changed = False
                node.client.follow()
