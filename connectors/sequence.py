"""Sequence rules of deltas, one function per kind of proof. A codec's `classify` calls one of them.

The arguments of a rule are the book's number, the delta's numbers and `joined`: whether a delta was applied since the
snapshot (False for the first delta after a snapshot that was requested separately from the feed). Sizes in deltas are
absolute, so a delta that overlaps the book is applied completely.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Verdict(Enum):
    """The relation of a delta to a book."""

    APPLY = "apply"
    STALE = "stale"
    GAP = "gap"


APPLY, STALE, GAP = Verdict.APPLY, Verdict.STALE, Verdict.GAP  # a lookup of a member costs more than a comparison


class Numbers(Protocol):
    """The numbers of a delta: a `DepthDelta`, or a byte scanner that has just read one."""

    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def previous(self) -> int | None:
        """The number of the previous delta, if the exchange states it."""


def by_range(sequence: int, delta: Numbers) -> Verdict:
    """Apply a delta that begins at or before the next number and ends after the book's; an older delta is stale."""
    if delta.last <= sequence:
        return STALE
    return GAP if delta.first > sequence + 1 else APPLY


def by_chain(sequence: int, delta: Numbers, joined: bool) -> Verdict:
    """Apply a delta whose previous number is the book's number; its own number may be any.

    A chain may repeat a number (15 -> 15) and may go back (15 -> 3). After joining, any other delta is a gap, even a
    repeated one: if numbers may go back, a repeated number proves nothing.
    """
    if delta.previous == sequence:
        return APPLY
    return STALE if not joined and delta.last <= sequence else GAP


def by_step(sequence: int, delta: Numbers) -> Verdict:
    """Apply the delta with the next number; a delta at or below the book's number is stale."""
    if delta.last <= sequence:
        return STALE
    return APPLY if delta.last == sequence + 1 else GAP


def by_connection() -> Verdict:
    """Apply every delta: the exchange has no numbers, and a connection loses no message while it is open."""
    return APPLY
