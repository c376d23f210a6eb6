"""Where a child shall run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .child import ChildSpec


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as placement sees it: labels, the weight it carries already, spares ready to adopt."""

    node: str
    labels: Mapping[str, str] = field(default_factory=dict)
    load: int = 0
    spares: int = 0


def choose(spec: ChildSpec, nodes: Iterable[NodeView], last: str | None = None) -> str | None:
    """Return the node for `spec`, or None when none fits now.

    A pinned child goes to its node or nowhere. Else the node must carry all its labels; the one it ran on last is
    kept (its readers are there); else the least loaded, then the one with most spares, then by id.
    """
    fitting = [node for node in nodes if _fits(spec, node)]
    if not fitting:
        return None
    if any(node.node == last for node in fitting):
        return last
    return min(fitting, key=lambda node: (node.load, -node.spares, node.node)).node


def _fits(spec: ChildSpec, node: NodeView) -> bool:
    if spec.node is not None:
        return node.node == spec.node
    return all(node.labels.get(key) == value for key, value in spec.labels)
