"""The effects of a book's machine: what its caller must do, in the order given."""

from __future__ import annotations

from dataclasses import dataclass

from ...model.events import BookState


@dataclass(frozen=True, slots=True)
class SetState:
    """Publish this state before doing anything else. `reason` is None where there is nothing to explain."""

    state: BookState
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AskSnapshot:
    """Ask for a snapshot after a delay and answer with this `attempt`."""

    attempt: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class AwaitBook:
    """Wait for the book that the subscription sends; when it is overdue, call `on(SnapshotFailed(attempt, ...))`."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """Subscribe to this pair again after a delay; the new subscription sends a book, overdue as in `AwaitBook`."""

    attempt: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """Load the snapshot that arrived, apply the deltas of `take()`, then call `on(Drained())`.

    Where the snapshot cannot be loaded, call `on(Suspect(...))` instead.
    """


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish the whole book with this state."""

    state: BookState


Ask = AskSnapshot | AwaitBook | Resubscribe
Effect = SetState | Ask | Load | Publish
