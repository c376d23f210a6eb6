"""Determine whether the supervisor hears enough of its cluster to decide anything. Pure.

To a supervisor behind a partition every other node looks hung, and it may have a successor on the other side. So it
needs a majority: more than half of the nodes must answer it. A node answers when its agent does, or any other cell
there. The supervisor's own node counts, because no network lies between. If exactly half answer, the supervisor needs
the GCS, too; the GCS alone is no majority, because the silent hosts may be alive, and the GCS itself declares them
lost.

A node whose agent is known to have died cannot answer until it has another agent; it stays as it was, answering or
silent.

Without its majority the supervisor declares nothing hung, queues no kill, and starts nothing; see `machine`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from ...model.time import in_ns

UNREACHABLE_NS = in_ns(2.0)  # a node is shown as UNREACHABLE when its agent has been silent for this long


@dataclass(slots=True)
class Quorum:
    """When each node and the GCS answered last. `own` is the supervisor's node; times are monotonic ns."""

    own: str
    limit_ns: int
    _heard: dict[str, int] = field(default_factory=dict)
    _gcs_ns: int | None = None

    def hear(self, node: str, now_ns: int) -> None:
        self._heard[node] = now_ns

    def keep(self, node: str, now_ns: int) -> None:
        """Leave a node without an agent as it is: if it is not silent, it counts as answering now."""
        if self.silent_ns(node, now_ns) <= self.limit_ns:
            self.hear(node, now_ns)

    def hear_gcs(self, nodes: Collection[str], now_ns: int) -> None:
        """Record an answer of the GCS: the living nodes. A new node counts as answering now."""
        self._gcs_ns = now_ns
        for node in nodes:
            self._heard.setdefault(node, now_ns)
        self._heard = {node: heard_ns for node, heard_ns in self._heard.items() if node in nodes}

    def silent_ns(self, node: str, now_ns: int) -> int:
        """Return for how long a node has been silent; 0 for the supervisor's own."""
        return 0 if node == self.own else now_ns - self._heard.get(node, now_ns)

    def silent(self, nodes: Collection[str], now_ns: int) -> list[str]:
        """Return the silent nodes."""
        return [node for node in nodes if self.silent_ns(node, now_ns) > self.limit_ns]

    def heard(self, nodes: Collection[str], now_ns: int) -> int:
        """Return how many of the nodes answer."""
        return len(nodes) - len(self.silent(nodes, now_ns))

    def holds(self, nodes: Collection[str], now_ns: int) -> bool:
        """Return whether the supervisor may decide."""
        twice = 2 * self.heard(nodes, now_ns)
        hears_gcs = self._gcs_ns is not None and now_ns - self._gcs_ns <= max(self.limit_ns, UNREACHABLE_NS)
        return twice > len(nodes) or (twice == len(nodes) and (hears_gcs or not nodes))

    def unreachable(self, nodes: Collection[str], now_ns: int) -> dict[str, float]:
        """Return the nodes that must be shown as UNREACHABLE, and for how many seconds each was silent."""
        silent = {node: self.silent_ns(node, now_ns) for node in nodes}
        return {node: ns / 1e9 for node, ns in silent.items() if ns > UNREACHABLE_NS}
