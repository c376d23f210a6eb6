"""When books move between nodes by themselves, such as after a host joined. Pure.

The limits: only books move, one at a time, and each serves until its successor is LIVE. Nothing moves unless every
child has served, and the nodes have been the same, for `balance_after_s`. And nothing moves unless a node has more
pairs than another that may run one of its books: more than two such books, and more than a quarter of the mean load. So
a mesh in trouble, or one that is nearly even, is left alone. The command `rebalance` makes it even at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .moves import OF_A_NODE, Move, balance, loads_of
from .records import Child, ChildState

SLACK = 0.25  # of the mean load: a smaller difference is not worth a new connection to the exchange
FEWEST = 2  # books of the same weight


@dataclass(slots=True)
class Balancer:
    """`after_ns`: how long the mesh must have been calm; `again_ns`: between two looks. Times are monotonic ns."""

    after_ns: int
    again_ns: int
    _nodes: frozenset[str] = frozenset()
    _calm_ns: int | None = None  # since when the mesh is calm
    _looked_ns: int = 0

    def disturbed(self) -> None:
        """A child ended by itself: the mesh must be calm for the whole time again."""
        self._calm_ns = None

    def is_due(self, now_ns: int) -> bool:
        """Return whether it is time for the next look."""
        return now_ns - self._looked_ns >= self.again_ns

    def next_move(
        self,
        children: Iterable[Child],
        nodes: Mapping[str, Mapping[str, str]],
        failed_lately: Callable[[str], bool],
        now_ns: int,
    ) -> Move | None:
        """Return the book that moves now. `nodes`: labels of the nodes that take children; `failed_lately`: whether a
        move of this book failed, so that another one moves."""
        self._looked_ns = now_ns
        if self._nodes != nodes.keys():
            self._nodes, self._calm_ns = frozenset(nodes), None
        if len(nodes) < 2:
            return None
        own = [child for child in children if child.spec.tier not in OF_A_NODE]
        if not all(map(_is_calm, own)):
            self._calm_ns = None
            return None
        self._calm_ns = now_ns if self._calm_ns is None else self._calm_ns
        if now_ns - self._calm_ns < self.after_ns:
            return None
        loads = loads_of(own, nodes)
        mean = sum(loads.values()) / len(loads)
        able = [child for child in own if not failed_lately(child.spec.address)]
        move = next(iter(balance(able, nodes, most=1, loads=loads)), None)
        if move is None or loads[move.source] - loads[move.target] <= max(FEWEST * move.weight, SLACK * mean):
            return None
        return move


def _is_calm(child: Child) -> bool:
    return child.state is ChildState.SERVING and not child.restarting
