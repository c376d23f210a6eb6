"""Ray's authentication token. Anyone who has it runs code as the user of the cluster, so it is private or refused.

Ray writes a missing token with the user's umask, which lets other users read it. So it is written here before Ray looks
for it. A token that others could read is refused even when its mode is mended: they may have read it.
"""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from ..keystore.private import OTHERS, WRITABLE, check_folder, check_private, expand
from ..model.errors import Misconfigured

MODE, TOKEN, TOKEN_FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
WHAT = "Ray's token"
BYTES = 32
PROBE_S = 30.0
LET_IN, REFUSED = 0, 3  # exit codes of a process that asks the GCS without a token
PROBE = f"""
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).internal_kv_exists(b"token", None, timeout=10)
except AuthenticationError:
    sys.exit({REFUSED})
"""


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


def check_required(address: str, keys: str) -> None:
    """Check that the Ray cluster at `address` refuses a process without the token. Takes about half a second.

    A process without a token could run code there as the user of the mesh, and read `keys` (named in the error).

    Raises:
        Misconfigured: the cluster lets everyone in, or it cannot be found out whether it does.
    """
    kept = {name: value for name, value in os.environ.items() if name not in (TOKEN, TOKEN_FILE)}
    try:
        asked = subprocess.run(
            [sys.executable, "-c", PROBE, address],
            env=kept | {MODE: "disabled"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_S,
        )
    except subprocess.TimeoutExpired as error:
        raise Misconfigured(
            f"Ray at {address}", f"does not show within {PROBE_S:g} s whether it has a token"
        ) from error
    if asked.returncode == REFUSED:
        return
    if asked.returncode == LET_IN:
        raise Misconfigured(
            f"Ray at {address}",
            f"has no token authentication: anyone who reaches its ports runs code as you and reads the keys of {keys}; "
            f"start Ray with {MODE}=token on every host (docs/cluster.md)",
        )
    reason = (asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"])[-1]
    raise Misconfigured(f"Ray at {address}", f"does not show whether it has a token: {reason}")


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
