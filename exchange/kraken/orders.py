"""Places, amends and cancels orders, for REST and the websocket.

Theory of operation. An acknowledgement states that the engine has the order, but not the order's state. A post-only
order that would take is also accepted, and cancelled at once.

Source: add-order, amend-order, cancel-order, cancel-all-orders, cancel-all-orders-after (REST); add_order, amend_order,
cancel_order, cancel_all, cancel_after (websocket v2); spot-clordid, spot-amends, spot-ratelimits (guides), read
2026-11-27.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ...model.errors import Rejected
from ...model.events import Side
from ...model.time import SECOND_NS
from ..engine.accounts import Account, Fill, Order, Ticket
from ..engine.engine import Engine
from ..engine.market import ExecutionReport
from ..floor import Floor
from ..wire.order_details import OrderDetails
from . import ids
from .client import NAME
from .errors import ApiError, invalid, refused
from .limits import AMEND, CANCEL, Meter, cost_by_age
from .names import Pair, Pairs
from .payloads import status

POST_ONLY = "Post only order"
# Order types by the protocol's names. Trailing stops, iceberg orders and settle-position are not implemented.
KINDS = {
    "limit": "LIMIT",
    "market": "MARKET",
    "stop-loss": "STOP_LOSS",
    "stop-loss-limit": "STOP_LOSS_LIMIT",
    "take-profit": "TAKE_PROFIT",
    "take-profit-limit": "TAKE_PROFIT_LIMIT",
}
NAMES = {kind: name for name, kind in KINDS.items()} | {"LIMIT_MAKER": "limit"}
REASONS = {
    "UNFILLED_IOC_QUANTITY_EXPIRED": "Immediate or cancel",
    "UNFILLED_FOK_ORDER_EXPIRED": "Fill or kill",
    "INSUFFICIENT_LIQUIDITY": "Insufficient liquidity",
    "EXCHANGE_CANCELED": "Market closed",
}
SELF_TRADE = {"newest": "EXPIRE_TAKER", "oldest": "EXPIRE_MAKER", "both": "EXPIRE_BOTH"}
_CLIENT_ID = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[ -~]{1,18}",
    re.ASCII,
)


@dataclass(slots=True)
class Details:
    """The protocol's own data of an order."""

    fills: list[Fill] = field(default_factory=list)
    amended_ns: int = 0


@dataclass(frozen=True, slots=True)
class NewOrder:
    """The terms of a new order, from either transport. Sizes and prices are raw."""

    pair: Pair
    side: Side
    size: int
    price: int | None  # None for market orders
    kind: str = "LIMIT"  # a value of `KINDS`
    trigger: int | None = None  # the price that starts a triggered order
    time_in_force: str = "GTC"
    post_only: bool = False
    client_id: str = ""
    userref: int | None = None
    quote_size: int | None = None  # in place of a size, of market buys
    self_trade: str = "EXPIRE_TAKER"
    deadline_ns: int | None = None
    validate: bool = False


class Orders:
    """Executes requests about orders."""

    def __init__(self, floor: Floor, pairs: Pairs, meter: Meter) -> None:
        self._floor = floor
        self._pairs = pairs
        self._meter = meter
        self._details = OrderDetails(lambda order: Details())
        self._switches: dict[str, int] = {}  # when all orders of an account are cancelled, by its name

    @property
    def _engine(self) -> Engine:
        return self._floor.engine

    def details(self, order: Order) -> Details:
        """Return the protocol's own data of an order."""
        return self._details.of(order)

    def report(self, report: ExecutionReport) -> None:
        """Update an order's details from a report."""
        details = self._details.report(report)
        if report.kind == "REPLACED":
            details.amended_ns = report.time_ns

    # ------------------------------------------------------------------------------------------------- placing

    def place(self, account: Account, new: NewOrder, now_ns: int, counted: bool = True) -> Order | None:
        """Accept an order; None if the request only validates it. The orders of a batch are `counted` as one.

        Raises:
            ApiError, Rejected: why it is refused; nothing was placed.
        """
        market = new.pair.market
        if counted:
            self._meter.transact(account, market.symbol, 1, now_ns)
        if new.deadline_ns is not None and now_ns > new.deadline_ns:
            raise ApiError("EService:Deadline elapsed")
        _check_open(new.pair, "cancel_only")
        if new.quote_size is None and new.size < market.rules.min_size:
            raise ApiError("EOrder:Order minimum not met")
        takes = new.post_only and new.price is not None and _takes(new.pair, new.side, new.price)
        ticket = Ticket(
            new.side,
            "LIMIT_MAKER" if new.post_only and not takes else new.kind,
            new.size,
            new.price,
            new.time_in_force,
            new.client_id,
            new.quote_size,
            new.self_trade,
            strategy_id=new.userref,
            stop_price=new.trigger,
            fee_in_quote=True,
        )
        if new.validate:
            self._engine.check_filters(account, market.symbol, ticket, now_ns)
            return None
        if not takes:
            return self._floor.submit(NAME, account, market.symbol, ticket, now_ns)
        order = self._engine.submit(account, market.symbol, ticket, now_ns, hold=True)
        order.kind, order.expiry_reason = "LIMIT_MAKER", POST_ONLY
        return self._engine.cancel(market.symbol, order.id, now_ns, account)

    # -------------------------------------------------------------------------------------------- finding, ending

    def find_open(self, account: Account, txid: object = None, client_id: object = None) -> Order:
        """Return an open order by the exchange's id or the client's.

        Raises:
            ApiError: there is no such open order.
        """
        number = ids.order_number(txid) if txid is not None else account.client_ids.get(str(client_id))
        order = account.open.get(number) if number is not None else None
        if order is None:
            raise ApiError("EOrder:Invalid order")
        return order

    def cancel(self, account: Account, order: Order, now_ns: int) -> None:
        """Cancel one order.

        Raises:
            ApiError: the market is closed, or the account has too many early cancels.
        """
        _check_open(self._pairs.by_symbol[order.symbol], "maintenance")
        self._meter.transact(account, order.symbol, self._cost(CANCEL, order, now_ns), now_ns)
        self._engine.cancel(order.symbol, order.id, now_ns, account)

    def place_batch(self, account: Account, new: Sequence[NewOrder], now_ns: int) -> list[Order | ApiError | None]:
        """Place orders of one pair, each by itself; they cost half of what single orders cost.

        Return an order, None if it was only validated, or why it was refused.

        Raises:
            ApiError: the account's counter is at its limit.
        """
        self._meter.transact(account, new[0].pair.market.symbol, len(new) / 2, now_ns)
        done: list[Order | ApiError | None] = []
        for each in new:
            try:
                done.append(self.place(account, each, now_ns, counted=False))
            except (ApiError, Rejected) as error:
                done.append(error if isinstance(error, ApiError) else refused(error))
        return done

    def cancel_all(self, account: Account, now_ns: int, reason: str = "") -> int:
        """Cancel every open order; return how many."""
        orders = [order for order in account.open.values() if order.symbol in self._pairs.by_symbol]
        return self.cancel_many(account, orders, now_ns, reason)

    def cancel_many(self, account: Account, orders: Sequence[Order], now_ns: int, reason: str = "") -> int:
        """Cancel open orders; return how many. It counts as many cancels and is never refused."""
        for order in orders:
            self._meter.charge(account, order.symbol, self._cost(CANCEL, order, now_ns), now_ns)
            if order.id in account.open:
                order.expiry_reason = reason
                self._engine.cancel(order.symbol, order.id, now_ns, account)
        return len(orders)

    def cancel_all_after(self, account: Account, timeout_s: int, now_ns: int) -> int | None:
        """Set the dead man's switch of an account, or with 0 remove it; return when it fires."""
        if timeout_s == 0:
            self._switches.pop(account.name, None)
            return None
        self._switches[account.name] = now_ns + timeout_s * SECOND_NS
        return self._switches[account.name]

    def tick(self, now_ns: int) -> None:
        """Fire due switches."""
        for name in [name for name, due_ns in self._switches.items() if due_ns <= now_ns]:
            del self._switches[name]
            self.cancel_all(self._engine.accounts[name], now_ns, "Cancel all orders after")

    def amend(
        self, account: Account, order: Order, size: int | None, price: int | None, post_only: bool, now_ns: int
    ) -> str:
        """Change an open order in place; a size below the filled size cancels the rest. Return the amendment's id."""
        pair = self._pairs.by_symbol[order.symbol]
        self._meter.transact(account, order.symbol, 1 + self._cost(AMEND, order, now_ns), now_ns)
        _check_open(pair, "cancel_only")
        if post_only and price is not None and _takes(pair, order.side, price):
            raise ApiError(f"EOrder:{POST_ONLY}")
        size = order.size if size is None else size
        if size <= order.filled:
            self.cancel(account, order, now_ns)
            return ids.amend_id(order.id)
        order.amends = 0  # only the rate limits the number of amendments of an order
        made = self._engine.amend(order, size, order.client_id, now_ns, price)
        return ids.amend_id(made.execution_id)

    def _cost(self, costs: tuple[tuple[int, int], ...], order: Order, now_ns: int) -> int:
        return cost_by_age(costs, now_ns - max(order.created_ns, self.details(order).amended_ns))


def client_id_of(order: Order) -> str | None:
    """Return the `cl_ord_id` of an order; None without one."""
    return None if order.client_id.rstrip("-") == f"x-{order.id}" else order.client_id


def state(order: Order) -> str:
    """Return an order's state: new, partially_filled, filled, or canceled (also for orders that the engine expires)."""
    if order.status == "NEW":
        return "pending_new" if order.working_ns < 0 and not order.conditional else "new"
    return order.status.lower() if order.status in ("PARTIALLY_FILLED", "FILLED") else "canceled"


def reason(order: Order) -> str:
    """Return why an order was cancelled."""
    if order.status == "EXPIRED_IN_MATCH":
        return "Self trade prevention"
    if order.status == "REJECTED":
        return "Order rejected"
    return REASONS.get(order.expiry_reason, order.expiry_reason) or "User requested"


def read_client_id(value: object) -> str:
    """Read a `cl_ord_id`: a UUID with or without dashes, or up to 18 characters."""
    if not isinstance(value, str) or _CLIENT_ID.fullmatch(value) is None:
        raise invalid("cl_ord_id")
    return value


def fee_in_quote(fills: Iterable[Fill], quote: str) -> int:
    """Return fees in the quote asset; fees in another asset (from another protocol) at the price of their trade."""
    return sum(fill.fee if fill.fee_asset == quote else fill.fee * fill.price // 10**8 for fill in fills)


def _takes(pair: Pair, side: Side, price: int) -> bool:
    return (pair.market.asks if side is Side.BUY else pair.market.bids).crosses(price)


def _check_open(pair: Pair, worst: str) -> None:
    """Refuse a request that the pair's state forbids: `cancel_only` forbids orders, `maintenance` also cancels."""
    found = status(pair.market.rules)
    if found == "maintenance":
        raise ApiError("EService:Unavailable")
    if found == worst:
        raise ApiError("EService:Market in cancel_only mode")
