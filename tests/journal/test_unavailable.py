"""A temporary problem is JournalUnavailable, and the same object works again later; a permanent one is
Misconfigured."""

import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from sqlalchemy.engine import make_url

from tests.fakes.postgres import Postgres
from tests.fakes.records import ACCOUNT, put, put_event
from venuemesh.journal.journal import Journal
from venuemesh.journal.writes import Batch
from venuemesh.model.errors import Fenced, JournalUnavailable, Misconfigured


@pytest.fixture
def file(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def sqlite(file):
    journal = Journal.open(f"sqlite:///{file}", wait_s=0.05)
    yield journal
    journal.close()


@pytest.fixture
def server():
    with Postgres() as own:
        yield own


def test_a_locked_file_is_waited_for_and_then_unavailable(sqlite, file):
    epoch = sqlite.take(*ACCOUNT, "holder", 1)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalUnavailable) as caught:
        sqlite.commit(*ACCOUNT, epoch, [Batch("b", (put(), put_event()))])
    assert caught.value.after_s > 0
    assert sqlite.load(*ACCOUNT).orders == []  # reading continues
    other.execute("ROLLBACK")
    other.close()
    assert sqlite.commit(*ACCOUNT, epoch, [Batch("b", (put(), put_event()))]) == [[1]]


FULL = """
import resource, sys
from tests.fakes.records import ACCOUNT, put, put_event
from venuemesh.journal.journal import Journal
from venuemesh.journal.writes import Batch, PutMark
from venuemesh.model.errors import JournalUnavailable
journal = Journal.open(sys.argv[1])
epoch = journal.take(*ACCOUNT, "holder", 1)
assert journal.commit(*ACCOUNT, epoch, [Batch("b0", (put("o0"), put_event()))]) == [[1]]
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))  # no file may grow beyond: as a full disk
done, failed = 1, 0
for n in range(1, 100):
    large = Batch(f"b{n}", (put(f"o{n}"), put_event(), PutMark(f"m{n}", "x" * 100_000)))
    try:
        assert journal.commit(*ACCOUNT, epoch, [large]) == [[done + 1]]
        done += 1
    except JournalUnavailable:
        failed += 1
        assert len(journal.load(*ACCOUNT).orders) == done
        if failed == 3:
            break
assert failed == 3
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert journal.commit(*ACCOUNT, epoch, [large]) == [[done + 1]]
assert [one.number for one in journal.events(*ACCOUNT, 0)] == list(range(1, done + 2))
print("recovered")
"""


def test_a_full_disk_is_unavailable_until_there_is_room(file):
    """`-B`: Python would write the bytecode of a module cut at the limit, and later processes could not import it."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", FULL, f"sqlite:///{file}"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "recovered", done.stderr
    journal = Journal.open(f"sqlite:///{file}")
    assert len(journal.load(*ACCOUNT).orders) > 1
    journal.close()


def test_a_read_only_journal_is_unavailable(sqlite, file):
    epoch = sqlite.take(*ACCOUNT, "holder", 1)
    sqlite.database.run(lambda connection: connection.exec_driver_sql("PRAGMA query_only = ON"), write=False)
    with pytest.raises(JournalUnavailable):
        sqlite.commit(*ACCOUNT, epoch, [Batch("b", (put(),))])
    assert sqlite.commit(*ACCOUNT, epoch, [Batch("b", (put(),))]) == [[]]  # over a new connection


def test_a_file_that_is_no_journal_is_named(file):
    file.write_bytes(b"certainly not a database, and long enough to look at" * 100)
    with pytest.raises(Misconfigured, match=r"journal\.db"):
        Journal.open(f"sqlite:///{file}")
    assert file.read_bytes().startswith(b"certainly")


def test_a_damaged_journal_is_named(file):
    journal = Journal.open(f"sqlite:///{file}")
    epoch = journal.take(*ACCOUNT, "holder", 1)
    journal.commit(*ACCOUNT, epoch, [Batch("b", tuple(put(f"o{n}") for n in range(200)))])
    journal.close()
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(Misconfigured, match=r"journal\.db"):
        Journal.open(f"sqlite:///{file}").load(*ACCOUNT)


def test_a_path_that_cannot_be_a_file_is_named(tmp_path):
    (tmp_path / "plain").write_text("")
    for path in (tmp_path, tmp_path / "plain" / "journal.db"):
        with pytest.raises(Misconfigured, match=str(path.name)):
            Journal.open(f"sqlite:///{path}")


def test_a_server_that_goes_and_comes_back_needs_no_new_journal(server):
    journal = Journal.open(server.database(), wait_s=2.0)
    epoch = journal.take(*ACCOUNT, "holder", 1)
    assert journal.commit(*ACCOUNT, epoch, [Batch("b1", (put_event(),))]) == [[1]]
    server.stop(signal.SIGQUIT)
    for _ in range(2):
        with pytest.raises(JournalUnavailable):
            journal.commit(*ACCOUNT, epoch, [Batch("b2", (put_event(),))])
        with pytest.raises(JournalUnavailable):
            journal.load(*ACCOUNT)
    server.start()
    assert journal.commit(*ACCOUNT, epoch, [Batch("b1", (put_event(),)), Batch("b2", (put_event(),))]) == [[1], [2]]
    other = Journal.open(server.url("journal_1"))
    other.take(*ACCOUNT, "successor", 2)
    server.stop()
    server.start()
    with pytest.raises(Fenced):  # it looks for its epoch before anything else
        journal.commit(*ACCOUNT, epoch, [Batch("b3", (put_event(),))])
    journal.close()
    other.close()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_connection_lost_around_a_commit_is_made_again_and_nothing_applied_twice(postgres, monkeypatch, moment):
    url = postgres.database()
    journal = Journal.open(url)
    epoch = journal.take(*ACCOUNT, "holder", 1)
    lost = []

    def cut(name):
        if lost or name != ("journal.commit" if moment == "before" else "journal.committed"):
            return
        lost.append(name)
        mine = f"datname = '{make_url(url).database}' AND pid <> pg_backend_pid()"
        postgres.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {mine}")
        if moment == "after":  # the answer to COMMIT is what gets lost
            with journal.database._connection.begin() as transaction:
                transaction.connection.exec_driver_sql("SELECT 1")

    monkeypatch.setattr("venuemesh.journal.database.reach", cut)
    batch = Batch("b", (put(), put_event()))
    assert journal.commit(*ACCOUNT, epoch, [batch]) == [[1]]
    assert lost
    assert journal.event_range(*ACCOUNT) == (1, 2)
    assert journal.commit(*ACCOUNT, epoch, [Batch("c", (put_event(),))]) == [[2]]
    journal.close()


def test_a_database_that_does_not_exist_is_not_silently_made(postgres):
    with pytest.raises((JournalUnavailable, Misconfigured), match="nowhere"):
        Journal.open(postgres.url("nowhere"))


def test_commits_are_durable_even_if_the_server_is_set_otherwise(postgres):
    url = postgres.database()
    name = make_url(url).database
    postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    journal = Journal.open(url)
    shown = journal.database.run(
        lambda connection: connection.exec_driver_sql("SHOW synchronous_commit").scalar(), write=True
    )
    assert shown == "on"
    journal.close()


def test_sqlite_keeps_what_it_promised(sqlite):
    def setting(name):
        return sqlite.database.run(
            lambda connection: connection.exec_driver_sql(f"PRAGMA {name}").scalar(), write=False
        )

    assert (setting("journal_mode"), setting("synchronous"), setting("foreign_keys")) == ("wal", 2, 1)
