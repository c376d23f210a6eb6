"""A limit on the processor time of a group of processes, by a control group of Linux (version 1 or 2).

Source: https://docs.kernel.org/scheduler/sched-bwc.html and https://docs.kernel.org/admin-guide/cgroup-v2.html, read
2026-11-29. It needs a mounted controller `cpu` that this process may change, such as root has.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

PERIOD_US = 20_000  # short, so that a process that has used up its share continues soon
_V1, _V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


class NoQuota(Exception):
    """This system does not let this process limit the processor time of others."""


class Quota:
    """A group whose processes get `cores` of the processor together. Use it as a context manager.

    Raises on creation:
        NoQuota: see the class.
    """

    def __init__(self, name: str, cores: float) -> None:
        is_v2 = not _V1.is_dir()
        base = _V2 if is_v2 else _V1
        quota_us = max(1_000, int(cores * PERIOD_US))
        self._path = base / f"venuemesh-{os.getpid()}-{name}"
        self._parent = base / "cgroup.procs"
        try:
            if is_v2:
                (base / "cgroup.subtree_control").write_text("+cpu")
            self._path.mkdir()
            if is_v2:
                (self._path / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
            else:
                (self._path / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (self._path / "cpu.cfs_quota_us").write_text(str(quota_us))
        except OSError as error:
            with contextlib.suppress(OSError):
                self._path.rmdir()
            raise NoQuota(f"no control group can be made: {error}") from error

    def __enter__(self) -> Quota:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in (self._path / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):  # it has ended
                self._parent.write_text(pid)
        self._path.rmdir()

    def add(self, pids: Iterable[int]) -> None:
        """Put processes, with all their threads, into the group. Those that have ended are left out."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                (self._path / "cgroup.procs").write_text(str(pid))
