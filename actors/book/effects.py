"""The effects of a book's machine: the caller must perform them in the given order."""

from __future__ import annotations

from dataclasses import dataclass

from ...model.events import BookState


@dataclass(frozen=True, slots=True)
class SetState:
    """Publish this state before anything else. `reason` is None if the state needs no explanation."""

    state: BookState
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AskSnapshot:
    """Request a snapshot after a delay and answer with this `attempt`."""

    attempt: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class AwaitBook:
    """Wait for the book that the subscription sends; if it does not come in time, call `on(SnapshotFailed(attempt,
    ...))`."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """Subscribe to this pair again after a delay; the new subscription sends a book, with a time limit as in
    `AwaitBook`."""

    attempt: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """Load the snapshot that arrived, apply the deltas that `take()` returns, then call `on(Drained())`.

    If the snapshot cannot be loaded, call `on(Suspect(...))` instead.
    """


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish the complete book with this state."""

    state: BookState


Ask = AskSnapshot | AwaitBook | Resubscribe
Effect = SetState | Ask | Load | Publish
