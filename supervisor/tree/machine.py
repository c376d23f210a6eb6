"""The tree as a state machine: events in, effects out, time an argument. No Ray, no clock, no I/O.

Theory of operation. The machine knows *children* (roles that must run, named by address) and *cells* (processes; each
can run one role, once). Events change records. After each event `_reconcile` compares children and cells and returns
the effects that are needed: a waiting child takes a spare of its node at once, and cells are created, a few at a time
per node, until every node has a cell for each waiting child and `spares_per_node` more. So the next tick repairs a lost
effect or a reordered event.

    child  WAITING -> STARTING -> SERVING        BACKOFF and DEGRADED wait for a time and become WAITING
           SERVING -> KILLING when it hangs
           SERVING -> STOPPING -> WAITING (restart asked) or gone (untracked, shutdown)
           SERVING -> SERVING in another cell, when a successor takes over (`handover`), also with changed settings
           any end -> policy.decide -> WAITING, BACKOFF, DEGRADED or STOPPED
    cell   CREATING -> SPARE -> ADOPTING -> SERVING -> (STOPPING | KILLING) -> gone
           SERVING -> LEAVING -> STOPPING after a successor took over, or the book of a replica that is not wanted

An order manager imports the journal's database library, which takes a third of a second and 17 MB; no other role needs
the library. So a node where accounts may run keeps one more spare, which has already imported it. Any spare can run any
role; if a node has both kinds, order managers take the prepared spare and other roles take an ordinary one.

A cell whose adoption is not confirmed in time is killed and never used again. The agent of the node kills a hung cell
before a successor is adopted. If the agent cannot (because the agent itself hangs or does not answer), the successor is
adopted on the same node and kills its `predecessor` before it starts.

A node whose processes all stay silent is suspected, long before the GCS declares it lost. Its books start on other
nodes too, and take over there (`handover`), and so do rate budgets that have promised how little they grant from now on
(`actors.limits.promises`). Accounts and catalogs follow when it has been silent for longer, if the journal is not on
that node: the journal fences the older order manager. Nothing starts on a suspected node.

While the supervisor is isolated (`quorum`) the machine records what happened and decides nothing: it judges no cell
hung, lets no deadline pass, and kills, creates and adopts nothing. Deadlines continue when it has rejoined. A shutdown
continues, because its caller has decided it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ...model.address import AGENT, agent_address
from ...model.time import in_ns
from . import policy as policies
from .child import ChildSpec, Tier
from .ending import Ending
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
    Hung,
    Isolated,
    KillFailed,
    MovesRequested,
    NodeLost,
    NodeSeen,
    Readiness,
    Rejoined,
    RestartRequested,
    RunChildren,
    ShutDown,
    StopChildren,
    Suspected,
    Sweep,
    Tick,
    UpgradeRequested,
)
from .placement import Seats, pick
from .plan import has_all
from .policy import Exit
from .records import Cell, CellState, Child, ChildState

_VERDICTS = (Hung, KillFailed)  # events that judge a cell which may be alive
_CALM_NS = 500_000_000  # pause between an adoption and the replacement of its spare, while the node has another spare


def _runs(spec: ChildSpec) -> tuple[object, ...]:
    """Return the part of a spec that cannot change without a restart."""
    return spec.kind, spec.config, spec.node, spec.labels


class Machine(Ending):
    """The tree of one mesh under one supervisor epoch."""

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
        self.given_up = event.given_up & self.suspected
        if not self.suspected:
            self._rescue_failed_ns.clear()
        for successor in self.handovers:
            child = self.children[successor.address]
            is_fenced = child.spec.can_be_left and successor.cell is not None  # or will be, at any moment
            if successor.rescue and child.node not in self.suspected and not is_fenced:
                self._drop_successor(successor.address, now_ns)

    def _node_lost(self, event: NodeLost, now_ns: int) -> None:
        self.nodes.pop(event.node, None)
        self.suspected -= {event.node}
        self.given_up -= {event.node}
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
        address, cell.tier = event.spec.address, event.spec.tier
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

    # --- wishes -------------------------------------------------------------------------------------------------------

    def _run_children(self, event: RunChildren, now_ns: int) -> None:
        if self.ending:
            return
        self.routes.bump()
        leaving = {
            cell.address: cell for cell in self.cells.values() if cell.state is CellState.LEAVING and cell.retired
        }
        for spec in event.specs:
            child = self.children.get(spec.address)
            if child is None:
                child = self._add(Child(spec, next(self._orders)))
                if (cell := leaving.get(spec.address)) is not None and self._may_return(cell, spec):
                    self._return(child, cell, now_ns)
                elif (past := self._past.pop(spec.address, None)) is not None:
                    past.resume(child)
                continue
            changed = _runs(child.spec) != _runs(spec)
            shares = spec.tier is Tier.REPLICA and child.node in self.nodes_of(spec.apart)
            stays = child.state is ChildState.SERVING and spec.overlaps and has_all(child.spec, spec) and not shares
            is_ending = not child.wanted and spec.address not in self.retiring
            self.retiring.discard(spec.address)
            child.wanted, child.spec = True, spec
            if child.state is ChildState.STOPPED or is_ending:
                child.restarting = child.cell is not None
                child.state = ChildState.STOPPING if child.cell is not None else ChildState.WAITING
            elif (changed or shares) and child.cell is not None and not stays:
                self._stop(child, now_ns, restart=True)
            elif child.state is ChildState.SERVING:
                self._route(child)
                if changed:
                    self.earlier.add(spec.address)
                    self._drop_successor(spec.address, now_ns)

    def resume(self) -> None:
        """Continue for an earlier supervisor, once the living cells were found: children without one were lost."""
        was_running = any(cell.address for cell in self.cells.values())
        for child in self.children.values():
            child.served_once |= was_running  # so it waits for no other child, and takes any spare
            if child.spec.tier is Tier.LIMITS and child.cell is None:
                child.restarts = max(1, child.restarts)  # it is not the first one: its buckets are not full

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
        ended = [child for address in event.addresses if (child := self.children.get(address)) is not None]
        for child in ended:
            child.wanted = False
        for child in ended:
            self._withdraw(child, now_ns)

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
                self._kill(cell, now_ns)  # again, until it has ended: Ray or the agent may not have answered

    # --- what follows -------------------------------------------------------------------------------------------------

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

    # --- reconcile ----------------------------------------------------------------------------------------------------

    def _reconcile(self, now_ns: int) -> None:
        self._begin_end(now_ns)
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
        self._retire(now_ns)
        self._relocate(drained, spares, now_ns)
        self._renew(spares, now_ns)
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
        for child in self._in_turn():
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

    def _is_due(self, child: Child, now_ns: int) -> bool:
        if child.state in (ChildState.BACKOFF, ChildState.DEGRADED) and now_ns >= child.retry_ns:
            child.state = ChildState.WAITING
        if child.state is not ChildState.WAITING or not child.wanted:
            return False
        before = (self.children.get(address) for address in child.spec.after)
        return child.served_once or all(other is None or other.served_once for other in before)

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
