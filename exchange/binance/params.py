"""Reads parameters of REST and the WebSocket API, with the manual's errors.

Source: rest-api.md, web-socket-api.md, errors.md (11xx), read 2026-11-22. REST gives text, the WebSocket API JSON
values; both become the same Python values. Where the manual does not name the error, the nearest one is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ...model.time import MINUTE_NS
from ..engine.candles import INTERVALS
from ..wire.numbers import BadNumber, Flaw, read_decimal, read_whole
from . import errors

_SYMBOL = re.compile(r"[\w\-.]{1,50}")
_ZONE = re.compile(r"([+-]?)([0-9]{1,2})(?::([0-9]{2}))?", re.ASCII)
_WINDOW = re.compile(r"([1-9][0-9]?)([mhd])", re.ASCII)
_WINDOW_UNITS = {"m": (59, MINUTE_NS), "h": (23, 60 * MINUTE_NS), "d": (7, 1440 * MINUTE_NS)}
STATUSES = ("TRADING", "HALT", "BREAK")
_CLIENT_ID = re.compile(r"[a-zA-Z0-9\-_]{1,36}", re.ASCII)
# Source: enums.md, read 2026-11-22.
ENUMS: dict[str, tuple[str, ...]] = {
    "side": ("BUY", "SELL"),
    "order_type": (
        "LIMIT",
        "MARKET",
        "LIMIT_MAKER",
        "STOP_LOSS",
        "STOP_LOSS_LIMIT",
        "TAKE_PROFIT",
        "TAKE_PROFIT_LIMIT",
    ),
    "time_in_force": ("GTC", "IOC", "FOK"),
    "response": ("ACK", "RESULT", "FULL"),
    "self_trade": ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER"),
    "us_self_trade": ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"),
    "restrictions": ("ONLY_NEW", "ONLY_PARTIALLY_FILLED"),
    "replace_mode": ("STOP_ON_FAILURE", "ALLOW_FAILURE"),
    "exceeded_mode": ("DO_NOTHING", "CANCEL_ONLY"),
    "peg": ("PRIMARY_PEG", "MARKET_PEG"),
    "peg_offset": ("PRICE_LEVEL",),
}
_OF_SIGNED = frozenset(("decimal", "client_id", "strategy_type", *ENUMS))


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a query: its name, its form, whether it is mandatory."""

    name: str
    kind: str  # symbol | symbols | number | limit | interval | zone | status | type | window | bool | permissions,
    # and of signed methods: decimal | client_id | strategy_type | one of `ENUMS`
    mandatory: bool = False


def read(sent: Mapping[str, Any], known: Sequence[Param], rest: bool) -> dict[str, Any]:
    """Return the sent values by name, checked and converted.

    Raises:
        ApiError: unknown, missing, empty, malformed.
    """
    names = {param.name for param in known}
    strangers = [name for name in sent if name not in names]
    if strangers:
        raise errors.too_many(len(sent) - len(strangers), len(sent))
    return convert(sent, known, rest)


def convert(sent: Mapping[str, Any], known: Sequence[Param], rest: bool) -> dict[str, Any]:
    """Return the sent values by name, without a check for unknown parameters."""
    values: dict[str, Any] = {}
    for param in known:
        if param.name not in sent:
            if param.mandatory:
                raise errors.missing(param.name)
            continue
        value = sent[param.name]
        if value is None:
            if param.mandatory:
                raise errors.missing(param.name)
            continue
        if value == "":
            if param.kind == "client_id":
                raise errors.empty_client_id(param.name)
            raise errors.missing(param.name) if param.mandatory and rest else errors.empty(param.name)
        values[param.name] = _convert(param, value, rest)
    return values


def _convert(param: Param, value: Any, rest: bool) -> Any:
    kind, name = param.kind, param.name
    if kind in _OF_SIGNED:
        return _signed(param, value)
    if kind in ("number", "limit"):
        return number(name, value)
    if kind == "symbols":
        return _symbols(name, value, rest)
    if kind == "permissions":
        return _permissions(name, value)
    if kind == "bool":
        if isinstance(value, bool):
            return value
        if rest and value in ("true", "false"):
            return value == "true"
        raise errors.illegal(name, "^(true|false)$")
    if not isinstance(value, str):
        raise errors.invalid(name)
    if kind == "symbol":
        if _SYMBOL.fullmatch(value) is None or value.upper() != value:
            raise errors.illegal(name, errors.SYMBOL_RANGE)
        return value
    if kind == "interval":
        if value not in INTERVALS:
            raise errors.bad_interval()
        return value
    if kind == "status":
        if value not in STATUSES:
            raise errors.bad_status()
        return value
    if kind == "type":
        if value not in ("FULL", "MINI"):
            raise errors.bad_ticker_type()
        return value
    if kind == "window":
        return _window(name, value)
    if kind == "zone":
        return _zone(name, value)
    raise AssertionError(kind)


def _signed(param: Param, value: Any) -> Any:
    """Convert a value that only signed methods take."""
    kind, name = param.kind, param.name
    if kind == "decimal":
        return _decimal(name, value)
    if kind == "strategy_type":
        found = number(name, value)
        if found < 1_000_000:
            raise errors.bad_strategy_type()
        return found
    if not isinstance(value, str):
        raise errors.invalid(name)
    if kind == "client_id":
        if _CLIENT_ID.fullmatch(value) is None:
            raise errors.illegal(name, errors.CLIENT_ID_RANGE)
        return value
    if value not in ENUMS[kind]:
        raise errors.bad_enum(kind, name)
    return value


def _decimal(name: str, value: Any) -> int:
    """Return a raw amount. JSON numbers are accepted too."""
    try:
        return read_decimal(value)
    except BadNumber as bad:
        if bad.flaw is Flaw.TOO_PRECISE:
            raise errors.precision(name) from None
        raise _wrong(name, bad, errors.DECIMAL_RANGE) from None


def number(name: str, value: Any) -> int:
    """Read a whole number from text or JSON.

    Raises:
        ApiError: -1100 not a whole number, -1108 beyond int64.
    """
    try:
        return read_whole(value)
    except BadNumber as bad:
        raise _wrong(name, bad, errors.NUMBER_RANGE) from None


def _wrong(name: str, bad: BadNumber, legal: str) -> errors.ApiError:
    return errors.overflow(name) if bad.flaw is Flaw.TOO_LARGE else errors.illegal(name, legal)


def _symbols(name: str, value: Any, rest: bool) -> list[str]:
    if rest:
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            legal = r'^\["[\w\-._&&[^a-z]]{1,50}"(,"[\w\-._&&[^a-z]]{1,50}"){0,}\]$'
            raise errors.illegal(name, legal) from None
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise errors.invalid(name)
    if len(set(value)) != len(value):
        raise errors.duplicate_symbols()
    for item in value:
        if _SYMBOL.fullmatch(item) is None or item.upper() != item:
            raise errors.illegal(name, errors.SYMBOL_RANGE)
    return value


def _permissions(name: str, value: Any) -> list[str]:
    if isinstance(value, str) and value.startswith("["):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise errors.bad_json(name) from None
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) and item.isupper() for item in listed):
        raise errors.invalid(name)
    return listed


def _window(name: str, value: str) -> int:
    """Return nanoseconds."""
    match = _WINDOW.fullmatch(value)
    if match is None:
        raise errors.invalid(name)
    most, unit = _WINDOW_UNITS[match[2]]
    if int(match[1]) > most:
        raise errors.invalid(name)
    return int(match[1]) * unit


def _zone(name: str, value: str) -> int:
    """Return nanoseconds east of UTC, from -12:00 to +14:00."""
    match = _ZONE.fullmatch(value)
    if match is None:
        raise errors.invalid(name)
    minutes = int(match[2]) * 60 + int(match[3] or 0)
    minutes = -minutes if match[1] == "-" else minutes
    if not -720 <= minutes <= 840 or int(match[3] or 0) > 59:
        raise errors.invalid(name)
    return minutes * MINUTE_NS


def timestamp_ns(value: int) -> int:
    """Read a timestamp in milliseconds or microseconds (16 digits and more)."""
    return value * 1_000 if value >= 10**15 else value * 1_000_000
