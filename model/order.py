"""Orders: the request for one, its state, its fills and its events. No I/O.

Prices and amounts are exact `Decimal` values here, and text in messages and in the journal: orders are few, and their
products (price x amount) need more than 64 bits. Times are ns since the Unix epoch.

Lifecycle. `NEXT` is the whole table; a pair that is not in the table raises `InvalidTransition`. PENDING_CANCEL: a
cancel was journaled and is unanswered. UNKNOWN: the request that places the order was sent, or may have been sent, and
its outcome is unknown. FAILED: the order provably never was on the exchange. REJECTED: the exchange refused the order
explicitly. Fills are applied in every status: the totals of an order come from its fills alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple, Self

from .arguments import needed_number, read_enum
from .errors import InvalidTransition
from .events import Side
from .slotted import replaced, shape_of

ZERO = Decimal(0)


class OrderType(Enum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"
    LIMIT_MAKER = "LIMIT_MAKER"  # post-only: rests or is refused, never takes
    STOP_LOSS = "STOP_LOSS"  # becomes a MARKET order when the market trades at the stop price
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"

    @property
    def has_price(self) -> bool:
        return self not in (OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT)

    @property
    def has_stop(self) -> bool:
        return self.value.startswith(("STOP", "TAKE"))


class TimeInForce(Enum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class OrderStatus(Enum):
    __hash__ = object.__hash__  # every order looks its status up dozens of times, and Enum's own hash is Python code

    PENDING_NEW = "PENDING_NEW"
    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL

    @property
    def in_flight(self) -> bool:
        """Whether a request about the order is unanswered."""
        return self in (OrderStatus.PENDING_NEW, OrderStatus.UNKNOWN, OrderStatus.PENDING_CANCEL)


S = OrderStatus
TERMINAL = frozenset({S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED, S.FAILED})
ADOPTED = "adopted"  # code of an open order that the journal did not know, taken over from the exchange's report


class Step(Enum):
    """A step of an order's life."""

    __hash__ = object.__hash__  # as of `OrderStatus`

    ACK = "ACK"  # the exchange has the order
    REJECT = "REJECT"  # the exchange refused the order
    NO_REPLY = "NO_REPLY"  # sent, or perhaps sent, and unanswered
    NOT_SENT = "NOT_SENT"  # provably nothing reached the exchange
    ABSENT = "ABSENT"  # the exchange provably has no such order
    LOST = "LOST"  # the exchange had the order, does not list it as open, and does not state how it ended
    FILL = "FILL"  # a fill of a part
    LAST_FILL = "LAST_FILL"  # a fill of the whole remaining amount
    CANCEL_SENT = "CANCEL_SENT"
    CANCEL_REFUSED = "CANCEL_REFUSED"  # the exchange states that the order is still open
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"  # ended by the exchange: IOC or FOK remainder, self-trade prevention, market closed


NEXT: dict[tuple[OrderStatus, Step], OrderStatus] = {
    (S.PENDING_NEW, Step.ACK): S.OPEN,
    (S.PENDING_NEW, Step.REJECT): S.REJECTED,
    (S.PENDING_NEW, Step.NO_REPLY): S.UNKNOWN,  # ask the exchange, never assume
    (S.PENDING_NEW, Step.NOT_SENT): S.FAILED,
    (S.PENDING_NEW, Step.ABSENT): S.FAILED,  # a predecessor died between journal and socket
    (S.PENDING_NEW, Step.FILL): S.PARTIALLY_FILLED,  # the fill came before the answer
    (S.PENDING_NEW, Step.LAST_FILL): S.FILLED,
    (S.PENDING_NEW, Step.CANCEL_SENT): S.PENDING_CANCEL,
    (S.PENDING_NEW, Step.CANCELED): S.CANCELED,
    (S.PENDING_NEW, Step.EXPIRED): S.EXPIRED,
    (S.UNKNOWN, Step.ACK): S.OPEN,
    (S.UNKNOWN, Step.REJECT): S.REJECTED,  # the answer came late
    (S.UNKNOWN, Step.NO_REPLY): S.UNKNOWN,
    (S.UNKNOWN, Step.NOT_SENT): S.FAILED,
    (S.UNKNOWN, Step.ABSENT): S.FAILED,
    (S.UNKNOWN, Step.FILL): S.PARTIALLY_FILLED,
    (S.UNKNOWN, Step.LAST_FILL): S.FILLED,
    (S.UNKNOWN, Step.CANCEL_SENT): S.UNKNOWN,  # it is still unknown whether there is an order to cancel
    (S.UNKNOWN, Step.CANCEL_REFUSED): S.UNKNOWN,
    (S.UNKNOWN, Step.CANCELED): S.CANCELED,
    (S.UNKNOWN, Step.EXPIRED): S.EXPIRED,
    (S.OPEN, Step.ACK): S.OPEN,  # the answer and the report both acknowledge it
    (S.OPEN, Step.NO_REPLY): S.OPEN,  # the report came, the answer never did
    (S.OPEN, Step.REJECT): S.REJECTED,  # the exchange acknowledged the order before it judged it
    (S.OPEN, Step.FILL): S.PARTIALLY_FILLED,
    (S.OPEN, Step.LAST_FILL): S.FILLED,
    (S.OPEN, Step.CANCEL_SENT): S.PENDING_CANCEL,
    (S.OPEN, Step.CANCEL_REFUSED): S.OPEN,
    (S.OPEN, Step.CANCELED): S.CANCELED,
    (S.OPEN, Step.EXPIRED): S.EXPIRED,
    (S.PARTIALLY_FILLED, Step.ACK): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, Step.NO_REPLY): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, Step.FILL): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, Step.LAST_FILL): S.FILLED,
    (S.PARTIALLY_FILLED, Step.CANCEL_SENT): S.PENDING_CANCEL,
    (S.PARTIALLY_FILLED, Step.CANCEL_REFUSED): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, Step.CANCELED): S.CANCELED,
    (S.PARTIALLY_FILLED, Step.EXPIRED): S.EXPIRED,
    (S.PENDING_CANCEL, Step.ACK): S.PENDING_CANCEL,
    (S.PENDING_CANCEL, Step.REJECT): S.REJECTED,  # the cancel overtook a request to place that was refused
    (
        S.PENDING_CANCEL,
        Step.NO_REPLY,
    ): S.PENDING_CANCEL,  # the request to place or the cancel: reconciliation decides
    (S.PENDING_CANCEL, Step.NOT_SENT): S.FAILED,  # the request to place was never sent
    (S.PENDING_CANCEL, Step.ABSENT): S.FAILED,
    (S.PENDING_CANCEL, Step.FILL): S.PENDING_CANCEL,
    (S.PENDING_CANCEL, Step.LAST_FILL): S.FILLED,  # the fill came first
    (S.PENDING_CANCEL, Step.CANCEL_SENT): S.PENDING_CANCEL,
    (S.PENDING_CANCEL, Step.CANCEL_REFUSED): S.OPEN,  # with fills: PARTIALLY_FILLED, see `advance`
    (S.PENDING_CANCEL, Step.CANCELED): S.CANCELED,
    (S.PENDING_CANCEL, Step.EXPIRED): S.EXPIRED,
}
NEXT |= {(open_, Step.LOST): S.UNKNOWN for open_ in S if open_ not in TERMINAL}
# A terminal status never regresses: late answers change nothing, and late fills count without a change of status ...
NEXT |= {(end, step): end for end in TERMINAL for step in Step}
# ... but a cancelled or expired order whose fills add up to its amount was filled.
NEXT |= {(end, Step.LAST_FILL): S.FILLED for end in (S.CANCELED, S.EXPIRED)}


def advance(status: OrderStatus, step: Step, filled: Decimal = ZERO) -> OrderStatus:
    """Return the next status of an order. `filled` is its filled amount, including the fill of this step.

    Raises:
        InvalidTransition: the table has no such row.
    """
    after = NEXT.get((status, step))
    if after is None:
        raise InvalidTransition(status.value, step.value)
    if after is S.OPEN and filled > 0:
        return S.PARTIALLY_FILLED
    return after


class _Record:
    """A record that can be converted to plain values and back."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for msgpack and the journal: Decimal and enums as text."""
        return _plain(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Return the record of the plain values of `to_dict`."""
        return cls(**_typed(plain))


@dataclass(frozen=True, slots=True)
class NewOrder(_Record):
    """An order that a strategy wants to place, with its client order id.

    `amount` is in the base asset; a MARKET order may have `quote_amount` instead. `price` is None for orders that take
    any price. `self_trade` is the exchange's name of a self-trade prevention mode, None for the exchange's default.
    Text is read where a number or an enum is meant, and a float is refused, as in `Market.buy`.
    """

    client_order_id: str
    pair: str
    side: Side
    order_type: OrderType
    amount: Decimal | None
    price: Decimal | None = None
    time_in_force: TimeInForce | None = None
    quote_amount: Decimal | None = None
    stop_price: Decimal | None = None
    self_trade: str | None = None
    owner: str = ""

    def __post_init__(self) -> None:
        """Read numbers and enums as every call of the facade does. Raises TypeError, Rejected."""
        for name, kind in _ENUMS_OF_NEW:
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                object.__setattr__(self, name, read_enum(kind, name, value))
        for name in _NUMBERS_OF_NEW:
            value = getattr(self, name)
            if value is not None and not isinstance(value, Decimal):
                object.__setattr__(self, name, needed_number(name, value))


_ENUMS_OF_NEW: tuple[tuple[str, type[Enum]], ...] = (
    ("side", Side),
    ("order_type", OrderType),
    ("time_in_force", TimeInForce),
)
_NUMBERS_OF_NEW = ("amount", "price", "quote_amount", "stop_price")


class Fee(NamedTuple):
    """A fee of one fill: positive is paid, negative is a rebate."""

    asset: str
    amount: Decimal


class Charged:
    """The fees of a fill: `fee` in `fee_asset`, and the further fees in `more_fees`. Nearly every fill has one fee."""

    __slots__ = ()
    fee: Decimal | None
    fee_asset: str | None
    more_fees: tuple[Fee, ...]

    @property
    def fees(self) -> tuple[Fee, ...]:
        """All stated fees, such as a trading fee and a tax; two of them may be in one asset."""
        first = () if self.fee is None or self.fee_asset is None else (Fee(self.fee_asset, self.fee),)
        return (*first, *self.more_fees)


@dataclass(frozen=True, slots=True)
class Fill(_Record, Charged):
    """One fill of one order, as the exchange states it. `fee` is in `fee_asset`; both are None if the exchange does not
    state them (yet). A fill may have `more_fees`, in any assets; `fees` are all of them.

    `trade_id` is the exchange's. Two own orders that trade with each other have one fill each under the same trade id:
    (pair, trade_id, exchange_order_id) identifies a fill.
    """

    trade_id: str
    client_order_id: str
    exchange_order_id: str
    pair: str
    side: Side
    price: Decimal
    amount: Decimal
    quote_amount: Decimal
    fee: Decimal | None
    fee_asset: str | None
    is_maker: bool
    ts_event_ns: int
    ts_recv_ns: int
    more_fees: tuple[Fee, ...] = ()

    @property
    def liquidity(self) -> str:
        return "maker" if self.is_maker else "taker"


@dataclass(frozen=True, slots=True)
class Order(_Record):
    """All known values of one order. Immutable: every change makes a new `Order`, and strategies have copies.

    `external`: placed outside the mesh; the mesh shows the order but does not manage it. `created_ns` is when the order
    was journaled (or first seen), `updated_ns` when it last changed, both by the mesh's clock. `code` and `reason`
    explain why the order ended, if the exchange or the mesh stated a reason.
    """

    exchange: str
    account: str
    client_order_id: str
    pair: str
    side: Side
    order_type: OrderType
    amount: Decimal | None
    price: Decimal | None
    time_in_force: TimeInForce | None
    status: OrderStatus
    created_ns: int
    updated_ns: int
    quote_amount: Decimal | None = None
    stop_price: Decimal | None = None
    self_trade: str | None = None
    owner: str = ""
    exchange_order_id: str | None = None
    list_id: str | None = None  # the exchange's id of the order list that it belongs to
    filled: Decimal = ZERO
    quote_filled: Decimal = ZERO
    fees: dict[str, Decimal] = field(default_factory=dict)
    external: bool = False
    cancel_requested: bool = False
    code: str | None = None
    reason: str | None = None

    @property
    def remaining(self) -> Decimal | None:
        """The unfilled amount in the base asset; None for an order by quote amount."""
        return None if self.amount is None else self.amount - self.filled

    @property
    def average_price(self) -> Decimal | None:
        """Mean price of the fills, rounded to 28 digits (the precision of `Decimal`); None before the first fill."""
        return self.quote_filled / self.filled if self.filled else None

    @property
    def is_done(self) -> bool:
        return self.status in TERMINAL


class EventType(Enum):
    """The types of numbered events of an account."""

    CREATED = "created"  # the exchange has the order
    FILLED = "filled"  # one fill; `fill` has it
    FEE = "fee"  # the fee of an earlier fill, which its first report did not state; `fill` is that fill with its fee
    COMPLETED = "completed"  # nothing is left to fill
    CANCELED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"  # the exchange refused the order
    FAILED = "failed"  # the order provably never was on the exchange
    UNKNOWN = "unknown"  # unanswered; another event follows when the exchange states the outcome
    CANCEL_FAILED = "cancel_failed"  # a cancel was refused or not sent, and the order is still open
    AMENDED = "amended"
    AMEND_FAILED = "amend_failed"
    EXTERNAL = "external"  # an order placed outside the mesh appeared or changed
    ADOPTED = "adopted"  # an order of the mesh that the journal did not know; `reason` says why it is one now
    RULES = "rules"  # the trading rules of `pair` changed
    PAUSED = "paused"
    RESUMED = "resumed"
    RESTORED = "restored"  # the journal is an older or a new one: orders and events may be missing, others come again


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """One event of an account. Durable; numbered without gaps per (exchange, account).

    `number` is 0 until the journal assigns a number. `order` is the order right after the event. `ts_event_ns` is the
    exchange's time, if the exchange states one; `ts_recv_ns` is when the mesh received the event. `lineage` names the
    journal's sequence of events within which the number counts; None in the journal itself.
    """

    number: int
    type: EventType
    exchange: str
    account: str
    ts_recv_ns: int
    ts_event_ns: int | None = None
    order: Order | None = None
    fill: Fill | None = None
    pair: str | None = None
    code: str | None = None
    reason: str | None = None
    lineage: str | None = None

    @property
    def client_order_id(self) -> str | None:
        return None if self.order is None else self.order.client_order_id

    @property
    def owner(self) -> str | None:
        return None if self.order is None else self.order.owner

    def to_dict(self) -> dict[str, Any]:
        order, fill = self.order, self.fill
        return self.plain(None if order is None else order.to_dict(), None if fill is None else fill.to_dict())

    def plain(self, order: dict[str, Any] | None, fill: dict[str, Any] | None) -> dict[str, Any]:
        """Return `to_dict` of an event whose order and fill are plain values already."""
        return _plain(self) | {"order": order, "fill": fill}

    def numbered(self, number: int) -> AccountEvent:
        """Return this event under a number."""
        return replaced(self, number=number)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> AccountEvent:
        read = _typed({key: value for key, value in plain.items() if key not in ("order", "fill")})
        order, fill = plain.get("order"), plain.get("fill")
        read["order"] = None if order is None else Order.from_dict(order)
        read["fill"] = None if fill is None else Fill.from_dict(fill)
        return cls(**read)


@dataclass(frozen=True, slots=True)
class Balance(_Record):
    """The balance of one asset.

    `available` may be spent now: free on the exchange, less the mesh's own reservations.
    """

    asset: str
    total: Decimal
    free: Decimal
    locked: Decimal
    available: Decimal


@dataclass(frozen=True, slots=True)
class CancelResult(_Record):
    """The outcome of a cancel. `done`: the order has certainly ended. `status` is the order's latest status.

    `journaled`: False if the journal could not be written at that time; it has the outcome later.
    """

    client_order_id: str
    done: bool
    status: OrderStatus
    code: str | None = None
    reason: str | None = None
    journaled: bool = True


_ENUMS: dict[str, type[Enum]] = {
    "side": Side,
    "order_type": OrderType,
    "time_in_force": TimeInForce,
    "status": OrderStatus,
    "type": EventType,
}
_DECIMALS = frozenset(
    {
        "amount", "price", "quote_amount", "stop_price", "filled", "quote_filled", "fee", "total", "free", "locked",
        "available",
    }
)  # fmt: skip


def _plain(record: Any) -> dict[str, Any]:
    cls: Any = type(record)
    names, values, others = shape_of(cls)
    found = dict(zip(names, values(record), strict=True))
    for name in others:
        value = found[name]
        if value is None:
            continue
        if type(value) is Decimal:
            found[name] = f"{value:f}"
        elif isinstance(value, Enum):
            found[name] = value._value_  # `value` is a property in Python code
        elif name == "more_fees":
            found[name] = [[asset, f"{amount:f}"] for asset, amount in value]
        elif name == "fees":
            found[name] = {asset: f"{fee:f}" for asset, fee in value.items()}
    return found


def _typed(plain: dict[str, Any]) -> dict[str, Any]:
    found = dict(plain)
    for key, value in plain.items():
        if value is None:
            continue
        if key in _DECIMALS:
            found[key] = Decimal(value)
        elif key in _ENUMS:
            found[key] = _ENUMS[key](value)
        elif key == "more_fees":
            found[key] = tuple(Fee(asset, Decimal(amount)) for asset, amount in value)
        elif key == "fees":
            found[key] = {asset: Decimal(fee) for asset, fee in value.items()}
    return found


def as_order(asked: NewOrder, exchange: str, account: str, now_ns: int) -> Order:
    """Return `asked` as an `Order` at the moment of its journaling."""
    return Order(
        exchange=exchange,
        account=account,
        status=OrderStatus.PENDING_NEW,
        created_ns=now_ns,
        updated_ns=now_ns,
        **_fields_of_new(asked),
    )


def as_new(order: Order) -> NewOrder:
    """Return the `NewOrder` with which `order` was placed."""
    return NewOrder(**_fields_of_new(order))


def _fields_of_new(order: NewOrder | Order) -> dict[str, Any]:
    names, values, _ = shape_of(NewOrder)
    return dict(zip(names, values(order), strict=True))
