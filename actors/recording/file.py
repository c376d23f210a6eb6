"""The format of recordings: compressed JSON lines, readable up to the point where a kill or a full disk cut them.

One line is one object: `t` arrival time (Unix seconds; written with nine decimals, null where not recorded), `kind`
(`connect`, `send`, `recv`, `http`), `url` where known, and `raw`, the text exactly as received, or `raw_b64` for bytes
that are not UTF-8. The reader takes `.jsonl`, `.jsonl.gz` and `.jsonl.zst`. The writer makes zstd, one complete zstd
frame per block, and hands each block to the operating system at once, so that a kill loses at most the last block.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import orjson
import zstandard

from ...model.errors import CaptureError, Misconfigured

CHUNK_BYTES = 1 << 18
FED_BYTES = 1 << 12  # compressed bytes per step: four of them may become 128 KiB of text
LINE_LIMIT_BYTES = 96 << 20  # of a body of 64 MiB as base64; a file with a longer line is not a recording
MOST_BLANK = 1_000_000  # a file with more empty lines is not a recording
BLOCK_BYTES = 1 << 20  # uncompressed bytes per block
_TIME = re.compile(rb'\s*\{\s*"t"\s*:\s*(\d{1,10})(?:\.(\d{1,9}))?\s*,')


@dataclass(frozen=True, slots=True)
class Record:
    """One recorded message. `recv_ns` is 0 if the recording has no time; `line` counts from 1."""

    recv_ns: int
    kind: str
    url: str
    raw: bytes
    line: int


class _Inflater(Protocol):
    """The common interface of the decompressors of zlib and zstandard."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _inflater(path: Path, head: bytes) -> _Inflater | None:
    """Choose the decompressor by the first bytes, not by the file name; None for plain text."""
    if head.startswith(b"\x1f\x8b"):
        gzip: Any = zlib.decompressobj(31)
        return gzip  # type: ignore[no-any-return]
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        zstd: Any = zstandard.ZstdDecompressor().decompressobj()
        return zstd  # type: ignore[no-any-return]
    if path.suffix in (".gz", ".zst") and head:
        raise CaptureError(str(path), "byte 0", f"not a {path.suffix[1:]} file")
    return None


def _pieces(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """Yield uncompressed text in pieces of at most 256 KiB. Raises as `_chunks`."""
    for chunk in _chunks(path, file):
        for start in range(0, len(chunk), CHUNK_BYTES):
            yield chunk[start : start + CHUNK_BYTES]


def _chunks(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """Yield uncompressed text in chunks of at most 128 MiB. Raises CaptureError where the file ends inside a compressed
    frame."""
    data = file.read(FED_BYTES)
    inflater = _inflater(path, data[:4])
    if inflater is None:
        while data:
            yield data
            data = file.read(CHUNK_BYTES)
        return
    start = 0  # start of the compressed frame being read
    position = len(data)
    while True:
        try:
            text = inflater.decompress(data)
        except (zlib.error, zstandard.ZstdError) as error:
            raise CaptureError(str(path), f"compressed frame at byte {start}", f"damaged: {error}") from error
        if text:
            yield text
        data = b""
        if inflater.eof:
            data = inflater.unused_data
        if not data:
            data = file.read(FED_BYTES)
            position += len(data)
            if not data:
                break
        if inflater.eof:
            start = position - len(data)
            if len(data) < 4:
                more = file.read(FED_BYTES)
                data, position = data + more, position + len(more)
            inflater = _inflater(path, data[:4]) or _damaged(path, start)
    if not inflater.eof:
        raise CaptureError(str(path), f"compressed frame at byte {start}", f"cut off at byte {position}")


def _damaged(path: Path, start: int) -> _Inflater:
    raise CaptureError(str(path), f"byte {start}", "not a compressed frame")


def read(path: Path | str) -> Iterator[Record]:
    """Yield the records of one file, in order, in bounded memory.

    Raises:
        CaptureError: the file is cut off or damaged (raised after yielding all intact records before the damage), or it
            has no record.
        Misconfigured: the file does not exist or cannot be opened.
    """
    path = Path(path)
    number = given = 0
    rest: list[bytes] = []  # of a line, so far
    rest_bytes = 0
    cut: CaptureError | None = None
    try:
        with path.open("rb") as file:
            try:
                for piece in _pieces(path, file):
                    lines = piece.split(b"\n")
                    if len(lines) == 1:
                        rest.append(piece)
                        rest_bytes += len(piece)
                        if rest_bytes > LINE_LIMIT_BYTES:
                            raise CaptureError(str(path), f"line {number + 1}", "too long for a recording")
                        continue
                    lines[0] = b"".join((*rest, lines[0]))
                    rest = [lines.pop()]
                    rest_bytes = len(rest[0])
                    for line in lines:
                        number += 1
                        if line.strip():
                            yield _record(path, number, line)
                            given += 1
                        elif number - given > MOST_BLANK:
                            raise CaptureError(str(path), f"line {number}", f"over {MOST_BLANK} lines are empty")
            except CaptureError as error:
                cut = error
    except OSError as error:
        raise Misconfigured(str(path), error.strerror or str(error)) from error
    if cut is not None:
        where = f"after line {number}" if not cut.where.startswith("line") else cut.where
        raise CaptureError(str(path), where, cut.reason if where == cut.where else f"{cut.where} {cut.reason}")
    last = b"".join(rest)
    if last.strip():
        yield _record(path, number + 1, last)
    elif not given:
        raise CaptureError(str(path), "byte 0", "has no record")


def _record(path: Path, number: int, line: bytes) -> Record:
    try:
        plain = orjson.loads(line)
        kind, url = plain["kind"], plain.get("url") or ""
        coded = plain.get("raw_b64")
        raw = plain.get("raw", "").encode() if coded is None else base64.b64decode(coded, validate=True)
        if not isinstance(kind, str) or not isinstance(url, str):
            raise TypeError("kind and url must be text")
        return Record(_time_ns(plain.get("t"), line), kind, url, raw, number)
    except (orjson.JSONDecodeError, binascii.Error, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CaptureError(str(path), f"line {number}", f"not a record: {error}") from error


def _time_ns(value: Any, line: bytes) -> int:
    if value is None:
        return 0
    exact = _TIME.match(line)  # a float of seconds loses nanoseconds
    if exact is not None:
        return int(exact[1]) * 10**9 + int((exact[2] or b"0").ljust(9, b"0"))
    return round(float(value) * 1e9)


class CaptureWriter:
    """Writes one recording. Not thread safe. Call `flush` about every second: a kill loses the records after it.

    After a failed write (disk full, ...) the waiting records are dropped, every further `add` raises the same error,
    and `close` closes without an error.
    """

    def __init__(
        self,
        path: Path | str,
        block_bytes: int = BLOCK_BYTES,
        *,
        create: Callable[[Path], BinaryIO] = lambda path: path.open("xb", buffering=0),
    ) -> None:
        """Create the file. Raises Misconfigured: the file exists; a recording is never overwritten.

        `create` opens the new file for unbuffered writing.
        """
        self.path = Path(path)
        self.records = 0
        self.written_bytes = 0
        self._block_bytes = block_bytes
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        self._failure: CaptureError | None = None
        self._compressor = zstandard.ZstdCompressor(level=6)
        try:
            self._file = create(self.path)
        except OSError as error:
            raise Misconfigured(str(self.path), error.strerror or str(error)) from error

    def add(self, recv_ns: int, kind: str, raw: bytes, url: str = "") -> None:
        """Append a record; `recv_ns` is the time of arrival in ns since the Unix epoch. Raises as `flush`."""
        if self._failure is not None:
            raise self._failure
        seconds, rest = divmod(recv_ns, 10**9)
        head = f'{{"t": {seconds}.{rest:09d}, "kind": '.encode() + orjson.dumps(kind)
        if url:
            head += b', "url": ' + orjson.dumps(url)
        try:
            body = b', "raw": ' + orjson.dumps(raw.decode())
        except UnicodeDecodeError:
            body = b', "raw_b64": "' + base64.b64encode(raw) + b'"'
        line = head + body + b"}\n"
        self._lines.append(line)
        self.records += 1
        self._waiting_bytes += len(line)
        if self._waiting_bytes >= self._block_bytes:
            self.flush()

    def flush(self) -> None:
        """Write the added records to the operating system as one complete zstd frame.

        Raises:
            CaptureError: the write failed (disk full, file too large, ...); the file has everything flushed before.
        """
        if not self._lines:
            return
        block = memoryview(self._compressor.compress(b"".join(self._lines)))
        self._lines.clear()
        self._waiting_bytes = 0
        try:
            while block:
                block = block[self._file.write(block) or 0 :]
            self.written_bytes = self._file.tell()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Flush and close. Idempotent. Raises as `flush`; the file is closed also in that case."""
        if self._file.closed:
            return
        try:
            self.flush()
        finally:
            try:
                self._file.close()
            except OSError as error:  # some file systems report a failed write only now
                raise self._failed(error) from error

    def _failed(self, error: OSError) -> CaptureError:
        where = f"after byte {self.written_bytes}"
        self._failure = CaptureError(str(self.path), where, f"cannot be written: {error.strerror or error}")
        return self._failure
