"""A Python whose Ray workers are forked from a process that has imported the roles, for tests with many workers.

A worker of the mesh imports all roles and the database library before it serves, which takes 1 to 1.5 s of a core; the
tests of the mesh start hundreds. If the Python of `forking_python` starts Ray, `start.py` requests a fork from the
server of `venuemesh.mesh.forks`, as a Ray of `venuemesh up` does. A forked worker is an ordinary process: it has its
own pid, title and process group, and is killed, stopped and counted as usual. The tests of the distribution let the
product start its workers, and so do those of the service, which use `quiet_python`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from venuemesh.mesh.forks import server

HERE = Path(__file__).parent
INTERPRETER = os.path.realpath(sys.executable)


@contextmanager
def forking_python() -> Iterator[str]:
    """Make a virtual environment like the current one; yield its Python, which forks the workers of its Ray."""
    with _folder() as folder:
        path = folder / "socket"
        python = _environment(folder, path)
        with server(path):
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
