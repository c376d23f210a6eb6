"""What the supervisor knows of one mesh, and the changes that every decision is made of. Pure.

The state has children (roles that must run), cells (processes), nodes and routes. A change adds its effects to
`_effects`. The module `machine` decides which changes an event needs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

from ...model.address import Route, agent_address, book_of, replica_of
from ...model.errors import InvalidTransition
from ...model.time import in_ns
from .balancer import Balancer
from .child import ChildSpec
from .escalations import Past
from .events import (
    AdoptCell,
    Effect,
    KillCell,
    StopCell,
)
from .handover import Handovers
from .placement import NodeView, fits
from .records import Cell, CellState, Child, ChildState
from .rolling import Rolling
from .routes import RouteTable
from .settings import TreeSettings


class TreeState:
    """The state of one mesh under one supervisor epoch."""

    def __init__(
        self,
        epoch: int,
        settings: TreeSettings,
        name_cell: Callable[[], str],
        past: Mapping[str, Past] | None = None,
        identities: Mapping[str, str] | None = None,
    ) -> None:
        """`past` and `identities` are what an earlier supervisor stored: see `escalations` and `homes`."""
        self.settings = settings
        self.routes = RouteTable(epoch)
        self.nodes: dict[str, Mapping[str, str]] = {}
        self.hosts: dict[str, str] = {}  # node -> name of its host; also of lost nodes that children name
        self.identities: dict[str, str] = dict(identities or {})  # node -> identity of its host, where it is known
        self.cells: dict[str, Cell] = {}
        self.children: dict[str, Child] = {}
        self.rolling = Rolling(in_ns(settings.ready_timeout_s))
        self.handovers = Handovers(in_ns(settings.ready_timeout_s))
        self.drained: frozenset[str] = frozenset()  # names of hosts, or ids of nodes
        self.suspected: frozenset[str] = frozenset()  # living nodes that do not answer
        self._promised: frozenset[str] = frozenset()  # see `Suspected`, for this and the next one
        self.given_up: frozenset[str] = frozenset()
        self.earlier: set[str] = set()  # books that serve with the settings from before a change
        self.retiring: set[str] = set()  # replicas that are not wanted, and serve until their book can replace them
        self._rescue_failed_ns: dict[str, int] = {}  # when a successor of a child on a suspected node failed last
        self._balancer = Balancer(in_ns(settings.balance_after_s), in_ns(settings.balance_every_s))
        self.ending = False
        self._ends_by_ns: int | None = None  # everything must end, from then on at the latest
        self.isolated_ns: int | None = None  # since when this supervisor lacks its majority
        self._epoch = epoch
        self._counter = itertools.count(1)
        self._orders = itertools.count(1)
        self._name_cell = name_cell
        self._effects: list[Effect] = []
        self._adopting_ns: dict[str, int] = {}  # node -> start of the last adoption there
        self.create_errors: dict[str, str] = {}  # node -> why the last process there did not start
        self._past = dict(past or {})  # children that ended too often under an earlier supervisor
        self._urgency: list[Child] | None = None  # see `_by_urgency`; None: the children have changed

    @property
    def homes(self) -> dict[str, str]:
        """The identities of the hosts of pinned children, by node; stored for a later supervisor."""
        pinned = {child.spec.node for child in self.children.values() if child.spec.pinned}
        return {node: identity for node, identity in self.identities.items() if node in pinned}

    def view(self, node: str) -> NodeView:
        """Return a living node with what decides whether a child may run there."""
        return NodeView(node, self.nodes[node], formerly=self._formerly(node))

    def _may_run(self, spec: ChildSpec, node: str) -> bool:
        """Return whether a child may run on a living node; cheaper than by `view` for one that is not pinned."""
        return fits(spec, self.view(node) if spec.pinned else NodeView(node, self.nodes[node]))

    @property
    def drained_nodes(self) -> frozenset[str]:
        """The living nodes that are drained."""
        return frozenset(node for node in self.nodes if node in self.drained or self.hosts.get(node) in self.drained)

    @property
    def open_nodes(self) -> dict[str, Mapping[str, str]]:
        """The labels of the living nodes that take children."""
        closed = self.closed_nodes
        return {node: labels for node, labels in self.nodes.items() if node not in closed}

    @property
    def closed_nodes(self) -> frozenset[str]:
        """The living nodes that take no children: they are drained, or do not answer."""
        return self.drained_nodes | self.suspected

    @property
    def answering_nodes(self) -> frozenset[str]:
        """The living nodes that are not suspected."""
        return frozenset(self.nodes.keys() - self.suspected)

    def _formerly(self, node: str) -> frozenset[str]:
        identity = self.identities.get(node)
        lost = (old for old, known in self.identities.items() if known == identity and old not in self.nodes)
        return frozenset(lost) if identity else frozenset()

    def nodes_of(self, address: str) -> frozenset[str]:
        """Return the nodes where a child of this address runs or will run."""
        child, successor = self.children.get(address), self.handovers.get(address)
        runs = child.node if child is not None and child.cell is not None else None
        return frozenset(filter(None, (runs, successor.node if successor is not None else None)))

    @property
    def awaited(self) -> list[str]:
        """The children of which the readiness decides something now: the one that is restarted in turn, those with a
        successor, and both copies of a book whose replica retires."""
        copies = (one for address in self.retiring for one in (address, self.children[address].spec.apart))
        found = (self.rolling.head, *(one.address for one in self.handovers), *copies)
        return list(dict.fromkeys(filter(None, found)))

    @property
    def _holds(self) -> bool:
        """Whether the machine decides nothing now."""
        return self.isolated_ns is not None and not self.ending

    def _identify(self, node: str, identity: str) -> None:
        if identity:
            self.identities[node] = identity

    def _child_of(self, cell: Cell) -> Child | None:
        child = self.children.get(cell.address) if cell.address is not None else None
        return child if child is not None and child.cell == cell.name else None

    def _by_urgency(self) -> list[Child]:
        """Return all children, those of the first tiers first, each tier in the order in which they were wanted."""
        if self._urgency is None:
            self._urgency = sorted(self.children.values(), key=lambda c: (c.spec.tier.value, c.order))
        return self._urgency

    def _in_turn(self) -> Iterator[Child]:
        """Yield all children by urgency. A redundant book of which the other copy serves comes last: no reader waits
        for it."""
        later: list[Child] = []
        for child in self._by_urgency():
            if child.spec.apart and self._is_covered(child):
                later.append(child)
            else:
                yield child
        yield from later

    def _is_covered(self, child: Child) -> bool:
        """Return whether the other copy of a redundant book serves, on a node that answers."""
        other = self.children.get(child.spec.apart)
        return other is not None and other.state is ChildState.SERVING and other.node not in self.suspected

    def _add(self, child: Child) -> Child:
        self.children[child.spec.address], self._urgency = child, None
        return child

    def _drop(self, address: str) -> None:
        child = self.children.pop(address, None)
        self._urgency = None
        self.earlier.discard(address)
        self.retiring.discard(address)
        if child is not None:
            self._unroute(child)

    def _forget(self, cell: Cell) -> None:
        del self.cells[cell.name]

    def _kill(self, cell: Cell, now_ns: int) -> None:
        cell.state = CellState.KILLING
        cell.deadline_ns = now_ns + in_ns(self.settings.kill_timeout_s)
        agent = self.children.get(agent_address(cell.node))
        serving = agent is not None and agent.state is ChildState.SERVING and agent.cell != cell.name
        by = agent.cell if agent is not None and serving else None
        if not self._holds:  # if it does, the deadline passes after this supervisor has rejoined
            self._effects.append(KillCell(cell.name, cell.node, cell.pid, cell.start, by))

    def _end(self, cell: Cell, shutdown_s: float, now_ns: int, final: bool = False) -> None:
        """Stop the role of a cell politely; the cell is killed if it does not end in time. See `StopCell`."""
        cell.state, cell.deadline_ns = CellState.STOPPING, now_ns + in_ns(shutdown_s + 0.5)
        self._effects.append(StopCell(cell.name, shutdown_s, final))

    def _adopt(self, child: Child, cell: Cell, now_ns: int) -> None:
        before = child.predecessor
        predecessor = before[1:] if before is not None and before[0] == cell.node and before[1] else None
        child.incarnation = self._assign(cell, child, child.restarts, predecessor, now_ns)
        child.state, child.cell, child.node = ChildState.STARTING, cell.name, cell.node
        child.ready, child.settled, child.move_to = None, None, None
        self.earlier.discard(child.spec.address)

    def _assign(
        self, cell: Cell, child: Child, restarts: int, predecessor: tuple[int, int] | None, now_ns: int
    ) -> tuple[int, int]:
        """Let a spare start a new incarnation of a child; return the incarnation."""
        incarnation = (self._epoch, next(self._counter))
        cell.state, cell.address, cell.incarnation = CellState.ADOPTING, child.spec.address, incarnation
        cell.tier = child.spec.tier
        cell.deadline_ns = now_ns + in_ns(self.settings.adopt_timeout_s)
        self._adopting_ns[cell.node] = now_ns
        self._effects.append(AdoptCell(cell.name, incarnation, child.spec, restarts, predecessor))
        return incarnation

    def _route(self, child: Child) -> None:
        if child.cell is None or child.incarnation is None or child.node is None:
            raise InvalidTransition(child.state.value, f"routing {child.spec.address}, which has no cell")
        address = child.spec.address
        wanted = dict(child.spec.serves)
        wanted.setdefault(address, None)
        for served in list(wanted):
            book = book_of(served)
            route = self.routes.get(book)
            if route is None or route.child == address:  # a replica stands in for a book that has no route
                wanted.setdefault(book, wanted[served])
        for route in [r for r in self.routes if r.child == address and r.address not in wanted]:
            self.routes.remove(route.address)
        for served, instrument in wanted.items():
            self.routes.set(Route(served, address, child.cell, child.node, child.incarnation, instrument))

    def _unroute(self, child: Child) -> None:
        served = {child.spec.address, *(address for address, _ in child.spec.serves)}
        for address in sorted(served | set(map(book_of, served))):
            route = self.routes.get(address)
            if route is not None and route.child == child.spec.address:
                self.routes.remove(address)
        replica = self.children.get(replica_of(child.spec.address))
        if replica is not None and replica is not child and replica.state is ChildState.SERVING:
            self._route(replica)
