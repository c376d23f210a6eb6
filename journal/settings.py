"""The journal's location, and how long it keeps ended records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """`url` is the journal's, without a password; `url_file` names a private file that holds the URL instead.

    `wait_s` is how long one access may wait for the database. `remember`: keep outside the journal how far it has come.
    """

    url: str | None = None
    url_file: str | None = None
    keep_days: int = 90
    wait_s: float = 5.0
    remember: bool = True
