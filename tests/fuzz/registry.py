"""All readers of foreign bytes, in groups; one process fuzzes one group.

An input of a group is one byte, which chooses the reader, and the bytes that it reads.
"""

from __future__ import annotations

from collections.abc import Callable

from venuemesh.conformance.market.mutations import JUNK

from . import exchanges, processes
from .processes import Scene
from .reader import Reader

DEEP = (
    b"[" * 1_000 + b"]" * 1_000,
    b'{"a":' * 1_000 + b"1" + b"}" * 1_000,
    b"[" * 100_000,
    b"\x91" * 1_000 + b"\x01",  # msgpack
    b"\x81\xa1a" * 1_000 + b"\x01",
    b"a = " + b"[" * 1_000 + b"]" * 1_000,  # TOML
    b"a = " + b"{a = " * 1_000 + b"1" + b"}" * 1_000,
    b"9" * 5_000,
    b"1e999999999",
    b"0." + b"0" * 5_000 + b"1",
    b"\xff" * 64,
    b'"\\ud800"',
)


def groups() -> dict[str, Callable[[Scene], list[Reader]]]:
    """Return what makes the readers of each group: one group per codec of exchanges, near calls, files."""
    found: dict[str, Callable[[Scene], list[Reader]]] = {
        name: lambda scene, name=name: exchanges.readers(name)  # type: ignore[misc]
        for name in exchanges.kinds()
    }
    found["near"] = lambda scene: list(processes.near_readers())
    found["files"] = lambda scene: list(processes.file_readers(scene))
    return found


def chosen(readers: list[Reader], data: bytes) -> tuple[Reader, bytes]:
    """Return the reader that an input of the group chooses, and the bytes for it."""
    return readers[data[0] % len(readers)] if data else readers[0], data[1:]


def inputs(reader: Reader) -> list[bytes]:
    """Return the seeds of a reader, and what no fuzzer finds soon: deep nesting, endless numbers, other formats."""
    head = reader.seeds[0][: reader.head]
    return [*reader.seeds, *(head + junk for junk in (*JUNK, *DEEP))]


def seeds(readers: list[Reader]) -> list[bytes]:
    """Return the first inputs of all readers as inputs of their group."""
    return [bytes([number]) + one for number, reader in enumerate(readers) for one in inputs(reader)]
