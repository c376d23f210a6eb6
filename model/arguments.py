"""Reads what people and programs give: numbers that are sent nowhere, and text where a member of an enum is meant.

One rule holds for every call of the facade. What goes to an exchange is exact: a `Decimal`, an int or text, never a
float. In a question that sends nothing a float is fine; it means its shortest text, so 0.1 is exactly 0.1. Text stands
for a member of an enum by value or name, in any capitals: "buy", "BUY".
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from numbers import Integral
from typing import TypeVar

from .errors import Rejected
from .events import Side
from .fixed import read_exact

E = TypeVar("E", bound=Enum)


def read_question(value: object) -> Decimal:
    """Return the number of a question that sends nothing, as `read_exact`; a float means its shortest text.

    Raises:
        ValueError: not a number, not finite, or over 40 digits before or after the point.
        TypeError: another type; True and False are not numbers.
    """
    if isinstance(value, bool):
        raise TypeError(f"{value!r} is not a number")
    if isinstance(value, float):  # also numpy's, whose repr is not a number
        return read_exact(Decimal(float.__repr__(value)))
    if isinstance(value, Decimal | int | str):
        return read_exact(value)
    if isinstance(value, Integral):
        return read_exact(int(value))
    raise TypeError(f"{value!r} is not a number")


def needed_number(name: str, value: Decimal | int | str) -> Decimal:
    """Return an exact number, of an order.

    Raises:
        TypeError: a float, which is not exact, or another type that is not a number.
        Rejected: text that is not a number in plain digits, or a number that is not finite or absurdly long.
    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise TypeError(f'{name} is {value!r}; give text, an int or a Decimal, as what is sent must be exact: "0.01"')
    try:
        return read_exact(value)
    except ValueError as error:
        raise Rejected("bad_number", f"{name}: {str(value)[:80]!r} {error}") from None


def read_enum(kind: type[E], name: str, value: E | str) -> E:
    """Return the member for a member, its value or its name. Raises Rejected, which lists the existing values."""
    if isinstance(value, kind):
        return value
    if isinstance(value, str):
        wanted = value.casefold()
        for member in kind:
            if wanted in (str(member.value).casefold(), member.name.casefold()):
                return member
    known = ", ".join(str(member.value) for member in kind)
    raise Rejected(f"bad_{name}", f"{value!r} is not one of {known}")


def read_side(value: Side | str) -> Side:
    """Return a side for a side or its text. Raises Rejected."""
    return value if isinstance(value, Side) else read_enum(Side, "side", value)
