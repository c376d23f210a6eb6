"""One websocket connection and its handler, with the same ending for every client library."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Protocol

from .clock import Clock

OK = 1000
PROTOCOL_ERROR = 1002
NO_STATUS = 1005  # a close frame without a code
TOO_BIG = 1009
INTERNAL_ERROR = 1011


class Link(Protocol):
    """An open websocket connection."""

    opened_ns: int  # monotonic clock
    last_recv_ns: int  # monotonic clock; every message of the exchange counts, also pings and pongs

    def send(self, text: bytes) -> None:
        """Send one text message (UTF-8). Does nothing after the end of the connection (after `on_close`)."""

    def close(self, reason: str = "closed by its handler") -> None:
        """End this connection with a close handshake. `on_close(reason)` is called before this returns."""


class FrameHandler(Protocol):
    """Reads a feed. All three methods are called on the event loop and must not block.

    Each connection calls exactly one `on_open`, then its messages, then exactly one `on_close`; nothing after that. An
    exception from any of them ends the feed (`Feed.on_failure`).
    """

    def on_open(self, link: Link) -> None: ...
    def on_frame(self, frame: memoryview | bytes, recv_ns: int) -> None:
        """Read one whole message, text or binary, received at `recv_ns` (ns since the Unix epoch).

        `frame` is valid only during the call: copy what you keep (`bytes(frame)` costs nothing if it is bytes already).
        """

    def on_close(self, reason: str) -> None: ...


class DialFailed(Exception):
    """The connection failed to open. `status` is the HTTP status, if the server answered the upgrade with one."""

    def __init__(self, reason: str, status: int | None = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers or {}


def _drop(frame: memoryview | bytes, recv_ns: int) -> None:
    """The handler of a connection that has ended."""


class LinkState(ABC):
    """The state of every link: the time of the last message, why the link ended, and one `on_close` for its handler.

    A subclass transports the bytes: it calls `_opened`, `_on_frame`, `_lost`, and implements `send`, `ping`, `abort`
    and `_send_close`.
    """

    def __init__(self, handler: FrameHandler, clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        self._handler = handler
        self._on_frame = handler.on_frame
        self._monotonic_ns = clock.monotonic_ns
        self._time_ns = clock.time_ns
        self.opened_ns = 0
        self.last_recv_ns = 0
        self.reason: str | None = None  # why it ended; None while it is open
        self.failure: BaseException | None = None  # what the handler raised
        self.ended: asyncio.Future[None] = loop.create_future()  # `on_close` was called
        self.gone: asyncio.Future[None] = loop.create_future()  # the socket is closed

    @abstractmethod
    def send(self, text: bytes) -> None: ...

    @abstractmethod
    def ping(self) -> None: ...

    @abstractmethod
    def abort(self) -> None:
        """Drop the connection without a close handshake."""

    @abstractmethod
    def _send_close(self, code: int) -> None: ...

    def close(self, reason: str = "closed by its handler") -> None:
        self.leave(reason, OK)

    def leave(self, reason: str, code: int) -> None:
        """Notify the handler, then send a close frame to the peer. Does nothing if the connection has ended."""
        if self.reason is None:
            self._end(reason)
            self._send_close(code)

    def drop(self, reason: str) -> None:
        """Notify the handler and abort, because the peer no longer reads."""
        self._end(reason)
        self.abort()

    def _opened(self) -> None:
        self.opened_ns = self.last_recv_ns = self._monotonic_ns()
        try:
            self._handler.on_open(self)
        except BaseException as failure:
            self._fail(failure)

    def _end(self, reason: str) -> None:
        if self.reason is not None:
            return
        self.reason = reason
        self._on_frame = _drop
        try:
            self._handler.on_close(reason)
        except BaseException as failure:
            self.failure = self.failure or failure
        if not self.ended.done():
            self.ended.set_result(None)

    def _fail(self, failure: BaseException) -> None:
        """Keep the handler's error; the feed passes it to its owner."""
        self.failure = self.failure or failure
        if self.reason is None:
            self._end(f"its handler raised {type(failure).__name__}")
            self._send_close(INTERNAL_ERROR)

    def _lost(self, reason: str) -> None:
        self._end(reason)
        if not self.gone.done():
            self.gone.set_result(None)
