"""All readers of an account's events in a process share one poll, and see what their own polls would show."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Any

import pytest

from tests.fakes.clock import until
from venuemesh.mesh.event_feed import EventFeeds
from venuemesh.model.errors import EventsRewound, EventsTrimmed, MeshError, RetryLater
from venuemesh.model.order import AccountEvent, EventType

ACCOUNT = "orders/acme/main"


class Manager:
    """Answers polls of events as the order manager does, and records the polls that waited."""

    def __init__(self) -> None:
        self.first, self.last, self.lineage = 1, 0, "one"
        self.owners: dict[int, str] = {}
        self.changed = asyncio.Event()
        self.polls: list[tuple[int | None, float]] = []
        self.waiting = 0
        self.error: MeshError | None = None

    def add(self, count: int = 1, owner: str = "") -> None:
        for _ in range(count):
            self.last += 1
            self.owners[self.last] = owner
        self._wake()

    def fail(self, error: MeshError | None) -> None:
        self.error = error
        self._wake()

    def _wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def plain(self, number: int) -> dict[str, Any]:
        made = AccountEvent(number, EventType.PAUSED, "acme", "main", 7, reason=self.owners[number])
        return made.to_dict() | {"lineage": self.lineage}

    async def ask(self, address: str, kind: str, body: dict[str, Any], timeout_s: float) -> Any:
        assert (address, kind) == (ACCOUNT, "poll:events")
        self.polls.append((body["after"], timeout_s))
        after = self.last if body["after"] is None else body["after"]
        waits = timeout_s > 0.0  # a reader first asks without waiting; an error then would be that reader's
        self.waiting += waits
        try:
            async with asyncio.timeout(timeout_s):
                while self.error is None and self.last <= after:
                    await self.changed.wait()
        except TimeoutError:
            pass
        finally:
            self.waiting -= waits
        if self.error is not None:
            raise self.error
        if body["lineage"] not in (None, self.lineage):
            raise EventsRewound(after, self.last, "an older journal was restored")
        if after < self.first - 1:
            raise EventsTrimmed(self.first)
        numbers = range(after + 1, min(self.last, after + body["limit"]) + 1)
        events = [self.plain(number) for number in numbers]
        following = events[-1]["number"] if events else after
        return {"events": events, "next": following, "lineage": self.lineage, "last": self.last}


class Reader:
    """Polls as `market.events()` does."""

    def __init__(self, feeds: EventFeeds, after: int | None = None, limit: int = 500) -> None:
        self.feeds, self.after, self.limit = feeds, after, limit
        self.lineage: str | None = None
        self.seen: list[int] = []
        self.error: MeshError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        while True:
            await self.gate.wait()
            body = {"after": self.after, "lineage": self.lineage, "limit": self.limit, "owner": None}
            try:
                answer = await asyncio.wrap_future(self.feeds.submit(ACCOUNT, body, 10.0))
            except MeshError as error:
                self.error = error
                return
            self.seen += [one.number if isinstance(one, AccountEvent) else one["number"] for one in answer["events"]]
            self.after, self.lineage = answer["next"], answer["lineage"]


class Rig:
    def __init__(self, kept: int = 4096) -> None:
        self.manager, self.readers = Manager(), list[Reader]()
        loop = asyncio.get_running_loop()

        def run(work: Any) -> Future[Any]:
            return asyncio.run_coroutine_threadsafe(work, loop)

        self.feeds = EventFeeds(self.manager.ask, run, time.monotonic, kept)

    def reader(self, after: int | None = None, limit: int = 500) -> Reader:
        self.readers.append(Reader(self.feeds, after, limit))
        return self.readers[-1]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig(kept=8)
    yield made
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def test_a_hundred_readers_are_one_poll_and_each_sees_every_event(rig: Rig) -> None:
    rig.manager.add(3)
    readers = [rig.reader() for _ in range(100)]
    await until(lambda: rig.manager.waiting == 1 and len(rig.manager.polls) >= 101)
    before = len(rig.manager.polls)
    for number in range(4, 9):
        rig.manager.add()
        await until(lambda number=number: all(reader.seen[-1:] == [number] for reader in readers))
        assert rig.manager.waiting <= 1
    assert all(reader.seen == [4, 5, 6, 7, 8] for reader in readers)
    assert len(rig.manager.polls) - before <= 6  # one for each event


async def test_a_slow_reader_delays_no_other_reader_and_reads_on_by_itself(rig: Rig) -> None:
    rig.manager.add()
    fast, slow = rig.reader(), rig.reader()
    await until(lambda: rig.manager.waiting == 1)
    slow.gate.clear()
    for number in range(2, 32):  # more than are kept
        rig.manager.add()
        await until(lambda number=number: fast.seen[-1:] == [number])
    slow.gate.set()
    await until(lambda: slow.seen[-1:] == [31])
    assert fast.seen == slow.seen == list(range(2, 32))
    rig.manager.add()
    await until(lambda: slow.seen[-1:] == fast.seen[-1:] == [32])
    assert rig.manager.waiting == 1


async def test_readers_begin_at_their_own_numbers_and_end_on_the_shared_poll(rig: Rig) -> None:
    rig.manager.add(20)
    readers = [rig.reader(after, limit=3) for after in (0, 7, 19, 20)]
    await until(lambda: all(reader.after == 20 for reader in readers) and rig.manager.waiting == 1)
    rig.manager.add(5)
    await until(lambda: all(reader.after == 25 for reader in readers))
    assert [reader.seen for reader in readers] == [list(range(after + 1, 26)) for after in (0, 7, 19, 20)]


async def test_the_managers_errors_reach_every_reader(rig: Rig) -> None:
    rig.manager.add()
    readers = [rig.reader() for _ in range(5)]
    await until(lambda: rig.manager.waiting == 1)
    rig.manager.fail(EventsTrimmed(7))
    await until(lambda: all(isinstance(reader.error, EventsTrimmed) for reader in readers))
    rig.manager.fail(None)
    again = rig.reader()
    await until(lambda: rig.manager.waiting == 1)
    rig.manager.add()
    await until(lambda: again.seen == [2])


async def test_readers_of_a_journal_that_went_back_get_the_managers_error(rig: Rig) -> None:
    rig.manager.add(9)
    readers = [rig.reader() for _ in range(3)]
    await until(lambda: rig.manager.waiting == 1)
    rig.manager.lineage, rig.manager.last = "two", 4
    late = rig.reader(after=2)  # does not know a lineage yet
    rig.manager.add(8)
    await until(lambda: all(isinstance(reader.error, EventsRewound) for reader in readers))
    await until(lambda: late.seen[-1:] == [12])
    assert late.seen == list(range(3, 13))


async def test_a_manager_that_is_away_is_polled_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("venuemesh.mesh.event_feed.AGAIN_S", 0.0)
    rig.manager.add()
    reader = rig.reader()
    await until(lambda: rig.manager.waiting == 1)
    rig.manager.fail(RetryLater(0.1, "away"))
    await until(lambda: len(rig.manager.polls) > 5)
    rig.manager.error = None
    rig.manager.add()
    await until(lambda: reader.seen == [2])
    assert reader.error is None


async def test_a_reader_whose_time_is_over_gets_an_empty_page_and_one_that_gave_up_is_forgotten(rig: Rig) -> None:
    rig.manager.add()
    body = {"after": 1, "lineage": "one", "limit": 9, "owner": None}
    patient, gone = (rig.feeds.submit(ACCOUNT, body, 2.0) for _ in range(2))
    await until(lambda: rig.manager.waiting == 1)
    gone.cancel()
    assert (await asyncio.wrap_future(patient)) == {"events": [], "next": 1, "lineage": "one"}
    feed = rig.feeds._feeds[ACCOUNT]
    await until(lambda: not feed.waiting)
