"""`ReplayMarket`; see the package."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any

from ...actors.book.ingest import Sink
from ...actors.book.order_rows import orders_answer
from ...actors.recording.file import Record
from ...actors.recording.first_books import first_books
from ...actors.recording.instruments import listed_instruments
from ...actors.recording.replay import Replay, codec_for, recorded_symbols, records
from ...connectors.settings import ConnectorSettings
from ...model.address import book_address
from ...model.errors import CaptureError, Misconfigured, NotSynced, RetryLater
from ...model.events import BookState
from ...model.instrument import Instrument
from ...model.time import SECOND_NS
from ...orderbook.segment import SegmentWriter
from ..aio.ticks import every
from ..market import AsyncMarket
from .clock import ReplayClock
from .delivery import ANY, TOPS, DeliveringSink, Delivery
from .link import ReplayLink, ReplayState
from .turns import FIRST_TURNS, ReplayOver

HEARTBEAT_LIMIT_NS = 366 * 86_400 * SECOND_NS  # the writer is this process: no reader outlives it
INCARNATION = (1, 1)
REST_EVERY = 256  # records between two turns of other tasks of the loop


class ReplayMarket(AsyncMarket):
    """One exchange from recordings; see the package. Close it, or use it as a context manager."""

    def __init__(self, paths: Iterable[Path | str], exchange: str) -> None:
        """Read through the recordings for their pairs; play nothing yet.

        `trading_pairs` are those with a book, trade or ticker in the recordings. Names and rules come from the list of
        instruments in the recordings, or next to them; a pair that is in no list has the exchange's own symbol.

        Raises:
            UnknownExchange, Misconfigured: no such exchange, no such file.
        """
        self._paths = [Path(path) for path in paths]
        for path in self._paths:
            if not path.is_file():
                raise Misconfigured(str(path), "there is no such file")
        settings = ConnectorSettings(exchange)
        listed = listed_instruments(settings.market_codec(), self._paths)
        codec_of = codec_for(settings, listed, self._paths)
        codec = codec_of()  # for the search: it binds pairs
        first = first_books(codec, listed, self._paths)
        symbols, began_ns = recorded_symbols(codec, self._paths)
        self._folder = tempfile.TemporaryDirectory(prefix="venuemesh-replay-")
        self._clock = ReplayClock()
        self._turns = self._clock.turns
        self._clock.now_ns = began_ns
        self._delivery = Delivery(self._clock)
        self._sinks: list[DeliveringSink] = []
        self._replay = Replay(codec_of(), listed, {}, fast=True, first=first, sink=self._sink)
        held = [self._replay.instrument(symbol) for symbol in symbols]
        self._recording = ReplayLink(exchange, Path(self._folder.name), held, self._delivery, self._orders)
        self._state = ReplayState(self._recording, exchange, None, "", "keep")
        self._views = {}

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a replay lives in one process; pass the paths of the recordings instead")

    def __enter__(self) -> ReplayMarket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what still waits for the replay, retire the books and remove their segments. Idempotent."""
        self._turns.close()
        for sink in self._sinks:
            sink.close()
        self._sinks.clear()
        self._folder.cleanup()

    def _sink(self, instrument: Instrument) -> Sink:
        self._recording.instruments[instrument.name] = instrument
        address = book_address(self.exchange, instrument.name)
        scales = instrument.price_scale, instrument.size_scale
        directory, limit_ns = self._recording.directory, HEARTBEAT_LIMIT_NS
        writer = SegmentWriter(directory, address, INCARNATION, *scales, heartbeat_limit_ns=limit_ns)
        sink = DeliveringSink(writer, self._delivery)
        self._sinks.append(sink)
        for view in self._recording.views:
            view.look_again()
        return sink

    def _orders(self, address: str, body: Any) -> dict[str, Any]:
        """Answer as a book's actor does to `orders`. Raises NotOffered, NotSynced."""
        pairs = self._replay.ingest.pairs.values()
        pair = next((one for one in pairs if one.instrument.name == body["pair"]), None)
        if pair is None:
            raise NotSynced(address, BookState.ABSENT.name, "the recording has had no message of this book yet")
        version = next(sink.writer.published for sink in self._sinks if sink.writer.address == address)
        return orders_answer(pair, address, INCARNATION, version, body.get("levels"))

    @property
    def now_ns(self) -> int:
        """Replay time: the time of the last record or tick; it starts at the first record."""
        return self._clock.now_ns

    async def every(self, seconds: float) -> AsyncIterator[int]:
        """Iterate with a tick every `seconds` of replay time; the iteration ends with the recording."""
        try:
            async for tick in every(seconds, monotonic_ns=lambda: self._clock.now_ns, sleep=self._clock.sleep):
                yield tick
        except ReplayOver:
            return

    async def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until every recorded pair is LIVE; `timeout_s` is replay time. Raises RetryLater."""
        until_ns = self.now_ns + round(timeout_s * SECOND_NS)
        failure = f"after {timeout_s:g} s"
        with self._delivery.inbox(ANY, TOPS) as inbox:
            while not self.ready:
                left_s = (until_ns - self.now_ns) / SECOND_NS
                try:
                    if left_s > 0:
                        await inbox.next(left_s)
                        continue
                except ReplayOver as over:
                    failure = str(over)
                waiting = {pair: state for pair, state in self.status_dict.items() if state != BookState.LIVE.name}
                reason = ", ".join(f"{pair} is {state}" for pair, state in waiting.items()) or "no pair is recorded"
                raise RetryLater(1.0, f"{self.exchange} is not ready, {failure}: {reason}")

    async def play(
        self, *strategies: Coroutine[Any, Any, Any], speed: float | None = None
    ) -> dict[str, dict[str, Any]]:
        """Play all records once; return by symbol the values that `venuemesh replay` prints.

        `strategies` run as tasks. The replay waits for them from before the first record on, an error of one ends the
        replay, and what still runs at the end is cancelled. The replay waits for any other task from the task's first
        wait for the market on. With the recording the iterators end, so that a strategy can still add up its results.

        `speed` 1.0 keeps the recording's pace, 2.0 is twice as fast; None is as fast as possible.

        Raises:
            CaptureError: a recording is truncated or damaged; everything before it was played.
            Misconfigured: the recordings were played before, or a wrong `speed`.
        """
        tasks = [asyncio.ensure_future(self._turns.run(strategy)) for strategy in strategies]
        try:
            if speed is not None and not speed > 0:
                raise Misconfigured("speed", f"{speed!r}; it must be more than 0")
            if self._turns.is_over:
                raise Misconfigured("play", "this market was played to its end; make another one")
            for task in tasks:
                self._turns.follow(task)
            await self._turns.turn(FIRST_TURNS)
            await self._turns.settle()
            damage: CaptureError | None = None
            try:
                await self._records(tasks, speed)
            except CaptureError as error:
                damage = error
            self._turns.end()
            await self._turns.settle()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        _raise_error(tasks)
        if damage is not None:
            raise damage
        return self._replay.result()

    async def _records(self, tasks: list[asyncio.Task[Any]], speed: float | None) -> None:
        for number, (file, record) in enumerate(self._paced(speed)):
            if isinstance(record, float):
                await asyncio.sleep(record)
                continue
            if record.recv_ns:
                await self._clock.advance(record.recv_ns)
            self._replay.feed(file, record)
            await self._delivery.deliver()
            if number % REST_EVERY == 0:
                await asyncio.sleep(0)
            if tasks:
                _raise_error(tasks)

    def _paced(self, speed: float | None) -> Iterator[tuple[str, Record | float]]:
        """Yield the records, each after the seconds to wait for it."""
        began_ns = time.monotonic_ns()
        first_ns: int | None = None
        for file, record in records(self._paths, None):
            if speed is not None and record.recv_ns:
                first_ns = first_ns if first_ns is not None else record.recv_ns
                ahead_ns = (record.recv_ns - first_ns) / speed - (time.monotonic_ns() - began_ns)
                if ahead_ns > 0:
                    yield file, ahead_ns / SECOND_NS
            yield file, record


def _raise_error(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error
