"""Replace the process of a running child without a gap. Pure.

A *successor*, a later incarnation of the same address, starts in a second process while the first one serves. When the
successor has every pair settled that the first one has settled, it takes over: the routes change to it, and the first
one leaves a little later. A successor that ends, or is not ready within the limit, is dropped, and the first one stays.
If the first one ends before, the successor takes its place at once.

The first one may run on a node that does not answer (`rescue`). Its readers lose nothing more, so the successor takes
over as soon as one pair is settled; it is dropped when the node answers before that.

Only children that may overlap are replaced this way: books, which only read the exchange (`ChildSpec.overlaps`), and
rate budgets of nodes that do not answer. Accounts and catalogs of a node that has not answered for longer
(`ChildSpec.can_be_left`) have a successor, too, which takes over when it serves: by then the journal has fenced the
first order manager, which is killed as soon as its node can be reached.

The limit counts the time in which nothing advances: it starts again when another pair is settled, and while a rate
limit of the exchange delays requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ...model.time import SECOND_NS
from .records import Cell, Child


@dataclass(slots=True)
class Successor:
    """The next incarnation of a running child. `owed` are the pairs that the first one had settled at the beginning;
    None: it has not reported since. Times are monotonic ns."""

    address: str
    node: str
    since_ns: int  # nothing has advanced since then
    owed: frozenset[str] | None = None
    cell: str | None = None
    incarnation: tuple[int, int] | None = None
    serves: bool = False
    ready: bool = False
    settled: frozenset[str] = frozenset()
    rescue: bool = False

    def report(self, ready: bool, settled: frozenset[str], paced: bool, now_ns: int) -> None:
        if paced or not settled <= self.settled:
            self.since_ns = now_ns
        self.ready, self.settled = ready, settled

    def may_take_over(self, first: Child) -> bool:
        """Return whether readers lose no pair when this one replaces `first`."""
        if not self.serves:
            return False
        if self.rescue:
            return self.ready or bool(self.settled) or first.spec.can_be_left
        if self.ready or self.owed is None or first.settled is None:
            return self.ready
        return not self.owed or self.settled >= self.owed or bool(self.settled and self.settled >= first.settled)

    @property
    def missing(self) -> str:
        """What it waits for."""
        if self.cell is None:
            return "no spare process waits on its node"
        return "its successor is not ready" if self.serves else "its successor has not started"


@dataclass(slots=True)
class Handovers:
    """The successors of running children, by address; `failed` has the reasons of those that were dropped."""

    limit_ns: int
    failed: dict[str, str] = field(default_factory=dict)
    _successors: dict[str, Successor] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Successor]:
        return iter(list(self._successors.values()))

    def get(self, address: str) -> Successor | None:
        return self._successors.get(address)

    def of(self, cell: Cell) -> Successor | None:
        """Return the successor that runs in this cell."""
        found = self._successors.get(cell.address) if cell.address is not None else None
        return found if found is not None and found.cell == cell.name else None

    def add(self, successor: Successor) -> None:
        self.failed.pop(successor.address, None)
        self._successors[successor.address] = successor

    def take(self, address: str, failure: str | None = None) -> Successor | None:
        """Remove and return the successor of an address; `failure`: why it was dropped."""
        found = self._successors.pop(address, None)
        if found is not None and failure is not None:
            self.failed[address] = failure
        return found

    def overdue(self, successor: Successor, now_ns: int) -> str | None:
        """Return why a successor must be dropped now, or None."""
        if now_ns - successor.since_ns <= self.limit_ns:
            return None
        return f"{successor.missing} after {self.limit_ns / SECOND_NS:g} s"
