"""Limits of the HTX protocol: requests of an account by endpoint, pulls and requests of a websocket. Pure.

Source: private_rest_api.md (Rate Limit of each endpoint), rate_limits.md, public_websocket_api.md (Rate Limit),
private_websocket_api.md (Rate Limit), read 2026-11-28. The manual states no limit of an IP for REST and for new
connections: those here are guesses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...model.time import MILLISECOND_NS, SECOND_NS
from ..engine.accounts import Account
from ..wire.connection import ConnectionLimits
from ..wire.windows import SlidingWindow

WINDOW_NS = 2 * SECOND_NS
PEERS = 10_000


@dataclass(slots=True)
class Limits(ConnectionLimits):
    """The manual's limits. Tests may change them while the exchange runs."""

    ping_s: float = 0.0  # the exchange sends no pings of the websocket protocol
    market_ping_s: float = 5.0
    account_ping_s: float = 20.0
    life_s: float = 31_536_000.0  # the manual states no maximum age of a connection
    pull_ms: int = 100  # between two `req` of a connection
    asks: int = 50  # requests a second on a private connection
    connections: int = 100  # new ones a second and IP
    requests: int = 1_000  # over REST, a second and IP
    account_share: float = 1.0  # factor of an account's limit of each endpoint


@dataclass(frozen=True, slots=True)
class Use:
    """An account's use of an endpoint within two seconds, for the answer's headers."""

    left: int
    expires_ns: int
    refused: bool = False
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        expires = str(self.expires_ns // MILLISECOND_NS)
        stated = {"X-HB-RateLimit-Requests-Remain": str(self.left), "X-HB-RateLimit-Requests-Expire": expires}
        object.__setattr__(self, "headers", stated)


class Meter:
    """Counts the use of limits by IPs and accounts."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._requests: dict[str, SlidingWindow] = {}
        self._attempts: dict[str, SlidingWindow] = {}
        self._accounts: dict[tuple[str, str], SlidingWindow] = {}

    def spend(self, account: Account, endpoint: str, most: int, now_ns: int) -> Use:
        """Count a request of an account; a request that is refused for the limit does not count."""
        limit = max(1, int(most * self.limits.account_share))
        window = self._accounts.setdefault((account.name, endpoint), SlidingWindow(WINDOW_NS))
        if window.used(now_ns) >= limit:
            return Use(0, now_ns + window.left_ns(now_ns), refused=True)
        return Use(limit - window.add(now_ns), now_ns + window.left_ns(now_ns))

    def request(self, ip: str, now_ns: int) -> bool:
        """Count a request; return whether it is served."""
        return self._count(self._requests, ip, now_ns) <= self.limits.requests

    def connect(self, ip: str, now_ns: int) -> bool:
        """Count an attempt to connect a websocket; return whether the connection may be made."""
        return self._count(self._attempts, ip, now_ns) <= self.limits.connections

    @staticmethod
    def _count(windows: dict[str, SlidingWindow], ip: str, now_ns: int) -> int:
        if ip not in windows and len(windows) >= PEERS:
            windows.clear()
        return windows.setdefault(ip, SlidingWindow(SECOND_NS)).add(now_ns)

    def forgive(self) -> None:
        """Reset all counts."""
        for counts in (self._requests, self._attempts, self._accounts):
            counts.clear()
