"""Leases that a process renews in a mesh: of owners of orders, and of mirrors of books on other nodes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from ..actors.node.settings import MIRROR_LEASE_S
from ..model.errors import MeshError, MeshNotRunning, RetryLater
from ..orderbook.view import BookReading

OWNER_LEASE_S = 5.0  # how long an owner counts as alive after its process's last renewal


class OwnerLeases:
    """Renews the leases of this process's owners at the order managers, as long as the process lives."""

    def __init__(self, ask: Callable[[str, str, Any, float], Awaitable[Any]]) -> None:
        self._ask = ask
        self._owned: dict[tuple[str, str], str] = {}  # (order manager, owner) -> "keep" or "cancel"

    async def add(self, address: str, owner: str, on_death: str) -> None:
        """On the session's loop: take a lease for this owner at the order manager at `address`, and renew it."""
        self._owned[address, owner] = on_death
        await self._renew(address, owner, on_death)

    async def keep(self) -> None:
        """On the session's loop: renew all leases, for ever."""
        while True:
            await asyncio.gather(*(self._renew(*which, on_death) for which, on_death in list(self._owned.items())))
            await asyncio.sleep(OWNER_LEASE_S / 4)

    async def _renew(self, address: str, owner: str, on_death: str) -> None:
        body = {"owner": owner, "on_death": on_death, "lease_s": OWNER_LEASE_S}
        with contextlib.suppress(MeshError):  # renewed again before the lease is over; a manager's successor waits
            await self._ask(address, "poll:lease", body, OWNER_LEASE_S / 4)


class MirrorLeases:
    """Makes this node's mirror follow the books on other nodes that this process has views of.

    A mirror follows a book only while a process on its node requests the book, so this class repeats the request for
    every view: for the book, for the replica of a redundant book, or for both, by what other nodes serve.
    """

    def __init__(self, elsewhere: Callable[[], set[str]], ask: Callable[[list[str]], Awaitable[float]]) -> None:
        """`ask` makes the mirror follow addresses; it returns for how many seconds the mirror follows them."""
        self._elsewhere, self._ask = elsewhere, ask
        self._views: weakref.WeakSet[BookReading] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._lease_s = MIRROR_LEASE_S
        self._leased = asyncio.Event()

    def hold(self, view: BookReading) -> None:
        """From any thread: follow this view's book for as long as the view exists."""
        with self._lock:
            self._views.add(view)

    async def follow(self, addresses: list[str]) -> None:
        """On the session's loop: make the mirror follow these addresses now."""
        with contextlib.suppress(RetryLater, MeshNotRunning):  # a view repeats the request while it has nothing to read
            lease_s = await self._ask(addresses)
            if lease_s != self._lease_s:
                self._lease_s = lease_s
                self._leased.set()

    async def keep(self) -> None:
        """On the session's loop: repeat the request for every view, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lease_s / 4):  # unlike wait_for, it never drops a cancellation
                    await self._leased.wait()
            self._leased.clear()
            with self._lock:
                held = {address for view in self._views for address in view.addresses}
            if distant := sorted(held & self._elsewhere()):
                await self.follow(distant)
