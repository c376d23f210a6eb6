"""A real local Ray for tests that kill real processes: one cluster per session, a mesh per test or module."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from harness import RAY_ENVIRONMENT, Tree, leftovers  # noqa: E402

from tests.fakes.forked_workers import forking_python  # noqa: E402


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Path]:
    """A Ray of one node; yields the root of its segment directories."""
    ray = pytest.importorskip("ray")
    from venuemesh.mesh.cluster import LOOPBACK, SESSIONS, loopback_allowed
    from venuemesh.mesh.token import make_token

    folder = Path(tempfile.mkdtemp(prefix="vm", dir="/tmp"))
    segments = Path(tempfile.mkdtemp(prefix="vms", dir="/dev/shm" if os.path.isdir("/dev/shm") else "/tmp"))
    before = {key: os.environ.get(key) for key in (*RAY_ENVIRONMENT, "PYTHONPATH", "VENUEMESH_SEGMENTS")}
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ.update(RAY_ENVIRONMENT, PYTHONPATH=path, VENUEMESH_SEGMENTS=str(segments))
    try:
        with forking_python() as python:
            make_token()
            with patch.object(sys, "executable", python), loopback_allowed():
                ray.init(
                    address="local",
                    num_cpus=2,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="error",
                    object_store_memory=80_000_000,
                    _temp_dir=str(folder / SESSIONS),
                    _node_ip_address=LOOPBACK,
                )
            yield segments
    finally:
        ray.shutdown()
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(segments, ignore_errors=True)


@pytest.fixture
def grow(ray_cluster: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Tree]]:
    """Start meshes; each is shut down after the test and must leave nothing behind."""
    yield from _growing(ray_cluster, request.node.name)


@pytest.fixture(scope="module")
def grow_shared(ray_cluster: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Tree]]:
    """`grow` for meshes that the tests of a module share: each test leaves its mesh complete."""
    yield from _growing(ray_cluster, request.node.name)


def _growing(ray_cluster: Path, name: str) -> Iterator[Callable[..., Tree]]:
    trees: list[Tree] = []

    def start(**settings: object) -> Tree:
        tree = Tree(f"t{os.getpid()}-{len(trees)}-{abs(hash(name)) % 100_000}", ray_cluster, **settings)
        trees.append(tree)
        return tree

    yield start
    for tree in trees:
        processes = tree.processes
        tree.shutdown()
        assert not leftovers(processes)
        assert not (ray_cluster / tree.mesh).exists(), list((ray_cluster / tree.mesh).rglob("*"))
