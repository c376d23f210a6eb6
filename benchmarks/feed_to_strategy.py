"""Feed to strategy: from a frame received by the book's process to the strategy actor awake with the new top.

Ours is a strategy actor that iterates `async for top in book.changes()`. The baseline is a strategy actor that
long-polls the same book role in a plain Ray actor, in the same run and fed by a second server of the same kind.
On one node both are compared with the bare wake, also in the same run: another actor receives the same frames, does
nothing with them but write its receive time to a FIFO, and the strategy's event loop watches that FIFO. Nothing that
crosses from one process to the loop of another can be much faster. There the iteration is measured a second time with
the way to wait that systems without io_uring have: a thread that sleeps for the loop and wakes it.
The time from the publish to the strategy awake is the wake alone; before it the book's process reads the frame into the
book and copies the book into the segment.
Measured on one node, and over two raylets (each with its own segment directory), where ours goes through the mirror.
Both ends read the same machine's clock: `ts_recv_ns` is the time at which the book's process gets the frame.

Frames come from the raw frame server: the exchange's own depth stream has at most ten a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import picows
import ray

from venuemesh.market.market import AsyncMarket
from venuemesh.orderbook.segment import monotonic_ns
from venuemesh.orderbook.segment.waiter import Waiter

from .harness import (
    EXCHANGE,
    Json,
    Server,
    frame_server,
    load,
    median,
    mesh_of,
    on_node,
    one_node,
    percentiles,
    ratio,
    two_nodes,
)
from .ray_book import RayBook, settings_of

PAIR = "AAA-USDT"
RATES = (100, 1000)  # frames a second
SETTLE_S = 0.5
STAMP_BYTES = 8  # of a receive time in the FIFO of the bare wake

Latencies = tuple[np.ndarray[Any, Any], int]  # ns, and the number of frames in the meantime


class _Strategy:
    """A strategy that records the time at which it wakes."""

    async def follow(self, market: AsyncMarket, seconds: float, way: str | None = None) -> np.ndarray[Any, Any]:
        """Iterate over changes of the book; return the age of each top on arrival, and since its publish, in ns.

        `way` is how the loop waits; None is the product's own choice.
        """
        Waiter._shared = Waiter(way)
        ages: list[tuple[int, int]] = []
        deadline = time.monotonic() + seconds
        async for top in market.order_book(PAIR).changes():
            since_publish_ns = monotonic_ns() - (top.publish_ns or 0)
            ages.append((time.time_ns() - (top.ts_recv_ns or 0), since_publish_ns))
            if time.monotonic() >= deadline:
                break
        return np.array(ages[1:])  # the first top is older than the iteration

    async def call(self, book: Any, seconds: float) -> np.ndarray[Any, Any]:
        """Long-poll the same role by Ray calls; return the same ages."""
        ages, seen = [], None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            seen, recv_ns, _, _ = await book.next.remote(seen)
            ages.append(time.time_ns() - recv_ns)
        return np.array(ages[1:])

    async def bare(self, path: str, seconds: float) -> np.ndarray[Any, Any]:
        """Watch the FIFO at `path` with this actor's event loop; return the age of each receive time in it, in ns."""
        loop = asyncio.get_running_loop()
        ages: list[int] = []
        fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

        def wake() -> None:
            stamps = os.read(fifo, 1024 * STAMP_BYTES)
            ages.append(time.time_ns() - int.from_bytes(stamps[-STAMP_BYTES:], "little"))

        loop.add_reader(fifo, wake)
        try:
            await asyncio.sleep(seconds)
        finally:
            loop.remove_reader(fifo)
            os.close(fifo)
        return np.array(ages)

    async def round_trips(self, book: Any, count: int) -> np.ndarray[Any, Any]:
        """Request the top by Ray call, one call after another; return the duration of each, in ns."""
        took = []
        for _ in range(count):
            started = time.perf_counter_ns()
            await book.top.remote()
            took.append(time.perf_counter_ns() - started)
        return np.array(took)


Strategy: Any = ray.remote(num_cpus=0)(_Strategy)


class _Stamps(picows.WSListener):
    """Writes the receive time of every frame to a FIFO, if a process reads it and it has room."""

    def __init__(self, path: str) -> None:
        self._fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._fifo, time.time_ns().to_bytes(STAMP_BYTES, "little"))


class _BareFeed:
    """Receives the frames of a pair like a book, and does nothing else."""

    async def connect(self, url: str, path: str) -> None:
        """Write the receive times of all frames from now on to the FIFO at `path`."""
        self._transport, _ = await picows.ws_connect(lambda: _Stamps(path), url)
        subscription = {"method": "SUBSCRIBE", "params": [f"{PAIR.replace('-', '').lower()}@depth"], "id": 1}
        self._transport.send(picows.WSMsgType.TEXT, json.dumps(subscription).encode())


BareFeed: Any = ray.remote(num_cpus=0)(_BareFeed)


class _Place:
    """A mesh and a Ray book, each with its frame server, and a strategy for both; on one node also a bare feed."""

    def __init__(self, market: AsyncMarket, ours: Server, book: Any, theirs: Server, strategy: Any) -> None:
        self.market = market
        self.ours = ours
        self.book = book
        self.theirs = theirs
        self.strategy = strategy
        self.ways = {"ours": self.by_segment, "call": self.by_call}

    def by_segment(self, rate: float, seconds: float) -> Latencies:
        return self._measure(self.ours, rate, self.strategy.follow, self.market, seconds)

    def by_call(self, rate: float, seconds: float) -> Latencies:
        return self._measure(self.theirs, rate, self.strategy.call, self.book, seconds)

    def add_bare(self, server: Server, fifo: str) -> None:
        """Measure the bare wake too: of the frames of `server`, whose receive times come by `fifo`; and the thread."""
        self.ways["thread"] = lambda rate, seconds: self._measure(
            self.ours, rate, self.strategy.follow, self.market, seconds, "thread"
        )
        self.ways["bare"] = lambda rate, seconds: self._measure(server, rate, self.strategy.bare, fifo, seconds)

    def _measure(
        self, server: Server, rate: float, method: Any, source: Any, seconds: float, *options: str
    ) -> Latencies:
        server.set_rate(rate)
        time.sleep(SETTLE_S)
        before = server.sent()
        ages = ray.get(method.remote(source, seconds, *options))
        frames = server.sent() - before
        server.set_rate(0)
        return ages, frames


@contextlib.contextmanager
def _place(exchange: Json, feed_node: str | None, strategy_node: str | None) -> Iterator[_Place]:
    with frame_server(1) as ours, frame_server(1) as theirs, contextlib.ExitStack() as running:
        settings = {"pairs": [PAIR], **ours.urls, **exchange}
        mesh = running.enter_context(mesh_of("bench-feed", {EXCHANGE: settings}))
        book = on_node(RayBook, feed_node).remote(settings_of(theirs.urls, PAIR))
        running.callback(ray.kill, book)
        ray.get(book.wait_live.remote(), timeout=30)
        strategy = on_node(Strategy, strategy_node).remote()
        running.callback(ray.kill, strategy)
        market = mesh.aio.market(EXCHANGE)
        # until the first change, because mirrors are placed in this time
        ray.get(strategy.follow.remote(market, 1.0), timeout=60)
        place = _Place(market, ours, book, theirs, strategy)
        if feed_node == strategy_node:
            place.add_bare(*running.enter_context(_bare_feed()))
        yield place
        ray.get(book.close.remote(), timeout=10)


@contextlib.contextmanager
def _bare_feed() -> Iterator[tuple[Server, str]]:
    """Run a bare feed; yield its frame server and the path of its FIFO."""
    with frame_server(1) as server, tempfile.TemporaryDirectory(prefix="venuemesh-bench-fifo-") as directory:
        fifo = os.path.join(directory, "fifo")
        os.mkfifo(fifo, 0o600)
        feed = BareFeed.remote()
        try:
            ray.get(feed.connect.remote(f"{server.urls['ws']}/ws", fifo), timeout=30)
            yield server, fifo
        finally:
            ray.kill(feed)


def _rows(where: str, place: _Place, rates: tuple[int, ...], rounds: int, seconds: float) -> list[Json]:
    """Measure all ways in turn; return a row per rate with the medians over the rounds."""
    figures: dict[int, dict[str, list[Json]]] = {rate: {name: [] for name in place.ways} for rate in rates}
    for _ in range(rounds):
        for rate in rates:
            for name, measure in place.ways.items():
                ages, frames = measure(rate, seconds)
                figures[rate][name].append(_figures(ages) | {"seen": len(ages) / frames if frames else None})
    return [_row(where, rate, found) for rate, found in figures.items()]


def _figures(ages: np.ndarray[Any, Any]) -> Json:
    if ages.ndim == 1:
        return percentiles(ages)
    since_publish = percentiles(ages[:, 1])
    return percentiles(ages[:, 0]) | {"wake_us": since_publish["p50_us"], "wake_p99_us": since_publish["p99_us"]}


def _row(where: str, rate: int, found: dict[str, list[Json]]) -> Json:
    def middle(name: str, key: str) -> float | None:
        return _rounded(median([one[key] for one in found.get(name, ())]))

    ours, call, bare = (middle(name, "p50_us") for name in ("ours", "call", "bare"))
    return {
        "where": where,
        "frames_per_s": rate,
        "p50_us": ours,
        "p99_us": middle("ours", "p99_us"),
        "woken_per_frame": middle("ours", "seen"),
        "bare_wake_p50_us": bare,
        "bare_wake_p99_us": middle("bare", "p99_us"),
        "p50_times_bare": ratio(bare, ours, 2),
        "publish_to_awake_p50_us": middle("ours", "wake_us"),
        "publish_to_awake_p99_us": middle("ours", "wake_p99_us"),
        "publish_to_awake_times_bare": ratio(bare, middle("ours", "wake_us"), 2),
        "thread_p50_us": middle("thread", "p50_us"),
        "thread_p99_us": middle("thread", "p99_us"),
        "thread_p50_times_bare": ratio(bare, middle("thread", "p50_us"), 2),
        "ray_long_poll_p50_us": call,
        "ray_long_poll_p99_us": middle("call", "p99_us"),
        "ray_woken_per_frame": middle("call", "seen"),
        "p50_times_faster": ratio(ours, call),
        "rounds_p50_us": [one["p50_us"] for one in found["ours"]],
        "bare_rounds_p50_us": [one["p50_us"] for one in found.get("bare", ())],
        "load_1m": load(),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def run(quick: bool = False) -> Json:
    """Measure; see the module."""
    rounds, seconds = (1, 1.0) if quick else (5, 3.0)
    rows = []
    with one_node(), _place({}, None, None) as place:
        rows += _rows("same node", place, RATES, rounds, seconds)
        trip = percentiles(ray.get(place.strategy.round_trips.remote(place.book, 100 if quick else 2000)))
    with two_nodes() as (feed, strategy), _place({"nodes": {"ray.io/node-id": feed}}, feed, strategy) as place:
        rows += _rows("two raylets, by mirror", place, RATES, rounds, seconds)
    return {
        "title": "frame received by the book actor to the strategy actor awake with the new top (raw frame server)",
        "rows": rows,
        "ray_call_round_trip": trip,
        "expected": "p50 <= 1.5 times the bare wake on one node; < 2 ms at 1,000/s over two raylets",
    }


if __name__ == "__main__":
    import sys

    print(*run(quick="--quick" in sys.argv)["rows"], sep="\n")
