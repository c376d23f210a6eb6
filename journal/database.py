"""One connection to the journal's database, opened on demand and reopened after a loss. The journal's only I/O.

Errors of the database become `JournalUnavailable` for temporary problems (full disk, held lock, unreachable server), or
`Misconfigured` for permanent ones (not a database, damaged, missing driver).
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from ..model.errors import JournalMissing, JournalUnavailable, MeshError, Misconfigured
from ..model.failpoint import reach
from ..model.shown import storable
from ..model.users import user_name
from .place import FilePlace
from .prepared import CoreTransaction, SqliteTransaction, Transaction

COMPANIONS = ("-wal", "-shm", "-journal")  # sqlite.org/tempfiles.html
T = TypeVar("T")

RETRY_S = 0.5
"""The delay that `JournalUnavailable` asks its caller to wait."""
_WAL_LIMIT_BYTES = 64 * 2**20
_CHECKPOINT_PAGES = 4000  # a commit checkpoints the log itself from here on: the committer's checkpoints keep it below
_BROKEN_FILE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
# PostgreSQL's error classes that no retry fixes. Source: PostgreSQL manual, Appendix A, read 2026-11-22.
_WRONG_SERVER = ("28", "3D", "3F", "42501", "XX001", "XX002")


def parse(url: str) -> URL:
    """Return the URL as an SQLAlchemy URL with its driver.

    Raises:
        Misconfigured: not a URL, or an unsupported database. The error shows no password.
    """
    try:
        read = make_url(url)
    except ArgumentError as error:
        raise Misconfigured("journal.url", "not a database URL, such as sqlite:////var/lib/mesh.db") from error
    driver = read.drivername
    if driver in ("sqlite", "sqlite+pysqlite"):
        if not read.database or read.database == ":memory:" or read.database.startswith("file:"):
            raise Misconfigured("journal.url", "an SQLite journal is a file: sqlite:////path")
        return read.set(drivername="sqlite+pysqlite")
    if driver in ("postgresql", "postgresql+psycopg", "postgres"):
        return read.set(drivername="postgresql+psycopg")
    raise Misconfigured("journal.url", f"{driver} is neither sqlite nor postgresql (with psycopg)")


class Database:
    """Runs functions in transactions on one connection. For one thread at a time, which may change."""

    def __init__(self, url: str, wait_s: float) -> None:
        """Make the object without connecting. `wait_s`: longest wait for a lock or a connection."""
        self.url = parse(url)
        self.wait_s = wait_s
        self._connection: Connection | None = None
        self._transaction: SqliteTransaction | None = None  # of the connection
        self._place: FilePlace | None = None  # of the connection
        self._begin = "BEGIN"
        self._engine = self._make_engine()

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @property
    def name(self) -> str:
        """The name in errors: the file, or the URL without its password."""
        return str(self.url.database) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    def run(self, work: Callable[[Connection], T], write: bool) -> T:
        """Run `work` in one transaction and return its result. Durable on return; rolled back if this raises.

        After a lost connection this method reconnects and runs `work` once more. The first run may have been committed;
        `work` must detect that itself. A reading transaction sees one snapshot.

        Raises:
            JournalUnavailable: see the module. After a lost connection the transaction may have been committed.
            Misconfigured: see the module.
        """
        again = True
        while True:
            try:
                return self._attempt(work, write)
            except DBAPIError as error:
                lost = error.connection_invalidated and self._connection is not None
                self.close()
                if lost and again:
                    again = False
                    continue
                raise self._typed(error.orig) from error

    def _attempt(self, work: Callable[[Connection], T], write: bool) -> T:
        if write:
            reach("journal.begin")
        connection = self._connected()
        self._begin = "BEGIN IMMEDIATE" if write else "BEGIN"
        with connection.begin():
            if not write and not self.is_sqlite:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            found = work(connection)
            if write:
                reach("journal.commit")
        if write:
            reach("journal.committed")
        self._check_place()
        return found

    def commit(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one writing transaction and return its result, as `run`; on SQLite by the driver alone.

        Raises as `run`.
        """
        if not self.is_sqlite:
            return self.run(lambda connection: work(CoreTransaction(connection)), write=True)
        reach("journal.begin")
        try:
            transaction = self._open_sqlite()
            transaction.begin()
            try:
                found = work(transaction)
                reach("journal.commit")
                transaction.commit()
            except BaseException:
                transaction.roll_back()
                raise
        except (sqlite3.Error, DBAPIError) as error:  # of a statement, or of the connection
            self.close()
            raise self._typed(error.orig if isinstance(error, DBAPIError) else error) from error
        reach("journal.committed")
        self._check_place()
        return found

    def damage(self) -> str | None:
        """Return the first damage that SQLite finds in the structure of the file; None: none, or not SQLite.

        The time is that of reading the file. Raises as `run`. Source: sqlite.org/pragma.html#pragma_quick_check, read
        2026-11-28.
        """
        if not self.is_sqlite:
            return None
        try:
            found = self.run(lambda connection: connection.exec_driver_sql("PRAGMA quick_check(1)").scalar(), False)
        except Misconfigured as error:
            return error.reason
        return None if found == "ok" else " ".join(str(found).split())

    def checkpoint(self) -> None:
        """Checkpoint SQLite's log as far as that delays nobody. Raises as `run`."""
        try:
            self._open_sqlite().checkpoint()
        except (sqlite3.Error, DBAPIError) as error:
            self.close()
            raise self._typed(error.orig if isinstance(error, DBAPIError) else error) from error

    def _open_sqlite(self) -> SqliteTransaction:
        if self._transaction is None:
            raw: Any = self._connected().connection.driver_connection
            self._transaction = SqliteTransaction(raw.cursor())
        return self._transaction

    def _connected(self) -> Connection:
        """Return the connection; open it if there is none. Raises JournalUnavailable: the file is missing."""
        if self._connection is None:
            if self.is_sqlite:
                self._place = FilePlace(self._path)
                if not self._place.exists:
                    raise JournalUnavailable(RETRY_S, f"{self._path} is missing: it was removed or moved; put it back")
            self._connection = self._engine.connect()
        return self._connection

    def _check_place(self) -> None:
        """Raises JournalUnavailable: the files at the journal's path are others than the open ones, so what was
        committed may be lost."""
        if self._place is not None and (problem := self._place.problem()) is not None:
            self.close()
            raise JournalUnavailable(RETRY_S, problem)

    @property
    def _path(self) -> Path:
        return Path(str(self.url.database))

    def close(self) -> None:
        """Close the connection; the next `run` or `commit` opens another."""
        connection, self._connection, self._transaction, self._place = self._connection, None, None, None
        if connection is not None:
            connection.invalidate()  # closes without contacting a server that may be gone
            connection.close()

    # ------------------------------------------------------------------ connecting

    def _make_engine(self) -> Engine:
        options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
        url = self.url
        if url.drivername.startswith("sqlite"):
            # mode=rw: a connection never creates the file, `prepare_file` does
            url = url.set(database=f"file:{quote(str(url.database))}", query={"mode": "rw", "uri": "true"})
            options["connect_args"] = {"timeout": self.wait_s, "check_same_thread": False, "cached_statements": 256}
        else:
            options["use_native_hstore"] = False
            options["connect_args"] = {
                "connect_timeout": max(2, int(self.wait_s)),
                "application_name": "venuemesh journal",
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 15_000,
            }
        try:
            engine = create_engine(url, **options)
        except ModuleNotFoundError as error:
            reason = f"{error.name} is missing: pip install 'venuemesh[postgresql]'"
            raise Misconfigured("journal.url", reason) from error
        event.listen(engine, "connect", self._on_connect)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "begin", self._on_begin)
        return engine

    def _on_begin(self, connection: Connection) -> None:
        connection.exec_driver_sql(self._begin)

    def _on_connect(self, raw: Any, record: Any) -> None:
        if self.url.drivername.startswith("sqlite"):
            self._set_up_sqlite(raw)
        else:
            self._set_up_postgresql(raw)

    def _set_up_sqlite(self, raw: Any) -> None:
        """Configure an SQLite connection. Source: sqlite.org/pragma.html and sqlite.org/wal.html, read 2026-11-22."""
        raw.isolation_level = None  # we issue BEGIN ourselves
        mode = self._wal(raw)
        if mode != "wal":
            raise Misconfigured(self.name, f"SQLite cannot keep a write-ahead log in this folder (journal mode {mode})")
        for setting in (
            "synchronous = FULL",  # a commit is on the disk on return
            "fullfsync = ON",  # on macOS fsync alone is not enough
            "foreign_keys = ON",
            f"journal_size_limit = {_WAL_LIMIT_BYTES}",
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
        ):
            raw.execute(f"PRAGMA {setting}").close()

    def _wal(self, raw: Any) -> str:
        """Turn on the write-ahead log. Several processes may do so at once, and SQLite does not make them wait."""
        deadline = time.monotonic() + self.wait_s
        while True:
            try:
                return str(raw.execute("PRAGMA journal_mode = WAL").fetchone()[0])
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)

    def _set_up_postgresql(self, raw: Any) -> None:
        """Configure a session. Source: PostgreSQL manual, chapter 20 (connection defaults, log), read 2026-11-22."""
        _let_text_be_storable(raw)
        wait_ms = int(self.wait_s * 1000)
        with raw.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, false),"
                " set_config('idle_in_transaction_session_timeout', %s, false),"  # a stopped writer frees the row
                " set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
                " WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)",
                (str(wait_ms), str(2 * wait_ms)),
            )
        raw.commit()

    def prepare_file(self, create: bool) -> None:
        """Create an SQLite journal's directory and file, for this user only, if they do not exist; else check them.

        Raises:
            Misconfigured: the file cannot be created, or it does not exist and must not be created; or other users can
                read or change it.
            JournalUnavailable: the disk is full.
        """
        if not self.is_sqlite:
            return
        path = self._path
        if not create and not path.exists():
            raise JournalMissing(str(path), "the journal does not exist")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK, 0o600))
            _check_private(path)
        except (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
            raise Misconfigured(str(path), error.strerror) from error
        except OSError as error:
            raise JournalUnavailable(RETRY_S, f"{path}: {error.strerror}") from error

    # ------------------------------------------------------------------ errors

    def _typed(self, cause: BaseException | None) -> MeshError:
        """Return the typed error for an error of the driver."""
        if isinstance(cause, sqlite3.Error):
            name = getattr(cause, "sqlite_errorname", "") or type(cause).__name__
            if name.startswith(_BROKEN_FILE):
                return Misconfigured(self.name, f"not an intact journal: {cause} ({name})")
            if not isinstance(cause, sqlite3.OperationalError):
                return Misconfigured(self.name, f"{type(cause).__name__}: {cause} ({name})")
            return JournalUnavailable(RETRY_S, f"{self.name}: {cause} ({name})")
        state = getattr(cause, "sqlstate", None) or ""
        text = str(cause).partition("\n")[0]
        if state.startswith(_WRONG_SERVER) or state[:2] in ("22", "23", "42"):
            return Misconfigured(self.name, f"{text} ({state})")
        return JournalUnavailable(RETRY_S, f"{self.name}: {text}" + (f" ({state})" if state else ""))


def _let_text_be_storable(raw: Any) -> None:
    """Let a psycopg connection write and compare text as `storable`: for one NUL PostgreSQL refuses a commit each time.

    Foreign text is storable where it is read, and text of users is refused; this is for what either overlooks.
    Source: psycopg.org/psycopg3/docs/advanced/adapt.html, read 2026-11-28.
    """
    from psycopg.types.string import StrBinaryDumper, StrDumperUnknown

    class StorableText(StrDumperUnknown):
        def dump(self, obj: str) -> Any:
            return super().dump(storable(obj))

    class StorableBinaryText(StrBinaryDumper):
        def dump(self, obj: str) -> Any:
            return super().dump(storable(obj))

    raw.adapters.register_dumper(str, StorableBinaryText)
    raw.adapters.register_dumper(str, StorableText)  # the last one is preferred, as psycopg's own unknown text is


def _check_private(path: Path) -> None:
    """Check a journal's file, the companions that SQLite makes, and its folder. Raises Misconfigured, OSError."""
    for one in (path, *(path.with_name(path.name + end) for end in COMPANIONS)):
        if not one.exists():
            continue
        seen = one.stat()
        mode, owner = stat.S_IMODE(seen.st_mode), user_name(seen.st_uid)
        if not stat.S_ISREG(seen.st_mode):
            raise Misconfigured(str(one), "is not a regular file")
        if seen.st_uid not in (os.geteuid(), 0):
            raise Misconfigured(str(one), f"belongs to user {owner}; run: chown {user_name(os.geteuid())} {one}")
        if mode & 0o077:
            raise Misconfigured(str(one), f"has mode {mode:04o}, so other users can read it; run: chmod 600 {one}")
    folder = path.parent.stat()
    if folder.st_mode & 0o022 and not folder.st_mode & stat.S_ISVTX:
        raise Misconfigured(
            str(path.parent), f"other users can replace the journal in this folder; run: chmod go-w {path.parent}"
        )
