"""Waiting in async code and in sync code: the only difference between the two forms of a class.

Classes named Async... are written by hand over `AsyncWaits`; `scripts/generate-sync` makes their sync twins over
`Waits`. Both have the same methods.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from ...model.errors import Misconfigured
from ..segment import SegmentReader, WaitSet
from ..segment.waiter import Waiter

P = ParamSpec("P")
T = TypeVar("T")
AsyncSleep = Callable[[float], Awaitable[None]]
Sleep = Callable[[float], None]


class AsyncWaits:
    """Waiting in a coroutine: the event loop keeps running."""

    @staticmethod
    def begin() -> None:
        """A coroutine may always wait."""

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)

    @staticmethod
    def change(reader: SegmentReader, after_version: int, at_most_s: float) -> Awaitable[None]:
        """Wait until the segment's version passes `after_version`, its writer is dead, or the time is over."""
        return Waiter.shared().change(reader, after_version, at_most_s)

    @staticmethod
    async def change_of_any(segments: Sequence[tuple[SegmentReader, int]], at_most_s: float) -> None:
        """Wait as `change` does, for one of several segments, each with its version."""

        async def change(reader: SegmentReader, after_version: int) -> None:
            await AsyncWaits.change(reader, after_version, at_most_s)

        waits = [asyncio.ensure_future(change(*segment)) for segment in segments]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in done:
                wait.result()
        finally:
            for wait in waits:
                wait.cancel()

    @staticmethod
    async def answer(hand_over: Callable[P, Future[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `hand_over`; return its future's result, or raise its error. Cancelling this cancels the work."""
        return await asyncio.wrap_future(hand_over(*args, **kwargs))

    @staticmethod
    async def settle(future: Future[T], timeout_s: float) -> bool:
        """Return whether the future is done within the time. Does not raise its error and does not cancel it."""
        if future.done():
            return True
        loop = asyncio.get_running_loop()
        settled: asyncio.Future[None] = loop.create_future()

        def resolve(_: Future[T]) -> None:
            loop.call_soon_threadsafe(_finish, settled)

        future.add_done_callback(resolve)
        await asyncio.wait({settled}, timeout=timeout_s)
        return future.done()

    @staticmethod
    async def run(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function on another thread."""
        return await asyncio.to_thread(work, *args, **kwargs)


class Waits:
    """Waiting on a thread that runs no event loop: the thread blocks.

    Raises:
        Misconfigured: this thread runs an event loop, and blocking would stop all tasks of the loop. IPython and
            Jupyter are the exception: their prompt waits for a cell anyway.
    """

    @staticmethod
    def begin() -> None:
        """Raise Misconfigured when blocking would stop an event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        if not _in_ipython():
            raise Misconfigured(
                "a blocking call", "this thread runs an event loop, which would stop: use AsyncMarket (market.aio)"
            )

    @staticmethod
    def sleep(seconds: float) -> None:
        Waits.begin()
        time.sleep(seconds)

    @staticmethod
    def change(reader: SegmentReader, after_version: int, at_most_s: float) -> None:
        """Wait until the segment's version passes `after_version`, its writer is dead, or the time is over."""
        Waits.begin()
        reader.wait(after_version, at_most_s)

    @staticmethod
    def change_of_any(segments: Sequence[tuple[SegmentReader, int]], at_most_s: float) -> None:
        """Wait as `change` does, for one of several segments, each with its version."""
        Waits.begin()
        watched = WaitSet()
        for reader, _ in segments:
            watched.add(reader)
        control = watched.control()
        if all(reader.version <= version and reader.alive for reader, version in segments):
            watched.wait(control, at_most_s)

    @staticmethod
    def answer(hand_over: Callable[P, Future[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `hand_over`; return its future's result, or raise its error. Ctrl-C cancels the work."""
        Waits.begin()  # before the call hands anything over
        future = hand_over(*args, **kwargs)
        try:
            return future.result()
        finally:
            future.cancel()  # does nothing if the future is done

    @staticmethod
    def settle(future: Future[T], timeout_s: float) -> bool:
        """Return whether the future is done within the time. Does not raise its error and does not cancel it."""
        Waits.begin()
        concurrent.futures.wait([future], timeout_s)
        return future.done()

    @staticmethod
    def run(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function."""
        Waits.begin()
        return work(*args, **kwargs)


def _finish(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _in_ipython() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None
