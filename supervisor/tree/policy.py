"""Restart policy in OTP's words, as one pure function.

one_for_one: only the child that ended is restarted. A child that ends more than `intensity` times within `period_s`
escalates: it is shown as DEGRADED, and is retried with capped, jittered backoff until it has served for a whole period
again.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from enum import Enum

from ...model.backoff import Backoff
from ...model.time import in_ns
from .child import ChildSpec, Restart


class Exit(Enum):
    """Why a child ended."""

    DIED = "died"
    HUNG = "hung"
    NODE_LOST = "node lost"
    FINISHED = "finished"  # normally
    ASKED = "asked"  # stopped on request


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of restarts. `intensity` is per child; choose it above the number of restarts in an ordinary failure."""

    intensity: int = 5
    period_s: float = 10.0
    backoff_s: float = 0.5
    backoff_cap_s: float = 30.0


@dataclass(frozen=True, slots=True)
class History:
    """Times of the unrequested ends within the period, and the number of escalations in a row."""

    ends_ns: tuple[int, ...] = ()
    escalations: int = 0
    served_since_ns: int | None = None

    def served(self, now_ns: int) -> History:
        return replace(self, served_since_ns=now_ns)


@dataclass(frozen=True, slots=True)
class Adopt:
    """Run the child again, after a delay (0: at once)."""

    after_ns: int
    history: History


@dataclass(frozen=True, slots=True)
class Stop:
    """Do not run the child again."""


@dataclass(frozen=True, slots=True)
class Escalate:
    """The child ended too often: it is DEGRADED and retried after a delay."""

    retry_after_ns: int
    history: History


Decision = Adopt | Stop | Escalate


def decide(spec: ChildSpec, why: Exit, history: History, policy: Policy, now_ns: int) -> Decision:
    """Decide about a child that ended. Pure: the jitter comes from the address and the count."""
    if why is Exit.ASKED or spec.restart is Restart.TEMPORARY:
        return Stop()
    if spec.restart is Restart.TRANSIENT and why is Exit.FINISHED:
        return Stop()
    if why is Exit.NODE_LOST:
        return Adopt(0, replace(history, served_since_ns=None))
    period_ns = in_ns(policy.period_s)
    steady = history.served_since_ns is not None and now_ns - history.served_since_ns >= period_ns
    escalations = 0 if steady else history.escalations
    ends = (*(t for t in history.ends_ns if now_ns - t < period_ns), now_ns)[-(policy.intensity + 1) :]
    if len(ends) <= policy.intensity and escalations == 0:
        return Adopt(0, History(ends, 0))
    after = History(ends, escalations + 1)
    return Escalate(_backoff_ns(spec.address, after.escalations, policy), after)


def _backoff_ns(address: str, count: int, policy: Policy) -> int:
    chance = zlib.crc32(f"{address}#{count}".encode()) / 2**32  # [0, 1)
    return in_ns(Backoff(policy.backoff_s, policy.backoff_cap_s).delay_s(count, chance))
