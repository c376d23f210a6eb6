"""The records that the journal returns. Immutable; no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, TypeVar

from ..model.order import Fill, Order

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JournaledRequest:
    """A journaled request. `epoch`: of the manager that journaled it. `outcome`: None until one is recorded."""

    request_id: str
    kind: str
    client_order_ids: tuple[str, ...]
    text: str = field(repr=False)
    digest: str
    not_after_ns: int
    created_ns: int
    epoch: int
    outcome: str | None
    closed_ns: int | None


@dataclass(frozen=True, slots=True)
class Pause:
    reason: str
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Owner:
    on_death: str
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of an order's status. `before` is None for the first."""

    client_order_id: str
    before: str | None
    after: str
    step: str
    ts_ns: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an account's record has come. Within one lineage none of the numbers ever goes back."""

    lineage: str
    epoch: int
    next_event: int
    batches: int

    def behind(self, known: Standing) -> str | None:
        """Return what this record lacks of a known one; None if it has all of it."""
        if self.lineage != known.lineage:
            return "it is another journal, or was begun anew"
        for name in ("epoch", "next_event", "batches"):
            have, had = getattr(self, name), getattr(known, name)
            if have < had:
                return f"it is an older copy: its {NAMES[name]} is {have}, and it was {had}"
        return None


NAMES = {"epoch": "epoch", "next_event": "next event", "batches": "number of commits"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """The state from which a manager starts: all open records of one account, without history.

    `orders`: open orders, those that an unresolved request names, and those of the newest fills without a fee.
    `fills`: all their fills, oldest first.
    `requests`: those without an outcome or with "unknown". `next_event`: the number of the next event. `first_event`:
    the oldest kept one (`next_event` if none is kept).
    """

    exchange: str
    account: str
    epoch: int
    next_event: int
    first_event: int
    orders: list[Order]
    fills: list[Fill]
    requests: list[JournaledRequest]
    cursors: dict[str, int]
    pauses: dict[str, Pause]
    owners: dict[str, Owner]
    marks: dict[str, str]
    balances: dict[str, tuple[Decimal, Decimal]]
    balances_ns: int | None  # None: no balances were recorded
    lineage: str = ""  # names this sequence of events; a restored journal has another


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects rows of a listing: all given conditions must hold. Times: ns, `since_ns` <= t < `until_ns`.

    The time of an order is its creation in the mesh, of a fill the exchange's time, of an event its arrival at the
    mesh.
    `open`: True only orders that are not done, False only those that are. `owner` and `open` are for orders (an owner
    also for events); other listings refuse them with Misconfigured.
    """

    exchange: str | None = None
    account: str | None = None
    pair: str | None = None
    owner: str | None = None
    client_order_id: str | None = None
    open: bool | None = None
    since_ns: int | None = None
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows, oldest first, and where the next page begins: its `after`, or the `before` of older rows than the newest.

    `next` is None if there are no more rows now.
    """

    rows: list[T]
    next: int | None


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The numbers of rows that a call of `trim` deleted."""

    orders: int
    fills: int
    requests: int
    events: int
