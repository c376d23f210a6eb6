"""Changes the structure of a message: one value of JSON or msgpack is replaced, removed, repeated or moved.

A fuzzer of bytes alone spends most of its time on messages that are not JSON.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import msgpack
import orjson

from venuemesh.conformance.market.mutations import TWISTED

from .reader import Form

WORDS = ("\0", "\ud800", "\u202e", "é", "0", "-0", "1e5", "00", "0.0", " 1", "true", "null", "9" * 19, "a" * 300, "\n")
NUMBERS = (0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63))


def mutated(data: bytes, form: Form, head: int, chance: random.Random) -> bytes | None:
    """Return a message with one to three changes of its structure; None if it has none. `head` bytes stay."""
    load, dump = (msgpack_load, msgpack.packb) if form is Form.MSGPACK else (orjson.loads, orjson_dump)
    try:
        value = load(data[head:])
    except (ValueError, RecursionError, TypeError):
        return None
    for _ in range(chance.randint(1, 3)):
        value = changed(value, chance)
    try:
        return data[:head] + dump(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def msgpack_load(data: bytes) -> Any:
    return msgpack.unpackb(data, strict_map_key=False)


def orjson_dump(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # half of a surrogate pair, or a number that is too large: JSON can write both
        return json.dumps(value, default=lambda other: None).encode()


def changed(value: Any, chance: random.Random) -> Any:
    """Return a value with one of its parts changed."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        return _in_dict(dict(value), key, chance)
    if isinstance(value, (list, tuple)) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        return _in_list(list(value), at, chance)
    return other(value, chance)


def _in_dict(value: dict[Any, Any], key: Any, chance: random.Random) -> dict[Any, Any]:
    match chance.randrange(8):
        case 0:
            del value[key]
        case 1:
            value[chance.choice(list(value))] = value[key]
        case 2:
            value[str(other(key, chance))] = value.pop(key)
        case _:
            value[key] = changed(value[key], chance)
    return {key if isinstance(key, (str, int)) else str(key): inner for key, inner in value.items()}


def _in_list(value: list[Any], at: int, chance: random.Random) -> list[Any]:
    match chance.randrange(8):
        case 0:
            del value[at]
        case 1:
            value.insert(at, value[at])
        case 2:
            value.append(value[at])
        case 3:
            to = chance.randrange(len(value))
            value[at], value[to] = value[to], value[at]
        case _:
            value[at] = changed(value[at], chance)
    return value


def other(value: Any, chance: random.Random) -> Any:
    """Return another value: a near one of the same type, or one of another type."""
    near: list[Callable[[], Any]] = []
    if isinstance(value, str) and value:
        at = chance.randrange(len(value))
        near = [
            lambda: value[:at] + chance.choice(WORDS) + value[at:],
            lambda: value[:at] + value[at + 1 :],
            lambda: value[:at] + chance.choice("0123456789.-eE ") + value[at + 1 :],
            lambda: "-" + value,
            lambda: value + "0" * 30,
        ]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        near = [lambda: -value, lambda: value + chance.choice((1, -1, 1000)), lambda: str(value), lambda: value * 10**6]
    if near and chance.random() < 0.6:
        return chance.choice(near)()
    return chance.choice((*TWISTED, *WORDS, *NUMBERS))
