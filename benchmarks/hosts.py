"""How many updates one, two and three hosts sustain, each with the same share of the processor.

Three raylets of one machine stand for three hosts. All processes of a host (books, limits, catalog, agent, spares, the
raylet) share a control group with a quota of the processor (`quota`). Each host has its own exchange, a raw frame
server that sends more than the host can read, so what the books apply is what the host sustains. In each round one, two
and three hosts get frames, in the same mesh and in turn. Supervisor, GCS and servers are outside the quotas.
The quota is small, so that two cores are enough for all: a host at its quota is what is measured, not the machine.

With perfect scaling n hosts sustain n times what one does. `linear` is the median of this ratio, divided by n.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from venuemesh.model.errors import NotSynced
from venuemesh.orderbook.segment import SegmentReader
from venuemesh.orderbook.segment.directory import list_segments

from .harness import (
    LABEL,
    Json,
    Server,
    ended_in_order,
    frame_server,
    load,
    median,
    mesh_of,
    more_nodes,
    own_segments,
    rows_of,
    wait_until,
)
from .quota import NoQuota, Quota

HOSTS, SHARE = 3, 0.08  # cores for each host
PAIRS, PER_ACTOR = 20, 10
FLOOD = 5_000.0  # frames a second and pair: more than a host can read
SETTLE_S, LIVE_S, READ_S = 1.0, 60.0, 10.0
EXPECTED = "linear >= 0.95"


def _exchange(host: int) -> str:
    return f"x{host}"


class _Host:
    """A host: its segments, its frame server and its quota."""

    def __init__(self, number: int, root: Path, server: Server, quota: Quota) -> None:
        self.name, self.server, self.quota = _exchange(number), server, quota
        self._root = root

    def books(self) -> list[SegmentReader]:
        folders = [folder for mesh in self._root.iterdir() if mesh.is_dir() for folder in mesh.iterdir()]
        found = (
            path for folder in folders for address, _, path in list_segments(folder) if f"/{self.name}/" in address
        )
        return [SegmentReader(path) for path in found]


def _applied(books: list[SegmentReader]) -> int:
    return sum(wait_until(lambda book=book: _updates(book), READ_S, "a whole copy", 0.001) for book in books)


def _updates(book: SegmentReader) -> int | None:
    """Return the updates that a book has had; None: its process has used up its share within a publish."""
    try:
        return book.statistics().updates
    except NotSynced:
        return None


def _sustained(hosts: list[_Host], seconds: float) -> tuple[float, float]:
    """Return the updates a second that the books of these hosts apply, and the share of them that is LIVE."""
    for host in hosts:
        host.server.set_rate(FLOOD)
    try:
        time.sleep(SETTLE_S)
        books = [book for host in hosts for book in host.books()]
        before, began = _applied(books), time.monotonic()
        time.sleep(seconds)
        after, passed_s = _applied(books), time.monotonic() - began
        live = sum(book.state.name == "LIVE" for book in books) / len(books)
    finally:
        for host in hosts:
            host.server.set_rate(0)
    return (after - before) / passed_s, live


@contextlib.contextmanager
def _started(count: int) -> Iterator[list[_Host]]:
    """Run a mesh on so many hosts; yield them when every book is LIVE."""
    from venuemesh.mesh.cluster import local_ray

    numbers = range(1, count + 1)
    with contextlib.ExitStack() as running:
        running.enter_context(ended_in_order())
        roots = running.enter_context(own_segments("head", *(f"host{number}" for number in numbers)))[1:]
        address = running.enter_context(local_ray())
        nodes = running.enter_context(more_nodes(address, {root.name: root for root in roots}))
        servers = [running.enter_context(frame_server(PAIRS)) for _ in numbers]
        quotas = [running.enter_context(Quota(f"host{number}", SHARE)) for number in numbers]
        exchanges = {
            _exchange(number): {
                "connector": "binance",
                "pairs": ["*"],
                "pairs_per_actor": PER_ACTOR,
                "nodes": {LABEL: f"host{number}"},
                "egress": f"host{number}",
                **server.urls,
            }
            for number, server in zip(numbers, servers, strict=True)
        }
        settings = {"spares_per_node": 1, "hang_limit_s": 5.0, "heartbeat_limit_s": 1.0}
        mesh = running.enter_context(mesh_of("bench-hosts", exchanges, settings))
        for node, quota in zip(nodes, quotas, strict=True):
            quota.add([cell["pid"] for cell in mesh.status()["cells"] if cell["node"] == node.id and cell["pid"]])
            quota.add(node.pids)
        hosts = [_Host(*one) for one in zip(numbers, roots, servers, quotas, strict=True)]
        wait_until(lambda: len(rows_of(mesh, "book/")) == count * PAIRS // PER_ACTOR, LIVE_S, "all actors")
        yield hosts


def run(quick: bool = False) -> Json:
    """Measure; see the module."""
    rounds, seconds = (1, 1.0) if quick else (7, 6.0)
    found: dict[int, list[float]] = {number: [] for number in range(1, HOSTS + 1)}
    live: list[float] = []
    title = f"Updates sustained by hosts with {SHARE:g} cores each, {PAIRS} books a host"
    try:
        with _started(HOSTS) as hosts:
            for _ in range(rounds):
                for number, rates in found.items():
                    rate, share = _sustained(hosts[:number], seconds)
                    rates.append(rate)
                    live.append(share)
    except NoQuota as error:
        return {"title": title, "rows": [{"hosts": None, "skipped": str(error)}]}
    rows: list[Any] = []
    for number, rates in found.items():
        linear = [many / one / number for many, one in zip(rates, found[1], strict=True)]
        ratio = median(linear)
        rows.append(
            {
                "hosts": number,
                "updates_per_s": round(median(rates) or 0.0),
                "linear": None if ratio is None else round(ratio, 3),
                "linear_least": round(min(linear), 3),
                "linear_most": round(max(linear), 3),
            }
        )
    rows[0]["load_1m"] = load()
    return {"title": title, "rows": rows, "live_at_the_end": min(live), "expected": EXPECTED}


if __name__ == "__main__":
    import sys

    print(*run(quick="--quick" in sys.argv)["rows"], sep="\n")
