"""Routes over Ray: this process's copy of the route table, and the sending of messages to cells."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from ...model.address import Route
from ...model.errors import MeshError
from .messages import Gone, Unreachable
from .ray_calls import SUPERVISOR, SUPERVISOR_AWAY_S, WATCH_S, call, find
from .role import Incarnation


class RayRoutes:
    """This process's copy of the routes it uses, kept current by one long poll to the supervisor; sends to cells.

    While the supervisor is away, the known routes stay in use.
    """

    def __init__(self, mesh: str) -> None:
        self._mesh = mesh
        self._known: dict[str, Route] = {}
        self._interest: set[str] = set()
        self._asked: set[str] = set()
        self._after = -1
        self._changed = asyncio.Event()
        self._poke = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._handles: dict[str, Any] = {}

    async def find(self, address: str, newer_than: Incarnation | None, timeout_s: float) -> Route | None:
        """See `messages.Routes`."""
        deadline = time.monotonic() + timeout_s
        if address not in self._interest:
            self._interest.add(address)
            self._poke.set()
        self.warm()
        while True:
            route = self._known.get(address)
            if route is not None and (newer_than is None or route.incarnation > newer_than):
                return route
            changed = self._changed
            if (remaining_s := deadline - time.monotonic()) <= 0:
                return None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), remaining_s)

    def warm(self) -> None:
        """Call the supervisor now, because the first call of a process takes about 100 ms and would delay a
        recovery."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        supervisor: Any = None
        while True:
            interest = set(self._interest)
            after = self._after if interest == self._asked else -1
            self._poke.clear()
            try:
                if supervisor is None:
                    supervisor = await find(SUPERVISOR, self._mesh)
                wait_s = WATCH_S if interest else 0.0
                watch = call(supervisor, "watch", after, sorted(interest), wait_s, timeout_s=2 * WATCH_S)
                watching = asyncio.ensure_future(watch)
                poked = asyncio.ensure_future(self._poke.wait())
                await asyncio.wait({watching, poked}, return_when=asyncio.FIRST_COMPLETED)
                poked.cancel()
                if not watching.done():
                    watching.add_done_callback(lambda done: done.cancelled() or done.exception())
                    continue
                answer = watching.result()
            except (Gone, Unreachable, MeshError, TimeoutError):
                supervisor = None
                await asyncio.sleep(SUPERVISOR_AWAY_S)
                continue
            if answer["version"] >= self._after:
                self._asked, self._after = interest, answer["version"]
                for address in interest:
                    self._known.pop(address, None)
                for address, plain in answer["routes"].items():
                    self._known[address] = Route.from_dict(address, plain)
                changed, self._changed = self._changed, asyncio.Event()
                changed.set()
            if not self._interest:
                await self._poke.wait()

    async def send(self, route: Route, method: str, packed: bytes, timeout_s: float) -> bytes:
        """See `messages.Send`."""
        handle = self._handles.get(route.cell)
        if handle is None:
            handle = self._handles[route.cell] = await find(route.cell, self._mesh)
        try:
            answer: bytes = await call(handle, method, packed, timeout_s=timeout_s)
        except Gone:
            self._handles.pop(route.cell, None)
            raise
        return answer
