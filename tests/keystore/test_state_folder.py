"""The state folder of a host, and its identity."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from venuemesh.keystore import state_folder
from venuemesh.keystore.state_folder import HOST_ID, host_identity
from venuemesh.model.errors import Misconfigured


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "venuemesh"


def test_a_host_keeps_its_identity_and_no_other_has_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = host_identity()
    script = "from venuemesh.keystore.state_folder import host_identity; print(host_identity())"
    again = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert again.stdout.strip() == first
    assert (folder / HOST_ID).stat().st_mode & 0o777 == 0o600
    with monkeypatch.context() as patch:  # a copy of the image, or a shared home folder
        patch.setattr(state_folder.socket, "gethostname", lambda: "beta")
        assert host_identity() not in ("", first)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    assert host_identity() != first


def test_an_id_that_cannot_be_read_is_named(folder: Path) -> None:
    host_identity()
    (folder / HOST_ID).unlink()
    (folder / HOST_ID).mkdir()
    with pytest.raises(Misconfigured, match=HOST_ID):
        host_identity()


def test_processes_that_start_together_agree(folder: Path) -> None:
    script = "from venuemesh.keystore.state_folder import host_identity; print(host_identity())"
    together = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(6)]
    identities = {process.communicate()[0].strip() for process in together}
    assert identities == {host_identity()}
    assert [path.name for path in folder.iterdir()] == [HOST_ID]


def test_an_empty_id_is_refused(folder: Path) -> None:
    host_identity()
    (folder / HOST_ID).write_text("")
    with pytest.raises(Misconfigured, match="empty"):
        host_identity()
