"""Places and cancels orders.

Theory of operation. The answer to an order states the order as it was received, before it was matched. A post-only
order that would take is also received, and rejected at once; the feed has no message of it. Buys pay their fees in the
quote currency, in addition to their value; `funds` of a market buy include the fees. A `client_oid` that is no UUID of
version 4 in lower case is accepted and forgotten.

Where the manual is silent: a `client_oid` of an open order is refused a second time, and accepted again later; the rest
of a market order that finds no more liquidity is cancelled.

Source: rest, Create a new order, Cancel an order, Cancel all orders, Exchange Matching Engine (Self-Trade Prevention);
ws, Cancel Reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...model.errors import Rejected
from ...model.events import Side
from ..engine.accounts import Account, Fill, Memory, Order, Ticket
from ..engine.engine import Engine
from ..engine.market import ExecutionReport, Market
from ..engine.rules import ONE
from ..floor import Floor
from ..wire.numbers import BadNumber, Flaw, read_decimal
from ..wire.order_details import OrderDetails
from .client import NAME
from .errors import NOT_FOUND, ApiError, refused
from .payloads import order_number

SELF_TRADE = {"dc": "DECREMENT", "co": "EXPIRE_MAKER", "cn": "EXPIRE_TAKER", "cb": "EXPIRE_BOTH"}
POST_ONLY = "post only"
REASONS = {  # why an order ended, by the engine's reasons
    "UNFILLED_IOC_QUANTITY_EXPIRED": "101:Time In Force",
    "UNFILLED_FOK_ORDER_EXPIRED": "101:Time In Force",
    "INSUFFICIENT_LIQUIDITY": "106:Insufficient Liquidity",
    "EXCHANGE_CANCELED": "103:Admin",
}
BY_SELF_TRADE = "102:Self Trade Prevention"
PURGED = Memory(lasts_ns=0)  # rest, Cancel an order: the record of an order without a match may be purged
CLIENT = "client:"
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)


@dataclass(slots=True)
class Details:
    """The protocol's own data of an order. `takes`: post-only, and rejected because it would take."""

    self_trade: str = "dc"
    funds: int = 0  # of a market order, as sent
    takes: bool = False
    fills: list[Fill] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class NewOrder:
    """The terms of a new order. Sizes, prices and funds are raw; a market order has a size or funds."""

    market: Market
    side: Side
    size: int
    price: int | None  # None for market orders
    time_in_force: str = "GTC"
    post_only: bool = False
    client_id: str = ""
    funds: int | None = None
    self_trade: str = "dc"


def read_order(market: Market, sent: Mapping[str, Any]) -> NewOrder:
    """Read the parameters of an order.

    Raises:
        ApiError: one is missing, malformed, or not implemented (stops, GTT, icebergs, limit orders by funds).
    """
    kind, side, stp = sent.get("type", "limit"), sent.get("side"), sent.get("stp", "dc")
    force, post_only = sent.get("time_in_force", "GTC"), sent.get("post_only", False)
    if side not in ("buy", "sell"):
        raise ApiError("Invalid side")
    if kind not in ("limit", "market") or any(sent.get(name) for name in ("stop", "stop_price", "max_floor")):
        raise ApiError("Invalid order type")
    if stp not in SELF_TRADE:
        raise ApiError("Invalid stp")
    if not isinstance(post_only, bool) or force not in ("GTC", "IOC", "FOK") or (post_only and force != "GTC"):
        raise ApiError("Invalid time_in_force")
    size, funds = (_amount(sent, name) if sent.get(name) is not None else None for name in ("size", "funds"))
    if (size is None) == (funds is None):
        raise ApiError("size or funds is required")
    if kind == "limit" and (size is None or sent.get("price") is None):
        raise ApiError("Invalid Price" if size is not None else "Invalid size")
    client_id = sent.get("client_oid")
    known = isinstance(client_id, str) and _UUID4.fullmatch(client_id) is not None
    price = _amount(sent, "price") if kind == "limit" else None
    terms = (market, Side[side.upper()], size or 0, price, force, post_only)
    return NewOrder(*terms, str(client_id) if known else "", funds, stp)


def _amount(sent: Mapping[str, Any], name: str) -> int:
    try:
        value = read_decimal(sent[name])
    except BadNumber as bad:
        raise ApiError(f"{name} is too precise" if bad.flaw is Flaw.TOO_PRECISE else f"Invalid {name}") from None
    if not value:
        raise ApiError(f"{name} is too small")
    return value


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
        market, rules = new.market, new.market.rules
        if rules.status != "TRADING":
            raise ApiError("Cancel only mode" if rules.status == "CANCEL_ONLY" else "Trading is disabled")
        if new.funds is None and new.size < rules.min_size:
            raise ApiError("size is too small")
        against = market.asks if new.side is Side.BUY else market.bids
        takes = new.post_only and new.price is not None and against.crosses(new.price)
        quote = new.funds
        if quote is not None and new.side is Side.BUY:  # the funds include the fee
            quote = quote * ONE // (ONE + max(rules.maker_fee, rules.taker_fee))
        ticket = Ticket(
            new.side,
            "MARKET" if new.price is None else "LIMIT_MAKER" if new.post_only and not takes else "LIMIT",
            new.size,
            new.price,
            new.time_in_force if new.price is not None else "GTC",
            new.client_id,
            quote,
            SELF_TRADE[new.self_trade],
            fee_in_quote=True,
        )
        self._details.placing = Details(new.self_trade, new.funds or 0, takes)
        try:
            if not takes:
                return self._floor.submit(NAME, account, market.symbol, ticket, now_ns)
            order = self._engine.submit(account, market.symbol, ticket, now_ns, hold=True)
            order.kind, order.expiry_reason = "LIMIT_MAKER", POST_ONLY
            self._engine.reject(order, now_ns)
            return order
        except Rejected as rejected:
            raise refused(rejected) from None
        finally:
            self._details.placing = None

    # -------------------------------------------------------------------------------------------- finding, ending

    @staticmethod
    def _named(account: Account, name: str) -> Order | None:
        """Return an order by the exchange's id, or by "client:" and the client's."""
        if name.startswith(CLIENT):
            return account.by_client.get(name.removeprefix(CLIENT))
        return account.by_id.get(order_number(name) or -1)

    def find(self, account: Account, name: str, now_ns: int) -> Order | None:
        """Return an order; None: there is no record of it."""
        found = self._named(account, name)
        return found if found is not None and self.is_kept(account, found, now_ns) else None

    def is_kept(self, account: Account, order: Order, now_ns: int) -> bool:
        """Return whether lookups still find an order: one that was cancelled without a match is purged at once."""
        usual = PURGED if state(order) == "done" and not order.filled else Memory()
        return self._floor.memory(NAME, account, usual).holds(order, order.id in account.open, now_ns)

    def find_open(self, account: Account, name: str, product: Market | None) -> Order:
        """Return an open order.

        Raises:
            ApiError: it has ended, or there is no record of it.
        """
        found = self._named(account, name)
        if found is None or (product is not None and found.symbol != product.symbol):
            raise ApiError(NOT_FOUND, 404)
        if found.id not in account.open:
            raise ApiError("Order already done" if found.filled else "order not found", 400 if found.filled else 404)
        return found

    def cancel(self, account: Account, order: Order, now_ns: int) -> None:
        self._engine.cancel(order.symbol, order.id, now_ns, account)

    def cancel_all(self, account: Account, symbol: str | None, now_ns: int) -> list[Order]:
        """Cancel every open order of a symbol, or all; return the orders."""
        found = [order for order in account.open.values() if symbol in (None, order.symbol)]
        for order in found:
            if order.id in account.open:
                self.cancel(account, order, now_ns)
        return found


def client_id_of(order: Order) -> str:
    """Return the `client_oid` of an order; "" without one."""
    return "" if order.client_id.rstrip("-") == f"x-{order.id}" else order.client_id


def state(order: Order) -> str:
    """Return an order's `status`."""
    if order.status in ("NEW", "PENDING_NEW", "PARTIALLY_FILLED"):
        return "open"
    return "rejected" if order.status == "REJECTED" else "done"


def done_reason(order: Order) -> str:
    return "filled" if order.status == "FILLED" else "canceled"


def cancel_reason(order: Order) -> str:
    """Return why the exchange cancelled an order; "" if the client did."""
    if order.status == "EXPIRED_IN_MATCH":
        return BY_SELF_TRADE
    return REASONS.get(order.expiry_reason, "")
