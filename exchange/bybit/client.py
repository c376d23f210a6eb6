"""One websocket connection of the Bybit protocol."""

from __future__ import annotations

import asyncio
from uuid import NAMESPACE_OID, uuid5

from ...model.time import MILLISECOND_NS
from ..engine.accounts import Account
from ..engine.keys import ApiKey
from ..wire.connection import Connection
from .limits import Limits

NAME = "bybit"


class Client(Connection):
    """A connection, `private` or public; `owner` is the authenticated account and key, `requests` has ids of requests
    on orders."""

    def __init__(
        self, number: int, ip: str, transport: asyncio.Transport, limits: Limits, now_ns: int, private: bool = False
    ) -> None:
        super().__init__(number, NAME, ip, transport, limits, now_ns)
        self.private = private
        self.owner: tuple[Account, ApiKey] | None = None
        self.requests: dict[str, None] = {}
        self.id = str(uuid5(NAMESPACE_OID, f"connection {number}"))


def milliseconds(now_ns: int) -> int:
    """Write a time as the protocol does."""
    return now_ns // MILLISECOND_NS
