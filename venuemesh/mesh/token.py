"""Ray's authentication token. Anyone who has it runs code as the user of the cluster, so it is private or refused.

Ray writes a missing token with the user's umask, which lets other users read it. So it is written here before Ray looks
for it. A token that others could read is refused even when its mode is mended: they may have read it.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from ..keystore.private import OTHERS, WRITABLE, check_folder, check_private, expand
from ..model.errors import Misconfigured

MODE, TOKEN, TOKEN_FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
WHAT = "Ray's token"
BYTES = 32


def own_file() -> Path:
    """Return the file of the token unless the environment has another."""
    return expand("~/.ray/auth_token")


def make_token() -> None:
    """Make a private token for a new cluster, unless there is one; check the one there is.

    Raises:
        Misconfigured: token authentication is off, other users can read or change the token, or it cannot be written.
    """
    mode = os.environ.get(MODE, "token")
    if mode.lower() != "token":
        raise Misconfigured(f"{MODE}={mode}", f"any user of this host could run code as you; unset {MODE}")
    if os.environ.get(TOKEN):
        return  # only this user sees the environment of a process
    if TOKEN_FILE not in os.environ:
        try:
            _write(own_file())
        except OSError as error:
            raise Misconfigured(f"{WHAT} {own_file()}", f"cannot be written: {error.strerror}") from error
    elif not Path(os.environ[TOKEN_FILE]).exists():
        raise Misconfigured(f"{WHAT} {os.environ[TOKEN_FILE]}", f"does not exist; write it, or unset {TOKEN_FILE}")
    check_token()


def check_token() -> None:
    """Check that the file of the token, if there is one, is private, and that only this user can replace it.

    Raises:
        Misconfigured: it is not.
    """
    if os.environ.get(TOKEN):
        return
    configured = os.environ.get(TOKEN_FILE)
    path = Path(configured) if configured else own_file()
    if not path.exists():
        return
    check_folder(path.parent, f"the folder of {WHAT}", WRITABLE if configured else OTHERS)
    seen = path.stat()
    if seen.st_mode & OTHERS and stat.S_ISREG(seen.st_mode):
        raise Misconfigured(
            f"{WHAT} {path}",
            f"has mode {stat.S_IMODE(seen.st_mode):04o}: other users may have read it, and who has it runs code as "
            f"you; end the clusters that use it and run: rm {path} (the next start of a mesh makes a new one)",
        )
    check_private(seen, path, WHAT)


def _write(path: Path) -> None:
    """Write a token (mode 0600, in a folder of mode 0700) unless there is a file; it appears complete or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        return
    check_folder(path.parent, f"the folder of {WHAT}")
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".auth_token.")  # mode 0600
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(BYTES))
        with suppress(FileExistsError):  # another start was faster
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
