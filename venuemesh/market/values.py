"""What goes in and out of `Trading` as plain values: numbers, enums, bodies and answers. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, TypeVar

from ..model.errors import Rejected
from ..model.events import Side
from ..model.order import ZERO, Balance, NewOrder, Order, OrderType
from ..model.time import in_ns

Number = Decimal | int | str
E = TypeVar("E", bound=Enum)
T = TypeVar("T")
LIMITS = frozenset({OrderType.LIMIT, OrderType.LIMIT_MAKER})


@dataclass(frozen=True, slots=True)
class FeeEstimate:
    """What an order would cost in fees. `rate` is a fraction of the notional; `amount` is in `asset`, None if unknown.

    `source`: "exchange" (asked of it), "configuration" or "schedule" (the exchange's published default).
    """

    rate: Decimal
    asset: str
    amount: Decimal | None
    is_maker: bool
    source: str


class Page(tuple[T, ...]):
    """Rows of a listing. `next` is the `after` that continues behind them; None when there are no more now."""

    next: int | None

    @classmethod
    def read(cls, make: Callable[[dict[str, Any]], T], answer: Mapping[str, Any]) -> Page[T]:
        page = cls(make(plain) for plain in answer["rows"])
        page.next = answer["next"]
        return page


def read_number(name: str, value: Number | None) -> Decimal | None:
    """Return an exact number, or None for None.

    Raises:
        TypeError: a float, which is not exact, or something else that is no number.
        Rejected: text that is no finite number.
    """
    return None if value is None else needed_number(name, value)


def needed_number(name: str, value: Number) -> Decimal:
    """Return an exact number. Raises as `read_number`."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise TypeError(f"{name} is {value!r}; it must be a Decimal, an int or text, as floats are not exact")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise Rejected("bad_number", f"{name} is {value!r}, which is no number") from None
    if not number.is_finite():
        raise Rejected("bad_number", f"{name} is {value!r}, which is not finite")
    return number


def read_enum(kind: type[E], name: str, value: E | str) -> E:
    """Return a member given as such or by its value. Raises Rejected naming those that there are."""
    if isinstance(value, kind):
        return value
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(one.value) for one in kind)
        raise Rejected(f"bad_{name}", f"{value!r} is not one of {known}") from None


def with_id(order: NewOrder, client_order_id: str) -> NewOrder:
    return replace(order, client_order_id=client_order_id)


def expires_ns(expires_s: float) -> int:
    """When a command that is handed over now may no longer be carried out. ns since the Unix epoch."""
    return time.time_ns() + in_ns(expires_s)


def all_body(timeout_s: float, pair: str | None, owner: str | None) -> dict[str, Any]:
    return {"timeout_s": timeout_s, "pair": pair, "owner": owner}


def by_id(rows: Iterable[dict[str, Any]]) -> dict[str, Order]:
    orders = [Order.from_dict(plain) for plain in rows]
    return {order.client_order_id: order for order in orders}


def limit_orders_of(orders: Mapping[str, Order]) -> list[Order]:
    return sorted((one for one in orders.values() if one.order_type in LIMITS), key=lambda one: one.created_ns)


def read_balances(rows: Mapping[str, dict[str, Any]]) -> dict[str, Balance]:
    return {asset: Balance.from_dict(plain) for asset, plain in rows.items()}


def one_balance(balances: Mapping[str, Balance], asset: str) -> Balance:
    return balances.get(asset) or Balance(asset, ZERO, ZERO, ZERO, ZERO)


def fee_estimate(
    fees: Mapping[str, Any], pair: str, amount: Number | None, price: Number | None, is_maker: bool, side: Side | str
) -> FeeEstimate:
    """Work out a fee from the account's rates: in the asset received, as spot exchanges take it."""
    rate = Decimal(fees["maker" if is_maker else "taker"])
    buys = read_enum(Side, "side", side) is Side.BUY
    base, _, quote = pair.partition("-")
    size, per = read_number("amount", amount), read_number("price", price)
    received = size if buys else (size * per if size is not None and per is not None else None)
    cost = None if received is None else received * rate
    return FeeEstimate(rate, base if buys else quote, cost, is_maker, fees["source"])
