import asyncio
import threading

import pytest

from tests.fakes.clock import until
from tests.fakes.records import ACCOUNT, order, put, put_event
from venuemesh.journal.committer import CHECKPOINT_EVERY, Committer
from venuemesh.journal.journal import Journal
from venuemesh.journal.writes import PutMark
from venuemesh.model.errors import Fenced, InboxFull, JournalUnavailable, Misconfigured


class Gate:
    """A journal whose commits wait for the test; it records their groups."""

    def __init__(self, journal):
        self.journal = journal
        self.groups = []
        self.entered = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.fail = {}

    def commit(self, exchange, account, epoch, batches, flushing=None):
        self.groups.append([batch.id for batch in batches])
        self.entered.release()
        assert self.let.acquire(timeout=30)
        if error := self.fail.get(len(self.groups)):
            raise error
        return self.journal.commit(exchange, account, epoch, batches, flushing)

    def another(self):
        return self.journal.another()

    def close(self):
        self.journal.close()


@pytest.fixture
async def committer(journal):
    one = Committer(journal, *ACCOUNT, journal.take(*ACCOUNT, "holder", 1))
    yield one
    await one.close()


@pytest.fixture
async def gate(journal):
    return Gate(journal)


@pytest.fixture
async def gated(gate):
    one = Committer(gate, *ACCOUNT, gate.journal.take(*ACCOUNT, "holder", 1), most=4, waiting=10)
    yield one
    for _ in range(20):
        gate.let.release()
    await one.close()


async def entered(gate):
    assert await asyncio.to_thread(gate.entered.acquire, timeout=30)


async def test_commits_are_durable_in_the_order_of_the_calls(committer, url):
    numbers = await asyncio.gather(*(committer.commit([put_event(reason=str(n))]) for n in range(200)))
    assert numbers == [[n] for n in range(1, 201)]
    events = await committer.read(lambda journal: journal.events(*ACCOUNT, 0))
    assert [one.reason for one in events] == [str(n) for n in range(200)]
    assert await committer.commit([]) == []


async def test_what_waits_goes_together(gated, gate):
    first = asyncio.create_task(gated.commit([put_event()], "first"))
    await entered(gate)
    rest = [asyncio.create_task(gated.commit([put_event()], str(n))) for n in range(6)]
    for _ in range(3):
        gate.let.release()
    assert await asyncio.gather(first, *rest) == [[n] for n in range(1, 8)]
    assert gate.groups == [["first"], ["0", "1", "2", "3"], ["4", "5"]]


async def test_when_the_journal_is_down_everything_waiting_fails_and_nothing_is_reordered(gated, gate):
    gate.fail[1] = JournalUnavailable(0.5, "no room")
    waiting = [asyncio.create_task(gated.commit([put_event(reason="lost")])) for _ in range(3)]
    await entered(gate)
    waiting += [asyncio.create_task(gated.commit([put_event(reason="lost, too")])) for _ in range(5)]
    await asyncio.sleep(0)
    gate.let.release()
    failed = await asyncio.gather(*waiting, return_exceptions=True)
    assert failed == [JournalUnavailable(0.5, "no room")] * 8
    gate.let.release()
    assert await gated.commit([put_event(reason="there again")]) == [1]
    assert len(gate.groups) == 2


async def test_a_fenced_committer_stays_fenced(committer, journal, url):
    assert await committer.commit([put_event()]) == [1]
    other = Journal.open(url)
    other.take(*ACCOUNT, "successor", 2)
    with pytest.raises(Fenced):
        await committer.commit([put_event()])
    with pytest.raises(Fenced):
        await committer.commit([put_event()])
    assert other.event_range(*ACCOUNT) == (1, 2)
    other.close()


async def test_a_bad_write_fails_alone_once_those_with_it_have_failed(committer):
    with pytest.raises(Misconfigured):
        await committer.commit([put(account="another")])
    assert await committer.commit([put_event()]) == [1]


async def test_waiting_is_bounded(gated, gate):
    first = asyncio.create_task(gated.commit([]))
    await entered(gate)
    waiting = [asyncio.create_task(gated.commit([])) for _ in range(10)]
    await asyncio.sleep(0)
    with pytest.raises(InboxFull):
        await gated.commit([])
    for _ in range(4):
        gate.let.release()
    await asyncio.gather(first, *waiting)


async def test_a_cancelled_caller_takes_nothing_back(gated, gate):
    task = asyncio.create_task(gated.commit([put("o1")]))
    await entered(gate)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    gate.let.release()
    gate.let.release()
    await gated.commit([])
    assert await gated.read(lambda journal: journal.load(*ACCOUNT).orders) == [order("o1")]


async def test_a_caller_learns_when_its_writes_wait_only_for_the_disk(gated, gate):
    heard = []
    first = gated.submit([put("o1")], None, lambda: heard.append(("o1", first.done())))
    second = gated.submit([put("o2")], None, lambda: heard.append(("o2", second.done())))
    for _ in range(2):
        gate.let.release()
    await asyncio.gather(first, second)
    assert heard == [("o1", False), ("o2", False)]


async def test_a_caller_learns_nothing_of_a_commit_that_fails_before(gated, gate):
    gate.fail[1] = JournalUnavailable(0.1, "full")
    heard = []
    failing = gated.submit([put("o1")], None, lambda: heard.append("o1"))
    gate.let.release()
    with pytest.raises(JournalUnavailable):
        await failing
    assert heard == []


async def test_reading_waits_for_no_commit(gated, gate):
    task = asyncio.create_task(gated.commit([put("o1")]))
    await entered(gate)
    assert await gated.read(lambda journal: journal.load(*ACCOUNT).orders) == []
    gate.let.release()
    await task
    assert await gated.read(lambda journal: journal.load(*ACCOUNT).orders) == [order("o1")]


async def test_a_caller_may_repeat_its_own_batch(committer):
    assert await committer.commit([put_event(), put_event()], "mine") == [1, 2]
    assert await committer.commit([put_event(), put_event()], "mine") == [1, 2]
    assert await committer.commit([put_event()]) == [3]


async def test_ids_of_two_epochs_do_not_meet(journal):
    for n in range(1, 3):
        committer = Committer(journal, *ACCOUNT, journal.take(*ACCOUNT, "holder", 1))
        assert await committer.commit([put_event()]) == [n]
        await committer.close()


async def test_closing_waits_for_what_was_asked(journal, url):
    committer = Committer(journal, *ACCOUNT, journal.take(*ACCOUNT, "holder", 1))
    asked = [asyncio.create_task(committer.commit([PutMark(str(n), "x")])) for n in range(50)]
    await asyncio.sleep(0)
    await committer.close()
    await asyncio.gather(*asked)
    with pytest.raises(JournalUnavailable):
        await committer.commit([])
    assert len(Journal.open(url).load(*ACCOUNT).marks) == 50


async def test_the_log_is_checkpointed_by_another_thread(tmp_path):
    file = tmp_path / "journal.db"
    journal = Journal.open(f"sqlite:///{file}")
    committer = Committer(journal, *ACCOUNT, journal.take(*ACCOUNT, "holder", 1))
    empty = file.stat().st_size
    for n in range(CHECKPOINT_EVERY - 1):
        await committer.commit([PutMark(str(n), "x" * 2000)])
    assert file.stat().st_size == empty
    await committer.commit([PutMark("last", "x")])
    await committer._checkpoint
    assert file.stat().st_size > empty
    log = file.with_name("journal.db-wal").stat().st_size
    for n in range(CHECKPOINT_EVERY // 2):
        await committer.commit([PutMark(str(n), "x" * 2000)])
    assert file.with_name("journal.db-wal").stat().st_size == log  # written from its start again
    await committer.close()


async def test_a_committer_that_is_forgotten_ends_its_thread(journal):
    committer = Committer(journal, *ACCOUNT, journal.take(*ACCOUNT, "holder", 1))
    await committer.commit([put_event()])
    thread = committer._writer._thread
    del committer
    await until(lambda: not thread.is_alive())
