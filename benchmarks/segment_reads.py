"""Publishing to a segment, reading it in another process, and waking up for it; against a Ray actor call.

    python -m benchmarks.segment_reads [--quick]

Publishing alternates two books that differ in every level. Reads are made through `BookView` in this process while a
writer in another publishes 1,000 books a second; the baseline, an async Ray actor that answers with the same numbers,
is called in the same rounds. Wake latency is from the writer's clock inside the publish to this process's asyncio task
(uvloop, as in Ray's async actors) having read the new top; both processes read CLOCK_MONOTONIC.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from venuemesh.model.events import BookState, Levels
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.l2 import OrderBook
from venuemesh.orderbook.segment import SegmentWriter, monotonic_ns
from venuemesh.orderbook.segment.directory import segment_directory
from venuemesh.orderbook.segment.waiter import Waiter
from venuemesh.orderbook.view import AsyncBookView, BookView

from .harness import Json, load, median, one_node, percentiles, ratio

ADDRESS = "book/bench/BTC-USDT"
INSTRUMENT = Instrument("bench", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 2, 8)
LEVELS = 200


def levels_of(turn: int, n: int = LEVELS) -> tuple[Levels, Levels]:
    row = np.arange(n, dtype=np.int64)
    middle = 6_000_000 + turn % 2 * 1_000
    size = 100_000 + row + turn
    return np.column_stack((middle - row, size)), np.column_stack((middle + 1 + row, size))


def per_call_ns(call: Callable[[], Any], times: int) -> float:
    """Return the cost of one call: the median over runs of 500 calls, so that pauses by other work on the machine do
    not count."""
    found = []
    turns = range(min(times, 500))
    for _ in range(max(1, times // 500)):
        start = time.perf_counter_ns()
        for _ in turns:
            call()
        found.append((time.perf_counter_ns() - start) / len(turns))
    return statistics.median(found)


def publishing(directory: Path, rounds: int, times: int) -> list[Json]:
    """Measure the cost of a publish for its writer, including the wake call, without readers."""
    books = []
    for turn in range(2):
        book = OrderBook(2, 8)
        book.load(*levels_of(turn), turn, bids_complete=True, asks_complete=True)
        books.append(book)
    writers = {
        n: SegmentWriter(directory, f"book/bench/{n}", (1, 1), 2, 8, levels=n, heartbeat_limit_ns=3_600_000_000_000)
        for n in (20, LEVELS)
    }
    found: dict[int, list[float]] = {n: [] for n in writers}
    states: list[float] = []
    for _ in range(rounds):
        for n, writer in writers.items():

            def publish(
                writer: SegmentWriter = writer, first: OrderBook = books[0], second: OrderBook = books[1]
            ) -> None:
                writer.publish(first, BookState.LIVE, 1, 2)
                writer.publish(second, BookState.LIVE, 1, 2)

            found[n].append(per_call_ns(publish, times // 2) / 2)
        states.append(per_call_ns(lambda: writers[20].set_state(BookState.LIVE), times))
    for writer in writers.values():
        writer.close()
    return [
        *({"what": f"publish {n} levels a side", "ns": median(values)} for n, values in found.items()),
        {"what": "publish a state alone", "ns": median(states)},
    ]


@contextlib.contextmanager
def writing(directory: Path, rate: int) -> Iterator[BookView]:
    """Run a writer at `rate` books a second in another process; yield a view of its book, LIVE."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.segment_reads", "--write", str(directory), "--rate", str(rate)],
        stdin=subprocess.PIPE,
    )
    try:
        view = BookView(directory, INSTRUMENT, ADDRESS)
        view.wait_live(30.0)
        yield view
    finally:
        assert process.stdin is not None
        process.stdin.close()  # ends the writer
        process.wait(10)


def write(directory: Path, rate: int) -> None:
    """Publish until the standard input ends."""
    import select

    writer = SegmentWriter(directory, ADDRESS, (1, monotonic_ns()), 2, 8, levels=LEVELS)
    books = []
    for turn in range(2):
        book = OrderBook(2, 8)
        book.load(*levels_of(turn), turn, bids_complete=True, asks_complete=True)
        books.append(book)
    due = time.monotonic()
    turn = 0
    while True:
        due += 1 / rate
        if select.select([0], [], [], max(0.0, due - time.monotonic()))[0]:
            break
        turn += 1
        writer.publish(books[turn % 2], BookState.LIVE, time.time_ns(), time.time_ns())
    writer.close()


def reading(directory: Path, rounds: int, times: int, call_ns: Callable[[int], float] | None) -> list[Json]:
    """Measure the cost of reads while the writer writes; `call_ns` measures the baseline."""
    with writing(directory, 1_000) as view:
        reads: dict[str, Callable[[], Any]] = {
            "top()": view.top,
            "best_bid and best_ask as Decimals": lambda: (lambda top: (top.best_bid, top.best_ask))(view.top()),
            "depth(20), float64": lambda: view.depth(20),
            "depth(20), int64": lambda: view.depth(20, np.int64),
            "depth(200), float64": lambda: view.depth(LEVELS),
            "snapshot()": view.snapshot,
        }
        found: dict[str, list[float]] = {what: [] for what in reads}
        calls = []
        for _ in range(rounds):
            for what, read in reads.items():
                found[what].append(per_call_ns(read, times))
            if call_ns is not None:
                calls.append(call_ns(max(50, times // 100)))
    baseline = median(calls)
    rows: list[Json] = [
        {"what": f"read {what}", "ns": median(values), "ray_call_is_times": ratio(median(values), baseline, 0)}
        for what, values in found.items()
    ]
    if baseline is not None:
        rows.append({"what": "Ray actor call with the same answer as top()", "ns": baseline})
    return rows


async def wakes(view: AsyncBookView, count: int) -> list[int]:
    """Return the latencies of `count` wakes, each from the publish to the task with the new top."""
    found: list[int] = []
    async for top in view.changes():
        if top.publish_ns is not None:
            found.append(monotonic_ns() - top.publish_ns)
        if len(found) > count:
            break
    return found[1:]  # the first top is older than the wait


def waking(directory: Path, count: int) -> list[Json]:
    rows: list[Json] = []
    for rate in (100, 1_000):
        with writing(directory, rate) as view:
            found = uvloop.run(wakes(AsyncBookView(view.directory, INSTRUMENT, ADDRESS), min(count, rate * 10)))
        rows.append({"what": f"wake an asyncio task of another process, {rate:,} books/s", **percentiles(found)})
    Waiter.shared().close()
    return rows


@contextlib.contextmanager
def ray_call() -> Iterator[Callable[[int], float]]:
    """Yield a function that times calls of an async Ray actor which answers with a top of book."""
    import ray

    class Book:
        async def top(self) -> tuple[int, int, int, int, int]:
            return 6_000_000, 100_000, 6_000_001, 100_000, 1

    book = ray.remote(Book).options(num_cpus=0).remote()  # type: ignore[arg-type]
    ray.get(book.top.remote())
    yield lambda times: per_call_ns(lambda: ray.get(book.top.remote()), times)
    ray.kill(book)


def run(quick: bool = False) -> Json:
    """Measure; with `quick` in few rounds, to see that it works."""
    rounds, times, count = (3, 2_000, 300) if quick else (9, 20_000, 5_000)
    with one_node():
        directory = segment_directory("bench", "segmentreads")
        with ray_call() as call_ns:
            rows = [
                *publishing(directory, rounds, times),
                *reading(directory, rounds, times, call_ns),
                *waking(directory, count),
            ]
    return {"title": "segments: publish, read and wake, between two processes", "rows": rows, "load_1m": load()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.segment_reads")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=int, default=1_000, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write(options.write, options.rate)
    else:
        print(json.dumps(run(options.quick), indent=1))


if __name__ == "__main__":
    main()
