"""Limits of the Kraken protocol: the call counter of a key, the engine's counter of an account and pair, connections.

The figures are of the Pro tier. Time is an argument.

Source: spot-rest-ratelimits (its successor guides/rest/ratelimits counts a trade history call 2, not 4),
spot-ratelimits (costs by the age of an order), spot-ws-intro (connections, idle time),
get-websockets-token; read 2026-11-27.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...model.time import MINUTE_NS, SECOND_NS
from ..engine.accounts import Account
from ..wire.connection import ConnectionLimits
from ..wire.windows import DecayingCount, SlidingWindow
from .errors import ApiError

# The cost of a transaction by the age of its order: (seconds, cost).
CANCEL = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))
AMEND = ((5, 3), (10, 2), (15, 1))
RECONNECTS_NS = 10 * MINUTE_NS
PEERS = 10_000


@dataclass(slots=True)
class Limits(ConnectionLimits):
    """The manual's limits. Tests may change them while the exchange runs."""

    ping_s: float = 0.0  # the exchange sends no websocket pings
    idle_s: float = 60.0  # without a subscription and without a request
    life_s: float = 31_536_000.0  # the manual states no maximum age of a connection
    connections: int = 150  # in ten minutes and IP, then a ban of ten minutes
    calls: float = 20.0  # of the REST call counter of a key
    calls_decay: float = 1.0  # a second
    transactions: float = field(default=180.0, metadata={"least": 1})  # of the engine's counter of an account and pair
    transactions_decay: float = 3.75
    token_s: int = 900  # time in which a websocket token must be used


class Meter:
    """Counts the use of limits by keys, accounts and IPs."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._calls: dict[str, DecayingCount] = {}
        self._transactions: dict[tuple[str, str], DecayingCount] = {}
        self._attempts: dict[str, SlidingWindow] = {}
        self._banned_ns: dict[str, int] = {}

    def call(self, key: str, cost: int, now_ns: int) -> None:
        """Count a REST call.

        Raises:
            ApiError: the counter of the key is above its limit.
        """
        count = self._calls.setdefault(key, DecayingCount())
        if count.used(self.limits.calls_decay, now_ns) + cost > self.limits.calls:
            raise ApiError("EAPI:Rate limit exceeded")
        count.add(cost, self.limits.calls_decay, now_ns)

    def transact(self, account: Account, symbol: str, cost: float, now_ns: int) -> None:
        """Count a transaction, which counts even if it is refused for another reason.

        Raises:
            ApiError: the counter of the account and pair is at its limit.
        """
        if self.transactions(account, symbol, now_ns) >= self.limits.transactions:
            raise ApiError("EOrder:Rate limit exceeded")
        self.charge(account, symbol, cost, now_ns)

    def charge(self, account: Account, symbol: str, cost: float, now_ns: int) -> None:
        """Count a transaction that is never refused, for example one cancel of many."""
        count = self._transactions.setdefault((account.name, symbol), DecayingCount())
        count.add(cost, self.limits.transactions_decay, now_ns)

    def transactions(self, account: Account, symbol: str, now_ns: int) -> float:
        """Return the engine's counter of an account and pair."""
        count = self._transactions.get((account.name, symbol))
        return 0.0 if count is None else count.used(self.limits.transactions_decay, now_ns)

    def connect(self, ip: str, now_ns: int) -> bool:
        """Count an attempt to connect a websocket; return whether the connection may be made."""
        if now_ns < self._banned_ns.get(ip, 0):
            return False
        if ip not in self._attempts and len(self._attempts) >= PEERS:
            self._attempts.clear()
        attempts = self._attempts.setdefault(ip, SlidingWindow(RECONNECTS_NS))
        if attempts.add(now_ns) > self.limits.connections:
            self._banned_ns[ip] = now_ns + RECONNECTS_NS
            return False
        return True

    def forgive(self) -> None:
        """Reset all counts and bans."""
        for counts in (self._calls, self._transactions, self._attempts, self._banned_ns):
            counts.clear()


def cost_by_age(costs: tuple[tuple[int, int], ...], age_ns: int) -> int:
    """Return the cost of an early transaction, by the time since the order was placed or amended."""
    return next((cost for seconds, cost in costs if age_ns < seconds * SECOND_NS), 0)
