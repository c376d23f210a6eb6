"""A journal that lacks what it had is never traded on: removed, moved, replaced, an older copy, another lineage."""

import shutil
import sqlite3

import pytest

from tests.fakes.records import ACCOUNT, put, put_event
from venuemesh.journal import schema
from venuemesh.journal.journal import HELD_NS, Journal
from venuemesh.journal.records import Standing
from venuemesh.journal.writes import Batch, PutSeen
from venuemesh.model.errors import (
    AccountHeld,
    EventsRewound,
    Fenced,
    JournalMissing,
    JournalRewound,
    JournalUnavailable,
)
from venuemesh.model.order import EventType


@pytest.fixture
def file(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def sqlite(file):
    journal = Journal.open(f"sqlite:///{file}", wait_s=0.05)
    yield journal
    journal.close()


def one(name):
    return Batch(name, (put(name), put_event()))


def companions(file):
    return [file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")]


def test_a_removed_file_takes_no_commit_and_is_not_made_anew(sqlite, file):
    epoch = sqlite.take(*ACCOUNT, "holder", 1)
    assert sqlite.commit(*ACCOUNT, epoch, [one("a")]) == [[1]]
    for path in companions(file):
        path.unlink(missing_ok=True)
    for name in ("b", "c"):
        with pytest.raises(JournalUnavailable, match=r"journal\.db.*(removed or moved)"):
            sqlite.commit(*ACCOUNT, epoch, [one(name)])
        with pytest.raises(JournalUnavailable, match="removed or moved"):
            sqlite.load(*ACCOUNT)
    assert not file.exists()
    with pytest.raises(JournalMissing):
        Journal.open(f"sqlite:///{file}", create=False)
    assert not file.exists()


def test_a_log_that_was_removed_takes_no_commit(sqlite, file):
    epoch = sqlite.take(*ACCOUNT, "holder", 1)
    sqlite.commit(*ACCOUNT, epoch, [one("a")])
    companions(file)[1].unlink()
    with pytest.raises(JournalUnavailable, match=r"journal\.db-wal was removed"):
        sqlite.commit(*ACCOUNT, epoch, [one("b")])


def test_a_file_that_was_moved_away_is_not_written_for_two(sqlite, file):
    """Otherwise the fence would be void: one writer in the moved file, another in a new one, each with its epoch."""
    epoch = sqlite.take(*ACCOUNT, "holder", 1)
    sqlite.commit(*ACCOUNT, epoch, [one("a")])
    away = file.with_name("moved")
    away.mkdir()
    for path in companions(file):
        path.rename(away / path.name)
    other = Journal.open(f"sqlite:///{file}")
    other.take(*ACCOUNT, "successor", 2)
    with pytest.raises(JournalUnavailable, match="replaced by another file"):
        sqlite.commit(*ACCOUNT, epoch, [one("b")])
    with pytest.raises(JournalRewound):  # now over a new connection: the new file never saw its commits
        sqlite.commit(*ACCOUNT, epoch, [one("b")])
    other.close()


def test_a_file_that_comes_back_is_written_again(sqlite, file):
    epoch = sqlite.take(*ACCOUNT, "holder", 1)
    sqlite.commit(*ACCOUNT, epoch, [one("a")])
    away = file.with_name("moved")
    away.mkdir()
    for path in companions(file):
        path.rename(away / path.name)
    with pytest.raises(JournalUnavailable):
        sqlite.commit(*ACCOUNT, epoch, [one("b")])  # into the moved file
    for path in sorted(away.iterdir()):
        path.rename(file.with_name(path.name))
    assert sqlite.commit(*ACCOUNT, epoch, [one("b"), one("c")]) == [[2], [3]]  # b was not applied twice
    assert [event.number for event in sqlite.events(*ACCOUNT, 0)] == [1, 2, 3]


def copied(journal):
    """Return a function that puts the journal back to the state of now, as an older copy or a stale replica would."""
    if journal.is_sqlite:
        path = journal.database.url.database
        copy, raw = sqlite3.connect(f"{path}.copy"), sqlite3.connect(path)
        raw.backup(copy)
        copy.close()
        raw.close()

        def back():
            for end in ("-wal", "-shm"):
                shutil.rmtree(f"{path}{end}", ignore_errors=True)
            into, old = sqlite3.connect(path), sqlite3.connect(f"{path}.copy")
            old.backup(into)  # in place: the file's inode stays
            into.close()
            old.close()

        return back
    saved = journal.database.run(
        lambda connection: {
            table.name: [dict(row) for row in connection.execute(table.select()).mappings()]
            for table in schema.metadata.sorted_tables
        },
        write=False,
    )

    def restore(connection):
        for table in reversed(schema.metadata.sorted_tables):
            connection.execute(table.delete())
        for table in schema.metadata.sorted_tables:
            if saved[table.name]:
                connection.execute(table.insert(), saved[table.name])

    return lambda: journal.another().database.run(restore, write=True)


def test_an_older_copy_under_a_living_writer_is_refused_with_the_same_epoch(url):
    journal = Journal.open(url)
    epoch = journal.take(*ACCOUNT, "holder", 1)
    journal.commit(*ACCOUNT, epoch, [one("a")])
    back = copied(journal)
    assert journal.commit(*ACCOUNT, epoch, [one("b"), one("c")]) == [[2], [3]]
    back()
    for _ in range(2):
        with pytest.raises(JournalRewound, match="older copy: its next event is 2, and it was 4"):
            journal.commit(*ACCOUNT, epoch, [one("d")])
    reached = journal.reached(*ACCOUNT, "lineage")
    assert reached == Standing("lineage", epoch, 4, 3)
    assert journal.event_range(*ACCOUNT) == (1, 2)  # nothing was numbered twice
    journal.close()


def test_an_older_copy_with_an_older_epoch_is_no_newer_writer(url):
    journal = Journal.open(url)
    journal.take(*ACCOUNT, "holder", 1)
    back = copied(journal)
    epoch = journal.take(*ACCOUNT, "holder", 1)
    back()
    with pytest.raises(JournalRewound, match="its epoch is 1, and it was 2"):
        journal.commit(*ACCOUNT, epoch, [one("d")])
    journal.close()


def test_take_compares_with_what_is_known(journal):
    epoch = journal.take(*ACCOUNT, "holder", 1)
    journal.commit(*ACCOUNT, epoch, [one("a")])
    standing = journal.standing(*ACCOUNT)
    assert standing is not None
    assert (standing.epoch, standing.next_event, standing.batches) == (1, 2, 1)
    assert standing.lineage
    assert journal.take(*ACCOUNT, "holder", 1, known=standing) == 2
    for lacking, text in (
        (Standing(standing.lineage, 1, 3, 1), "next event is 2, and it was 3"),
        (Standing(standing.lineage, 1, 2, 2), "number of commits is 1, and it was 2"),
        (Standing(standing.lineage, 3, 2, 1), "epoch is 2, and it was 3"),
        (Standing("another", 1, 1, 0), "another journal"),
    ):
        with pytest.raises(JournalRewound, match=f"{text}.*venuemesh journal accept"):
            journal.take(*ACCOUNT, "holder", 1, known=lacking)
    assert journal.standing(*ACCOUNT).epoch == 2  # a refused take changes nothing
    with pytest.raises(JournalRewound):
        journal.take("acme", "new", "holder", 1, known=standing)
    assert journal.standing("acme", "new") is None


def test_another_mesh_holds_the_account_as_long_as_it_says_so(journal):
    epoch = journal.take(*ACCOUNT, "holder", 1, mesh="one@a:1")
    journal.commit(*ACCOUNT, epoch, [Batch("seen", (PutSeen(HELD_NS),))])
    with pytest.raises(AccountHeld, match="account acme/main is held by mesh one@a:1") as caught:
        journal.take(*ACCOUNT, "other", 2 * HELD_NS - 1, mesh="two@b:1")
    assert caught.value.seen_ns == HELD_NS
    journal.commit(*ACCOUNT, epoch, [one("a")])  # the refused mesh did not fence it
    assert journal.take(*ACCOUNT, "next", 2 * HELD_NS - 1, mesh="one@a:1") == 2  # the same mesh takes it at any time
    assert journal.take(*ACCOUNT, "other", 3 * HELD_NS, mesh="two@b:1") == 3  # one@a:1 stated nothing since
    journal.commit(*ACCOUNT, 3, [Batch("given up", (PutSeen(0),))])
    assert journal.take(*ACCOUNT, "back", 3 * HELD_NS + 1, mesh="one@a:1") == 4


def test_a_renewed_journal_fences_managers_and_tells_readers(journal):
    epoch = journal.take(*ACCOUNT, "holder", 1, mesh="one@a:1")
    journal.commit(*ACCOUNT, epoch, [one("a")])
    before = journal.standing(*ACCOUNT)
    assert journal.renew("restored from a backup", 5) == [ACCOUNT]
    with pytest.raises(Fenced):
        journal.commit(*ACCOUNT, epoch, [one("b")])
    after = journal.standing(*ACCOUNT)
    assert after.lineage != before.lineage
    event = journal.events(*ACCOUNT, 1)[0]
    assert (event.type, event.reason) == (EventType.RESTORED, "restored from a backup")
    assert journal.take(*ACCOUNT, "other", 2, mesh="two@b:1", known=after) == after.epoch + 1  # no mesh holds it
    with pytest.raises(JournalRewound):
        journal.take(*ACCOUNT, "other", 2, known=before)


def test_events_ahead_of_the_journal_are_a_typed_error(journal):
    epoch = journal.take(*ACCOUNT, "holder", 1)
    journal.commit(*ACCOUNT, epoch, [one("a")])
    assert journal.events(*ACCOUNT, 1) == []
    with pytest.raises(EventsRewound) as caught:
        journal.events(*ACCOUNT, 2)
    assert (caught.value.after, caught.value.last) == (2, 1)


def test_damage_is_found_before_anything_is_written(sqlite, file):
    epoch = sqlite.take(*ACCOUNT, "holder", 1)
    sqlite.commit(*ACCOUNT, epoch, [Batch("b", tuple(put(f"o{n}") for n in range(500)))])
    assert sqlite.database.damage() is None
    sqlite.close()
    content = bytearray(file.read_bytes())
    page = len(content) // 4096 // 2 * 4096
    content[page : page + 64] = bytes(64)  # the head of a page in the middle
    file.write_bytes(content)
    damage = Journal.open(f"sqlite:///{file}").database.damage()
    assert damage is not None
