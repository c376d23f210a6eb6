"""Reports from the user stream to the order manager, and the outbox that keeps them until acknowledged. Pure.

A report is a `StreamReport` from a codec, or a `Marker` of the stream itself. Both share one numbering, from 1 in each
incarnation of the stream. So the position of a marker shows where reports are, or may be, missing:

    up      the stream is open: it reports everything from now on (earlier reports may be missing: reconcile)
    down    the stream is closed or silent
    gap     reports were lost: a frame was unreadable, or the outbox overflowed
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from typing import Any

from ...connectors.reports import (
    BalanceChange,
    BalanceReport,
    FillReport,
    ListReport,
    OrderReport,
    StreamEnded,
    StreamReport,
)
from ...model.events import Side
from ...model.order import Fee, OrderStatus, OrderType, TimeInForce


@dataclass(frozen=True, slots=True)
class Marker:
    """A change of the stream itself: `what` is "up", "down" or "gap"."""

    what: str
    reason: str = ""


Report = StreamReport | Marker

_TYPES: dict[str, type[Any]] = {
    "order": OrderReport,
    "fill": FillReport,
    "balances": BalanceReport,
    "change": BalanceChange,
    "list": ListReport,
    "ended": StreamEnded,
    "marker": Marker,
}
_NAMES = {cls: name for name, cls in _TYPES.items()}
_ENUMS: dict[str, type[Enum]] = {
    "status": OrderStatus,
    "side": Side,
    "order_type": OrderType,
    "time_in_force": TimeInForce,
}
_DECIMALS = frozenset(
    {"amount", "price", "stop_price", "quote_amount", "filled", "quote_filled", "fee"},
)
_NOT_STATED = frozenset({"status", "fee", "fee_asset", "is_maker"})  # fields that a report may omit
_PLAIN = frozenset({str, int, bool, type(None)})
SIZE_MAX = 40  # largest exponent of a number, positive or negative
_NOT_TEXT: dict[str, type] = {
    "ts_event_ns": int,
    "is_maker": bool,
    "whole": bool,
    "is_dated": bool,
}  # of fields that are passed through unchanged


def to_plain(report: Report) -> dict[str, Any]:
    """Return `report` as plain values for msgpack: Decimal and enums as text, the report's type under "type"."""
    return {"type": _NAMES[type(report)], **_plain_fields(report)}


@functools.cache
def _field_names(cls: Any) -> tuple[str, ...]:
    return tuple(attribute.name for attribute in fields(cls))


@functools.cache
def _reader(cls: Any) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that reads all fields of a report: `attrgetter`, which returns no tuple for a single field."""
    names = _field_names(cls)
    return attrgetter(*names) if len(names) > 1 else lambda record: (getattr(record, names[0]),)


@functools.cache
def _optional(cls: Any) -> frozenset[str]:
    return _NOT_STATED | {attribute.name for attribute in fields(cls) if attribute.default is None}


def _plain_fields(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    cls: Any = type(record)
    for name, value in zip(_field_names(cls), _reader(cls)(record), strict=True):
        if type(value) in _PLAIN:
            if name == "is_dated" and value:
                continue  # as in reports of the version that has no such field
        elif isinstance(value, Decimal):
            value = f"{value:f}"
        elif isinstance(value, Enum):
            value = value.value
        elif name == "fills":
            value = [_plain_fields(fill) for fill in value]
        elif name == "balances":
            value = {asset: [f"{free:f}", f"{locked:f}"] for asset, (free, locked) in value.items()}
        elif name == "orders":
            value = [list(pair) for pair in value]
        elif name == "unread":
            value = list(value)
        elif name == "more_fees":
            value = [[asset, f"{amount:f}"] for asset, amount in value]
        found[name] = value
    return found


def from_plain(plain: dict[str, Any]) -> Report:
    """The inverse of `to_plain`.

    Raises KeyError, ValueError, TypeError, ArithmeticError: `to_plain` did not make this value.
    """
    found = dict(plain)
    report: Report = _typed(_TYPES[found.pop("type")], found)
    return report


def _typed(cls: Any, plain: dict[str, Any]) -> Any:
    found = dict(plain)
    optional = _optional(cls)
    for key, value in plain.items():
        if value is None and key in optional:
            continue
        if key in _DECIMALS:
            found[key] = _number(key, value)
        elif key in _ENUMS:
            found[key] = _ENUMS[key](value)
        elif key == "fills":
            found[key] = tuple(_typed(FillReport, fill) for fill in value)
        elif key == "balances":
            found[key] = {
                _plain_of(key, str, asset): (_number(key, free), _number(key, locked))
                for asset, (free, locked) in value.items()
            }
        elif key == "orders":
            found[key] = tuple(
                (_plain_of(key, str, client), _plain_of(key, str, exchange)) for client, exchange in value
            )
        elif key == "more_fees":
            found[key] = tuple(Fee(_plain_of(key, str, asset), _number(key, amount)) for asset, amount in value)
        elif key == "unread":
            found[key] = tuple(_plain_of(key, str, asset) for asset in value)
        else:
            _plain_of(key, _NOT_TEXT.get(key, str), value)
    return cls(**found)


def _number(key: str, value: Any) -> Decimal:
    number = Decimal(_plain_of(key, str, value))
    if not number.is_finite() or abs(number.adjusted()) > SIZE_MAX:
        raise ValueError(f"{key} is {str(value)[:40]!r}")
    return number


def _plain_of(key: str, kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{key} is {value!r}")
    return value


class Outbox:
    """Numbered reports that are not acknowledged yet, at most `limit`.

    When one more report comes, the outbox drops all reports and keeps one `gap` marker with the next number. The
    missing numbers and the marker both make the receiver reconcile.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: deque[tuple[int, dict[str, Any]]] = deque()
        self.last = 0  # the number of the newest report
        self.acked = 0
        self.overflows = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, report: Report) -> int:
        """Number and keep a report; return its number."""
        if len(self._kept) >= self._limit:
            self.overflows += 1
            lost = len(self._kept)
            self._kept.clear()
            self._append(Marker("gap", f"{lost} reports were not acknowledged in time and were dropped"))
        return self._append(report)

    def _append(self, report: Report) -> int:
        self.last += 1
        self._kept.append((self.last, to_plain(report)))
        return self.last

    def batch(self, limit: int) -> tuple[int, Sequence[dict[str, Any]]]:
        """Return the number of the oldest kept report and up to `limit` reports from there, in order."""
        if not self._kept:
            return self.last + 1, []
        return self._kept[0][0], [plain for _, (_, plain) in zip(range(limit), self._kept, strict=False)]

    def acknowledge(self, number: int) -> None:
        """Drop the reports up to and including `number`: the receiver has made them durable."""
        self.acked = max(self.acked, min(number, self.last))
        while self._kept and self._kept[0][0] <= self.acked:
            self._kept.popleft()
