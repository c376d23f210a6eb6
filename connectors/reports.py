"""An exchange's reports on an account: orders, fills, balances, fees, and the state of their stream."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ..model.events import Side
from ..model.order import Charged, Fee, OrderStatus, OrderType, TimeInForce


@dataclass(frozen=True, slots=True)
class OrderReport:
    """One order, reported by an answer, a query or the stream. Amounts are in the base asset unless named otherwise.

    `status` is None if the report has no status. `fills` are the fills in the report; a report may have a total in
    `filled` without fills (then the fills must be requested). `stated_id` is the client id that the exchange states,
    if it is not `client_order_id`, the id of the query. `is_dated`: the exchange states the time, and had the order by
    then; else the time proves nothing: it is when the request was sent, or local, or truncated.
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
    stated_id: str = ""
    is_dated: bool = True


@dataclass(frozen=True, slots=True)
class FillReport(Charged):
    """One reported fill. The fee is None if the message has none; `more_fees` are fees besides it, in any assets.

    `page` is the key for pages of fills, if that is not the trade id.

    Raises ValueError: it has no trade id, or a price or amount that is not above zero. The quote amount of a very small
    fill may be zero, because exchanges round it.
    """

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
    page: str = ""
    more_fees: tuple[Fee, ...] = ()

    def __post_init__(self) -> None:
        if not self.trade_id:
            raise ValueError("a fill without a trade id")
        if self.price <= 0 or self.amount <= 0 or self.quote_amount < 0:
            raise ValueError(f"a fill of {self.amount} at {self.price} for {self.quote_amount}")


@dataclass(frozen=True, slots=True)
class BalanceReport:
    """Balances that include everything up to `ts_event_ns`: asset -> (free, locked). The time is 0 where the exchange
    states none, or one that may be later than the state, such as that of the answer.

    `whole`: assets that are neither in `balances` nor in `unread` are zero. Assets in `unread` have an unreadable row:
    their last known balances stay.
    """

    balances: dict[str, tuple[Decimal, Decimal]]
    whole: bool
    ts_event_ns: int
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """A change of a balance without an order: a deposit, a withdrawal, a transfer."""

    asset: str
    amount: Decimal
    ts_event_ns: int


@dataclass(frozen=True, slots=True)
class ListReport:
    """One order list: its id, the exchange's name of its state, its orders as (client id, exchange id)."""

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
    """The answer to `Kind.ACCOUNT`."""

    balances: BalanceReport
    can_trade: bool
    permissions: tuple[str, ...]
    maker_fee: Decimal | None
    taker_fee: Decimal | None
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class Fees:
    """Fees of one pair on one account, as fractions: 0.001 is 10 basis points. `discount`: a discount not included."""

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


@dataclass(frozen=True, slots=True)
class Missed:
    """The codec noticed that reports of this connection were lost, or that a report cannot be assigned."""

    reason: str


@dataclass(frozen=True, slots=True)
class StreamSay:
    """A message to send on the stream's connection now: the next step in opening the stream."""

    frame: bytes


StreamReport = OrderReport | BalanceReport | BalanceChange | ListReport | StreamEnded
