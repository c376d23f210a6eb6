"""Every error that the mesh raises on purpose, grouped by what the caller can do.

MeshError
├─ Rejected(code, reason)              an explicit refusal: the outcome is known
│  ├─ RuleViolation(rule, pair, reason)      the order breaks a trading rule or a guard; nothing was sent
│  ├─ InsufficientBalance(asset, needed, available)
│  ├─ NotOffered(exchange, what)             the exchange does not offer `what`; nothing was sent
│  ├─ Paused(scope, reason)                  trading is paused in `scope`; nothing was sent
│  └─ UnknownOrder(client_order_id)          the account has no such order
├─ RetryLater(after_s, reason)         not served, and provably not executed
│  └─ JournalUnavailable(...)                the journal cannot be written: nothing was sent
├─ EventsTrimmed(first)                events after the requested number were deleted; `first` is kept
├─ EventsRewound(after, last, reason)  the journal is another or older one than that of the given event number
├─ OutcomeUnknown(what, reason)        no answer, a 5xx, a cut connection: reconcile, never assume
├─ NotSynced(address, state, reason)   the book exists, but cannot be trusted now
│  └─ BeyondDepth(...)                 the query reaches beyond the depth that the snapshot proved
├─ Misconfigured(what, reason)         a retry will not help
│  ├─ UnknownExchange · UnknownInstrument · MeshNotRunning
│  ├─ ConfigError(file, key, reason)
│  ├─ JournalRewound(journal, reason)        the journal lacks what it had: restore or accept it
│  ├─ JournalMissing(journal, reason)        there is no journal, and none may be created
│  ├─ AccountHeld(account, mesh, ...)        another mesh trades on the account
│  └─ SegmentMismatch                  a segment of another version, or not a segment
├─ DataError                           unusable bytes or numbers; nothing was changed
│  ├─ DecodeError(reason, excerpt)     a frame or body that a codec cannot read
│  ├─ FixedPointError(value, scale, reason)   not a number, or does not fit the scale
│  ├─ BookError(reason)                levels that a book refuses: negative, crossed, out of order
│  └─ CaptureError(file, where, reason)       a recording that is truncated or not a recording
├─ InvalidTransition(state, event)     a machine got an event that its state does not allow
├─ Fenced(address, held, seen)         a newer incarnation exists: the older one must stop
└─ InboxFull(address, limit)           a bounded queue refused a command

All errors pickle, compare by their fields and render their own message. Callers branch on type and field, never on
text.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .shown import beginning, storable
from .spelling import suggestion

LONGEST_REASON = 400  # characters of a reason that may repeat foreign text
LONGEST_FIELD = 1_000  # characters of a field of an error about a setup, which may repeat text of a file


class MeshError(Exception):
    """Base of all errors of the mesh. Fields are the constructor's arguments, by name."""

    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        values = dict(zip(self.fields, args, strict=False)) | kwargs
        unknown = set(values) - set(self.fields)
        if unknown or len(args) > len(self.fields):
            raise TypeError(f"{type(self).__name__} takes {self.fields}, not {sorted(unknown) or args}")
        for name in self.fields:
            value = values.get(name)
            setattr(self, name, self._kept(value) if isinstance(value, str) else value)  # logs and peers get it
        super().__init__(*(getattr(self, name) for name in self.fields))

    def _kept(self, text: str) -> str:
        """Return the text of a field as it is kept, logged and sent."""
        return storable(text)

    def __str__(self) -> str:
        shown = [f"{name}={getattr(self, name)!r}" for name in self.fields if getattr(self, name) is not None]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.args == self.args

    def __hash__(self) -> int:
        return hash((type(self), repr(self.args)))


class Rejected(MeshError):
    """The exchange or the mesh refused explicitly. `code` is the exchange's or the mesh's code, as text."""

    fields: ClassVar[tuple[str, ...]] = ("code", "reason")
    code: str
    reason: str

    def __str__(self) -> str:
        return f"rejected ({self.code}): {self.reason}"


class RuleViolation(Rejected):
    """An order breaks a rule of its exchange or a guard of its account. Nothing was sent.

    `rule` names the rule: `price_increment`, `min_price`, `max_price`, `size_increment`, `min_size`, `max_size`,
    `min_notional`, `max_notional`, `order_type`, `not_trading`, `price_band`, `max_open_orders`,
    `max_order_notional`, ...
    """

    fields: ClassVar[tuple[str, ...]] = ("rule", "pair", "reason")
    rule: str
    pair: str

    def __str__(self) -> str:
        return f"{self.pair} breaks {self.rule}: {self.reason}"

    @property
    def code(self) -> str:  # type: ignore[override]
        return self.rule


class InsufficientBalance(Rejected):
    """The order needs more than is available after the reservations of orders in flight. Nothing was sent.

    `needed` and `available` are decimal text.
    """

    fields: ClassVar[tuple[str, ...]] = ("asset", "needed", "available")
    asset: str
    needed: str
    available: str
    code = "insufficient_balance"

    @property
    def reason(self) -> str:  # type: ignore[override]
        return str(self)

    def __str__(self) -> str:
        return f"the order needs {self.needed} {self.asset}; {self.available} {self.asset} is available"


class NotOffered(Rejected):
    """The exchange or its connector does not offer `what`. Nothing was sent."""

    fields: ClassVar[tuple[str, ...]] = ("exchange", "what")
    exchange: str
    what: str
    code = "not_offered"

    @property
    def reason(self) -> str:  # type: ignore[override]
        return str(self)

    def __str__(self) -> str:
        return f"{self.exchange} does not offer {self.what}"


class Paused(Rejected):
    """Trading is paused.

    Nothing was sent. `scope` is the scope of the pause: "mesh", an exchange, an account or a pair.
    """

    fields: ClassVar[tuple[str, ...]] = ("scope", "reason")
    scope: str
    code = "paused"

    def __str__(self) -> str:
        return f"trading is paused ({self.scope}): {self.reason}"


class UnknownOrder(Rejected):
    """The account has no order with this id. An order that arrives with this id later is refused."""

    fields: ClassVar[tuple[str, ...]] = ("client_order_id",)
    client_order_id: str
    code = "unknown_order"

    @property
    def reason(self) -> str:  # type: ignore[override]
        return str(self)

    def __str__(self) -> str:
        return f"the account has no order {self.client_order_id!r}"


class RetryLater(MeshError):
    """The request was not served and provably not executed. Try again after `after_s` seconds."""

    fields: ClassVar[tuple[str, ...]] = ("after_s", "reason")
    after_s: float
    reason: str

    def __str__(self) -> str:
        return f"retry in {self.after_s:.3f} s: {self.reason}"


class JournalUnavailable(RetryLater):
    """The journal cannot be written now, so no order is accepted. Nothing was sent."""


class EventsTrimmed(MeshError):
    """The journal deleted events after the requested number.

    `first` is the number of the oldest event in the journal.
    """

    fields: ClassVar[tuple[str, ...]] = ("first",)
    first: int

    def __str__(self) -> str:
        return f"the journal keeps no events before number {self.first}"


class EventsRewound(MeshError):
    """The requested event number is not of this journal: an older journal was restored, or a new one begun.

    `after` is the requested number, `last` the number of the journal's last event. Read the orders and fills anew, then
    follow the events from `last` on.
    """

    fields: ClassVar[tuple[str, ...]] = ("after", "last", "reason")
    after: int
    last: int
    reason: str

    def __str__(self) -> str:
        return f"{self.reason}; read orders and fills anew and follow the events after number {self.last}"


class OutcomeUnknown(MeshError):
    """A request may or may not have been executed. Reconcile; never assume."""

    fields: ClassVar[tuple[str, ...]] = ("what", "reason")
    what: str
    reason: str

    def __str__(self) -> str:
        return f"the outcome of {self.what} is unknown: {self.reason}"


class NotSynced(MeshError):
    """The book cannot be trusted now. `state` is a `BookState` name. The book may become LIVE again by itself."""

    fields: ClassVar[tuple[str, ...]] = ("address", "state", "reason")
    address: str
    state: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.address} is {self.state}" + (f": {self.reason}" if self.reason else "")


class BeyondDepth(NotSynced):
    """The query reaches beyond the proven (or held) depth: `proven` levels of `side` are known."""

    fields: ClassVar[tuple[str, ...]] = ("address", "side", "asked", "proven")
    side: str
    asked: Any
    proven: int

    def __str__(self) -> str:
        return f"{self.address}: the query needs {self.asked} on the {self.side} side; {self.proven} levels are proven"


class Misconfigured(MeshError):
    """The setup is wrong; a retry will not help."""

    fields: ClassVar[tuple[str, ...]] = ("what", "reason")
    what: str
    reason: str | None

    def _kept(self, text: str) -> str:
        return beginning(storable(text), LONGEST_FIELD)

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class UnknownExchange(Misconfigured):
    """The mesh has no such exchange. `known` names the exchanges that it has."""

    fields: ClassVar[tuple[str, ...]] = ("exchange", "known")
    exchange: str
    known: list[str]

    def __str__(self) -> str:
        return f"unknown exchange {self.exchange!r} (known: {', '.join(self.known or []) or 'none'})"


class UnknownInstrument(Misconfigured):
    """The exchange lists no such trading pair, or the mesh does not track it. `similar` are pairs that may be meant."""

    fields: ClassVar[tuple[str, ...]] = ("exchange", "instrument", "reason", "similar")
    exchange: str
    instrument: str
    similar: list[str] | None

    def __str__(self) -> str:
        reason = f": {self.reason}" if self.reason else ""
        return f"unknown trading pair {self.instrument!r} on {self.exchange}{reason}{suggestion(self.similar or ())}"


class MeshNotRunning(Misconfigured):
    """No mesh of this name is running."""

    fields: ClassVar[tuple[str, ...]] = ("mesh", "reason")
    mesh: str

    def __str__(self) -> str:
        return f"mesh {self.mesh!r} is not running: {self.reason}"


class ConfigError(Misconfigured):
    """The configuration cannot be used. `file` and `key` name the place, `reason` explains the error."""

    fields: ClassVar[tuple[str, ...]] = ("file", "key", "reason")
    file: str
    key: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.reason}" if self.key else f"{self.file}: {self.reason}"


class JournalRewound(Misconfigured):
    """The journal lacks what it had before: an older copy was restored, it is missing, or it is another journal.

    Nothing is traded on it. `reason` says what is missing and what to do.
    """

    fields: ClassVar[tuple[str, ...]] = ("journal", "reason")
    journal: str

    def __str__(self) -> str:
        return (
            f"journal {self.journal}: {self.reason}. Put the right journal back, restore a backup (venuemesh journal "
            "restore), or trade on with this one (venuemesh journal accept)"
        )


class JournalMissing(Misconfigured):
    """There is no journal, and none may be created."""

    fields: ClassVar[tuple[str, ...]] = ("journal", "reason")
    journal: str

    def __str__(self) -> str:
        return f"{self.journal}: {self.reason}"


class AccountHeld(Misconfigured):
    """Another mesh trades on the account, by the same journal. `mesh` names it; it stated so last at `seen_ns`."""

    fields: ClassVar[tuple[str, ...]] = ("account", "mesh", "seen_ns", "reason")
    account: str
    mesh: str
    seen_ns: int

    def __str__(self) -> str:
        return f"{self.account} is held by mesh {self.mesh}: {self.reason}"


class SegmentMismatch(Misconfigured):
    """The file is not a segment of this version."""

    fields: ClassVar[tuple[str, ...]] = ("path", "reason")
    path: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class DataError(MeshError):
    """The input is unusable. Nothing was changed."""


class DecodeError(DataError):
    """A codec cannot read a frame or body. `excerpt` shows at most 200 bytes of the input."""

    fields: ClassVar[tuple[str, ...]] = ("reason", "excerpt")
    reason: str
    excerpt: str | None

    def __str__(self) -> str:
        return self.reason + (f": {self.excerpt}" if self.excerpt else "")


class FixedPointError(DataError):
    """A text or number is not an exact int64 at this scale: not numeric, too precise or too large."""

    fields: ClassVar[tuple[str, ...]] = ("value", "scale", "reason")
    value: str
    scale: int
    reason: str

    def __str__(self) -> str:
        return f"{self.value!r} at scale {self.scale}: {self.reason}"


class BookError(DataError):
    """The book refused levels and did not change."""

    fields: ClassVar[tuple[str, ...]] = ("reason",)
    reason: str

    def __str__(self) -> str:
        return self.reason


class CaptureError(DataError):
    """A file is not a recording, or is truncated. `where` names a line number or a byte offset."""

    fields: ClassVar[tuple[str, ...]] = ("file", "where", "reason")
    file: str
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.where}: {self.reason}"


class InvalidTransition(MeshError):
    """A machine got an event that its state does not allow. This is a defect of the mesh."""

    fields: ClassVar[tuple[str, ...]] = ("state", "event")
    state: str
    event: str

    def __str__(self) -> str:
        return f"{self.event} is not allowed in {self.state}"


class Fenced(MeshError):
    """A newer incarnation or supervisor exists. The process that gets this error must stop serving."""

    fields: ClassVar[tuple[str, ...]] = ("address", "held", "seen")
    address: str
    held: tuple[int, int]
    seen: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.address}: incarnation {self.held} is fenced by {self.seen}"


class InboxFull(MeshError):
    """A bounded queue is full and refused the command. Nothing was executed."""

    fields: ClassVar[tuple[str, ...]] = ("address", "limit")
    address: str
    limit: int

    def __str__(self) -> str:
        return f"the inbox of {self.address} is full ({self.limit} messages)"
