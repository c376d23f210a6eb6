"""Limits of the Bybit protocol: requests and connections of an IP, requests of an account. Time is an argument.

Source: rate-limit/rate-limit.mdx (IP limits, API rate limit), websocket/wss-authentication.mdx (idle time),
websocket/trade/guideline.mdx, read 2026-11-27. The manual does not state how the exchange refuses a connection above
the limit: here with 403, as for requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...model.time import MILLISECOND_NS, MINUTE_NS, SECOND_NS
from ..engine.accounts import Account
from ..wire.connection import ConnectionLimits
from ..wire.windows import SlidingWindow

REQUESTS_NS = 5 * SECOND_NS
CONNECTIONS_NS = 5 * MINUTE_NS
BAN_NS = 10 * MINUTE_NS
PEERS = 10_000


@dataclass(slots=True)
class Limits(ConnectionLimits):
    """The manual's limits. Tests may change them while the exchange runs."""

    ping_s: float = 0.0  # the exchange sends no websocket pings
    idle_s: float = 600.0  # without a ping or another request of the client
    life_s: float = 31_536_000.0  # the manual states no maximum age of a connection
    requests: int = 600  # in five seconds and IP, then a ban of ten minutes
    connections: int = 500  # in five minutes and IP
    trades: int = 3000  # requests for orders over websockets, a second and IP
    account_share: float = 1.0  # factor of an account's limit of each endpoint


@dataclass(frozen=True, slots=True)
class Use:
    """An account's use of an endpoint within a second, for the answer's headers."""

    limit: int
    left: int
    resets_ns: int
    refused: bool = False
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        stated = {
            "X-Bapi-Limit": str(self.limit),
            "X-Bapi-Limit-Status": str(self.left),
            "X-Bapi-Limit-Reset-Timestamp": str(self.resets_ns // MILLISECOND_NS),
        }
        object.__setattr__(self, "headers", stated)


class Meter:
    """Counts the use of limits by IPs and accounts."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._requests: dict[str, SlidingWindow] = {}
        self._attempts: dict[str, SlidingWindow] = {}
        self._trades: dict[str, SlidingWindow] = {}
        self._banned_ns: dict[str, int] = {}
        self._accounts: dict[tuple[str, str], SlidingWindow] = {}

    def spend(self, account: Account, endpoint: str, per_s: int, now_ns: int) -> Use:
        """Count a request of an account; a request that is refused for the limit does not count."""
        limit = max(1, int(per_s * self.limits.account_share))
        window = self._accounts.setdefault((account.name, endpoint), SlidingWindow(SECOND_NS))
        if window.used(now_ns) >= limit:
            return Use(limit, 0, now_ns + window.left_ns(now_ns), refused=True)
        return Use(limit, limit - window.add(now_ns), now_ns)

    def request(self, ip: str, now_ns: int) -> bool:
        """Count a request; return whether it is served."""
        if now_ns < self._banned_ns.get(ip, 0):
            return False
        if self._count(self._requests, ip, REQUESTS_NS, now_ns) > self.limits.requests:
            self._banned_ns[ip] = now_ns + BAN_NS
            return False
        return True

    def trade(self, ip: str, now_ns: int) -> bool:
        """Count a request for orders over a websocket; return whether it is served."""
        return self._count(self._trades, ip, SECOND_NS, now_ns) <= self.limits.trades

    def connect(self, ip: str, now_ns: int) -> bool:
        """Count an attempt to connect a websocket; return whether the connection may be made."""
        return self._count(self._attempts, ip, CONNECTIONS_NS, now_ns) <= self.limits.connections

    @staticmethod
    def _count(windows: dict[str, SlidingWindow], ip: str, width_ns: int, now_ns: int) -> int:
        if ip not in windows and len(windows) >= PEERS:
            windows.clear()
        return windows.setdefault(ip, SlidingWindow(width_ns)).add(now_ns)

    def forgive(self) -> None:
        """Reset all counts and bans."""
        for counts in (self._requests, self._attempts, self._trades, self._banned_ns, self._accounts):
            counts.clear()
