"""Delays before the next attempt. Pure: the caller counts the failures and draws the random number."""

from __future__ import annotations

from dataclasses import dataclass

MOST_DOUBLINGS = 64  # above it every delay is at its cap, and a float would overflow


@dataclass(frozen=True, slots=True)
class Backoff:
    """Capped exponential backoff with jitter.

    After `failures` attempts in a row, wait `first_s` x `factor`**(`failures` - 1), at most `cap_s`; the share `jitter`
    of that delay is drawn at random. `first_s` is more than 0, `jitter` from 0 (always the same delay) to 1.
    """

    first_s: float
    cap_s: float
    factor: float = 2.0
    jitter: float = 0.5

    def delay_s(self, failures: int, chance: float = 0.0) -> float:
        """Return the delay; 0 before the first failure. `chance` is a random number in [0, 1)."""
        if failures <= 0:
            return 0.0
        full = min(self.cap_s, self.first_s * self.factor ** min(failures - 1, MOST_DOUBLINGS))
        return full * (1.0 - self.jitter * chance)

    def spread_s(self, chance: float) -> float:
        """Return a random delay from 0 to `first_s`, so that many clients do not return at the same moment."""
        return self.first_s * chance
