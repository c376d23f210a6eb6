"""One websocket connection as the exchange sees it: what it wants, what it sent, whether it still listens."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ...model.time import SECOND_NS
from ..engine.accounts import Account
from ..engine.keys import ApiKey
from ..websocket_frames import PING, PONG, close_frame, frame
from .limits import Limits, MessageRate


@dataclass(frozen=True, slots=True)
class Logon:
    """Who logged on to a connection of the WebSocket API, and when."""

    account: Account
    key: ApiKey
    since_ns: int


@dataclass(frozen=True, slots=True)
class Form:
    """How a client wants its messages. `unit` is how many nanoseconds its unit of time is."""

    combined: bool
    unit: int


class Client:
    """Writes whole frames straight to the transport. `ended` says why the exchange ended it, if it did."""

    def __init__(
        self,
        number: int,
        ip: str,
        transport: asyncio.Transport,
        form: Form,
        limits: Limits,
        now_ns: int,
        is_api: bool = False,
        connected_ns: int = 0,
    ) -> None:
        self.number = number
        self.ip = ip
        self.form = form
        self.is_api = is_api
        self.limits = limits
        self.streams: dict[str, None] = {}
        self.silent = False
        self.ended: str | None = None
        self.sent_frames = 0
        self.sent_bytes = 0
        self.opened_ns = now_ns
        self.connected_ns = connected_ns  # by the exchange's wall clock
        self.logon: Logon | None = None
        self.incoming = MessageRate(limits.messages)
        self.show_rate_limits = True
        self._transport = transport
        self._pings: OrderedDict[bytes, int] = OrderedDict()
        self._next_ping_ns = now_ns + int(limits.ping_s * SECOND_NS)

    @property
    def unsent(self) -> int:
        """Bytes waiting in this process for the client to read."""
        return 0 if self._transport.is_closing() else self._transport.get_write_buffer_size()

    def write(self, whole: bytes) -> None:
        """Send a frame. A client that does not read is cut when its buffer is full."""
        transport = self._transport
        if self.silent or transport.is_closing():
            return
        transport.write(whole)
        self.sent_frames += 1
        self.sent_bytes += len(whole)
        if transport.get_write_buffer_size() > self.limits.buffer_bytes:
            self.cut("slow")

    def break_off(self, whole: bytes) -> None:
        """Send half of a frame, then end the connection."""
        self.ended = self.ended or "broken off"
        if not self._transport.is_closing():
            self._transport.write(whole[: len(whole) // 2])
            self._transport.close()

    def cut(self, why: str = "cut") -> None:
        """Reset the connection."""
        self.ended = self.ended or why
        self._transport.abort()

    def close(self, code: int, reason: str, why: str) -> None:
        """Say goodbye, then close."""
        self.ended = self.ended or why
        if not self._transport.is_closing():
            self._transport.write(close_frame(code, reason))
            self._transport.close()

    def received(self, now_ns: int) -> bool:
        """Count an incoming message; return whether the client goes on. Past the limit it is disconnected."""
        if self.incoming.hit(now_ns):
            self.close(1008, "Too many requests", "messages")
            return False
        return True

    def pong(self, payload: bytes, now_ns: int) -> None:
        """Take a pong. Only one with a ping's payload counts, for that ping and the older ones."""
        if payload in self._pings:
            while self._pings:
                oldest, _ = self._pings.popitem(last=False)
                if oldest == payload:
                    break

    def answer_ping(self, payload: bytes) -> None:
        self.write(frame(PONG, payload))

    def keep(self, now_ns: int, withholds_ping: Callable[[int], bool]) -> None:
        """Ping when due; end a client that answers no pings or whose day is over."""
        limits = self.limits
        if now_ns - self.opened_ns >= limits.life_s * SECOND_NS:
            self.close(1001, "24 hours", "age")
            return
        if self._pings and now_ns - next(iter(self._pings.values())) >= limits.pong_s * SECOND_NS:
            self.close(1008, "Pong timeout", "pong")
            return
        if now_ns >= self._next_ping_ns:
            self._next_ping_ns = now_ns + int(limits.ping_s * SECOND_NS)
            if not withholds_ping(self.number):
                payload = str(now_ns // 1_000_000).encode()
                self._pings[payload] = now_ns
                self.write(frame(PING, payload))
