"""Signed methods and their execution, without transport and clock.

Both transports pass a `Signed` and the method to `perform` and get a `Reply` or an `ApiError`. Before that they spend
the method's weight, `method.weight(sent)` of the received parameters.

Source: rest-api.md, web-socket-api.md, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...model.errors import Rejected
from ..engine.accounts import Account
from ..engine.engine import Engine
from ..engine.market import Market
from ..floor import Floor
from . import errors
from .auth import NAMES, Signed, authenticate
from .desk import Desk
from .errors import ApiError
from .limits import Limits
from .order_count import OrderCount
from .params import Param, convert

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One authenticated request: its account, its values, and the state that its answer needs."""

    protocol: str
    floor: Floor
    limits: Limits
    account: Account
    order_count: OrderCount
    values: Values
    now_ns: int
    unit: int  # nanoseconds of one unit of time in the answer

    @property
    def engine(self) -> Engine:
        return self.floor.engine

    def market(self) -> Market:
        market = self.engine.markets.get(self.values["symbol"])
        if market is None:
            raise errors.bad_symbol()
        return market

    def stamp(self, time_ns: int) -> int:
        """Return a time in the answer's unit."""
        return time_ns // self.unit


@dataclass(frozen=True, slots=True)
class Method:
    """One signed endpoint of REST and method of the WebSocket API.

    `params` leaves out those of the signature (`auth.NAMES`). `orders` is the increase of the unfilled order count.
    The answer is any value that orjson can write.
    """

    verb: str
    path: str
    name: str
    security: str  # TRADE | USER_DATA | USER_STREAM | MARKET_DATA
    params: tuple[Param, ...]
    weight: Callable[[Mapping[str, Any]], int]
    answer: Callable[[Asked], Any]
    orders: int = 0
    checks_orders: bool = True  # whether the count is checked before the method runs, not by the method


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer. `counts`: the account's unfilled order count (10 s, day) if the method places orders."""

    body: Any
    account: Account
    counts: tuple[int, int] | None


def perform(desk: Desk, method: Method, signed: Signed, now_ns: int, unit: int) -> Reply:
    """Authenticate, read the parameters, execute.

    Raises:
        ApiError: with its status; nothing was changed, except as `data` of a cancel-replace states.
    """
    account, _ = authenticate(desk.floor.engine, signed, method.security, now_ns)
    count = desk.order_counts.of(account)
    known = {param.name for param in method.params} | set(NAMES)
    read = sum(name in known for name in signed.sent)
    if read < len(signed.sent):
        raise errors.unread(read, len(signed.sent))
    values = convert(signed.sent, method.params, signed.rest)
    asked = Asked(desk.protocol, desk.floor, desk.limits, account, count, values, now_ns, unit)
    try:
        if method.orders and method.checks_orders:
            count.check(desk.limits, method.orders, now_ns)
        body = method.answer(asked)
    except Rejected as rejected:
        raise refused(rejected) from None
    return Reply(body, account, count.counts(now_ns) if method.orders else None)


# The engine's rules whose names differ from the manual's filters.
FILTERS = {
    "PRICE": "PRICE_FILTER",
    "SIZE": "LOT_SIZE",
    "MARKET_SIZE": "MARKET_LOT_SIZE",
    "PRICE_BAND": "PERCENT_PRICE_BY_SIDE",
    "OPEN_ORDERS": "MAX_NUM_ORDERS",
    "STOP_ORDERS": "MAX_NUM_ALGO_ORDERS",
    "POSITION": "MAX_POSITION",
    "ORDER_LISTS": "MAX_NUM_ORDER_LISTS",
}
# The engine's refusals: (code, message; without a message the engine's own words).
# Source: errors.md (Messages for -1010, -2010, -2011 and -2038; Filter failures), read 2026-11-22.
REFUSALS: dict[str, tuple[int, str | None]] = {
    "UNKNOWN_SYMBOL": (-1121, "Invalid symbol."),
    "MARKET_CLOSED": (-1013, "Market is closed."),
    "BAD_ORDER": (-1014, "Unsupported order combination."),
    "INSUFFICIENT_BALANCE": (-2010, "Account has insufficient balance for requested action."),
    "WOULD_TAKE": (-2010, "Order would immediately match and take."),
    "WOULD_TRIGGER": (-2010, "Order would trigger immediately."),
    "DUPLICATE_ORDER": (-2010, "Duplicate order sent."),
    "NO_LIQUIDITY": (-2010, None),
    "OCO_PRICES": (-2010, "The relationship of the prices for the orders is not correct."),
    "UNKNOWN_ORDER": (-2011, "Unknown order sent."),
    "RESTRICTED": (-2011, "Order was not canceled due to cancel restrictions."),
    "AMENDS": (-2038, "Filter failure: MAX_NUM_ORDER_AMENDS"),
    "AMEND_INCREASE": (-2038, "Order amend (quantity increase) is not supported."),
    "AMEND_NOTHING": (-2038, "The requested action would change no state; rejecting"),
    "AMEND_UNKNOWN": (-2038, "Unknown order sent."),
}


def refused(rejected: Rejected) -> ApiError:
    """Return the error answer of an engine's refusal. Codes not in `REFUSALS` are filters."""
    code, msg = REFUSALS.get(rejected.code, (-1013, f"Filter failure: {FILTERS.get(rejected.code, rejected.code)}"))
    return ApiError(code, msg if msg is not None else rejected.reason)
