"""Finds the journal of an export and selects the rows; `journal.export` writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from ..config.accounts import SQLITE
from ..config.mesh import load_config
from ..journal.export import export, format_of
from ..journal.records import Filter
from ..keystore.secrets import journal_url
from ..keystore.state_folder import state_folder
from ..mesh.run_file import read_run_file
from ..model.errors import Misconfigured


def journal_of(mesh: str) -> str:
    """Return the URL of the journal of a mesh whose configuration has no URL, on the host where it is started."""
    return f"{SQLITE}{state_folder().absolute()}/{mesh}.journal.sqlite3"


def find_journal(config: Path | None, url: str | None, mesh: str) -> str:
    """Return the URL of a journal: the given one, the configuration's, or that of the mesh of that name.

    Raises:
        Misconfigured: a URL and a configuration are given, or the configuration has no accounts.
        ConfigError: the configuration cannot be used.
    """
    if config is not None and url is not None:
        raise Misconfigured("--journal", "cannot be given together with --config")
    if url is not None:
        return url
    if config is not None:
        read = load_config(config)
        if not read.has_accounts:
            raise Misconfigured(str(config), "configures no account, so it has no journal")
        mesh = read.mesh.name
        if read.journal.url is not None or read.journal.url_file is not None:
            return journal_url(read.journal.url, read.journal.url_file)
    elif (running := read_run_file(mesh)) is not None and running.journal is not None:
        return running.journal
    return journal_of(mesh)


def export_journal(
    what: str,
    to: Path,
    form: str | None,
    *,
    force: bool = False,
    config: Path | None = None,
    url: str | None = None,
    mesh: str = "mesh",
    exchange: str | None = None,
    account: str | None = None,
    pair: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> int:
    """Write rows of a journal to a file; return their number. Raises as `find_journal` and `journal.export.export`.

    The name of the file gives the format, unless `form` does. `since` and `until` are ISO 8601; without an offset they
    are UTC. `until` is not included.
    """
    times = read_time("--since", since), read_time("--until", until)
    chosen = Filter(exchange, account, pair, since_ns=times[0], until_ns=times[1])
    form = form or format_of(to)
    return export(find_journal(config, url, mesh), what, form, to, chosen, overwrite=force)


def read_time(option: str, text: str | None) -> int | None:
    """Return ns since the Unix epoch of an ISO 8601 time; None for None. Raises Misconfigured."""
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise Misconfigured(option, f"{text!r} is not a time such as 2026-01-31T12:00") from None
    passed = (read if read.tzinfo is not None else read.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (passed.days * 86_400 + passed.seconds) * 1_000_000_000 + passed.microseconds * 1_000
