"""Limits of the OKX protocol: requests by IP and endpoint, or by user and instrument; connections by IP; subscriptions
of a connection. Pure.

Source: the page of each endpoint (Rate Limit), overview/rate/limits-sub-account-rate-limit.md,
overview/websocket/connect.md. The manual does not state how the exchange refuses a connection or a subscription above
its limit.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...model.time import SECOND_NS
from ..wire.connection import ConnectionLimits
from ..wire.windows import SlidingWindow
from .errors import ApiError

HOUR_NS = 3_600 * SECOND_NS
WINDOW_NS = 2 * SECOND_NS  # window of all limits of requests
PEERS = 10_000


@dataclass(slots=True)
class Limits(ConnectionLimits):
    """The manual's limits. Tests may change them while the exchange runs."""

    ping_s: float = 0.0  # the exchange sends no websocket pings
    idle_s: float = 30.0  # without a message to the client
    life_s: float = 31_536_000.0  # the manual states no maximum age of a connection
    connections: int = 3  # a second
    subscriptions: int = 480  # an hour and connection: subscribe, unsubscribe and login
    instruments: int = 20  # requests in two seconds, like all following limits
    time: int = 10
    books: int = 40
    ticker: int = 20
    tickers: int = 20
    trades: int = 100
    candles: int = 40
    history_candles: int = 20
    place: int = 60  # orders of a user and instrument in two seconds, over REST and websocket, like the two next limits
    cancel: int = 60
    amend: int = 60
    batch: int = 300  # the same three limits for orders in batches of two or more
    orders: int = 1_000  # new and amended orders of a sub-account in two seconds
    order: int = 60  # requests of a user and instrument
    pending: int = 60  # requests of a user, like all following limits
    history: int = 40
    fills: int = 60
    fills_history: int = 10
    balance: int = 10
    config: int = 5
    trade_fee: int = 5
    account_instruments: int = 20
    account_rate_limit: int = 2
    cancel_all_after: int = 2  # of a user and tag


class Meter:
    """Counts the use of limits by IPs and users."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._used: dict[tuple[str, str], SlidingWindow] = {}

    def request(self, ip: str, endpoint: str, now_ns: int) -> None:
        """Count a request.

        Raises:
            ApiError: the limit is exceeded.
        """
        if self._add(ip, endpoint, WINDOW_NS, now_ns) > getattr(self.limits, endpoint.replace("-", "_")):
            raise ApiError("50011", "Too Many Requests", 429)

    def spend(self, user: str, what: str, number: int, now_ns: int, instrument: str = "") -> None:
        """Count requests or orders of a user, or of a user and an instrument.

        Raises:
            ApiError: the limit is exceeded.
        """
        if self._add(user, f"{what}:{instrument}", WINDOW_NS, now_ns, number) > getattr(self.limits, what):
            if what == "orders":
                raise ApiError("50061", "You've reached the maximum order rate limit for this account.")
            raise ApiError("50011", "Too Many Requests", 429)

    def connect(self, ip: str, now_ns: int) -> bool:
        """Count an attempt to connect; return whether the connection may be made."""
        return self._add(ip, "connections", SECOND_NS, now_ns) <= self.limits.connections

    def _add(self, who: str, what: str, width_ns: int, now_ns: int, number: int = 1) -> int:
        if len(self._used) >= PEERS:
            self._used.clear()
        window = self._used.setdefault((who, what), SlidingWindow(width_ns))
        return [window.add(now_ns) for _ in range(number)][-1]

    def forgive(self) -> None:
        """Reset all counts."""
        self._used.clear()
