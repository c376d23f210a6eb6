"""A Python whose Ray workers are forked from a process that has imported the roles, for tests with many workers.

A worker of the mesh imports all roles and the database library before it serves, which takes 1 to 1.5 s of a core; the
tests of the mesh start hundreds. If the Python of `forking_python` starts Ray, `start.py` requests a fork from
`server.py`. A forked worker is an ordinary process: it has its own pid, title and process group, and is killed, stopped
and counted as usual. The tests of the service and the distribution let Ray start its workers; those of the service use
`quiet_python`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
INTERPRETER = os.path.realpath(sys.executable)
PADDING = " " * 1000  # the title of a process fits into the memory of its first command line


@contextmanager
def forking_python() -> Iterator[str]:
    """Make a virtual environment like the current one; yield its Python, which forks the workers of its Ray."""
    with _folder() as folder:
        server = folder / "socket"
        python = _environment(folder, server)
        with _server(server):
            yield python


@contextmanager
def quiet_python() -> Iterator[str]:
    """`forking_python` without the forks: Ray starts its workers itself. Its helpers take less time than usual."""
    with _folder() as folder:
        yield _environment(folder, None)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="vmf", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(folder: Path, server: Path | None) -> str:
    python = folder / "bin" / "python"
    packages = Path("lib") / f"python{sys.version_info.major}.{sys.version_info.minor}"
    text = (HERE / "start.py").read_text(encoding="utf-8")
    values = {
        "#!PYTHON": f"#!{INTERPRETER} -IS",
        '"PYTHON"': repr(sys.executable),
        '"SOCKET"': repr(str(server or "")),
    }
    for name, value in values.items():
        text = text.replace(name, value, 1)
    python.parent.mkdir()
    (folder / packages.parent).mkdir()
    (folder / packages).symlink_to(Path(sys.prefix) / packages)
    configuration = Path(sys.prefix) / "pyvenv.cfg"
    if configuration.exists():
        shutil.copy(configuration, folder)
    python.write_text(text, encoding="utf-8")
    python.chmod(0o755)
    return str(python)


@contextmanager
def _server(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(128)
        number = listening.fileno()
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # a process with threads is not forked safely
        command = [sys.executable, str(HERE / "server.py"), str(number), PADDING]
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, pass_fds=[number], start_new_session=True
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20.0)
        if process.stdin is not None:
            process.stdin.close()
