"""One websocket connection of the Kraken protocol, and times as websocket v2 writes them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson

from ...model.time import SECOND_NS
from ..wire.connection import Connection
from ..wire.frames import text_frame
from .limits import Limits

NAME = "kraken"


class Client(Connection):
    """A connection of the public endpoint, of the one for accounts (`private`), or of order-level books (`level3`)."""

    def __init__(
        self,
        number: int,
        ip: str,
        transport: asyncio.Transport,
        limits: Limits,
        now_ns: int,
        private: bool,
        level3: bool = False,
    ) -> None:
        super().__init__(number, NAME, ip, transport, limits, now_ns)
        self.private = private
        self.level3 = level3
        self.tokens: dict[str, str] = {}  # of each order-level subscription: the token that opened it
        self.subscribed = False  # at any time: heartbeats begin with the first subscription
        self.sent_before = 0  # frames when the last second began

    def say(self, message: dict[str, Any]) -> None:
        """Send a message as JSON."""
        self.write(text_frame(orjson.dumps(message)))


def rfc3339(now_ns: int) -> str:
    """Write a time with microseconds."""
    whole = datetime.fromtimestamp(now_ns // SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{now_ns % SECOND_NS // 1000:06d}Z"


def rfc3339_s(now_ns: int) -> str:
    """Write a time in whole seconds."""
    return datetime.fromtimestamp(now_ns // SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(now_ns: int) -> orjson.Fragment:
    """Write a time as REST does: seconds since the Unix epoch with seven decimals."""
    return orjson.Fragment(f"{now_ns // SECOND_NS}.{now_ns % SECOND_NS // 100:07d}".encode())
