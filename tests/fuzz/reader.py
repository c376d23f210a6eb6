"""One reader of foreign bytes as a target: how it reads, how it may refuse, and what must hold of what it returns."""

from __future__ import annotations

import pickle
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from venuemesh.conformance.market.suite import expect_bounded
from venuemesh.model.errors import DataError, MeshError

LONGEST_TEXT = 4_000  # characters of an error's text: it goes to a log and to a terminal
SLOW_S = 0.25  # of processor time for one input of a few kilobytes


class Form(Enum):
    """The form of a reader's input; the mutator changes the structure of the input, not only its bytes."""

    JSON = "json"
    MSGPACK = "msgpack"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Reader:
    """`read` takes any bytes. It returns, or raises one of `refuses`; anything else is a finding.

    `numbers`: every number that it returns must be finite, and of at most 40 digits. `repeats`: a second reading of the
    same bytes must return the same; not for a reader with a memory. `head`: bytes before the message, such as a status.
    `stored`: its texts go to the journal, so they have no NUL.
    """

    name: str
    read: Callable[[bytes], Any]
    seeds: tuple[bytes, ...]
    refuses: tuple[type[BaseException], ...] = (DataError,)
    form: Form = Form.JSON
    numbers: bool = True
    repeats: bool = True
    head: int = 0
    stored: bool = False


class Finding(AssertionError):
    """What a reader did that it must not do. `key` is the same for inputs that meet the same fault."""

    def __init__(self, reader: str, key: str, text: str) -> None:
        super().__init__(f"{reader}: {text}")
        self.reader, self.key, self.text = reader, f"{reader} {key}", text


def check(reader: Reader, data: bytes) -> bool:
    """Read one input; return whether the reader accepted it. Raises Finding."""
    began = time.thread_time()
    outcome = _outcome(reader, data)
    if time.thread_time() - began > SLOW_S:
        began = time.thread_time()
        _outcome(reader, data)  # the first time may include an import or a collection
        if (spent_s := time.thread_time() - began) > SLOW_S:
            raise Finding(reader.name, "slow", f"takes {spent_s:.2f} s of processor time for {len(data)} bytes")
    if reader.repeats and zlib.crc32(data) % 4 == 0:
        again = _outcome(reader, data)
        if plain(again) != plain(outcome):
            raise Finding(reader.name, "repeat", f"reads {plain(outcome)!r:.300}, and then {plain(again)!r:.300}")
    return not isinstance(outcome, BaseException)


def _outcome(reader: Reader, data: bytes) -> Any:
    try:
        found = reader.read(data)
    except reader.refuses as error:
        _check_error(reader, error)
        return error
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        raise Finding(reader.name, f"{type(error).__name__} {_place(error)}", _described(error)) from error
    _check_texts(reader, found)
    if reader.numbers:
        try:
            expect_bounded(reader.name, found, data)
        except AssertionError as error:
            raise Finding(reader.name, "unbounded", str(error)) from error
    return found


def _check_error(reader: Reader, error: BaseException) -> None:
    text = str(error)
    _check_texts(reader, error.args)
    if len(text) > LONGEST_TEXT:
        raise Finding(reader.name, "long error", f"refuses with a text of {len(text)} characters")
    if isinstance(error, MeshError):
        try:
            kept = pickle.loads(pickle.dumps(error))
        except Exception as wrong:
            raise Finding(reader.name, "pickle", f"{type(error).__name__} does not pickle: {wrong!r}") from wrong
        if type(kept) is not type(error):
            raise Finding(reader.name, "pickle", f"{type(error).__name__} becomes {type(kept).__name__}")


def _check_texts(reader: Reader, found: Any) -> None:
    for text in _texts(found):
        if reader.stored and "\0" in text:
            raise Finding(reader.name, "NUL", f"reads text that PostgreSQL cannot store: {text!r:.200}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Finding(
                reader.name, "surrogate", f"reads text that cannot be stored or sent: {text!r:.200}"
            ) from error


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from _texts(getattr(value, one.name))


def plain(value: Any) -> Any:
    """Return a value that compares: arrays as lists, errors by type and fields."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, BaseException):
        return type(value).__name__, str(value)
    if isinstance(value, float) and value != value:
        return "not a number"
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, [plain(getattr(value, one.name)) for one in fields(value)]
    return value


def _described(error: BaseException) -> str:
    return f"raises {type(error).__name__}: {error!s:.300} at {_place(error)}"


def _place(error: BaseException) -> str:
    """Return the last line of our code that the error passed."""
    found, trace = "?", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "/tests/" not in name and "site-packages" not in name and "/lib/python" not in name:
            found = f"{'/'.join(name.split('/')[-3:])}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
