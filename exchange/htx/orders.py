"""Places and cancels orders, for REST.

Theory of operation. An acknowledgement has the order's id and no state. Client order ids are not compared: an id may be
used again, also while an order with it is open, and a lookup finds the newest. The engine knows the first open order
with an id by that id, and further ones by other names.

Source: private_rest_api.md (Trading, /v1/order/orders/place, submitcancel, submitCancelClientOrder), read 2026-11-28.
"""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field

from ...model.errors import Rejected
from ...model.events import Side
from ..engine.accounts import Account, Fill, Order, Ticket
from ..engine.market import ExecutionReport
from ..floor import Floor
from ..wire.order_details import OrderDetails
from .client import NAME
from .errors import NOT_FOUND, WRONG_STATE, ApiError, bad, refused
from .pairs import Pair

FIRST_ID = 356_501_000_000_000
FIRST_ACCOUNT = 10_000_001
KEPT = 200_000  # client order ids of an account
TYPES = {  # the engine's kind and time in force
    "market": ("MARKET", "GTC"),
    "limit": ("LIMIT", "GTC"),
    "ioc": ("LIMIT", "IOC"),
    "limit-fok": ("LIMIT", "FOK"),
    "limit-maker": ("LIMIT_MAKER", "GTC"),
}
_CLIENT_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)


@dataclass(slots=True)
class Details:
    """The protocol's own data of an order."""

    client_id: str
    fills: list[Fill] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class NewOrder:
    """The terms of a new order. Sizes and prices are raw; a market buy has an amount of quote."""

    pair: Pair
    side: Side
    kind: str
    time_in_force: str
    size: int
    price: int | None
    quote_size: int | None
    client_id: str
    self_trade: str


class Orders:
    """Executes requests about orders."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._details = OrderDetails(lambda order: Details(_client_id(order)))
        self._newest: dict[str, OrderedDict[str, int]] = {}  # by account: client id -> the newest order with it

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
        symbol = new.pair.market.symbol
        if new.pair.market.rules.status != "TRADING":
            raise ApiError("base-symbol-trade-disabled", "The symbol is disabled for trading")
        if new.quote_size is None and new.size < new.pair.market.rules.min_size:
            raise ApiError("order-limitorder-amount-min-error", "Limit order amount is less than the minimum")
        name = "" if new.client_id in account.client_ids else new.client_id
        force = new.time_in_force
        ticket = Ticket(new.side, new.kind, new.size, new.price, force, name, new.quote_size, new.self_trade)
        self._details.placing = Details(new.client_id)
        try:
            order = self._floor.submit(NAME, account, symbol, ticket, now_ns)
        except Rejected as rejected:
            raise refused(rejected) from None
        finally:
            self._details.placing = None
        if new.client_id:
            newest = self._newest.setdefault(account.name, OrderedDict())
            newest.pop(new.client_id, None)
            newest[new.client_id] = order.id
            if len(newest) > KEPT:
                newest.popitem(last=False)
        return order

    def newest(self, account: Account, client_id: str) -> Order | None:
        """Return the newest order with a client id."""
        number = self._newest.get(account.name, OrderedDict()).get(client_id)
        return account.by_client.get(client_id) if number is None else account.by_id.get(number)

    def cancel(self, account: Account, order: Order | None, now_ns: int) -> Order:
        """Cancel an order.

        Raises:
            ApiError: there is no such order, or it has ended.
        """
        if order is None:
            raise ApiError(NOT_FOUND, "record invalid")
        if order.id not in account.open:
            raise ApiError(WRONG_STATE, "Incorrect order state")
        self._floor.engine.cancel(order.symbol, order.id, now_ns, account)
        return order

    def cancel_all(self, account: Account, now_ns: int) -> None:
        for order in list(account.open.values()):
            if order.id in account.open:
                self.cancel(account, order, now_ns)


def order_id(number: int) -> int:
    """Return the exchange's id of an order."""
    return FIRST_ID + number


def order_number(text: object) -> int | None:
    """Return the engine's number of an order; None if the text is not an order id."""
    found = (
        int(text) - FIRST_ID if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 19 else -1
    )
    return found if found >= 0 else None


def account_id(account: Account) -> int:
    """Return the id of an account's spot account."""
    return FIRST_ACCOUNT + 10 * (zlib.crc32(account.name.encode()) % 1_000_000)


def _client_id(order: Order) -> str:
    """Return the client id of an order that another protocol placed; "" without one."""
    return "" if order.client_id.rstrip("-") == f"x-{order.id}" else order.client_id


def read_client_id(value: object) -> str:
    """Read a client order id; "" without one."""
    if value in (None, ""):
        return ""
    if not isinstance(value, str) or _CLIENT_ID.fullmatch(value) is None:
        raise bad("client-order-id")
    return value


def state(order: Order) -> str:
    """Return an order's state. Orders that the engine expires or rejects are cancelled in this protocol."""
    if order.status in ("NEW", "PENDING_NEW"):
        return "submitted"
    if order.status in ("PARTIALLY_FILLED", "FILLED"):
        return "filled" if order.status == "FILLED" else "partial-filled"
    return "partial-canceled" if order.filled else "canceled"


def type_of(order: Order) -> str:
    """Return an order's type, such as "buy-limit"."""
    asked = (order.kind, order.time_in_force if order.kind == "LIMIT" else "GTC")
    word = next((name for name, terms in TYPES.items() if terms == asked), "limit")
    return f"{order.side.name.lower()}-{word}"
