"""One websocket connection of the HTX protocol: market data in gzip, or an account in plain text; pings in messages.

Source: public_websocket_api.md (Data Format, Heartbeat and Connection), private_websocket_api.md (Heartbeat), read
2026-11-28. The manual states for market data that the second unanswered ping ends a connection: here for accounts, too.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson

from ...model.time import MILLISECOND_NS, SECOND_NS
from ..engine.accounts import Account
from ..engine.keys import ApiKey
from ..wire.connection import Connection
from ..wire.frames import BINARY, TEXT, frame, payload_of, text_frame
from ..wire.windows import SlidingWindow
from .limits import Limits

NAME = "htx"
UNANSWERED = 2  # pings
PLAIN = 0x80 | TEXT  # the first byte of a whole text frame


@lru_cache(maxsize=64)
def compressed(whole: bytes) -> bytes:
    """Return a text frame as a binary frame with its payload in gzip; made once for all listeners of a topic."""
    return frame(BINARY, gzip.compress(payload_of(whole), 1, mtime=0))


class Client(Connection):
    """A connection. `owner` is the authenticated account and key of a `private` one; `feed` has changes of books."""

    def __init__(
        self,
        number: int,
        ip: str,
        transport: asyncio.Transport,
        limits: Limits,
        now_ns: int,
        private: bool = False,
        feed: bool = False,
    ) -> None:
        super().__init__(number, NAME, ip, transport, limits, now_ns)
        self.private, self.feed = private, feed
        self.owner: tuple[Account, ApiKey] | None = None
        self.pulled = SlidingWindow(limits.pull_ms * MILLISECOND_NS)
        self.asked = SlidingWindow(SECOND_NS)
        self._limits = limits
        self._waiting: list[int] = []  # pings without an answer, by their numbers
        self._next_ns = now_ns + self._every_ns

    @property
    def _every_ns(self) -> int:
        return int((self._limits.account_ping_s if self.private else self._limits.market_ping_s) * SECOND_NS)

    def write(self, whole: bytes) -> None:
        super().write(whole if self.private or whole[0] != PLAIN else compressed(whole))

    def say(self, message: Any) -> None:
        self.write(text_frame(orjson.dumps(message)))

    def answered(self, number: object) -> None:
        """Process a pong: it answers the ping with its number, and all older ones."""
        if number in self._waiting:
            self._waiting = self._waiting[self._waiting.index(number) + 1 :]

    def keep(self, now_ns: int, withholds_ping: Callable[[Connection], bool]) -> None:
        """Ping when due; end a connection that did not answer two pings, right before the next one."""
        super().keep(now_ns, withholds_ping)
        if self.ended is not None or not self._every_ns or now_ns < self._next_ns:
            return
        self._next_ns = now_ns + self._every_ns
        if len(self._waiting) >= UNANSWERED:
            self.close(1000, "ping check expired", "pong")
        elif not withholds_ping(self):
            number = now_ns // MILLISECOND_NS
            self._waiting.append(number)
            self.say({"action": "ping", "data": {"ts": number}} if self.private else {"ping": number})


def milliseconds(now_ns: int) -> int:
    """Write a time as the protocol does."""
    return now_ns // MILLISECOND_NS
