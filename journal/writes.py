"""The writes of a commit, and the check that keeps secrets out of them. No I/O.

Writes are applied in order; a batch is applied completely or not at all. Applying a write again changes nothing. The
exception is `PutEvent`: the id of its batch prevents a repetition (see `Batch`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal

from ..model.errors import Misconfigured
from ..model.order import AccountEvent, Fill, Order

ACCEPTED, REJECTED, NOT_SENT, UNKNOWN = "accepted", "rejected", "not_sent", "unknown"

_SECRET = re.compile(
    r"(?:signature|api[-_]?key|secret)[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9%+/_-]{16}|PRIVATE KEY", re.IGNORECASE
)
_SECRET_WORDS = ("signature", "key", "secret")  # one of them is in every match: the search takes longer than the rest


@dataclass(frozen=True, slots=True)
class PutOrder:
    """Make this the current state of the order with its client order id.

    If the status differs from the journal's, a transition is recorded, with `step` and its time `ts_ns`.
    """

    order: Order
    step: str
    ts_ns: int


@dataclass(frozen=True, slots=True)
class PutFill:
    """Record a fill; if the account has (pair, trade_id, exchange_order_id) already, complete its fee only: a fee that
    is missing or zero."""

    fill: Fill


@dataclass(frozen=True, slots=True)
class MoveFills:
    """Make the recorded fills of this order of the exchange the fills of the order with this client order id."""

    pair: str
    exchange_order_id: str
    client_order_id: str


@dataclass(frozen=True, slots=True)
class PutRequest:
    """The intent: a request is about to be sent once. It stays unresolved until a `CloseRequest` resolves it.

    `text` is the exact request without key and signature, `digest` the SHA-256 of its exact bytes. `not_after_ns` is a
    time of the exchange's clock, `created_ns` of the mesh's.

    Raises:
        Misconfigured: `text` seems to contain a key or a signature, because the connector does not redact it. The error
        shows no part of the text.
    """

    request_id: str
    kind: str
    client_order_ids: tuple[str, ...]
    text: str = field(repr=False)
    digest: str
    not_after_ns: int
    created_ns: int

    def __post_init__(self) -> None:
        lowered = self.text.lower()
        if any(word in lowered for word in _SECRET_WORDS) and _SECRET.search(self.text):
            raise Misconfigured(f"request {self.request_id} ({self.kind})", "its text for the journal is not redacted")


@dataclass(frozen=True, slots=True)
class CloseRequest:
    """Record the outcome of a request: "accepted", "rejected", "not_sent", or "unknown", which leaves it unresolved.

    Another text closes an unknown request later, by convention "resolved:...". A closed or missing request does not
    change.
    """

    request_id: str
    outcome: str
    ts_ns: int


@dataclass(frozen=True, slots=True)
class PutEvent:
    """Record an event under the account's next number; the number in the event is ignored."""

    event: AccountEvent


@dataclass(frozen=True, slots=True)
class PutBalances:
    """Record a snapshot of all balances: asset -> (free, locked). The last `schema.BALANCES_KEPT` are kept."""

    balances: dict[str, tuple[Decimal, Decimal]]
    ts_ns: int


@dataclass(frozen=True, slots=True)
class PutCursor:
    """Set a subscriber's cursor: the number of the last event that it has processed. A cursor never goes back."""

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class PutPause:
    """Pause trading in `scope` ("account" or a pair) for `reason`; None resumes trading."""

    scope: str
    reason: str | None
    ts_ns: int


@dataclass(frozen=True, slots=True)
class PutOwner:
    """Declare what happens to an owner's orders when it dies: "keep" or "cancel"."""

    owner: str
    on_death: str
    ts_ns: int


@dataclass(frozen=True, slots=True)
class PutMark:
    """Set a small named value of the account; None removes it."""

    name: str
    text: str | None


@dataclass(frozen=True, slots=True)
class PutTombstone:
    """Record that a client order id will never have an order: later orders with the id are refused."""

    client_order_id: str
    ts_ns: int


@dataclass(frozen=True, slots=True)
class PutSeen:
    """Record that the mesh which took the account still holds it, at `ts_ns`; 0: it gave the account up."""

    ts_ns: int


Write = (
    PutOrder
    | PutFill
    | MoveFills
    | PutRequest
    | CloseRequest
    | PutEvent
    | PutBalances
    | PutCursor
    | PutPause
    | PutOwner
    | PutMark
    | PutTombstone
    | PutSeen
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Writes that are committed together under an id that is unique among the account's batches.

    A batch whose id was committed before is not applied again: the commit returns the event numbers of the first time.
    The journal keeps the ids of the last `schema.BATCHES_KEPT` batches of an account.
    """

    id: str
    writes: tuple[Write, ...]
