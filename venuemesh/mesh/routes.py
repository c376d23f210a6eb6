"""A process's copy of the route table: which exchanges, tracked instruments and accounts a mesh has."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from ..model.address import REPLICA, Address, Route, book_of, has_kind, replica_of
from ..model.errors import RetryLater
from ..model.instrument import Instrument

FIRST_S = 15.0  # how long the first use of a mesh in a process waits for its route table
Tracked = dict[str, dict[str, Instrument]]  # by exchange and name


class RouteTable:
    """Written on the session's loop, by `take`; read from any thread."""

    def __init__(self, mesh: str, node: str) -> None:
        self._mesh, self._node = mesh, node
        self._tracked: Tracked = {}
        self._accounts: dict[str, list[str]] = {}
        self.elsewhere: set[str] = set()  # addresses that another node serves
        self._redundant: set[str] = set()  # books that two actors serve
        self._routes: dict[str, Any] = {}
        self._first = threading.Event()
        self._changed = asyncio.Event()

    def take(self, table: dict[str, Any]) -> None:
        """Replace the copy by a newer table of the supervisor."""
        tracked: Tracked = {exchange: {} for exchange in table["exchanges"]}
        for address, plain in table["tracked"].items():
            book = Address.parse(address)
            known = self._tracked.get(book.exchange, {}).get(book.name)
            fresh = Instrument.from_dict(plain)
            tracked[book.exchange][book.name] = known if known == fresh else fresh
        routes = self._routes = table["routes"]
        self.elsewhere = {address for address, route in routes.items() if route["node"] != self._node}
        replicas = ((book_of(address), route) for address, route in routes.items() if has_kind(address, REPLICA))
        self._redundant = {book for book, route in replicas if routes.get(book, route)["child"] != route["child"]}
        self._tracked, self._accounts = tracked, table["accounts"]
        self._first.set()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def route(self, address: str) -> Route | None:
        plain = self._routes.get(address)
        return None if plain is None else Route.from_dict(address, plain)

    def copies(self, address: str) -> list[str]:
        """Return the addresses of the actors that serve a book, that of this node first; of another role: its own."""
        known = [address, replica_of(address)] if address in self._redundant else [address]
        return sorted(known, key=self.elsewhere.__contains__)

    def tracked(self) -> Tracked:
        """The tracked instruments. Raises RetryLater: the supervisor has not answered yet."""
        if not self._first.wait(FIRST_S):
            raise RetryLater(1.0, f"mesh {self._mesh!r}: its supervisor has not answered yet")
        return self._tracked

    def accounts(self, exchange: str) -> list[str]:
        """The accounts of an exchange. Raises RetryLater: the supervisor has not answered yet."""
        self.tracked()
        return list(self._accounts.get(exchange, ()))

    async def until(self, timeout_s: float, reached: Callable[[Tracked], bool]) -> Tracked:
        """On the session's loop: return the tracked instruments once `reached(them)`. Raises RetryLater."""
        try:
            async with asyncio.timeout(timeout_s):
                while not reached(self._tracked):
                    await self._changed.wait()
        except TimeoutError:
            raise RetryLater(1.0, f"the routes have not changed within {timeout_s:g} s") from None
        return self._tracked
