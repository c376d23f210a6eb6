"""The buffer of writes and effects of one input, and the backlog of batches while the journal is down. Pure.

Theory of operation. An input collects writes and effects; `take` returns the writes as one batch with the effects
behind it. Batches are numbered in the order in which they are made. The machine's memory is the state after the last
batch, committed or not; no other part sees that state before the commit, because effects wait for the commit.

When a commit fails (perhaps after it took effect: a lost connection leaves that open), its batch and all later batches
go to the backlog, in order. New batches are added to the backlog. When the journal is back, the backlog is committed in
order under the same ids, so a batch that was committed after all is not applied twice. The machine never sends requests
behind a failed commit: it ends their orders as "not sent", in a batch after all batches that were in flight. So the
journal gets the same changes as the memory, in the same order.

Cancels are the exception (docs/adr/0013): while the journal is down they are sent without a commit, so `take` lets them
pass, and their results do not wait for the journal, but state that they are not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ....journal.writes import Batch, PutEvent, PutOrder, PutTombstone, Write
from ....model.errors import JournalUnavailable, MeshError
from ....model.order import AccountEvent, CancelResult
from .effects import Answer, Commit, Effect, Halt, Send


class EffectBuffer:
    """See the module."""

    def __init__(self, max_backlog: int, on_id: Callable[[str], None] = lambda _: None) -> None:
        """`on_id` is called with the id of every order and tombstone that is written."""
        self._on_id = on_id
        self._prefix = "0"
        self._number = 0
        self.asks = 0  # number of asks so far: it orders asks and events without a clock
        self._writes: list[Write] = []
        self._effects: list[Effect] = []
        self._halt: MeshError | None = None
        self._backlog: dict[int, list[Effect]] = {}  # batch number -> its commit and the effects behind it
        self._max_backlog = max_backlog
        self.down: MeshError | None = None

    def name(self, prefix: str) -> None:
        """Set the prefix that makes the ids of batches unique: the epoch."""
        self._prefix = prefix

    @property
    def backlog(self) -> int:
        return len(self._backlog)

    @property
    def halted(self) -> MeshError | None:
        return self._halt

    def unavailable(self) -> JournalUnavailable | None:
        """Return the error for anything that needs a commit while the journal is down."""
        if self.down is None:
            return None
        return JournalUnavailable(getattr(self.down, "after_s", None) or 1.0, "the journal cannot be written")

    def refusal(self) -> MeshError | None:
        """Return the reason to refuse commands that need a commit; None if there is none."""
        return self._halt or self.unavailable()

    def write(self, *writes: Write) -> None:
        self._writes.extend(writes)
        for one in writes:
            if isinstance(one, PutOrder):
                self._on_id(one.order.client_order_id)
            elif isinstance(one, PutTombstone):
                self._on_id(one.client_order_id)

    def event(self, event: AccountEvent) -> None:
        self._writes.append(PutEvent(event))

    def do(self, effect: Effect) -> None:
        self._effects.append(effect)

    def halt(self, error: MeshError) -> None:
        if self._halt is None:
            self._halt = error
            self._effects.append(Halt(error))

    def take(self) -> list[Effect]:
        """Return the collected effects in order, behind one commit of the writes."""
        writes, effects = tuple(self._writes), self._effects
        self._writes, self._effects = [], []
        if self.down is not None:
            effects = [_as_unjournaled(one) for one in effects]
        if not writes:
            return effects
        self._number += 1
        commit = Commit(Batch(f"{self._prefix}-{self._number}", writes))
        if self.down is None:
            return [commit, *effects]
        waiting = [one for one in effects if isinstance(one, Answer) and not _is_of_cancel(one)]
        now = [one for one in effects if one not in waiting]
        self._keep(self._number, [commit, *waiting], now)
        return now

    def failed(self, effects: Sequence[Effect], error: MeshError) -> list[Send]:
        """Keep the effects that were not performed. Return the requests among them: they will never be sent."""
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
            elif isinstance(one, Answer) and group and not _is_of_cancel(one):
                group.append(one)
            else:
                self._effects.append(one)  # `take` returns it
        return unsent

    def back(self) -> list[Effect]:
        """Return the whole backlog, in order; the caller performs it now."""
        self.down = None
        kept, self._backlog = self._backlog, {}
        return [effect for _, group in sorted(kept.items()) for effect in group]

    def _keep(self, number: int, group: list[Effect], effects: list[Effect]) -> None:
        self._backlog[number] = group
        if len(self._backlog) > self._max_backlog and self._halt is None:
            self._halt = JournalUnavailable(0.0, f"more than {self._max_backlog} batches wait for the journal")
            effects.append(Halt(self._halt))


def _is_of_cancel(answer: Answer) -> bool:
    """Return whether an answer is the result of a cancel, or of several."""
    value = answer.value
    return isinstance(value, CancelResult) or (
        isinstance(value, list) and bool(value) and all(isinstance(one, CancelResult) for one in value)
    )


def _as_unjournaled(effect: Effect) -> Effect:
    """Let the result of a cancel state that the journal does not have it."""
    if not isinstance(effect, Answer) or not _is_of_cancel(effect):
        return effect
    value = effect.value
    if isinstance(value, CancelResult):
        return replace(effect, value=replace(value, journaled=False))
    return replace(effect, value=[replace(one, journaled=False) for one in value])
