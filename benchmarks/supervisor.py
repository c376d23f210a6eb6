"""The supervisor's decisions at sizes that no machine here can run: the real tree and route table in simulated time.

Nodes, cells and their confirmations are simulated; every decision is the supervisor's own code. A mesh boots (agents,
limits, catalog, book actors that serve `pairs` books each), one node is lost, and the whole tree is described as for
`venuemesh status`. Figures are processor time of one core, and the memory of the tree. The smallest mesh of the same
run is the baseline: a decision whose cost grows with the mesh limits how large a mesh one supervisor can lead.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import json
import os
import time
from dataclasses import dataclass, field

import numpy as np

from venuemesh.actors.cell.pulse import usage as process_usage
from venuemesh.supervisor.status import describe
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.child import ChildSpec, Tier
from venuemesh.supervisor.tree.machine import Machine
from venuemesh.supervisor.tree.settings import TreeSettings

from .harness import Json, ratio

MS = 1_000_000
TICK_NS, CREATE_NS, ADOPT_NS = 50 * MS, 500 * MS, 5 * MS
SIZES = ((4, 60, 1), (20, 2_000, 1), (200, 2_000, 50), (1_000, 2_000, 50))  # nodes, book actors, books of each
QUICK = ((4, 60, 1), (8, 120, 2))


@dataclass(slots=True)
class Cluster:
    """Simulated nodes: a created cell is there after `CREATE_NS`, an adoption is confirmed after `ADOPT_NS`."""

    machine: Machine = field(init=False)
    now_ns: int = 0
    took_ns: list[int] = field(default_factory=list)  # of each decision
    queue: list[tuple[int, int, m.Event]] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.machine = Machine(1, TreeSettings(), lambda: f"cell-{next(self.numbers)}")
        self.soon(m.Tick(), TICK_NS)

    def soon(self, event: m.Event, after_ns: int) -> None:
        heapq.heappush(self.queue, (self.now_ns + after_ns, next(self.numbers), event))

    def tell(self, event: m.Event) -> None:
        before = time.thread_time_ns()
        effects = self.machine.on(event, self.now_ns)
        self.took_ns.append(time.thread_time_ns() - before)
        for effect in effects:
            match effect:
                case m.Create(cell):
                    self.soon(m.CellCreated(cell, 1, 1), CREATE_NS)
                case m.AdoptCell(cell):
                    self.soon(m.Adopted(cell), ADOPT_NS)
                case m.StopCell(cell) | m.KillCell(cell) | m.Discard(cell):
                    self.soon(m.Died(cell), ADOPT_NS)

    def run(self, until_serving: int) -> float:
        """Let time pass until so many addresses are routed; return the simulated seconds."""
        began_ns = self.now_ns
        while len(self.machine.routes) < until_serving:
            self.step()
        return (self.now_ns - began_ns) / 1e9

    def step(self) -> None:
        """Pass to the next moment with events, and tell them all."""
        self.now_ns = self.queue[0][0]
        while self.queue[0][0] <= self.now_ns:
            event = heapq.heappop(self.queue)[2]
            self.tell(event)
            if isinstance(event, m.Tick):
                self.soon(m.Tick(), TICK_NS)


def run(quick: bool) -> Json:
    """Return the table."""
    rows = [_measure(*size) for size in (QUICK if quick else SIZES)]
    for row in rows:
        row["times_the_smallest"] = ratio(rows[0]["decision_p50_us"], row["decision_p50_us"], 1)
    return {
        "title": "the supervisor's decisions, simulated nodes and cells, real tree and routes",
        "rows": rows,
        "expected": "2,000 addresses: a decision below 1 ms at the median, a status below 1 s",
    }


def memory_bytes() -> int:
    """Return the resident memory of this process."""
    usage = process_usage(os.getpid())
    assert usage is not None
    return usage.rss


def _specs(actors: int, pairs: int) -> list[ChildSpec]:
    limits = ChildSpec("limits/x/default", "limits", group="x", tier=Tier.LIMITS)
    catalog = ChildSpec("catalog/x", "catalog", group="x", tier=Tier.CATALOG, after=(limits.address,))
    books = []
    for number in range(actors):
        served = tuple((f"book/x/P{number}-{pair}", {"name": f"P{number}-{pair}"}) for pair in range(pairs))
        after = (limits.address, catalog.address)
        books.append(ChildSpec(served[0][0], "book", group="x", serves=served, after=after))
    manager = ChildSpec("orders/x/main", "orders", group="x", tier=Tier.ORDERS, after=(limits.address, catalog.address))
    return [limits, catalog, manager, *books]


def _measure(nodes: int, actors: int, pairs: int) -> Json:
    gc.collect()
    before = memory_bytes()
    cluster = Cluster()
    specs = _specs(actors, pairs)
    for number in range(nodes):
        cluster.tell(m.NodeSeen(f"node-{number:04}"))
    cluster.tell(m.RunChildren(tuple(specs)))
    addresses = actors * pairs + 3 + nodes
    boot_s = cluster.run(addresses)
    held = memory_bytes() - before
    decided, cluster.took_ns = cluster.took_ns, []
    lost = next(child.node for child in cluster.machine.children.values() if child.spec.tier is Tier.BOOK)
    assert lost is not None
    cluster.tell(m.NodeLost(lost))
    recovery_s = cluster.run(addresses - 1)
    began = time.thread_time()
    described = describe(cluster.machine, {}, {}, {}, cluster.now_ns)
    status_ms = (time.thread_time() - began) * 1e3
    p50, p99 = np.percentile(decided, (50, 99)) / 1e3
    return {
        "nodes": nodes,
        "book_actors": actors,
        "books": actors * pairs,
        "decisions": len(decided),
        "decision_p50_us": round(float(p50), 1),
        "decision_p99_us": round(float(p99), 1),
        "boot_simulated_s": round(boot_s, 2),
        "boot_cpu_s": round(sum(decided) / 1e9, 2),
        "node_loss_to_serving_simulated_s": round(recovery_s, 2),
        "node_loss_cpu_ms": round(sum(cluster.took_ns) / 1e6, 1),
        "status_ms": round(status_ms, 1),
        "status_kib": round(len(json.dumps(described)) / 1024),
        "routes_kib": round(len(json.dumps(cluster.machine.routes.to_dict())) / 1024),
        "memory_mib": round(held / 2**20, 1),
    }
