"""One websocket connection of the Coinbase protocol, and times as the protocol writes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from ...model.time import SECOND_NS
from ..engine.accounts import Account
from ..engine.keys import ApiKey
from ..wire.connection import Connection
from ..wire.frames import text_frame
from .limits import Limits

NAME = "coinbase"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEGIN_S = 5.0  # ws, Subscribe: a client that has not subscribed by then is disconnected


class Client(Connection):
    """A connection; `owner` is the account and key that signed a subscription."""

    def __init__(self, number: int, ip: str, transport: asyncio.Transport, limits: Limits, now_ns: int) -> None:
        super().__init__(number, NAME, ip, transport, limits, now_ns)
        self.owner: tuple[Account, ApiKey] | None = None
        self.has_subscribed = False

    def say(self, message: dict[str, Any]) -> None:
        """Send a message as JSON."""
        self.write(text_frame(orjson.dumps(message)))

    def keep(self, now_ns: int, withholds_ping: Callable[[Connection], bool]) -> None:
        """End the connection when it has not subscribed in time."""
        if not self.has_subscribed and now_ns - self.opened_ns >= BEGIN_S * SECOND_NS:
            self.close(1008, "no subscribe message within 5 seconds", "idle")
        else:
            super().keep(now_ns, withholds_ping)


def stamp(now_ns: int) -> str:
    """Write a time in ISO 8601 with microseconds (rest, Exchange Types)."""
    return (EPOCH + timedelta(microseconds=now_ns // 1000)).isoformat("T", "microseconds").replace("+00:00", "Z")
