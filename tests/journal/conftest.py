"""Every test of the journal runs on both databases: fixtures that make an empty one."""

import pytest

from tests.fakes.postgres import Postgres
from venuemesh.journal.journal import Journal


@pytest.fixture(scope="session")
def postgres():
    with Postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    return request.getfixturevalue("postgres").schema()


@pytest.fixture
def journal(url):
    opened = Journal.open(url)
    yield opened
    opened.close()
