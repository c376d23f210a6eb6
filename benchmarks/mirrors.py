"""What the mirror of a node costs: processor time of a mesh whose books are all read on another node.

Two raylets, each with its own segment directory; all books run on the first, one process on the second reads all of
them. The same mesh without that reader is the baseline of the same run. Each book gets a frame a second, so nearly all
of the cost is the cost of knowing that the sources live.
"""

from __future__ import annotations

import time
from typing import Any

import ray

from venuemesh.market.market import AsyncMarket

from .harness import EXCHANGE, Json, cpu_ns, frame_server, load, mesh_of, on_node, ratio, rows_of, two_nodes, wait_until

PAIRS, QUICK_PAIRS = 60, 4
FRAMES = 1.0  # a second and pair
KINDS = ("book", "link", "mirror", "agent", "supervisor")
START_S, LIVE_S = 400.0, 180.0


class _Reader:
    """A process that reads the books of a market, without doing anything with them."""

    async def read(self, market: AsyncMarket, pairs: list[str]) -> int:
        """Return how many of the books are LIVE here; request those that are not."""
        self._books = getattr(self, "_books", None) or [market.order_book(pair) for pair in pairs]
        return sum(book.is_live for book in self._books)


Reader: Any = ray.remote(num_cpus=0)(_Reader)


def _spent(mesh: Any, seconds: float) -> dict[str, float]:
    """Return the processor time that each kind of process uses within `seconds`, in seconds a minute."""
    pids = {kind: [row["pid"] for row in rows_of(mesh, f"{kind}/") if row["pid"]] for kind in KINDS[:-1]}
    pids["supervisor"] = [mesh.status()["pid"]]
    before = {pid: cpu_ns(pid) for found in pids.values() for pid in found}
    time.sleep(seconds)
    spent = {pid: cpu_ns(pid) - ns for pid, ns in before.items()}
    return {kind: sum(spent[pid] for pid in found) / 1e9 * 60 / seconds for kind, found in pids.items()}


def run(quick: bool = False) -> Json:
    """Measure; see the module."""
    pairs, seconds = (QUICK_PAIRS, 3.0) if quick else (PAIRS, 60.0)
    with two_nodes() as (feed, strategy), frame_server(pairs) as server:
        settings = {"pairs": ["*"], "nodes": {"ray.io/node-id": feed}, **server.urls}
        with mesh_of("bench-mirrors", {EXCHANGE: settings}, limit_s=START_S) as mesh:
            server.set_rate(FRAMES)
            books = rows_of(mesh, "book/")
            names = [row["address"].rpartition("/")[2] for row in books]
            alone = _spent(mesh, seconds)
            reader = on_node(Reader, strategy).remote()
            market = mesh.aio.market(EXCHANGE)
            wait_until(
                lambda: ray.get(reader.read.remote(market, names)) >= 0.5 * len(names), LIVE_S, "books LIVE there", 0.5
            )
            read = _spent(mesh, seconds)
            live = ray.get(reader.read.remote(market, names))
            ray.kill(reader)
    rows = [_row("without a reader", alone), _row("all read on the other node", read)]
    total = [sum(found.values()) for found in (alone, read)]
    return {
        "title": f"{len(books)} single-pair books, all read on another node: processor time, s a minute",
        "rows": rows,
        "added_s_a_minute": round(total[1] - total[0], 2),
        "live_there": live,
        "times_without": ratio(total[0], total[1], 2),
        "load_1m": load(),
    }


def _row(what: str, found: dict[str, float]) -> Json:
    return {"what": what, "total": round(sum(found.values()), 2)} | {k: round(v, 2) for k, v in found.items()}


if __name__ == "__main__":
    import sys

    print(run(quick="--quick" in sys.argv))
