"""`venuemesh journal` as an operator runs it."""

import json
import sys

import pytest

from tests.fakes.records import ACCOUNT, put, put_event
from venuemesh.actors.orders.watermarks import Watermarks
from venuemesh.cli.app import main
from venuemesh.journal.journal import Journal
from venuemesh.journal.writes import Batch


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "journal.db"
    journal = Journal.open(f"sqlite:///{path}")
    epoch = journal.take(*ACCOUNT, "holder", 1)
    journal.commit(*ACCOUNT, epoch, [Batch("a", (put(), put_event()))])
    Watermarks(journal.name).write(*ACCOUNT, journal.standing(*ACCOUNT))
    journal.close()
    return path


@pytest.fixture
def run(file, monkeypatch, capsys):
    """Run a command on the journal; return its output, or its error."""

    def command(*arguments, status=0):
        url = ["--journal", f"sqlite:///{file}"]
        monkeypatch.setattr(sys, "argv", ["venuemesh", "journal", *map(str, arguments), *url])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert ended.value.code == status, printed
        return printed.out if status in (0, 1) else printed.err

    return command


def standing(file):
    journal = Journal.open(f"sqlite:///{file}", create=False)
    try:
        return journal.standing(*ACCOUNT)
    finally:
        journal.close()


def test_a_backup_is_restored_as_another_lineage_that_this_host_knows(run, file, tmp_path):
    to = tmp_path / "backup.db"
    assert json.loads(run("backup", "-o", to, "--json"))["file"] == str(to)
    assert "exists already" in run("backup", "-o", to, status=2)
    before = standing(file)
    assert "--yes" in run("restore", to, status=2)  # no terminal to ask at
    assert standing(file) == before
    answer = json.loads(run("restore", to, "--yes", "--json").splitlines()[-1])
    assert answer["accounts"] == ["acme/main"]
    after = standing(file)
    assert after.lineage != before.lineage
    assert Watermarks(str(file)).read(*ACCOUNT) == after


def test_a_missing_journal_is_begun_anew_only_when_accepted(run, file):
    for path in file.parent.glob("journal.db*"):
        path.unlink()
    assert "does not exist" in run("check", status=2)
    assert not file.exists()
    assert json.loads(run("accept", "--yes", "--json"))["accounts"] == []
    assert file.exists()
    assert Watermarks(str(file)).is_empty


def test_an_older_copy_is_accepted(run, file):
    Watermarks(str(file)).write(*ACCOUNT, standing(file).__class__("other", 9, 9, 9))
    run("accept", "--yes")
    assert Watermarks(str(file)).read(*ACCOUNT) == standing(file)


def test_a_check_ends_with_status_1_if_anything_is_wrong(run, file):
    assert json.loads(run("check", "--json")) == {"journal": str(file), "accounts": 1, "problems": []}
    journal = Journal.open(f"sqlite:///{file}")
    journal.database.run(lambda connection: connection.exec_driver_sql("DELETE FROM events"), write=True)
    journal.database.run(lambda connection: connection.exec_driver_sql("UPDATE orders SET filled = '1'"), write=True)
    journal.close()
    assert "order o1 is filled by 1, and its fills are 0" in run("check", status=1)
