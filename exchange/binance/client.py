"""One websocket connection of the Binance protocol: the form of its messages, its logon."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ..engine.accounts import Account
from ..engine.keys import ApiKey
from ..wire.connection import Connection
from .limits import Limits


@dataclass(frozen=True, slots=True)
class Logon:
    """The logon of a connection of the WebSocket API: account, key and time."""

    account: Account
    key: ApiKey
    since_ns: int


@dataclass(frozen=True, slots=True)
class Form:
    """The form of messages that a client requested. `unit` is the length of its unit of time in nanoseconds."""

    combined: bool
    unit: int


class Client(Connection):
    """A connection of market streams, or with `is_api` of the WebSocket API."""

    def __init__(
        self,
        protocol: str,
        number: int,
        ip: str,
        transport: asyncio.Transport,
        form: Form,
        limits: Limits,
        now_ns: int,
        is_api: bool,
        connected_ns: int,
        show_rate_limits: bool,
    ) -> None:
        """`now_ns` is of the monotonic clock, `connected_ns` of the exchange's."""
        super().__init__(number, protocol, ip, transport, limits, now_ns)
        self.form = form
        self.is_api = is_api
        self.connected_ns = connected_ns
        self.show_rate_limits = show_rate_limits
        self.logon: Logon | None = None
