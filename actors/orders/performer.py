"""Performs the machine's effects in order: nothing behind a commit happens before the commit is durable.

    machine -> [Commit, Send, Answer, Commit, ...]
        Commit   goes to the committer at once (which groups waiting commits into one transaction); the rest waits
        Send     the bytes are written once; the outcome goes back into the machine. What can be done before without
                 writing a byte (`prepare`) is done while the commit is flushed, not while its thread needs the
                 interpreter
        Ask, Lookup, MeasureClock   change nothing, so they do not wait

After a failed commit no effect behind it is performed, and no later commit: all of these go back to the machine, so no
later commit can overtake the failed one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from ...journal.writes import CloseRequest, PutRequest, Write
from ...model.errors import InboxFull, JournalUnavailable, MeshError
from ...model.failpoint import is_armed, reach
from .machine.effects import Answer, Ask, Commit, Effect, Halt, Lookup, MeasureClock, Refuse, Send


class CommitLike(Protocol):
    """`journal.committer.Committer.submit`: its future is done at the moment when the commit succeeds or fails."""

    def __call__(
        self, writes: Iterable[Write], batch_id: str | None = None, flushing: Callable[[], None] | None = None
    ) -> Awaitable[list[int]]: ...


class EffectHandler(Protocol):
    """Executes effects for the performer; no method blocks."""

    def committed(self, writes: Sequence[Write], numbers: Sequence[int]) -> None: ...
    def can_prepare(self, effect: Send) -> bool: ...
    def prepare(self, effect: Send) -> None: ...
    def send(self, effect: Send) -> None: ...
    def ask(self, effect: Ask) -> None: ...
    def lookup(self, effect: Lookup) -> None: ...
    def measure_clock(self) -> None: ...
    def journal_failed(self, effects: Sequence[Effect], error: MeshError) -> None: ...
    def halt(self, error: BaseException) -> None: ...


@dataclass(slots=True)
class _Step:
    """A commit under way, and the effects behind it."""

    commit: Commit
    done: asyncio.Future[list[int]] | None  # None: not submitted, because an earlier commit failed
    behind: list[Effect] = field(default_factory=list)
    is_flushing: bool = False  # it waits only for the disk, and the requests behind it are prepared


class Performer:
    """See the module. Call `perform` on the loop for every list of effects; `idle` waits until all are performed.

    `alive` is `Context.alive`: a role whose cell has ended performs nothing behind its last commits.
    """

    def __init__(self, commit: CommitLike, role: EffectHandler, alive: Callable[[], None]) -> None:
        self._commit_batch, self._role, self._alive = commit, role, alive
        self._steps: deque[_Step] = deque()
        self._stopped = False
        self.commits = 0

    def stop(self) -> None:
        """Perform nothing that still waits for a commit, and nothing from now on."""
        self._stopped = True

    @property
    def waiting(self) -> int:
        """The number of commits that are not durable yet."""
        return len(self._steps)

    async def idle(self) -> None:
        """Wait until all effects submitted so far are performed."""
        last = self._steps[-1] if self._steps else None
        while any(step is last for step in self._steps):
            if last is not None and last.done is not None:
                await asyncio.wait({last.done})
            await asyncio.sleep(0)

    def perform(self, effects: Sequence[Effect]) -> None:
        """Perform these effects after all earlier ones."""
        if self._stopped:
            return
        sends = any(isinstance(effect, Send) and self._role.can_prepare(effect) for effect in effects)
        for effect in effects:
            match effect:
                case Commit():
                    self._commit(effect, sends)
                case Ask() | Lookup() | MeasureClock():
                    self._do(effect)
                case _ if self._steps:
                    step = self._steps[-1]
                    step.behind.append(effect)
                case _:
                    self._do(effect)

    def _commit(self, effect: Commit, sends: bool) -> None:
        """Submit a commit. `sends`: requests are behind it, which are prepared while it is flushed."""
        if is_armed():
            reach(f"commit.{_names(effect)}")
        failed = any(step.done is None or (step.done.done() and step.done.exception()) for step in self._steps)
        step = _Step(effect, None)
        self._steps.append(step)
        if not failed:
            flushing = partial(self._flushing, step) if sends else None
            step.done = asyncio.ensure_future(self._commit_batch(effect.batch.writes, effect.batch.id, flushing))
            step.done.add_done_callback(self._advance)

    def _flushing(self, step: _Step) -> None:
        """Prepare the requests behind a commit that waits only for the disk."""
        if self._stopped or step.is_flushing or step.done is None or step.done.done():
            return
        step.is_flushing = True
        for effect in step.behind:
            if isinstance(effect, Send) and self._role.can_prepare(effect):
                self._role.prepare(effect)

    def _advance(self, _: asyncio.Future[list[int]]) -> None:
        """Perform what is behind the commits that are durable; called when a commit has ended."""
        try:
            self._alive()
            while not self._stopped and self._steps:
                step = self._steps[0]
                if step.done is None or not step.done.done() or step.done.cancelled():
                    return
                error = step.done.exception()
                if error is None:
                    self.commits += 1
                    self._steps.popleft()
                    if is_armed():
                        reach(f"committed.{_names(step.commit)}")
                    self._role.committed(step.commit.batch.writes, step.done.result())
                    for effect in step.behind:
                        self._do(effect)
                elif isinstance(error, JournalUnavailable | InboxFull):
                    self._fail(error)
                else:
                    raise error
        except asyncio.CancelledError:  # the cell has ended
            self._stopped = True
        except Exception as failure:  # fenced, or unexpected: the role ends
            self._stopped = True
            self._role.halt(failure)

    def _fail(self, error: MeshError) -> None:
        """Return all effects that were not performed to the machine, in order."""
        undone: list[Effect] = []
        while self._steps:
            step = self._steps.popleft()
            if step.done is not None and not step.done.done():
                step.done.cancel()
            elif step.done is not None and not step.done.cancelled():
                step.done.exception()
            undone += [step.commit, *step.behind]
        self._role.journal_failed(undone, error)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Send():
                self._role.send(effect)
            case Answer(token, value):
                if not token.done():
                    token.set_result(value)
            case Refuse(token, error):
                if not token.done():
                    token.set_exception(error)
            case Ask():
                self._role.ask(effect)
            case Lookup():
                self._role.lookup(effect)
            case MeasureClock():
                self._role.measure_clock()
            case Halt(error):
                self._role.halt(error)
            case _:
                raise TypeError(f"{type(effect).__name__} is not an effect")


def _names(commit: Commit) -> str:
    """Name the content of a commit, for failpoints."""
    writes = commit.batch.writes
    if any(isinstance(write, PutRequest) for write in writes):
        return "intent"
    return "outcome" if any(isinstance(write, CloseRequest) for write in writes) else "other"
