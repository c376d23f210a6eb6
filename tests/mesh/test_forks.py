"""Workers as forks: what a fork is, and what happens without a server. Ray itself uses them in all tests of a mesh."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from venuemesh.mesh import forks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
WORKER = """
import json, os, random, sys
found = {
    "arguments": sys.argv[1:], "folder": os.getcwd(), "variable": os.environ.get("ONLY_HERE"),
    "parent": os.getppid(), "group": os.getpgid(0) == os.getpid(), "random": random.random(),
    "imported": [name for name in ("venuemesh.actors.orders.role", "sqlalchemy", "ray") if name in sys.modules],
}
print(json.dumps(found), flush=True)
sys.exit(7)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forks")
    (folder / "default_worker.py").write_text(WORKER)  # by its name `start` knows a worker
    return folder


@pytest.fixture(scope="module")
def python(folder):
    with forks.forking(folder) as python:
        yield python


def run(python, *arguments, folder, **variables):
    return subprocess.run(
        [str(python), *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def worker(python, folder, **variables):
    """Run a worker; return what it printed."""
    done = run(python, "-u", str(folder / "default_worker.py"), "--some", "argument", folder=folder, **variables)
    assert done.returncode == 7, done.stderr
    return json.loads(done.stdout)


def servers():
    """Return the processes of this process's fork servers."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_child = int((path / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
            if is_child and b"venuemesh.mesh.forks.server" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def test_a_worker_is_a_fork_with_its_own_surroundings(python, folder):
    first, second = (worker(python, folder, ONLY_HERE=name) for name in ("a", "b"))
    assert first["imported"] == ["venuemesh.actors.orders.role", "sqlalchemy"]  # Ray seeds its ids as it is imported
    assert first["parent"] in servers()
    assert first["group"]
    assert first["arguments"] == ["--some", "argument"]
    assert first["folder"] == str(folder)
    assert (first["variable"], second["variable"]) == ("a", "b")
    assert first["random"] != second["random"]


def test_other_programs_run_as_in_any_python(python, folder):
    done = run(python, "-c", "import sys; print('venuemesh' in sys.modules); sys.exit(3)", folder=folder)
    assert (done.returncode, done.stdout) == (3, "False\n")


def test_garbage_ends_no_server(python, folder):
    for message in (b"", b"no JSON\n", b"{}\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(folder / "forks"))
            connection.sendall(message)
    assert worker(python, folder)["parent"] in servers()


def test_without_a_server_a_worker_is_a_new_process(folder, tmp_path):
    before = set(servers())
    with forks.forking(tmp_path) as python:
        (server,) = set(servers()) - before
        os.kill(server, signal.SIGKILL)
        found = worker(python, folder)
    assert found["imported"] == []
    assert found["parent"] == os.getpid()


def test_forks_can_be_turned_off(monkeypatch):
    monkeypatch.setenv(forks.SWITCH, "0")
    assert not forks.are_used()
