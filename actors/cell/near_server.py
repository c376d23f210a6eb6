"""The server of near calls: the socket on which a cell or the supervisor answers the processes of its node.

A peer can cost the others nothing. Bytes that are not a frame end the connection, and so does a peer that stops reading
its answers. Unfinished frames and unread answers have common bounds, and so have connections, in all and of one
process. A connection with too many unanswered commands is not read on until some are answered; urgent commands have
their own connection. Long polls are counted apart, so waiting polls never delay a command. In one turn of the loop a
connection's first commands begin, and the others in the next turns, so a burst of one peer delays no other peer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from loguru import logger

from ...model.errors import MeshError, Rejected, RetryLater
from ...orderbook.segment.names import private_directory
from .messages import BadMessage, pack_error
from .near import CONTENT_MAX, LONG_POLLS, FrameReader, Method, frame, peer, short_path

ASKS_MAX = 4096  # unanswered commands of a connection: four lanes of a process's outbox
AT_ONCE = 16  # commands of a connection that begin in one turn of the loop
POLLS_MAX = 4096  # waiting long polls of a connection
CONNECTIONS_MAX = 1024  # and a quarter of the files that the process may open
CONNECTIONS_OF_PROCESS = 16
UNFINISHED_MAX = 2 * CONTENT_MAX  # bytes of unfinished frames, all connections together
UNSENT_MAX = 4 * CONTENT_MAX  # bytes of answers that were not read, all connections together
UNREAD_S = 30.0  # how long a peer may leave its answers unread

Answer = Callable[[Method, bytes], Awaitable[bytes]]
"""(method, content) -> packed reply. A `MeshError` is packed by the server; BadMessage: the content is not readable."""


class NearServer:
    """Listens under a name; `answer` answers every call. Made and used on one event loop."""

    def __init__(self, directory: Path, name: str, answer: Answer, user: int | None = None) -> None:
        """`user` is the only user that is answered; None is the user of this process."""
        self._directory, self._name, self._answer = directory, name, answer
        self.user = os.geteuid() if user is None else user
        self._connections: dict[_Connection, int] = {}  # with the peer's pid
        self._of_process: Counter[int] = Counter()
        self._server: asyncio.Server | None = None
        self._inode = 0
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = CONNECTIONS_MAX if files == resource.RLIM_INFINITY else min(CONNECTIONS_MAX, files // 4)

    async def open(self) -> None:
        """Listen from now on; an earlier socket of that name is replaced. Raises OSError, Misconfigured."""
        private_directory(self._directory)
        unnamed = f".{os.getpid()}.new"
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._directory / unnamed)
            with short_path(self._directory, unnamed) as path:
                listening.bind(path)
            os.chmod(self._directory / unnamed, 0o600)
            listening.listen(128)
            self._inode = os.stat(self._directory / unnamed).st_ino
            os.rename(self._directory / unnamed, self._directory / self._name)
            listening.setblocking(False)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: _Connection(self), sock=listening)
        except BaseException:
            listening.close()
            raise

    def close(self) -> None:
        """Stop listening and remove the socket. Connections stay open, so that last answers are still sent."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(FileNotFoundError):
                if os.stat(self._directory / self._name).st_ino == self._inode:
                    os.unlink(self._directory / self._name)

    # ------------------------------------------------------------------ for the connections

    def admits(self, connection: _Connection, pid: int, user: int) -> bool:
        """Register a connection, unless its peer is a stranger or has too many."""
        if user != self.user:
            logger.warning("refused a near connection of another user", pid=pid, user=user)
            return False
        if self._of_process[pid] >= CONNECTIONS_OF_PROCESS or len(self._connections) >= self._most:
            logger.warning("refused a near connection: too many", pid=pid, open=len(self._connections))
            return False
        self._connections[connection] = pid
        self._of_process[pid] += 1
        return True

    def ended(self, connection: _Connection) -> None:
        pid = self._connections.pop(connection, None)
        if pid is not None:
            self._of_process[pid] -= 1
            if not self._of_process[pid]:
                del self._of_process[pid]

    def bound_unfinished(self) -> None:
        """End the connection with the longest unfinished frame when all together hold too many bytes."""
        self._bound(lambda connection: len(connection.frames), UNFINISHED_MAX, "unfinished frames")

    def bound_unsent(self) -> None:
        """End the connection with the most unread answers when all together hold too many bytes."""
        self._bound(lambda connection: connection.unsent, UNSENT_MAX, "unread answers")

    def _bound(self, size: Callable[[_Connection], int], most: int, what: str) -> None:
        if sum(map(size, self._connections)) > most:
            max(self._connections, key=size).abort(f"too many bytes of {what}")

    async def answer(self, method: int, content: bytes) -> bytes | None:
        """Return the packed reply to one call; None after an unexpected error, which is logged. Raises BadMessage."""
        try:
            packed = await self._answer(Method(method), content)
        except BadMessage:
            raise
        except MeshError as error:
            packed = pack_error(error)
        except Exception as error:
            logger.opt(exception=error).error("cannot answer a near call")
            return None
        if len(packed) > CONTENT_MAX:
            return pack_error(Rejected("too_large", f"the answer has {len(packed)} bytes; at most {CONTENT_MAX} go"))
        return packed


class _Connection(asyncio.Protocol):
    """One peer."""

    transport: asyncio.Transport

    def __init__(self, server: NearServer) -> None:
        self._server = server
        self.frames = FrameReader()
        self._asks = 0
        self._polls: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_unread = False
        self._unread: asyncio.TimerHandle | None = None
        self._next: asyncio.Handle | None = None  # takes the frames that wait for the next turn
        self._pid = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._pid, user = peer(transport.get_extra_info("socket"))
        if not self._server.admits(self, self._pid, user):
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._server.ended(self)
        if self._unread is not None:
            self._unread.cancel()
        for task in self._polls:  # their answers cannot be sent; commands run to their end
            task.cancel()

    def abort(self, reason: str) -> None:
        logger.warning("ended a near connection: {}", reason, pid=self._pid)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        most = self._asks + AT_ONCE
        try:
            with contextlib.closing(self.frames.feed(data)) as frames:
                while self._next is None and self._asks < ASKS_MAX and (one := next(frames, None)) is not None:
                    self._take(*one)
                    if self._asks >= most:
                        self._next = asyncio.get_running_loop().call_soon(self._take_next)
        except BadMessage as error:
            self.abort(f"not a frame: {error}")
            return
        if len(self.frames):
            self._server.bound_unfinished()
        self._read_on()

    def _take_next(self) -> None:
        self._next = None
        self.data_received(b"")

    def _take(self, number: int, method: int, content: bytes) -> None:
        if method not in LONG_POLLS:
            self._asks += 1
            self._start(self._tasks, self._reply_to_ask(number, method, content))
        elif len(self._polls) < POLLS_MAX:
            self._start(self._polls, self._reply(number, method, content))
        else:
            self._write(number, method, pack_error(RetryLater(1.0, f"over {POLLS_MAX} long polls of this process")))

    def _start(self, tasks: set[asyncio.Task[None]], work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _reply_to_ask(self, number: int, method: int, content: bytes) -> None:
        try:
            await self._reply(number, method, content)
        finally:
            self._asks -= 1
            if len(self.frames):  # they had to wait
                self.data_received(b"")
            self._read_on()

    async def _reply(self, number: int, method: int, content: bytes) -> None:
        try:
            packed = await self._server.answer(method, content)
        except BadMessage as error:
            self.abort(f"not a message: {error}")
            return
        if packed is None:
            self.abort("one of its calls met an unexpected error")
        else:
            self._write(number, method, packed)

    def _write(self, number: int, method: int, packed: bytes) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(frame(number, method, packed))
        if self.unsent:
            self._server.bound_unsent()

    @property
    def unsent(self) -> int:
        """The number of bytes of answers that the peer has not read."""
        return self.transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        self._is_unread = True
        loop = asyncio.get_running_loop()
        self._unread = loop.call_later(UNREAD_S, self.abort, f"it has not read its answers for {UNREAD_S:g} s")
        self._read_on()

    def resume_writing(self) -> None:
        self._is_unread = False
        if self._unread is not None:
            self._unread.cancel()
        self._read_on()

    def _read_on(self) -> None:
        """Read on only while the peer reads its answers, has few unanswered commands, and all have begun."""
        if self.transport.is_closing():
            return
        if self._is_unread or self._asks >= ASKS_MAX or self._next is not None:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
