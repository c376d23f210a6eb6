"""The events of a book's machine, apart from deltas."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Opened:
    """The connection is open and the subscription was sent."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The exchange confirmed the subscription: from now on every change arrives as a frame."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection was lost."""

    reason: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """The connection was silent for longer than its limit."""


@dataclass(frozen=True, slots=True)
class SnapshotArrived:
    """The snapshot of request `attempt` arrived with this sequence. Answers to earlier attempts are ignored."""

    attempt: int
    sequence: int


@dataclass(frozen=True, slots=True)
class SnapshotFailed:
    """The snapshot of request `attempt` failed. `after_s`: the delay that the exchange or a limit requires."""

    attempt: int
    reason: str
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BookCame:
    """A whole book arrived in the feed and is loaded. `sequence` is its number."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The exchange refused this pair's subscription, or did not confirm it in time."""

    reason: str


@dataclass(frozen=True, slots=True)
class Missed:
    """`BookMachine.delta` returned GAP; the effects of this event repair the book."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """The book contradicts itself, or a frame could not be read. `last` is that frame's sequence, if known."""

    reason: str
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Stalled:
    """The stream of this book sends nothing, although the exchange's book changes."""

    reason: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """The book equals the exchange's own, which was requested some time after the last frame of this book."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """The best bid reached the best ask after the delta that ended at `last`. A book that does not trade may cross."""

    last: int


@dataclass(frozen=True, slots=True)
class Drained:
    """The kept deltas were applied after `Load`."""


@dataclass(frozen=True, slots=True)
class Shallow:
    """Fewer levels are proven than readers are promised: request a newer snapshot without leaving LIVE."""


@dataclass(frozen=True, slots=True)
class Trading:
    """Whether the exchange trades the instrument now."""

    is_trading: bool


BookEvent = (
    Opened
    | Confirmed
    | Closed
    | Quiet
    | SnapshotArrived
    | SnapshotFailed
    | BookCame
    | Refused
    | Missed
    | Suspect
    | Stalled
    | Agreed
    | Crossed
    | Drained
    | Shallow
    | Trading
)
