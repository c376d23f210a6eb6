"""Which tasks of the strategy wait for the replay, and which are busy with what the replay gave them.

A task that got a tick, a change or a trade is busy until it waits for the replay again or ends. `settle` waits for all
busy tasks, also in real time. A task counts as waiting, too, while

    a task that it started since then waits (a child of `asyncio.wait_for`, `gather` or a task group)
    it waits in a lock, event, condition, semaphore or queue of asyncio, for another task

because otherwise the replay and the task would wait for each other.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
from asyncio import locks, queues
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

LOOP_TURNS = 3  # turns for a future's callback, the task that it wakes, and a task that this task wakes
FIRST_TURNS = 50  # turns for the strategy before the first record
PAUSE_S, LONGEST_PAUSE_S = 0.0005, 0.05  # between two checks of busy tasks
WARN_S = 10.0
ELSEWHERE = {locks.__file__, queues.__file__}

Given = tuple["asyncio.Task[Any]", int]  # a task, and the number of what it was given
_numbers = itertools.count(1)
_given: ContextVar[Given | None] = ContextVar("_given", default=None)  # of this task, or of the task that started it
# Of all replays: a strategy may follow several.
_waiting: set[asyncio.Task[Any]] = set()
_parents: WeakKeyDictionary[asyncio.Task[Any], Given | None] = WeakKeyDictionary()


class ReplayOver(Exception):
    """The recording has ended: raised where a task waits for more of it."""


class Turns:
    """The tasks of one replay; see the module."""

    def __init__(self) -> None:
        self._futures: dict[asyncio.Future[Any], asyncio.Task[Any]] = {}  # what tasks wait for
        self._busy: dict[asyncio.Task[Any], int] = {}  # task -> number of what it was given
        self._known: set[asyncio.Task[Any]] = set()
        self._progress: asyncio.Future[None] | None = None
        self._is_over = False

    def follow(self, task: asyncio.Task[Any]) -> None:
        """Count a task as busy from now on."""
        self._busy[task] = next(_numbers)
        if task not in self._known:
            self._known.add(task)
            task.add_done_callback(self._ended)

    async def run(self, strategy: Coroutine[Any, Any, Any]) -> Any:
        """Run a strategy, in a task that `follow` has got."""
        task = asyncio.current_task()
        assert task is not None
        _parents[task] = None
        _given.set((task, self._busy[task]))
        return await strategy

    async def wait(self, future: asyncio.Future[Any]) -> Any:
        """Wait for `future`, which `give` completes. Raises ReplayOver."""
        task = asyncio.current_task()
        assert task is not None
        self._busy.pop(task, None)
        self._futures[future] = task
        _parents.setdefault(task, _given.get())
        _waiting.add(task)
        self._progressed()
        try:
            return await future
        finally:
            self._futures.pop(future, None)
            _waiting.discard(task)
            if task not in self._busy:  # its own timeout or cancellation, not `give`, woke it
                self.follow(task)
            _given.set((task, self._busy[task]))

    def give(self, future: asyncio.Future[Any], value: Any = None) -> None:
        """Complete what a task waits for; the task is busy from now on."""
        if future.done():
            return
        future.set_result(value)
        if (task := self._futures.get(future)) is not None:
            self.follow(task)

    async def turn(self, turns: int = LOOP_TURNS) -> None:
        """Let woken tasks run until they await something that is not ready."""
        for _ in range(turns):
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Return when all tasks that were given something wait for the replay again, or have ended."""
        await self.turn()
        if not self._busy:
            return
        loop = asyncio.get_running_loop()
        seen: dict[asyncio.Task[Any], tuple[int, int] | None] = {}
        pause_s, warn_at = PAUSE_S, loop.time() + WARN_S
        while self._blocking(seen):
            if loop.time() > warn_at:
                warn_at += WARN_S
                self._warn()
            self._progress = loop.create_future()
            await asyncio.wait({self._progress}, timeout=pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            await self.turn()

    def end(self) -> None:
        """End all waits with ReplayOver; later waits last until `close`."""
        self._is_over = True
        for future, task in list(self._futures.items()):
            if not future.done():
                future.set_exception(ReplayOver("the recording has ended"))
                self.follow(task)

    def close(self) -> None:
        """Cancel all waits."""
        for future in list(self._futures):
            future.cancel()

    @property
    def is_over(self) -> bool:
        return self._is_over

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._known.discard(task)
        self._busy.pop(task, None)
        self._progressed()

    def _progressed(self) -> None:
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)

    def _blocking(self, seen: dict[asyncio.Task[Any], tuple[int, int] | None]) -> bool:
        """Return whether a busy task may still do something without the replay.

        `seen` has each task's place at the last call: a task that stands still between two calls is not about to run.
        """
        idle = set(_waiting)
        for task in self._busy:
            place = _place_elsewhere(task)
            if place is not None and seen.get(task) == place:
                idle.add(task)
            seen[task] = place
        blocking = {task: number for task, number in self._busy.items() if task not in idle}
        while started := [task for task, number in blocking.items() if (task, number) in map(_parents.get, idle)]:
            idle.update(started)
            for task in started:
                del blocking[task]
        return bool(blocking)

    def _warn(self) -> None:
        from loguru import logger

        for task in self._busy:
            frames = task.get_stack(limit=1)
            where = f" at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
            logger.warning("the replay waits for {}, which is busy{}", task.get_name(), where)


def _place_elsewhere(task: asyncio.Task[Any]) -> tuple[int, int] | None:
    """Return where a task waits in asyncio's locks or queues for another task; None if it waits for something else."""
    at: Any = task.get_coro()
    while inspect.iscoroutine(at) and at.cr_await is not None and at.cr_frame is not None:
        if at.cr_code.co_filename in ELSEWHERE:
            return id(at), at.cr_frame.f_lasti
        at = at.cr_await
    return None
