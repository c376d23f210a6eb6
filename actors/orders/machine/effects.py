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

from dataclasses import dataclass
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
