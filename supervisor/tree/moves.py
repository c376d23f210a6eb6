"""Where running children should move: away from drained and silent nodes, and from loaded nodes to others. Pure.

Only children of an exchange move: agents, mirrors and links belong to their nodes. The load of a node is the weight of
its books, which is the number of their pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from .child import ChildSpec, Tier
from .placement import NodeView, Seats, fits
from .records import Child, ChildState

OF_A_NODE = (Tier.AGENT, Tier.MIRROR, Tier.LINK)
# Labels, weight, and the node of the other copy if the book is redundant: books that are alike for the plan
_Kind = tuple[tuple[tuple[str, str], ...], int, str]


@dataclass(frozen=True, slots=True)
class Move:
    address: str
    source: str
    target: str
    weight: int = 1


def obstacle(spec: ChildSpec, node: NodeView, drained: bool = False, others: Collection[str] = ()) -> str | None:
    """Return why a child cannot move to a node; None: it can. `others`: nodes of the other copy of a redundant book."""
    if spec.tier in OF_A_NODE:
        return "it belongs to its node"
    if spec.node is not None and not fits(spec, node):
        return spec.pinned or "it is configured to run on one node"
    if not fits(spec, node):
        return f"the node does not have the labels {dict(spec.labels)}"
    if node.node in others:
        return f"the node runs {spec.apart}, the other copy of this book"
    return "the node is drained" if drained else None


def stuck(
    spec: ChildSpec, nodes: Mapping[str, NodeView], drained: Collection[str], others: Collection[str] = ()
) -> str | None:
    """Return why a child cannot leave the drained nodes; None: another node takes it. `others`: see `obstacle`."""
    if any(obstacle(spec, view, node in drained, others) is None for node, view in nodes.items()):
        return None
    if any(obstacle(spec, view, node in drained) is None for node, view in nodes.items()):
        return f"every other node that fits runs {spec.apart}, the other copy of this book"
    if spec.tier in OF_A_NODE:
        return "it belongs to its node"
    if spec.node is not None:
        return spec.pinned or "it is configured to run on one node"
    return f"no other node has the labels {dict(spec.labels)}" if spec.labels else "there is no other node"


def evacuation(children: Iterable[Child], seats: Seats, drained: Collection[str]) -> Move | None:
    """Return the next move away from the drained nodes; None: nothing there can move. `seats` are all nodes.

    Books go first, because they move without a gap.
    """
    there = [c for c in children if c.node in drained and c.state is ChildState.SERVING and c.wanted]
    for child in sorted(there, key=lambda c: (-c.spec.tier.value, c.order)):
        if child.spec.tier in OF_A_NODE or child.spec.node is not None or child.node is None:
            continue
        target = seats.choose(child.spec)
        if target is not None:
            return Move(child.spec.address, child.node, target)
    return None


def stranded(
    children: Iterable[Child], silent: Collection[str], promised: Collection[str] = (), given_up: Collection[str] = ()
) -> list[Child]:
    """Return what runs on silent nodes and may run elsewhere, too: books and promised rate budgets, and accounts and
    catalogs of nodes that are given up."""
    return [
        child
        for child in children
        if child.node in silent and child.spec.node is None and child.wanted
        if child.spec.overlaps or child.spec.address in promised or (child.spec.can_be_left and child.node in given_up)
        if child.state is ChildState.SERVING and child.cell is not None
    ]


def balance(
    children: Iterable[Child],
    nodes: Mapping[str, Mapping[str, str]],
    most: int | None = None,
    loads: Mapping[str, int] | None = None,
) -> list[Move]:
    """Return the moves of books, at most `most`, that spread them over `nodes` (labels by node; none is drained).

    `loads`: the loads of the nodes, if `children` are not all that run there.

    Each move goes from the most loaded node to the least loaded one that fits, as long as it brings both nearer to each
    other. So books of one pair end within one of each other, where labels permit it.
    """
    children = list(children)
    loads = dict(loads_of(children, nodes) if loads is None else loads)
    books: dict[str, dict[_Kind, list[str]]] = {node: defaultdict(list) for node in nodes}
    at = {child.spec.address: child.node or "" for child in children}
    specs: dict[str, ChildSpec] = {}
    for child in sorted(children, key=lambda c: c.order, reverse=True):
        spec = child.spec
        if not spec.overlaps or child.node not in loads or child.cell is None or not child.wanted:
            continue
        if spec.node is None:
            specs[spec.address] = spec
            books[child.node][spec.labels, spec.weight, at.get(spec.apart, "")].append(spec.address)
    moves: list[Move] = []
    while (most is None or len(moves) < most) and (step := _step(loads, books, nodes)) is not None:
        kind, source, target = step
        address = books[source][kind].pop(0)
        books[target][kind].append(address)
        at[address] = target
        if (other := specs.get(specs[address].apart)) is not None and at[other.address] in books:
            alike = books[at[other.address]]
            alike[other.labels, other.weight, source].remove(other.address)
            alike[other.labels, other.weight, target].append(other.address)
        loads[source] -= kind[1]
        loads[target] += kind[1]
        moves.append(Move(address, source, target, kind[1]))
    return moves


def _step(
    loads: Mapping[str, int], books: Mapping[str, Mapping[_Kind, list[str]]], nodes: Mapping[str, Mapping[str, str]]
) -> tuple[_Kind, str, str] | None:
    """Return the best move from the most loaded node that has one."""
    for source in sorted(loads, key=lambda node: (-loads[node], node)):
        found: list[tuple[int, _Kind, str]] = []
        for kind, addresses in books[source].items():
            labels, weight, apart = kind
            fitting = [
                n for n, own in nodes.items() if n != apart and all(own.get(key) == value for key, value in labels)
            ]
            target = min(fitting, key=lambda node: (loads[node], node), default=source)
            gain = weight * (loads[source] - loads[target] - weight)  # half of the fall of the sum of squares
            if addresses and gain > 0:
                found.append((gain, kind, target))
        if found:
            _, kind, target = max(found, key=lambda one: (one[0], one[1]))
            return kind, source, target
    return None


def loads_of(children: Iterable[Child], nodes: Iterable[str]) -> dict[str, int]:
    """Return the load of each node."""
    loads = dict.fromkeys(nodes, 0)
    for child in children:
        if child.spec.overlaps and child.cell is not None and child.node in loads:
            loads[child.node] += child.spec.weight
    return loads
