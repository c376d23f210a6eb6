"""Named points at which a test may kill or stop the process. Without VENUEMESH_FAILPOINT they do nothing."""

import os
import signal
from collections.abc import Callable

VARIABLE = "VENUEMESH_FAILPOINT"
"""`name:n`: SIGKILL this process when it reaches `name` for the n-th time; `name:n:stop`: SIGSTOP instead;
`trace:/path`: append every reached name to the file, one per line; a line is complete even if the process is killed
right after.
Read once, when this module is imported."""


def plan(text: str | None) -> Callable[[str], None] | None:
    """Return the function to call at every failpoint; None for no text. Raises ValueError: the text is malformed."""
    if not text:
        return None
    name, _, rest = text.partition(":")
    if name == "trace" and rest:
        file = os.open(rest, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

        def note(reached: str) -> None:
            os.write(file, f"{reached}\n".encode())

        return note
    count, _, action = rest.partition(":")
    if not name or not count.isdecimal() or int(count) < 1 or action not in ("", "stop"):
        raise ValueError(f"{VARIABLE}={text}: expected name:n, name:n:stop or trace:/path")
    remaining, number = int(count), signal.SIGSTOP if action else signal.SIGKILL

    def count_down(reached: str) -> None:
        nonlocal remaining
        remaining -= reached == name
        if reached == name and remaining == 0:
            os.kill(os.getpid(), number)

    return count_down


_act = plan(os.environ.get(VARIABLE))


def arm(text: str | None) -> None:
    """Use another plan from now on, in this process: see `plan`."""
    global _act
    _act = plan(text)


def is_armed() -> bool:
    """Return whether names of reached points matter; a caller that must work out a name asks first."""
    return _act is not None


def reach(name: str) -> None:
    """Mark that the process reached `name`. Returns at once unless a test set VENUEMESH_FAILPOINT."""
    if _act is not None:
        _act(name)
