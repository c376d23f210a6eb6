"""The supervisor's effects on a simulated cluster: cells are records, time is simulated.

`World` drives a `Machine`: effects become events after a delay, in order of simulated time. Tests break parts of it by
name.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field

from venuemesh.model.address import replica_of
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.machine import Machine
from venuemesh.supervisor.tree.records import CellState, ChildState
from venuemesh.supervisor.tree.settings import TreeSettings

MS = 1_000_000
TICK_NS = 50 * MS


@dataclass(slots=True)
class FakeCell:
    name: str
    node: str
    pid: int
    alive: bool = True
    stopped: bool = False  # SIGSTOP: lives, answers nothing
    address: str | None = None
    incarnation: tuple[int, int] | None = None
    fenced: bool = False  # a later order manager has taken the journal


@dataclass(slots=True)
class World:
    """A cluster. `broken` addresses fail to start; `deaf` ones never confirm an adoption."""

    settings: TreeSettings = field(default_factory=TreeSettings)
    epoch: int = 1
    now_ns: int = 0
    create_ns: int = 500 * MS
    cells: dict[str, FakeCell] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    unready: set[str] = field(default_factory=set)  # addresses whose roles serve and are not ready
    was_ready: set[str] = field(default_factory=set)  # cells that were ready once; they stay ready
    ready_ns: int = 20 * MS
    end_ns: dict[str, int] = field(default_factory=dict)  # address -> how long its polite stop takes
    no_creation: bool = False
    reports: bool = True  # whether readiness is reported
    paced: bool = False  # a rate limit delays requests
    identities: dict[str, str] = field(default_factory=dict)  # of hosts, by node
    promised: frozenset[str] = frozenset()  # rate budgets whose promise the supervisor holds
    log: list[tuple[int, object]] = field(default_factory=list)
    machine: Machine = field(init=False)
    _queue: list[tuple[int, int, m.Event]] = field(default_factory=list)
    _ending: list[tuple[int, str]] = field(default_factory=list)  # cells whose stop takes its time
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.machine = Machine(self.epoch, self.settings, self._name)
        self.soon(m.Tick(), TICK_NS)

    def _name(self) -> str:
        return f"cell-{next(self.numbers)}"

    def soon(self, event: m.Event, after_ns: int = 0) -> None:
        heapq.heappush(self._queue, (self.now_ns + after_ns, next(self.numbers), event))

    def run(self, seconds: float) -> None:
        """Let simulated time pass."""
        end_ns = self.now_ns + int(seconds * 1e9)
        while self._queue and self._queue[0][0] <= end_ns:
            self.now_ns, _, event = heapq.heappop(self._queue)
            self.tell(event)
            if isinstance(event, m.Tick):
                self._end_slow()
                self.soon(m.Tick(), TICK_NS)
                if self.reports:
                    self._report_readiness()
        self.now_ns = end_ns

    def _report_readiness(self) -> None:
        """Report the children whose readiness is awaited, and successors, as their watcher does: ready some time after
        they serve."""
        for address in self.machine.awaited:
            successor = self.machine.handovers.get(address)
            second = successor.cell if successor is not None and successor.serves else None
            for cell in (self.serving(address), second):
                if cell is not None and self.cells[cell].alive and not self.cells[cell].stopped:
                    if address not in self.unready:
                        self.was_ready.add(cell)
                    ready = cell in self.was_ready
                    settled = frozenset({address} if ready else ())
                    self.soon(m.Readiness(cell, ready, settled, self.paced), self.ready_ns)

    def tell(self, event: m.Event) -> None:
        for effect in self.machine.on(event, self.now_ns):
            self.log.append((self.now_ns, effect))
            self._perform(effect)
        self.check()

    def _perform(self, effect: m.Effect) -> None:
        match effect:
            case m.Create(cell, node):
                if self.no_creation:
                    self.soon(m.CreateFailed(cell, "no room"), self.create_ns)
                    return
                fake = self.cells[cell] = FakeCell(cell, node, 1000 + len(self.cells))
                created = m.CellCreated(cell, fake.pid, fake.pid, self.identities.get(node, ""))
                self.soon(created, self.create_ns)
            case m.AdoptCell(cell, incarnation, spec, _, predecessor):
                fake = self.cells[cell]
                assert fake.address is None, "a cell was adopted twice"
                if not fake.alive or fake.stopped:
                    return
                if predecessor is not None:
                    self.kill_pid(predecessor[0])
                fake.address, fake.incarnation = spec.address, incarnation
                for other in self.cells.values():
                    is_older = other is not fake and other.address == spec.address
                    other.fenced |= is_older and spec.can_be_left and other.node in self.machine.given_up
                self.one_server(spec.address, 2 if spec.overlaps or spec.address in self.promised else 1)
                if spec.address in self.broken:
                    self.soon(m.Failed(cell, "told to fail"), 2 * MS)
                    self.kill(cell, 22 * MS)
                elif spec.address not in self.deaf:
                    self.soon(m.Adopted(cell), 5 * MS)
            case m.StopCell(cell):
                fake = self.cells[cell]
                if not fake.stopped and fake.address in self.end_ns:
                    self._ending.append((self.now_ns + self.end_ns[fake.address], cell))
                elif not fake.stopped:
                    self.kill(cell, 20 * MS)
            case m.KillCell(cell, _, pid, _, agent):
                if agent is None or self.cells[agent].stopped or not self.cells[agent].alive:
                    self.soon(m.KillFailed(cell), 10 * MS)
                else:
                    self.kill_pid(pid)
            case m.Discard(cell):
                if cell in self.cells and not self.cells[cell].stopped:
                    self.kill(cell, 5 * MS)
            case m.Sweep() | m.HandedOver():
                return

    def _end_slow(self) -> None:
        for due_ns, cell in self._ending:
            if due_ns <= self.now_ns:
                self.kill(cell)
        self._ending = [one for one in self._ending if one[0] > self.now_ns]

    def kill_pid(self, pid: int) -> None:
        for fake in self.cells.values():
            if fake.pid == pid:
                self.kill(fake.name, 5 * MS, certain=True)

    def kill(self, cell: str, seen_after_ns: int = 10 * MS, certain: bool = False) -> None:
        """End the process; the supervisor notices it a little later."""
        fake = self.cells[cell]
        if fake.alive:
            fake.alive = False
            self.soon(m.Died(cell), seen_after_ns)

    def stop(self, cell: str) -> None:
        """Stop the process (SIGSTOP); the agent of its node reports it after a second."""
        self.cells[cell].stopped = True
        self.soon(m.Hung(cell), 1000 * MS)

    def lose(self, node: str) -> None:
        for fake in self.cells.values():
            if fake.node == node:
                fake.alive = False
        self.soon(m.NodeLost(node))

    def one_server(self, address: str, most: int = 1) -> None:
        """Check the invariant: at most one process of an address (two of a book) is alive, and neither stopped nor
        fenced."""
        alive = [f for f in self.cells.values() if f.address == address and f.alive and not f.stopped and not f.fenced]
        assert len(alive) <= most, f"{address} is served by {[f.name for f in alive]}"

    def check(self) -> None:
        """Check what must hold after every event."""
        machine = self.machine
        for address, child in machine.children.items():
            if child.cell is not None:
                cell = machine.cells[child.cell]
                assert cell.address == address
                assert cell.incarnation == child.incarnation
            route = machine.routes.get(address)
            owner = child if route is None else machine.children[route.child]
            assert (route is not None and owner is child) == (child.state is ChildState.SERVING), (address, child.state)
            if route is not None:
                assert owner is child or route.child == replica_of(address)
                assert route.cell == owner.cell
                assert machine.cells[route.cell].state is CellState.SERVING
        for route in machine.routes:
            assert route.child in machine.children
        for successor in machine.handovers:
            first = machine.children[successor.address]
            assert first.spec.overlaps or successor.address in self.promised or first.spec.can_be_left
            assert first.state is ChildState.SERVING
            assert successor.cell is None or machine.cells[successor.cell].incarnation == successor.incarnation
            assert first.cell != successor.cell

    # --- what tests ask -----------------------------------------------------------------------------------------------

    def serving(self, address: str) -> str | None:
        """Return the name of the live cell that serves the address by the route table; not one that stands in."""
        route = self.machine.routes.get(address)
        if route is None or (route.child != address and route.child == replica_of(address)):
            return None
        return route.cell if self.cells[route.cell].alive and not self.cells[route.cell].stopped else None

    def spares(self, node: str) -> int:
        return sum(1 for c in self.machine.cells.values() if c.node == node and c.state is CellState.SPARE)

    @property
    def lives(self) -> int:
        return sum(1 for fake in self.cells.values() if fake.alive)
