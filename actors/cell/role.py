"""The protocol of a role, and the context that its cell provides. `actors/cell/ray_cell.py` hosts roles over Ray."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from ...model.errors import Rejected

Incarnation = tuple[int, int]  # (durable epoch of the supervisor, counter); later ones compare greater


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """What to run, as data that pickles: `kind` names a class (see `kinds`), and `config` has its settings."""

    kind: str  # "book" | "limits" | "catalog" | "mirror" | "link" | "agent"
    config: Any = None


class Ask(Protocol):
    """Sends a request to the incarnation that serves an address now, and returns its reply."""

    async def __call__(self, address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
        """Return the reply.

        Raises:
            RetryLater: no role serves the address within the timeout; the message was not executed.
            OutcomeUnknown: the message was sent, and the serving cell died or did not answer in time.
            MeshError: an error of the role.
        """


@dataclass(slots=True)
class Context:
    """The context that a cell provides to its role."""

    mesh: str
    address: str
    incarnation: Incarnation
    node: str  # id of the node this runs on
    segments: Path  # this node's segment directory for this mesh
    ask: Ask
    fail: Callable[[BaseException], None]  # report a broken assumption: the cell ends and the supervisor decides
    monotonic_ns: Callable[[], int]
    time_ns: Callable[[], int]
    alive: Callable[[], None]  # raises SystemExit if this loop did not run for longer than its lease
    restarts: int = 0  # earlier incarnations of this address, as far as the supervisor knows
    cluster: str = ""  # names the cluster that the mesh runs on, on any of its nodes
    host: str = "127.0.0.1"  # the address by which other nodes reach this one
    is_final: bool = True  # when the role stops: its work ends; False: a successor continues it
    stop_s: float | None = None  # when the role stops: the time that is left for it; None: no limit

    def unknown(self, kind: str) -> Rejected:
        """Return the refusal of a message that the role does not know."""
        return Rejected("unknown_kind", f"{self.address} answers no {kind!r}")

    def unknown_poll(self, kind: str) -> Rejected:
        """Return the refusal of a long poll that the role does not know."""
        return Rejected("unknown_kind", f"{self.address} has no poll {kind!r}")

    @classmethod
    def alone(
        cls,
        mesh: str,
        address: str,
        *,
        ask: Ask,
        fail: Callable[[BaseException], None],
        segments: Path = Path(),
        node: str = "",
        incarnation: Incarnation = (0, 0),
    ) -> Self:
        """Return the context of a role without a cell: the machine's clocks, and no lease that could end."""
        return cls(
            mesh, address, incarnation, node, segments, ask, fail, time.monotonic_ns, time.time_ns, alive=lambda: None
        )


class Role(Protocol):
    """One role. A cell hosts it for the cell's whole life.

    `start` returns when the role serves (a book serves while it still synchronises: its state says so); an exception
    from `start` ends the cell. `stop` ends the role in an orderly way and is called at most once. `reads` names the
    kinds that change nothing.
    """

    reads: ClassVar[frozenset[str]]

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def handle(self, kind: str, body: Any) -> Any:
        """Answer a command or a query. Expected refusals are typed errors.

        Any other error is a broken assumption. A kind that only reads (`reads`) cannot have done harm, so the sender is
        refused and the role keeps running. After any other kind the cell ends and the sender gets OutcomeUnknown, so
        that it does not send the same message to the successor.
        """

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        """Answer a long poll: return when there is news after the position in `body`, or at the timeout."""

    def status(self) -> dict[str, Any]:
        """Return plain values for `venuemesh status`: at least `state` (text) and `error` (text or None)."""

    def beat(self) -> None:
        """Called on every heartbeat of the cell (every 50 ms), from its loop: refresh segments, check silence."""


COUNT_MAX = 2**31 - 1


def whole_number(body: Any, key: str, default: int | None = None) -> int | None:
    """Read a count from a message's body; absent or None gives the default.

    Raises:
        Rejected: the value is not a whole number in range.
    """
    value = (body or {}).get(key)
    if value is None:
        return default
    if type(value) is not int or not 1 <= value <= COUNT_MAX:
        raise Rejected("bad_request", f"{key} is {value!r}; it must be a whole number from 1 to {COUNT_MAX}")
    return value


RoleFactory = Callable[[Any, Context], Role]  # makes a role from settings and a context
