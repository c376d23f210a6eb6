"""Compares still books with the exchange's own over REST, within the rate budget. `stillness` decides."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from ...connectors.market_codec import Codec
from ...model.errors import MeshError, RetryLater
from ...model.time import MILLISECOND_NS, in_ns
from ..limits.budget import Budgeted
from ..limits.machine import Priority
from .ingest import Ingest, Pair
from .stillness import StillBooks
from .surroundings import Surroundings

LOOK_EVERY_NS = 500 * MILLISECOND_NS
LEVELS = 50  # a side of a comparison, if its cost does not depend on them
MOST = 4  # comparisons under way
AGAIN_S = 2.0  # after a comparison that failed


@dataclass(slots=True)
class Counts:
    """Counts of this connection's comparisons."""

    made: int = 0
    failed: int = 0  # without an answer that can be read
    left_out: int = 0  # refused by the rate budget


class Comparisons:
    """Call `beat` with each beat of the session, and `stop` at its end."""

    def __init__(self, codec: Codec, around: Surroundings, ingest: Ingest) -> None:
        self.counts = Counts()
        self._codec = codec
        self._around = around
        self._ingest = ingest
        self._rest = Budgeted(around.budget, around.rest)
        self._levels = compared_levels(codec)
        self._still = StillBooks(codec.spec.book, self._levels)
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by symbol
        self._look_ns = 0
        self._spare_ns = 0  # comparisons of quiet books wait until this time

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    def forget(self, symbol: str) -> None:
        """Forget a pair that is no longer served."""
        self._still.forget(symbol)
        if symbol in self._tasks:
            self._tasks.pop(symbol).cancel()

    def beat(self, now_ns: int) -> None:
        """Look for still books; start the comparisons that are due."""
        if now_ns - self._look_ns < LOOK_EVERY_NS:
            return
        self._look_ns = now_ns
        pairs = self._ingest.pairs
        for pair, event in self._still.look(list(pairs.values()), now_ns):
            self._ingest.on(pair, event)
        for pair in self._still.due(pairs.values(), now_ns):
            if len(self._tasks) >= MOST:
                return
            matters = self._still.has_evidence(pair)
            if (matters or now_ns >= self._spare_ns) and pair.instrument.symbol not in self._tasks:
                self._start(pair, Priority.BACKGROUND if matters else Priority.SPARE)

    def _start(self, pair: Pair, priority: Priority) -> None:
        symbol = pair.instrument.symbol
        self._still.asked(pair)
        task = self._tasks[symbol] = asyncio.get_running_loop().create_task(self._compare(pair, priority))
        task.add_done_callback(lambda done: self._ended(symbol, done))

    def _ended(self, symbol: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(symbol) is task:
            del self._tasks[symbol]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._around.fail(error)

    async def _compare(self, pair: Pair, priority: Priority) -> None:
        codec, around = self._codec, self._around
        request = codec.snapshot_request(pair.instrument, self._levels)
        try:
            response = await self._rest.send(request, priority)
            failure = codec.failure(response)
            if failure is not None:
                raise failure
            read = codec.snapshot(pair.instrument, response.body, self._levels, response.recv_ns)
        except MeshError as error:
            self._failed(pair, error)
            return
        self.counts.made += 1
        event = self._still.answered(pair, read, around.monotonic_ns())
        if event is not None:
            self._ingest.on(pair, event)

    def _failed(self, pair: Pair, error: MeshError) -> None:
        now_ns, after_s = self._around.monotonic_ns(), AGAIN_S
        if isinstance(error, RetryLater):
            self.counts.left_out += 1
            after_s = max(after_s, error.after_s)
            self._spare_ns = now_ns + in_ns(after_s)
        else:
            self.counts.failed += 1
        self._still.failed(pair, after_s, now_ns)

    def status(self) -> dict[str, Any]:
        """Return plain values about the comparisons."""
        counts = self.counts
        return {
            "made": counts.made,
            "failed": counts.failed,
            "left_out": counts.left_out,
            "under_way": len(self._tasks),
        }


def compared_levels(codec: Codec) -> int:
    """Return how many levels a side a comparison requests: as many as cost the least."""
    spec = codec.spec
    sizes = spec.endpoints["snapshot"].cost_by_size
    least = next((size for size, cost in reversed(sizes) if cost == sizes[0][1]), LEVELS)
    return min(least, spec.max_snapshot, spec.book.window or least)
