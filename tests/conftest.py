"""Settings for every test."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from tests.fakes.timed_loop import pytest_asyncio_loop_factories  # noqa: F401 - a hook of pytest

settings.register_profile("venuemesh", deadline=None)  # no test depends on the machine being fast
settings.load_profile("venuemesh")

PROCESSES = ("ray", "thirdparty", "packaging", "cluster")  # markers of tests that start processes
FOLDER = Path(__file__).parent
SHARED = ("service", "packaging", "thirdparty")  # the tests of such a folder share a mesh or an environment
LONG = (  # the folders and files whose process tests take longest, first to run
    "cluster/", "mesh/", "service/", "packaging/", "benchmarks/", "truth/",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Keep what meshes leave in the state folder out of the user's own, for this session."""
    folder = tempfile.TemporaryDirectory(prefix="venuemesh-tests-")
    os.environ["XDG_STATE_HOME"] = folder.name
    config.add_cleanup(folder.cleanup)


class MixedScheduling(LoadScopeScheduling):
    """Run tests that start processes at the same time as tests in one process.

    Tests with processes wait more than they compute, but three at once would overload two cores. So every second worker
    takes tests in one process as long as there are any, and the other workers take tests with processes first. A work
    unit is a file, or a folder of `SHARED`.
    """

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.split("/")[1]
        return folder if folder in SHARED else nodeid.split("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        if self.nodes.index(node) % 2 == 1:  # the units of tests in one process are at the end of the queue
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Mix with `--dist loadscope`, as `make test` does."""
    if config.getoption("dist") != "loadscope":
        return None
    config.option.loadscopereorder = False  # keep the order of collection
    return MixedScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that start processes, and run them first, the longest before the others."""
    ranks: dict[pytest.Item, int] = {}
    for item in items:
        path = item.path.relative_to(FOLDER).as_posix()
        ranks[item] = len(LONG) + 1
        if path.startswith("truth/") or any(item.get_closest_marker(name) for name in PROCESSES):
            item.add_marker("processes")
            ranks[item] = next((rank for rank, start in enumerate(LONG) if path.startswith(start)), len(LONG))
    items.sort(key=ranks.__getitem__)
