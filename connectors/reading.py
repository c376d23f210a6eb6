"""Reads the JSON of exchanges: fields, exact numbers and levels. Strict: no guesses, no conversions of types.

A codec reads a body or frame inside `reading`, which parses the JSON and turns every reading error into one
DecodeError with an excerpt of the bytes:

    with reading("a depth snapshot", body) as data:
        sequence = integer(data["sequence"])

If an exchange writes prices and sizes as JSON numbers, `reading(..., exact=True)` keeps the text of each number with a
fraction, and `number` returns that text without a float in between.

Each reader takes one value and raises DecodeError when the value has the wrong type or is impossible.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
import orjson

from ..model.errors import LONGEST_REASON, DataError, DecodeError
from ..model.events import Levels
from ..model.fixed import INT64_MAX, read_exact, to_raw
from ..model.instrument import Instrument
from ..model.shown import shown, storable
from ..model.time import SECOND_NS

V = TypeVar("V")
EXCERPT = 200  # bytes
MAX_DIGITS = 40  # of a number on the wire
EXACT = Context(prec=4 * MAX_DIGITS)
COUNT_DIGITS = 18  # of a count in a header: every such count fits int64
RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
EXPONENT = re.compile(r"\d{1,20}(?:\.\d{1,20})?[eE][+-]?\d{1,2}", re.ASCII)
NUL = re.compile(rb"\\u0000")  # the only way to write it in JSON
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# The errors of reading a message with another structure. JSONDecodeError is a ValueError.
UNREADABLE = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    StopIteration,
    RecursionError,
    DataError,
)


class Written:
    """A JSON number with a fraction or an exponent, as text; `number` reads it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


class reading:
    """Parse `raw` as JSON for the block. Raises DecodeError, "cannot read `what`: ...", for a reading error in the
    block.

    With `exact`, numbers with a fraction are `Written`. NUL in text becomes its escape, because PostgreSQL cannot keep
    it. Errors about the outcome of a request (Rejected, OutcomeUnknown, ...) pass unchanged.
    """

    __slots__ = ("_exact", "_raw", "_what")

    def __init__(self, what: str, raw: bytes | memoryview, exact: bool = False) -> None:
        self._what = what
        self._raw = raw
        self._exact = exact

    def __enter__(self) -> Any:
        try:
            parsed = self._parsed()
            return parsed if NUL.search(self._raw) is None else without_nul(parsed)
        except (ValueError, RecursionError) as error:
            raise self._unreadable(error) from error

    def _parsed(self) -> Any:
        if not self._exact:
            return orjson.loads(self._raw)
        written = str(self._raw, "utf-8")
        if SURROGATE.search(written):
            orjson.loads(written)  # refuses half a surrogate pair, which no other program can write or keep
        return json.loads(written, parse_float=Written, parse_constant=_no_number)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, UNREADABLE):
            raise self._unreadable(error) from error

    def _unreadable(self, error: BaseException) -> DecodeError:
        # The repr of a UnicodeDecodeError has the whole message, and an unknown word may be as long.
        reason = error.reason if isinstance(error, DecodeError) else f"{type(error).__name__}: {error}"
        return DecodeError(f"cannot read {self._what}: {reason:.{LONGEST_REASON}}", excerpt(self._raw))


def without_nul(value: Any) -> Any:
    """Return parsed JSON with every NUL in a text as its escape."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [without_nul(inner) for inner in value]
    if isinstance(value, dict):
        return {storable(key): without_nul(inner) for key, inner in value.items()}
    return value


def excerpt(raw: bytes | memoryview) -> str:
    """Return the first 200 bytes as text that can be stored, at most 200 characters."""
    return storable(bytes(raw[:EXCERPT]).decode("utf-8", "replace"))[:EXCERPT]


def _wrong(value: Any, wanted: str) -> DecodeError:
    return DecodeError(f"{value!r:.{EXCERPT}} is not {wanted}", None)


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(value, "text")
    return value


def text_or_none(value: Any) -> str | None:
    """Return a text; None if it is null or empty."""
    return None if value is None else text(value) or None


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, "true or false")
    return value


def mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(value, "an object")
    return value


def rows(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(value, "a list")
    return value


def fixed_rows(value: Any, width: int) -> list[list[Any]]:
    """Read a list of rows of exactly `width` fields."""
    for row in rows(value):
        if len(rows(row)) != width:
            raise _wrong(row, f"a row of {width} fields")
    return value  # type: ignore[no-any-return]


def integer(value: Any) -> int:
    """Read an id, a count or a sequence: a JSON integer from 0 to the largest int64."""
    if type(value) is not int or not 0 <= value <= INT64_MAX:
        raise _wrong(value, "an integer from 0 to 2^63 - 1")
    return value


def request_key(value: Any) -> int | str:
    """Read the id of a request as the exchange returns it: text, or an integer that fits 64 bits."""
    return value if isinstance(value, str) else integer(value)


def identifier(value: Any) -> str:
    """Read an id that the exchange writes as an integer; return the id as text."""
    return str(integer(value))


def digits(value: Any) -> int:
    """Read a whole number from 0 to the largest int64, written as text in plain digits."""
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 19:
        raise _wrong(value, "a whole number as text")
    return integer(int(value))


def milliseconds(value: Any) -> int:
    """Read a time in milliseconds since the Unix epoch; return nanoseconds."""
    return integer(integer(value) * 1_000_000)


def milliseconds_text(value: Any) -> int:
    """Read a time in milliseconds since the Unix epoch that is written as text; return nanoseconds."""
    return milliseconds(digits(value))


def seconds(value: Any) -> int:
    """Read a time in whole seconds since the Unix epoch; return nanoseconds."""
    return integer(integer(value) * SECOND_NS)


def rfc3339(value: Any) -> int:
    """Read a time such as "2023-10-06T17:35:55.440295Z"; return nanoseconds since the Unix epoch."""
    match = RFC3339.fullmatch(text(value))
    if match is None:
        raise _wrong(value, "a UTC time in the form of RFC 3339")
    moment = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    return integer(int(moment.timestamp()) * SECOND_NS + int((match[2] or "").ljust(9, "0")))


def number(value: Any) -> str:
    """Read a JSON number of at most 40 digits, without sign and exponent, in a message read with `exact`; return its
    text."""
    written = _written(value)
    if not _is_plain(written):
        raise _wrong(value, "a number in plain digits")
    return written


def signed_number(value: Any) -> Decimal:
    """Read a JSON number of at most 40 digits, without exponent, in a message read with `exact`."""
    written = _written(value)
    if not _is_plain(written.removeprefix("-")):
        raise _wrong(value, "a number in plain digits")
    return Decimal(written)


def exponent_number(value: Any) -> str:
    """Read an unsigned JSON number of at most 40 digits, perhaps with an exponent of two digits, in a message read with
    `exact`; return its text."""
    written = _written(value)
    if not _is_plain(written) and not EXPONENT.fullmatch(written):
        raise _wrong(value, "an unsigned number")
    return written


def expanded(value: Any) -> str:
    """Read a number as `exponent_number` does; return it in plain digits."""
    written = exponent_number(value)
    return f"{Decimal(written):f}" if "e" in written or "E" in written else written


def _written(value: Any) -> str:
    return value.text if type(value) is Written else str(value) if type(value) is int else ""


def decimal(value: Any) -> Decimal:
    """Read a number that is written as text in at most 40 plain digits, with an optional minus sign; no exponent, no
    plus sign, no space."""
    if not _is_plain(text(value).removeprefix("-")):
        raise _wrong(value, "a decimal number as text in plain digits")
    return Decimal(value)


def plain_decimal(value: Any) -> Decimal:
    """Read a number that is written as text in at most 40 plain digits, without sign and exponent."""
    if not _is_plain(text(value)):
        raise _wrong(value, "an unsigned number as text in plain digits")
    return Decimal(value)


def product(price: Decimal, amount: Decimal) -> Decimal:
    """Return a price times an amount exactly: the caller's context may round. A product is bounded like a number that
    is read: at most 40 digits before and after the point, not counting zeros at its end."""
    found = EXACT.multiply(price, amount)
    try:
        return read_exact(found)
    except ValueError:
        found = found.normalize(EXACT)
    try:
        return read_exact(found)
    except ValueError as error:
        raise DecodeError(f"{price} x {amount} {error}", None) from error


def _is_plain(value: str) -> bool:
    digits = value.replace(".", "", 1)
    return digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS


def plain_count(value: str) -> int | None:
    """Read a count in a header: plain digits, at most 18; None for any other text."""
    return int(value) if value.isascii() and value.isdigit() and len(value) <= COUNT_DIGITS else None


def amount_text(value: Any) -> str:
    """Return a number that is written as text in plain digits, unchanged."""
    plain_decimal(value)
    return str(value)


def price_text(value: Any) -> str | None:
    """Return a price as text, unchanged; None if it is empty or zero, which means that there is no price."""
    return str(value) if text(value) and plain_decimal(value) else None


class LeftOut(NamedTuple):
    """A row that was left out of a list. `name` is its symbol, asset or exchange's order id, if readable.

    `client_id` is the client order id in a row of an order: empty if the order has none, None if it is not readable.
    """

    name: str | None
    reason: str
    is_unreadable: bool = True
    client_id: str | None = None


def each_row(
    listed: Iterable[Any],
    read: Callable[[Any], V],
    name_of: Callable[[Any], Any],
    client_of: Callable[[Any], Any] = lambda row: False,
) -> tuple[list[V], tuple[LeftOut, ...]]:
    """Read the rows of a list one by one: an unreadable row is left out and named, and does not affect other rows.

    `client_of` finds the client order id in a row of an order; it returns None where the order has none.
    """
    found: list[V] = []
    left_out: list[LeftOut] = []
    for row in listed:
        try:
            found.append(read(row))
        except UNREADABLE as error:
            reason = f"cannot be read: {_why(error)}"
            left_out.append(LeftOut(_name(row, name_of), reason, client_id=_client_id(row, client_of)))
    return found, tuple(left_out)


def _why(error: BaseException) -> str:
    if isinstance(error, DecodeError):
        return str(error.reason)
    if isinstance(error, KeyError):  # a missing field, or a word that is not in a table
        return f"{error.args[0]!r} is missing or not known"
    return str(error) if isinstance(error, ValueError) else repr(error)


def _client_id(row: Any, client_of: Callable[[Any], Any]) -> str | None:
    try:
        found = client_of(row)
    except UNREADABLE:
        return None
    return "" if found is None else found if isinstance(found, str) else None


def _name(row: Any, name_of: Callable[[Any], Any]) -> str | None:
    try:
        name = name_of(row)
    except UNREADABLE:
        return None
    return str(name) if isinstance(name, str | int) and not isinstance(name, bool) else None


def left_out_text(rows: Sequence[LeftOut], most: int = 5) -> str:
    """Describe the first rows that were left out; empty if there are none."""
    named = "; ".join(
        f"{shown(row.name or 'a row without a name')[:EXCERPT]} {shown(row.reason)}" for row in rows[:most]
    )
    return f"{named}; and {len(rows) - most} more" if len(rows) > most else named


def first_of(row: dict[str, Any], *keys: str) -> Any:
    """Return the value of the first of `keys` that `row` has. Raises DecodeError: it has none."""
    for key in keys:
        if key in row:
            return row[key]
    raise _wrong(row, f"a row with {' or '.join(keys)}")


def readable(listed: list[Any], read: Callable[[Any], tuple[str, V]]) -> dict[str, V]:
    """Read a list with one row per pair and leave out unreadable rows, so that one row cannot block the others.

    Raises the error of the last row if the list has rows and none is readable.
    """
    found: dict[str, V] = {}
    wrong: Exception | None = None
    for row in listed:
        try:
            name, value = read(row)
        except UNREADABLE as error:
            wrong = error
        else:
            found[name] = value
    if wrong is not None and not found:
        raise wrong
    return found


def known_decimal(row: dict[str, Any], *keys: str) -> Decimal | None:
    """Read the first of `keys` that `row` has; None (unknown) if it has none or the number is negative."""
    for key in keys:
        if key in row:
            number = decimal(row[key])
            return None if number < 0 else number
    return None


def positive_decimal(row: dict[str, Any], *keys: str) -> Decimal | None:
    """Read the first of `keys` that `row` has; None if it has none or the number is not above zero."""
    return known_decimal(row, *keys) or None


def levels(instrument: Instrument, value: Any, width: int = 2) -> Levels:
    """Read a list of rows of decimal text, exact at the instrument's scales: price and size. A row has `width` fields;
    fields after price and size are ignored."""
    read = rows(value)
    array = np.empty((len(read), 2), dtype=np.int64)
    for at, row in enumerate(read):
        if not isinstance(row, list) or len(row) != width:
            raise _wrong(row, "a level")
        array[at, 0] = to_raw(text(row[0]), instrument.price_scale)
        array[at, 1] = to_raw(text(row[1]), instrument.size_scale)
    return array
