"""Two addresses of one Ray cluster, written in different ways."""

from __future__ import annotations

import socket
import subprocess

import pytest

from venuemesh.mesh.cluster import GCS_OPTION, is_same_cluster, join_ray, reach
from venuemesh.model.errors import MeshNotRunning


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
        arguments = [str(program), "-c", "read line; exit", f"{GCS_OPTION}{address}"]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE) as raylet:
            reach(address, "m")
            raylet.communicate(b"\n")
