"""One websocket connection of the OKX protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from ...model.time import SECOND_NS
from ..engine.accounts import Account
from ..engine.keys import ApiKey
from ..wire.connection import Connection
from ..wire.frames import text_frame
from ..wire.windows import SlidingWindow
from .limits import HOUR_NS, Limits

NAME = "okx"


class Client(Connection):
    """A connection, `private`, `business` or public; `owner` is the account and key of its login.

    The connection ends when nothing was sent on it for 30 s; an answer to a ping counts.
    """

    def __init__(
        self,
        number: int,
        ip: str,
        transport: asyncio.Transport,
        limits: Limits,
        now_ns: int,
        private: bool = False,
        business: bool = False,
    ) -> None:
        super().__init__(number, NAME, ip, transport, limits, now_ns)
        self.private = private
        self.business = business
        self.owner: tuple[Account, ApiKey] | None = None
        self.id = f"{number:08x}"
        self._subscriptions = SlidingWindow(HOUR_NS)
        self._most_subscriptions = limits.subscriptions
        self._sent_before = 0
        self._sent_ns = now_ns

    def say(self, message: dict[str, Any]) -> None:
        """Send a message as JSON."""
        self.write(text_frame(orjson.dumps({**message, "connId": self.id})))

    def admits_subscription(self, now_ns: int) -> bool:
        """Count a request to subscribe or unsubscribe; return whether it is within the hourly limit."""
        return self._subscriptions.add(now_ns) <= self._most_subscriptions

    def keep(self, now_ns: int, withholds_ping: Callable[[Connection], bool]) -> None:
        """End the connection when it was silent for too long (error/code/websocket.md, Close Frame)."""
        if self.sent_frames != self._sent_before:
            self._sent_before, self._sent_ns = self.sent_frames, now_ns
        idle_s = self.limits.idle_s
        if idle_s and now_ns - self._sent_ns >= idle_s * SECOND_NS:
            self.close(4004, "No data received in 30s", "idle")
        else:
            self.mark_active(now_ns)
            super().keep(now_ns, withholds_ping)
