"""The mesh on hosts that the cases of a module share; a case that fails gets its successors a new one.

With xdist, groups of cases run at the same time, each on separate hosts: `GROUPS`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.net import may_unshare, refusal
from tests.cluster.running import Running, up
from tests.cluster.world import World
from tests.fakes.postgres import required_binaries

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
LOGS = Path("bench-results/cluster-logs") / WORKER
RAY_LOGS = ".venuemesh-ray/r/session_2*/logs"
RESULTS = Path(os.environ.get("VENUEMESH_CLUSTER_RESULTS", "bench-results/cluster.json"))
PART = RESULTS.with_suffix(f".{WORKER}.part") if WORKER else RESULTS
GROUPS = ("[power", "[freeze", "[brief_cut", "[long_cut")  # cases with this in their name; the others of a file


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the groups."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            file = item.path.stem
            group = next((name for name in GROUPS if file == "test_cluster" and name in item.name), "")
            item.add_marker(pytest.mark.xdist_group(file + group))


def parts() -> list[Path]:
    return sorted(RESULTS.parent.glob(f"{RESULTS.stem}.*.part"))


def pytest_sessionstart() -> None:
    """Forget what an interrupted session has left."""
    if not WORKER:
        for part in parts():
            part.unlink()


def pytest_sessionfinish() -> None:
    """Join the results of the workers."""
    if not WORKER and (found := parts()):
        write([row for part in found for row in json.loads(part.read_text())["cases"]])
        for part in found:
            part.unlink()


@pytest.fixture(scope="module")
def permitted() -> None:
    """Skip where there cannot be hosts. CI fails instead, if it may make a namespace of the network."""
    why = refusal()
    if why is not None and os.environ.get("CI", "").lower() in ("true", "1") and may_unshare():
        pytest.fail(f"no hosts as namespaces: {why}")
    if why is not None:
        pytest.skip(f"no hosts as namespaces: {why}")
    required_binaries()


class Holder:
    """The mesh of a module, made when a case needs it."""

    def __init__(self, make: Callable[[], World], rows: list[dict[str, Any]]) -> None:
        self._make, self._rows = make, rows
        self._running: Running | None = None

    def sound(self) -> Running:
        """Return a mesh in which no case has failed."""
        if self._running is not None and not self._running.is_sound:
            self.end()
        if self._running is None:
            world = self._make()
            try:
                self._running = up(world)
            except BaseException:
                keep_logs(world)
                world.end()
                raise
            self._running.results, self._running.keep = self._rows, lambda: write(self._rows)
        return self._running

    def end(self) -> None:
        if self._running is not None:
            if not self._running.is_sound:
                keep_logs(self._running.world)
            self._running.world.end()
            self._running = None


def keep_logs(world: World) -> None:
    """Keep what the hosts wrote, of the last mesh in which a case failed."""
    shutil.rmtree(LOGS, ignore_errors=True)
    for host in (world.x, *world.hosts.values()):
        folder = LOGS / host.name
        shutil.copytree(host.folder / "log", folder)
        for pattern in ("*.log", f"{RAY_LOGS}/worker*.err", f"{RAY_LOGS}/raylet.*", f"{RAY_LOGS}/gcs_server.*"):
            for path in host.folder.glob(pattern):
                shutil.copy(path, folder)
    print(f"the logs of the hosts are in {LOGS}")


@pytest.fixture(scope="session")
def rows() -> Iterator[list[dict[str, Any]]]:
    """A row per case of all modules. They are written after each case of `Holder`, and at the end."""
    found: list[dict[str, Any]] = []
    yield found
    if found:
        write(found)


def write(rows: list[dict[str, Any]]) -> None:
    """Write the results, unless this is a worker of `make test`, whose results no session joins."""
    if WORKER and "VENUEMESH_CLUSTER_RESULTS" not in os.environ:
        return
    PART.parent.mkdir(exist_ok=True)
    PART.write_text(json.dumps({"cases": rows}, indent=1) + "\n")


@pytest.fixture(scope="module")
def holder(permitted: None, rows: list[dict[str, Any]], request: pytest.FixtureRequest) -> Iterator[Holder]:
    found = Holder(getattr(request.module, "make_world", World), rows)
    yield found
    found.end()


@pytest.fixture
def running(holder: Holder) -> Running:
    return holder.sound()
