"""Find the newest segment of an address on this node, and remove segments of dead writers.

    $VENUEMESH_SEGMENTS or /dev/shm/venuemesh-<uid>  /  <mesh>  /  <node, 12 characters>  /  <address>@<epoch>.<counter>

Every directory is private (0700) to the user who runs the mesh; any other mode or owner is refused.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path

from ...model.errors import Misconfigured, SegmentMismatch
from . import SegmentReader, mark_ended, process_start
from .names import Incarnation, parse_name, private_directory, segment_name

__all__ = [
    "SegmentIndex",
    "find_newest",
    "list_segments",
    "mark_retired",
    "parse_name",
    "private_directory",
    "segment_directory",
    "segment_name",
    "segment_root",
    "sweep",
]

ROOT_VARIABLE = "VENUEMESH_SEGMENTS"
NODE_CHARACTERS = 12
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_UNNAMED = re.compile(r"\.([0-9]+)\.[0-9a-f]{16}\.new")


def segment_root() -> Path:
    """Return the folder of this user's segments: $VENUEMESH_SEGMENTS, or in /dev/shm, or in the temp directory."""
    configured = os.environ.get(ROOT_VARIABLE)
    if configured:
        return Path(configured)
    memory = Path("/dev/shm")
    return (memory if memory.is_dir() else Path(tempfile.gettempdir())) / f"venuemesh-{os.geteuid()}"


def segment_directory(mesh: str, node: str) -> Path:
    """Return the directory of one mesh's segments on one node; make its missing parts.

    Raises:
        Misconfigured: the name of the mesh or node is not allowed, or a directory of the path is not private.
    """
    for what, word in (("mesh", mesh), ("node", node)):
        if not _WORD.fullmatch(word):
            raise Misconfigured(
                f"{what} {word[:80]!r}", "use letters, digits, '_', '-' and '.', and do not begin with '.'"
            )
    root = private_directory(segment_root())
    return private_directory(private_directory(root / mesh) / node[:NODE_CHARACTERS])


def list_segments(directory: Path) -> list[tuple[str, Incarnation, Path]]:
    """Return (address, incarnation, path) of the segments in `directory`, oldest incarnation of an address first."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    found = [(*parsed, directory / name) for name in names if (parsed := parse_name(name)) is not None]
    return sorted(found, key=lambda segment: segment[:2])


def find_newest(directory: Path, address: str) -> Path | None:
    """Return the path of the newest incarnation's segment of `address`; None when there is none."""
    found = [(incarnation, path) for name, incarnation, path in list_segments(directory) if name == address]
    return max(found)[1] if found else None


class SegmentIndex:
    """The segments of each address in a directory, listed again only when the directory has changed.

    All readers of a directory in a process share one index (`of`), so that a thousand views of dead books cost one stat
    each and one listing together.
    """

    _SETTLED_NS = 20_000_000  # changes within one tick of the file system's clock look alike
    _shared: dict[Path, SegmentIndex] = {}  # noqa: RUF012

    @classmethod
    def of(cls, directory: Path) -> SegmentIndex:
        return cls._shared.setdefault(directory, cls(directory))

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.listings = 0
        self._segments: dict[str, list[tuple[Incarnation, Path]]] = {}
        self._changed_ns = -1  # modification time of the directory when it was listed
        self._settled = False

    def segments(self, address: str) -> list[tuple[Incarnation, Path]]:
        """Return (incarnation, path) of each segment of `address`, the newest first; do not change the list."""
        try:
            changed_ns = os.stat(self.directory).st_mtime_ns
        except FileNotFoundError:
            return []
        if changed_ns != self._changed_ns or not self._settled:
            settled = time.time_ns() - changed_ns > self._SETTLED_NS
            self._segments = {}
            for name, incarnation, path in reversed(list_segments(self.directory)):
                self._segments.setdefault(name, []).append((incarnation, path))
            self.listings += 1
            self._changed_ns, self._settled = changed_ns, settled
        return self._segments.get(address, [])


def mark_retired(path: Path, unlink: bool = True) -> bool:
    """Mark the segment of a dead writer RETIRED, wake its readers, and remove the file. False: the file was gone.

    Only the node agent calls this, and only for a writer that is certainly dead. The mark is one atomic word that a
    writer sets only to end itself; if the writer is alive after all, its next publish raises Fenced.
    """
    try:
        mark_ended(path)
    except FileNotFoundError:
        return False
    except SegmentMismatch:
        pass  # another version or damaged: no reader maps the file, so removing it is enough
    if unlink:
        path.unlink(missing_ok=True)
    return True


def sweep(directory: Path, silent_ns: int = 10_000_000_000) -> list[Path]:
    """Retire and remove the segments of dead processes in `directory`; return the removed ones.

    A segment is removed when its writer's process is gone (pid and start time) and its heartbeat is older than
    `silent_ns`; an unfinished file when its process is gone. Files of another version are left alone.
    """
    removed = []
    for _, _, path in list_segments(directory):
        try:
            reader = SegmentReader(path)
        except (FileNotFoundError, SegmentMismatch):
            continue
        silent = reader.heartbeat_age_ns > silent_ns
        gone = _is_gone(reader.writer_pid, reader.writer_start)
        reader.close()
        if gone and silent and mark_retired(path):
            removed.append(path)
    names = os.listdir(directory) if directory.is_dir() else []
    for name in names:
        unfinished = _UNNAMED.fullmatch(name)
        if unfinished and _is_gone(int(unfinished[1]), None):
            (directory / name).unlink(missing_ok=True)
            removed.append(directory / name)
    return removed


def _is_gone(pid: int, start: int | None) -> bool:
    """Return whether no process has this id or, where start times are known, only a younger process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return start is not None  # another user's process has the id now, so ours is gone
    return bool(start) and process_start(pid) != start
