"""The clock of the transports. Tests pass their own clock."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    """Times, timers and random numbers for a shell."""

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
