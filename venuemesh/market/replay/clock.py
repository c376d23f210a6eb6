"""Replay time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Any

from ...model.time import SECOND_NS
from .turns import Turns


class ReplayClock:
    """Time that only `advance` moves, and sleepers that wait for it. Nanoseconds since the Unix epoch."""

    def __init__(self, turns: Turns | None = None) -> None:
        self.now_ns = 0
        self.turns = turns or Turns()
        self._alarms: list[tuple[int, int, asyncio.Future[Any]]] = []
        self._numbers = itertools.count()

    async def sleep(self, seconds: float) -> None:
        """Raises ReplayOver: the recording ended before."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.alarm(seconds, future)
        await self.turns.wait(future)

    def alarm(self, seconds: float, future: asyncio.Future[Any]) -> None:
        """Give the task that waits for `future` None after this time, unless `future` is done by then."""
        heapq.heappush(self._alarms, (self.now_ns + round(seconds * SECOND_NS), next(self._numbers), future))

    async def advance(self, to_ns: int) -> None:
        """Advance to `to_ns`; wake the sleepers that are due by then, in order, each at its own time."""
        while self._alarms and self._alarms[0][0] <= to_ns:
            due_ns, _, future = heapq.heappop(self._alarms)
            if not future.done():
                self.now_ns = max(self.now_ns, due_ns)
                self.turns.give(future)
                await self.turns.settle()
        self.now_ns = max(self.now_ns, to_ns)
