"""The exchange's clocks. Only this module and the server's timers read time."""

from __future__ import annotations

import time


class Clock:
    """Wall time with a skew that tests may set, and monotonic time."""

    def __init__(self) -> None:
        self.skew_ns = 0

    def now_ns(self) -> int:
        return time.time_ns() + self.skew_ns

    @staticmethod
    def monotonic_ns() -> int:
        return time.monotonic_ns()
