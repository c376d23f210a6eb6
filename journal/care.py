"""Checks, backs up and restores a journal, for its operator.

A backup is a whole journal in one file, made while managers write (SQLite's online backup). A restored journal is not
the continuation of the one before it: it gets a new lineage, so that readers with a number of the old one notice, and a
RESTORED event (`Journal.renew`). The replaced files are kept next to it. A PostgreSQL journal is backed up and restored
by PostgreSQL's own tools.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, func, select

from ..model.errors import AccountHeld, JournalUnavailable, Misconfigured
from ..model.order import ZERO
from . import queries, schema
from .database import COMPANIONS, RETRY_S, Database
from .holds import wait_for_holders
from .journal import Journal
from .migrate import VERSION_TABLE
from .records import Filter
from .whole_file import whole_file

PAGE = 1_000
DAMAGE = "PRAGMA integrity_check(20)"


def check(journal: Journal) -> list[str]:
    """Return what is wrong with a journal, a line each: the file's structure, gaps in events, fills that do not add up.

    It reads everything, once; managers may write meanwhile.

    Raises:
        JournalUnavailable: the journal cannot be read.
    """
    problems = []
    if journal.is_sqlite:
        found = journal.database.run(lambda connection: connection.exec_driver_sql(DAMAGE).scalars().all(), write=False)
        problems += [" ".join(str(one).split()) for one in found if one != "ok"]
    for exchange, account in journal.accounts():
        name = f"{exchange}/{account}"
        gap = journal.database.run(partial(_event_gap, exchange=exchange, account=account), write=False)
        problems += [f"{name}: {gap}"] if gap else []
        problems += [f"{name}: {one}" for one in _unequal_orders(journal, exchange, account)]
    return problems


def _event_gap(connection: Connection, exchange: str, account: str) -> str | None:
    """Return what is wrong with the numbers of the events; None if they are without a gap up to the last."""
    row = queries.account_row(connection, exchange, account)
    of = schema.events.c
    counts = select(func.count(), func.min(of.number), func.max(of.number)).where(of.account_id == row.id)
    count, first, last = connection.execute(counts).one()
    if not count:
        return None
    if last != row.next_event - 1:
        return f"the last event is number {last}, and the account's next number is {row.next_event}"
    if count != last - first + 1:
        return f"{last - first + 1 - count} events between number {first} and {last} are missing"
    return None


def _unequal_orders(journal: Journal, exchange: str, account: str) -> Iterator[str]:
    """Yield the own orders whose filled amount is not the sum of their fills."""
    after: int | None = 0
    while after is not None:
        page = journal.orders(Filter(exchange, account), after, PAGE)
        after = page.next
        orders = {order.client_order_id: order for order in page.rows if not order.external}
        for one, amount in _filled(journal, exchange, account, list(orders)).items():
            if amount != orders[one].filled:
                yield f"order {one} is filled by {orders[one].filled:f}, and its fills are {amount:f}"


def _filled(journal: Journal, exchange: str, account: str, ids: list[str]) -> dict[str, Decimal]:
    """Return the sum of the fills of each of these orders."""

    def work(connection: Connection) -> dict[str, Decimal]:
        row = queries.account_row(connection, exchange, account)
        sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for one in queries.by_ids(connection, schema.fills, row.id, ids):
            sums[one["client_order_id"]] += Decimal(one["amount"])
        return {one: sums[one] for one in ids}

    return journal.database.run(work, write=False)


def back_up(url: str, to: Path, *, overwrite: bool = False) -> None:
    """Write a copy of a journal to a private file that appears complete or not at all. Managers write meanwhile.

    Raises:
        JournalMissing: there is no journal.
        Misconfigured: it is not SQLite, it is damaged, or the file exists already or cannot be written.
        JournalUnavailable: the journal cannot be read, or the disk is full.
    """
    journal = Journal.open(url, create=False)
    try:
        _only_sqlite(journal, "pg_dump")
        with whole_file(to, overwrite) as part:
            _copy(Path(journal.name), part)
            _inspect(part, journal.name)
    finally:
        journal.close()


def restore(url: str, backup: Path, waiting: Callable[[str], None]) -> list[Path]:
    """Put a backup in the place of a journal; return the files that it replaced, under their new names.

    Raises:
        AccountHeld: a mesh trades on the journal.
        Misconfigured: the journal is not SQLite, or the backup is no intact journal. Nothing was changed.
        JournalUnavailable: the disk is full, or a file cannot be moved. Repeat it: the replaced files are kept.
    """
    database = Database(url, 5.0)
    if not database.is_sqlite:
        raise Misconfigured(database.name, "is not a file; restore it by pg_restore, then: venuemesh journal accept")
    path, stamp = Path(database.name), time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    _inspect(backup, str(backup))
    refuse_held(url, waiting)
    kept = []
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with whole_file(path.with_name(f"{path.name}.restored"), overwrite=True) as part:
            _copy(backup, part)
        for one in (path, *(path.with_name(path.name + end) for end in COMPANIONS)):
            if one.exists():
                kept.append(one.with_name(f"{one.name}.replaced-{stamp}"))
                os.rename(one, kept[-1])
        os.rename(path.with_name(f"{path.name}.restored"), path)
    except OSError as error:
        raise JournalUnavailable(RETRY_S, f"{path}: {error.strerror}") from error
    return kept


def refuse_held(url: str, waiting: Callable[[str], None]) -> None:
    """Check that no mesh trades on a journal (`wait_for_holders`). A missing or damaged journal cannot tell: it passes.

    Raises:
        AccountHeld: a mesh lives that holds an account.
    """
    try:
        journal = Journal.open(url, create=False)
    except Misconfigured:
        return
    try:
        wait_for_holders(journal, None, waiting)
    except AccountHeld:
        raise
    except Misconfigured:
        return
    finally:
        journal.close()


def _only_sqlite(journal: Journal, tool: str) -> None:
    if not journal.is_sqlite:
        raise Misconfigured(journal.name, f"is a PostgreSQL database; use {tool}")


def _inspect(path: Path, name: str) -> None:
    """Check a file without changing it. Raises Misconfigured: it is no journal of a known version, or is damaged."""
    log = path.with_name(f"{path.name}{COMPANIONS[0]}")
    mode = "mode=ro" if log.exists() else "mode=ro&immutable=1"  # without a log, nothing is made next to the file
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True)) as reading:
            damage = " ".join(str(reading.execute("PRAGMA quick_check(1)").fetchone()[0]).split())
            version = reading.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()[0]
    except sqlite3.Error as error:
        raise Misconfigured(name, f"is not an intact journal: {error}; nothing was changed") from error
    if damage != "ok":
        raise Misconfigured(name, f"is damaged ({damage}); nothing was changed")
    if version not in schema.KNOWN:
        raise Misconfigured(name, f"has version {version}, which this code does not know; nothing was changed")


def _copy(source: Path, to: Path) -> None:
    """Copy an SQLite database, as of one moment. Source: sqlite.org/backup.html, read 2026-11-28.

    Raises:
        JournalUnavailable: it cannot be read or written.
    """
    try:
        with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(to)) as writing:
            reading.backup(writing, pages=-1)
            writing.execute("PRAGMA journal_mode = DELETE").close()  # one file, without a log next to it
    except sqlite3.Error as error:
        raise JournalUnavailable(RETRY_S, f"{source} to {to}: {error}") from error
