"""Leases of nodes on the books of other nodes. Pure.

A process that reads a book of another node renews its lease every few seconds; a node without leases has no mirror. The
mirror gets its sources by child address, so that it polls each source cell once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...actors.book.settings import BookSettings
from ...actors.node.settings import MirrorSettings
from ...model.address import mirror_address
from ...model.time import in_ns
from .child import ChildSpec, Tier
from .routes import RouteTable


def mirror_spec(node: str, settings: MirrorSettings) -> ChildSpec:
    return ChildSpec(mirror_address(node), "mirror", settings, group="mirror", tier=Tier.MIRROR, node=node)


class MirrorLeases:
    """The leases of all nodes; time in ns is an argument."""

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self._lease_ns = in_ns(lease_s)
        self._until: dict[str, dict[str, int]] = {}

    def ask(self, node: str, addresses: Iterable[str], now_ns: int) -> None:
        self._until.setdefault(node, {}).update(dict.fromkeys(addresses, now_ns + self._lease_ns))

    def drop(self, node: str) -> None:
        self._until.pop(node, None)

    def nodes(self, now_ns: int) -> list[str]:
        """Return the nodes with leases; expired leases are deleted."""
        for node, until in list(self._until.items()):
            for address in [a for a, end in until.items() if end <= now_ns]:
                del until[address]
            if not until:
                del self._until[node]
        return list(self._until)

    def sources(self, node: str, routes: RouteTable, specs: Mapping[str, ChildSpec]) -> dict[str, Any]:
        """Return the sources of a node's mirror: child address -> {"incarnation", "books": {address: {"levels",
        "trades"}}}."""
        found: dict[str, Any] = {}
        for address in sorted(self._until.get(node, ())):
            route = routes.get(address)
            settings = specs[route.child].config if route is not None and route.child in specs else None
            if route is None or route.node == node or not isinstance(settings, BookSettings):
                continue
            source = found.setdefault(route.child, {"incarnation": list(route.incarnation), "books": {}})
            source["books"][address] = {"levels": settings.levels, "trades": settings.trade_ring}
        return found
