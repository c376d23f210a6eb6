"""Migrates a journal's tables to the version of this code."""

from __future__ import annotations

import threading

from sqlalchemy import Connection, inspect, text

from ..model.errors import Misconfigured
from .schema import HEAD, KNOWN, metadata

VERSION_TABLE = "alembic_version"
_LOCK = 0x76656E75656D65  # key of PostgreSQL's advisory lock; an arbitrary number
_alone = threading.Lock()  # Alembic keeps the connection of a migration in a global of the process


def version(connection: Connection) -> str | None:
    """Return the version of the tables; None if there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return found


def is_current(connection: Connection) -> bool:
    """Return whether the tables are current, the ordinary case. Needs no writers' lock."""
    return version(connection) == HEAD


def migrate(connection: Connection, where: str) -> None:
    """Create the tables or migrate them to `HEAD` in the open transaction; one process at a time.

    Raises:
        Misconfigured: the tables are newer than this code.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    there = version(connection)
    if there == HEAD:
        return
    if there is not None and there not in KNOWN:
        raise Misconfigured(
            where, f"its tables have version {there}, newer than version {HEAD} of this code; upgrade venuemesh"
        )
    from alembic import command  # slow to import, and rarely needed
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", f"{__package__}:migrations")
    config.attributes |= {"connection": connection, "metadata": metadata}
    with _alone:
        command.upgrade(config, "head")
