"""Leases of nodes on the books of other nodes. Pure.

A process that reads a book of another node renews its lease every few seconds; a node without leases has no mirror. The
mirror gets its sources by child address, each with its node. A node with sources of a mirror has a link, which sends
the mirror what changes; the link stays for one lease after the last mirror needed it.

Leases are not stored. A later supervisor inherits the mirrors and links that run: it keeps each of them for one lease,
in which every reader renews its own, and leases the books that the mirror reports to follow. Until it has that report
it tells the mirror nothing, so no book of a reader is retired because a supervisor ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...actors.book.settings import BookSettings
from ...actors.link.settings import LinkSettings
from ...actors.node.settings import MirrorSettings
from ...model.address import BOOK, REPLICA, has_kind, link_address, mirror_address
from ...model.time import in_ns
from .child import ChildSpec, Tier
from .routes import RouteTable


def mirror_spec(node: str, settings: MirrorSettings) -> ChildSpec:
    return ChildSpec(mirror_address(node), "mirror", settings, group="mirror", tier=Tier.MIRROR, node=node)


def link_spec(node: str, settings: LinkSettings) -> ChildSpec:
    return ChildSpec(link_address(node), "link", settings, group="mirror", tier=Tier.LINK, node=node)


class MirrorLeases:
    """The leases of all nodes; time in ns is an argument."""

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self._lease_ns = in_ns(lease_s)
        self._until: dict[str, dict[str, int]] = {}
        self._kept_until: dict[str, int] = {}  # nodes with a mirror of an earlier supervisor
        self._linked_until: dict[str, int] = {}  # nodes whose link a mirror needs, or needed
        self._unread: set[str] = set()  # of these: the mirror has not reported yet what it follows

    def inherit(self, node: str, now_ns: int) -> None:
        """Keep the mirror that an earlier supervisor started on a node, for one lease."""
        self._kept_until[node] = now_ns + self._lease_ns
        self._unread.add(node)

    def need_links(self, nodes: Iterable[str], now_ns: int) -> None:
        """Keep the links of these nodes for one lease."""
        self._linked_until.update(dict.fromkeys(nodes, now_ns + self._lease_ns))

    def linked(self, now_ns: int) -> list[str]:
        """Return the nodes that must have a link."""
        for node in [node for node, end in self._linked_until.items() if end <= now_ns]:
            del self._linked_until[node]
        return list(self._linked_until)

    def reported(self, node: str, addresses: Iterable[str], now_ns: int) -> None:
        """Lease the books that an inherited mirror follows."""
        self._unread.discard(node)
        self.ask(node, addresses, now_ns)

    def is_unread(self, node: str) -> bool:
        """Return whether an inherited mirror has yet to report what it follows: tell it nothing."""
        return node in self._unread

    def ask(self, node: str, addresses: Iterable[str], now_ns: int) -> None:
        until = dict.fromkeys(addresses, now_ns + self._lease_ns)
        if until:
            self._until.setdefault(node, {}).update(until)

    def nodes(self, now_ns: int) -> list[str]:
        """Return the nodes with leases or an inherited mirror; expired leases are deleted."""
        for node in [node for node, end in self._kept_until.items() if end <= now_ns]:
            del self._kept_until[node]
            self._unread.discard(node)
        for node, until in list(self._until.items()):
            for address in [a for a, end in until.items() if end <= now_ns]:
                del until[address]
            if not until:
                del self._until[node]
        return list(dict.fromkeys((*self._until, *self._kept_until)))

    def sources(self, node: str, routes: RouteTable, specs: Mapping[str, ChildSpec]) -> dict[str, Any]:
        """Return the sources of a node's mirror: child -> {"node", "books": {address: {"levels", "trades"}}}."""
        found: dict[str, Any] = {}
        for address in sorted(self._until.get(node, ())):
            route = routes.get(address)
            settings = specs[route.child].config if route is not None and route.child in specs else None
            if route is None or route.node == node or not isinstance(settings, BookSettings):
                continue
            if has_kind(address, BOOK) and has_kind(route.child, REPLICA):
                continue  # the replica stands in for a book that has no actor now: it has no segment of that address
            source = found.setdefault(route.child, {"node": route.node, "books": {}})
            source["books"][address] = {"levels": settings.levels, "trades": settings.trade_ring}
        return found
