"""Checking, backing up and restoring a journal: nothing is half done, and what was there is kept."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from tests.fakes.records import ACCOUNT, put, put_event, put_fill
from venuemesh.journal import care
from venuemesh.journal.journal import Journal
from venuemesh.journal.writes import Batch, PutSeen
from venuemesh.model.errors import AccountHeld, JournalMissing, Misconfigured

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "journal.db"


def grown(url, names=("a", "b")):
    journal = Journal.open(url)
    epoch = journal.take(*ACCOUNT, "holder", 1)
    for name in names:
        filled = put(name, filled=Decimal("0.5"), exchange_order_id="77")
        journal.commit(*ACCOUNT, epoch, [Batch(name, (filled, put_fill(name, name), put_event()))])
    return journal


def content(url):
    journal = Journal.open(url, create=False)
    try:
        return [order.client_order_id for order in journal.orders().rows], len(journal.events(*ACCOUNT, 0))
    finally:
        journal.close()


def test_a_sound_journal_has_no_problem(url):
    journal = grown(url)
    assert care.check(journal) == []
    journal.close()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("DELETE FROM events WHERE number = 2", "1 events between number 1 and 3 are missing"),
        ("DELETE FROM events WHERE number = 3", "the last event is number 2, and the account's next number is 4"),
        ("DELETE FROM fills WHERE client_order_id = 'b'", "order b is filled by 0.5, and its fills are 0"),
        (
            "UPDATE orders SET filled = '0.7' WHERE client_order_id = 'a'",
            "order a is filled by 0.7, and its fills are 0.5",
        ),
    ],
)
def test_what_does_not_add_up_is_named(url, change, problem):
    journal = grown(url, ("a", "b", "c"))
    journal.database.run(lambda connection: connection.exec_driver_sql(change), write=True)
    assert care.check(journal) == [f"acme/main: {problem}"]
    journal.close()


def test_a_backup_is_one_private_file_of_a_moment_while_the_journal_is_written(file):
    journal = grown(f"sqlite:///{file}")
    to = file.with_name("backup.db")
    care.back_up(f"sqlite:///{file}", to)
    journal.commit(*ACCOUNT, 1, [Batch("later", (put("later"), put_event()))])
    assert to.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in file.parent.iterdir() if "backup" in path.name) == ["backup.db"]
    with pytest.raises(Misconfigured, match="exists already"):
        care.back_up(f"sqlite:///{file}", to)
    before = to.read_bytes()
    with pytest.raises(JournalMissing):
        care.back_up(f"sqlite:///{file}.other", to, overwrite=True)
    assert to.read_bytes() == before
    journal.close()
    assert content(f"sqlite:///{to}") == (["a", "b"], 2)


def test_a_restored_journal_replaces_the_other_and_keeps_it(file):
    journal = grown(f"sqlite:///{file}")
    to = file.with_name("backup.db")
    care.back_up(f"sqlite:///{file}", to)
    before = to.read_bytes()
    journal.commit(*ACCOUNT, 1, [Batch("later", (put("later"), put_event()))])
    journal.close()
    kept = care.restore(f"sqlite:///{file}", to, print)
    assert to.read_bytes() == before
    assert file.stat().st_mode & 0o777 == 0o600
    assert content(f"sqlite:///{file}") == (["a", "b"], 2)
    assert content(f"sqlite:///{kept[0]}") == (["a", "b", "later"], 3)


def test_a_missing_or_damaged_journal_can_be_restored(file):
    grown(f"sqlite:///{file}").close()
    to = file.with_name("backup.db")
    care.back_up(f"sqlite:///{file}", to)
    file.write_bytes(b"certainly no database" * 1000)
    (kept,) = care.restore(f"sqlite:///{file}", to, print)
    assert kept.read_bytes().startswith(b"certainly")
    file.unlink()
    assert care.restore(f"sqlite:///{file}", to, print) == []
    assert content(f"sqlite:///{file}") == (["a", "b"], 2)


def test_a_bad_backup_changes_nothing(file, tmp_path):
    grown(f"sqlite:///{file}").close()
    names = sorted(path.name for path in tmp_path.iterdir())
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "text").write_text("no database")
    raw = sqlite3.connect(other / "foreign.db")
    raw.execute("CREATE TABLE alembic_version (version_num TEXT)")
    raw.execute("INSERT INTO alembic_version VALUES ('0999')")
    raw.commit()
    raw.close()
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 4096 // 2 * 4096 :][:16] = bytes(16)
    (other / "damaged").write_bytes(whole[: len(whole) // 2])
    for name, reason in (
        ("text", "intact"),
        ("foreign.db", "0999"),
        ("damaged", "damaged|intact"),
        ("absent", "intact"),
    ):
        with pytest.raises(Misconfigured, match=reason):
            care.restore(f"sqlite:///{file}", other / name, print)
    assert sorted(path.name for path in tmp_path.iterdir() if path != other) == names
    assert content(f"sqlite:///{file}") == (["a", "b"], 2)


def test_a_journal_that_a_mesh_trades_on_is_not_replaced(file):
    journal = grown(f"sqlite:///{file}")
    to = file.with_name("backup.db")
    care.back_up(f"sqlite:///{file}", to)
    journal.take(*ACCOUNT, "holder", time.time_ns(), mesh="live@host:1")

    def states_again(text):
        journal.commit(*ACCOUNT, 2, [Batch("again", (PutSeen(time.time_ns()),))])

    with pytest.raises(AccountHeld, match=r"account acme/main is held by mesh live@host:1: .* venuemesh down"):
        care.restore(f"sqlite:///{file}", to, states_again)
    journal.close()
    assert content(f"sqlite:///{file}") == (["a", "b"], 2)


def test_a_dead_mesh_whose_clock_was_ahead_does_not_hold_the_journal_for_ever(file, monkeypatch):
    monkeypatch.setattr("venuemesh.journal.holds.HELD_NS", 1)
    monkeypatch.setattr("venuemesh.journal.holds.LOOK_S", 0.0)
    journal = grown(f"sqlite:///{file}")
    to = file.with_name("backup.db")
    care.back_up(f"sqlite:///{file}", to)
    journal.take(*ACCOUNT, "holder", 2 * time.time_ns(), mesh="dead@host:1")
    journal.close()
    told = []
    care.restore(f"sqlite:///{file}", to, told.append)
    assert told == ["account acme/main was held by mesh dead@host:1 a moment ago; looking whether it lives"]


RESTORE = """
import sys
from pathlib import Path
from venuemesh.journal import care
care.restore(sys.argv[1], Path(sys.argv[2]), print)
print("done")
"""


@pytest.mark.parametrize("call", ["os.rename", "os.replace", "os.link"])
def test_a_kill_during_a_restore_loses_nothing_and_it_can_be_repeated(file, call):
    """Killed before each renaming: a file with the newer content is there at any time, and a repetition completes."""
    to = file.with_name("backup.db")
    journal = grown(f"sqlite:///{file}")
    care.back_up(f"sqlite:///{file}", to)
    journal.commit(*ACCOUNT, 1, [Batch("later", (put("later"), put_event()))])
    journal.close()
    kill = (
        f"import os, signal\nmade = 0\nreal = {call}\n"
        "def dying(*arguments, **named):\n    global made\n    made += 1\n"
        f"    if made == int(__import__('sys').argv[3]):\n        os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
        f"    return real(*arguments, **named)\n{call} = dying\n"
    )
    for at in (1, 2, 3):
        command = [sys.executable, "-c", kill + RESTORE, f"sqlite:///{file}", str(to), str(at)]
        ended = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
        )
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        there = [path for path in file.parent.iterdir() if path == file or ".replaced-" in path.name]
        assert any(
            "later" in content(f"sqlite:///{path}")[0] for path in there if not path.name.endswith(("-wal", "-shm"))
        )
    care.restore(f"sqlite:///{file}", to, print)
    assert content(f"sqlite:///{file}") == (["a", "b"], 2)


EXPORT = """
import sys
from pathlib import Path
from venuemesh.journal.export import export
export(sys.argv[1], "orders", "csv", sys.argv[2], overwrite=True)
"""


def test_a_kill_during_an_export_leaves_the_earlier_file(file):
    grown(f"sqlite:///{file}").close()
    to = file.with_name("orders.csv")
    to.write_text("earlier")
    kill = (
        "import os, signal\nfrom venuemesh.journal import export as module\n"
        "module.CsvSink.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", kill + EXPORT, f"sqlite:///{file}", str(to)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert to.read_text() == "earlier"
    assert content(f"sqlite:///{file}") == (["a", "b"], 2)
