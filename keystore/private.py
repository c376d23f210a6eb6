"""Reads and writes private files: secrets, passphrases, keystores. Errors never show the content."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from ..model.errors import Misconfigured

LARGEST = 64 * 1024
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def expand(path: str | Path) -> Path:
    """Return the path on this node: a leading `~` is the home directory of the user that runs this process.

    Raises:
        Misconfigured: the home directory is unknown.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise Misconfigured(str(path), f"cannot be found: {error}") from None


def read_private(path: str | Path, what: str, largest: int = LARGEST) -> bytes:
    """Return the content of a regular file that only its owner may read and write.

    Raises:
        Misconfigured: the file cannot be read, is too large, or has a mode wider than 0600.
    """
    where = expand(path)
    try:
        descriptor = os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a FIFO must not block
    except OSError as error:
        raise Misconfigured(f"{what} {where}", f"cannot be read: {error.strerror}") from None
    try:
        check_private(os.fstat(descriptor), where, what)
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise Misconfigured(f"{what} {where}", f"cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(content) > largest:
        raise Misconfigured(f"{what} {where}", f"is larger than {largest} bytes")
    return content


def check_private(seen: os.stat_result, where: Path, what: str) -> None:
    """Check that a file is private. Raises Misconfigured: not a regular file, or a mode wider than 0600."""
    if not stat.S_ISREG(seen.st_mode):
        raise Misconfigured(f"{what} {where}", "is not a regular file")
    if seen.st_mode & OTHERS:
        mode = stat.S_IMODE(seen.st_mode)
        raise Misconfigured(
            f"{what} {where}", f"has mode {mode:04o}, so other users can read it; run: chmod 600 {where}"
        )


def read_line(path: str | Path, what: str) -> str:
    """Return the text of a private file without the line end that editors add.

    Raises:
        Misconfigured: as `read_private`; or the file is empty, or not UTF-8.
    """
    try:
        text = read_private(path, what).decode()
    except UnicodeDecodeError:
        raise Misconfigured(f"{what} {expand(path)}", "is not text in UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise Misconfigured(f"{what} {expand(path)}", "is empty")
    return text


def write_private(path: Path, content: bytes) -> None:
    """Replace the file (mode 0600) in one step: at any time the path has the complete old or new file.

    Raises:
        OSError: nothing was replaced.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
