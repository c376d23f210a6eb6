"""An event loop in a thread, for roles that run in parallel with the synchronous code of the same process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
END_S = 15.0  # time limit for the loop's tasks to end, then for its thread


def new_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop like that of a cell: uvloop, the faster one, where the system has it."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class LoopThread:
    """An event loop in a separate thread. Use `loop_in_thread`, or call `end`."""

    def __init__(self, name: str) -> None:
        self.loop = new_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=f"venuemesh-{name}", daemon=True)
        self._spawned: set[Future[Any]] = set()
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop; return its future at once."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Start a coroutine that runs until it is done or the loop ends."""
        running = self.submit(work)
        self._spawned.add(running)
        running.add_done_callback(self._spawned.discard)

    def end(self) -> None:
        """Cancel all tasks, stop the loop and end the thread."""
        self.submit(self._finish()).result(END_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(END_S)
        self.loop.close()

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()


@contextlib.contextmanager
def loop_in_thread(name: str) -> Iterator[LoopThread]:
    """Run an event loop in a thread while the block runs."""
    thread = LoopThread(name)
    try:
        yield thread
    finally:
        thread.end()
