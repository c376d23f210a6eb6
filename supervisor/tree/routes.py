"""The route table: the incarnation that serves each address now. Pure.

A table has one version, which rises with every change, across all supervisors of a mesh, because it begins at the
supervisor's epoch. The table keeps the versions of removed routes (bounded), so that polls with an older version notice
the removal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ...model.address import Route

EPOCH_SHIFT = 20  # versions of one epoch; an epoch is a wall time in ms, so versions stay within int64
MAX_GONE = 10_000


class RouteTable:
    """The supervisor's route table. It has one writer."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.version = epoch << EPOCH_SHIFT
        self._routes: dict[str, Route] = {}
        self._changed: dict[str, int] = {}

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes.values())

    def __len__(self) -> int:
        return len(self._routes)

    def get(self, address: str) -> Route | None:
        return self._routes.get(address)

    def set(self, route: Route) -> None:
        if self._routes.get(route.address) != route:
            self._routes[route.address] = route
            self._touch(route.address)

    def remove(self, address: str) -> None:
        if self._routes.pop(address, None) is not None:
            self._touch(address)
            while len(self._changed) > MAX_GONE + len(self._routes):
                oldest = min((a for a in self._changed if a not in self._routes), key=self._changed.__getitem__)
                del self._changed[oldest]

    def bump(self) -> None:
        """Raise the version because the tracked pairs have changed, so that polls of the whole table return."""
        self.version += 1

    def _touch(self, address: str) -> None:
        self.version += 1
        self._changed[address] = self.version

    def changed_since(self, after: int, addresses: Iterable[str] | None = None) -> bool:
        """Return whether a route of `addresses` (None: any) changed after version `after`."""
        if addresses is None:
            return self.version > after
        if after >> EPOCH_SHIFT != self.epoch:
            return True
        return any(self._changed.get(address, 0) > after for address in addresses)

    def to_dict(self, addresses: Iterable[str] | None = None, instruments: bool = True) -> dict[str, Any]:
        """Return plain values: epoch, version and the requested routes (all when None)."""
        wanted = self._routes.values() if addresses is None else [r for a in addresses if (r := self._routes.get(a))]
        routes = {route.address: route.to_dict() for route in wanted}
        if not instruments:
            for plain in routes.values():
                plain["instrument"] = None
        return {"epoch": self.epoch, "version": self.version, "routes": routes}
