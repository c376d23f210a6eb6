"""Exact conversion between decimal text, `Decimal` and int64 fixed-point.

A raw value is value x 10**scale as a signed 64-bit integer. These functions never round: a value that does not fit
raises `FixedPointError`. This path is slow and easy to verify; `orderbook/frame.h` reads the same grammar from bytes.

The grammar of a number is JSON's (RFC 8259 section 6), without a leading minus if values must not be negative; text
such as "1_000", "+1", " 1", "1.", ".5", "Infinity" or "0x1" is not a number.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal

from .errors import FixedPointError

INT64_MAX = 2**63 - 1
MOST_DIGITS = 40
_EXACT = Context(prec=200)  # not the caller's context, which may round
_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,4}))?", re.ASCII)


def to_raw(value: str | Decimal | int, scale: int) -> int:
    """Return `value` x 10**`scale` as an int that fits int64.

    Raises:
        FixedPointError: not a finite decimal number, more decimals than the scale (not counting trailing zeros), or
        too large for int64.
    """
    text = value if isinstance(value, str) else str(value)
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise FixedPointError(text[:80], scale, "not a decimal number")
    sign, integer, fraction, exponent = match.groups(default="")
    digits: str = integer + fraction
    shift = scale - len(fraction) + (int(exponent) if exponent else 0)
    raw: int = int(digits) if len(digits) <= 4000 else _too_long(text, scale)
    if raw == 0:
        return 0
    if shift >= 0:
        if shift > 40:
            raise FixedPointError(text[:80], scale, "does not fit int64")
        raw *= 10**shift
    else:
        raw, rest = divmod(raw, 10**-shift)
        if rest:
            raise FixedPointError(text[:80], scale, "has more decimals than the scale")
    if raw > INT64_MAX:
        raise FixedPointError(text[:80], scale, "does not fit int64")
    return -raw if sign else raw


def _too_long(text: str, scale: int) -> int:
    raise FixedPointError(text[:80], scale, "has too many digits")


def to_decimal(raw: int, scale: int) -> Decimal:
    """Return the exact value of `raw` at `scale`, with `scale` decimals (as exchanges write them)."""
    return Decimal(raw).scaleb(-scale, _EXACT)


def to_text(raw: int, scale: int) -> str:
    """Return `raw` at `scale` as plain decimal text with exactly `scale` decimals."""
    if scale == 0:
        return str(raw)
    sign, digits = ("-", str(-raw)) if raw < 0 else ("", str(raw))
    digits = digits.rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def read_exact(value: Decimal | int | str) -> Decimal:
    """Return a number that a person or a program gave, exactly.

    Text is a number by the grammar above: "1_0", "１０", " 1" and "+1" are none.

    Raises:
        ValueError: not such a number, not finite, or over 40 digits before or after the point. The text says which.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        raise ValueError("is not a number: write plain digits, such as 1250 or 0.001")
    number = value if isinstance(value, Decimal) else Decimal(value)
    if not number.is_finite():
        raise ValueError("is not finite")
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    if number.adjusted() >= MOST_DIGITS or -exponent > MOST_DIGITS:
        raise ValueError(f"has more than {MOST_DIGITS} digits before or after the point")
    return number


def decimals(value: Decimal | str) -> int:
    """Return the number of decimals that `value` needs: 0.0100 needs 2, 100 needs 0."""
    exponent = Decimal(value).normalize(_EXACT).as_tuple().exponent
    if not isinstance(exponent, int):
        raise FixedPointError(str(value), 0, "not a finite number")
    return max(0, -exponent)
