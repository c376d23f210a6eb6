"""The journal of one account: takes it under a new epoch, loads the open state, and trims old records.

Attempts to reach an unavailable journal are repeated until it is back; `unavailable` is called with each error.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from ...journal.committer import Committer
from ...journal.journal import Journal
from ...journal.records import Loaded
from ...journal.settings import JournalSettings
from ...keystore.secrets import journal_url
from ...model.errors import JournalUnavailable
from ...model.time import DAY_NS
from ..cell.role import Context

RETRY_S = 0.5  # between attempts to reach an unavailable journal
TRIM_EVERY_S = 1800.0


class AccountJournal:
    """See the module."""

    def __init__(
        self,
        settings: JournalSettings,
        exchange: str,
        account: str,
        context: Context,
        unavailable: Callable[[JournalUnavailable], None],
    ) -> None:
        self._settings, self._context, self._unavailable = settings, context, unavailable
        self._exchange, self._account = exchange, account

    async def take(self) -> Committer:
        """Open the journal and take the account: the new epoch fences all older managers. Raises as `Journal.take`."""
        settings, context = self._settings, self._context
        url = journal_url(settings.url, settings.url_file)
        holder = f"{context.address}@{context.incarnation[0]}.{context.incarnation[1]}"
        journal: Journal | None = None
        while True:
            try:
                if journal is None:
                    journal = await asyncio.to_thread(Journal.open, url, settings.wait_s)
                context.alive()
                epoch = await asyncio.to_thread(journal.take, self._exchange, self._account, holder, context.time_ns())
                return Committer(journal, self._exchange, self._account, epoch)
            except JournalUnavailable as error:
                self._unavailable(error)
                await asyncio.sleep(RETRY_S)

    async def load(self, committer: Committer) -> Loaded:
        """Return the account's open orders, unresolved requests, cursors and marks."""
        while True:
            try:
                return await committer.read(lambda journal: journal.load(self._exchange, self._account))
            except JournalUnavailable as error:
                self._unavailable(error)
                await asyncio.sleep(RETRY_S)

    async def keep_trimmed(self) -> None:
        """Trim ended records older than `keep_days` from the journal, at intervals, between commits."""
        while True:
            await asyncio.sleep(TRIM_EVERY_S)
            with contextlib.suppress(JournalUnavailable):  # retried later; commits report an unavailable journal
                await asyncio.to_thread(self._trim)

    def _trim(self) -> None:
        settings = self._settings
        opened = Journal.open(journal_url(settings.url, settings.url_file), settings.wait_s, create=False)
        try:
            before_ns = self._context.time_ns() - settings.keep_days * DAY_NS
            opened.trim(self._exchange, self._account, before_ns)
        finally:
            opened.close()
