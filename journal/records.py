"""What the journal answers with. Immutable; no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, TypeVar

from ..model.order import Fill, Order

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JournaledRequest:
    """A journaled request. `epoch` is the manager's that was to send it; `outcome` is None until somebody said one."""

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
    """One change of an order's status. `before` is None at its first."""

    client_order_id: str
    before: str | None
    after: str
    step: str
    ts_ns: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a manager starts from: everything still open on one account, never its history.

    `orders` are the open ones and those that an unresolved request names, `fills` all fills of these, oldest first;
    `requests` those without an outcome or with "unknown". `next_event` is the number that the next event gets,
    `first_event` the oldest kept (`next_event` when none is).
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
    balances_ns: int | None  # None: never any


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows of a listing: all that are given must hold. Times: ns, `since_ns` <= t < `until_ns`.

    The time of an order is when it was created here, of a fill the exchange's, of an event when the mesh learnt of it.
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
    """Rows oldest first, and the `after` that continues behind them; None when there are no more now."""

    rows: list[T]
    next: int | None


@dataclass(frozen=True, slots=True)
class Trimmed:
    """How many rows a call of `trim` removed."""

    orders: int
    fills: int
    requests: int
    events: int
