"""Remembers children that ended too often, across the death of the supervisor. Pure.

Only children that have escalated are stored: their count of restarts and escalations, and the time of their next start.
The ends of the last seconds are not stored, so a restarted supervisor does not count them. Times are stored by the wall
clock, because the next supervisor may run on another node; they are bounded by the longest backoff when they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...model.time import in_ns
from .policy import History, Policy
from .records import Child, ChildState


@dataclass(frozen=True, slots=True)
class Past:
    """The past of one child. `retry_ns` is in monotonic time of the reading process; negative if long ago."""

    restarts: int
    escalations: int
    retry_ns: int
    last_error: str | None

    def resume(self, child: Child) -> None:
        """Restore a child that does not run: DEGRADED until its next start."""
        child.restarts, child.last_error, child.retry_ns = self.restarts, self.last_error, self.retry_ns
        child.history = History(escalations=self.escalations)
        child.state = ChildState.DEGRADED

    def history(self, policy: Policy, now_ns: int) -> History:
        """Restore the counts of a running child; they hold until it must have served for a whole period."""
        steady = now_ns >= self.retry_ns + in_ns(policy.period_s)
        return History() if steady else History(escalations=self.escalations)


def remember(children: Mapping[str, Child], now_ns: int, wall_ns: int) -> dict[str, Any]:
    """Return plain values for the store."""
    return {
        address: [
            child.restarts,
            child.history.escalations,
            (wall_ns + child.retry_ns - now_ns) // 1_000_000,
            child.last_error,
        ]
        for address, child in children.items()
        if child.history.escalations
    }


def recall(plain: Mapping[str, Any], policy: Policy, now_ns: int, wall_ns: int) -> dict[str, Past]:
    """Read the values of `remember`."""
    longest_ns = in_ns(policy.backoff_cap_s)
    found = {}
    for address, (restarts, escalations, retry_ms, last_error) in plain.items():
        left_ns = min(retry_ms * 1_000_000 - wall_ns, longest_ns)
        found[address] = Past(restarts, escalations, now_ns + left_ns, last_error)
    return found
