"""Books of one node read on another: two raylets on this machine, each with its own segment directory."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PATIENCE_S

from tests.fakes.forked_workers import forking_python

pytestmark = pytest.mark.ray
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def output() -> Iterator[str]:
    """Yield the output of the scenarios, which share one cluster of two nodes in a separate process."""
    environment = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}"}
    environment.pop("VENUEMESH_SEGMENTS", None)
    with forking_python() as python:
        command = [python, str(HERE / "two_nodes.py")]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            yield process.communicate(timeout=8 * PATIENCE_S)[0]
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(30.0)
            if process.stdout is not None:
                process.stdout.close()


def test_a_remote_reader_reads_its_own_node_and_sees_when_its_mirror_is_gone(output: str) -> None:
    assert "reader: all held" in output, output


def test_a_view_of_a_market_holds_its_mirror_and_follows_a_book_that_moves(output: str) -> None:
    assert "market: all held" in output, output


def test_a_book_moves_and_leaves_a_drained_node_without_a_gap(output: str) -> None:
    assert "moves: all held" in output, output


def test_readers_of_a_redundant_book_notice_the_loss_of_neither_process(output: str) -> None:
    assert "redundancy: all held" in output, output


def test_the_supervisor_runs_on_a_node_that_it_prefers_and_elsewhere_without_one(output: str) -> None:
    assert "preference: all held" in output, output
