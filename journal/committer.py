"""A journal behind asyncio: one thread commits, and commits that wait share a transaction.

    submit -> queue -> writing thread: one transaction of all that waits -> one call on the loop: futures are done

The thread takes the next transaction by itself, so commits under load do not wait for a turn of the loop. Sixty-four
simultaneous commits cost one fsync, like a single commit. There is no artificial delay. When a commit fails, the thread
stops until the loop has failed all commits that wait behind it. Reads, and the checkpoints of SQLite's log, use another
thread and another connection, so they delay no commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from ..model.errors import Fenced, InboxFull, JournalUnavailable, MeshError
from .journal import Journal
from .writes import Batch, Write

T = TypeVar("T")
Flushing = Callable[[], None]
Waiting = tuple[Batch, "asyncio.Future[list[int]]", Flushing | None]
CHECKPOINT_EVERY = 48  # transactions


class Committer:
    """Commits of one account under one epoch, for one event loop. Owns its journal: `close` closes it.

    At most `most` batches share a transaction; at most `waiting` may wait.
    """

    def __init__(
        self, journal: Journal, exchange: str, account: str, epoch: int, most: int = 128, waiting: int = 10_000
    ) -> None:
        self.epoch = epoch
        self._journal = journal
        self._reading: Journal | None = None
        self._account = (exchange, account)
        self._limit = waiting
        self._made = 0
        self.batches = self.transactions = 0  # that are durable
        self._unanswered = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._writer: _Writer | None = None
        self._reader = ThreadPoolExecutor(1, "journal-reader")
        self._checkpoint: asyncio.Future[None] | None = None
        self._most = most
        self._end: Exception | None = None

    async def commit(self, writes: Iterable[Write], batch_id: str | None = None) -> list[int]:
        """Make the writes durable, all or none, and return the numbers of their events in order.

        Commits happen in the order of the calls. A caller that may have to repeat the batch passes a `batch_id`: see
        `Journal.commit`. Cancelling the caller does not undo the writes.

        Raises:
            Fenced: a newer epoch took the account. Nothing was written, and every later call raises Fenced at once.
            JournalUnavailable: not written, or unknown after a lost connection. All commits that wait behind it fail,
            too, and are not written, so nothing is reordered; later calls are tried again.
            Misconfigured: the journal is damaged. All commits behind it fail, too.
            InboxFull: too many commits wait. These writes were not accepted.
        """
        return await asyncio.shield(self.submit(writes, batch_id))

    def submit(
        self, writes: Iterable[Write], batch_id: str | None = None, flushing: Flushing | None = None
    ) -> asyncio.Future[list[int]]:
        """Commit as `commit` does; return at once a future that is done at the moment of the commit or its failure.

        `flushing` is called on the loop when the writes wait only for the disk: what the loop does before that delays
        the thread, because one interpreter runs both; what it does from then on costs no time. The commit may still
        fail. Not called for a batch that was committed before, nor where the thread came no further.

        For a caller that must not submit after a failed commit: a task that awaits `commit` resumes some turns of the
        loop later.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[int]] = loop.create_future()
        if self._end is not None:
            future.set_exception(self._end)
            return future
        if self._writer is None:
            self._writer = _Writer(self._journal, self._account, self.epoch, self._most, loop, self)
        if len(self._writer.waiting) >= self._limit:
            future.set_exception(InboxFull(f"journal of {'/'.join(self._account)}", self._limit))
            return future
        self._made += 1
        self._unanswered += 1
        self._idle.clear()
        self._writer.add((Batch(batch_id or f"{self.epoch}-{self._made}", tuple(writes)), future, flushing))
        return future

    async def read(self, work: Callable[[Journal], T]) -> T:
        """Return `work(journal)`, run in the reading thread. It sees every commit that was answered before.

        Raises:
            JournalUnavailable, Misconfigured: see `Journal`.
        """
        return await asyncio.get_running_loop().run_in_executor(self._reader, work, self._other())

    async def close(self) -> None:
        """Refuse further commits, wait for submitted work, then close the journal. Idempotent."""
        self._end = self._end or JournalUnavailable(0.0, "the committer is closed")
        await self._idle.wait()
        loop = asyncio.get_running_loop()
        writer, self._writer = self._writer, None
        if writer is not None:
            await loop.run_in_executor(None, writer.end)
        await loop.run_in_executor(None, self._journal.close)
        if self._reading is not None:
            await loop.run_in_executor(self._reader, self._reading.close)
            self._reading = None
        self._reader.shutdown(wait=False)

    def _other(self) -> Journal:
        if self._reading is None:
            self._reading = self._journal.another()
        return self._reading

    # ------------------------------------------------------------------ called by the writer, on the loop

    def flushing(self, wanted: Sequence[Flushing]) -> None:
        """Call the callers who wait for this: only the disk is waited for."""
        for one in wanted:
            one()

    def committed(self, group: Sequence[Waiting], numbers: Sequence[list[int]]) -> None:
        """Answer commits that are durable."""
        self.batches, self.transactions = self.batches + len(group), self.transactions + 1
        for (_, future, _), found in zip(group, numbers, strict=True):
            if not future.done():
                future.set_result(found)
        self._answered(len(group))
        if self.transactions % CHECKPOINT_EVERY == 0 and self._end is None and self._journal.is_sqlite:
            self._start_checkpoint()

    def failed(self, group: Sequence[Waiting], error: Exception) -> None:
        """Fail these commits and all that wait; the writer continues with later ones."""
        if isinstance(error, Fenced):
            self._end = error
        assert self._writer is not None
        group = [*group, *self._writer.drop()]
        for _, future, _ in group:
            if not future.done():
                future.set_exception(error)
        self._answered(len(group))

    def _answered(self, count: int) -> None:
        self._unanswered -= count
        if not self._unanswered:
            self._idle.set()

    def _start_checkpoint(self) -> None:
        if self._checkpoint is None or self._checkpoint.done():
            loop = asyncio.get_running_loop()
            self._checkpoint = loop.run_in_executor(self._reader, _checkpoint, self._other())


class _Writer:
    """The writing thread. It ends with `end`, or when its committer is gone, and does not keep a process alive."""

    def __init__(
        self,
        journal: Journal,
        account: tuple[str, str],
        epoch: int,
        most: int,
        loop: asyncio.AbstractEventLoop,
        owner: Committer,
    ) -> None:
        self.waiting: deque[Waiting] = deque()
        self._journal, self._account, self._epoch, self._most = journal, account, epoch, most
        self._loop, self._owner = loop, weakref.ref(owner)
        self._wakes: SimpleQueue[bool] = SimpleQueue()  # True: work waits, False: end
        self._stopped = False  # after a failure, until the loop has failed all that waits
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()
        weakref.finalize(owner, self._wakes.put, False)

    def add(self, one: Waiting) -> None:
        """Commit behind all that waits. A wake is needed only for the first: the thread takes all that waits."""
        is_first = not self.waiting
        self.waiting.append(one)
        if is_first:
            self._wakes.put(True)

    def drop(self) -> list[Waiting]:
        """After a failure: return all that waits, and continue with what comes later."""
        dropped = list(self.waiting)
        self.waiting.clear()
        self._stopped = False
        return dropped

    def end(self) -> None:
        """End the thread; blocks until it has ended."""
        self._wakes.put(False)
        self._thread.join()

    def _run(self) -> None:
        while self._wakes.get():
            while self.waiting and not self._stopped:
                group = [self.waiting.popleft() for _ in range(min(self._most, len(self.waiting)))]
                try:
                    batches = [batch for batch, _, _ in group]
                    numbers = self._journal.commit(*self._account, self._epoch, batches, self._flushing(group))
                except Exception as error:
                    self._stopped = True
                    self._report(Committer.failed, group, error)
                else:
                    self._report(Committer.committed, group, numbers)

    def _flushing(self, group: Sequence[Waiting]) -> Flushing | None:
        """Return what the journal calls before it flushes; None if no caller in the group passed a `flushing`."""
        wanted = [flushing for _, _, flushing in group if flushing is not None]
        return partial(self._report, Committer.flushing, wanted) if wanted else None

    def _report(self, what: Callable[..., None], *arguments: Any) -> None:
        owner = self._owner()
        if owner is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, so no caller waits
                self._loop.call_soon_threadsafe(what, owner, *arguments)


def _checkpoint(journal: Journal) -> None:
    with contextlib.suppress(MeshError):  # the next one is soon, and commits report what is wrong
        journal.checkpoint()
