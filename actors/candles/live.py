"""The candles that readers follow: their series, connections and requests.

A series exists while readers poll it: each poll keeps it for `LEASE_S`. Series share connections, as many on each as
the exchange allows; a connection without series is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from ...connectors.market_codec import Codec
from ...connectors.spec import CandleOffer
from ...model.candle import Candle, shortest_ns
from ...model.errors import InboxFull, MeshError, RetryLater
from ...model.instrument import Instrument
from ...model.time import in_ns
from ..book.surroundings import Surroundings
from .feed import CandleFeed, Followed, Key
from .query import DEFAULT
from .series import Series, State

LEASE_S = 30.0  # after the last poll
KEPT = 1500  # candles of a series
SERIES_MOST = 1000
AHEAD = 10  # candles beyond now in a request
LOOK_EVERY_NS = 200_000_000

Fetch = Callable[
    [Instrument, str, int, int], Awaitable[list[Candle]]
]  # of an interval, from a time until before another


@dataclass(slots=True, eq=False)
class _Held:
    """A followed series, the connection that feeds it, and its readers."""

    followed: Followed
    feed: CandleFeed
    polls: int = 0  # that wait now
    until_ns: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    seen: tuple[int, State, str | None] | None = None  # version and state at the last wake


class LiveCandles:
    """Call `beat` every 50 ms or so, then `stop`. `fetch` requests candles over REST."""

    def __init__(self, make_codec: Callable[[], Codec], offer: CandleOffer, around: Surroundings, fetch: Fetch) -> None:
        self._make_codec, self._offer, self._around, self._fetch = make_codec, offer, around, fetch
        self._held: dict[Key, _Held] = {}
        self._feeds: list[CandleFeed] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._look_ns = 0

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *(feed.stop() for feed in self._feeds), return_exceptions=True)

    def series(self, symbol: str, interval: str) -> Series | None:
        """Return a followed series; None while it is not LIVE."""
        held = self._held.get((symbol, interval))
        return held.followed.series if held is not None and held.followed.series.state is State.LIVE else None

    async def poll(
        self, instrument: Instrument, interval: str, start_ns: int | None, after: int, timeout_s: float
    ) -> dict[str, Any]:
        """Return the candles from `start_ns` on that have changed after version `after`, as soon as there are any.

        `start_ns` None: from the open candle on. The answer has `candles` (none at the timeout), `start_ns` and
        `version` for the next poll, and the `reason` why the series is not LIVE, else None.

        Raises:
            RetryLater: candles before those of the series could not be requested, or too many series are followed.
            Rejected: the exchange has no candles of that age.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        held = self._follow(instrument, interval)
        series = held.followed.series
        held.polls += 1
        try:
            while True:
                candles: list[Candle] = []
                if series.state is State.LIVE or after:
                    start_ns = series.end_ns if start_ns is None else start_ns
                    if start_ns < series.covered_ns:
                        candles = await self._fetch(instrument, interval, start_ns, series.covered_ns)
                    candles += series.since(start_ns, after)
                left_s = deadline - loop.time()
                if candles or left_s <= 0:
                    return {
                        "candles": candles,
                        "start_ns": start_ns,
                        "version": series.version if candles else after,
                        "reason": series.reason,
                    }
                held.changed.clear()
                try:
                    async with asyncio.timeout(left_s):  # unlike wait_for, it never drops a cancellation
                        await held.changed.wait()
                except TimeoutError:
                    continue
        finally:
            held.polls -= 1
            held.until_ns = self._around.monotonic_ns() + in_ns(LEASE_S)

    def _follow(self, instrument: Instrument, interval: str) -> _Held:
        held = self._held.get((instrument.symbol, interval))
        if held is not None:
            return held
        if len(self._held) >= SERIES_MOST:
            raise RetryLater(LEASE_S, f"{SERIES_MOST} series of candles are followed already")
        most = min(KEPT, self._offer.kept or KEPT)
        series = Series(interval, min(DEFAULT, most), most, self._around.time_ns())
        feed = next((feed for feed in self._feeds if len(feed.followed) < feed.room), None)
        if feed is None:
            feed = CandleFeed(self._make_codec(), self._around, self._changed)
            self._feeds.append(feed)
            feed.start()
        followed = Followed(instrument, series)
        feed.follow(followed)
        held = self._held[followed.key] = _Held(followed, feed)
        return held

    # Time

    def beat(self) -> None:
        """Drop series without readers, send due requests, and wake readers."""
        now_ns = self._around.monotonic_ns()
        if now_ns < self._look_ns:
            return
        self._look_ns = now_ns + LOOK_EVERY_NS
        for feed in self._feeds:
            feed.beat()
        for key, held in list(self._held.items()):
            if not held.polls and now_ns >= held.until_ns:
                del self._held[key]
                held.feed.leave(held.followed)
                if not held.feed.followed:
                    self._feeds.remove(held.feed)
                    self._spawn(held.feed.stop())
            else:
                self._look(held, now_ns)

    def _changed(self, followed: Followed) -> None:
        held = self._held.get(followed.key)
        if held is not None:
            self._look(held, self._around.monotonic_ns())

    def _look(self, held: _Held, now_ns: int) -> None:
        """Send the request that a series needs, and wake its readers if it has changed."""
        series = held.followed.series
        start_ns = series.due(now_ns, self._around.time_ns())
        if start_ns is not None:
            self._spawn(self._fill(held, start_ns, series.asked()))
        seen = (series.version, series.state, series.reason)
        if seen != held.seen:
            held.seen = seen
            held.changed.set()

    async def _fill(self, held: _Held, start_ns: int, attempt: int) -> None:
        """Request the candles that a series lacks; report the result to it."""
        around, followed = self._around, held.followed
        series = followed.series
        try:
            # the exchange's clock may be ahead of ours
            end_ns = max(around.time_ns(), series.newest_ns) + AHEAD * shortest_ns(series.interval)
            found = await self._fetch(followed.instrument, series.interval, start_ns, end_ns)
        except (RetryLater, InboxFull) as error:
            after_s = error.after_s if isinstance(error, RetryLater) else None
            series.failed(attempt, str(error), after_s or 0.0, around.monotonic_ns())
        except MeshError as error:
            series.failed(attempt, str(error), 0.0, around.monotonic_ns())
        else:
            series.filled(attempt, found, around.monotonic_ns(), around.time_ns())
        self._look(held, around.monotonic_ns())

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._around.fail(error)

    def status(self) -> dict[str, Any]:
        """Return plain values: each series with its state, and each connection."""
        rows = {}
        for held in self._held.values():
            series, counters = held.followed.series, held.followed.series.counters
            rows[f"{held.followed.instrument.name} {series.interval}"] = {
                "state": series.state.name,
                "reason": series.reason,
                "candles": len(series.since(0)),
                "readers": held.polls,
                "updates": counters.updates,
                "ignored": counters.ignored,
                "contradicted": counters.contradicted,
                "holes": counters.holes,
                "fills": counters.fills,
                "failed": counters.failed,
            }
        return {"series": rows, "connections": [feed.status() for feed in self._feeds]}
