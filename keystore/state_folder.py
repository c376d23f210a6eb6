"""The folder in which this host's user keeps what outlives a mesh: run files, journals, how far journals have come."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

from ..model.errors import Misconfigured
from .private import WRITABLE, check_folder

WHAT = "the state folder"
HOST_ID = "host-id"  # the file with this host's part of its identity


def state_folder() -> Path:
    """Return the folder: $XDG_STATE_HOME/venuemesh, or ~/.local/state/venuemesh."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "venuemesh"


def make_state_folder(below: str = "") -> Path:
    """Return the folder, or the folder of that name below it; create it if it is missing.

    Raises:
        Misconfigured: it cannot be created, or other users can change it.
    """
    folder = state_folder() / below
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Misconfigured(str(folder), f"cannot be created: {error.strerror or error}") from error
    for one in {state_folder(), folder}:
        check_folder(one, WHAT, WRITABLE)
    return folder


def host_identity() -> str:
    """Return what identifies this host across restarts of Ray: its name, and an id in the state folder.

    The id distinguishes hosts that have one name, such as copies of an image; the name distinguishes hosts that share a
    home folder. The id is made at the first call.

    Raises:
        Misconfigured: the id cannot be read or written.
    """
    path = make_state_folder() / HOST_ID
    try:
        if not path.exists():
            _make_id(path)
        found = path.read_text(encoding="ascii").strip()
        if not found:
            raise ValueError("it is empty; remove it")
    except (OSError, ValueError) as error:
        raise Misconfigured(str(path), f"the id of this host cannot be read or written: {error}") from error
    return f"{socket.gethostname()}/{found}"


def _make_id(path: Path) -> None:
    """Make the file of an id whole, unless another process of this host makes it first."""
    own = path.with_name(f".{HOST_ID}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(8))
    try:
        os.link(own, path)
    except FileExistsError:
        pass  # the other process's id is this host's
    finally:
        own.unlink()
