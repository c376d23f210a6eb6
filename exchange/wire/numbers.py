"""Exact numbers as text: raw fixed-point to text, and text or JSON values to raw fixed-point. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import Enum

from ..engine.rules import ONE, SCALE

INT64_MAX = 2**63 - 1
_WHOLE = re.compile(r"[0-9]{1,20}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)


class Flaw(Enum):
    """The flaw of a value that should be a number."""

    MALFORMED = "malformed"
    TOO_PRECISE = "too precise"
    TOO_LARGE = "too large"


class BadNumber(Exception):
    """A value is unreadable; a protocol answers `flaw` with its own error."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.value)
        self.flaw = flaw


def text(raw: int) -> str:
    """Write a raw number with all eight decimals."""
    if raw < 0:
        return f"-{-raw // ONE}.{-raw % ONE:08d}"
    return f"{raw // ONE}.{raw % ONE:08d}"


def short(raw: int) -> str:
    """Write a raw number without trailing zeros."""
    return text(raw).rstrip("0").rstrip(".")


def to_decimals(raw: int, decimals: int) -> str:
    """Write a raw number with exactly `decimals` decimals (0 to 8).

    Raises:
        BadNumber: TOO_PRECISE, the number has more decimals.
    """
    unit = 10 ** (SCALE - decimals)
    if raw % unit:
        raise BadNumber(Flaw.TOO_PRECISE)
    integer, fraction = divmod(abs(raw) // unit, 10**decimals)
    sign = "-" if raw < 0 else ""
    return f"{sign}{integer}.{fraction:0{decimals}d}" if decimals else f"{sign}{integer}"


def read_whole(value: object) -> int:
    """Read a whole number that is not negative, from text or JSON.

    Raises:
        BadNumber: MALFORMED, or TOO_LARGE beyond int64.
    """
    if isinstance(value, bool) or not isinstance(value, int | str) or _WHOLE.fullmatch(str(value)) is None:
        raise BadNumber(Flaw.MALFORMED)
    if int(value) > INT64_MAX:
        raise BadNumber(Flaw.TOO_LARGE)
    return int(value)


def read_decimal(value: object) -> int:
    """Read an amount that is not negative, from text or a JSON number; return it raw.

    Raises:
        BadNumber: MALFORMED, TOO_PRECISE beyond eight decimals, or TOO_LARGE beyond int64.
    """
    if isinstance(value, float):
        value = f"{Decimal(repr(value)):f}"
    if isinstance(value, bool) or not isinstance(value, int | str) or _DECIMAL.fullmatch(str(value)) is None:
        raise BadNumber(Flaw.MALFORMED)
    integer, _, fraction = str(value).partition(".")
    if len(fraction.rstrip("0")) > SCALE:
        raise BadNumber(Flaw.TOO_PRECISE)
    raw: int = int(integer) * ONE + int(fraction[:SCALE].ljust(SCALE, "0"))
    if raw > INT64_MAX:
        raise BadNumber(Flaw.TOO_LARGE)
    return raw
