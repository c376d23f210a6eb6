"""The inputs and effects of the machine of one account, as data.

The contract with the shell (actors/orders/role.py):

  * Every input of `OrderMachine` returns a list of effects. The shell performs effects in the order in which they were
    returned, across all inputs: effects behind a `Commit` wait until that commit is durable. Only `Ask`, `Lookup` and
    `MeasureClock` may be performed earlier (they change nothing). Commits may be grouped into one transaction, in
    order.
  * After a `Commit` the shell publishes the events among its writes, with the numbers that the journal assigned.
  * When a `Commit` fails, the shell passes the `Commit` and all effects that it has not performed, in order, to
    `journal_failed`. It must not perform them afterwards.
  * `Send` is performed once. Its answer, or an error in place of it (OutcomeUnknown unless the request is proven not
    executed; a timeout too), comes back by `answered`. The true answer may follow later.
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
from ....model.time import SECOND_NS

CLOCK_DOUBT_NS = SECOND_NS // 2  # assumed largest error of `Now.exchange_ns`


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of the clocks in ns: wall clock, monotonic clock, and our estimate of the exchange's clock."""

    ns: int
    mono_ns: int
    exchange_ns: int


Levels = tuple[tuple[Decimal, Decimal], ...]  # price and size, best first


@dataclass(frozen=True, slots=True)
class Top:
    """Best prices of a pair's book at `mono_ns`; None for an empty side.

    `bids` and `asks` are the known levels, for orders that take any price; None where they were not requested.
    """

    bid: Decimal | None
    ask: Decimal | None
    mono_ns: int
    bids: Levels | None = None
    asks: Levels | None = None


class Purpose(Enum):
    """Purpose of an ask."""

    QUERY = "query"  # one order, by client id
    OPEN_ORDERS = "open_orders"
    ACCOUNT = "account"
    HISTORY = "history"  # all orders of the pair of an order that no query finds
    SEARCH_FILLS = "search_fills"  # the fills of that pair
    ORDER_FILLS = "order_fills"  # of one order whose filled total exceeds the fills that we hold
    FEES = "fees"  # the fills of one order, some of which were reported without a fee
    PAIR_FILLS = "pair_fills"  # of one pair, above the last trade id reconciled


@dataclass(frozen=True, slots=True)
class Commit:
    """Make these writes durable, all or none."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes once. `journaled`: behind the commit of their intent; False only for a cancel while the journal
    is down."""

    request: Signed
    journaled: bool = True


@dataclass(frozen=True, slots=True)
class Ask:
    """Sign and send a read. `urgent`: an order is in doubt."""

    ask_id: int
    purpose: Purpose
    draft: Draft
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Lookup:
    """Look up an order in the journal: by client id, or by the exchange's id within a pair. See `looked_up`."""

    key: str
    client_order_id: str | None = None
    pair: str | None = None
    exchange_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The journal's answer to a `Lookup`: an order with its fills, a tombstone, or neither.

    `highest`: the journal's highest id of the maker of the looked-up id; "" if there is none.
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
    """A broken assumption or a newer epoch: stop serving and end."""

    error: MeshError


Effect = Commit | Send | Ask | Lookup | Answer | Refuse | MeasureClock | Halt
