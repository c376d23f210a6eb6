"""Limits of the Coinbase protocol: buckets of requests by IP and by profile, and of connections by IP. Pure.

A bucket holds `burst` tokens at most and refills with `rate` a second; each request takes one.

Source: rest, REST API Rate Limits (How Rate Limits Work); ws, Limits.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..wire.connection import ConnectionLimits
from ..wire.windows import DecayingCount

PEERS = 10_000


@dataclass(slots=True)
class Limits(ConnectionLimits):
    """The manual's limits. Tests may change them while the exchange runs."""

    messages: int = 100  # of a connection, a second
    ping_s: float = 0.0  # the exchange sends no websocket pings
    life_s: float = 31_536_000.0  # the manual states no maximum age of a connection
    public: int = 10  # requests a second and IP, like all following rates
    public_burst: int = 15
    private: int = 15  # of a profile
    private_burst: int = 30
    fills: int = 10
    fills_burst: int = 20
    accounts: int = 25
    accounts_burst: int = 50
    connections: int = 8
    connections_burst: int = 20


class Meter:
    """Counts the use of buckets by IPs and profiles."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._used: dict[tuple[str, str], DecayingCount] = {}

    def spend(self, who: str, bucket: str, now_ns: int) -> bool:
        """Take a token; return False if the bucket is empty."""
        if len(self._used) >= PEERS:
            self._used.clear()
        rate, burst = getattr(self.limits, bucket), getattr(self.limits, f"{bucket}_burst")
        count = self._used.setdefault((who, bucket), DecayingCount())
        if count.used(rate, now_ns) + 1 > burst:
            return False
        count.add(1, rate, now_ns)
        return True

    def connect(self, ip: str, now_ns: int) -> bool:
        """Count an attempt to connect; return whether the connection may be made."""
        return self.spend(ip, "connections", now_ns)

    def forgive(self) -> None:
        """Reset all counts."""
        self._used.clear()
