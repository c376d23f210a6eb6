"""Units of time. Inside the mesh, times and durations are int64 nanoseconds; settings are seconds."""

from __future__ import annotations

MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
DAY_NS = 86_400 * SECOND_NS


def in_ns(seconds: float) -> int:
    """Convert a duration in seconds to whole nanoseconds, rounded towards zero."""
    return int(seconds * SECOND_NS)
