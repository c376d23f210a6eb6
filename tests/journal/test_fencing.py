"""Real processes on one journal, fenced, stopped, killed: no write is partial, no number is missing or used twice."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes import journal_writer
from tests.fakes.records import ACCOUNT, fill, order, put_event
from venuemesh.journal.journal import Journal
from venuemesh.journal.writes import Batch
from venuemesh.model.errors import JournalUnavailable

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def writer(*arguments, failpoint=""):
    """Start a writing process; it has ended after the block."""
    process = subprocess.Popen(
        [sys.executable, journal_writer.__file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "VENUEMESH_FAILPOINT": failpoint},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def lines(process):
    return [json.loads(line) for line in process.communicate(timeout=120)[0].splitlines()]


def until_stopped(process):
    """Return once the process is stopped by its failpoint."""
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)


def check_whole(journal, account="main"):
    """Assert that the first of the two batches are complete and the rest is absent; return how many are complete."""
    of = ("acme", account)
    loaded = journal.load(*of)
    count = len(loaded.orders)
    names = [f"b-{n}" for n in range(count)]
    assert loaded.orders == [order(name, account=account) for name in names]
    assert loaded.fills == [fill(name, name) for name in names]
    assert loaded.requests == []
    assert list(loaded.marks) == list(loaded.cursors) == list(loaded.pauses) == names
    assert [(one.number, one.reason) for one in journal.events(*of, 0)] == [
        (2 * n + k, name) for n, name in enumerate(names) for k in (1, 2)
    ]
    assert journal.event_range(*of) == (1, 2 * count + 1)
    assert all(len(journal.transitions(*of, name)) == 2 for name in names)
    assert all(journal.request(*of, name).outcome == "accepted" for name in names)
    assert journal.request(*of, f"b-{count}") is None
    return count


def test_a_kill_anywhere_leaves_whole_batches(url):
    with writer("crash", url) as process:
        output = lines(process)
    reached = next(line["reached"] for line in output if "reached" in line)
    assert {"journal.begin", "journal.write", "journal.commit", "journal.committed"} == set(reached)
    assert len(reached) > 30
    journal = Journal.open(url)
    done, acknowledged = [], 0
    for line in output[output.index({"reached": reached}) + 1 :]:
        if "batch" in line:
            acknowledged += 1
        if "case" not in line:
            continue
        account = line["account"]
        assert line["signal"] == signal.SIGKILL, line
        count = check_whole(journal, account)
        # What was answered is there; what is there and was not answered was killed right behind its COMMIT.
        assert count == acknowledged or (count == acknowledged + 1 and line["case"].startswith("journal.committed"))
        epoch = journal.take("acme", account, "successor", 2)
        repeated = journal.commit("acme", account, epoch, journal_writer.batches(account))  # does not know what was
        assert repeated == [[1, 2], [3, 4]]
        assert check_whole(journal, account) == 2
        done.append(count)
        acknowledged = 0
    journal.close()
    assert len(done) > len(reached) // 2
    assert set(done) == {0, 1, 2}


def test_a_kill_while_the_tables_are_made_leaves_none_of_them(url):
    with writer("once", url, failpoint="journal.commit:1") as process:
        assert lines(process) == []
        assert process.returncode == -signal.SIGKILL
    journal = Journal.open(url)
    assert journal.load(*ACCOUNT).epoch == 0
    journal.close()


def test_a_writer_stopped_before_its_transaction_is_fenced_when_it_continues(url):
    with writer("once", url, failpoint="journal.begin:4:stop") as process:  # open, take, first batch, second
        until_stopped(process)
        journal = Journal.open(url)
        epoch = journal.take(*ACCOUNT, "successor", 2)
        assert journal.commit(*ACCOUNT, epoch, [Batch("s", (put_event(),))]) == [[3]]
        process.send_signal(signal.SIGCONT)
        assert lines(process)[-1] == {"fenced": "b-1", "seen": epoch}
    assert len(journal.load(*ACCOUNT).orders) == 1
    assert journal.event_range(*ACCOUNT) == (1, 4)
    journal.close()


def test_a_writer_stopped_inside_its_transaction_is_waited_for_no_longer_than_its_limit(url):
    with writer("once", url, failpoint="journal.commit:4:stop") as process:
        until_stopped(process)
        journal = Journal.open(url, wait_s=0.3)
        with pytest.raises(JournalUnavailable):
            journal.take(*ACCOUNT, "successor", 2)
        assert check_whole(journal) == 1  # readers need not wait
        process.kill()  # as the node agent does before a successor serves
        process.wait()
        deadline = time.monotonic() + 30.0
        while True:  # a server learns of the death a moment later
            with contextlib.suppress(JournalUnavailable):
                assert journal.take(*ACCOUNT, "successor", 2) >= 2
                break
            assert time.monotonic() < deadline
    assert check_whole(journal) == 1
    journal.close()


def test_writers_that_fight_for_an_account_leave_numbers_without_hole_or_repetition(url):
    names = ("a", "b", "c")
    Journal.open(url).close()
    with contextlib.ExitStack() as stack:
        fighting = [stack.enter_context(writer("fight", url, name, "15")) for name in names]
        for process in fighting:
            process.stdin.write("go\n")
            process.stdin.flush()
        output = [line for process in fighting for line in lines(process)]
        assert [process.returncode for process in fighting] == [0, 0, 0]
    committed = {line["batch"]: line for line in output if "batch" in line}
    fenced = {one for line in output if "fenced" in line for one in line["fenced"]}
    assert committed
    assert fenced
    assert not committed.keys() & fenced
    journal = Journal.open(url)
    events = journal.events(*ACCOUNT, 0, 10_000)
    assert [one.number for one in events] == list(range(1, len(events) + 1))
    assert journal.event_range(*ACCOUNT) == (1, len(events) + 1)
    assert journal.load(*ACCOUNT).epoch == 15 * len(names)
    numbered = sorted((number, name) for name, line in committed.items() for number in line["numbers"])
    assert numbered == [(one.number, one.reason) for one in events]
    assert all(len(line["numbers"]) == line["asked"] for line in committed.values())
    in_order = [committed[one.reason]["epoch"] for one in events]
    assert in_order == sorted(in_order)  # once a newer epoch has written, no older one does
    journal.close()
