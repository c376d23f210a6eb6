"""What the machine is told, and what it wants done: plain frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .child import ChildSpec

# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodeSeen:
    node: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeLost:
    node: str


@dataclass(frozen=True, slots=True)
class CellCreated:
    cell: str
    pid: int
    start: int


@dataclass(frozen=True, slots=True)
class CreateFailed:
    cell: str
    error: str


@dataclass(frozen=True, slots=True)
class Adopted:
    cell: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The cell said that its role cannot go on (or could not start); it is ending and will be killed."""

    cell: str
    error: str


@dataclass(frozen=True, slots=True)
class Died:
    """The cell's process is dead. `by`: how that was seen."""

    cell: str
    error: str | None = None
    by: str = "its life() call"


@dataclass(frozen=True, slots=True)
class Hung:
    """The cell's loop stood still for longer than the limit."""

    cell: str


@dataclass(frozen=True, slots=True)
class KillFailed:
    """The agent could not kill the cell, or did not answer."""

    cell: str


@dataclass(frozen=True, slots=True)
class Found:
    """A cell that lives from before this supervisor. `spec` is None for a spare."""

    cell: str
    node: str
    pid: int
    start: int
    incarnation: tuple[int, int] | None
    spec: ChildSpec | None
    restarts: int = 0
    serving: bool = True
    trading: bool = False  # see `Create`


@dataclass(frozen=True, slots=True)
class Want:
    """These children shall run. A spec that differs from a running one restarts that child."""

    specs: tuple[ChildSpec, ...]


@dataclass(frozen=True, slots=True)
class Amend:
    """Take this spec without a restart now; the next incarnation runs it. Routes follow at once."""

    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class Unwant:
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestartAsked:
    """Restart these, one after another, each when the one before serves again."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShutDown:
    pass


@dataclass(frozen=True, slots=True)
class Tick:
    pass


Event = (
    NodeSeen
    | NodeLost
    | CellCreated
    | CreateFailed
    | Adopted
    | Failed
    | Died
    | Hung
    | KillFailed
    | Found
    | Want
    | Amend
    | Unwant
    | RestartAsked
    | ShutDown
    | Tick
)

# --- effects ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Create:
    """`trading`: with what an order manager imports, too."""

    cell: str
    node: str
    trading: bool = False


@dataclass(frozen=True, slots=True)
class AdoptCell:
    cell: str
    incarnation: tuple[int, int]
    spec: ChildSpec
    restarts: int
    predecessor: tuple[int, int] | None  # (pid, start) on the same node


@dataclass(frozen=True, slots=True)
class StopCell:
    """Stop politely; a `KillCell` follows when it is not gone in time."""

    cell: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class KillCell:
    """Have the agent of its node kill it; answer Died or KillFailed."""

    cell: str
    node: str
    pid: int
    start: int
    agent: str | None  # the agent's cell; None: there is none to ask


@dataclass(frozen=True, slots=True)
class Discard:
    """Let Ray end an actor whose process is unknown or out of reach."""

    cell: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """A process of this node is certainly dead: have its segments retired and unlinked."""

    node: str


@dataclass(frozen=True, slots=True)
class Degraded:
    """A child ended too often: say it, and note it durably. It is tried again after a while."""

    address: str
    error: str | None
    after_ns: int


Effect = Create | AdoptCell | StopCell | KillCell | Discard | Sweep | Degraded
