"""What holds for every test."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("venuemesh", deadline=None)  # no test depends on the machine being fast
settings.load_profile("venuemesh")

ALONE = ("ray", "thirdparty", "packaging")  # markers of tests that take the machine for themselves
FOLDER = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts processes of its own: `make test` runs it after the rest, a folder in one process."""
    for item in items:
        if item.path.is_relative_to(FOLDER / "truth") or any(item.get_closest_marker(name) for name in ALONE):
            item.add_marker("alone")
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(FOLDER).parts[0]))
