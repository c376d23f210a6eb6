"""Rate limits of the Binance protocol, per IP. Pure; time is an argument.

Source: rest-api.md (LIMITS), web-socket-api.md (Rate limits: fixed intervals; Connecting costs 2), CHANGELOG.md
2026-03-27 (raw requests), web-socket-streams.md (WebSocket Limits); read 2026-11-22. The manual does not say how many
requests after a 429 bring a ban; here it is `Limits.violations`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ...model.time import MINUTE_NS, SECOND_NS
from ..engine.accounts import INTERVALS, OrderCount
from .errors import banned, too_many_orders, too_much_weight

WINDOW_NS = 5 * MINUTE_NS


@dataclass(slots=True)
class Limits:
    """What may be used. Changeable while running, for tests."""

    weight: int = 6000  # a minute and IP
    raw_requests: int = 300_000  # five minutes and IP
    violations: int = 20  # requests refused with 429 in one minute that bring a ban
    ban_s: int = 120  # the first ban; each further one is four times as long
    longest_ban_s: int = 259_200
    connections: int = 300  # attempts in five minutes and IP
    orders_10s: int = 100  # unfilled ones an account may place in ten seconds
    orders_1d: int = 200_000  # and in a day
    messages: int = 5  # incoming a second and connection
    streams: int = 1024  # a connection
    ping_s: float = 20.0
    pong_s: float = 60.0
    life_s: float = 86_400.0
    buffer_bytes: int = 4 * 1024 * 1024  # unsent to one client before it is cut


@dataclass(slots=True)
class _Peer:
    minute: int = -1
    weight: int = 0
    refused: int = 0
    window: int = -1
    raw: int = 0
    bans: int = 0
    banned_until_ns: int = 0
    attempts: deque[int] = field(default_factory=deque)


class Meter:
    """Counts what every IP uses."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._peers: dict[str, _Peer] = {}

    def _peer(self, ip: str) -> _Peer:
        if ip not in self._peers and len(self._peers) >= 10_000:
            self._peers.clear()
        return self._peers.setdefault(ip, _Peer())

    def used(self, ip: str, now_ns: int) -> int:
        """Weight used in this minute."""
        peer = self._peer(ip)
        return peer.weight if peer.minute == now_ns // MINUTE_NS else 0

    def check_ban(self, ip: str, now_ns: int) -> None:
        """Raise the 418 of a banned IP."""
        until = self._peer(ip).banned_until_ns
        if now_ns < until:
            raise banned(until // 1_000_000, -(-(until - now_ns) // SECOND_NS))

    def spend(self, ip: str, weight: int, now_ns: int) -> int:
        """Count a request; return the weight used in this minute.

        Raises:
            ApiError: 429 past the limit, 418 when an IP goes on after too many of them.
        """
        limits, peer = self.limits, self._peer(ip)
        self.check_ban(ip, now_ns)
        minute, window = now_ns // MINUTE_NS, now_ns // WINDOW_NS
        if peer.minute != minute:
            peer.minute, peer.weight, peer.refused = minute, 0, 0
        if peer.window != window:
            peer.window, peer.raw = window, 0
        peer.weight += weight
        peer.raw += 1
        if peer.weight <= limits.weight and peer.raw <= limits.raw_requests:
            return peer.weight
        peer.refused += 1
        if peer.refused > limits.violations:
            lasts = min(limits.ban_s * 4**peer.bans, limits.longest_ban_s)
            peer.bans += 1
            peer.refused = 0
            peer.banned_until_ns = now_ns + lasts * SECOND_NS
            self.check_ban(ip, now_ns)
        whole = MINUTE_NS if peer.raw <= limits.raw_requests else WINDOW_NS
        raise too_much_weight(limits.weight, -(-(whole - now_ns % whole) // SECOND_NS))

    def connect(self, ip: str, now_ns: int) -> int | None:
        """Count an attempt to connect a websocket; return None, or in how many seconds there may be another."""
        attempts = self._peer(ip).attempts
        while attempts and now_ns - attempts[0] >= WINDOW_NS:
            attempts.popleft()
        if len(attempts) >= self.limits.connections:
            return -(-(WINDOW_NS - (now_ns - attempts[0])) // SECOND_NS)
        attempts.append(now_ns)
        return None

    def forgive(self) -> None:
        """Forget everything counted, bans too."""
        self._peers.clear()


class MessageRate:
    """At most `limit` incoming messages in any second of one connection."""

    __slots__ = ("_times", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._times: deque[int] = deque()

    def hit(self, now_ns: int) -> bool:
        """Count a message; return whether it is too many."""
        times = self._times
        while times and now_ns - times[0] >= SECOND_NS:
            times.popleft()
        times.append(now_ns)
        return len(times) > self.limit


def check_orders(count: OrderCount, limits: Limits, number: int, now_ns: int) -> None:
    """Raise the 429 of an account that has no room for `number` orders more.

    Source: faqs/order_count_decrement.md, errors.md (-1015), read 2026-11-22.
    """
    named = ((limits.orders_10s, "10 SECOND"), (limits.orders_1d, "1 DAY"))
    for (limit, name), have, width in zip(named, count.counts(now_ns), INTERVALS, strict=True):
        if have + number > limit:
            raise too_many_orders(limit, name, -(-(width - now_ns % width) // SECOND_NS))
