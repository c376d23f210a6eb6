"""Recovery: from SIGKILL of a book's process to its successor, and to the book being LIVE again.

Ours is a cell of the mesh, replaced by a warm spare. The baseline, in the same run and on the same local exchange, is
the same book role in a plain Ray actor that Ray itself restarts (`max_restarts`), measured to its first answered call.
Both open a new connection, subscribe to the 100 ms depth stream and join a new snapshot. Kills alternate; each waits
until the mesh has settled: all spares exist, and the book was LIVE for a moment.

Measured in this process: `adopted` when the successor's segment exists, `LIVE` when a `BookView` shows LIVE.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import ray

from venuemesh.model.events import BookState
from venuemesh.orderbook.segment.directory import find_newest
from venuemesh.orderbook.view import BookView

from .harness import EXCHANGE, Json, load, local_exchange, median, mesh_of, one_node, ratio, rows_of, wait_until
from .ray_book import RayBook, settings_of

PAIR, SYMBOL = "BTC-USDT", "BTCUSDT"
SPARES = 2
CALM_S = 0.5
LIMIT_S = 60.0
EVERY_S = 0.0005

Times = tuple[float, float]  # ms to the successor, ms to LIVE


def _kill(pid: int) -> int:
    """Return the monotonic time of the kill, in ns."""
    killed_ns = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    return killed_ns


def _ms_since(start_ns: int) -> float:
    return (time.monotonic_ns() - start_ns) / 1e6


def kill_cell(mesh: Any, view: BookView) -> Times:
    """Kill the cell with the book of `view` and measure its recovery."""

    def settled() -> bool:
        tree = mesh.status()
        return tree["spares"] >= SPARES and tree["creating"] == 0 and view.state is BookState.LIVE

    wait_until(settled, LIMIT_S, "spares and a LIVE book", every_s=0.1)
    time.sleep(CALM_S)
    (row,) = rows_of(mesh, view.address)
    before = find_newest(view.directory, view.address)
    killed_ns = _kill(row["pid"])
    wait_until(lambda: find_newest(view.directory, view.address) not in (None, before), LIMIT_S, "a successor", EVERY_S)
    adopted_ms = _ms_since(killed_ns)
    epoch_before = tuple(row["incarnation"])
    wait_until(
        lambda: view.incarnation not in (None, epoch_before) and view.state is BookState.LIVE,
        LIMIT_S,
        "a LIVE book",
        EVERY_S,
    )
    return adopted_ms, _ms_since(killed_ns)


def kill_actor(book: Any) -> Times:
    """Kill the plain Ray actor and call it until it answers, then until its book is LIVE."""
    pid = ray.get(book.wait_live.remote(), timeout=LIMIT_S)
    time.sleep(CALM_S)
    killed_ns = _kill(pid)
    answered = ray.get(book.pid.remote(), timeout=LIMIT_S)
    answered_ms = _ms_since(killed_ns)
    if answered == pid:
        raise RuntimeError("the killed process answered")
    ray.get(book.wait_live.remote(), timeout=LIMIT_S)
    return answered_ms, _ms_since(killed_ns)


def _row(what: str, times: list[Times]) -> Json:
    successor, live = ([one[at] for one in times] for at in (0, 1))
    return {
        "what": what,
        "kills": len(times),
        "adopted_p50_ms": _rounded(median(successor)),
        "adopted_max_ms": _rounded(max(successor)),
        "live_p50_ms": _rounded(median(live)),
        "live_max_ms": _rounded(max(live)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def run(quick: bool = False) -> Json:
    """Kill and measure; see the module."""
    kills = 2 if quick else 15
    ours: list[Times] = []
    theirs: list[Times] = []
    with one_node(), local_exchange([SYMBOL], rate=300) as exchange:
        urls = {key: exchange.urls[key] for key in ("rest", "ws")}
        settings = {EXCHANGE: {"pairs": [PAIR], **urls}}
        with mesh_of("bench-recovery", settings, {"spares_per_node": SPARES}) as mesh:
            book = RayBook.options(max_restarts=-1, max_task_retries=-1).remote(settings_of(urls, PAIR))
            try:
                view = mesh.market(EXCHANGE).order_book(PAIR)
                measures: list[tuple[list[Times], Callable[[], Times]]] = [
                    (ours, lambda: kill_cell(mesh, view)),
                    (theirs, lambda: kill_actor(book)),
                ]
                for _ in range(kills):
                    for times, measure in measures:
                        times.append(measure())
                ray.get(book.close.remote(), timeout=10)
            finally:
                ray.kill(book)
    rows = [_row("mesh: warm spare", ours), _row("Ray max_restarts", theirs)]
    rows[0] |= {
        "adopted_times_faster": ratio(rows[0]["adopted_p50_ms"], rows[1]["adopted_p50_ms"]),
        "live_times_faster": ratio(rows[0]["live_p50_ms"], rows[1]["live_p50_ms"]),
        "load_1m": load(),
    }
    return {
        "title": "SIGKILL of a book's process to its successor and to LIVE (local exchange, 100 ms stream)",
        "rows": rows,
        "all_ms": {"mesh": ours, "ray": theirs},
        "expected": "p50 to adopted < 50 ms, p50 to LIVE < 200 ms",
    }


if __name__ == "__main__":
    import sys

    found = run(quick="--quick" in sys.argv)
    print(*found["rows"], found["all_ms"], sep="\n")
