"""What a manager demands of its account's journal before it trades on it, and how it holds the account."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from venuemesh.actors.cell.role import Context
from venuemesh.actors.orders import account_journal
from venuemesh.actors.orders.account_journal import AccountJournal
from venuemesh.actors.orders.watermarks import Watermarks
from venuemesh.journal.journal import HELD_NS
from venuemesh.journal.settings import JournalSettings
from venuemesh.journal.writes import PutMark
from venuemesh.keystore.state_folder import state_folder
from venuemesh.model.errors import AccountHeld, Fenced, JournalRewound, JournalUnavailable, Misconfigured

OF = ("acme", "main")


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(account_journal, "RETRY_S", 0.01)
    monkeypatch.setattr(account_journal, "SEEN_EVERY_S", 0.01)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "journal.db"


class Manager:
    """An account's journal as one manager of a mesh uses it, with its own clock."""

    def __init__(self, file, mesh="one", node="n1", *, remember=True, now_ns=1, wait_s=0.05):
        self.now_ns, self.mono_ns = now_ns, 0
        self.waits, self.waits_once = [], asyncio.Event()
        context = Context.alone(mesh, "orders/acme/main", ask=None, fail=None, segments=Path(), node=node)
        context.time_ns = lambda: self.now_ns
        context.monotonic_ns = lambda: self.mono_ns
        settings = JournalSettings(f"sqlite:///{file}", wait_s=wait_s, remember=remember)
        self.journal = AccountJournal(settings, *OF, context, self._wait)

    def _wait(self, error):
        self.waits.append(error)
        self.waits_once.set()

    async def start(self):
        self.committer = await self.journal.take()
        return self

    async def trade(self, *names):
        for name in names:
            await self.committer.commit([PutMark(name, "x")])

    async def die(self):
        """End without giving the account up."""
        await self.committer.close()

    async def stop(self):
        await self.journal.release(self.committer)
        await self.committer.close()


def gone(file):
    for end in ("", "-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)


async def test_the_first_start_creates_the_journal_and_no_later_one(file):
    first = await Manager(file).start()
    await first.trade("a")
    await first.stop()
    gone(file)
    with pytest.raises(JournalRewound, match=r"does not exist, although it has been traded with.*journal accept"):
        await Manager(file).start()
    assert not file.exists()


async def test_another_account_of_the_journal_does_not_create_it_either(file):
    await (await Manager(file).start()).stop()
    gone(file)
    other = Manager(file)
    other.journal._account = "second"
    with pytest.raises(JournalRewound):
        await other.start()
    assert not file.exists()


async def test_an_older_copy_is_refused_and_the_right_file_taken(file, tmp_path):
    first = await Manager(file).start()
    await first.stop()
    older = file.read_bytes()
    second = await Manager(file).start()
    await second.trade("a", "b")
    await second.stop()
    newer = file.read_bytes()
    gone(file)
    file.touch(mode=0o600)
    file.write_bytes(older)
    with pytest.raises(JournalRewound, match="its epoch is 1, and it was 2"):
        await Manager(file).start()
    gone(file)
    file.touch(mode=0o600)
    file.write_bytes(newer)
    third = await Manager(file).start()
    assert third.committer.epoch == 3
    await third.stop()


async def test_commits_of_the_last_run_count_too(file):
    """The epoch of the copy is the last one; only the numbers of events and commits tell."""
    first = await Manager(file).start()
    await first.trade("a")
    older = [(path, path.read_bytes()) for path in file.parent.glob("journal.db*")]
    await first.trade("b")
    await first.stop()
    gone(file)
    for path, content in older:
        path.touch(mode=0o600)
        path.write_bytes(content)
    with pytest.raises(JournalRewound, match="its number of commits is 1, and it was 3"):
        await Manager(file).start()


async def test_a_copy_under_a_living_manager_is_refused_to_its_successor(file):
    """The mark on the host is from the start of the manager; what its own commits reached is added when it ends."""
    manager = await Manager(file).start()
    await manager.trade("a")
    marks = Watermarks(str(file))
    before = marks.read(*OF)
    manager.journal.rewound()
    after = marks.read(*OF)
    assert (before.batches, after.batches, after.lineage) == (0, 1, before.lineage)
    await manager.die()


async def test_a_damaged_journal_is_not_traded_on_and_not_written(file):
    first = await Manager(file).start()
    await first.committer.commit([PutMark(f"m{n}", "x" * 500) for n in range(300)])
    await first.stop()
    content = bytearray(file.read_bytes())
    middle = len(content) // 4096 // 2 * 4096
    content[middle : middle + 16] = bytes(16)
    file.write_bytes(content)
    for _ in range(2):
        with pytest.raises(Misconfigured, match=r"damaged and is not traded on .* venuemesh journal restore"):
            await Manager(file, node="n2").start()
    assert file.read_bytes() == bytes(content)


async def test_a_successor_on_the_node_does_not_read_the_whole_file_again(file, monkeypatch):
    checks = []
    monkeypatch.setattr(
        "venuemesh.journal.database.Database.damage", lambda database: checks.append(database.name) or None
    )
    for node, expected in (("n1", 1), ("n1", 1), ("n2", 2), ("n2", 2)):
        await (await Manager(file, node=node).start()).die()
        assert len(checks) == expected, node


async def test_a_second_mesh_says_so_at_its_start(file):
    first = await Manager(file, "one").start()
    second = Manager(file, "two", now_ns=2)
    starting = asyncio.ensure_future(second.start())
    await second.waits_once.wait()
    holding = asyncio.ensure_future(
        first.journal.hold(first.committer, lambda writes: first.committer.commit(writes), first.waits.append)
    )
    first.now_ns = 5  # and the first mesh says again that it holds the account
    with pytest.raises(AccountHeld, match="account acme/main is held by mesh one"):
        await starting
    assert isinstance(second.waits[0], AccountHeld)
    await first.trade("a")  # it is not fenced
    holding.cancel()
    await first.stop()
    await (await Manager(file, "two", now_ns=6).start()).stop()  # it was given up


async def test_a_mesh_that_died_holds_the_account_no_longer_than_stated(file):
    await (await Manager(file, "one").start()).die()
    second = Manager(file, "two", now_ns=2)
    starting = asyncio.ensure_future(second.start())
    await second.waits_once.wait()
    second.now_ns = 1 + HELD_NS
    assert (await starting).committer.epoch == 2
    await second.stop()


async def test_a_dead_mesh_whose_clock_was_ahead_does_not_hold_the_account_for_ever(file):
    await (await Manager(file, "one", now_ns=10**18).start()).die()
    second = Manager(file, "two", now_ns=2)
    starting = asyncio.ensure_future(second.start())
    await second.waits_once.wait()
    second.mono_ns += HELD_NS
    assert (await starting).committer.epoch == 2
    await second.stop()


async def test_holding_tells_that_the_file_is_gone_and_that_another_took_the_account(file):
    manager = await Manager(file).start()
    down, is_down = [], asyncio.Event()
    holding = asyncio.ensure_future(
        manager.journal.hold(
            manager.committer,
            lambda writes: manager.committer.commit(writes),
            lambda error: (down.append(error), is_down.set()),
        )
    )
    away = file.with_name("moved")
    away.mkdir()
    for path in file.parent.glob("journal.db*"):
        path.rename(away / path.name)
    await is_down.wait()
    assert isinstance(down[0], JournalUnavailable)
    for path in sorted(away.iterdir()):
        path.rename(file.with_name(path.name))
    successor = await Manager(file).start()
    with pytest.raises(Fenced):
        await holding
    await successor.stop()
    await manager.committer.close()


async def test_a_mark_that_cannot_follow_is_shown_and_ends_no_trading(file):
    """A full disk of the state folder, as one example: the journal may be elsewhere and have room."""
    manager = await Manager(file, wait_s=60.0).start()
    written = asyncio.Event()

    async def write(writes):
        await manager.committer.commit(writes)
        written.set()

    (mark,) = state_folder().rglob("acme.main.json")
    folder, away = mark.parent, state_folder() / "away"
    folder.rename(away)
    folder.write_text("in the way")
    holding = asyncio.ensure_future(manager.journal.hold(manager.committer, write, manager.waits.append))
    while manager.journal.problem is None:
        written.clear()
        await written.wait()
    assert not holding.done()
    assert "cannot be" in manager.journal.problem
    manager.journal.rewound()  # the end of a manager is not stopped by it either
    folder.unlink()
    away.rename(folder)
    while manager.journal.problem is not None:
        written.clear()
        await written.wait()
    holding.cancel()
    await manager.stop()
    assert manager.waits == []


async def test_marks_are_private_and_a_damaged_one_is_named(file):
    await (await Manager(file).start()).stop()
    (mark,) = state_folder().rglob("acme.main.json")
    assert mark.stat().st_mode & 0o777 == 0o600
    numbers = '"next_event": 1, "batches": 0'
    for text in (
        "{",
        "[]",
        f'{{"lineage": "x", "epoch": 1.5, {numbers}}}',
        f'{{"lineage": null, "epoch": 1, {numbers}}}',
        f'{{"lineage": "x", "epoch": -1, {numbers}}}',
        f'{{"lineage": "x", "epoch": {2**63}, {numbers}}}',
    ):
        mark.write_text(text)
        with pytest.raises(Misconfigured, match=r"acme\.main\.json: is damaged; run: venuemesh journal accept"):
            await Manager(file).start()
    mark.chmod(0o644)
    with pytest.raises(Misconfigured, match="chmod 600"):
        await Manager(file).start()


async def test_a_journal_that_is_thrown_away_leaves_no_mark(file):
    await (await Manager(file, remember=False).start()).stop()
    assert not state_folder().exists()
    gone(file)
    await (await Manager(file, remember=False).start()).stop()


async def test_a_mark_that_cannot_be_kept_is_reported_before_trading(file, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="cannot be created"):
        await Manager(file).start()


def check(file, *accounts, waiting=None):
    settings = JournalSettings(f"sqlite:///{file}", wait_s=0.05)
    account_journal.check_journal(settings, accounts or (OF,), waiting or (lambda text: None))


async def test_a_start_is_refused_before_anything_runs(file):
    check(file)
    assert not file.exists()  # the first start makes it
    first = await Manager(file).start()
    await first.trade("a")
    await first.stop()
    check(file)
    check(file, OF, ("acme", "new"))
    older = file.read_bytes()
    second = await Manager(file).start()
    await second.stop()
    gone(file)
    with pytest.raises(JournalRewound, match="does not exist"):
        check(file)
    file.touch(mode=0o600)
    file.write_bytes(older)
    with pytest.raises(JournalRewound, match="its epoch is 1"):
        check(file)
    check(file, ("acme", "new"))


async def test_a_living_mesh_refuses_another_start_and_a_dead_one_delays_it(file):
    manager = await Manager(file, "one", now_ns=time.time_ns()).start()
    told = []

    def live(text):
        told.append(text)
        with closing(sqlite3.connect(file)) as raw:
            raw.execute("UPDATE accounts SET seen_ns = seen_ns + 1")
            raw.commit()

    def dead(text):
        told.append(text)
        with closing(sqlite3.connect(file)) as raw:
            raw.execute("UPDATE accounts SET seen_ns = 1")
            raw.commit()

    with pytest.raises(AccountHeld, match="account acme/main is held by mesh one"):
        await asyncio.to_thread(check, file, waiting=live)
    await asyncio.to_thread(check, file, waiting=dead)
    assert told == ["account acme/main was held by mesh one a moment ago; looking whether it lives"] * 2
    await manager.die()
