"""Waiting for changes of segments in event loops: by io_uring where the system has it, else by a thread.

An asyncio task cannot sleep on a futex. `VENUEMESH_WAIT` selects who sleeps for it:

    ring     the kernel: io_uring waits for the futexes and signals the event loop (`loop`; Linux 6.7)
    thread   a thread of this process, which wakes the loops (`thread`; futex_waitv, Linux 5.16)
    poll     a thread that reads the version words every 0.5 ms (anywhere)

Without the variable, it is the first of these that the system has; many containers forbid io_uring. A thread that runs
no event loop sleeps on the futex itself: `SegmentReader.wait`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Awaitable, Callable

from ...model.errors import Misconfigured
from . import SegmentReader
from .loop import LoopWaiter
from .thread import ThreadWaiter

VARIABLE = "VENUEMESH_WAIT"
WAYS = ("ring", "thread", "poll")


class Waiter:
    """Waits for changes of segments on behalf of asyncio tasks. One per process is enough: `Waiter.shared()`.

    Usable from several event loops and threads. What it needs is made when first needed and ends when idle. After a
    fork the child starts with an empty waiter.
    """

    _shared: Waiter | None = None

    def __init__(self, way: str | None = None) -> None:
        """`way` is "ring", "thread" or "poll"; None takes what `VENUEMESH_WAIT` says, else the best there is.

        Raises:
            Misconfigured: another way.
        """
        self._way = way or os.environ.get(VARIABLE) or None
        if self._way not in (None, *WAYS):
            raise Misconfigured(VARIABLE, f"is {self._way!r}; use one of: {', '.join(WAYS)}")
        self._reset()
        _ALL.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._loops: dict[asyncio.AbstractEventLoop, LoopWaiter] = {}
        self._without_rings = self._way in ("thread", "poll")
        self._thread = ThreadWaiter(None if self._way in (None, "ring") else self._way == "poll")

    @classmethod
    def shared(cls) -> Waiter:
        """Return this process's waiter."""
        if cls._shared is None:
            cls._shared = cls()
        return cls._shared

    def __reduce__(self) -> tuple[Callable[[], Waiter], tuple[()]]:
        return Waiter.shared, ()

    @property
    def uses_rings(self) -> bool:
        """Whether event loops wait by io_uring; before the first wait: whether they will try to."""
        return not self._without_rings

    @property
    def threads(self) -> int:
        """The number of running threads."""
        return self._thread.threads

    @property
    def segments(self) -> int:
        """The number of segments that tasks wait for, or waited for a moment ago."""
        return self._thread.segments + sum(waiter.segments for waiter in list(self._loops.values()))

    async def wait(
        self, reader: SegmentReader, after_version: int, timeout_s: float | None = None, alive: bool = True
    ) -> int:
        """Sleep until the segment's version passes `after_version`, the life of its writer differs from `alive`, or the
        time is over. Return the version, which may still be `after_version`.

        Read `version` before the data that it belongs to (`Top.version` is); then no change can be missed.

        Raises:
            NotSynced: the reader is closed.
            Misconfigured: the way is "ring", and this system has no io_uring with futexes.
        """
        await self.change(reader, after_version, timeout_s, alive)
        return reader.version

    def change(
        self, reader: SegmentReader, after_version: int, timeout_s: float | None = None, alive: bool = True
    ) -> Awaitable[None]:
        """Return what the running task must await to sleep as in `wait`; with no coroutine between, it wakes sooner."""
        loop = asyncio.get_running_loop()
        waiter = self._loops.get(loop)
        if waiter is None or not waiter.serves:
            waiter = self._begin(loop)
        return (waiter or self._thread).wait(reader, after_version, timeout_s, alive)

    def close(self) -> None:
        """End the threads and rings, and wake every waiting task. The waiter may be used again afterwards."""
        with self._lock:
            loops = dict(self._loops)
            self._loops.clear()
        for loop, waiter in loops.items():
            if waiter.serves or loop.is_closed():
                waiter.end()
            else:
                with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: no task is left to wake
                    loop.call_soon_threadsafe(waiter.end)
        self._thread.close()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> LoopWaiter | None:
        """Return a waiter for this loop, which has none that serves; None if a thread must wait.

        Ends the waiters of closed loops.
        """
        if self._without_rings:
            return None
        with self._lock:
            before = self._loops.pop(loop, None)
            for closed in [other for other in self._loops if other.is_closed()]:
                self._loops.pop(closed).end()
        if before is not None:
            before.end()
            self._without_rings = before.failed
        try:
            waiter = None if self._without_rings else LoopWaiter(loop)
        except OSError as error:
            self._without_rings = True
            if self._way == "ring":
                raise Misconfigured(VARIABLE, f"is 'ring', which this system refuses: {error.strerror}") from error
            return None
        if waiter is not None:
            with self._lock:
                self._loops[loop] = waiter
        return waiter


_ALL: weakref.WeakSet[Waiter] = weakref.WeakSet()


def _after_fork() -> None:
    for waiter in list(_ALL):
        waiter._reset()


def _at_exit() -> None:
    for waiter in list(_ALL):
        waiter.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
