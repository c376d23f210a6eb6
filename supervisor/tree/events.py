"""The machine's events and effects: plain frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .child import ChildSpec

# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A living node; `host` is the name of its host."""

    node: str
    labels: Mapping[str, str] = field(default_factory=dict)
    host: str = ""


@dataclass(frozen=True, slots=True)
class NodeLost:
    node: str


@dataclass(frozen=True, slots=True)
class CellCreated:
    """`identity` is that of the cell's host, the same across restarts of Ray there; `version` is that of the code which
    the cell runs. Empty: unknown."""

    cell: str
    pid: int
    start: int
    identity: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class CreateFailed:
    cell: str
    error: str


@dataclass(frozen=True, slots=True)
class Adopted:
    cell: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The cell reported that its role failed or could not start; the cell is ending and will be killed."""

    cell: str
    error: str


@dataclass(frozen=True, slots=True)
class Died:
    """The cell's process is dead. `by`: how the death was noticed."""

    cell: str
    error: str | None = None
    by: str = "its life() call"


@dataclass(frozen=True, slots=True)
class Hung:
    """The cell's loop did not run for longer than the limit."""

    cell: str


@dataclass(frozen=True, slots=True)
class KillFailed:
    """The agent could not kill the cell, or did not answer."""

    cell: str


@dataclass(frozen=True, slots=True)
class Found:
    """A living cell that an earlier supervisor created. `spec` is None for a spare."""

    cell: str
    node: str
    pid: int
    start: int
    incarnation: tuple[int, int] | None
    spec: ChildSpec | None
    restarts: int = 0
    serving: bool = True
    trading: bool = False  # see `Create`
    identity: str = ""  # see `CellCreated`
    answers: bool = True  # False: it hangs, and this is what was stored about it
    version: str = ""  # see `CellCreated`


@dataclass(frozen=True, slots=True)
class RunChildren:
    """These children must run. A spec that differs from a running one restarts that child; a book serves until its
    successor is ready."""

    specs: tuple[ChildSpec, ...]


@dataclass(frozen=True, slots=True)
class Amend:
    """Change the spec of a child without a restart; the next incarnation runs it. Routes change at once."""

    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class StopChildren:
    """These children are not wanted any longer. A replica whose book stays serves until readers can do without it."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestartRequested:
    """Restart these children one after another: see `rolling`."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UpgradeRequested:
    """Replace every process, so that all run the code that is installed now."""


@dataclass(frozen=True, slots=True)
class MovesRequested:
    """Move these children, one after another: address -> node. `independent`: a failure ends no other move."""

    nodes: Mapping[str, str]
    independent: bool = True


@dataclass(frozen=True, slots=True)
class Drained:
    """These hosts (names, or ids of nodes), and no others, are drained: children leave them, and none is placed
    there."""

    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Followed:
    """The readers on the node of a leaving cell have another source of its books, so it may stop."""

    cell: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the role of a cell is ready: see `duties.is_ready`.

    `settled` are the pairs of a book that are LIVE or HALTED. `paced`: a rate limit of its exchange delays requests.
    """

    cell: str
    is_ready: bool
    settled: frozenset[str] = frozenset()
    paced: bool = False


@dataclass(frozen=True, slots=True)
class ShutDown:
    pass


@dataclass(frozen=True, slots=True)
class Isolated:
    """The supervisor has lost its majority: see `quorum`."""


@dataclass(frozen=True, slots=True)
class Rejoined:
    """The supervisor has its majority again, and no later supervisor exists."""


@dataclass(frozen=True, slots=True)
class Suspected:
    """All living nodes of which no process answers: dead, cut off or frozen hosts that the GCS may declare lost.

    `promised` are the rate budgets whose successors may start although they may still grant (`actors.limits.promises`).
    `given_up` are nodes that have been silent so long that accounts and catalogs start elsewhere, too.
    """

    nodes: frozenset[str]
    promised: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()


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
    | RunChildren
    | Amend
    | StopChildren
    | RestartRequested
    | UpgradeRequested
    | MovesRequested
    | Drained
    | Followed
    | Readiness
    | ShutDown
    | Isolated
    | Rejoined
    | Suspected
    | Tick
)

# --- effects ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Create:
    """Create a cell. `trading`: the cell also imports the modules of an order manager."""

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
    """Stop the role, then the cell; a `KillCell` follows if the cell does not end in time.

    `final`: the actor ends for good; else another cell has its work, or will have it.
    """

    cell: str
    timeout_s: float
    final: bool = False


@dataclass(frozen=True, slots=True)
class KillCell:
    """Make the node's agent kill the cell; the shell answers with Died or KillFailed."""

    cell: str
    node: str
    pid: int
    start: int
    agent: str | None  # the agent's cell; None: the node has no agent


@dataclass(frozen=True, slots=True)
class Discard:
    """Make Ray end an actor whose process is unknown or unreachable."""

    cell: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """A process of this node is certainly dead: retire and unlink its segments."""

    node: str


@dataclass(frozen=True, slots=True)
class Degraded:
    """A child ended too often: log it, and store it durably. The child is retried after a delay."""

    address: str
    error: str | None
    after_ns: int


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A successor took over from a running child, or was dropped with an `error`: log it."""

    address: str
    cell: str | None
    error: str | None = None


Effect = Create | AdoptCell | StopCell | KillCell | Discard | Sweep | Degraded | HandedOver
