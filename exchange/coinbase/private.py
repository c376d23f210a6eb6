"""Private REST endpoints, by method and the shape of their path.

Source: rest, Get all orders, Get single order, Cancel an order, Cancel all orders, Get all fills, Create a new order,
REST API Pagination; Get all accounts for a profile, Get fees. Lists come newest first; `after` has the older rows and
`before` the newer ones, of which a page has the newest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..engine.accounts import Account, Order
from ..engine.keys import ApiKey
from ..wire.numbers import BadNumber, read_whole
from . import order_bodies
from .client import NAME, stamp
from .desk import Desk
from .errors import NOT_FOUND, ApiError
from .orders import read_order, state
from .payloads import order_id, order_number
from .public import PAGE, moment, whole

ORDER = re.compile(r"/orders/(?P<order>[^/]+)")
STATES = ("open", "pending", "received", "active", "done", "rejected", "all")
OPEN_STATES = ("open", "pending", "received", "active")
T = TypeVar("T")


@dataclass(slots=True)
class Asked:
    """One authenticated request. `sent` are its query, or the body of a POST; `cursors` are headers of its answer."""

    desk: Desk
    account: Account
    sent: Mapping[str, Any]
    states: Sequence[str]  # every value of `status`
    name: str  # of the order in the path
    now_ns: int
    cursors: dict[str, str] = field(default_factory=dict)


def _body(asked: Asked, order: Order, received: bool = False) -> dict[str, Any]:
    rules = asked.desk.floor.engine.markets[order.symbol].rules
    return order_bodies.order(rules, asked.account, order, asked.desk.orders.details(order), received)


def place(asked: Asked) -> Any:
    market = asked.desk.market(asked.sent.get("product_id"))
    order = asked.desk.orders.place(asked.account, read_order(market, asked.sent), asked.now_ns)
    return _body(asked, order, received=True)


def get_order(asked: Asked) -> Any:
    found = asked.desk.orders.find(asked.account, asked.name, asked.now_ns)
    if found is None or found.symbol not in asked.desk.floor.engine.markets:
        raise ApiError(NOT_FOUND, 404)
    return _body(asked, found)


def get_orders(asked: Asked) -> Any:
    """Orders by their states; the open ones without any. Pages are by the time of placing."""
    desk, sent = asked.desk, asked.sent
    states = asked.states or OPEN_STATES
    if any(each not in STATES for each in states):
        raise ApiError("Invalid status")
    symbol = desk.market(sent["product_id"]).symbol if sent.get("product_id") else None
    begin = moment(sent["start_date"]) if sent.get("start_date") else 0
    found = [
        (stamp(order.created_ns), order)
        for order in asked.account.orders
        if symbol in (None, order.symbol)
        and order.created_ns >= begin
        and ("all" in states or state(order) in states)
        and order.symbol in desk.floor.engine.markets
        and desk.orders.is_kept(asked.account, order, asked.now_ns)
    ]
    return [_body(asked, order) for order in _page(asked, found, lambda text: stamp(moment(text)))]


def get_fills(asked: Asked) -> Any:
    """Fills of an order or a product. Pages are by the id of the trade."""
    desk, sent = asked.desk, asked.sent
    if not sent.get("order_id") and not sent.get("product_id"):
        raise ApiError("order_id or product_id is required")
    symbol = desk.market(sent["product_id"]).symbol if sent.get("product_id") else None
    wanted = order_number(str(sent["order_id"])) if sent.get("order_id") else None
    markets, shown = desk.floor.engine.markets, desk.floor.late_fees.shown
    begin = moment(sent["start_date"]) if sent.get("start_date") else 0
    found = [
        (fill.trade_id, fill)
        for fill in sorted(asked.account.fills, key=lambda each: each.trade_id)
        if symbol in (None, fill.symbol)
        and fill.symbol in markets
        and fill.time_ns >= begin
        and (not sent.get("order_id") or fill.order_id == wanted)
    ]
    return [
        order_bodies.fill(markets[fill.symbol].rules, asked.account, shown(NAME, fill))
        for fill in _page(asked, found, _number)
    ]


def _number(text: str) -> int:
    try:
        return read_whole(text)
    except BadNumber:
        raise ApiError("Invalid cursor") from None


def _page(asked: Asked, rows: Sequence[tuple[Any, T]], read: Callable[[str], Any]) -> list[T]:
    """Return a page, newest first, and state its cursors. `rows` are oldest first, each with its key."""
    sent, limit = asked.sent, whole(asked.sent, "limit", PAGE, PAGE)
    after = read(sent["after"]) if sent.get("after") else None
    before = read(sent["before"]) if sent.get("before") else None
    found = [row for row in rows if (after is None or row[0] < after) and (before is None or row[0] > before)]
    page = found[-limit:][::-1]
    if page:
        asked.cursors |= {"CB-BEFORE": str(page[0][0]), "CB-AFTER": str(page[-1][0])}
    return [row for _, row in page]


def cancel(asked: Asked) -> Any:
    """The answer is the id by which the order was named."""
    desk = asked.desk
    market = desk.market(asked.sent["product_id"]) if asked.sent.get("product_id") else None
    order = desk.orders.find_open(asked.account, asked.name, market)
    desk.orders.cancel(asked.account, order, asked.now_ns)
    return asked.name.removeprefix("client:")


def cancel_all(asked: Asked) -> Any:
    market = asked.desk.market(asked.sent["product_id"]) if asked.sent.get("product_id") else None
    symbol = None if market is None else market.symbol
    found = asked.desk.orders.cancel_all(asked.account, symbol, asked.now_ns)
    return [order_id(order.id) for order in found]


def accounts(asked: Asked) -> Any:
    return [order_bodies.balance(asked.account, asset) for asset in asked.account.balances]


def fees(asked: Asked) -> Any:
    """The account's rates, which are the same for all products."""
    return order_bodies.fees(next(iter(asked.desk.streams.markets.values())).rules)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A private endpoint: its name for fault rules, its bucket, and whether it changes something."""

    name: str
    answer: Callable[[Asked], Any]
    bucket: str = "private"
    changes: bool = False


PLACE = Endpoint("/orders", place, changes=True)
ACCOUNTS = Endpoint("/accounts", accounts, "accounts")
ENDPOINTS = {
    ("POST", "/orders"): PLACE,
    ("GET", "/orders"): Endpoint("/orders", get_orders),
    ("DELETE", "/orders"): Endpoint("/orders", cancel_all, changes=True),
    ("GET", "/orders/{id}"): Endpoint("/orders/{id}", get_order),
    ("DELETE", "/orders/{id}"): Endpoint("/orders/{id}", cancel, changes=True),
    ("GET", "/fills"): Endpoint("/fills", get_fills, "fills"),
    ("GET", "/accounts"): ACCOUNTS,
    ("GET", "/fees"): Endpoint("/fees", fees),
}


def find(method: str, path: str) -> tuple[Endpoint | None, str]:
    """Return the private endpoint at a path (None: it is not one), and the name of the order in the path."""
    named = ORDER.fullmatch(path)
    return ENDPOINTS.get((method, path if named is None else "/orders/{id}")), "" if named is None else named["order"]


def perform(endpoint: Endpoint, key: ApiKey, asked: Asked) -> Any:
    """Execute an authenticated request.

    Raises:
        ApiError: why it is refused.
    """
    if key.revoked or not (key.can_trade or (key.can_read and not endpoint.changes)):
        raise ApiError("Forbidden", 403)
    if not asked.desk.meter.spend(asked.account.name, endpoint.bucket, asked.now_ns):
        raise ApiError("Private rate limit exceeded", 429)
    return endpoint.answer(asked)
