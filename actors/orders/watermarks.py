"""How far the records of a journal had come, kept on this host outside the journal: its high-water marks.

A journal cannot tell by itself that it is an older copy, or that it is new although its account has traded: a removed
file and the file of a first start look alike. So each manager keeps the standing of its account in a small file of the
state folder, and compares it when it takes the account. The file may be older than the journal, never newer.

    $XDG_STATE_HOME/venuemesh/journals/<digest of the journal's name>/<exchange>.<account>.json
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields
from pathlib import Path

import orjson

from ...journal.records import Standing
from ...keystore.private import read_private, write_private
from ...keystore.state_folder import make_state_folder, state_folder
from ...model.errors import Misconfigured
from ...model.plain import from_plain

FOLDER = "journals"
WHAT = "the high-water mark"


class Watermarks:
    """The high-water marks of one journal's accounts. `journal` is `Journal.name`: the file, or the URL."""

    def __init__(self, journal: str) -> None:
        self._journal = journal
        self._below = f"{FOLDER}/{hashlib.sha256(journal.encode()).hexdigest()[:16]}"

    @property
    def is_empty(self) -> bool:
        """Whether no account is known to have used the journal, so that it may be created."""
        return not any((state_folder() / self._below).glob("*.json"))

    def read(self, exchange: str, account: str) -> Standing | None:
        """Return how far the account's record had come; None for an account that never used the journal.

        Raises:
            Misconfigured: the file cannot be read, or other users can change it.
        """
        path = self._path(state_folder() / self._below, exchange, account)
        if not path.exists():
            return None
        raw = read_private(path, WHAT)
        try:
            found = orjson.loads(raw)
            standing = from_plain(Standing, {one.name: found[one.name] for one in fields(Standing)})
            if min(standing.epoch, standing.next_event, standing.batches) < 0:
                raise ValueError("a count below zero")
            return standing
        except (ValueError, TypeError, KeyError, Misconfigured) as error:
            reason = f"is damaged; run: venuemesh journal accept {self._journal}"
            raise Misconfigured(f"{WHAT} {path}", reason) from error

    def checked_on(self, exchange: str, account: str) -> str | None:
        """Return the node that checked the journal's file last, for this account; None if none did."""
        try:
            found = orjson.loads(self._path(state_folder() / self._below, exchange, account).read_bytes())
            return str(found["checked_on"])
        except (OSError, ValueError, TypeError, KeyError):  # `read` tells what is wrong
            return None

    def write(self, exchange: str, account: str, standing: Standing, checked_on: str = "") -> None:
        """Record how far the account's record has come, and the node that checked the journal's file.

        Raises:
            Misconfigured: the file cannot be written.
        """
        folder = make_state_folder(self._below)
        path = self._path(folder, exchange, account)
        content = {"journal": self._journal, "exchange": exchange, "account": account, **asdict(standing)}
        content["checked_on"] = checked_on
        try:
            write_private(path, orjson.dumps(content, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise Misconfigured(f"{WHAT} {path}", f"cannot be written: {error.strerror or error}") from error

    def forget(self) -> None:
        """Remove all marks of the journal, as for a journal that was never used."""
        for path in (state_folder() / self._below).glob("*.json"):
            path.unlink(missing_ok=True)

    @staticmethod
    def _path(folder: Path, exchange: str, account: str) -> Path:
        return folder / f"{exchange}.{account}.json"
