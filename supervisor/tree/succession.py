"""Children change their process or their node while they serve: restarts, moves, rescues. Pure.

`handover` has the rules of a successor, `rolling` the order of restarts and moves, `moves` where children should move.
This module applies them to the state of the tree.
"""

from __future__ import annotations

from collections import Counter

from ...model.address import book_of
from ...model.time import in_ns
from .child import ChildSpec, Tier
from .events import Found, HandedOver
from .handover import Successor
from .moves import evacuation, stranded
from .placement import Seats, pick
from .plan import has_all
from .records import Cell, CellState, Child, ChildState
from .rolling import Task
from .state import TreeState

RESCUE_AGAIN_S = 5.0  # before another successor of a child on a suspected node starts


class Succession(TreeState):
    """The state with the changes of children that serve."""

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

    def _renew(self, spares: dict[str, list[Cell]], now_ns: int) -> None:
        """Let the next book that serves with earlier settings restart with its new ones; one at a time."""
        if self.rolling.queue or not self.earlier:
            return
        seats: Seats | None = None
        for address in sorted(self.earlier):
            child = self.children[address]
            if child.state is not ChildState.SERVING or not child.wanted or child.node not in self.answering_nodes:
                continue
            if self.rolling.failed_lately(address, in_ns(self.settings.again_s), now_ns):
                continue
            seats = seats or self._seats(spares)
            node = seats.choose(child.spec, child.node)
            if node is not None:
                self.rolling.ask([address], None if node == child.node else {address: node}, independent=True)
                return
            if not any(self._may_run(child.spec, one) for one in self.nodes.keys() - self.nodes_of(child.spec.apart)):
                self._stop(child, now_ns, restart=True)  # it may run nowhere now, not even where it runs

    def _withdraw(self, child: Child, now_ns: int) -> None:
        """End a child that is no longer wanted. A replica serves until its book can replace it."""
        book = self.children.get(child.spec.apart)
        if child.spec.tier is Tier.REPLICA and child.state is ChildState.SERVING and book is not None and book.wanted:
            self.retiring.add(child.spec.address)
            for one in (child, book):
                one.ready, one.settled = None, None  # what counts is reported from now on
        elif child.cell is None:
            self._drop(child.spec.address)
        else:
            self._stop(child, now_ns, restart=False)

    def _retire(self, now_ns: int) -> None:
        """Let replicas that are no longer wanted leave, as soon as readers lose nothing by it."""
        for address in sorted(self.retiring):
            child = self.children[address]
            book = self.children.get(child.spec.apart)
            if child.node in self.suspected:
                continue
            if child.state is not ChildState.SERVING or book is None or not book.wanted:
                self.retiring.discard(address)
                self._stop(child, now_ns, restart=False)
            elif self._is_covered(child) and _has_settled(book, child):
                self._drop_successor(address, now_ns)
                self._drop(address)
                cell = self.cells[child.cell or ""]
                cell.retired = child.spec
                self._leave(cell, book.node, now_ns)

    def _leave(self, cell: Cell, node: str | None, now_ns: int) -> None:
        """Let a replaced cell serve until callers and mirrors have followed to its successor on a node."""
        longest_s = self.settings.leave_s if cell.node == node else self.settings.follow_s
        cell.state, cell.deadline_ns = CellState.LEAVING, now_ns + in_ns(longest_s)

    def _may_return(self, cell: Cell, spec: ChildSpec) -> bool:
        """Return whether a leaving cell can serve `spec` until a successor can. One that was replaced cannot: readers
        have seen its successor."""
        has = cell.retired is not None and has_all(cell.retired, spec)
        return has and cell.node not in self.nodes_of(spec.apart)

    def _return(self, child: Child, cell: Cell, now_ns: int) -> None:
        """Let a replica that is leaving, and is wanted again, serve until its successor has the settings of today."""
        cell.state, cell.deadline_ns, cell.retired = CellState.SERVING, None, None
        child.cell, child.node, child.incarnation = cell.name, cell.node, cell.incarnation
        child.state, child.served_once, child.history = ChildState.SERVING, True, child.history.served(now_ns)
        self._route(child)
        self.earlier.add(child.spec.address)

    def heir(self, cell: Cell) -> Child | None:
        """Return the child that readers of a leaving cell follow to: its successor, or the book of its replica."""
        address = cell.address or ""
        return self.children.get(address) or self.children.get(book_of(address))

    def _stop(self, child: Child, now_ns: int, restart: bool) -> None:
        child.restarting = restart
        self._drop_successor(child.spec.address, now_ns)
        cell = self.cells.get(child.cell) if child.cell is not None else None
        if cell is None or child.state is ChildState.STOPPING:
            return
        self._unroute(child)
        child.state = ChildState.STOPPING
        if cell.state in (CellState.SERVING, CellState.ADOPTING):
            self._end(cell, child.spec.shutdown_s, now_ns, final=not restart)

    def _begin_handover(self, child: Child, node: str, now_ns: int, rescue: bool = False) -> None:
        """Start a successor of a serving child on a node as soon as a process waits there."""
        self.handovers.add(Successor(child.spec.address, node, now_ns, child.settled, rescue=rescue))

    def _rescue(self, spares: dict[str, list[Cell]], now_ns: int) -> None:
        """Start successors of what runs on suspected nodes and may run elsewhere, too."""
        there = stranded(self.children.values(), self.suspected, self._promised, self.given_up)
        failed_ns, again_ns = self._rescue_failed_ns, in_ns(RESCUE_AGAIN_S)
        due = [c for c in there if now_ns - failed_ns.get(c.spec.address, -again_ns) >= again_ns]
        without = [child for child in due if not self._is_rescued(child)]
        if not without:
            return
        seats = self._seats(spares)
        for child in sorted(without, key=self._is_covered):
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
        cell, child = self.cells.get(successor.cell or ""), self.children[address]
        if cell is not None and cell.state in (CellState.ADOPTING, CellState.SERVING):
            final = self.ending or not child.wanted  # then it may be the only one that can still do its last work
            self._end(cell, child.spec.shutdown_s if final else self.settings.leave_s, now_ns, final)
        return successor

    def _take_over(self, child: Child, now_ns: int) -> None:
        """Put the successor of a child in its place."""
        successor = self.handovers.take(child.spec.address)
        assert successor is not None
        child.cell, child.node, child.incarnation = successor.cell, successor.node, successor.incarnation
        child.ready, child.settled = successor.ready, successor.settled
        child.predecessor, child.restarting = None, False
        child.restarts += 1
        self.earlier.discard(child.spec.address)
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
                if leaving is not None and child.spec.can_be_left:
                    self._kill(leaving, now_ns)
                elif leaving is not None:
                    self._leave(leaving, child.node, now_ns)
            elif (late := self.handovers.overdue(successor, now_ns)) is not None:
                self._drop_successor(successor.address, now_ns, late)
            elif successor.cell is None and self._may_start(child, successor):
                if spares.get(successor.node):
                    cell = pick(spares[successor.node], child.spec.tier is Tier.ORDERS)
                    incarnation = self._assign(cell, child, child.restarts + 1, None, now_ns)
                    successor.cell, successor.incarnation, successor.since_ns = cell.name, incarnation, now_ns
                else:
                    lacking[successor.node] += 1

    def _may_start(self, child: Child, successor: Successor) -> bool:
        """Return whether a successor may start now: its node answers and does not run the other copy of the book.
        Nothing is left of earlier ones. What it needs is not about to move away from a node that does not answer."""
        others = (self.children.get(address) for address in child.spec.after)
        needs = (
            other for other in others if other is not None and (child.spec.can_be_left or not other.spec.can_be_left)
        )
        moving = any(
            other.node in self.suspected and self.handovers.get(other.spec.address) is not None for other in needs
        )
        is_taken = successor.node in self.nodes_of(child.spec.apart)
        return successor.node not in self.suspected and not is_taken and not moving and self._is_alone(child)

    def _is_alone(self, child: Child) -> bool:
        """Return whether no earlier process of the child is left."""
        return all(cell.address != child.spec.address or cell.name == child.cell for cell in self.cells.values())

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
        if event.spec is not None and event.spec.config != child.spec.config:
            self.earlier.add(child.spec.address)  # the older one has the earlier settings
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
            self.earlier.discard(child.spec.address)
            return
        successor = Successor(child.spec.address, last.node, now_ns, cell=last.name, incarnation=last.incarnation)
        successor.serves = True
        self.handovers.add(successor)


def _has_settled(book: Child, replica: Child) -> bool:
    """Return whether a book is ready, or has settled every pair that its replica has settled."""
    if book.settled is None:
        return False
    return bool(book.ready) or (replica.settled is not None and replica.settled <= book.settled)
