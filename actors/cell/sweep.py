"""Clear a node's segment directory of the files of dead processes: pulses, segments and sockets."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from ...orderbook.segment.directory import sweep as sweep_segments
from .near import is_listening, near_directory
from .pulse import is_alive, read_beats

PULSES = "pulse"
UNFINISHED_S = 60.0  # age of a socket that its process made and never named
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
    return gone + _sweep_sockets(near_directory(directory))


def _sweep_sockets(directory: Path) -> int:
    """Remove the sockets on which no process listens, and unfinished ones that are old."""
    gone = 0
    for path in directory.iterdir() if directory.is_dir() else ():
        with contextlib.suppress(OSError):
            found = os.stat(path)
            if path.name.startswith(".") and time.time() - found.st_mtime < UNFINISHED_S:
                continue
            if not is_listening(path) and os.stat(path).st_ino == found.st_ino:
                path.unlink()
                gone += 1
    return gone


def sweep_orphans(directory: Path) -> int:
    """Remove the files that an earlier mesh of the same name left on this node under other node ids."""
    gone = 0
    for other in directory.parent.iterdir():
        if other != directory and other.is_dir():
            with contextlib.suppress(FileNotFoundError):  # another agent of this host has just removed it
                gone += sweep(other, FOREIGN_SILENT_NS)
            leave(other)
    return gone


def leave(directory: Path) -> None:
    """Remove the directory of a node, and of its mesh, when they are empty."""
    for folder in (directory / PULSES, near_directory(directory)):
        with contextlib.suppress(OSError):
            folder.rmdir()
    with contextlib.suppress(OSError):
        directory.rmdir()
        directory.parent.rmdir()
