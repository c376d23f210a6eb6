"""Bring a journal's tables to the version that this code knows."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from ..model.errors import Misconfigured
from .schema import HEAD, KNOWN, metadata

VERSION_TABLE = "alembic_version"
_LOCK = 0x76656E75656D65  # PostgreSQL's advisory lock for it; any number that others hardly use


def version(connection: Connection) -> str | None:
    """Return the version of the tables, None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return found


def is_current(connection: Connection) -> bool:
    """Whether there is nothing to do: the ordinary case, for which nobody needs the writers' lock."""
    return version(connection) == HEAD


def migrate(connection: Connection, where: str) -> None:
    """Create the tables or bring them to `HEAD`, in the transaction that is open; only one process at a time does.

    Raises:
        Misconfigured: they are newer than this code.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    there = version(connection)
    if there == HEAD:
        return
    if there is not None and there not in KNOWN:
        raise Misconfigured(where, f"its tables are of version {there}, newer than this code, which knows {HEAD}")
    from alembic import command  # slow to import, and hardly ever needed
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", f"{__package__}:migrations")
    config.attributes |= {"connection": connection, "metadata": metadata}
    command.upgrade(config, "head")
