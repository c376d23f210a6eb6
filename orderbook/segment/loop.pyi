import asyncio
from collections.abc import Awaitable

from .reader import SegmentReader

IDLE_NS: int

class FutexRing:
    """Futex waits of one thread in the kernel.

    Raises on creation:
        OSError: this system has no io_uring with futexes (before Linux 6.7), or forbids it.
    """

class LoopWaiter:
    """Waits for the tasks of one event loop, in the thread that runs the loop.

    Raises on creation:
        OSError: this system has no io_uring with futexes, or forbids it.
    """

    failed: bool
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    @property
    def serves(self) -> bool:
        """Whether it can be used in this thread. It ends when idle, and when its loop runs in another thread."""

    @property
    def segments(self) -> int:
        """The number of segments that tasks wait for, or waited for a moment ago."""

    def wait(
        self, reader: SegmentReader, after_version: int, timeout_s: float | None = None, alive: bool = True
    ) -> Awaitable[None]:
        """Return an awaitable, for one task, that is done when a wait as `Waiter.wait` describes it is over."""

    def end(self, failed: bool = False) -> None:
        """Close the ring and wake every waiting task. Idempotent."""
