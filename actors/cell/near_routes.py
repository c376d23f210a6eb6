"""Routes of a process, and the sending of its messages: over sockets on its own node, by another way to other nodes.

This module imports no Ray. The other way is a subclass: Ray calls (`ray_routes`), or a cell of this node that makes
them (`near_pass`, for processes without Ray).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack

from ...model.address import NODE_CHARACTERS, Route
from ...model.errors import MeshError
from .messages import ASK_METHOD, POLL_METHOD, URGENT_METHOD, Gone, Unreachable, unpack_reply
from .near import Method, near_directory, socket_name
from .near_client import Lost, NearCalls, NotSent
from .pulse import SUPERVISOR
from .role import Incarnation

WATCH_S = 10.0
SUPERVISOR_POLLS = frozenset({"routes", "watch"})  # methods that wait for a change
METHODS = {ASK_METHOD: Method.ASK, POLL_METHOD: Method.POLL, URGENT_METHOD: Method.URGENT}
SUPERVISOR_AWAY_S = 0.1  # pause before the next search for an unreachable supervisor


def _no_route(address: str) -> None:
    return None


class NearRoutes(ABC):
    """This process's copy of the routes it uses, kept current by one long poll to the supervisor; sends to cells.

    While the supervisor is away, the known routes stay in use. `table` is a route table that the process keeps anyway:
    it has the routes of addresses that no answer of the supervisor names yet.
    """

    table: Callable[[str], Route | None] = staticmethod(_no_route)

    def __init__(self, node: str, segments: Path) -> None:
        self._node = node[:NODE_CHARACTERS]
        self._directory = near_directory(segments)
        self._near = NearCalls(self._directory)
        self._known: dict[str, Route] = {}
        self._interest: set[str] = set()
        self._asked: set[str] = set()
        self._after = -1
        self._changed = asyncio.Event()
        self._poke = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def find(self, address: str, newer_than: Incarnation | None, timeout_s: float) -> Route | None:
        """See `messages.Routes`."""
        deadline = time.monotonic() + timeout_s
        if address not in self._interest:
            self._interest.add(address)
            self._poke.set()
        self.warm()
        while True:
            route = self._known.get(address)
            if route is None and address not in self._asked:
                route = self.table(address)
            if route is not None and (newer_than is None or route.incarnation > newer_than):
                return route
            changed = self._changed
            if (remaining_s := deadline - time.monotonic()) <= 0:
                return None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(remaining_s):  # unlike wait_for, it never drops a cancellation
                    await changed.wait()

    def warm(self) -> None:
        """Call the supervisor now, because the first call of a process over Ray takes about 100 ms and would delay a
        recovery."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while True:
            interest = set(self._interest)
            after = self._after if interest == self._asked else -1
            self._poke.clear()
            try:
                wait_s = WATCH_S if interest else 0.0
                watch = self.supervisor("watch", after, sorted(interest), wait_s, timeout_s=2 * WATCH_S)
                watching = asyncio.ensure_future(watch)
                poked = asyncio.ensure_future(self._poke.wait())
                await asyncio.wait({watching, poked}, return_when=asyncio.FIRST_COMPLETED)
                poked.cancel()
                if not watching.done():
                    watching.add_done_callback(lambda done: done.cancelled() or done.exception())
                    continue
                answer = watching.result()
            except (Gone, Unreachable, MeshError, TimeoutError):
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

    async def supervisor(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        """Call the supervisor; the call may be executed although it raises Unreachable or TimeoutError.

        Raises:
            Gone: there is no supervisor.
            Unreachable, TimeoutError, and the supervisor's own errors.
        """
        content = msgpack.packb((method, arguments))
        kind = Method.WATCH if method in SUPERVISOR_POLLS else Method.SUPERVISOR
        try:
            return unpack_reply(await self._near.call(SUPERVISOR, kind, content, timeout_s))
        except NotSent:
            return await self._supervisor_elsewhere(method, arguments, timeout_s)
        except Lost as error:
            raise Unreachable("the supervisor ended before it answered") from error

    async def send(self, route: Route, method: str, packed: bytes, timeout_s: float) -> bytes:
        """See `messages.Send`. When a socket is gone, the other way tells whether the cell has ended."""
        if route.node[:NODE_CHARACTERS] != self._node:
            return await self._send_elsewhere(route, method, packed, timeout_s)
        deadline, sent = time.monotonic() + timeout_s, False
        name = socket_name(route.child, route.incarnation)
        try:
            return await self._near.call(name, METHODS[method], packed, timeout_s)
        except NotSent:
            pass
        except Lost:
            sent = True
        try:  # the same envelope: a cell that lives executes it once
            return await self._send_elsewhere(route, method, packed, max(0.001, deadline - time.monotonic()))
        except Gone as gone:
            raise Gone(gone.sent or sent) from gone

    def close(self) -> None:
        """End the connections to the sockets."""
        self._near.close()

    # ------------------------------------------------------------------ the other way

    @abstractmethod
    async def _supervisor_elsewhere(self, method: str, arguments: tuple[Any, ...], timeout_s: float) -> Any:
        """Call a supervisor that has no socket on this node. Raises as `supervisor`."""

    @abstractmethod
    async def _send_elsewhere(self, route: Route, method: str, packed: bytes, timeout_s: float) -> bytes:
        """Send to a cell of another node, or one whose socket is gone. Raises as `messages.Send`."""
