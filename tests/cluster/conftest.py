"""The mesh on hosts that the cases of a module share; a case that fails gets its successors a new one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.net import may_unshare, refusal
from tests.cluster.running import Running, up
from tests.cluster.world import World
from tests.fakes.postgres import required_binaries

RESULTS = Path(os.environ.get("VENUEMESH_CLUSTER_RESULTS", "bench-results/cluster.json"))


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

    def __init__(self, make: Callable[[], World]) -> None:
        self._make = make
        self._running: Running | None = None
        self.rows: list[dict[str, Any]] = []

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
            self._running.results = self.rows
        return self._running

    def end(self) -> None:
        if self._running is not None:
            if not self._running.is_sound:
                keep_logs(self._running.world)
            self._running.world.end()
            self._running = None


def keep_logs(world: World) -> None:
    """Print the end of each service's log, for the report of the failed test."""
    for host in (world.x, *world.hosts.values()):
        for path in sorted((host.folder / "log").iterdir()):
            print(f"--- {host.name} {path.name}\n{path.read_text(errors='replace')[-1500:]}")


@pytest.fixture(scope="module")
def holder(permitted: None, request: pytest.FixtureRequest) -> Iterator[Holder]:
    found = Holder(getattr(request.module, "make_world", World))
    yield found
    found.end()
    if found.rows:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps({"cases": found.rows}, indent=1) + "\n")


@pytest.fixture
def running(holder: Holder) -> Running:
    return holder.sound()
