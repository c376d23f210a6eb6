"""Books of one node read on another: two raylets on this machine, each with a segment directory of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PATIENCE_S

pytestmark = pytest.mark.ray
HERE = Path(__file__).parent


@pytest.fixture
def two_nodes() -> Iterator[subprocess.Popen[str]]:
    """The scenario runs in a process of its own: one process can be connected to one Ray cluster only."""
    environment = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}"}
    environment.pop("VENUEMESH_SEGMENTS", None)
    command = [sys.executable, str(HERE / "two_nodes.py")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(30.0)
    if process.stdout is not None:
        process.stdout.close()


def test_a_remote_reader_reads_its_own_node_and_is_told_when_its_mirror_is_gone(
    two_nodes: subprocess.Popen[str],
) -> None:
    said, _ = two_nodes.communicate(timeout=4 * PATIENCE_S)
    assert two_nodes.returncode == 0, said
