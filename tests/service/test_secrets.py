"""Planted keys are used for every action of a mesh with keys, also for failing ones; then everything is searched.

This file runs after the commands of the other files, so their leftovers are searched, too. Values are new in every run.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.planted import find_in_files, find_in_text, plant, write_0600

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def used(service, keys, admin, state, tmp_path_factory):
    """Return the text of everything that a client of the mesh can see, after a separate process has provoked it."""
    folder = tmp_path_factory.mktemp("used")
    done = subprocess.run(
        [sys.executable, HERE / "secrets_provoked.py", folder / "sight", admin.base, keys.keystore],
        input="\n".join((keys.planted.api_key, keys.planted.secret, *keys.planted.passphrases)),
        env={**state, "VENUEMESH_MESH": "service"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (folder / "output").write_text(done.stdout + done.stderr)
    return folder


def test_it_was_provoked(used, keys):
    """Otherwise nothing would be searched."""
    sight = (used / "sight").read_text(errors="replace")
    for what in ("InsufficientBalance", "-1022", "-2015", "orders/binance/main", "incarnation", "Traceback"):
        assert what in sight, what
    assert (used / "session").read_text().startswith("/")
    assert len(find_in_files([keys.planted], keys.folder)) >= 3  # the files where a person put them: this finds them


def test_nothing_a_client_sees_shows_a_key(used, keys):
    assert find_in_files([keys.planted], used) == []


def test_no_log_of_ray_and_no_file_of_the_mesh_holds_a_key(used, keys, service, state, shell):
    session = Path((used / "session").read_text())
    logs = [path for path in session.rglob("*") if path.is_file()]
    assert any("worker-" in path.name for path in logs), session
    run_files = Path(state["XDG_STATE_HOME"])
    assert (run_files / "venuemesh" / "service.journal.sqlite3").exists()
    segments = Path(os.environ.get("VENUEMESH_SEGMENTS") or f"/dev/shm/venuemesh-{os.getuid()}")
    assert list(segments.glob("service/*"))
    places = (session, run_files, segments / "service", keys.keystore)
    assert find_in_files([keys.planted], *places) == []
    assert find_in_text([keys.planted], shell("status", "--mesh", "service", "--json").stdout) == []


def test_no_process_shows_a_key_in_its_arguments_or_environment(used, keys, service):
    """The signing roles, all other roles, Ray's processes: everything that descends from the host."""
    pids = [service.host, *descendants(service.host)]
    assert len(pids) > 8
    shown = {pid: _read(pid, "cmdline") + _read(pid, "environ") for pid in pids}
    assert any(b"venuemesh: orders/binance/main" in text for text in shown.values())
    assert {pid: found for pid, text in shown.items() if (found := find_in_text([keys.planted], text))} == {}


@pytest.mark.parametrize(
    ("kind", "command"),
    [("hmac", ("connect", "binance")), ("ed25519", ("api", "binance", "GET", "/api/v3/account"))],
)
def test_a_key_that_is_refused_is_not_repeated(kind, command, exchange, lone_shell, tmp_path):
    """Run commands with a key that the exchange does not know."""
    planted = plant(kind)
    files = write_0600(tmp_path / "key", planted.api_key), write_0600(tmp_path / "secret", planted.secret)
    options = "--rest", exchange["binance"]["rest"], "--api-key-file", files[0], "--secret-file", files[1]
    done = lone_shell(*command, *options, check=False)
    assert done.returncode == 2
    assert "-2015" in done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) == 1
    assert find_in_text([planted], done.stdout + done.stderr) == []


def _read(pid, name):
    try:
        return Path("/proc", str(pid), name).read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def descendants(pid):
    from venuemesh.mesh.cluster import descendants as found

    return [child for child, _ in found(pid)]
