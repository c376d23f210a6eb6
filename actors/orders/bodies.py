"""Reads the bodies of messages strictly, so that no value of a wrong type gets into the machine. Pure.

Every accepted order is journaled, and a successor reads it again: one value that the journal does not accept would end
every manager of the account, one after the other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from ...model.errors import Rejected
from ...model.events import Side
from ...model.order import NewOrder, Order, OrderStatus, OrderType, TimeInForce

NAME_MAX = 100  # characters of an id, a pair, an owner
WORDS_MAX = 1_000  # characters of a reason
DIGITS_MAX = 60  # characters of a number
SIZE_MAX = 40  # powers of ten, positive or negative
TIME_MAX = 2**63
EXTERNAL = "external:"  # prefix of the ids that record external orders

Reader = Callable[[Any], Any]


def _text(most: int) -> Reader:
    def read(value: Any) -> str:
        if not isinstance(value, str) or len(value) > most or not value.isprintable():
            raise ValueError(f"must be plain text of at most {most} characters")
        return value

    return read


def _number(value: Any) -> Decimal:
    if not isinstance(value, str) or len(value) > DIGITS_MAX:
        raise ValueError("must be a decimal number as text")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError("must be a number") from None
    if not number.is_finite() or abs(number.adjusted()) > SIZE_MAX:
        raise ValueError("must be a finite number of reasonable size")
    return number


def _member(kind: type[Enum]) -> Reader:
    def read(value: Any) -> Enum:
        if not isinstance(value, str):
            raise ValueError("must be text")
        return kind(value)

    return read


def _time(value: Any) -> int:
    if type(value) is not int or not 0 <= value < TIME_MAX:
        raise ValueError("must be a time in ns")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _fees(value: Any) -> dict[str, Decimal]:
    if not isinstance(value, dict):
        raise ValueError("must be a table")
    name = _text(NAME_MAX)
    return {name(asset): _number(fee) for asset, fee in value.items()}


def _id(value: Any) -> str:
    found: str = _text(NAME_MAX)(value)
    if not found or found.startswith(EXTERNAL):
        raise ValueError("must be a client order id")
    return found


_READ: Mapping[str, Reader] = {
    "client_order_id": _id,
    "side": _member(Side),
    "order_type": _member(OrderType),
    "time_in_force": _member(TimeInForce),
    "status": _member(OrderStatus),
    "reason": _text(WORDS_MAX),
    "fees": _fees,
    **dict.fromkeys(("amount", "price", "quote_amount", "stop_price", "filled", "quote_filled"), _number),
    **dict.fromkeys(("created_ns", "updated_ns"), _time),
    **dict.fromkeys(("external", "cancel_requested"), _flag),
}
_MAY_BE_NONE = frozenset(
    {
        "amount",
        "price",
        "time_in_force",
        "quote_amount",
        "stop_price",
        "self_trade",
        "exchange_order_id",
        "list_id",
        "code",
        "reason",
    }
)


def new_order(plain: Any) -> NewOrder:
    """Read a new order. Raises Rejected: the value is malformed."""
    return NewOrder(**_values(NewOrder, plain, "a new order"))


def order_state(plain: Any) -> Order:
    """Read an order of a saved tracking state. Raises Rejected: the value is malformed."""
    return Order(**_values(Order, plain, "an order"))


@functools.cache
def _known(cls: Any) -> Mapping[str, tuple[Reader, bool, bool]]:
    """Return, for each field of a class, its reader, whether it has a default, and whether it may be None."""
    return {
        one.name: (
            _READ.get(one.name, _text(NAME_MAX)),
            one.default is not MISSING or one.default_factory is not MISSING,
            one.name in _MAY_BE_NONE,
        )
        for one in fields(cls)
    }


def _values(cls: Any, plain: Any, what: str) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise Rejected("bad_request", f"not {what}: no table")
    known = _known(cls)
    if unknown := [name for name in plain if name not in known]:
        raise Rejected("bad_request", f"not {what}: there is no {str(unknown[0])[:NAME_MAX]}")
    values: dict[str, Any] = {}
    for name, (read, has_default, may_be_none) in known.items():
        if name not in plain:
            if not has_default and not may_be_none:
                raise Rejected("bad_request", f"not {what}: {name} is missing")
            if not has_default:
                values[name] = None
            continue
        value = plain[name]
        if value is None and may_be_none:
            values[name] = None
            continue
        try:
            values[name] = read(value)
        except ValueError as error:
            raise Rejected("bad_request", f"not {what}: {name} {error}"[:300]) from None
    return values
