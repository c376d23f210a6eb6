"""What the machine of one account is told, and what it wants done. Data only.

The contract with the shell (actors/orders/role.py):

  * Every input of `OrderMachine` returns a list of effects. They are performed in the order in which they were
    returned, over all inputs: what stands behind a `Commit` waits until that commit is durable. Only `Ask`, `Lookup`
    and `MeasureClock` may overtake (they change nothing). Commits may be grouped into one transaction, in order.
  * After a `Commit` the shell publishes the events among its writes, with the numbers that the journal gave.
  * A `Commit` that fails takes what stands behind it with it: the shell hands the `Commit` and all effects that it has
    not performed, in order, to `journal_failed`. They must not be performed afterwards.
  * `Send` is performed once. Its answer, or the error that stands for it (OutcomeUnknown for anything that is not a
    proven "not executed"; a timeout too), comes back by `answered`. A true answer that comes later may follow it.
  * `Ask` is a read: signed when it is sent. Its answer or error comes back by `asked`, exactly once.
  * `tick` is called when the monotonic clock reaches `machine.wake_ns`, or more often.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

from ....connectors.order_codec import Draft, Signed
from ....journal.writes import Batch
from ....model.errors import MeshError
from ....model.order import Fill, Order


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of the clocks, ns: the mesh's wall clock, the monotonic one, the exchange's as we know it."""

    ns: int
    mono_ns: int
    exchange_ns: int


@dataclass(frozen=True, slots=True)
class Top:
    """Best prices of a pair's book, as they stood at `mono_ns`. None: that side is empty."""

    bid: Decimal | None
    ask: Decimal | None
    mono_ns: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Guards of an account or of one pair; None: no such limit.

    `price_band` is a fraction: a buy may not cost more than best ask x (1 + band), a sell not bring less than best bid
    x (1 - band). `max_order_notional` is in the pair's quote asset.
    """

    max_open_orders: int | None = None
    max_order_notional: Decimal | None = None
    price_band: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """How one account is kept. Times in seconds."""

    exchange: str
    account: str
    prefix: str = "vm"  # client order ids of this mesh begin with it: what does not is external
    limits: Limits = Limits()
    pair_limits: dict[str, Limits] = field(default_factory=dict)
    margin_s: float = 1.0  # added to the exchange's own processing time before absence counts
    absent_again_s: float = 0.5  # between the two asks that prove absence
    query_s: tuple[float, float] = (0.25, 5.0)  # of an order in doubt: first and longest pause between asks
    reconcile_s: tuple[float, float] = (5.0, 60.0)  # between rounds (about 120 weight): in doubt or deaf; healthy
    retry_s: float = 1.0  # a failed ask, or a cancel that was not served
    market_slack: Decimal = Decimal("0.02")  # a market buy reserves best ask x (1 + slack or band) x amount
    top_age_s: float = 30.0  # an older top is none
    owner_grace_s: float = 30.0  # a lease after a restart, where its owner has not renewed it yet
    max_recent: int = 10_000  # orders that are done and still answered from memory
    max_external: int = 1_000
    max_owners: int = 1_000  # dead ones with nothing open are forgotten above that
    max_waiting: int = 1_000  # commands that wait for start or a lookup
    max_unknown_reports: int = 1_000  # reports of ids that are being looked up
    max_backlog: int = 10_000  # batches kept while the journal is down
    clock_slack_s: float = 60.0  # an id born this long after start cannot be in the journal already


class Purpose(Enum):
    """Why something is asked."""

    QUERY = "query"  # one order, by client id
    OPEN_ORDERS = "open_orders"
    ACCOUNT = "account"
    ORDER_FILLS = "order_fills"  # of one order whose total is above the fills that we hold
    PAIR_FILLS = "pair_fills"  # of one pair, above the last trade id reconciled


@dataclass(frozen=True, slots=True)
class Commit:
    """Make these writes durable, all or none."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes, once. `orders` are the client ids it is about."""

    request: Signed


@dataclass(frozen=True, slots=True)
class Ask:
    """Sign and send a read. `urgent`: somebody is in doubt about an order."""

    ask_id: int
    purpose: Purpose
    draft: Draft
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Lookup:
    """Look an order up in the journal: by client id, or else by the exchange's id within a pair. See `looked_up`."""

    key: str
    client_order_id: str | None = None
    pair: str | None = None
    exchange_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What the journal says to a `Lookup`: an order with its fills, a tombstone, or neither.

    `highest` is the highest id that it has of the maker of the id that was looked up, "" where it has none of it.
    """

    order: Order | None = None
    fills: tuple[Fill, ...] = ()
    tombstone: bool = False
    highest: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the command of this token. `value` is of the model's types: Order, CancelResult, or lists of them."""

    token: Any
    value: Any


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer the command of this token with an error."""

    token: Any
    error: MeshError


@dataclass(frozen=True, slots=True)
class MeasureClock:
    """The exchange refused a request for its time: measure its clock again."""


@dataclass(frozen=True, slots=True)
class Halt:
    """A broken assumption, or a newer epoch: stop serving and end."""

    error: MeshError


Effect = Commit | Send | Ask | Lookup | Answer | Refuse | MeasureClock | Halt
