"""Executes the statements of a commit: over SQLAlchemy, or on SQLite's driver with texts that were compiled once.

A commit is about ten short statements. SQLAlchemy's work at each execution (cache key, events, result) costs several
times the work of SQLite, so on SQLite only the compiled text and the order of its parameters come from SQLAlchemy. The
types of the journal's columns need no conversion in SQLite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite import pysqlite
from sqlalchemy.sql import Executable

_DIALECT = pysqlite.dialect()
Row = Mapping[str, Any]


class Transaction(Protocol):
    """Executes statements in one open transaction. Statements are made once and kept, because some are compiled."""

    def write(self, statement: Executable, rows: Sequence[Row]) -> int:
        """Execute a writing statement for each row (all have the same keys); return how many rows it changed."""

    def read(self, statement: Executable, parameters: Row) -> Sequence[Any]:
        """Execute a select and return its rows."""

    def among(self, statement: Executable, parameters: Row, ids: Sequence[str]) -> Sequence[Any]:
        """Execute a select whose only expanding parameter is `ids`, and return its rows."""


class CoreTransaction:
    """Executes by SQLAlchemy."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write(self, statement: Executable, rows: Sequence[Row]) -> int:
        return self._connection.execute(statement, list(rows)).rowcount

    def read(self, statement: Executable, parameters: Row) -> Sequence[Any]:
        return self._connection.execute(statement, dict(parameters)).all()

    def among(self, statement: Executable, parameters: Row, ids: Sequence[str]) -> Sequence[Any]:
        return self.read(statement, {**parameters, "ids": ids})


class SqliteTransaction:
    """Executes on SQLite's driver. Kept with its connection; raises the driver's errors."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self._compiled: dict[Any, tuple[str, tuple[str, ...]]] = {}
        self._writes: dict[Any, tuple[str, Callable[[Row], Sequence[Any]]]] = {}  # with what orders a row's values

    def begin(self) -> None:
        self._cursor.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._cursor.execute("COMMIT")

    def roll_back(self) -> None:
        """Roll back; does nothing where SQLite itself rolled back."""
        if self._cursor.connection.in_transaction:
            self._cursor.execute("ROLLBACK")

    def checkpoint(self) -> None:
        """Checkpoint the log, outside a transaction, without waiting for readers or writers.

        Source: sqlite.org/pragma.html#pragma_wal_checkpoint (PASSIVE), read 2026-11-28.
        """
        self._cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def write(self, statement: Executable, rows: Sequence[Row]) -> int:
        found = self._writes.get(statement)
        if found is None:
            text, order = _compile(statement, rows[0])
            found = self._writes[statement] = text, _values(order)
        text, values = found
        if len(rows) == 1:
            self._cursor.execute(text, values(rows[0]))
        else:
            self._cursor.executemany(text, map(values, rows))
        return self._cursor.rowcount

    def read(self, statement: Executable, parameters: Row) -> Sequence[Any]:
        found = self._compiled.get(statement)
        if found is None:
            found = self._compiled[statement] = _compile(statement)
        text, order = found
        return self._cursor.execute(text, [parameters[name] for name in order]).fetchall()

    def among(self, statement: Executable, parameters: Row, ids: Sequence[str]) -> Sequence[Any]:
        """See `Transaction.among`. The ids are filled up to a power of two, so that few texts are compiled."""
        count = 1 << (len(ids) - 1).bit_length()
        found = self._compiled.get((statement, count))
        if found is None:
            found = self._compiled[statement, count] = _compile(statement, ids=count)
        text, order = found
        named = {**parameters, **{f"ids_{number}": one for number, one in enumerate(ids, 1)}}
        return self._cursor.execute(text, [named.get(name, ids[-1]) for name in order]).fetchall()


def _values(order: tuple[str, ...]) -> Callable[[Row], Sequence[Any]]:
    """Return a function that returns the values of a row in this order."""
    return itemgetter(*order) if len(order) > 1 else lambda row: (row[order[0]],)


def _compile(statement: Any, names: Iterable[str] | None = None, ids: int = 0) -> tuple[str, tuple[str, ...]]:
    """Return the text of a statement and the names of its parameters in order.

    `names` are the columns of an insert, `ids` the number of values of its expanding parameter.
    """
    if statement.is_insert:
        compiled = statement.inline().compile(dialect=_DIALECT, column_keys=list(names or ()))
    else:
        compiled = statement.compile(dialect=_DIALECT)
    if ids:
        expanded = compiled.construct_expanded_state({**compiled.params, "ids": [""] * ids})
        return str(expanded.statement), tuple(expanded.positiontup)
    return str(compiled.string), tuple(compiled.positiontup or ())
