"""Converts records to plain values and back. A later process reads stored values with their exact types, or fails.

A record is a dataclass whose fields are text, numbers, booleans, Decimals, enums, records, and tuples or mappings
(with text as keys) of them. `to_plain` writes Decimals as text, enums by value and tuples as lists; `from_plain` reads
them by the field's declared type and refuses an unknown key, a missing key or another type.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache, partial
from itertools import repeat
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import Misconfigured
from .fixed import INT64_MAX
from .shown import few

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
    try:
        record: T = _record(cls, plain)
    except _Unreadable as error:
        raise Misconfigured(f"{cls.__name__}{error.path}", error.reason) from None
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


class _Unreadable(Exception):
    """A plain value does not have the declared type. `path` leads to it from the record that is read."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.reason, self.path = reason, path


Read = Callable[[Any], Any]  # returns the value that a plain value stands for; raises _Unreadable


@cache
def _reader(kind: Any) -> Read:
    """Return the function that reads plain values of a declared type. Readers are made once, because `get_origin` and
    `get_args` take longer than the reading."""
    origin, of = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _reader_of_union(of)
    if origin is Literal:
        return partial(_literal, of)
    if origin is tuple and len(of) == 2 and of[1] is Ellipsis:
        return partial(_list, _reader(of[0]))
    if origin is tuple:
        return partial(_tuple, tuple(map(_reader, of)))
    if origin is not None and issubclass(origin, Mapping):
        return partial(_mapping, _reader(of[1]))
    if kind in _SCALARS:
        return partial(_scalar, (kind,))
    if kind is Decimal:
        return _decimal
    if isinstance(kind, type) and issubclass(kind, Enum):
        return partial(_enum, kind)
    if is_dataclass(kind):
        return partial(_record, kind)
    return _never


def _reader_of_union(kinds: tuple[Any, ...]) -> Read:
    """Return the reader of None and one other type, or of scalars."""
    others = tuple(kind for kind in kinds if kind is not NoneType)
    read = _reader(others[0]) if len(others) == 1 else partial(_scalar, others)
    return partial(_optional, read) if NoneType in kinds else read


def _optional(read: Read, plain: Any) -> Any:
    return None if plain is None else read(plain)


@cache
def _readers(cls: Any) -> dict[str, Read]:
    return {name: _reader(kind) for name, kind in _types(cls).items()}


def _record(cls: Any, plain: Any) -> Any:
    if not isinstance(plain, Mapping):
        raise _Unreadable("is not a table")
    readers = _readers(cls)
    if plain.keys() != readers.keys():
        odd = sorted(map(str, plain.keys() ^ readers.keys()))
        raise _Unreadable(f"does not have exactly the fields of this version: {few(odd)}")
    found = {}
    for name, read in readers.items():
        try:
            found[name] = read(plain[name])
        except _Unreadable as error:
            raise _Unreadable(error.reason, f".{name}{error.path}") from None
    return cls(**found)


def _items(readers: Iterable[Read], plain: Iterable[Any]) -> tuple[Any, ...]:
    found: list[Any] = []
    for read, item in zip(readers, plain, strict=False):
        try:
            found.append(read(item))
        except _Unreadable as error:
            raise _Unreadable(error.reason, f"[{len(found)}]{error.path}") from None
    return tuple(found)


def _list(read: Read, plain: Any) -> tuple[Any, ...]:
    if not isinstance(plain, (list, tuple)):
        raise _Unreadable("is not a list")
    return _items(repeat(read), plain)


def _tuple(readers: tuple[Read, ...], plain: Any) -> tuple[Any, ...]:
    if not isinstance(plain, (list, tuple)):
        raise _Unreadable("is not a list")
    if len(plain) != len(readers):
        raise _Unreadable(f"has {len(plain)} items instead of {len(readers)}")
    return _items(readers, plain)


def _mapping(read: Read, plain: Any) -> dict[str, Any]:
    if not isinstance(plain, Mapping):
        raise _wrong_type(plain)
    found = {}
    for key, value in plain.items():
        try:
            found[_scalar((str,), key)] = read(value)
        except _Unreadable as error:
            raise _Unreadable(error.reason, f".{key}{error.path}") from None
    return found


def _scalar(kinds: tuple[Any, ...], plain: Any) -> Any:
    """Return a scalar that every store of the mesh can keep."""
    kind = type(plain)
    if kind is int and abs(plain) > INT64_MAX:
        raise _Unreadable(f"is an integer of {plain.bit_length()} bits; 63 are the most")
    if kind not in kinds:
        if kind is int and kinds == (float,):
            return float(plain)
        raise _wrong_type(plain)
    if kind is str and not plain.isascii():
        try:
            plain.encode()
        except UnicodeEncodeError:
            raise _Unreadable("has half of a surrogate pair, which is no text") from None
    return plain


def _literal(values: tuple[Any, ...], plain: Any) -> Any:
    if plain in values:
        return plain
    raise _Unreadable(f"is not one of {', '.join(map(repr, values))}")


def _decimal(plain: Any) -> Any:
    if not isinstance(plain, str):
        raise _wrong_type(plain)
    try:
        number = Decimal(plain)
    except InvalidOperation:
        raise _Unreadable("is not a number") from None
    if not number.is_finite():
        raise _Unreadable("is not finite")
    return number


def _enum(kind: type[Enum], plain: Any) -> Enum:
    try:
        return kind(plain)
    except ValueError:
        raise _Unreadable(f"is not a valid {kind.__name__}") from None


def _never(plain: Any) -> Any:
    raise _wrong_type(plain)


def _wrong_type(plain: Any) -> _Unreadable:
    return _Unreadable(f"is {type(plain).__name__}, which is the wrong type")
