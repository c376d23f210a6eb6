"""Slow readers: the cost of a stopped and a slow strategy for the book's actor at a high rate, and whether memory is
bounded.

One strategy that keeps up reads all the time. In every second window two more strategies read the same book: one is
stopped by SIGSTOP while it waits for changes, one takes 50 ms for each change. Windows with and without them alternate,
so that the machine's drift affects both. Measured are the CPU per frame of the book's actor, and its memory over the
whole time. The slow strategy must still get the newest top, because no changes are queued.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import ray

from venuemesh.market.market import AsyncMarket

from .frame_server import pair_names
from .harness import EXCHANGE, Json, cpu_ns, frame_server, load, median, memory, mesh_of, mib, one_node, ratio, rows_of

PAIR = pair_names(1)[0]
RATE = 3000  # frames a second
SLOW_S = 0.05
SAMPLE_S = 0.5
SETTLE_S = 1.0


class _Strategy:
    """Reads tops, and takes `pause_s` for each; its loop does not run in that time, as in a computing strategy."""

    def __init__(self, market: AsyncMarket, pause_s: float) -> None:
        self._market = market
        self._pause_s = pause_s
        self._following = False
        self._seen = 0
        self._oldest_ns = 0

    async def pid(self) -> int:
        return os.getpid()

    async def follow(self) -> None:
        """Read until `leave` is called."""
        self._following = True
        async for top in self._market.order_book(PAIR).changes():
            self._oldest_ns = max(self._oldest_ns, time.time_ns() - top.ts_recv_ns)
            self._seen += 1
            if not self._following:
                return
            if self._pause_s:
                time.sleep(self._pause_s)  # noqa: ASYNC251  the benchmark measures a blocked loop

    async def leave(self) -> tuple[int, float]:
        """Stop reading; return the number of tops, and the largest age of a top on arrival, in ms."""
        self._following = False
        seen, oldest_ns = self._seen, self._oldest_ns
        self._seen = self._oldest_ns = 0
        return seen, oldest_ns / 1e6


Strategy: Any = ray.remote(num_cpus=0)(_Strategy)


@contextlib.contextmanager
def _strategies(market: AsyncMarket) -> Iterator[dict[str, Any]]:
    made = {
        name: Strategy.remote(market, pause_s) for name, pause_s in (("quick", 0), ("slow", SLOW_S), ("stopped", 0))
    }
    try:
        yield made
    finally:
        for strategy in made.values():
            ray.kill(strategy)


class _Watch:
    """Watches the book's process and the frames sent to it."""

    def __init__(self, server: Any, pid: int) -> None:
        self.server = server
        self.pid = pid
        self.rss: list[int] = []

    def window(self, seconds: float) -> float:
        """Return CPU per frame over the window, in us; record the memory, too."""
        frames, used_ns = self.server.sent(), cpu_ns(self.pid)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, SAMPLE_S))
            self.rss.append(memory(self.pid).rss)
        return (cpu_ns(self.pid) - used_ns) / 1e3 / max(1, self.server.sent() - frames)


def _with_them(watch: _Watch, slow: Any, stopped: Any, stopped_pid: int, seconds: float) -> tuple[float, Json]:
    """Measure one window with both; return CPU per frame and the results of both."""
    slow.follow.remote()
    stopped.follow.remote()
    time.sleep(SETTLE_S)
    os.kill(stopped_pid, signal.SIGSTOP)
    held = memory(stopped_pid).rss
    try:
        cost_us = watch.window(seconds)
        grown = memory(stopped_pid).rss - held
    finally:
        os.kill(stopped_pid, signal.SIGCONT)
    time.sleep(SETTLE_S)
    slow_seen, slow_oldest_ms = ray.get(slow.leave.remote(), timeout=30)
    ray.get(stopped.leave.remote(), timeout=30)
    seen = {"slow_saw": slow_seen, "slow_oldest_ms": round(slow_oldest_ms, 1), "stopped_grew_bytes": grown}
    return cost_us, seen


def run(quick: bool = False) -> Json:
    """Soak; see the module."""
    windows, seconds = (1, 5.0) if quick else (6, 10.0)
    without: list[float] = []
    having: list[float] = []
    seen: list[Json] = []
    with (
        one_node(),
        frame_server(1) as server,
        mesh_of("bench-slow", {EXCHANGE: {"pairs": [PAIR], **server.urls}}, {"spares_per_node": 1}) as mesh,
        _strategies(mesh.aio.market(EXCHANGE)) as strategies,
    ):
        pids = {name: ray.get(strategy.pid.remote()) for name, strategy in strategies.items()}
        (row,) = rows_of(mesh, f"book/{EXCHANGE}/{PAIR}")
        watch = _Watch(server, row["pid"])
        strategies["quick"].follow.remote()
        server.set_rate(RATE)
        time.sleep(SETTLE_S)
        for _ in range(windows):
            without.append(watch.window(seconds))
            cost_us, saw = _with_them(watch, strategies["slow"], strategies["stopped"], pids["stopped"], seconds)
            having.append(cost_us)
            seen.append(saw)
        (after,) = rows_of(mesh, f"book/{EXCHANGE}/{PAIR}")
        if after["pid"] != row["pid"]:
            raise RuntimeError("the book's actor was replaced during the benchmark")
        server.set_rate(0)
    third = max(1, len(watch.rss) // 3)
    first, last = (median([float(one) for one in part]) for part in (watch.rss[:third], watch.rss[-third:]))
    common = {"frames_per_s": RATE, "windows": windows, "window_s": seconds}
    alone_us, all_us = median(without), median(having)
    rows = [
        {"readers": "one that keeps up", **common, "book_cpu_us_per_frame": _rounded(alone_us)},
        {
            "readers": "the same, one slow, one stopped",
            **common,
            "book_cpu_us_per_frame": _rounded(all_us),
            "times_the_cost": ratio(alone_us, all_us, 2),
            "book_rss_first_third_mib": mib(first),
            "book_rss_last_third_mib": mib(last),
            "book_rss_max_mib": mib(max(watch.rss)),
            "load_1m": load(),
        },
    ]
    return {
        "title": "a stopped and a slow strategy next to one that keeps up (raw frame server)",
        "rows": rows,
        "cpu_us_per_frame": {"without": without, "with": having},
        "seen": seen,
        "rss_bytes": watch.rss,
        "sample_s": SAMPLE_S,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


if __name__ == "__main__":
    import sys

    found = run(quick="--quick" in sys.argv)
    print(*found["rows"], *found["seen"], sep="\n")
