#!PYTHON
"""The Python of `forking_python` and `quiet_python`: runs a program as Python does, but starts Ray's processes at less
cost.

With a fork server, a fork of it becomes the worker that Ray starts.

No test reads what the helpers of Ray collect. The log monitor would read the log of every worker ten times a second,
and the autoscaler has nothing to scale: here they only wait. The dashboard and its agents run as Ray runs them when
their requirements are not installed.
"""

import array
import json
import os
import signal
import socket
import sys

REAL, SERVER = "PYTHON", "SOCKET"
WORKER = "default_worker.py"
IDLE = ("_private/log_monitor.py", "autoscaler/_private/monitor.py", "autoscaler/v2/monitor.py")
MINIMAL = ("dashboard/dashboard.py", "dashboard/agent.py")
FILES = array.array("i", [0, 1, 2])


def main() -> int:
    arguments = sys.argv[1:]
    script = next((i for i, one in enumerate(arguments) if os.path.basename(one) == WORKER), None)
    if script is None or not SERVER:
        if any(one.endswith(IDLE) for one in arguments):
            signal.pause()
        if any(one.endswith(MINIMAL) for one in arguments):
            arguments.append("--minimal")
        if SERVER:
            os.environ["VENUEMESH_FORKED_WORKERS"] = "0"  # its Rays have this server already
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
        status = connection.recv(1) and connection.recv(64)
    return abs(int(status)) if status else 1


if __name__ == "__main__":
    sys.exit(main())
