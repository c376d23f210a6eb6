"""The client of near calls: one connection from this process to each socket that it calls, opened when needed.

Urgent calls have a second connection, so that they wait neither in the buffers of the first one nor at its reader.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path
from typing import cast

from ...model.errors import InboxFull, Rejected
from .messages import BadMessage
from .near import CONTENT_MAX, FrameReader, Method, frame, peer, short_path

UNSENT_MAX = 4 * CONTENT_MAX  # bytes that a server has not read yet


Lane = tuple[str, bool]  # name of a socket, and whether the connection is for urgent calls


class NotSent(Exception):
    """No process answers at this socket; nothing was sent."""


class Lost(Exception):
    """The connection ended after the call was sent and before its answer came."""


class NearCalls:
    """This process's connections to the sockets of one directory. Used on one event loop."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._links: dict[Lane, _Link] = {}
        self._opening: dict[Lane, asyncio.Task[_Link]] = {}

    async def call(self, name: str, method: Method, content: bytes, timeout_s: float | None) -> bytes:
        """Return the packed reply of the process that listens under a name.

        Raises:
            NotSent: there is no such socket, or its process has ended.
            Lost: the process ended, or ended the connection, before it answered.
            TimeoutError: no answer in time; the call may have been executed.
            Rejected, InboxFull: the message is too long, or the process does not read; nothing was sent.
        """
        if len(content) > CONTENT_MAX:
            raise Rejected("too_large", f"the message has {len(content)} bytes; at most {CONTENT_MAX} go")
        async with asyncio.timeout(timeout_s):
            lane = name, method is Method.URGENT
            link: _Link = self._links.get(lane) or await self._opened(lane)
            return await link.call(method, content)

    def close(self) -> None:
        for link in list(self._links.values()):
            link.transport.close()

    async def _opened(self, lane: Lane) -> _Link:
        """Open the connection once, for all calls that wait for it."""
        opening = self._opening.get(lane)
        if opening is None:
            opening = self._opening[lane] = asyncio.ensure_future(self._open(lane))
            opening.add_done_callback(lambda done: self._opening.pop(lane, None))
            opening.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(opening)

    async def _open(self, lane: Lane) -> _Link:
        name, loop = lane[0], asyncio.get_running_loop()
        try:
            with short_path(self._directory, name) as path:
                _, link = await loop.create_unix_connection(lambda: _Link(self._links, lane), path)
            _, user = peer(link.transport.get_extra_info("socket"))  # an OSError: the process has just ended
        except OSError as error:
            raise NotSent(f"{name}: {error.strerror or error}") from error
        if user != os.geteuid():
            link.transport.abort()
            raise NotSent(f"{name}: belongs to user {user}")
        return link


class _Link(asyncio.Protocol):
    """One connection, and the calls that wait for their answers."""

    transport: asyncio.Transport

    def __init__(self, links: dict[Lane, _Link], lane: Lane) -> None:
        self._links, self._lane, self._name = links, lane, lane[0]
        self._frames = FrameReader()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[bytes]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._links[self._lane] = self

    def connection_lost(self, error: Exception | None) -> None:
        if self._links.get(self._lane) is self:
            del self._links[self._lane]
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Lost(self._name))

    async def call(self, method: Method, content: bytes) -> bytes:
        if self.transport.is_closing():
            raise NotSent(f"{self._name}: its connection has ended")
        if self.transport.get_write_buffer_size() > UNSENT_MAX:
            raise InboxFull(f"socket {self._name}", UNSENT_MAX)
        number = next(self._numbers)
        waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        self.transport.write(frame(number, method, content))
        try:
            return await waiting
        finally:
            del self._waiting[number]

    def data_received(self, data: bytes) -> None:
        try:
            for number, _, content in self._frames.feed(data):
                waiting = self._waiting.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(content)
        except BadMessage:
            self.transport.abort()
