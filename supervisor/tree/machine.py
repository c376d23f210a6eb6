"""The tree as a state machine: events in, effects out, time an argument. No Ray, no clock, no I/O.

Theory of operation. The machine knows *children* (roles that must run, named by address) and *cells* (processes; each
can run one role, once). Events change records. After each event `_reconcile` compares children and cells and returns
the effects that are needed: a waiting child takes a spare of its node at once, and cells are created, a few at a time
per node, until every node has a cell for each waiting child and `spares_per_node` more. So the next tick repairs a lost
effect or a reordered event.

    child  WAITING -> STARTING -> SERVING        BACKOFF and DEGRADED wait for a time and become WAITING
           SERVING -> KILLING when it hangs
           SERVING -> STOPPING -> WAITING (restart asked) or gone (untracked, shutdown)
           SERVING -> SERVING in another cell, when a successor takes over (`handover`)
           any end -> policy.decide -> WAITING, BACKOFF, DEGRADED or STOPPED
    cell   CREATING -> SPARE -> ADOPTING -> SERVING -> (STOPPING | KILLING) -> gone
           SERVING -> LEAVING -> STOPPING after a successor took over

An order manager imports the journal's database library, which takes a third of a second and 17 MB; no other role needs
the library. So a node where accounts may run keeps one more spare, which has already imported it. Any spare can run any
role; if a node has both kinds, order managers take the prepared spare and other roles take an ordinary one.

A cell whose adoption is not confirmed in time is killed and never used again. The agent of the node kills a hung cell
before a successor is adopted. If the agent cannot (because the agent itself hangs or does not answer), the successor is
adopted on the same node and kills its `predecessor` before it starts.

A node whose processes all stay silent is suspected, long before the GCS declares it lost. Its books start on other
nodes too, and take over there (`handover`), and so do rate budgets that have promised how little they grant from now on
(`actors.limits.promises`). Everything else waits until the node answers or is lost, because two order managers must not
run. Nothing starts on a suspected node.

While the supervisor is isolated (`quorum`) the machine records what happened and decides nothing: it judges no cell
hung, lets no deadline pass, and kills, creates and adopts nothing. Deadlines continue when it has rejoined. A shutdown
continues, because its caller has decided it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ...model.address import AGENT, Route, agent_address, book_of, replica_of
from ...model.errors import InvalidTransition
from ...model.time import in_ns
from . import policy as policies
from .balancer import Balancer
from .child import ChildSpec, Tier
from .escalations import Past
from .events import (
    AdoptCell,
    Adopted,
    Amend,
    CellCreated,
    Create,
    CreateFailed,
    Degraded,
    Died,
    Discard,
    Drained,
    Effect,
    Event,
    Failed,
    Followed,
    Found,
    HandedOver,
    Hung,
    Isolated,
    KillCell,
    KillFailed,
    MovesRequested,
    NodeLost,
    NodeSeen,
    Readiness,
    Rejoined,
    RestartRequested,
    RunChildren,
    ShutDown,
    StopCell,
    StopChildren,
    Suspected,
    Sweep,
    Tick,
    UpgradeRequested,
)
from .handover import Handovers, Successor
from .moves import evacuation, stranded
from .placement import NodeView, Seats, fits, pick
from .policy import Exit
from .records import Cell, CellState, Child, ChildState
from .rolling import Rolling, Task
from .routes import RouteTable
from .settings import TreeSettings

_CREATING_AT_END_S = 10.0
RESCUE_AGAIN_S = 5.0  # before another successor of a child on a suspected node starts
_VERDICTS = (Hung, KillFailed)  # events that judge a cell which may be alive
_CALM_NS = 500_000_000  # pause between an adoption and the replacement of its spare, while the node has another spare


def _runs(spec: ChildSpec) -> tuple[object, ...]:
    """Return the part of a spec that cannot change without a restart."""
    return spec.kind, spec.config, spec.node, spec.labels


class Machine:
    """The tree of one mesh under one supervisor epoch."""

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
        self._promised: frozenset[str] = frozenset()  # see `Suspected`
        self._rescue_failed_ns: dict[str, int] = {}  # when a successor of a child on a suspected node failed last
        self._balancer = Balancer(in_ns(settings.balance_after_s), in_ns(settings.balance_every_s))
        self.ending = False
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

    @property
    def ended(self) -> bool:
        """Whether a shutdown is complete: no child and no cell of the mesh is left."""
        return self.ending and not self.cells

    def on(self, event: Event, now_ns: int) -> list[Effect]:
        """Advance by one event and return the effects, in order: adoptions first."""
        self._effects = []
        if self._holds and isinstance(event, _VERDICTS):
            return []
        _HANDLERS[type(event)](self, event, now_ns)
        self._reconcile(now_ns)
        return sorted(self._effects, key=lambda effect: not isinstance(effect, AdoptCell))  # urgent effects first

    # --- nodes and cells ----------------------------------------------------------------------------------------------

    def _node_seen(self, event: NodeSeen, now_ns: int) -> None:
        known = event.node in self.nodes
        self.nodes[event.node] = dict(event.labels)
        self.hosts[event.node] = event.host
        if not known and not self.ending:
            address = agent_address(event.node)
            if address not in self.children:
                spec = ChildSpec(address, AGENT, self.settings.agent, group=AGENT, tier=Tier.AGENT, node=event.node)
                self._add(Child(spec, next(self._orders)))

    def _suspect(self, event: Suspected, now_ns: int) -> None:
        self.suspected, self._promised = event.nodes & self.nodes.keys(), event.promised
        if not self.suspected:
            self._rescue_failed_ns.clear()
        for successor in self.handovers:
            if successor.rescue and self.children[successor.address].node not in self.suspected:
                self._drop_successor(successor.address, now_ns)

    def _node_lost(self, event: NodeLost, now_ns: int) -> None:
        self.nodes.pop(event.node, None)
        self.suspected -= {event.node}
        self._adopting_ns.pop(event.node, None)
        self.create_errors.pop(event.node, None)
        for cell in [cell for cell in self.cells.values() if cell.node == event.node]:
            self._forget(cell)
            self._effects.append(Discard(cell.name))
            self._child_ended(cell, Exit.NODE_LOST, "its node was lost", now_ns)
        for address, child in list(self.children.items()):
            if child.spec.node == event.node and not child.spec.pinned:
                self._drop(address)
        for successor in self.handovers:
            if successor.node == event.node:
                self._drop_successor(successor.address, now_ns, "its node was lost")
        named = self.nodes.keys() | {n for child in self.children.values() for n in (child.node, child.spec.node)}
        self.identities = {node: known for node, known in self.identities.items() if node in named}
        self.hosts = {node: host for node, host in self.hosts.items() if node in named}

    def _cell_created(self, event: CellCreated, now_ns: int) -> None:
        cell = self.cells.get(event.cell)
        if cell is None:
            self._effects.append(Discard(event.cell))
            return
        cell.pid, cell.start, cell.version = event.pid, event.start, event.version
        self.create_errors.pop(cell.node, None)
        self._identify(cell.node, event.identity)
        if cell.state is CellState.CREATING:
            cell.state, cell.deadline_ns = CellState.SPARE, None
            if cell.outdated:
                self._end(cell, self.settings.leave_s, now_ns)

    def _identify(self, node: str, identity: str) -> None:
        if identity:
            self.identities[node] = identity

    def _create_failed(self, event: CreateFailed, now_ns: int) -> None:
        cell = self.cells.get(event.cell)
        if cell is not None and cell.state is CellState.CREATING:
            self.create_errors[cell.node] = event.error
            self._forget(cell)
            self._effects.append(Discard(cell.name))

    def _adopted(self, event: Adopted, now_ns: int) -> None:
        cell = self.cells.get(event.cell)
        if cell is None or cell.state is not CellState.ADOPTING or cell.address is None:
            return
        cell.state, cell.deadline_ns = CellState.SERVING, None
        if (successor := self.handovers.of(cell)) is not None:
            successor.serves, successor.since_ns = True, now_ns
            return
        child = self.children[cell.address]
        if child.predecessor is not None:
            self._effects.append(Sweep(cell.node))
        child.state, child.predecessor, child.served_once = ChildState.SERVING, None, True
        child.history = child.history.served(now_ns)
        child.restarting = False
        self._route(child)

    def _failed(self, event: Failed, now_ns: int) -> None:
        cell = self.cells.get(event.cell)
        if cell is not None and cell.state is not CellState.KILLING:
            self._kill(cell, now_ns)
            self._child_ended(cell, Exit.DIED, event.error, now_ns)

    def _died(self, event: Died, now_ns: int) -> None:
        cell = self.cells.get(event.cell)
        if cell is None:
            return
        self._forget(cell)
        self._effects.append(Sweep(cell.node))
        was_killed = cell.state is CellState.KILLING  # the reason of the kill is known already
        error = None if was_killed else event.error or f"its process {cell.pid} was killed from outside or crashed"
        self._child_ended(cell, Exit.DIED, error, now_ns)

    def _hung(self, event: Hung, now_ns: int) -> None:
        cell = self.cells.get(event.cell)
        if cell is None or cell.state in (CellState.CREATING, CellState.KILLING):
            return
        child = self._child_of(cell)
        is_agent = child is not None and child.spec.tier is Tier.AGENT
        if child is None or self._has_successor(child):
            self._kill(cell, now_ns)
            self._child_ended(cell, Exit.HUNG, "its loop did not run; killed", now_ns)
            return
        child.last_error = "its loop did not run; killed"
        self._drop_successor(child.spec.address, now_ns)
        self._unroute(child)
        if child.state is not ChildState.STOPPING:
            child.state = ChildState.KILLING
        self._kill(cell, now_ns)
        if is_agent:  # only its successor can kill it
            self._child_ended(cell, Exit.HUNG, None, now_ns)

    def _kill_failed(self, event: KillFailed, now_ns: int) -> None:
        cell = self.cells.get(event.cell)
        if cell is None or cell.state is not CellState.KILLING:
            return
        if self._child_of(cell) is not None:
            self._child_ended(cell, Exit.HUNG, "it hung and no agent could kill it", now_ns)
        self._effects.append(Discard(cell.name))

    def _found(self, event: Found, now_ns: int) -> None:
        cell = Cell(event.cell, event.node, CellState.SPARE, None, event.pid, event.start, trading=event.trading)
        self.cells[cell.name], cell.answers, cell.version = cell, event.answers, event.version
        self._identify(cell.node, event.identity)
        if event.spec is None or event.incarnation is None:
            return
        address = event.spec.address
        rival = self.children.get(address)
        if rival is not None and rival.cell is not None and rival.incarnation is not None:
            if event.spec.overlaps:
                self._found_second(rival, cell, event, now_ns)
                return
            if rival.incarnation >= event.incarnation:
                cell.address, cell.incarnation = address, event.incarnation  # until it has ended, it may still act
                self._kill(cell, now_ns)
                return
            self._kill(self.cells[rival.cell], now_ns)
        cell.state, cell.address, cell.incarnation = CellState.SERVING, address, event.incarnation
        child = Child(event.spec, next(self._orders) if rival is None else rival.order)
        child.state, child.cell, child.node = ChildState.SERVING, cell.name, cell.node
        child.incarnation, child.restarts = event.incarnation, event.restarts
        if (past := self._past.pop(address, None)) is not None:
            child.history = past.history(self.settings.policy, now_ns)
        self._add(child)
        if not event.serving:  # the adoption was never confirmed
            self._kill(cell, now_ns)
            self._child_ended(cell, Exit.DIED, "its adoption was interrupted", now_ns)
            return
        child.served_once, child.history = True, child.history.served(now_ns)
        self._route(child)

    def _found_second(self, child: Child, cell: Cell, event: Found, now_ns: int) -> None:
        """Continue the handover of an earlier supervisor: the older of two cells serves until the newer is ready."""
        cell.state, cell.address, cell.incarnation = CellState.SERVING, child.spec.address, event.incarnation
        known = self.handovers.get(child.spec.address)
        cells = {child.cell, cell.name, known.cell if known is not None else child.cell}
        alive = sorted((self.cells[name] for name in cells if name), key=lambda one: one.incarnation or (0, 0))
        first, last = alive[0], alive[-1]
        for one in alive:
            if one is not first and (one is not last or not event.serving):
                self._kill(one, now_ns)
        if not event.serving:  # an adoption that was never confirmed; the others are as before
            return
        if last is cell and event.spec is not None:
            child.spec = event.spec
        child.restarts = event.restarts if first is cell else max(0, event.restarts - 1)
        hangs = last.answers and not first.answers  # it may have been replaced already, and hang while it leaves
        serving = last if hangs else first
        child.cell, child.node, child.incarnation = serving.name, serving.node, serving.incarnation
        self._route(child)
        if hangs:
            self._kill(first, now_ns)
            self.handovers.take(child.spec.address)
            return
        successor = Successor(child.spec.address, last.node, now_ns, cell=last.name, incarnation=last.incarnation)
        successor.serves = True
        self.handovers.add(successor)

    # --- wishes -------------------------------------------------------------------------------------------------------

    def _run_children(self, event: RunChildren, now_ns: int) -> None:
        if self.ending:
            return
        self.routes.bump()
        for spec in event.specs:
            child = self.children.get(spec.address)
            if child is None:
                child = self._add(Child(spec, next(self._orders)))
                if (past := self._past.pop(spec.address, None)) is not None:
                    past.resume(child)
                continue
            changed = _runs(child.spec) != _runs(spec)
            was_wanted, child.wanted = child.wanted, True
            child.spec = spec
            if child.state is ChildState.STOPPED or not was_wanted:
                child.restarting = child.cell is not None
                child.state = ChildState.STOPPING if child.cell is not None else ChildState.WAITING
            elif changed and child.cell is not None:
                self._stop(child, now_ns, restart=True)
            elif child.state is ChildState.SERVING:
                self._route(child)

    def _amend(self, event: Amend, now_ns: int) -> None:
        child = self.children.get(event.spec.address)
        self.routes.bump()
        if child is not None:
            child.spec = event.spec
            if child.state is ChildState.SERVING:
                self._route(child)
            if (successor := self._drop_successor(event.spec.address, now_ns)) is not None:
                self._begin_handover(child, successor.node, now_ns)  # again, with the change

    def _stop_children(self, event: StopChildren, now_ns: int) -> None:
        self.routes.bump()
        for address in event.addresses:
            child = self.children.get(address)
            if child is None:
                continue
            child.wanted = False
            if child.cell is None:
                self._drop(address)
            else:
                self._stop(child, now_ns, restart=False)

    def _restart_asked(self, event: RestartRequested, now_ns: int) -> None:
        self.rolling.ask(address for address in event.addresses if address in self.children)

    def _upgrade_asked(self, event: UpgradeRequested, now_ns: int) -> None:
        for cell in self.cells.values():
            cell.outdated = True
            if cell.state is CellState.SPARE:
                self._end(cell, self.settings.leave_s, now_ns)
        self.rolling.ask([child.spec.address for child in self._by_urgency()])

    def _moves_asked(self, event: MovesRequested, now_ns: int) -> None:
        known = {address: node for address, node in event.nodes.items() if address in self.children}
        self.rolling.ask(known, known, event.independent)

    def _drain(self, event: Drained, now_ns: int) -> None:
        self.drained = frozenset(event.hosts)

    def _followed(self, event: Followed, now_ns: int) -> None:
        cell = self.cells.get(event.cell)
        if cell is not None and cell.state is CellState.LEAVING:
            cell.deadline_ns = min(cell.deadline_ns or now_ns, now_ns + in_ns(self.settings.leave_s))

    def _readiness(self, event: Readiness, now_ns: int) -> None:
        cell = self.cells.get(event.cell)
        child = self._child_of(cell) if cell is not None else None
        if child is not None and child.state is ChildState.SERVING:
            child.ready, child.settled = event.is_ready, event.settled
            successor = self.handovers.get(child.spec.address)
            if successor is not None:
                successor.owed = event.settled | (successor.owed or frozenset())
        elif cell is not None and (successor := self.handovers.of(cell)) is not None:
            successor.report(event.is_ready, event.settled, event.paced, now_ns)

    def _shut_down(self, event: ShutDown, now_ns: int) -> None:
        if not self.ending:
            for cell in self.cells.values():
                if cell.state is CellState.CREATING:  # wait until it exists, then stop it like any other cell
                    cell.deadline_ns = now_ns + in_ns(_CREATING_AT_END_S)
        self.ending = True
        self.rolling.clear()
        for successor in self.handovers:
            self._drop_successor(successor.address, now_ns)
        for cell in self.cells.values():
            if cell.state is CellState.LEAVING:
                self._end(cell, self.settings.leave_s, now_ns)

    @property
    def _holds(self) -> bool:
        """Whether the machine decides nothing now."""
        return self.isolated_ns is not None and not self.ending

    def _isolated(self, event: Isolated, now_ns: int) -> None:
        if self.isolated_ns is None:
            self.isolated_ns = now_ns

    def _rejoined(self, event: Rejoined, now_ns: int) -> None:
        if self.isolated_ns is not None:
            for cell in self.cells.values():
                if cell.deadline_ns is not None:
                    cell.deadline_ns += now_ns - self.isolated_ns
            for successor in self.handovers:
                successor.since_ns += now_ns - self.isolated_ns
            self.isolated_ns = None

    def _tick(self, event: Tick, now_ns: int) -> None:
        if self._holds:
            return
        for cell in list(self.cells.values()):
            if cell.deadline_ns is None or now_ns < cell.deadline_ns:
                continue
            cell.deadline_ns = None
            if cell.state is CellState.CREATING:
                self._create_failed(CreateFailed(cell.name, "not created in time"), now_ns)
            elif cell.state is CellState.ADOPTING:
                self._kill(cell, now_ns)
                self._child_ended(cell, Exit.HUNG, "adoption was not confirmed in time", now_ns)
            elif cell.state is CellState.LEAVING:
                child = self.children.get(cell.address or "")
                self._end(cell, self.settings.leave_s if child is None else child.spec.shutdown_s, now_ns)
            elif cell.state is CellState.STOPPING:
                self._kill(cell, now_ns)
            elif cell.state is CellState.KILLING:
                self._kill_failed(KillFailed(cell.name), now_ns)

    # --- what follows -------------------------------------------------------------------------------------------------

    def _child_of(self, cell: Cell) -> Child | None:
        child = self.children.get(cell.address) if cell.address is not None else None
        return child if child is not None and child.cell == cell.name else None

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

    def _stop(self, child: Child, now_ns: int, restart: bool) -> None:
        child.restarting = restart
        self._drop_successor(child.spec.address, now_ns)
        cell = self.cells.get(child.cell) if child.cell is not None else None
        if cell is None or child.state is ChildState.STOPPING:
            return
        self._unroute(child)
        child.state = ChildState.STOPPING
        if cell.state in (CellState.SERVING, CellState.ADOPTING):
            self._end(cell, child.spec.shutdown_s, now_ns)

    def _end(self, cell: Cell, shutdown_s: float, now_ns: int) -> None:
        """Stop the role of a cell politely; the cell is killed if it does not end in time."""
        cell.state, cell.deadline_ns = CellState.STOPPING, now_ns + in_ns(shutdown_s + 0.5)
        self._effects.append(StopCell(cell.name, shutdown_s))

    def _child_ended(self, cell: Cell, why: Exit, error: str | None, now_ns: int) -> None:
        child = self._child_of(cell)
        if child is None:
            if self.handovers.of(cell) is not None and cell.address is not None:
                self._drop_successor(cell.address, now_ns, f"its successor ended: {error or why.value}")
            return
        stopping = child.state is ChildState.STOPPING
        if not stopping:
            self._balancer.disturbed()
        if error is not None and not stopping:
            child.last_error = error
        if self._has_successor(child) and not stopping:
            decision = policies.decide(child.spec, why, child.history, self.settings.policy, now_ns)
            child.history = child.history if isinstance(decision, policies.Stop) else decision.history
            self._take_over(child, now_ns)
            return
        self._drop_successor(child.spec.address, now_ns)
        self._unroute(child)
        child.cell = None
        child.predecessor = None if why is Exit.NODE_LOST else (cell.node, cell.pid, cell.start)
        if not child.wanted or self.ending:
            self._drop(child.spec.address)
            return
        if stopping and child.restarting:
            child.state = ChildState.WAITING
            child.restarts += 1
            return
        match policies.decide(child.spec, why, child.history, self.settings.policy, now_ns):
            case policies.Adopt(after_ns, history):
                child.state = ChildState.BACKOFF if after_ns else ChildState.WAITING
                child.retry_ns, child.history = now_ns + after_ns, history
                child.restarts += 1
            case policies.Escalate(after_ns, history):
                child.state, child.retry_ns, child.history = ChildState.DEGRADED, now_ns + after_ns, history
                child.restarts += 1
                self._effects.append(Degraded(child.spec.address, child.last_error, after_ns))
            case policies.Stop():
                child.state = ChildState.STOPPED

    def _add(self, child: Child) -> Child:
        self.children[child.spec.address], self._urgency = child, None
        return child

    def _drop(self, address: str) -> None:
        child = self.children.pop(address, None)
        self._urgency = None
        if child is not None:
            self._unroute(child)

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

    # --- handovers ----------------------------------------------------------------------------------------------------

    def _begin_handover(self, child: Child, node: str, now_ns: int, rescue: bool = False) -> None:
        """Start a successor of a serving child on a node as soon as a process waits there."""
        self.handovers.add(Successor(child.spec.address, node, now_ns, child.settled, rescue=rescue))

    def _rescue(self, spares: dict[str, list[Cell]], now_ns: int) -> None:
        """Start successors of the books on suspected nodes."""
        there = stranded(self.children.values(), self.suspected, self._promised)
        failed_ns, again_ns = self._rescue_failed_ns, in_ns(RESCUE_AGAIN_S)
        due = [c for c in there if now_ns - failed_ns.get(c.spec.address, -again_ns) >= again_ns]
        without = [child for child in due if not self._is_rescued(child)]
        if not without:
            return
        seats = self._seats(spares)
        for child in without:
            node = seats.choose(child.spec)
            if node is not None:
                seats.put(child.spec, node)
                self._drop_successor(child.spec.address, now_ns, "its node does not answer")
                self._begin_handover(child, node, now_ns, rescue=True)

    def _is_rescued(self, child: Child) -> bool:
        """Return whether a child of a suspected node has a successor on another node."""
        successor = self.handovers.get(child.spec.address)
        if successor is None or successor.node in self.suspected:
            return False
        successor.rescue = True  # a move of this child may have begun before
        return True

    def _has_successor(self, child: Child) -> bool:
        """Return whether a successor can take over from this child now, ready or not."""
        successor = self.handovers.get(child.spec.address)
        return successor is not None and successor.cell is not None and child.wanted and not self.ending

    def _drop_successor(self, address: str, now_ns: int, failure: str | None = None) -> Successor | None:
        """End the successor of a child, if it has one; `failure` is the reason if that was not asked for."""
        successor = self.handovers.take(address, failure)
        if successor is None:
            return None
        if failure is not None:
            self._effects.append(HandedOver(address, successor.cell, failure))
            if successor.rescue:
                self._rescue_failed_ns[address] = now_ns
        cell = self.cells.get(successor.cell or "")
        if cell is not None and cell.state in (CellState.ADOPTING, CellState.SERVING):
            self._end(cell, self.settings.leave_s, now_ns)
        return successor

    def _take_over(self, child: Child, now_ns: int) -> None:
        """Put the successor of a child in its place."""
        successor = self.handovers.take(child.spec.address)
        assert successor is not None
        child.cell, child.node, child.incarnation = successor.cell, successor.node, successor.incarnation
        child.ready, child.settled = successor.ready, successor.settled
        child.predecessor, child.restarting = None, False
        child.restarts += 1
        if successor.serves:
            child.state, child.served_once = ChildState.SERVING, True
            child.history = child.history.served(now_ns)
            self._route(child)
        else:
            child.state, child.ready, child.settled = ChildState.STARTING, None, None
            self._unroute(child)
        self._effects.append(HandedOver(child.spec.address, child.cell))

    def _hand_over(self, spares: dict[str, list[Cell]], lacking: Counter[str], now_ns: int) -> None:
        """Advance every handover: start successors, let those that are ready take over, drop those that are late."""
        for successor in self.handovers:
            child = self.children[successor.address]
            if successor.may_take_over(child):
                leaving = self.cells[child.cell] if child.cell is not None else None
                self._take_over(child, now_ns)
                if leaving is not None:
                    longest_s = self.settings.leave_s if leaving.node == child.node else self.settings.follow_s
                    leaving.state, leaving.deadline_ns = CellState.LEAVING, now_ns + in_ns(longest_s)
            elif (late := self.handovers.overdue(successor, now_ns)) is not None:
                self._drop_successor(successor.address, now_ns, late)
            elif successor.cell is None and self._may_start(child, successor):
                if spares.get(successor.node):
                    cell = pick(spares[successor.node], trading=False)
                    incarnation = self._assign(cell, child, child.restarts + 1, None, now_ns)
                    successor.cell, successor.incarnation, successor.since_ns = cell.name, incarnation, now_ns
                else:
                    lacking[successor.node] += 1

    def _may_start(self, child: Child, successor: Successor) -> bool:
        """Return whether a successor may start now: its node answers and does not run the other copy of the book.
        Nothing is left of earlier ones. What it needs is not about to move away from a node that does not answer."""
        needs = (self.children.get(address) for address in child.spec.after)
        moving = any(
            other is not None and other.node in self.suspected and self.handovers.get(other.spec.address) is not None
            for other in needs
        )
        is_taken = successor.node in self.nodes_of(child.spec.apart)
        return successor.node not in self.suspected and not is_taken and not moving and self._is_alone(child)

    def nodes_of(self, address: str) -> frozenset[str]:
        """Return the nodes where a child of this address runs or will run."""
        child, successor = self.children.get(address), self.handovers.get(address)
        runs = child.node if child is not None and child.cell is not None else None
        return frozenset(filter(None, (runs, successor.node if successor is not None else None)))

    def _is_alone(self, child: Child) -> bool:
        """Return whether no earlier process of the child is left."""
        return all(cell.address != child.spec.address or cell.name == child.cell for cell in self.cells.values())

    # --- reconcile ----------------------------------------------------------------------------------------------------

    def _reconcile(self, now_ns: int) -> None:
        if self.ending:
            self._wind_down(now_ns)
            return
        if self._holds:
            return
        spares: dict[str, list[Cell]] = {node: [] for node in self.nodes}
        creating: dict[str, list[Cell]] = {node: [] for node in self.nodes}
        for cell in self.cells.values():
            if cell.state is CellState.SPARE and cell.node in spares:
                spares[cell.node].append(cell)
            elif cell.state is CellState.CREATING and cell.node in creating:
                creating[cell.node].append(cell)
        ready = spares if self.settings.spares_per_node else None
        drained = self.drained_nodes
        self._relocate(drained, spares, now_ns)
        if (task := self.rolling.step(self.children, ready, self.handovers, now_ns)) is not None:
            self._begin(task, now_ns)
        self._rescue(spares, now_ns)
        lacking = self._seat_waiting(spares, creating, now_ns)
        self._hand_over(spares, lacking, now_ns)
        managers = [one for one in self.children.values() if one.wanted and one.spec.tier is Tier.ORDERS]
        empty = self.suspected - {cell.node for cell in self.cells.values()}  # where no process could answer
        for node in self.answering_nodes | empty:
            trades = any(self._may_run(one.spec, node) for one in managers)
            wanted = 0 if node in drained else self.settings.spares_per_node
            self._replenish(node, wanted, trades, lacking[node], spares[node], creating[node], now_ns)
            if node in drained and not lacking[node]:
                for cell in spares[node]:
                    self._end(cell, self.settings.leave_s, now_ns)

    def _seat_waiting(
        self, spares: dict[str, list[Cell]], creating: dict[str, list[Cell]], now_ns: int
    ) -> Counter[str]:
        """Let spares adopt the children that are due; return how many children wait for a process, by node.

        The cost of a decision must not grow with the number of waiting children: no more get a seat than there are
        spares, and processes that may be created now.
        """
        lacking: Counter[str] = Counter()
        most = self.settings.creating_per_node
        full = sum(len(cells) >= most for cells in creating.values())  # nodes where no process may be created now
        ready = sum(map(len, spares.values()))
        seats: Seats | None = None
        for child in self._by_urgency():
            if child.state is ChildState.SERVING or not self._is_due(child, now_ns):
                continue
            if not ready and full >= len(self.nodes):
                break
            seats = seats or self._seats(spares)
            node = seats.seat(child, self.cells.values())
            if node is None or node in self.suspected:
                continue
            seats.put(child.spec, node)
            if spares[node]:
                self._adopt(child, pick(spares[node], child.spec.tier is Tier.ORDERS), now_ns)
                ready -= 1
            else:
                child.node = node
                lacking[node] += 1
                full += len(creating[node]) < most == lacking[node]
        return lacking

    def _seats(self, spares: dict[str, list[Cell]]) -> Seats:
        seats = Seats(self.nodes, self.children.values(), spares, self._formerly, self.closed_nodes)
        for successor in self.handovers:
            seats.reserve(successor.address, successor.node)
        return seats

    def _begin(self, task: Task, now_ns: int) -> None:
        """Begin to restart or to move a child."""
        child = self.children[task.address]
        node = task.node or child.node
        if child.cell is not None and child.spec.overlaps and node is not None:
            self._begin_handover(child, node, now_ns)
            return
        child.move_to = task.node
        if child.cell is not None:
            self._stop(child, now_ns, restart=True)

    def _relocate(self, drained: frozenset[str], spares: dict[str, list[Cell]], now_ns: int) -> None:
        """Let the next child leave the drained nodes, or the next book a node that has too many; one at a time."""
        if self.rolling.queue:
            return

        def failed_lately(address: str) -> bool:
            return self.rolling.failed_lately(address, in_ns(self.settings.again_s), now_ns)

        move = None
        if drained:
            due = (child for address, child in self.children.items() if not failed_lately(address))
            move = evacuation(due, self._seats(spares), drained)
        if move is None and self.settings.rebalance and self._balancer.is_due(now_ns):
            move = self._balancer.next_move(self.children.values(), self.open_nodes, failed_lately, now_ns)
        if move is not None:
            self.rolling.ask([move.address], {move.address: move.target}, independent=True)

    def _by_urgency(self) -> list[Child]:
        """Return all children, those of the first tiers first, each tier in the order in which they were wanted."""
        if self._urgency is None:
            self._urgency = sorted(self.children.values(), key=lambda c: (c.spec.tier.value, c.order))
        return self._urgency

    def _is_due(self, child: Child, now_ns: int) -> bool:
        if child.state in (ChildState.BACKOFF, ChildState.DEGRADED) and now_ns >= child.retry_ns:
            child.state = ChildState.WAITING
        if child.state is not ChildState.WAITING or not child.wanted:
            return False
        before = (self.children.get(address) for address in child.spec.after)
        return child.served_once or all(other is None or other.served_once for other in before)

    def _adopt(self, child: Child, cell: Cell, now_ns: int) -> None:
        before = child.predecessor
        predecessor = before[1:] if before is not None and before[0] == cell.node and before[1] else None
        child.incarnation = self._assign(cell, child, child.restarts, predecessor, now_ns)
        child.state, child.cell, child.node = ChildState.STARTING, cell.name, cell.node
        child.ready, child.settled, child.move_to = None, None, None

    def _assign(
        self, cell: Cell, child: Child, restarts: int, predecessor: tuple[int, int] | None, now_ns: int
    ) -> tuple[int, int]:
        """Let a spare start a new incarnation of a child; return the incarnation."""
        incarnation = (self._epoch, next(self._counter))
        cell.state, cell.address, cell.incarnation = CellState.ADOPTING, child.spec.address, incarnation
        cell.deadline_ns = now_ns + in_ns(self.settings.adopt_timeout_s)
        self._adopting_ns[cell.node] = now_ns
        self._effects.append(AdoptCell(cell.name, incarnation, child.spec, restarts, predecessor))
        return incarnation

    def _replenish(
        self,
        node: str,
        wanted: int,
        trades: bool,
        missing: int,
        spares: list[Cell],
        creating: list[Cell],
        now_ns: int,
    ) -> None:
        """Create processes on a node, a few at a time: `wanted` spares, and those that are missing; `trades`: order
        managers may run there."""
        plain = sum(1 for cell in spares if not cell.trading)
        lack = max(0, wanted - plain)
        if wanted and trades:
            lack += plain == len(spares)  # no spare is prepared for an order manager
        if spares and now_ns - self._adopting_ns.get(node, -_CALM_NS) < _CALM_NS:
            lack = 0  # a new process takes a core for a while, and the child that starts needs the core more
        trading = trades and not any(cell.trading for cell in (*spares, *creating))
        for _ in range(min(missing + lack, self.settings.creating_per_node) - len(creating)):
            deadline = now_ns + in_ns(self.settings.create_timeout_s)
            cell = Cell(self._name_cell(), node, CellState.CREATING, deadline, trading=trading)
            self.cells[cell.name] = cell
            self._effects.append(Create(cell.name, node, trading))
            trading = False

    def _wind_down(self, now_ns: int) -> None:
        """Stop the latest tier that still runs, then the spares, and last the agents, because they remove files."""
        for child in [c for c in self.children.values() if c.cell is None]:
            self._drop(child.spec.address)
        running = [c for c in self.children.values() if c.spec.tier is not Tier.AGENT]
        if running:
            latest = max(child.spec.tier.ends for child in running)
            for child in [c for c in running if c.spec.tier.ends == latest]:
                child.wanted = False
                self._stop(child, now_ns, restart=False)
            return
        others = [cell for cell in self.cells.values() if self._child_of(cell) is None]
        for cell in others:
            if cell.state is CellState.SPARE:
                cell.state, cell.deadline_ns = CellState.STOPPING, now_ns + 1_000_000_000
                self._effects.append(StopCell(cell.name, 0.5))
        if not [cell for cell in others if cell.name in self.cells]:
            for child in list(self.children.values()):
                child.wanted = False
                self._stop(child, now_ns, restart=False)


_HANDLERS: dict[type, Callable[[Machine, Any, int], None]] = {
    NodeSeen: Machine._node_seen,
    NodeLost: Machine._node_lost,
    Suspected: Machine._suspect,
    CellCreated: Machine._cell_created,
    CreateFailed: Machine._create_failed,
    Adopted: Machine._adopted,
    Failed: Machine._failed,
    Died: Machine._died,
    Hung: Machine._hung,
    KillFailed: Machine._kill_failed,
    Found: Machine._found,
    RunChildren: Machine._run_children,
    Amend: Machine._amend,
    StopChildren: Machine._stop_children,
    RestartRequested: Machine._restart_asked,
    UpgradeRequested: Machine._upgrade_asked,
    MovesRequested: Machine._moves_asked,
    Drained: Machine._drain,
    Followed: Machine._followed,
    Readiness: Machine._readiness,
    ShutDown: Machine._shut_down,
    Isolated: Machine._isolated,
    Rejoined: Machine._rejoined,
    Tick: Machine._tick,
}
