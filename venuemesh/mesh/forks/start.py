#!PYTHON
"""The Python that `forking` gives to Ray: requests a fork for a worker, and runs anything else as Python does.

`forking` fills in the interpreter and the socket. Its Python imports no packages, so it starts in a few milliseconds;
it ends when the worker ends, with the worker's exit status.
"""

import array
import contextlib
import json
import os
import socket
import sys

REAL, SERVER = "PYTHON", "SOCKET"
WORKER = "default_worker.py"
FILES = array.array("i", [0, 1, 2])


def fork(arguments: list[str]) -> int | None:
    """Run the worker as a fork; return its exit status. None: there is no server, so nothing was run."""
    with socket.socket(socket.AF_UNIX) as connection:
        wanted = {
            "arguments": arguments,
            "environment": dict(os.environ),
            "folder": os.getcwd(),
            "nice": os.nice(0),
        }
        try:
            connection.connect(SERVER)
            connection.sendmsg([json.dumps(wanted).encode() + b"\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, FILES)])
            forked = connection.recv(1)
        except OSError:
            return None
        if not forked:
            return None
        status = b""
        with contextlib.suppress(OSError):
            status = connection.recv(64)
    return abs(int(status)) if status else 1


def main() -> int:
    arguments = sys.argv[1:]
    script = next((i for i, one in enumerate(arguments) if os.path.basename(one) == WORKER), None)
    if script is not None:
        status = fork(arguments[script:])
        if status is not None:
            return status
    os.execv(REAL, [REAL, *arguments])


if __name__ == "__main__":
    sys.exit(main())
