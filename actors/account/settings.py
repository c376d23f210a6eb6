"""The settings of what an account needs besides its orders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...connectors.settings import ConnectorSettings
from ...keystore.settings import KeySettings


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How an account reaches its exchange.

    A signed request is valid for `recv_window_ms`; its answer is waited for `answer_s`.
    """

    connector: ConnectorSettings
    key: KeySettings = field(default_factory=KeySettings)
    recv_window_ms: int = 5_000
    answer_s: float = 10.0


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How the reports of an account come: over the exchange's own stream or by polling.

    A poll with orders open is repeated after `poll_fast_s` (None: as fast as the rate limits allow, at least 1 s), one
    without after `poll_slow_s`. At most `outbox` reports are kept until the order manager has acknowledged them.
    """

    gateway: GatewaySettings
    account: str
    source: Literal["websocket", "polling"] = "websocket"
    poll_fast_s: float | None = None
    poll_slow_s: float = 15.0
    outbox: int = 10_000
