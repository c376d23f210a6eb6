"""Two addresses of one Ray cluster, written in different ways."""

from __future__ import annotations

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from venuemesh.mesh.cluster import GCS_OPTION, is_same_cluster, join_ray, local_ray, private_folder, reach
from venuemesh.model.errors import MeshNotRunning, Misconfigured


@pytest.mark.parametrize(
    ("address", "is_same"),
    [
        ("192.0.2.7:6379", True),
        ("auto", True),
        ("localhost:6379", True),
        ("127.0.0.1:6379", True),
        ("192.0.2.7:6380", False),
        ("192.0.2.8:6379", False),
        ("no-such-host.invalid:6379", False),
        ("nonsense", False),
    ],
)
def test_an_address_is_compared_with_the_cluster_of_this_process(address: str, is_same: bool) -> None:
    assert is_same_cluster(address, "192.0.2.7:6379") is is_same


def test_a_cluster_without_a_raylet_on_this_host_is_refused_at_once(tmp_path):
    program = tmp_path / "raylet"
    program.symlink_to("/bin/sh")
    with socket.create_server(("127.0.0.1", 0)) as gcs:
        address = f"127.0.0.1:{gcs.getsockname()[1]}"
        with pytest.raises(MeshNotRunning, match="no raylet of the Ray cluster"):
            join_ray(address, mesh="m")
        arguments = [str(program), "-c", "echo; read line; exit", f"{GCS_OPTION}{address}"]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as raylet:
            assert raylet.stdout.readline()  # its name is that of the program now
            reach(address, "m")
            raylet.communicate(b"\n")


def test_a_cluster_that_is_starting_on_this_host_is_waited_for(tmp_path, monkeypatch):
    program = tmp_path / "raylet"
    program.symlink_to("/bin/sh")
    joined = []
    monkeypatch.setattr("ray.init", lambda **options: joined.append(options["address"]))
    with socket.create_server(("127.0.0.1", 0)) as gcs, ThreadPoolExecutor(1) as other:
        address = f"127.0.0.1:{gcs.getsockname()[1]}"
        joining = other.submit(join_ray, address, mesh="m", wait_s=60.0)
        gcs.accept()  # it has looked once
        assert not joined
        arguments = [str(program), "-c", "read line; exit", f"{GCS_OPTION}{address}"]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE) as raylet:
            joining.result(60.0)
            raylet.communicate(b"\n")
        assert joined == [address]


def test_a_cluster_does_not_start_where_others_can_change_its_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VENUEMESH_SEGMENTS", str(tmp_path / "segments"))
    (tmp_path / "segments").mkdir()
    (tmp_path / "segments").chmod(0o755)
    with pytest.raises(Misconfigured, match=r"segment directory .* is open to other users"), local_ray():
        pass
    (tmp_path / "segments").chmod(0o700)
    (tmp_path / "temporary").mkdir()
    (tmp_path / "temporary").chmod(0o777)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr("venuemesh.mesh.cluster.LONGEST_ABOVE", 1000)
    with pytest.raises(Misconfigured, match=r"\$TMPDIR\).* has mode 0777, .* run: chmod go-w "), local_ray():
        pass


def test_the_folder_of_a_cluster_is_short_enough_for_the_sockets_of_ray(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with private_folder() as folder:
        socket_path = folder / "r" / "session_2026-01-01_00-00-00_000000_1234567" / "sockets" / "plasma_store"
        assert len(str(socket_path)) <= 107
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
