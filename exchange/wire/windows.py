"""Counts use within a time: fixed and sliding windows. Pure; time is an argument."""

from __future__ import annotations

from collections import deque

from ...model.time import SECOND_NS


class FixedWindow:
    """A count that starts at zero at every whole multiple of `width_ns`."""

    __slots__ = ("_count", "_number", "width_ns")

    def __init__(self, width_ns: int) -> None:
        self.width_ns = width_ns
        self._number = -1
        self._count = 0

    def add(self, number: int, now_ns: int) -> int:
        """Add to the count, which never falls below zero; return the count."""
        self._count = max(0, self.used(now_ns) + number)
        return self._count

    def used(self, now_ns: int) -> int:
        """Return the count of the current window."""
        number = now_ns // self.width_ns
        if number != self._number:
            self._number, self._count = number, 0
        return self._count

    def left_ns(self, now_ns: int) -> int:
        """Return the remaining time of the current window."""
        return self.width_ns - now_ns % self.width_ns


class SlidingWindow:
    """The times of events within the last `width_ns`."""

    __slots__ = ("_times", "width_ns")

    def __init__(self, width_ns: int) -> None:
        self.width_ns = width_ns
        self._times: deque[int] = deque()

    def add(self, now_ns: int) -> int:
        """Record an event; return the number of events in the window."""
        self.used(now_ns)
        self._times.append(now_ns)
        return len(self._times)

    def used(self, now_ns: int) -> int:
        """Return the number of events in the window."""
        times = self._times
        while times and now_ns - times[0] >= self.width_ns:
            times.popleft()
        return len(times)

    def left_ns(self, now_ns: int) -> int:
        """Return how long until the oldest event leaves the window; 0 when the window is empty."""
        return self.width_ns - (now_ns - self._times[0]) if self.used(now_ns) else 0


def seconds_up(ns: int) -> int:
    """Return whole seconds, rounded up, for `Retry-After`."""
    return -(-ns // SECOND_NS)


class DecayingCount:
    """A count that falls by `decay` a second and never below zero."""

    __slots__ = ("_count", "_time_ns")

    def __init__(self) -> None:
        self._count = 0.0
        self._time_ns = 0

    def used(self, decay: float, now_ns: int) -> float:
        """Return the current count."""
        elapsed_s = max(0, now_ns - self._time_ns) / SECOND_NS
        self._count, self._time_ns = max(0.0, self._count - elapsed_s * decay), now_ns
        return self._count

    def add(self, number: float, decay: float, now_ns: int) -> float:
        """Add to the count; return the count."""
        self._count = self.used(decay, now_ns) + number
        return self._count
