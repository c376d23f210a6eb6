"""The journal of one account: takes it under a new epoch, holds it against other meshes, loads it, and trims it.

    open: an account that has used the journal never creates it; SQLite checks the file, once per life of the node
    take: the record must have all that the high-water mark says (`watermarks`), and no other mesh may hold the account
    hold: every few seconds the mesh says in the journal that it holds the account, which also shows in time that the
          file is gone or that another manager fences this one; the high-water mark follows, and if it cannot be
          written, `problem` says so and trading continues, because the journal itself is intact

Attempts to reach an unavailable journal are repeated until it is back; `waiting` is called with each error.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from loguru import logger

from ...journal.committer import Committer
from ...journal.database import Database
from ...journal.holds import wait_for_holders
from ...journal.journal import HELD_NS, Journal
from ...journal.records import Loaded
from ...journal.settings import JournalSettings
from ...journal.writes import PutSeen, Write
from ...keystore.secrets import journal_url
from ...model.errors import (
    AccountHeld,
    InboxFull,
    JournalMissing,
    JournalRewound,
    JournalUnavailable,
    MeshError,
    Misconfigured,
)
from ...model.time import DAY_NS
from ..cell.role import Context
from .watermarks import Watermarks

RETRY_S = 0.5  # between attempts to reach an unavailable journal
TRIM_EVERY_S = 1800.0
SEEN_EVERY_S = 3.0  # well below HELD_NS, after which another mesh may take the account
MARKED_EVERY = 10  # of them: how often the high-water mark follows


def check_journal(
    settings: JournalSettings, accounts: Sequence[tuple[str, str]], waiting: Callable[[str], None]
) -> None:
    """Check, before a mesh is started, that its accounts can trade on their journal. No record changes.

    Where another mesh held an account a moment ago, wait until it states so again or not: `waiting` is called once.

    Raises:
        JournalRewound, Misconfigured, AccountHeld: as `AccountJournal.take`.
        JournalUnavailable: the journal cannot be read now.
    """
    url = journal_url(settings.url, settings.url_file)
    marks = Watermarks(Database(url, settings.wait_s).name)
    if not settings.remember or marks.is_empty:
        return
    journal = _opened(url, settings.wait_s, marks)
    try:
        for of in accounts:
            known, found = marks.read(*of), journal.standing(*of)
            if known is not None:
                lacks = f"it has no account {'/'.join(of)}" if found is None else found.behind(known)
                if lacks is not None:
                    raise JournalRewound(journal.name, lacks)
        wait_for_holders(journal, {"/".join(of) for of in accounts}, waiting)
    finally:
        journal.close()


def _opened(url: str, wait_s: float, marks: Watermarks | None, *, is_checked: bool = False) -> Journal:
    """Open a journal; create it only if no account is known to have used it. Raises as `AccountJournal.take`."""
    try:
        journal = Journal.open(url, wait_s, create=marks is None or marks.is_empty)
    except JournalMissing as error:
        raise JournalRewound(error.journal, f"{error.reason}, although it has been traded with") from error
    if not is_checked and (damage := journal.database.damage()) is not None:
        journal.close()
        reason = f"is damaged and is not traded on ({damage}); restore a backup: venuemesh journal restore"
        raise Misconfigured(f"journal {journal.name}", reason)
    return journal


class AccountJournal:
    """See the module."""

    def __init__(
        self,
        settings: JournalSettings,
        exchange: str,
        account: str,
        context: Context,
        waiting: Callable[[MeshError], None],
    ) -> None:
        self._settings, self._context, self._waiting = settings, context, waiting
        self._exchange, self._account = exchange, account
        self._url = journal_url(settings.url, settings.url_file)
        self._marks = Watermarks(Database(self._url, settings.wait_s).name) if settings.remember else None
        self.problem: str | None = None  # why the high-water mark does not follow the journal
        self._journal: Journal | None = None
        self._lineage = ""
        self._mesh = f"{context.mesh}@{context.cluster}" if context.cluster else context.mesh

    async def take(self) -> Committer:
        """Open the journal and take the account: the new epoch fences all older managers.

        Raises:
            JournalRewound: the journal is missing, another one, or an older copy.
            Misconfigured: it is damaged, or cannot be used.
            AccountHeld: another mesh trades on the account.
        """
        holder = f"{self._context.address}@{self._context.incarnation[0]}.{self._context.incarnation[1]}"
        journal: Journal | None = None
        held: tuple[int, int] | None = None  # the hold of another mesh at the first look, and when that was
        while True:
            try:
                if journal is None:
                    journal = await asyncio.to_thread(self._open)
                self._context.alive()
                is_over = held is not None and self._context.monotonic_ns() - held[1] >= HELD_NS
                stale_ns = held[0] if held is not None and is_over else None
                epoch = await asyncio.to_thread(self._take, journal, holder, stale_ns)
                self._journal = journal
                return Committer(journal, self._exchange, self._account, epoch)
            except JournalUnavailable as error:
                self._waiting(error)
            except AccountHeld as error:
                if held is not None and error.seen_ns != held[0]:
                    raise  # that mesh lives
                held = held or (error.seen_ns, self._context.monotonic_ns())
                self._waiting(error)
            await asyncio.sleep(RETRY_S)

    def _open(self) -> Journal:
        marks = self._marks
        is_checked = marks is not None and marks.checked_on(self._exchange, self._account) == self._context.node
        return _opened(self._url, self._settings.wait_s, marks, is_checked=is_checked)

    def _take(self, journal: Journal, holder: str, stale_ns: int | None) -> int:
        of, marks, now_ns = (self._exchange, self._account), self._marks, self._context.time_ns()
        known = None if marks is None else marks.read(*of)
        epoch = journal.take(*of, holder, now_ns, mesh=self._mesh, known=known, stale_ns=stale_ns)
        self._mark(journal)
        return epoch

    def _mark(self, journal: Journal) -> None:
        standing = journal.standing(self._exchange, self._account)
        if standing is None:
            return
        self._lineage = standing.lineage
        if self._marks is not None:
            self._marks.write(self._exchange, self._account, standing, self._context.node)

    async def load(self, committer: Committer) -> Loaded:
        """Return the account's open orders, unresolved requests, cursors and marks."""
        while True:
            try:
                return await committer.read(lambda journal: journal.load(self._exchange, self._account))
            except JournalUnavailable as error:
                self._waiting(error)
                await asyncio.sleep(RETRY_S)

    async def hold(
        self,
        committer: Committer,
        write: Callable[[Sequence[Write]], Awaitable[None]],
        unavailable: Callable[[MeshError], None],
    ) -> None:
        """Say at intervals that the mesh holds the account; call `unavailable` when that cannot be written.

        Raises:
            MeshError: another manager took the account, or the journal can never be written again.
        """
        made = 0
        while True:
            await asyncio.sleep(SEEN_EVERY_S)
            try:
                await write([PutSeen(self._context.time_ns())])
                made += 1
            except (JournalUnavailable, InboxFull) as error:
                unavailable(error)
                continue
            if made % MARKED_EVERY == 0 or self.problem is not None:
                await self._follow(committer)

    async def _follow(self, committer: Committer) -> None:
        """Let the high-water mark follow the journal; `problem` says why it does not."""
        try:
            await committer.read(self._mark)
        except JournalUnavailable:
            return  # the next commit tells
        except Misconfigured as error:
            if self.problem is None:
                logger.warning("the high-water mark of the journal cannot be kept", error=str(error))
            self.problem = str(error)
        else:
            self.problem = None

    async def release(self, committer: Committer) -> None:
        """Give the account up, so that another mesh may take it at once. Raises as `Committer.commit`."""
        await committer.commit([PutSeen(0)], f"{committer.epoch}-released")
        await committer.read(self._mark)

    def rewound(self) -> None:
        """Keep how far the journal had come before an older copy replaced it, so that no successor trades on that."""
        of, journal = (self._exchange, self._account), self._journal
        reached = None if journal is None else journal.reached(*of, self._lineage)
        if self._marks is None or reached is None:
            return
        try:
            self._marks.write(*of, reached)
        except Misconfigured as error:
            logger.error("a successor may trade on the older journal: its mark cannot be kept", error=str(error))

    async def keep_trimmed(self) -> None:
        """Trim ended records older than `keep_days` from the journal, at intervals, between commits."""
        while True:
            await asyncio.sleep(TRIM_EVERY_S)
            with contextlib.suppress(JournalUnavailable):  # retried later; commits report an unavailable journal
                await asyncio.to_thread(self._trim)

    def _trim(self) -> None:
        opened = Journal.open(self._url, self._settings.wait_s, create=False)
        try:
            before_ns = self._context.time_ns() - self._settings.keep_days * DAY_NS
            opened.trim(self._exchange, self._account, before_ns)
        finally:
            opened.close()
