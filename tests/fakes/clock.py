"""Time as a test input: only the test advances it."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class FakeClock:
    """A `Clock` that only `advance` moves. Records the requested time of each sleeper."""

    def __init__(self, start_ns: int = 1_000_000_000_000, chance: float = 0.5) -> None:
        self.now_ns = start_ns
        self.chance = chance
        self.slept: list[float] = []
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def monotonic_ns(self) -> int:
        return self.now_ns

    def time_ns(self) -> int:
        return 1_700_000_000_000_000_000 + self.now_ns

    def random(self) -> float:
        return self.chance

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        done = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.now_ns + int(seconds * 1e9), next(self._order), done))
        await done

    @property
    def sleepers(self) -> list[float]:
        """Return the remaining seconds of each sleeper."""
        return sorted((at - self.now_ns) / 1e9 for at, _, done in self._waiting if not done.done())

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)
        while self._waiting and self._waiting[0][0] <= self.now_ns:
            done = heapq.heappop(self._waiting)[2]
            if not done.done():
                done.set_result(None)


async def until(condition: object, deadline_s: float = 30.0) -> None:
    """Wait in real time until `condition()` is true; fail after `deadline_s`."""
    assert callable(condition)
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - any condition, also one that nothing announces
            await asyncio.sleep(0.001)
