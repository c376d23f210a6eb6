"""Compares the time of a signed request with the exchange's clock. Pure."""

from __future__ import annotations

from enum import Enum


class Timing(Enum):
    """The result of the comparison."""

    IN_TIME = "in time"
    EARLY = "early"
    LATE = "late"


def timing(signed_us: int, now_ns: int, window_us: int, ahead_us: int) -> Timing:
    """Compare in microseconds: LATE if older than `window_us`, EARLY from `ahead_us` in the future on."""
    now_us = now_ns // 1_000
    if signed_us >= now_us + ahead_us:
        return Timing.EARLY
    return Timing.LATE if now_us - signed_us > window_us else Timing.IN_TIME
