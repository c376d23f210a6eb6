"""Limits of the OKX protocol: requests by IP and endpoint, connections by IP, subscriptions of a connection. Pure.

Source: the page of each endpoint (Rate Limit), overview/websocket/connect.md. The manual does not say how a connection
or a subscription past its limit is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...model.time import SECOND_NS
from ..wire.connection import ConnectionLimits
from ..wire.windows import SlidingWindow
from .errors import ApiError

HOUR_NS = 3_600 * SECOND_NS
WINDOW_NS = 2 * SECOND_NS  # of all limits of requests
PEERS = 10_000


@dataclass(slots=True)
class Limits(ConnectionLimits):
    """The limits of the manual. Changeable while running, for tests."""

    ping_s: float = 0.0  # the exchange sends no websocket pings
    idle_s: float = 30.0  # without anything sent
    life_s: float = 31_536_000.0  # the manual has no longest life of a connection
    connections: int = 3  # a second
    subscriptions: int = 480  # an hour and connection: subscribe, unsubscribe and login
    instruments: int = 20  # requests in two seconds, as all that follow
    time: int = 10
    books: int = 40
    ticker: int = 20
    tickers: int = 20
    trades: int = 100
    candles: int = 40
    history_candles: int = 20


class Meter:
    """Counts what IPs use."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._used: dict[tuple[str, str], SlidingWindow] = {}

    def request(self, ip: str, endpoint: str, now_ns: int) -> None:
        """Count a request.

        Raises:
            ApiError: it is one too many.
        """
        if self._add(ip, endpoint, WINDOW_NS, now_ns) > getattr(self.limits, endpoint.replace("-", "_")):
            raise ApiError("50011", "Too Many Requests", 429)

    def connect(self, ip: str, now_ns: int) -> bool:
        """Count an attempt to connect; return whether the connection may be made."""
        return self._add(ip, "connections", SECOND_NS, now_ns) <= self.limits.connections

    def _add(self, ip: str, what: str, width_ns: int, now_ns: int) -> int:
        if len(self._used) >= PEERS:
            self._used.clear()
        return self._used.setdefault((ip, what), SlidingWindow(width_ns)).add(now_ns)

    def forgive(self) -> None:
        """Forget everything counted."""
        self._used.clear()
