"""The settings of an account's gateway and user stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ...connectors.settings import ConnectorSettings
from ...connectors.spec import Limit
from ...keystore.settings import KeySettings


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How an account reaches its exchange.

    A signed request is valid for `recv_window_ms`; the gateway waits `answer_s` for its answer.
    """

    connector: ConnectorSettings
    key: KeySettings = field(default_factory=KeySettings)
    recv_window_ms: int = 5_000
    answer_s: float = 10.0


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How the mesh gets the reports of an account: over the exchange's own stream or by polling.

    A poll is repeated after `poll_fast_s` while orders are open (None: as fast as the rate limits allow, but not faster
    than every second), and after `poll_slow_s` otherwise. At most `outbox` reports are kept until the order manager has
    acknowledged them. `account_limits` are limits that the exchange grants the account instead of the published limits.
    """

    gateway: GatewaySettings
    account: str
    source: Literal["websocket", "polling"] = "websocket"
    poll_fast_s: float | None = None
    poll_slow_s: float = 15.0
    outbox: int = 10_000
    account_limits: Mapping[str, Limit] = field(default_factory=dict)
