"""Choose the node where a child runs. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from .child import ChildSpec, Tier
from .records import Cell, Child

_Key = tuple[int, int, int, str]  # weight of the same tier, weight, negative number of spares, node


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node with what decides whether a child may run there.

    `formerly` are lost nodes that ran on the same host: Ray gives a host another node id whenever Ray starts there.
    """

    node: str
    labels: Mapping[str, str] = field(default_factory=dict)
    formerly: frozenset[str] = frozenset()


def _never(node: str) -> frozenset[str]:
    return frozenset()


class Seats:
    """The nodes as one decision of the tree sees them: their weights and spares, which change as children get seats.

    A pinned child runs on the host of its node only. Other nodes must have all labels of the child. The child stays on
    the node where it ran last, because its readers are there; otherwise the order is: least weight of the same tier (so
    that books are spread, and no host has all order managers), least weight, most spares, id. A node that runs the
    other copy of a redundant book gets no child of that book (`ChildSpec.apart`).

    A drained node gets no child, except those that belong to it, and one that ran there last and fits nowhere else.
    """

    def __init__(
        self,
        nodes: Mapping[str, Mapping[str, str]],
        children: Iterable[Child] = (),
        spares: Mapping[str, list[Cell]] | None = None,
        formerly: Callable[[str], frozenset[str]] = _never,
        drained: Collection[str] = (),
    ) -> None:
        """`nodes` are labels by node; `children` weigh on the nodes of their cells; `spares` are the cells that are
        ready to adopt, by node; `formerly` is that of `NodeView`, by node."""
        self._nodes, self._formerly, self._drained = nodes, formerly, drained
        self.spares: dict[str, list[Cell]] = dict(spares) if spares is not None else {node: [] for node in nodes}
        self._alike: Counter[tuple[str, int]] = Counter()
        self._weights: Counter[str] = Counter()
        self._heaps: dict[tuple[tuple[tuple[str, str], ...], Tier], list[_Key]] = {}
        self._at: dict[str, set[str]] = {}  # the nodes where a child of an address runs, or will run
        for child in children:
            if child.cell is not None and child.node is not None:
                self.put(child.spec, child.node)

    def put(self, spec: ChildSpec, node: str) -> None:
        """Add the weight of a child to a node."""
        self._alike[node, spec.tier.value] += spec.weight
        self._weights[node] += spec.weight
        self.reserve(spec.address, node)

    def reserve(self, address: str, node: str) -> None:
        """A successor of a child will run on this node."""
        self._at.setdefault(address, set()).add(node)

    def seat(self, child: Child, cells: Iterable[Cell]) -> str | None:
        """Return the node where a waiting child runs next, or None if no node fits now.

        While the predecessor's process may be alive, the child runs on that node only, because only there the successor
        can check that the process is gone. Afterwards the child stays on that node if possible, unless it moves. A
        child that served on a lost node takes the least loaded node that has a spare: a new process can take long on a
        node that has just come back, and its readers wait.
        """
        before, there = child.predecessor, child.move_to
        if there is not None and (there in self._drained or not self._fits(child.spec, there)):
            there = None
        if before is None or before[0] not in self._nodes:
            ready = self._ready(child.spec) if child.served_once else None
            return there or ready or self.choose(child.spec, child.node)
        if there in (None, before[0]) and self._may_stay(child.spec, before[0]):
            return before[0]
        lives = any((cell.node, cell.pid, cell.start) == before for cell in cells)
        return None if lives else there or self.choose(child.spec, before[0])

    def _may_stay(self, spec: ChildSpec, node: str) -> bool:
        return self._fits(spec, node) and (node not in self._drained or spec.node is not None)

    def choose(self, spec: ChildSpec, last: str | None = None) -> str | None:
        """Return the node for `spec`, which ran on node `last`; None if no node fits."""
        if last is not None and self._may_stay(spec, last):
            return last
        if spec.node is not None:
            homes = (spec.node,) if not spec.pinned else (spec.node, *self._nodes)
            return next((node for node in homes if self._fits(spec, node)), None)
        heap, others = self._heap(spec), self._at.get(spec.apart, ())
        taken: list[_Key] = []
        found = None
        while heap and found is None:
            node = heap[0][3]
            key = self._key(node, spec.tier)
            if key != heap[0]:
                heapq.heapreplace(heap, key)  # within one decision keys only grow
            elif node in others:
                taken.append(heapq.heappop(heap))
            else:
                found = node
        for key in taken:
            heapq.heappush(heap, key)
        if found is not None:
            return found
        return last if last is not None and self._fits(spec, last) else None

    def _ready(self, spec: ChildSpec) -> str | None:
        """Return the node for a child that starts at once; None: no node that fits has a spare."""
        nodes = [node for node, cells in self.spares.items() if cells and self._may_stay(spec, node)]
        return min(nodes, key=lambda node: self._key(node, spec.tier), default=None)

    def _fits(self, spec: ChildSpec, node: str) -> bool:
        return node not in self._at.get(spec.apart, ()) and self._allows(spec, node)

    def _allows(self, spec: ChildSpec, node: str) -> bool:
        labels = self._nodes.get(node)
        formerly = self._formerly(node) if spec.pinned else frozenset[str]()
        return labels is not None and fits(spec, NodeView(node, labels, formerly))

    def _heap(self, spec: ChildSpec) -> list[_Key]:
        of = spec.labels, spec.tier
        heap = self._heaps.get(of)
        if heap is None:
            fitting = (node for node in self._nodes if node not in self._drained and self._allows(spec, node))
            heap = [self._key(node, spec.tier) for node in fitting]
            heapq.heapify(heap)
            self._heaps[of] = heap
        return heap

    def _key(self, node: str, tier: Tier) -> _Key:
        return self._alike[node, tier.value], self._weights[node], -len(self.spares[node]), node


def pick(spares: list[Cell], trading: bool) -> Cell:
    """Return the oldest spare prepared for this kind of role, or else the oldest spare."""
    made_for = [cell for cell in spares if cell.trading is trading]
    chosen = (made_for or spares)[0]
    spares.remove(chosen)
    return chosen


def fits(spec: ChildSpec, node: NodeView) -> bool:
    """Return whether a child may run on the node."""
    if spec.node is not None:
        return node.node == spec.node or (bool(spec.pinned) and spec.node in node.formerly)
    return all(node.labels.get(key) == value for key, value in spec.labels)
