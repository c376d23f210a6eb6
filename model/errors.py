"""Every error the mesh raises on purpose, sorted by what the caller can do about it.

MeshError
├─ Rejected(code, reason)              someone said no, explicitly: the outcome is known
│  ├─ RuleViolation(rule, pair, reason)      the order breaks a trading rule or a guard; nothing was sent
│  ├─ InsufficientBalance(asset, needed, available)
│  ├─ NotOffered(exchange, what)             the exchange does not offer it; nothing was sent
│  ├─ Paused(scope, reason)                  trading is paused there
│  └─ UnknownOrder(client_order_id)          nobody here knows the order
├─ RetryLater(after_s, reason)         not served, and provably not executed
│  └─ JournalUnavailable(...)                the journal cannot be written: nothing was sent
├─ EventsTrimmed(first)                events after the number asked for are gone; the first that is kept
├─ OutcomeUnknown(what, reason)        no answer, a 5xx, a cut line: reconcile, never assume
├─ NotSynced(address, state, reason)   the book is there and cannot be trusted yet
│  └─ BeyondDepth(...)                 the query reaches past what the snapshot proved
├─ Misconfigured(what, reason)         a retry will not help
│  ├─ UnknownExchange · UnknownInstrument · MeshNotRunning
│  ├─ ConfigError(file, key, reason)
│  └─ SegmentMismatch                  a segment of another version, or not a segment
├─ DataError                           bytes or numbers that cannot be what they claim; nothing was changed
│  ├─ DecodeError(reason, excerpt)     a frame or body a codec cannot read
│  ├─ FixedPointError(value, scale, reason)   not a number, or does not fit the scale
│  ├─ BookError(reason)                levels a book refuses: negative, crossed, out of order
│  └─ CaptureError(file, where, reason)       a recording that is truncated or not a recording
├─ InvalidTransition(state, event)     a machine was given an event its state does not allow
├─ Fenced(address, held, seen)         a newer incarnation exists: this one must stop
└─ InboxFull(address, limit)           a bounded queue refused a command

All of them pickle, compare by their fields and render their own message; callers branch on type and field.
"""

from __future__ import annotations

from typing import Any, ClassVar


class MeshError(Exception):
    """Base of all errors of the mesh. Fields are the constructor's arguments, by name."""

    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        values = dict(zip(self.fields, args, strict=False)) | kwargs
        unknown = set(values) - set(self.fields)
        if unknown or len(args) > len(self.fields):
            raise TypeError(f"{type(self).__name__} takes {self.fields}, not {sorted(unknown) or args}")
        for name in self.fields:
            setattr(self, name, values.get(name))
        super().__init__(*(getattr(self, name) for name in self.fields))

    def __str__(self) -> str:
        said = [f"{name}={getattr(self, name)!r}" for name in self.fields if getattr(self, name) is not None]
        return f"{type(self).__name__}({', '.join(said)})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.args == self.args

    def __hash__(self) -> int:
        return hash((type(self), repr(self.args)))


class Rejected(MeshError):
    """An explicit refusal by the exchange or by the mesh. `code` is the refuser's own, as text."""

    fields: ClassVar[tuple[str, ...]] = ("code", "reason")
    code: str
    reason: str

    def __str__(self) -> str:
        return f"rejected ({self.code}): {self.reason}"


class RuleViolation(Rejected):
    """An order breaks a rule of its exchange or a guard of its account. Nothing was sent.

    `rule` is its name: `price_increment`, `min_price`, `max_price`, `size_increment`, `min_size`, `max_size`,
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
    """More is needed than is available, what orders in flight reserve taken off. Decimal text. Nothing was sent."""

    fields: ClassVar[tuple[str, ...]] = ("asset", "needed", "available")
    asset: str
    needed: str
    available: str
    code = "insufficient_balance"

    @property
    def reason(self) -> str:  # type: ignore[override]
        return str(self)

    def __str__(self) -> str:
        return f"{self.needed} {self.asset} needed, {self.available} available"


class NotOffered(Rejected):
    """The exchange does not offer it, or its connector does not. Nothing was sent."""

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
    """Trading is paused in `scope` ("mesh", an exchange, an account or a pair, as it was said). Nothing was sent."""

    fields: ClassVar[tuple[str, ...]] = ("scope", "reason")
    scope: str
    code = "paused"

    def __str__(self) -> str:
        return f"trading is paused ({self.scope}): {self.reason}"


class UnknownOrder(Rejected):
    """No order of that id is known, and now never will be: an order that arrives with it later is refused."""

    fields: ClassVar[tuple[str, ...]] = ("client_order_id",)
    client_order_id: str
    code = "unknown_order"

    @property
    def reason(self) -> str:  # type: ignore[override]
        return str(self)

    def __str__(self) -> str:
        return f"no order {self.client_order_id!r}"


class RetryLater(MeshError):
    """Not served and provably not executed. Try again after `after_s` seconds."""

    fields: ClassVar[tuple[str, ...]] = ("after_s", "reason")
    after_s: float
    reason: str

    def __str__(self) -> str:
        return f"retry in {self.after_s:.3f} s: {self.reason}"


class JournalUnavailable(RetryLater):
    """The journal cannot be written now, so no order is accepted: nothing was sent."""


class EventsTrimmed(MeshError):
    """Events after the number asked for are gone from the journal. `first` is the first that is still there."""

    fields: ClassVar[tuple[str, ...]] = ("first",)
    first: int

    def __str__(self) -> str:
        return f"events before {self.first} are no longer kept"


class OutcomeUnknown(MeshError):
    """A request may or may not have been executed. Reconcile; never assume."""

    fields: ClassVar[tuple[str, ...]] = ("what", "reason")
    what: str
    reason: str

    def __str__(self) -> str:
        return f"outcome of {self.what} unknown: {self.reason}"


class NotSynced(MeshError):
    """The book cannot be trusted now. `state` is a `BookState` name; it may become LIVE again by itself."""

    fields: ClassVar[tuple[str, ...]] = ("address", "state", "reason")
    address: str
    state: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.address} is {self.state}" + (f": {self.reason}" if self.reason else "")


class BeyondDepth(NotSynced):
    """The query reaches past the depth that is proven (or held): `proven` levels of that side are known."""

    fields: ClassVar[tuple[str, ...]] = ("address", "side", "asked", "proven")
    side: str
    asked: Any
    proven: int

    def __str__(self) -> str:
        return f"{self.address}: {self.asked} asked of the {self.side} side, {self.proven} levels are proven"


class Misconfigured(MeshError):
    """Something is wrong that a retry will not mend."""

    fields: ClassVar[tuple[str, ...]] = ("what", "reason")
    what: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class UnknownExchange(Misconfigured):
    """No such exchange here. `known` names those that are."""

    fields: ClassVar[tuple[str, ...]] = ("exchange", "known")
    exchange: str
    known: list[str]

    def __str__(self) -> str:
        return f"unknown exchange {self.exchange!r} (known: {', '.join(self.known or []) or 'none'})"


class UnknownInstrument(Misconfigured):
    """The exchange lists no such trading pair, or the mesh does not track it."""

    fields: ClassVar[tuple[str, ...]] = ("exchange", "instrument", "reason")
    exchange: str
    instrument: str

    def __str__(self) -> str:
        return f"unknown trading pair {self.instrument!r} on {self.exchange}" + (
            f": {self.reason}" if self.reason else ""
        )


class MeshNotRunning(Misconfigured):
    """There is no mesh of that name to talk to."""

    fields: ClassVar[tuple[str, ...]] = ("mesh", "reason")
    mesh: str

    def __str__(self) -> str:
        return f"mesh {self.mesh!r} is not running: {self.reason}"


class ConfigError(Misconfigured):
    """A configuration that cannot be used: which file, which key, why."""

    fields: ClassVar[tuple[str, ...]] = ("file", "key", "reason")
    file: str
    key: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.reason}" if self.key else f"{self.file}: {self.reason}"


class SegmentMismatch(Misconfigured):
    """A file that is not a segment of this version."""

    fields: ClassVar[tuple[str, ...]] = ("path", "reason")
    path: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class DataError(MeshError):
    """Input that cannot be what it claims to be. Nothing was changed by it."""


class DecodeError(DataError):
    """A frame or body that a codec cannot read. `excerpt` is at most 200 bytes of it."""

    fields: ClassVar[tuple[str, ...]] = ("reason", "excerpt")
    reason: str
    excerpt: str | None

    def __str__(self) -> str:
        return self.reason + (f": {self.excerpt}" if self.excerpt else "")


class FixedPointError(DataError):
    """Text or number that is not an exact int64 at the scale: not numeric, too precise, too large."""

    fields: ClassVar[tuple[str, ...]] = ("value", "scale", "reason")
    value: str
    scale: int
    reason: str

    def __str__(self) -> str:
        return f"{self.value!r} at scale {self.scale}: {self.reason}"


class BookError(DataError):
    """Levels that a book refuses; the book is unchanged."""

    fields: ClassVar[tuple[str, ...]] = ("reason",)
    reason: str

    def __str__(self) -> str:
        return self.reason


class CaptureError(DataError):
    """A recording that is truncated, or is none. `where` is a line number or a byte offset, said in words."""

    fields: ClassVar[tuple[str, ...]] = ("file", "where", "reason")
    file: str
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.where}: {self.reason}"


class InvalidTransition(MeshError):
    """A machine was given an event that its state does not allow: a bug, never ordinary life."""

    fields: ClassVar[tuple[str, ...]] = ("state", "event")
    state: str
    event: str

    def __str__(self) -> str:
        return f"{self.event} is not allowed in {self.state}"


class Fenced(MeshError):
    """A newer incarnation or supervisor exists; whoever is told this must stop serving."""

    fields: ClassVar[tuple[str, ...]] = ("address", "held", "seen")
    address: str
    held: tuple[int, int]
    seen: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.address}: incarnation {self.held} is fenced by {self.seen}"


class InboxFull(MeshError):
    """A bounded queue is full and refuses commands. Nothing was executed."""

    fields: ClassVar[tuple[str, ...]] = ("address", "limit")
    address: str
    limit: int

    def __str__(self) -> str:
        return f"{self.address}: its inbox of {self.limit} is full"
