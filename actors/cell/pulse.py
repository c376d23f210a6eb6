"""The heartbeat of a process: a small file that the process's loop writes every 50 ms and the node agent reads.

A pulse is the file `<segments>/pulse/<cell>`. The process maps it and stores a few integers, so a heartbeat costs no
system call; a reader learns pid, process start time, thread, time of the last heartbeat, loop lag and progress. A pulse
outlives its process: the agent sees that the process is gone and removes the file. Times are CLOCK_MONOTONIC in ns; the
start time of a process is in clock ticks since boot (proc(5), field 22), which together with the pid identifies one
process. `thread` is the kernel's id of the loop's thread: the kernel counts how long it waited for a processor.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import select
import signal
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...model.errors import Misconfigured

PERIOD_S = 0.05
HEARTBEAT_LIMIT_S = 0.25  # default: a book or process whose last heartbeat is older counts as dead
SUPERVISOR = "supervisor"  # the supervisor's pulse on its node
STARVED_TIMES = 10  # a process without a processor counts as hung after this many times the limit
_MAGIC = b"VMPULSE2"
_LAYOUT = struct.Struct("<8sQQQQQQ")
_ADDRESS = 256
_SIZE = _LAYOUT.size + _ADDRESS


@dataclass(frozen=True, slots=True)
class Beat:
    """One reading of a pulse. `address` is empty for a spare."""

    cell: str
    pid: int
    start: int
    thread: int
    beat_ns: int
    lag_ns: int
    progress: int
    address: str


class Pulse:
    """The writer of a pulse, made in the loop's thread. One per process. Raises Misconfigured: no room for it."""

    def __init__(self, directory: Path, cell: str, address: str = "") -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = directory / cell
        self.pid, self.start = os.getpid(), process_start(os.getpid()) or 0
        self.thread = threading.get_native_id()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, _SIZE)
            self._map = mmap.mmap(descriptor, _SIZE)
        except OSError as error:
            self.path.unlink(missing_ok=True)
            reason = f"no room for the {_SIZE} bytes of {cell}: {error.strerror}"
            remedy = "free space there, or set VENUEMESH_SEGMENTS to another folder"
            raise Misconfigured(f"the folder {directory}", f"{reason}; {remedy}") from None
        finally:
            os.close(descriptor)
        self._progress = 0
        self.name(address)
        self.beat(0, 0)  # from here on the file shows which process owns it

    def name(self, address: str) -> None:
        """Set the address that this process serves now."""
        raw = address.encode()[:_ADDRESS]
        self._map[_LAYOUT.size : _SIZE] = raw.ljust(_ADDRESS, b"\0")

    def beat(self, now_ns: int, lag_ns: int) -> None:
        self._progress += 1
        process = self.pid, self.start, self.thread
        _LAYOUT.pack_into(self._map, 0, _MAGIC, *process, now_ns, max(0, lag_ns), self._progress)

    def close(self) -> None:
        self._map.close()
        self.path.unlink(missing_ok=True)


def read_beat(path: Path) -> Beat | None:
    """Read one pulse; None when the file is gone or is not a pulse."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    if len(raw) != _SIZE:
        return None
    magic, pid, start, thread, beat_ns, lag_ns, progress = _LAYOUT.unpack_from(raw)
    if magic != _MAGIC:
        return None
    address = raw[_LAYOUT.size :].rstrip(b"\0").decode(errors="replace")
    return Beat(path.name, pid, start, thread, beat_ns, lag_ns, progress, address)


def read_beats(directory: Path) -> dict[str, Beat]:
    """Read every pulse of the node."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return {}
    beats = (read_beat(directory / name) for name in names)
    return {beat.cell: beat for beat in beats if beat is not None}


@dataclass(frozen=True, slots=True)
class _Silence:
    """A process without progress: `counted_ns` of its `silent_ns` count against it."""

    progress: int
    counted_ns: int = 0
    silent_ns: int = 0
    starved_ns: int | None = None  # how long the loop's thread had waited for a processor at the last observation
    sampled: tuple[int, int] | None = None  # `counted_ns`, and how long all threads had waited, when half was counted


@dataclass(slots=True)
class HangDetector:
    """Find the processes that stopped beating, by regular observations. Pure.

    Time counts against a process only while the observer itself ran: after a pause of the observer or of its machine,
    at most `step_ns` of the pause count. Time in which the process waited for a processor does not count either: an
    overloaded machine makes processes slow, and killing them makes it slower. The loop may wait for another thread that
    waits for a processor: so before a process counts as hung, all its threads are looked at since half of the limit was
    counted. There is an end to that: a process without progress for `STARVED_TIMES` times the limit counts as hung.
    """

    limit_ns: int
    step_ns: int
    _seen: dict[str, _Silence] = field(default_factory=dict)
    _last_ns: int | None = None

    def look(
        self, progress: Mapping[str, int], now_ns: int, starved: Callable[[str, bool], int | None] = lambda *_: None
    ) -> list[str]:
        """Return the names without progress for longer than the limit.

        `starved` returns for how long the loop's thread of a process (True: all its threads in sum) has waited for a
        processor since its start, in ns; None: unknown.
        """
        step = 0 if self._last_ns is None else min(now_ns - self._last_ns, self.step_ns)
        self._last_ns = now_ns
        self._seen = {name: self._silence(name, count, step, starved) for name, count in progress.items()}
        longest_ns = STARVED_TIMES * self.limit_ns
        return [n for n, one in self._seen.items() if one.counted_ns > self.limit_ns or one.silent_ns > longest_ns]

    def _silence(self, name: str, count: int, step: int, starved: Callable[[str, bool], int | None]) -> _Silence:
        before = self._seen.get(name)
        if before is None or before.progress != count:
            return _Silence(count)
        waited_ns = starved(name, False)
        excused_ns = 0 if waited_ns is None or before.starved_ns is None else waited_ns - before.starved_ns
        counted_ns = max(0, before.counted_ns + step - max(0, excused_ns))  # the kernel counts a wait when it is over
        sampled = before.sampled
        is_due = counted_ns > (self.limit_ns // 2 if sampled is None else self.limit_ns)
        if is_due and (all_ns := starved(name, True)) is not None:
            if sampled is not None and 2 * (all_ns - sampled[1]) > counted_ns - sampled[0]:
                counted_ns, sampled = self.limit_ns // 2, None
            if sampled is None:
                sampled = counted_ns, all_ns
        return _Silence(count, counted_ns, before.silent_ns + step, waited_ns, sampled)


def starved_ns(pid: int, thread: int | None = None) -> int | None:
    """Return for how long a thread (None: all threads of the process, in sum) has waited for a processor since its
    start; None when the kernel does not tell."""
    try:
        threads = os.listdir(f"/proc/{pid}/task") if thread is None else [str(thread)]
    except OSError:
        return None
    waited = [ns for one in threads if (ns := _waited_ns(pid, one)) is not None]
    return sum(waited) if waited else None


def _waited_ns(pid: int, thread: str) -> int | None:
    try:
        with open(f"/proc/{pid}/task/{thread}/schedstat", "rb") as schedstat:
            return int(schedstat.read().split()[1])
    except (OSError, IndexError, ValueError):
        return None


def process_start(pid: int) -> int | None:
    """Return the start time of a process, or None when no such process lives (a zombie is dead).

    Without /proc (macOS) a living process has start time 0.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except FileNotFoundError:
        if os.path.isdir("/proc/self"):
            return None
        return 0 if _exists(pid) else None
    except ProcessLookupError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_alive(pid: int, start: int) -> bool:
    """Return whether this very process lives; a later process with the same pid does not count."""
    return process_start(pid) == start


def kill_process(pid: int, start: int, timeout_s: float = 2.0) -> bool:
    """SIGKILL this very process and wait until it is gone. Works on a stopped process. Blocks: call it in a thread.

    Returns True when the process is gone (at once if it was gone before), False if it still exists at the timeout.
    """
    if not is_alive(pid, start):
        return True
    if not hasattr(os, "pidfd_open"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return not is_alive(pid, start)
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        if error.errno == errno.ESRCH:
            return True
        raise
    try:
        if not is_alive(pid, start):  # the descriptor may be of a later process with this pid
            return True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources of a process: resident and proportional bytes, CPU seconds since its start."""

    rss: int
    pss: int | None
    cpu_s: float


def usage(pid: int) -> Usage | None:
    """Read memory and CPU of a process from /proc; None when it is gone or there is no /proc."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            rss = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        pss = None
        with contextlib.suppress(PermissionError), open(f"/proc/{pid}/smaps_rollup", "rb") as smaps:
            for line in smaps:
                if line.startswith(b"Pss:"):
                    pss = int(line.split()[1]) * 1024
                    break
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Usage(rss, pss, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
