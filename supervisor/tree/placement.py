"""Choose the node where a child runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .child import ChildSpec
from .records import Cell, Child


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node for placement: its labels, its current weight, and the spares that are ready to adopt."""

    node: str
    labels: Mapping[str, str] = field(default_factory=dict)
    load: int = 0
    spares: int = 0


def choose(spec: ChildSpec, nodes: Iterable[NodeView], last: str | None = None) -> str | None:
    """Return the node for `spec`, or None if no node fits now.

    A pinned child runs on its node only. Other nodes must have all labels of the child. The child stays on the node
    where it ran last, because its readers are there; otherwise the order is: least weight, most spares, id.
    """
    fitting = [node for node in nodes if fits(spec, node)]
    if not fitting:
        return None
    if any(node.node == last for node in fitting):
        return last
    return min(fitting, key=lambda node: (node.load, -node.spares, node.node)).node


def loads(nodes: Iterable[str], children: Iterable[Child]) -> dict[str, int]:
    """Return the weight of each node's children."""
    load = dict.fromkeys(nodes, 0)
    for child in children:
        if child.cell is not None and child.node in load:
            load[child.node] += child.spec.weight
    return load


def seat(child: Child, nodes: Iterable[NodeView], cells: Iterable[Cell]) -> str | None:
    """Return the node where a waiting child runs next, or None if no node fits now.

    While the predecessor's process may be alive, the child runs on that node only, because only there the successor can
    check that the process is gone. Afterwards the child stays on that node if possible.
    """
    before = child.predecessor
    views = list(nodes)
    if before is None or all(view.node != before[0] for view in views):
        return choose(child.spec, views, child.node)
    home = choose(child.spec, [view for view in views if view.node == before[0]])
    if home is not None:
        return home
    lives = any((cell.node, cell.pid, cell.start) == before for cell in cells)
    return None if lives else choose(child.spec, views)


def pick(spares: list[Cell], trading: bool) -> Cell:
    """Return the oldest spare prepared for this kind of role, or else the oldest spare."""
    made_for = [cell for cell in spares if cell.trading is trading]
    chosen = (made_for or spares)[0]
    spares.remove(chosen)
    return chosen


def fits(spec: ChildSpec, node: NodeView) -> bool:
    """Return whether a child may run on the node."""
    if spec.node is not None:
        return node.node == spec.node
    return all(node.labels.get(key) == value for key, value in spec.labels)
