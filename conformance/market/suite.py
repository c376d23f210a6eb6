"""The base of all market data checks: the connector, its samples, and helpers that raise a check's error."""

from __future__ import annotations

import unittest
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from math import isfinite
from types import NoneType
from typing import Any, ClassVar, NoReturn, TypeVar

from ...connectors.market_codec import Codec, Connector
from ...connectors.samples import MarketDataSamples
from ...model.errors import DecodeError, MeshError
from ...model.events import Subscribed, SubscribeRefused
from ...model.fixed import INT64_MAX, read_exact
from ...model.instrument import Instrument
from ...model.shown import few

T = TypeVar("T")
RECV_NS = 1_700_000_000_000_000_000


class Suite:
    """A subclass names a connector and its samples. Each `test_` method is one check and raises AssertionError."""

    connector: ClassVar[Connector]
    samples: ClassVar[MarketDataSamples]

    def codec(self, **options: Any) -> Codec:
        """Return a new codec without bound instruments."""
        return self.connector.codec(**options)

    def listed(self) -> list[Instrument]:
        """The instruments of the sample list."""
        return self.codec().instruments(self.samples.instruments)

    def instrument(self) -> Instrument:
        """The instrument of the sample pair."""
        found = {instrument.name: instrument for instrument in self.listed()}
        expect(self.samples.pair in found, f"the sample list has no {self.samples.pair}; it has {few(sorted(found))}")
        return found[self.samples.pair]

    def bound(self) -> Codec:
        """Return a new codec with the instruments of the sample list."""
        codec = self.codec()
        codec.bind(self.listed())
        return codec


def expect(true: bool, otherwise: str) -> None:
    """Raise AssertionError(`otherwise`) unless `true`."""
    if not true:
        raise AssertionError(otherwise)


def skip(why: str) -> NoReturn:
    """Skip this check, by an exception that pytest and unittest know."""
    raise unittest.SkipTest(why)


def decoded(codec: Codec, frame: bytes) -> Any:
    """Return the single event of a sample frame."""
    try:
        events = codec.decode(frame, RECV_NS)
    except MeshError as error:
        raise AssertionError(f"decode cannot read the sample {excerpt(frame)}: {error}") from error
    expect(len(events) == 1, f"decode returned {len(events)} events, expected 1, for the sample {excerpt(frame)}")
    return events[0]


def reads_or_refuses(what: str, read: Any, message: bytes) -> Any:
    """Return `read()`, or None when it raises DecodeError; any other exception fails the check."""
    try:
        found = read()
    except DecodeError as error:
        expect(
            error.excerpt is None or len(error.excerpt) <= 200,
            f"{what}: the excerpt of DecodeError has {len(error.excerpt or '')} characters; at most 200 are allowed",
        )
        return None
    except Exception as error:
        raise AssertionError(
            f"{what} must raise DecodeError for a message that it cannot read; it raised {error!r} for "
            f"{excerpt(message)}"
        ) from error
    expect_bounded(what, found, message)
    return found


def expect_bounded(what: str, found: Any, message: bytes) -> None:
    """Raise AssertionError if what was read has a number that is not finite or has over 40 digits before or after the
    point, or a key of a message that is neither text nor an integer."""
    for value in _parts(found):
        if isinstance(value, Decimal):
            try:
                read_exact(value)
            except ValueError as error:
                raise AssertionError(f"{what} reads a number that {error}: {excerpt(message)}") from None
        elif isinstance(value, int):
            expect(abs(value) <= INT64_MAX, f"{what} reads an integer of {value.bit_length()} bits: {excerpt(message)}")
        elif isinstance(value, float):
            expect(isfinite(value), f"{what} reads the number {value} in {excerpt(message)}")
        elif isinstance(value, Subscribed | SubscribeRefused):
            expect(
                type(value.key) in (int, str, NoneType),
                f"{what} reads the key {value.key!r} in {excerpt(message)}; a key is text or an integer",
            )


def _parts(value: Any) -> Iterator[Any]:
    """Yield a value and everything in it."""
    yield value
    if is_dataclass(value) and not isinstance(value, type):
        inside: Iterable[Any] = (getattr(value, one.name) for one in fields(value))
    elif isinstance(value, Mapping):
        inside = value.values()
    else:
        inside = value if isinstance(value, list | tuple) else ()
    for part in inside:
        yield from _parts(part)


def excerpt(message: bytes) -> str:
    """Return the first 160 bytes of a message as readable text."""
    return repr(bytes(message[:160])) + ("..." if len(message) > 160 else "")
