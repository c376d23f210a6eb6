"""What an exchange says of an account: orders, fills, balances, fees, the state of the stream."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ..model.events import Side
from ..model.order import OrderStatus, OrderType, TimeInForce


@dataclass(frozen=True, slots=True)
class OrderReport:
    """The exchange on one order: from an answer, a query or the stream. Amounts in base unless said otherwise.

    `status` is what the exchange says the order is now; None where the report says nothing of it. `fills` are those
    that it states; a report may state a `filled` total without them (then the fills must be asked for).
    """

    symbol: str
    client_order_id: str
    exchange_order_id: str
    status: OrderStatus | None
    ts_event_ns: int
    side: Side | None = None
    order_type: OrderType | None = None
    time_in_force: TimeInForce | None = None
    amount: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    quote_amount: Decimal | None = None
    filled: Decimal | None = None
    quote_filled: Decimal | None = None
    list_id: str | None = None
    fills: tuple[FillReport, ...] = ()
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class FillReport:
    """One fill as the exchange states it. The fee is None where this message does not state it."""

    trade_id: str
    price: Decimal
    amount: Decimal
    quote_amount: Decimal
    fee: Decimal | None
    fee_asset: str | None
    is_maker: bool | None
    ts_event_ns: int
    exchange_order_id: str = ""
    side: Side | None = None
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class BalanceReport:
    """Balances as of `ts_event_ns`: asset -> (free, locked). `whole`: assets not named are zero."""

    balances: dict[str, tuple[Decimal, Decimal]]
    whole: bool
    ts_event_ns: int


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """Something came or went that no order explains: a deposit, a withdrawal, a transfer."""

    asset: str
    amount: Decimal
    ts_event_ns: int


@dataclass(frozen=True, slots=True)
class ListReport:
    """The exchange on an order list: its id, its state in its words, its orders as (client id, exchange id)."""

    list_id: str
    symbol: str
    state: str
    orders: tuple[tuple[str, str], ...]
    ts_event_ns: int
    client_list_id: str = ""


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The exchange has ended the user stream; open another."""

    reason: str


@dataclass(frozen=True, slots=True)
class AccountReport:
    """Answer to `Kind.ACCOUNT`."""

    balances: BalanceReport
    can_trade: bool
    permissions: tuple[str, ...]
    maker_fee: Decimal | None
    taker_fee: Decimal | None
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class Fees:
    """Fractions of one pair on one account: 0.001 is 10 basis points. `discount` says in words what is not in them."""

    pair: str
    maker: Decimal
    taker: Decimal
    source: str  # "exchange", "configuration" or "schedule"
    discount: str = ""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The exchange accepted the subscription of this request id, or refused it with a code and a reason."""

    request_id: str
    code: str | None = None
    reason: str | None = None


StreamReport = OrderReport | BalanceReport | BalanceChange | ListReport | StreamEnded
