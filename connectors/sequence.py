"""Rules by which deltas follow each other, one function a kind of proof. A codec's `classify` calls the one it needs.

Each is given the number that the book holds, the delta's numbers and whether a delta was `joined` to the book already:
False for the first one after a snapshot that came apart from the feed. Sizes in deltas are absolute, so a delta that
overlaps what the book holds applies whole.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Verdict(Enum):
    """What a delta is to a book that holds `sequence`."""

    APPLY = "apply"
    STALE = "stale"
    GAP = "gap"


APPLY, STALE, GAP = Verdict.APPLY, Verdict.STALE, Verdict.GAP  # looking a member up costs more than comparing it


class Numbers(Protocol):
    """The numbers of a delta: a `DepthDelta`, or a byte scanner that has just read one."""

    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def previous(self) -> int | None:
        """The number of the delta before this one, where the exchange states it."""


def by_range(sequence: int, delta: Numbers) -> Verdict:
    """Apply a delta that reaches from at most the next number to beyond the book's; an older one is stale."""
    if delta.last <= sequence:
        return STALE
    return GAP if delta.first > sequence + 1 else APPLY


def by_chain(sequence: int, delta: Numbers, joined: bool) -> Verdict:
    """Apply the delta that names the book's number as the one before it, wherever its own number leads.

    A chain may stand still (15 -> 15) and may be set back (15 -> 3). Once joined, anything else is a gap, a repeated
    delta too: a number that comes again proves nothing where numbers may go back.
    """
    if delta.previous == sequence:
        return APPLY
    return STALE if not joined and delta.last <= sequence else GAP


def by_step(sequence: int, delta: Numbers) -> Verdict:
    """Apply the delta with the next number; one that is not above the book's is stale."""
    if delta.last <= sequence:
        return STALE
    return APPLY if delta.last == sequence + 1 else GAP


def by_connection() -> Verdict:
    """Apply every delta: the exchange numbers nothing, and a connection loses nothing while it lasts."""
    return APPLY
