"""Choose the node where a child runs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass, field

from .child import ChildSpec, Tier
from .records import Cell, Child


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node for placement: its labels, its current weight, and the spares that are ready to adopt.

    `alike` is the part of the weight that children of the same tier have. `formerly` are lost nodes that ran on the
    same host: Ray gives a host another node id whenever Ray starts there.
    """

    node: str
    labels: Mapping[str, str] = field(default_factory=dict)
    load: int = 0
    spares: int = 0
    alike: int = 0
    formerly: frozenset[str] = frozenset()


def choose(spec: ChildSpec, nodes: Iterable[NodeView], last: str | None = None) -> str | None:
    """Return the node for `spec`, or None if no node fits now.

    A pinned child runs on the host of its node only. Other nodes must have all labels of the child. The child stays on
    the node where it ran last, because its readers are there; otherwise the order is: least weight of the same tier (so
    that books are spread, and no host has all order managers), least weight, most spares, id.
    """
    fitting = [node for node in nodes if fits(spec, node)]
    if not fitting:
        return None
    if any(node.node == last for node in fitting):
        return last
    return min(fitting, key=lambda node: (node.alike, node.load, -node.spares, node.node)).node


def loads(children: Iterable[Child]) -> Counter[tuple[str, Tier]]:
    """Return the weight of each node's children that have a cell, by tier."""
    load: Counter[tuple[str, Tier]] = Counter()
    for child in children:
        if child.cell is not None and child.node is not None:
            load[child.node, child.spec.tier] += child.spec.weight
    return load


def views(
    spec: ChildSpec,
    labels: Mapping[str, Mapping[str, str]],
    load: Mapping[tuple[str, Tier], int],
    spares: Mapping[str, Sized],
) -> list[NodeView]:
    """Return the nodes (`labels` has them all) as they are for the placement of a child."""
    return [
        NodeView(
            node,
            own,
            sum(load.get((node, tier), 0) for tier in Tier),
            len(spares[node]),
            load.get((node, spec.tier), 0),
        )
        for node, own in labels.items()
    ]


def seat(child: Child, nodes: Iterable[NodeView], cells: Iterable[Cell]) -> str | None:
    """Return the node where a waiting child runs next, or None if no node fits now.

    While the predecessor's process may be alive, the child runs on that node only, because only there the successor can
    check that the process is gone. Afterwards the child stays on that node if possible.
    """
    before = child.predecessor
    seen = list(nodes)
    if before is None or all(view.node != before[0] for view in seen):
        return choose(child.spec, seen, child.node)
    home = choose(child.spec, [view for view in seen if view.node == before[0]])
    if home is not None:
        return home
    lives = any((cell.node, cell.pid, cell.start) == before for cell in cells)
    return None if lives else choose(child.spec, seen)


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
