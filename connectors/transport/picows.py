"""The websocket client of the hot path; docs/adr/0001-websocket-client.md has the reasons.

A message is passed on as `bytes`: up to about 8 KB a copy costs no more than a memoryview with the scanner's access to
its buffer, and most frames are much smaller (same page).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from aiohappyeyeballs import start_connection
from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSInvalidURL,
    WSListener,
    WSMsgType,
    WSParsedURL,
    WSTransport,
    ws_connect,
)

from ...model.errors import Misconfigured
from .clock import Clock
from .link import NO_STATUS, PROTOCOL_ERROR, TOO_BIG, DialFailed, FrameHandler, LinkState
from .proxy import proxy_for
from .tunnel import NETWORK_ERRORS, open_tunnel

TEXT, BINARY, CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
PING, CLOSE = WSMsgType.PING, WSMsgType.CLOSE
FRAGMENT_BYTES = 64  # the memory of a fragment besides its bytes
HAPPY_EYEBALLS_S = 0.25  # RFC 8305 section 5: how long the other address family waits for the first


class PicowsLink(LinkState, WSListener):
    """A connection carried by picows. `max_message` bounds a message, in one frame or in fragments, in bytes; each
    fragment counts for 64 bytes more, so that empty ones are bounded, too."""

    def __init__(self, handler: FrameHandler, clock: Clock, max_message: int) -> None:
        super().__init__(handler, clock)
        self._max_message = max_message
        self._transport: WSTransport | None = None
        self._parts: list[bytes] | None = None  # of a fragmented message, so far
        self._parts_size = 0
        self._watch: asyncio.Task[None] | None = None

    def send(self, text: bytes) -> None:
        if self.reason is None and self._transport is not None:
            self._transport.send(TEXT, text)

    def ping(self) -> None:
        if self.reason is None and self._transport is not None:
            self._transport.send_ping()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def _send_close(self, code: int) -> None:
        if self._transport is not None:
            self._transport.send_close(WSCloseCode(code))

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._watch = asyncio.get_running_loop().create_task(self._wait_gone(transport))
        self._opened()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.last_recv_ns = self._monotonic_ns()
        if transport.is_close_frame_sent:  # after an error picows still parses the refused bytes
            if frame.msg_type is CLOSE:
                transport.disconnect()
            return
        kind = frame.msg_type
        if (kind is TEXT or kind is BINARY) and frame.fin and self._parts is None:
            try:
                self._on_frame(frame.get_payload_as_bytes(), self._time_ns())
            except BaseException as failure:
                self._fail(failure)
        elif kind is TEXT or kind is BINARY or kind is CONTINUATION:
            self._collect(frame, kind)
        elif kind is PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is CLOSE:
            payload = frame.get_payload_as_bytes()
            code = int.from_bytes(payload[:2], "big") or NO_STATUS
            self._end(f"the exchange closed: {code} {payload[2:].decode()}".rstrip())
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def _collect(self, frame: WSFrame, kind: WSMsgType) -> None:
        """Join the fragments of a message. Source: RFC 6455 section 5.4."""
        if (kind is CONTINUATION) is (self._parts is None):
            self.leave("protocol error: a message between the fragments of another message", PROTOCOL_ERROR)
            return
        if self._parts is None:
            self._parts, self._parts_size = [], 0
        self._parts_size += frame.payload_size + FRAGMENT_BYTES
        if self._parts_size > self._max_message:
            self._parts = None
            self.leave(f"a message of more than {self._max_message} bytes", TOO_BIG)
            return
        self._parts.append(frame.get_payload_as_bytes())
        if frame.fin:
            message, self._parts = b"".join(self._parts), None
            try:
                self._on_frame(message, self._time_ns())
            except BaseException as failure:
                self._fail(failure)

    async def _wait_gone(self, transport: WSTransport) -> None:
        reason = "the connection was lost: 1006"
        try:
            await transport.wait_disconnected()
        except WSError as error:
            reason = f"protocol error: {error}"
        except asyncio.CancelledError:  # the loop ends: nothing would close the socket later
            self.abort()
            raise
        finally:  # the feed waits for this, also when the loop ends
            self._lost(reason)


async def dial(url: str, handler: FrameHandler, clock: Clock, *, timeout_s: float, max_message: int) -> PicowsLink:
    """Open a connection; `on_open` has been called when this returns.

    Raises:
        DialFailed: no connection now.
        Misconfigured: the URL, or the proxy that the environment sets, is not valid.
    """
    proxy = proxy_for(url)
    link = PicowsLink(handler, clock, max_message)
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []

    async def connect(target: WSParsedURL) -> socket.socket:
        if proxy is not None and proxy.is_socks:
            sockets.append(await open_tunnel(proxy, target.host, target.port))
            return sockets[-1]
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        sockets.append(await start_connection(found, happy_eyeballs_delay=HAPPY_EYEBALLS_S, interleave=1, loop=loop))
        return sockets[-1]

    try:
        await ws_connect(
            lambda: link,
            url,
            enable_auto_pong=False,  # this listener answers, so that a ping counts as a message of the exchange
            max_frame_size=max_message,
            websocket_handshake_timeout=timeout_s,
            max_redirects=0,
            proxy=None if proxy is None or proxy.is_socks else proxy.url,
            socket_factory=connect,
        )
    except (WSInvalidURL, UnicodeError) as error:  # UnicodeError: a name that cannot be looked up
        raise Misconfigured("websocket url", str(error)) from error
    except WSHandshakeError as error:
        answer = error.response
        headers = {name.lower(): value for name, value in answer.headers.items()} if answer else {}
        raise DialFailed(str(error), int(answer.status) if answer else None, headers) from error
    except (*NETWORK_ERRORS, WSError) as error:
        raise DialFailed(f"{type(error).__name__}: {error}") from error
    except asyncio.CancelledError:
        if link.opened_ns:
            link.drop("stopped")
        raise
    finally:
        if (
            not link.opened_ns
        ):  # refused or cancelled: close a half-open socket now, not at the timeout of the handshake
            for sock in sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
    return link
