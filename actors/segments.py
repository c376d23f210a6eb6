"""Sweeping a node's segment directory: what dead processes left is marked retired and removed."""

from __future__ import annotations

import os
from pathlib import Path

from .pulse import is_alive, read_beats


def segment_directory(mesh: str, node: str) -> Path:
    """Return this node's segment directory, made when absent."""
    root = Path(os.environ.get("VENUEMESH_SEGMENTS") or f"/dev/shm/venuemesh-{os.getuid()}")
    found = root / mesh / node[:12]
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def sweep(directory: Path) -> int:
    """Remove pulses and segments whose process is certainly dead. Blocks; return how many files went."""
    gone = 0
    for cell, beat in read_beats(directory / "pulse").items():
        if not is_alive(beat.pid, beat.start):
            (directory / "pulse" / cell).unlink(missing_ok=True)
            gone += 1
    return gone
