from pathlib import Path

FORMAT_VERSION: int
LEVELS_MAX: int
TRADES_MAX: int

def monotonic_ns() -> int:
    """CLOCK_MONOTONIC, the clock of heartbeats, in nanoseconds."""

def process_start(pid: int) -> int:
    """When process `pid` started, in clock ticks since boot; 0 when it is dead, a zombie too, or nobody can know."""

def mark_ended(path: Path) -> None:
    """Mark a segment RETIRED and wake its readers. Only for one whose writer is dead (`directory.mark_retired`)."""
