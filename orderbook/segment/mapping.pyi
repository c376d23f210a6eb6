from pathlib import Path

FORMAT_VERSION: int
LEVELS_MAX: int
TRADES_MAX: int

def monotonic_ns() -> int:
    """Return CLOCK_MONOTONIC, the clock of heartbeats, in nanoseconds."""

def process_start(pid: int) -> int:
    """Return the start time of process `pid` in clock ticks since boot; 0 if it is dead, a zombie, or of unknown
    age."""

def mark_ended(path: Path) -> None:
    """Mark a segment RETIRED and wake its readers. Only for a dead writer's segment (`directory.mark_retired`)."""
