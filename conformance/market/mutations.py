"""Damaged messages: truncated, with changed bytes, or with missing or wrong fields. All choices are seeded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import orjson

ABSURD: tuple[Any, ...] = (  # numbers that take all memory, or no memory has
    "1e99999999",
    "9" * 60,
    "0." + "0" * 59 + "1",
    orjson.Fragment(b"1e99999999"),
    orjson.Fragment(b"1e-99999999"),
    orjson.Fragment(b"9" * 5000),
    orjson.Fragment(b"1.5e308"),
)
TWISTED: tuple[Any, ...] = (
    *(None, True, -1, 2**63, 1.5, "", "x", "NaN", "-1", "1e999", [], [[]], {}, {"x": 1}),
    *ABSURD,
)
JUNK: tuple[bytes, ...] = (
    b"",
    b" ",
    b"{",
    b"[",
    b"null",
    b"7",
    b'"text"',
    b"NaN",
    b"\x00",
    b"\xff\xfe\xfd",
    b"\x1f\x8b\x08\x00",
    b"<html>502 Bad Gateway</html>",
    b'{"a":' * 40,
    b"[" * 4000,
)


def truncated(message: bytes, most: int = 300) -> Iterator[bytes]:
    """Yield prefixes of a message, shorter than the message: every prefix, or about `most`, spread evenly."""
    step = max(1, -(-len(message) // most))
    yield from (message[:end] for end in range(0, len(message), step))


def flipped(message: bytes, seed: int, count: int = 200) -> Iterator[bytes]:
    """Yield the message with one to three bytes replaced, removed, doubled or inserted."""
    chance = random.Random(seed)
    for _ in range(count):
        changed = bytearray(message)
        for _ in range(chance.randint(1, 3)):
            if not changed:
                break
            at = chance.randrange(len(changed))
            match chance.randrange(4):
                case 0:
                    changed[at] = chance.choice(b'0129.-+eE"[]{},: \\\x00\xff')
                case 1:
                    del changed[at]
                case 2:
                    changed.insert(at, changed[at])
                case _:
                    changed[at] ^= 1 << chance.randrange(8)
        yield bytes(changed)


def without_a_field(message: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name of each field and the JSON message without that field; nothing for other formats."""
    for path, changed in _without(_parsed(message)):
        yield path, orjson.dumps(changed)


def twisted(message: bytes) -> Iterator[bytes]:
    """Yield the JSON message with one value replaced by a value of another type, for each value; nothing for other
    formats."""
    yield from (orjson.dumps(changed) for changed in _twisted(_parsed(message)))


def _parsed(message: bytes) -> Any:
    try:
        return orjson.loads(message)
    except orjson.JSONDecodeError:
        return None


def _without(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key in value:
            rest = {name: held for name, held in value.items() if name != key}
            yield key, rest
            for name, changed in _without(value[key]):
                yield name, {**value, key: changed}
    elif isinstance(value, list):
        for at, held in enumerate(value[:2]):
            for name, changed in _without(held):
                yield name, [*value[:at], changed, *value[at + 1 :]]


def _twisted(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, held in value.items():
            yield from ({**value, key: other} for other in _instead(held))
            yield from ({**value, key: changed} for changed in _twisted(held))
    elif isinstance(value, list):
        for at, held in enumerate(value[:2]):
            yield from ([*value[:at], other, *value[at + 1 :]] for other in _instead(held))
            yield from ([*value[:at], changed, *value[at + 1 :]] for changed in _twisted(held))


def _instead(held: Any) -> Iterator[Any]:
    for other in TWISTED:
        if type(other) is not type(held) or other != held:
            yield other
