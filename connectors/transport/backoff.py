"""When to try again, and the clock that says so. Time is an input: tests hand in a clock of their own."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """What a shell needs of time and chance."""

    def monotonic_ns(self) -> int: ...
    def time_ns(self) -> int: ...
    def random(self) -> float:
        """Return a number in [0, 1)."""

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clocks."""

    monotonic_ns = staticmethod(time.monotonic_ns)
    time_ns = staticmethod(time.time_ns)
    random = staticmethod(random.random)
    sleep = staticmethod(asyncio.sleep)


SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Backoff:
    """Capped exponential backoff with jitter.

    After `failures` attempts in a row that proved nothing, wait `first_s` x `factor`**(failures - 1), at most `cap_s`,
    of which the share `jitter` is drawn at random. After a connection that had proven itself (it was still heard from
    `proven_s` seconds after it opened) failures start at zero again; that wait is random in [0, `first_s`), so that
    many clients of one server that restarts do not come back in one instant.
    """

    first_s: float = 0.2
    cap_s: float = 30.0
    factor: float = 2.0
    jitter: float = 0.5
    proven_s: float = 5.0

    def delay_s(self, failures: int, chance: float) -> float:
        """Return how long to wait. `chance` is a random number in [0, 1)."""
        if failures <= 0:
            return self.first_s * chance
        full = min(self.cap_s, self.first_s * self.factor ** min(failures - 1, 64))
        return full * (1.0 - self.jitter * chance)
