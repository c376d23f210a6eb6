"""The folder in which this host's user keeps what outlives a mesh: run files, journals, how far journals have come."""

from __future__ import annotations

import os
from pathlib import Path

from ..model.errors import Misconfigured
from .private import WRITABLE, check_folder

WHAT = "the state folder"


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
