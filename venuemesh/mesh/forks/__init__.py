"""Forks of a process that has imported the roles, in place of new Python processes, as the workers of an own Ray.

A new worker imports Ray, the roles, the connectors and the database library before it serves, which takes 1 to 2 s of a
core; a mesh of four books needs twelve workers. While a block of `forking` runs, Ray is given a Python (`start.py`)
that requests a fork from one server (`server.py`) for each worker, and runs all else as it is. A fork imports only Ray
itself and shares the memory of all other modules. It is an ordinary process: it has its own pid, title and process
group, and is killed, stopped and counted as usual.

When the server cannot start or has ended, workers are new processes, as Ray starts them. The server ends with the
process that started it. `VENUEMESH_FORKED_WORKERS=0` turns forks off.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

SWITCH = "VENUEMESH_FORKED_WORKERS"
PADDING = " " * 1000  # the title of a process fits into the memory of its first command line
END_LIMIT_S = 5.0


def are_used() -> bool:
    """Return whether an own Ray gets forked workers: on Linux, unless they are turned off."""
    return sys.platform == "linux" and os.environ.get(SWITCH) != "0"


@contextmanager
def forking(folder: Path) -> Iterator[Path]:
    """Run a fork server while the block runs; yield the Python that requests forks. `folder` must be private."""
    python, path = folder / "python", folder / "forks"
    text = (Path(__file__).parent / "start.py").read_text(encoding="utf-8")
    values = {
        "#!PYTHON": f"#!{os.path.realpath(sys.executable)} -IS",
        '"PYTHON"': repr(sys.executable),
        '"SOCKET"': repr(str(path)),
    }
    for name, value in values.items():
        text = text.replace(name, value, 1)
    python.touch(mode=0o700)
    python.write_text(text, encoding="utf-8")
    with server(path):
        yield python


@contextmanager
def server(path: Path) -> Iterator[None]:
    """Run a fork server that listens at `path` while the block runs. Requests wait until the server is ready."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(128)
        number = listening.fileno()
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # a process with threads is not forked safely
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__name__}.server", str(number), PADDING],
            env=environment,
            stdin=subprocess.PIPE,
            pass_fds=[number],
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


@contextmanager
def as_python_of_ray(python: Path) -> Iterator[None]:
    """Let Ray use this Python for the processes that it starts in the block, and for workers later."""
    with patch.object(sys, "executable", str(python)):
        yield
