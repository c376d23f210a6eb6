"""What holds for every test."""

from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("venuemesh", deadline=None)  # no test depends on the machine being fast
settings.load_profile("venuemesh")

PROCESSES = ("ray", "thirdparty", "packaging")  # markers of tests that start processes of their own
ALONE = ("mesh", "service")  # folders whose Ray tests kill and stop processes, and wait for replacements
FOLDER = Path(__file__).parent


class FolderScheduling(LoadScopeScheduling):
    """Give each folder below tests/ to one worker, so that its cluster, mesh and exchange are started once."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.split("/")[1]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Schedule by folder where `--dist loadscope` is asked for: `make test` runs the tests marked `processes` so."""
    return FolderScheduling(config, log) if config.getoption("dist") == "loadscope" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts processes of its own, and what takes the machine for itself: `make test` runs each by itself."""
    for item in items:
        folder = item.path.relative_to(FOLDER).parts[0]
        if folder == "truth" or any(item.get_closest_marker(name) for name in PROCESSES):
            item.add_marker("alone" if folder in ALONE else "processes")
