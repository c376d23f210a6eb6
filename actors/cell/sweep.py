"""Clear a node's segment directory of the files of dead processes: pulses and segments."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from ...orderbook.segment.directory import sweep as sweep_segments
from .pulse import is_alive, read_beats

PULSES = "pulse"
FOREIGN_SILENT_NS = 10_000_000_000  # for other nodes' directories, whose processes may be invisible on this node


def sweep(directory: Path, silent_ns: int = 0) -> int:
    """Remove the files of dead processes from `directory`; return how many files were removed. Blocks.

    A process counts as dead when no process in this pid namespace has its id and start time, and its pulse is older
    than `silent_ns`: a process in another pid namespace is invisible, but its pulse continues.
    """
    gone = len(sweep_segments(directory, silent_ns))
    now_ns = time.monotonic_ns()
    for cell, beat in read_beats(directory / PULSES).items():
        if now_ns - beat.beat_ns >= silent_ns and not is_alive(beat.pid, beat.start):
            (directory / PULSES / cell).unlink(missing_ok=True)
            gone += 1
    return gone


def sweep_orphans(directory: Path) -> int:
    """Remove the files that an earlier mesh of the same name left on this node under other node ids."""
    gone = 0
    for other in directory.parent.iterdir():
        if other != directory and other.is_dir():
            gone += sweep(other, FOREIGN_SILENT_NS)
            leave(other)
    return gone


def leave(directory: Path) -> None:
    """Remove the directory of a node, and of its mesh, when they are empty."""
    with contextlib.suppress(OSError):
        (directory / PULSES).rmdir()
    with contextlib.suppress(OSError):
        directory.rmdir()
        directory.parent.rmdir()
