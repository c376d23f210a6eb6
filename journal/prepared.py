"""Statements for SQLite's driver, compiled once to text and an order of parameters.

A commit is about ten short statements. SQLAlchemy's work at each execution (cache key, parameters, types) costs several
times the work of SQLite and blocks the process. The types of the journal's columns need no conversion in SQLite. Errors
are SQLAlchemy's, as with `Connection.execute`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult
from sqlalchemy.dialects.sqlite import pysqlite

_DIALECT = pysqlite.dialect()


class Prepared:
    """One statement. `names` are the columns of an insert."""

    def __init__(self, statement: Any, names: Iterable[str] | None = None) -> None:
        if statement.is_insert:
            statement = statement.inline()  # the insert returns no values
        compiled = statement.compile(dialect=_DIALECT, column_keys=None if names is None else list(names))
        self._text: str = compiled.string
        self._order: tuple[str, ...] = tuple(compiled.positiontup or ())

    def many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute the statement for each row."""
        order = self._order
        connection.exec_driver_sql(self._text, [tuple([row[name] for name in order]) for row in rows])

    def select(self, connection: Connection, parameters: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute the statement and return the rows."""
        return connection.exec_driver_sql(self._text, tuple([parameters[name] for name in self._order]))
