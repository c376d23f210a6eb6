"""A journal behind asyncio: commits share transactions, in a separate thread.

While one transaction is written to the disk, new commits wait and then share the next transaction: sixty-four
simultaneous commits cost one fsync, like a single commit. There is no artificial delay. Reads use another thread and
another connection, so a long listing delays no commit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..model.errors import Fenced, InboxFull, JournalUnavailable
from .journal import Journal
from .writes import Batch, Write

T = TypeVar("T")


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
        self._most = most
        self._limit = waiting
        self._made = 0
        self.batches = self.transactions = 0  # that are durable
        self._waiting: deque[tuple[Batch, asyncio.Future[list[int]]]] = deque()
        self._writer = ThreadPoolExecutor(1, "journal-writer")
        self._reader = ThreadPoolExecutor(1, "journal-reader")
        self._task: asyncio.Task[None] | None = None
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

    def submit(self, writes: Iterable[Write], batch_id: str | None = None) -> asyncio.Future[list[int]]:
        """Commit as `commit` does; return at once a future that is done at the moment of the commit or its failure.

        For a caller that must not submit after a failed commit: a task that awaits `commit` resumes some turns of the
        loop later.
        """
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        if self._end is not None:
            future.set_exception(self._end)
        elif len(self._waiting) >= self._limit:
            future.set_exception(InboxFull(f"journal of {'/'.join(self._account)}", self._limit))
        else:
            self._made += 1
            self._waiting.append((Batch(batch_id or f"{self.epoch}-{self._made}", tuple(writes)), future))
            if self._task is None:
                self._task = asyncio.create_task(self._work(), name="journal committer")
        return future

    async def read(self, work: Callable[[Journal], T]) -> T:
        """Return `work(journal)`, run in the reading thread. It sees every commit that was answered before.

        Raises:
            JournalUnavailable, Misconfigured: see `Journal`.
        """
        if self._reading is None:
            self._reading = self._journal.another()
        return await asyncio.get_running_loop().run_in_executor(self._reader, work, self._reading)

    async def write(self, work: Callable[[Journal], T]) -> T:
        """Return `work(journal)`, run in the writing thread between two commits, for example `trim`."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, work, self._journal)

    async def close(self) -> None:
        """Refuse further commits, wait for submitted work, then close the journal. Idempotent."""
        self._end = self._end or JournalUnavailable(0.0, "the committer is closed")
        if self._task is not None:
            await self._task
        loop = asyncio.get_running_loop()
        for pool, journal in ((self._writer, self._journal), (self._reader, self._reading)):
            if journal is not None:
                await loop.run_in_executor(None, journal.close)
            pool.shutdown(wait=False)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                batches = [batch for batch, _ in group]
                try:
                    numbers = await loop.run_in_executor(self._writer, self._commit, batches)
                except Exception as error:
                    if isinstance(error, Fenced):
                        self._end = error
                    group.extend(self._waiting)
                    self._waiting.clear()
                    _answer(group, error)
                else:
                    self.batches, self.transactions = self.batches + len(group), self.transactions + 1
                    for (_, future), found in zip(group, numbers, strict=True):
                        if not future.done():
                            future.set_result(found)
        finally:
            self._task = None

    def _commit(self, batches: list[Batch]) -> list[list[int]]:
        return self._journal.commit(*self._account, self.epoch, batches)


def _answer(group: list[tuple[Batch, asyncio.Future[Any]]], error: Exception) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(error)
