#!PYTHON
"""The Python of `forking_python`: ask the fork server for a worker of Ray, and run everything else as Python does."""

import array
import json
import os
import socket
import sys

REAL, SERVER = "PYTHON", "SOCKET"
WORKER = "default_worker.py"
FILES = array.array("i", [0, 1, 2])


def main() -> int:
    arguments = sys.argv[1:]
    script = next((i for i, one in enumerate(arguments) if os.path.basename(one) == WORKER), None)
    if script is None:
        os.execv(REAL, [os.path.abspath(__file__), *arguments])  # by this name, so that its processes use it too
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(SERVER)
        wanted = {
            "arguments": arguments[script:],
            "environment": dict(os.environ),
            "folder": os.getcwd(),
            "nice": os.nice(0),
        }
        connection.sendmsg([json.dumps(wanted).encode() + b"\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, FILES)])
        status = connection.recv(64)
    return abs(int(status)) if status else 1


if __name__ == "__main__":
    sys.exit(main())
