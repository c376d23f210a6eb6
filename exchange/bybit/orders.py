"""Places, amends and cancels orders, for REST and the websocket.

Theory of operation. An acknowledgement states that the exchange accepted the request, but not the order's state. A
post-only order that would take is also acknowledged, and rejected at once. A client id can never be used again, unlike
in the engine. The amount of a market buy is in quote unless `marketUnit` states base.

Source: order/{create-order, amend-order, cancel-order, cancel-all}.mdx, enum.mdx (orderStatus, rejectReason,
cancelType), read 2026-11-27. A post-only order that would take is cancelled according to create-order.mdx, and rejected
according to enum.mdx: here it is rejected. The slippage bound of market orders is not implemented.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from ...model.errors import Rejected
from ...model.events import Side
from ..engine.accounts import Account, Fill, Order, Ticket
from ..engine.engine import Engine
from ..engine.market import ExecutionReport
from ..floor import Floor
from ..wire.order_details import OrderDetails
from .client import NAME
from .errors import ApiError, refused
from .pairs import Pair

FIRST_ID = 1_616_000_000_000_000_000
POST_ONLY = "EC_PostOnlyWillTakeLiquidity"
SELF_TRADE = {"CancelMaker": "EXPIRE_MAKER", "CancelTaker": "EXPIRE_TAKER", "CancelBoth": "EXPIRE_BOTH"}
REASONS = {  # why an order ended, by the engine's reasons
    "UNFILLED_IOC_QUANTITY_EXPIRED": "EC_NoImmediateQtyToFill",
    "INSUFFICIENT_LIQUIDITY": "EC_NoImmediateQtyToFill",
    "UNFILLED_FOK_ORDER_EXPIRED": "EC_CancelForNoFullFill",
    "EXCHANGE_CANCELED": "EC_InvalidSymbolStatus",
    POST_ONLY: POST_ONLY,
}
_CLIENT_ID = re.compile(r"[0-9A-Za-z_-]{1,36}", re.ASCII)


@dataclass(slots=True)
class Details:
    """The protocol's own data of an order. `takes`: post-only, and rejected because it would take."""

    self_trade: str = "None"
    base_price: int = 0
    takes: bool = False
    fills: list[Fill] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class NewOrder:
    """The terms of a new order. Sizes and prices are raw; a market order has a size or an amount of quote."""

    pair: Pair
    side: Side
    size: int
    price: int | None  # None for market orders
    time_in_force: str
    client_id: str = ""
    quote_size: int | None = None
    self_trade: str = "None"


class Orders:
    """Executes requests about orders."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._details = OrderDetails(lambda order: Details())

    @property
    def _engine(self) -> Engine:
        return self._floor.engine

    def details(self, order: Order) -> Details:
        """Return the protocol's own data of an order."""
        return self._details.of(order)

    def report(self, report: ExecutionReport) -> None:
        """Update an order's details from a report."""
        self._details.report(report)

    def tick(self, now_ns: int) -> None:
        """Do nothing: no order of this protocol ends by time."""

    def place(self, account: Account, new: NewOrder, now_ns: int) -> Order:
        """Accept an order.

        Raises:
            ApiError: why it is refused; nothing was placed.
        """
        market, rules = new.pair.market, new.pair.market.rules
        if rules.status != "TRADING":
            raise ApiError("The trading pair is not open yet", 170151)
        if new.client_id and new.client_id in account.by_client:
            raise ApiError("Duplicate clientOrderId", 170141)
        if new.quote_size is None and new.size < rules.min_size:
            raise ApiError("Order quantity lower than the minimum.", 170136)
        post_only = new.time_in_force == "PostOnly"
        against = market.asks if new.side is Side.BUY else market.bids
        takes = post_only and new.price is not None and against.crosses(new.price)
        ticket = Ticket(
            new.side,
            "MARKET" if new.price is None else "LIMIT_MAKER" if post_only else "LIMIT",
            new.size,
            new.price,
            new.time_in_force if new.time_in_force in ("IOC", "FOK") and new.price is not None else "GTC",
            new.client_id,
            new.quote_size,
            SELF_TRADE.get(new.self_trade, "NONE"),
        )
        self._details.placing = Details(new.self_trade, market.bars.last_price, takes)
        try:
            if not takes:
                return self._floor.submit(NAME, account, market.symbol, ticket, now_ns)
            order = self._engine.submit(account, market.symbol, replace(ticket, kind="LIMIT"), now_ns, hold=True)
            order.kind, order.expiry_reason = "LIMIT_MAKER", POST_ONLY
            self._engine.reject(order, now_ns)
            return order
        except Rejected as rejected:
            raise refused(rejected) from None
        finally:
            self._details.placing = None

    def find_open(self, account: Account, order_id: object, client_id: object, symbol: str) -> Order:
        """Return an open order by the exchange's id, or else by the client's.

        Raises:
            ApiError: neither id is given, or there is no such open order of the symbol.
        """
        if not order_id and not client_id:
            raise ApiError("Request parameter error: orderId or orderLinkId is required")
        number = order_number(order_id) if order_id else account.client_ids.get(str(client_id))
        order = account.open.get(number) if number is not None else None
        if order is None or order.symbol != symbol:
            raise ApiError("Order does not exist.", 170213)
        return order

    def cancel(self, account: Account, order: Order, now_ns: int) -> None:
        self._engine.cancel(order.symbol, order.id, now_ns, account)

    def cancel_all(self, account: Account, symbol: str | None, now_ns: int) -> list[Order]:
        """Cancel every open order of a symbol, or all; return the orders."""
        found = [order for order in account.open.values() if symbol in (None, order.symbol)]
        for order in found:
            if order.id in account.open:
                self.cancel(account, order, now_ns)
        return found

    def amend(self, order: Order, size: int | None, price: int | None, now_ns: int) -> None:
        """Change size, price or both of an open order in place.

        Raises:
            ApiError: why it is refused; nothing was changed.
        """
        size = order.size if size is None else size
        if size <= order.filled:
            raise ApiError("The modified contract quantity cannot be less than to the filled quantity", 170313)
        if size == order.size and price in (None, order.price):
            return
        order.amends = 0  # only the rate limits the number of amendments of an order
        try:
            self._engine.amend(order, size, order.client_id, now_ns, price)
        except Rejected as rejected:
            raise refused(rejected) from None


def order_id(number: int) -> str:
    """Return the exchange's id of an order."""
    return str(FIRST_ID + number)


def order_number(text: object) -> int | None:
    """Return the engine's number of an order; None if the text is not an order id."""
    found = int(text) - FIRST_ID if isinstance(text, str) and text.isascii() and text.isdigit() else -1
    return found if found >= 0 else None


def client_id_of(order: Order) -> str:
    """Return the `orderLinkId` of an order; "" without one."""
    return "" if order.client_id.rstrip("-") == f"x-{order.id}" else order.client_id


def read_client_id(value: object) -> str:
    """Read an `orderLinkId`; "" without one."""
    if value in (None, ""):
        return ""
    if not isinstance(value, str) or _CLIENT_ID.fullmatch(value) is None:
        raise ApiError("Request parameter error: orderLinkId")
    return value


def status(order: Order) -> str:
    """Return an order's `orderStatus`. Orders that the engine expires are cancelled in this protocol."""
    if order.status in ("NEW", "PENDING_NEW"):
        return "New"
    if order.status in ("PARTIALLY_FILLED", "FILLED"):
        return "Filled" if order.status == "FILLED" else "PartiallyFilled"
    if order.status == "REJECTED":
        return "Rejected"
    return "PartiallyFilledCanceled" if order.filled else "Cancelled"


def reject_reason(order: Order) -> str:
    """Return why an order was rejected or cancelled; `EC_NoError` for other orders."""
    if status(order) in ("New", "PartiallyFilled", "Filled"):
        return "EC_NoError"
    if order.status == "EXPIRED_IN_MATCH":
        return "EC_BySelfMatch"
    usual = "EC_Others" if order.status == "REJECTED" else "EC_PerCancelRequest"
    return REASONS.get(order.expiry_reason, usual)
