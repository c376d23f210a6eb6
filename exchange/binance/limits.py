"""Rate limits of the Binance protocol, per IP. Pure; time is an argument.

Source: rest-api.md (LIMITS), web-socket-api.md (Rate limits: fixed intervals; Connecting costs 2), CHANGELOG.md
2026-03-27 (raw requests), web-socket-streams.md (WebSocket Limits); read 2026-11-22. The manual does not state how many
requests after a 429 bring a ban; here it is `Limits.violations`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...model.time import MINUTE_NS, SECOND_NS
from ..wire.connection import ConnectionLimits
from ..wire.windows import FixedWindow, SlidingWindow, seconds_up
from .errors import banned, too_much_weight

WINDOW_NS = 5 * MINUTE_NS
_ABOVE_ZERO = {"least": 1}


@dataclass(slots=True)
class Limits(ConnectionLimits):
    """The manual's limits. Tests may change them while the exchange runs."""

    weight: int = field(default=6000, metadata=_ABOVE_ZERO)  # a minute and IP
    raw_requests: int = field(default=300_000, metadata=_ABOVE_ZERO)  # five minutes and IP
    violations: int = 20  # requests refused with 429 in one minute that bring a ban
    ban_s: int = field(default=120, metadata=_ABOVE_ZERO)  # the first ban; each further ban is four times as long
    longest_ban_s: int = field(default=259_200, metadata=_ABOVE_ZERO)
    connections: int = 300  # attempts in five minutes and IP
    orders_10s: int = 100  # unfilled orders that an account may place in ten seconds
    orders_1d: int = 200_000  # the same in a day


class _Peer:
    """The counts of one IP."""

    __slots__ = ("attempts", "banned_until_ns", "bans", "raw", "refused", "weight")

    def __init__(self) -> None:
        self.weight = FixedWindow(MINUTE_NS)
        self.refused = FixedWindow(MINUTE_NS)
        self.raw = FixedWindow(WINDOW_NS)
        self.attempts = SlidingWindow(WINDOW_NS)
        self.bans = 0
        self.banned_until_ns = 0


class Meter:
    """Counts the use of limits by IP."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._peers: dict[str, _Peer] = {}

    def _peer(self, ip: str) -> _Peer:
        found = self._peers.get(ip)
        if found is None:
            if len(self._peers) >= 10_000:
                self._peers.clear()
            found = self._peers[ip] = _Peer()
        return found

    def used(self, ip: str, now_ns: int) -> int:
        """Return the weight used in this minute."""
        return self._peer(ip).weight.used(now_ns)

    def check_ban(self, ip: str, now_ns: int) -> None:
        """Raises the 418 of a banned IP."""
        until = self._peer(ip).banned_until_ns
        if now_ns < until:
            raise banned(until // 1_000_000, seconds_up(until - now_ns))

    def spend(self, ip: str, weight: int, now_ns: int) -> int:
        """Count a request; return the weight used in this minute.

        Raises:
            ApiError: 429 past the limit, 418 when an IP continues after too many of them.
        """
        limits, peer = self.limits, self._peer(ip)
        self.check_ban(ip, now_ns)
        used, raw = peer.weight.add(weight, now_ns), peer.raw.add(1, now_ns)
        if used <= limits.weight and raw <= limits.raw_requests:
            return used
        if peer.refused.add(1, now_ns) > limits.violations:
            lasts = min(limits.ban_s * 4**peer.bans, limits.longest_ban_s)
            peer.bans += 1
            peer.refused = FixedWindow(MINUTE_NS)
            peer.banned_until_ns = now_ns + lasts * SECOND_NS
            self.check_ban(ip, now_ns)
        window = peer.weight if raw <= limits.raw_requests else peer.raw
        raise too_much_weight(limits.weight, seconds_up(window.left_ns(now_ns)))

    def connect(self, ip: str, now_ns: int) -> int | None:
        """Count an attempt to connect a websocket; return None, or the seconds until the next attempt is allowed."""
        attempts = self._peer(ip).attempts
        if attempts.used(now_ns) >= self.limits.connections:
            return seconds_up(attempts.left_ns(now_ns))
        attempts.add(now_ns)
        return None

    def forgive(self) -> None:
        """Reset all counts and bans."""
        self._peers.clear()
