"""Reads and writes private files: secrets, passphrases, keystores. Errors never show the content."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from ..model.errors import Misconfigured
from ..model.users import user_name

LARGEST = 64 * 1024
OTHERS = stat.S_IRWXG | stat.S_IRWXO
WRITABLE = stat.S_IWGRP | stat.S_IWOTH


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
    """Return the content of a regular file of this user that only its owner may read and write.

    Raises:
        Misconfigured: the file cannot be read, is too large, belongs to another user, or has a mode wider than 0600.
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
    """Check that a file is private.

    Raises:
        Misconfigured: not a regular file, a file of another user, or a mode wider than 0600.
    """
    if not stat.S_ISREG(seen.st_mode):
        raise Misconfigured(f"{what} {where}", "is not a regular file")
    check_owner(seen, where, what)
    if seen.st_mode & OTHERS:
        mode = stat.S_IMODE(seen.st_mode)
        raise Misconfigured(
            f"{what} {where}", f"has mode {mode:04o}, so other users can read it; run: chmod 600 {where}"
        )


def check_owner(seen: os.stat_result, where: Path, what: str) -> None:
    """Check that a file or folder belongs to this user or to root. Raises Misconfigured: to another user."""
    if seen.st_uid not in (os.geteuid(), 0):
        raise Misconfigured(
            f"{what} {where}",
            f"belongs to user {user_name(seen.st_uid)}, who can change it at any time; make your own, or run: "
            f"chown {user_name(os.geteuid())} {where}",
        )


def check_folder(where: Path, what: str, others: int = OTHERS) -> None:
    """Check that a folder belongs to this user or root, and that its mode has none of the bits `others`.

    Raises:
        Misconfigured: it is missing, is not a folder, belongs to another user, or has a wider mode.
    """
    try:
        seen = os.stat(where)
    except OSError as error:
        raise Misconfigured(f"{what} {where}", f"cannot be read: {error.strerror}") from None
    if not stat.S_ISDIR(seen.st_mode):
        raise Misconfigured(f"{what} {where}", "is not a folder")
    check_owner(seen, where, what)
    if seen.st_mode & others:
        mode, right = stat.S_IMODE(seen.st_mode), "enter" if seen.st_mode & others & ~WRITABLE else "change"
        remedy = "700" if others == OTHERS else "go-w"
        raise Misconfigured(
            f"{what} {where}", f"has mode {mode:04o}, so other users can {right} it; run: chmod {remedy} {where}"
        )


def check_way(folder: Path, what: str) -> None:
    """Check that no other user can rename or replace a folder or one above it.

    Raises:
        Misconfigured: one of them belongs to another user, or others may write in it and it has no sticky bit.
    """
    real = folder.resolve()
    for one in (real, *real.parents):
        try:
            sticky = os.stat(one).st_mode & stat.S_ISVTX
        except OSError as error:
            raise Misconfigured(f"{what} {one}", f"cannot be read: {error.strerror}") from None
        check_folder(one, what, 0 if sticky else WRITABLE)


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
