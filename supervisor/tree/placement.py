"""Choose the node where a child runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .child import ChildSpec
from .records import Cell, Child


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as placement sees it: labels, the weight it carries already, spares ready to adopt."""

    node: str
    labels: Mapping[str, str] = field(default_factory=dict)
    load: int = 0
    spares: int = 0


def choose(spec: ChildSpec, nodes: Iterable[NodeView], last: str | None = None) -> str | None:
    """Return the node for `spec`, or None when none fits now.

    A pinned child goes to its node or nowhere. Otherwise the node must have all labels of the child. The node where the
    child ran last is kept, because its readers are there; else the least loaded, then the one with most spares, then
    by id.
    """
    fitting = [node for node in nodes if fits(spec, node)]
    if not fitting:
        return None
    if any(node.node == last for node in fitting):
        return last
    return min(fitting, key=lambda node: (node.load, -node.spares, node.node)).node


def loads(nodes: Iterable[str], children: Iterable[Child]) -> dict[str, int]:
    """Return the weight that each node carries."""
    load = dict.fromkeys(nodes, 0)
    for child in children:
        if child.cell is not None and child.node in load:
            load[child.node] += child.spec.weight
    return load


def seat(child: Child, nodes: Iterable[NodeView], cells: Iterable[Cell]) -> str | None:
    """Return the node where a waiting child runs next, or None when no node fits now.

    While the predecessor's process may live, the child runs on that node or nowhere, because only there the successor
    can make sure that the process is gone. Afterwards the child stays on that node if it may.
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
    """Take the oldest spare that was made for this kind of role, or the oldest of all."""
    made_for = [cell for cell in spares if cell.trading is trading]
    chosen = (made_for or spares)[0]
    spares.remove(chosen)
    return chosen


def fits(spec: ChildSpec, node: NodeView) -> bool:
    """Whether a child may run there at all."""
    if spec.node is not None:
        return node.node == spec.node
    return all(node.labels.get(key) == value for key, value in spec.labels)
