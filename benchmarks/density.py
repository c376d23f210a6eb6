"""Density: the cost of one book in CPU and memory, in its own actor and in an actor with many books.

Two exchanges of one mesh, fed by two raw frame servers: one has a pair per actor, the other has all its pairs in one
actor over one socket. CPU is user and system time of the whole actor processes (including Ray's threads and
heartbeats), divided by books and seconds. Measurements of both alternate; while one is measured, the other's feed is
stopped. Memory is PSS, in which pages shared between processes (libraries, Ray's object store) count by share, so that
sums are correct. An empty async Ray actor is measured in the same windows: the cost of any actor without a book.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

import ray

from .empty_actor import Empty
from .frame_server import pair_names
from .harness import Json, Server, cpu_ns, frame_server, load, median, memory, mesh_of, mib, one_node, ratio, rows_of

RATES = (10, 100)  # updates per second and book
ALONE, TOGETHER = 8, 25  # number of books with an actor each, number of books in one actor
SETTLE_S = 1.0


@dataclass(slots=True)
class _Way:
    """One way of hosting books, and its measurements by rate."""

    name: str
    books: int
    per_actor: int
    server: Server | None
    pids: list[int] = field(default_factory=list)
    cpu_ms: dict[int, list[float]] = field(default_factory=dict)  # updates per second and book
    update_us: dict[int, list[float]] = field(default_factory=dict)  # CPU time per update
    pss: dict[int, list[int]] = field(default_factory=dict)  # memory of all the actors
    rss: dict[int, list[int]] = field(default_factory=dict)

    def settings(self) -> Json:
        assert self.server is not None
        pairs = pair_names(self.books)
        return {"connector": "binance", "pairs": pairs, "pairs_per_actor": self.per_actor, **self.server.urls}

    def measure(self, rate: int, seconds: float) -> None:
        if self.server is not None:
            self.server.set_rate(rate)
        time.sleep(SETTLE_S)
        sent, started = self._sent(), time.monotonic()
        before = [cpu_ns(pid) for pid in self.pids]
        time.sleep(seconds)
        used_ns = sum(cpu_ns(pid) - then for pid, then in zip(self.pids, before, strict=True))
        passed_s, updates = time.monotonic() - started, self._sent() - sent
        held = [memory(pid) for pid in self.pids]
        if self.server is not None:
            self.server.set_rate(0)
        self.cpu_ms.setdefault(rate, []).append(used_ns / 1e6 / passed_s / self.books)
        if updates:
            self.update_us.setdefault(rate, []).append(used_ns / 1e3 / updates)
        self.pss.setdefault(rate, []).append(sum(one.pss or 0 for one in held))
        self.rss.setdefault(rate, []).append(sum(one.rss for one in held))

    def _sent(self) -> int:
        return 0 if self.server is None else self.server.sent()

    def row(self, rate: int) -> Json:
        pss, rss = median(self.pss[rate]), median(self.rss[rate])
        kept = {
            "books": self.books,
            "updates_per_s_and_book": rate,
            "cpu_us_per_update": _rounded(median(self.update_us.get(rate, [])), 1),
            "pss_mib_per_book": mib(None if pss is None else pss / self.books),
        }
        return {
            "hosted": self.name,
            "actors": len(self.pids),
            **(kept if self.server is not None else {}),
            "cpu_ms_per_s_and_book": _rounded(median(self.cpu_ms[rate]), 3),
            "pss_mib_per_actor": mib(None if pss is None else pss / len(self.pids)),
            "rss_mib_per_actor": mib(None if rss is None else rss / len(self.pids)),
        }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _pids(mesh: Any, exchange: str, wanted: int) -> list[int]:
    found = [row["pid"] for row in rows_of(mesh, f"book/{exchange}/")]
    if len(found) != wanted:
        raise RuntimeError(f"{exchange}: {len(found)} actors, not {wanted}")
    return found


def run(quick: bool = False) -> Json:
    """Measure; see the module."""
    alone, together = (3, 6) if quick else (ALONE, TOGETHER)
    rounds, seconds = (1, 1.5) if quick else (3, 8.0)
    with contextlib.ExitStack() as running:
        running.enter_context(one_node())
        one = _Way("one book per actor", alone, 1, running.enter_context(frame_server(alone)))
        many = _Way(f"{together} books per actor", together, together, running.enter_context(frame_server(together)))
        exchanges = {"alone": one.settings(), "together": many.settings()}
        mesh = running.enter_context(mesh_of("bench-density", exchanges, {"spares_per_node": 1}))
        one.pids, many.pids = _pids(mesh, "alone", alone), _pids(mesh, "together", 1)
        empty = Empty.remote()
        running.callback(ray.kill, empty)
        none = _Way("none: an empty Ray actor", 1, 1, None, [ray.get(empty.pid.remote())])
        for _ in range(rounds):
            for rate in RATES:
                for way in (one, many):
                    way.measure(rate, seconds)
            none.measure(0, seconds)
    rows = []
    for rate in RATES:
        single, shared = one.row(rate), many.row(rate)
        shared["times_less_cpu"] = ratio(shared["cpu_ms_per_s_and_book"], single["cpu_ms_per_s_and_book"])
        shared["times_less_pss"] = ratio(shared["pss_mib_per_book"], single["pss_mib_per_book"])
        rows += [single, shared]
    rows.append(none.row(0))
    rows[0]["load_1m"] = load()
    return {"title": "CPU and memory per book (raw frame server, 15 levels a frame)", "rows": rows}


if __name__ == "__main__":
    import sys

    print(*run(quick="--quick" in sys.argv)["rows"], sep="\n")
