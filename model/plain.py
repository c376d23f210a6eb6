"""Converts records to plain values and back. A later process reads stored values with their exact types, or fails.

A record is a dataclass whose fields are text, numbers, booleans, Decimals, enums, records, and tuples or mappings
(with text as keys) of them. `to_plain` writes Decimals as text, enums by value and tuples as lists; `from_plain` reads
them by the field's declared type and refuses an unknown key, a missing key or another type.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import Misconfigured
from .fixed import INT64_MAX

T = TypeVar("T")
TYPE = "type"  # the key that names a record's class, "module:Class"
_SCALARS = (bool, int, float, str)


def to_plain(value: Any) -> Any:
    """Return `value` in plain values for msgpack and JSON."""
    if value is None or type(value) in _SCALARS:
        return value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {name: to_plain(getattr(value, name)) for name in _types(type(value))}
    raise TypeError(f"{type(value).__name__} has no plain form")


def from_plain(cls: type[T], plain: Any) -> T:
    """Return the record of class `cls` that `to_plain` wrote.

    Raises:
        Misconfigured: `plain` is not such a record. The error names the field and the problem, and shows no value.
    """
    record: T = _record(cls, plain, cls.__name__)
    return record


def to_tagged(record: Any) -> dict[str, Any]:
    """Return a record as plain values with the name of its class."""
    cls = type(record)
    return {TYPE: f"{cls.__module__}:{cls.__qualname__}", **to_plain(record)}


def from_tagged(plain: Any) -> Any:
    """Return the record that `to_tagged` wrote. Raises Misconfigured: as `from_plain`, or there is no such class."""
    if not isinstance(plain, Mapping) or not isinstance(plain.get(TYPE), str):
        raise Misconfigured("a stored record", "does not name a class")
    module, _, name = plain[TYPE].partition(":")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise Misconfigured(f"a stored record of {plain[TYPE]}", f"the class cannot be loaded: {error}") from error
    if not isinstance(cls, type) or not is_dataclass(cls):
        raise Misconfigured(f"a stored record of {plain[TYPE]}", "the named class is not a class of records")
    return from_plain(cls, {key: value for key, value in plain.items() if key != TYPE})


@cache
def _types(cls: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls) if field.init}


def _record(cls: Any, plain: Any, where: str) -> Any:
    if not isinstance(plain, Mapping):
        raise Misconfigured(where, "is not a table")
    types = _types(cls)
    if plain.keys() != types.keys():
        odd = sorted(map(str, plain.keys() ^ types.keys()))
        raise Misconfigured(where, f"does not have exactly the fields of this version: {', '.join(odd)}")
    return cls(**{name: _value(types[name], value, f"{where}.{name}") for name, value in plain.items()})


def _value(kind: Any, plain: Any, where: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _one_of(get_args(kind), plain, where)
    if origin is Literal:
        if plain in get_args(kind):
            return plain
        raise Misconfigured(where, f"is not one of {', '.join(map(repr, get_args(kind)))}")
    if origin is tuple:
        return _tuple(get_args(kind), plain, where)
    if origin is not None and issubclass(origin, Mapping) and isinstance(plain, Mapping):
        _, of = get_args(kind)
        return {_value(str, key, where): _value(of, value, f"{where}.{key}") for key, value in plain.items()}
    if kind is float and type(plain) is int:
        return float(plain)
    if kind in _SCALARS and type(plain) is kind:
        return _scalar(plain, where)
    if kind is Decimal and isinstance(plain, str):
        return _decimal(plain, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind, plain, where)
    if is_dataclass(kind):
        return _record(kind, plain, where)
    raise Misconfigured(where, f"is {type(plain).__name__}, which is the wrong type")


def _scalar(plain: Any, where: str) -> Any:
    """Return a scalar that every store of the mesh can keep."""
    if isinstance(plain, int) and abs(plain) > INT64_MAX:
        raise Misconfigured(where, f"is an integer of {plain.bit_length()} bits; 63 are the most")
    if isinstance(plain, str) and not plain.isascii():
        try:
            plain.encode()
        except UnicodeEncodeError:
            raise Misconfigured(where, "has half of a surrogate pair, which is no text") from None
    return plain


def _one_of(kinds: tuple[Any, ...], plain: Any, where: str) -> Any:
    """Read a value of a union type: None and one other type, or scalars."""
    if plain is None and NoneType in kinds:
        return None
    others = [kind for kind in kinds if kind is not NoneType]
    if len(others) == 1:
        return _value(others[0], plain, where)
    if type(plain) in others:
        return _scalar(plain, where)
    raise Misconfigured(where, f"is {type(plain).__name__}, which is the wrong type")


def _tuple(kinds: tuple[Any, ...], plain: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(plain, (list, tuple)):
        raise Misconfigured(where, "is not a list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_value(kinds[0], item, f"{where}[{index}]") for index, item in enumerate(plain))
    if len(plain) != len(kinds):
        raise Misconfigured(where, f"has {len(plain)} items instead of {len(kinds)}")
    pairs = enumerate(zip(kinds, plain, strict=True))
    return tuple(_value(kind, item, f"{where}[{index}]") for index, (kind, item) in pairs)


def _decimal(plain: str, where: str) -> Decimal:
    try:
        return Decimal(plain)
    except InvalidOperation:
        raise Misconfigured(where, "is not a number") from None


def _enum(kind: type[Enum], plain: Any, where: str) -> Enum:
    try:
        return kind(plain)
    except ValueError:
        raise Misconfigured(where, f"is not a valid {kind.__name__}") from None
