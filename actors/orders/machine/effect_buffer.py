"""What one input wants written and done, and what waits while the journal is down.

Theory of operation. An input gathers writes and effects; `take` makes them one batch and a list of effects behind it.
Batches are numbered when they are made, and what the machine holds in memory is the state after the last batch made,
committed or not; nobody outside sees any of it before its commit, as effects wait.

When a commit fails (perhaps after it took effect: a lost connection does not tell) its batch, and all that were
made after it, go to the backlog, ordered by number. Batches made meanwhile join it. When the journal is back the
backlog is committed in order under the same ids, so that what had been committed after all is not applied
twice. What would have sent a request is never sent: the machine turns it into a fate of its own ("not sent"), in a
batch made later than all that were in flight. So the journal sees what the memory saw, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ....journal.writes import Batch, PutEvent, PutOrder, PutTombstone, Write
from ....model.errors import JournalUnavailable, MeshError
from ....model.order import AccountEvent
from .effects import Answer, Ask, Commit, Effect, Halt, Lookup, MeasureClock, Refuse, Send


class EffectBuffer:
    """See the module."""

    def __init__(self, max_backlog: int, wrote: Callable[[str], None] = lambda _: None) -> None:
        """`wrote` is told the id of every order and tombstone that is written."""
        self._wrote = wrote
        self._prefix = "0"
        self._number = 0
        self.asks = 0  # how many asks were ever made: what was known before an ask is told by counting, not by clocks
        self._writes: list[Write] = []
        self._effects: list[Effect] = []
        self._halt: MeshError | None = None
        self._backlog: dict[int, list[Effect]] = {}  # batch number -> its commit and what stands behind it
        self._max_backlog = max_backlog
        self.down: MeshError | None = None

    def name(self, prefix: str) -> None:
        """What makes the ids of batches unique: the epoch."""
        self._prefix = prefix

    @property
    def backlog(self) -> int:
        return len(self._backlog)

    @property
    def halted(self) -> MeshError | None:
        return self._halt

    def unavailable(self) -> JournalUnavailable | None:
        """Return the error of what needs a commit while the journal is down."""
        if self.down is None:
            return None
        return JournalUnavailable(getattr(self.down, "after_s", None) or 1.0, "the journal cannot be written")

    def refusal(self) -> MeshError | None:
        """Return why no command that needs a commit is accepted now."""
        return self._halt or self.unavailable()

    def write(self, *writes: Write) -> None:
        self._writes.extend(writes)
        for one in writes:
            if isinstance(one, PutOrder):
                self._wrote(one.order.client_order_id)
            elif isinstance(one, PutTombstone):
                self._wrote(one.client_order_id)

    def event(self, event: AccountEvent) -> None:
        self._writes.append(PutEvent(event))

    def do(self, effect: Effect) -> None:
        self._effects.append(effect)

    def halt(self, error: MeshError) -> None:
        if self._halt is None:
            self._halt = error
            self._effects.append(Halt(error))

    def take(self) -> list[Effect]:
        """Return what has been gathered, in the order in which it is to be performed."""
        writes, effects = tuple(self._writes), self._effects
        self._writes, self._effects = [], []
        if not writes:
            return effects
        self._number += 1
        commit = Commit(Batch(f"{self._prefix}-{self._number}", writes))
        if self.down is None:
            return [commit, *effects]
        now: list[Effect] = [one for one in effects if isinstance(one, Ask | Lookup | MeasureClock | Refuse | Halt)]
        self._keep(self._number, [commit, *(one for one in effects if isinstance(one, Answer))], now)
        return now

    def failed(self, effects: Sequence[Effect], error: MeshError) -> list[Send]:
        """Put what was not performed aside, and return the requests among it that now will never be sent."""
        self.down = error
        unsent: list[Send] = []
        group: list[Effect] = []
        number = 0
        for one in effects:
            if isinstance(one, Commit):
                number = int(one.batch.id.rpartition("-")[2])
                group = [one]
                self._keep(number, group, self._effects)
            elif isinstance(one, Send):
                unsent.append(one)
            elif isinstance(one, Answer) and group:
                group.append(one)
            else:
                self._effects.append(one)
        return unsent

    def back(self) -> list[Effect]:
        """Return the whole backlog, in order, to be performed now."""
        self.down = None
        kept, self._backlog = self._backlog, {}
        return [effect for _, group in sorted(kept.items()) for effect in group]

    def _keep(self, number: int, group: list[Effect], effects: list[Effect]) -> None:
        self._backlog[number] = group
        if len(self._backlog) > self._max_backlog and self._halt is None:
            self._halt = JournalUnavailable(0.0, f"more than {self._max_backlog} batches wait for the journal")
            effects.append(Halt(self._halt))
