"""Names of segment files, and checks of their directories.

A segment of address `book/acme/BTC-USDT` and incarnation (3, 17) is the file `book~acme~BTC-USDT@3.17`.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from ...model.errors import Misconfigured
from ...model.users import user_name

Incarnation = tuple[int, int]

_ESCAPED = {"%": "%25", "~": "%7E", "@": "%40"}
_NAME = re.compile(r"(?P<address>[^@/]+)@(?P<epoch>0|[1-9][0-9]{0,17})\.(?P<counter>0|[1-9][0-9]{0,17})", re.ASCII)
_LONGEST_NAME = 240


def segment_name(address: str, incarnation: Incarnation) -> str:
    """Return the file name of a segment.

    Raises:
        Misconfigured: the address cannot be a file name (empty, too long, with a NUL), or the incarnation is negative.
    """
    epoch, counter = incarnation
    text = "".join(_ESCAPED.get(c, c) for c in address).replace("/", "~")
    if text.startswith("."):
        text = "%2E" + text[1:]
    name = f"{text}@{epoch}.{counter}"
    if not address or "\0" in address or epoch < 0 or counter < 0 or len(name.encode()) > _LONGEST_NAME:
        raise Misconfigured(f"segment of {address[:80]!r}", f"incarnation {incarnation}: cannot be a file name")
    return name


def parse_name(name: str) -> tuple[str, Incarnation] | None:
    """Return (address, incarnation) of a segment's file name; None for any other name."""
    match = _NAME.fullmatch(name)
    if match is None or name.startswith("."):
        return None
    address = match["address"].replace("~", "/")
    for character, escape in (("@", "%40"), ("~", "%7E"), (".", "%2E"), ("%", "%25")):
        address = address.replace(escape, character)
    return address, (int(match["epoch"]), int(match["counter"]))


_OTHER_WAY = "; remove it, or set VENUEMESH_SEGMENTS to a folder of yours, for every process of the mesh and its users"


def private_directory(path: Path) -> Path:
    """Return `path`, a directory that only its owner, this user, can enter. Make it (mode 0700) when it is missing.

    Raises:
        Misconfigured: the path is a symbolic link or not a directory, belongs to another user, is open to group or
            others, or cannot be created.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass  # checked below, even if another process made it
    except OSError as error:
        raise Misconfigured(f"segment directory {path}", f"cannot be created: {error.strerror}") from error
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        raise Misconfigured(f"segment directory {path}", f"is a symbolic link{_OTHER_WAY}")
    if not stat.S_ISDIR(found.st_mode):
        raise Misconfigured(f"segment directory {path}", f"is not a directory{_OTHER_WAY}")
    if found.st_uid != os.geteuid():
        owner, own = user_name(found.st_uid), user_name(os.geteuid())
        raise Misconfigured(f"segment directory {path}", f"belongs to user {owner}, not to {own}{_OTHER_WAY}")
    if found.st_mode & 0o077:
        raise Misconfigured(
            f"segment directory {path}",
            f"is open to other users (mode {stat.S_IMODE(found.st_mode):04o}); run: chmod 700 {path}",
        )
    return path
