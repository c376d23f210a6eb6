"""The exchange's end of a websocket connection: its subscriptions, and whether the client still reads."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ...model.time import SECOND_NS
from .frames import PING, PONG, close_frame, frame
from .windows import SlidingWindow


@dataclass(slots=True)
class ConnectionLimits:
    """Limits of one websocket connection, changeable while running. Protocols add their own limits."""

    messages: int = 5  # incoming, a second
    streams: int = 1024
    ping_s: float = 20.0  # between pings of the exchange; 0 sends none
    pong_s: float = 60.0  # for the answer to a ping
    idle_s: float = 0.0  # longest silence of a client; 0: no limit
    life_s: float = 86_400.0
    buffer_bytes: int = 4 * 1024 * 1024  # bytes waiting for one client before it is cut


class Connection:
    """Writes whole frames directly to the transport. `ended`: why the exchange ended the connection, if it did."""

    def __init__(
        self, number: int, protocol: str, ip: str, transport: asyncio.Transport, limits: ConnectionLimits, now_ns: int
    ) -> None:
        self.number = number
        self.protocol = protocol
        self.ip = ip
        self.limits = limits
        self.streams: dict[str, None] = {}
        self.silent = False
        self.ended: str | None = None
        self.sent_frames = 0
        self.sent_bytes = 0
        self.opened_ns = now_ns
        self._transport = transport
        self._incoming = SlidingWindow(SECOND_NS)
        self._most_incoming = limits.messages
        self._active_ns = now_ns
        self._pings: OrderedDict[bytes, int] = OrderedDict()
        self._next_ping_ns = now_ns + int(limits.ping_s * SECOND_NS)

    @property
    def unsent(self) -> int:
        """Bytes that wait in this process for the client to read."""
        return 0 if self._transport.is_closing() else self._transport.get_write_buffer_size()

    @property
    def awaits_pong(self) -> bool:
        """Whether the client has not answered a ping."""
        return bool(self._pings)

    def write(self, frame: bytes) -> None:
        """Send a frame. A client that does not read is cut when its buffer is full."""
        transport = self._transport
        if self.silent or transport.is_closing():
            return
        transport.write(frame)
        self.sent_frames += 1
        self.sent_bytes += len(frame)
        if transport.get_write_buffer_size() > self.limits.buffer_bytes:
            self.cut("slow")

    def break_off(self, frame: bytes) -> None:
        """Send half of a frame, then end the connection."""
        self.ended = self.ended or "broken off"
        if not self._transport.is_closing():
            self._transport.write(frame[: len(frame) // 2])
            self._transport.close()

    def cut(self, why: str = "cut") -> None:
        """Reset the connection."""
        self.ended = self.ended or why
        self._transport.abort()

    def close(self, code: int, reason: str, why: str) -> None:
        """Send a close frame, then close."""
        self.ended = self.ended or why
        if not self._transport.is_closing():
            self._transport.write(close_frame(code, reason))
            self._transport.close()

    def mark_active(self, now_ns: int) -> None:
        """Record that the client sent a message."""
        self._active_ns = now_ns

    def admits_message(self, now_ns: int) -> bool:
        """Count an incoming message. Return False and disconnect a client past the limit."""
        if self._incoming.add(now_ns) > self._most_incoming:
            self.close(1008, "Too many requests", "messages")
            return False
        return True

    def pong(self, payload: bytes) -> None:
        """Process a pong. Only a pong with a ping's payload counts: it answers that ping and all older pings."""
        if payload in self._pings:
            while self._pings:
                oldest, _ = self._pings.popitem(last=False)
                if oldest == payload:
                    break

    def answer_ping(self, payload: bytes) -> None:
        self.write(frame(PONG, payload))

    def keep(self, now_ns: int, withholds_ping: Callable[[Connection], bool]) -> None:
        """Ping when due; end a connection that is too old, does not answer pings, or is silent for too long."""
        limits = self.limits
        if now_ns - self.opened_ns >= limits.life_s * SECOND_NS:
            self.close(1001, "24 hours", "age")
        elif limits.idle_s and now_ns - self._active_ns >= limits.idle_s * SECOND_NS:
            self.close(1008, "Idle timeout", "idle")
        elif self._pings and now_ns - next(iter(self._pings.values())) >= limits.pong_s * SECOND_NS:
            self.close(1008, "Pong timeout", "pong")
        elif limits.ping_s and now_ns >= self._next_ping_ns:
            self._next_ping_ns = now_ns + int(limits.ping_s * SECOND_NS)
            if not withholds_ping(self):
                payload = str(now_ns // 1_000_000).encode()
                self._pings[payload] = now_ns
                self.write(frame(PING, payload))


class Connections:
    """All websocket connections of the exchange, of all protocols, by number."""

    def __init__(self) -> None:
        self.open: dict[int, Connection] = {}
        self._next = 1

    def number(self) -> int:
        """Return the number of the next connection."""
        number, self._next = self._next, self._next + 1
        return number

    def add(self, connection: Connection) -> None:
        self.open[connection.number] = connection

    def drop(self, connection: Connection) -> None:
        self.open.pop(connection.number, None)

    @property
    def unsent(self) -> int:
        """Bytes that wait for clients to read."""
        return sum(connection.unsent for connection in self.open.values())
