"""The same link over the `websockets` library, for platforms without picows (Windows)."""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.protocol import State

from ...model.errors import Misconfigured
from .clock import Clock
from .link import DialFailed, FrameHandler, LinkState
from .proxy import proxy_for
from .tunnel import NETWORK_ERRORS


class WebsocketsLink(LinkState):
    """A connection carried by `websockets`, which answers pings and joins fragments itself."""

    def __init__(self, handler: FrameHandler, clock: Clock) -> None:
        super().__init__(handler, clock)
        self._connection: ClientConnection | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def send(self, text: bytes) -> None:
        if self.reason is None and self._connection is not None:
            self._spawn(self._connection.send(text, text=True))

    def ping(self) -> None:
        if self.reason is None and self._connection is not None:
            self._spawn(self._connection.ping())

    def abort(self) -> None:
        if self._connection is not None:
            self._connection.transport.abort()

    def _send_close(self, code: int) -> None:
        if self._connection is not None:
            self._spawn(self._connection.close(code))

    def mark_received(self) -> None:
        self.last_recv_ns = self._monotonic_ns()

    def run(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._opened()
        self._spawn(self._read(connection))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except ConnectionClosed:
            return  # `_read` notifies the handler, with the code

    async def _read(self, connection: ClientConnection) -> None:
        try:
            while True:
                message = await connection.recv(decode=False)
                try:
                    self._on_frame(message, self._time_ns())
                except BaseException as failure:
                    self._fail(failure)
        except ConnectionClosed as closed:
            if closed.rcvd is not None:
                self._end(f"the exchange closed: {closed.rcvd.code} {closed.rcvd.reason}".rstrip())
            elif closed.sent is not None and connection.state is State.CLOSED:
                self._end(f"protocol error: {closed.sent.code} {closed.sent.reason}".rstrip())
            await connection.wait_closed()
        except asyncio.CancelledError:  # the loop ends: nothing would close the socket later
            self.abort()
            raise
        finally:  # the feed waits for this, also when the loop ends
            self._lost("the connection was lost: 1006")


async def dial(url: str, handler: FrameHandler, clock: Clock, *, timeout_s: float, max_message: int) -> WebsocketsLink:
    """Open a connection; `on_open` has been called when this returns. Raises as `picows.dial` does."""
    proxy = proxy_for(url)
    link = WebsocketsLink(handler, clock)

    class Connection(ClientConnection):
        def data_received(self, data: bytes) -> None:
            link.mark_received()
            super().data_received(data)

    try:
        connection = await connect(
            url,
            create_connection=Connection,
            compression=None,
            ping_interval=None,
            max_size=max_message,
            open_timeout=timeout_s,
            proxy=None if proxy is None else proxy.url,
        )
    except (InvalidURI, UnicodeError) as error:
        raise Misconfigured("websocket url", str(error)) from error
    except InvalidStatus as error:
        headers = {name.lower(): value for name, value in error.response.headers.raw_items()}
        raise DialFailed(str(error), error.response.status_code, headers) from error
    except (*NETWORK_ERRORS, WebSocketException) as error:
        raise DialFailed(f"{type(error).__name__}: {error}") from error
    link.run(connection)
    return link
