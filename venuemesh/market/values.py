"""Arguments and answers of markets: exact numbers, enums, bodies of messages, pages, fees. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from ..model.arguments import needed_number, read_question, read_side
from ..model.errors import Rejected
from ..model.events import Side
from ..model.order import ZERO, Balance, NewOrder, OrderType
from ..model.time import in_ns

if TYPE_CHECKING:
    import pandas as pd

Number = Decimal | int | str  # of an order: exact
Asked = Number | float  # of a question: a float means its shortest text
T = TypeVar("T")
COMPUTED = {"Order": ("average_price",), "Fill": ("liquidity",)}  # properties that are columns of a frame
LIMITS = frozenset({OrderType.LIMIT, OrderType.LIMIT_MAKER})


@dataclass(frozen=True, slots=True)
class FeeEstimate:
    """The estimated fee of an order. `rate` is a fraction of the notional; `amount` is in `asset`, None if unknown.

    `source`: "exchange" (its answer), "configuration" or "schedule" (the exchange's published default).
    """

    rate: Decimal
    asset: str
    amount: Decimal | None
    is_maker: bool
    source: str


class Page(tuple[T, ...]):
    """Rows of a listing. `next` is None if there are no more rows now; else it tells where the other rows begin: it is
    the `after` of the next page, or, of a page of the newest rows, the `before` of the page of older rows.
    """

    next: int | None
    kind: type[T]  # of the rows

    @classmethod
    def read(cls, kind: type[T], answer: Mapping[str, Any]) -> Page[T]:
        make: Callable[[dict[str, Any]], T] = kind.from_dict  # type: ignore[attr-defined]
        page = cls(make(plain) for plain in answer["rows"])
        page.next, page.kind = answer["next"], kind
        return page

    def to_pandas(self, exact: bool = False) -> pd.DataFrame:
        """Return the rows as a data frame with a column per field; orders also have their average price.

        Numbers are float64 (NaN where a row has none), or Decimals if `exact`; times are timestamps in UTC, in columns
        without `_ns`; members of enums are text. A page without rows has the same columns.

        Raises:
            Misconfigured: pandas is not installed (`pip install venuemesh[pandas]`).
        """
        from ..model.frames import frame

        return frame(self.kind, self, exact, COMPUTED.get(self.kind.__name__, ()))


def read_number(name: str, value: Number | None) -> Decimal | None:
    """Return an exact number, or None for None.

    Raises:
        TypeError: a float, which is not exact, or another type that is not a number.
        Rejected: text that is not a number in plain digits, or a number that is not finite or absurdly long.
    """
    return None if value is None else needed_number(name, value)


def needed_question(name: str, value: Asked) -> Decimal:
    """Return the number of a question, which may be a float.

    Raises:
        TypeError: not a number.
        Rejected: text that is not a number in plain digits, or a number that is not finite or absurdly long.
    """
    try:
        return read_question(value)
    except ValueError as error:
        raise Rejected("bad_number", f"{name}: {str(value)[:80]!r} {error}") from None


def question(name: str, value: Asked | None) -> Decimal | None:
    """Return `needed_question`, or None for None."""
    return None if value is None else needed_question(name, value)


def row_limit(limit: int | None) -> int | None:
    """Return the largest number of rows of a listing; None: all rows. Raises Rejected: not a whole number >= 1."""
    if limit is not None and (type(limit) is not int or limit < 1):
        raise Rejected("bad_request", f"limit is {limit!r}; it must be a whole number of at least 1")
    return limit


def expires_ns(expires_s: float) -> int:
    """Return the time until which a command handed over now may be executed. ns since the Unix epoch."""
    return time.time_ns() + in_ns(expires_s)


def place_body(orders: Sequence[NewOrder], expires_s: float, order_list: str | None = None) -> dict[str, Any]:
    plain = [order.to_dict() for order in orders]
    return {"orders": plain, "expires_ns": expires_ns(expires_s), "asked_ns": time.time_ns(), "list": order_list}


def replace_body(order: NewOrder, expires_s: float) -> dict[str, Any]:
    return {"order": order.to_dict(), "expires_ns": expires_ns(expires_s), "asked_ns": time.time_ns()}


def read_balances(rows: Mapping[str, dict[str, Any]]) -> dict[str, Balance]:
    return {asset: Balance.from_dict(plain) for asset, plain in rows.items()}


def zero_balance(asset: str) -> Balance:
    return Balance(asset, ZERO, ZERO, ZERO, ZERO)


def fee_estimate(
    fees: Mapping[str, Any], pair: str, amount: Asked | None, price: Asked | None, is_maker: bool, side: Side | str
) -> FeeEstimate:
    """Compute a fee from the account's rates, in the received asset, as spot exchanges take it."""
    rate = Decimal(fees["maker" if is_maker else "taker"])
    buys = read_side(side) is Side.BUY
    base, _, quote = pair.partition("-")
    size, per = question("amount", amount), question("price", price)
    received = size if buys else (size * per if size is not None and per is not None else None)
    cost = None if received is None else received * rate
    return FeeEstimate(rate, base if buys else quote, cost, is_maker, fees["source"])
