"""Tells whether the files of an open SQLite connection are still the files at its path.

SQLite keeps its files open, so it continues writing into a journal that was removed or moved: what it commits then is
lost with the process, and a successor would find another file. A file is the same as long as its device and inode are;
no other file gets its inode while it is open.
"""

from __future__ import annotations

import os
from pathlib import Path

LOG = "-wal"
Identity = tuple[int, int]  # device, inode


class FilePlace:
    """The files of one connection: the database, and its log once that exists."""

    def __init__(self, path: Path) -> None:
        self._paths = (str(path), str(path.with_name(path.name + LOG)))
        self._held: list[Identity | None] = [_identity(one) for one in self._paths]

    @property
    def exists(self) -> bool:
        return self._held[0] is not None

    def problem(self) -> str | None:
        """Return what happened to the files since the first look at them; None if they are still at their path."""
        for at, path in enumerate(self._paths):
            found, held = _identity(path), self._held[at]
            if held is None:
                self._held[at] = found
            elif found is None:
                return f"{path} was removed or moved while it was open; put it back"
            elif found != held:
                return f"{path} was replaced by another file while it was open; put the journal back"
        return None


def _identity(path: str) -> Identity | None:
    try:
        seen = os.stat(path)
    except FileNotFoundError:
        return None
    return seen.st_dev, seen.st_ino
