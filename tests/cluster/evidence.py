"""What the strategies of the hosts wrote down, and whether it agrees with the journal and the exchange. Pure.

Times are CLOCK_MONOTONIC in ns, which the hosts of one machine share.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

NEVER_SENT = frozenset({"FAILED", "REJECTED"})
SHOWN = 5  # problems of one kind that are listed


class Log:
    """A file of JSON lines that grows, read in steps."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.rows: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """Return all whole rows so far."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._at)
                text = file.read()
            whole = text.rpartition(b"\n")[0]
            if whole:
                self._at += len(whole) + 1
                self.rows += [json.loads(line) for line in whole.splitlines()]
        return self.rows


@dataclass(slots=True)
class Shown:
    """What one reader was shown of one book in a span of time."""

    gaps: list[float] = field(default_factory=list)  # seconds of each span in which the book was not LIVE
    tops: int = 0

    @property
    def longest_s(self) -> float:
        return max(self.gaps, default=0.0)


def live_at(rows: Iterable[Mapping[str, Any]], after_ns: int) -> set[str]:
    """Return the books of a reader's newest sign of life after a time; an empty set when there is none."""
    for row in reversed(list(rows)):
        if row["t"] <= after_ns:
            break
        if "live" in row:
            return set(row["live"])
    return set()


def since_when_live(rows: Iterable[Mapping[str, Any]], books: set[str]) -> int | None:
    """Return the time from which on every sign of life has had all books LIVE; None: the newest has not."""
    since: int | None = None
    for row in rows:
        if "live" in row:
            is_whole = books <= set(row["live"])
            since = (row["t"] if since is None else since) if is_whole else None
    return since


def shown(rows: Iterable[Mapping[str, Any]], from_ns: int, until_ns: int) -> dict[str, Shown]:
    """Return, by book, what a reader was shown between two times. A reader that was away adds no gap."""
    found: dict[str, Shown] = {}
    lost: dict[str, int] = {}
    for row in rows:
        if row["t"] > until_ns or "book" not in row:
            continue
        book = row["book"]
        if row["state"] != "LIVE":
            lost.setdefault(book, row["t"])
            continue
        one = found.setdefault(book, Shown())
        began = lost.pop(book, None)
        if row["t"] >= from_ns:
            one.tops += 1
            if began is not None:
                one.gaps.append((row["t"] - max(began, from_ns)) / 1e9)
    for book, began in lost.items():
        found.setdefault(book, Shown()).gaps.append((until_ns - max(began, from_ns)) / 1e9)
    return found


def without_orders(notes: Iterable[Mapping[str, Any]], from_ns: int, until_ns: int) -> dict[str, float]:
    """Return, by account, the longest time in seconds in which no order of any trader was accepted."""
    accounts: dict[str, str] = {}
    accepted: dict[str, list[int]] = {}
    for note in notes:
        if note["what"] == "placing":
            accounts[note["id"]] = note["account"]
            accepted.setdefault(note["account"], [])
        elif note["what"] == "placed" and from_ns <= note["t"] <= until_ns and note["id"] in accounts:
            accepted[accounts[note["id"]]].append(note["t"])
    found = {}
    for account, times in accepted.items():
        moments = [from_ns, *sorted(times), until_ns]
        found[account] = round(max(later - one for one, later in pairwise(moments)) / 1e9, 2)
    return found


def claims(notes: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return a trader's notes by order id, in their order."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for note in notes:
        if note.get("id") is not None:
            found.setdefault(note["id"], []).append(note)
    return found


def contradictions(notes: Iterable[Mapping[str, Any]], accounts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Compare the answers that traders got with the rows of `checks`; return every difference in words."""
    problems: list[str] = []
    told = claims(notes)
    for name, row in accounts.items():
        mine = {order: rows for order, rows in told.items() if any(note.get("account") == name for note in rows)}
        journal, exchange, fills = row["journal"], set(row["exchange"]), set(row["fills"])
        found: list[str] = []
        for order, rows in mine.items():
            status = journal.get(order)
            what = {note["what"] for note in rows}
            if "placed" in what and status is None:
                found.append(f"{order}: told as placed, but the journal does not have it")
            if "refused" in what and order in exchange:
                found.append(f"{order}: told as never sent, but the exchange has it")
            if status in NEVER_SENT and order in exchange and status == "FAILED":
                found.append(f"{order}: FAILED in the journal, but the exchange has it")
            if row["receipts"].get(order, 0) > 1:
                found.append(f"{order}: the exchange received it {row['receipts'][order]} times")
            numbers = Counter(note["fill"] for note in rows if note["what"] == "event" and note["fill"] is not None)
            found += [
                f"{order}: told of fill {one}, which is not in the journal" for one in numbers if one not in fills
            ]
            found += [
                f"{order}: cancel told as done, but the journal has it {status}"
                for note in rows
                if note["what"] == "cancelled"
                and note["done"]
                and (status in ("OPEN", "UNKNOWN") or (status is None and "refused" not in what))  # refused: never sent
            ]
        found += [f"{order}: at the exchange, but no trader placed it" for order in exchange - mine.keys()]
        problems += [f"{name}: {one}" for one in found[:SHOWN]]
        problems += [f"{name}: and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return problems
