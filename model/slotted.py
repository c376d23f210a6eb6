"""Frozen, slotted records: their fields at once, and copies with changes. Each order is copied many times. Pure."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

R = TypeVar("R")


@functools.cache
def shape_of(cls: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]], tuple[str, ...]]:
    """Return the names of a record's fields, a function that reads them all, and those that are not plain values."""
    names = tuple(attribute.name for attribute in fields(cls))
    plain = ({"str"}, {"int"}, {"bool"}, {"str", "None"}, {"int", "None"}, {"bool", "None"})
    others = tuple(one.name for one in fields(cls) if set(str(one.type).split(" | ")) not in plain)
    return names, attrgetter(*names), others


@functools.cache
def _setters(cls: Any) -> tuple[Callable[[Any, Any], None], ...]:
    """Return the functions that set the fields of a new record, in their order."""
    return tuple(cls.__dict__[attribute.name].__set__ for attribute in fields(cls))


def replaced(record: R, **changes: Any) -> R:
    """Return a copy of a frozen, slotted record with other values in some fields, in half the time of
    `dataclasses.replace`. `__post_init__` is not called."""
    cls: Any = type(record)
    names, values, _ = shape_of(cls)
    found = dict(zip(names, values(record), strict=True)) | changes
    new: R = object.__new__(cls)
    for put, value in zip(_setters(cls), found.values(), strict=True):
        put(new, value)
    return new
