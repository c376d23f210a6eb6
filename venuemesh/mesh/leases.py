"""What a process keeps alive in a mesh by saying so again and again: owners of orders, and mirrors of distant books."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from ..model.errors import MeshError, MeshNotRunning, RetryLater
from ..orderbook.view import BookReading
from ..supervisor.tree.settings import MIRROR_LEASE_S

OWNER_LEASE_S = 5.0  # how long an owner counts as alive after its process was last heard of


class OwnerLeases:
    """Tells order managers that the owners of this process live, until the process does not."""

    def __init__(self, ask: Callable[[str, str, Any, float], Awaitable[Any]]) -> None:
        self._ask = ask
        self._owned: dict[tuple[str, str], str] = {}  # (order manager, owner) -> what becomes of the owner's orders

    async def add(self, address: str, owner: str, on_death: str) -> None:
        """On the session's loop: tell the order manager at `address` of this owner, now and from now on."""
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
    """Has this node's mirror follow the distant books that this process holds views of.

    A mirror follows a book while somebody on its node asks for it: so this asks again for every view.
    """

    def __init__(self, elsewhere: Callable[[], set[str]], ask: Callable[[list[str]], Awaitable[float]]) -> None:
        """`ask` has the mirror follow addresses and returns for how long, in seconds."""
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
        """On the session's loop: ask for these addresses now."""
        with contextlib.suppress(RetryLater, MeshNotRunning):  # a view asks again while it has nothing to read
            lease_s = await self._ask(addresses)
            if lease_s != self._lease_s:
                self._lease_s = lease_s
                self._leased.set()

    async def keep(self) -> None:
        """On the session's loop: ask again for every view, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leased.wait(), self._lease_s / 4)
            self._leased.clear()
            with self._lock:
                held = {view.address for view in self._views}
            if distant := sorted(held & self._elsewhere()):
                await self.follow(distant)
