"""`ReplayMarket`: recordings behind the `AsyncMarket` that strategies read through, in replay time, in one process.

    with ReplayMarket(["market.jsonl.zst"], "acme") as market:
        strategy = asyncio.create_task(run(market))  # reads books, follows trades, waits for market.every(1.0)
        await market.play()

Frames go through the same codec, machine, core and segments as in a mesh, so a view reads the same as in a mesh. Ray is
not needed. `every` and `now_ns` are replay time. `play` advances it from record to record; due ticks come first, one
by one, each at exactly its time, and a consumer runs until it awaits something else before the next record is read.
So at a tick a strategy reads the same values in every run. `changes()` and `trades()` wake and conflate as in a live
mesh: the speed of the replay decides how many changes they show.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from ..actors.book.ingest import Sink
from ..actors.recording.first_books import first_books
from ..actors.recording.instruments import listed_instruments
from ..actors.recording.replay import Replay, records
from ..connectors import registry
from ..model.address import book_address
from ..model.errors import Misconfigured, RetryLater
from ..model.instrument import Instrument
from ..model.time import SECOND_NS
from ..orderbook.segment import SegmentWriter
from ..orderbook.view import BookReading
from .aio.ticks import every
from .market import AsyncMarket

V = TypeVar("V", bound=BookReading)
LOOP_TURNS = 3  # turns for a future's callback, the task that it wakes, and a task that this task wakes
HEARTBEAT_LIMIT_NS = 366 * 86_400 * SECOND_NS  # the writer is this process: no reader outlives it


class ReplayClock:
    """Time that only `advance` moves, and sleepers that wait for it. Nanoseconds since the Unix epoch."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due_ns = self.now_ns + round(seconds * SECOND_NS)
        heapq.heappush(self._sleepers, (due_ns, next(self._numbers), future))
        await future

    async def advance(self, to_ns: int) -> None:
        """Advance to `to_ns`; wake the sleepers that are due by then, in order, each at its own time."""
        while self._sleepers and self._sleepers[0][0] <= to_ns:
            due_ns, _, future = heapq.heappop(self._sleepers)
            self.now_ns = max(self.now_ns, due_ns)
            if not future.done():
                future.set_result(None)
                await turn()
        self.now_ns = max(self.now_ns, to_ns)

    def end(self) -> None:
        """Cancel the sleepers that still wait: the replay has ended."""
        for _, _, future in self._sleepers:
            future.cancel()
        self._sleepers.clear()


async def turn() -> None:
    """Let the woken tasks run until they await something that is not ready."""
    for _ in range(LOOP_TURNS):
        await asyncio.sleep(0)


class ReplayLink:
    """`market.link.Link` over a directory of segments that this process writes."""

    def __init__(self, exchange: str, directory: Path, listed: dict[str, Instrument]) -> None:
        self.mesh = "replay"
        self._exchange = exchange
        self.directory = directory
        self.instruments = {instrument.name: instrument for instrument in listed.values()}
        self.views: list[BookReading] = []

    def exchanges(self) -> list[str]:
        return [self._exchange]

    def accounts(self, exchange: str) -> list[str]:
        return []

    def tracked(self, exchange: str) -> dict[str, Instrument]:
        return dict(self.instruments)

    def view(self, kind: type[V], address: str, instrument: Instrument) -> V:
        view = kind(self.directory, instrument, address)
        self.views.append(view)
        return view

    def submit(self, address: str, kind: str, body: Any, timeout_s: float) -> Future[Any]:
        raise RetryLater(0.0, f"{kind}: a recording has no exchange to ask or to trade on")

    def network(self, exchange: str, running: bool, timeout_s: float) -> Future[None]:
        raise RetryLater(0.0, "a recording has no network to start or stop")

    def own(self, address: str, owner: str, on_death: str) -> None:
        raise RetryLater(0.0, "a recording has no exchange to trade on")


class ReplayMarket(AsyncMarket):
    """One exchange from recordings; see the module. Close it, or use it as a context manager."""

    def __init__(self, paths: Iterable[Path | str], exchange: str) -> None:
        """Read the recordings' list of instruments (in the recordings, or next to them); play nothing yet.

        Pairs that are in no list appear under the exchange's own symbol when the replay reaches their first record.

        Raises:
            UnknownExchange, Misconfigured: no such exchange, no such file.
        """
        self._paths = [Path(path) for path in paths]
        for path in self._paths:
            if not path.is_file():
                raise Misconfigured(str(path), "there is no such file")
        codec = registry.connector(exchange).codec()
        listed = listed_instruments(codec, self._paths)
        first = first_books(codec, listed, self._paths)
        self._folder = tempfile.TemporaryDirectory(prefix="venuemesh-replay-")
        self._clock = ReplayClock()
        self._clock.now_ns = next((record.recv_ns for _, record in records(self._paths, None) if record.recv_ns), 0)
        self._writers: list[SegmentWriter] = []
        self._recording = ReplayLink(exchange, Path(self._folder.name), listed)
        self._replay = Replay(codec, listed, {}, fast=True, first=first, sink=self._sink)
        super().__init__(self._recording, exchange)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a replay lives in one process; pass the paths of the recordings instead")

    def __enter__(self) -> ReplayMarket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Retire the books and remove their segments. Idempotent."""
        self._clock.end()
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        self._folder.cleanup()

    def _sink(self, instrument: Instrument) -> Sink:
        self._recording.instruments[instrument.name] = instrument
        address = book_address(self.exchange, instrument.name)
        scales = instrument.price_scale, instrument.size_scale
        directory, limit_ns = self._recording.directory, HEARTBEAT_LIMIT_NS
        writer = SegmentWriter(directory, address, (1, 1), *scales, heartbeat_limit_ns=limit_ns)
        self._writers.append(writer)
        for view in self._recording.views:
            view.look_again()
        return writer

    @property
    def now_ns(self) -> int:
        """Replay time: the time of the last record or tick; it starts at the first record."""
        return self._clock.now_ns

    def every(self, seconds: float) -> AsyncIterator[int]:
        """Iterate with a tick every `seconds` of replay time; it ends (by cancellation) with the replay."""
        return every(seconds, monotonic_ns=lambda: self._clock.now_ns, sleep=self._clock.sleep)

    async def play(self, speed: float | None = None) -> dict[str, dict[str, Any]]:
        """Feed all records; return by symbol the values that `venuemesh replay` prints.

        `speed` 1.0 keeps the recording's pace, 2.0 is twice as fast; None is as fast as possible.

        Raises:
            CaptureError: a recording is truncated or damaged; everything before it was played.
        """
        if speed is not None and not speed > 0:
            raise Misconfigured("speed", f"{speed!r}; it must be more than 0")
        began_ns = time.monotonic_ns()
        first_ns: int | None = None
        for file, record in records(self._paths, None):
            if record.recv_ns:
                first_ns = first_ns if first_ns is not None else record.recv_ns
                if speed is not None:
                    ahead_ns = (record.recv_ns - first_ns) / speed - (time.monotonic_ns() - began_ns)
                    if ahead_ns > 0:
                        await asyncio.sleep(ahead_ns / SECOND_NS)
                await self._clock.advance(record.recv_ns)
            self._replay.feed(file, record)
        await turn()
        return self._replay.result()
