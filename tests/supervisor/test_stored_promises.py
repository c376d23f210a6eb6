"""The promises of budgets in the store: few writes, and only those of the newest supervisor count."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tests.fakes.cells import FakeStore
from tests.supervisor.test_shell import until
from venuemesh.model.backoff import Backoff
from venuemesh.supervisor import stored_promises
from venuemesh.supervisor.retrying_store import Durable
from venuemesh.supervisor.stored_promises import StoredPromises

A, B = "limits/acme/here", "limits/other/here"


class CountingStore(FakeStore):
    """Counts its writes; each waits while `gate` is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.gate = threading.Event()
        self.gate.set()

    def put(self, name: str, value: Any) -> None:
        self.writes += 1
        self.gate.wait(10.0)
        super().put(name, value)


def made(store: FakeStore, birth: str = "1", epoch: int | None = None) -> StoredPromises:
    """Return the promises of a new supervisor, or of one with an old epoch."""
    loop = asyncio.get_running_loop()
    durable = Durable(Backoff(first_s=0.001, cap_s=0.001, jitter=0.0))
    return StoredPromises(store, durable, epoch or store.next_epoch(), birth, loop.create_task)


def record(version: int) -> dict[str, Any]:
    return {"cell": "cell-1", "promise": {"version": version}}


async def test_the_next_supervisor_reads_the_newest_of_each_budget() -> None:
    store = FakeStore()
    first = made(store)
    assert await first.read() == {}
    assert await first.put(A, record(1), 1.0)
    assert await first.put(A, record(2), 1.0)
    assert await first.put(B, record(7), 1.0)
    second = made(store)
    assert await second.read() == {A: record(2), B: record(7)}
    assert await second.put(A, None, 1.0)
    await until(lambda: sorted(store.values) == ["epoch", "promises/2"])
    assert await made(store).read() == {B: record(7)}
    assert await made(store, birth="2").read() == {}, "another mesh of this name has stored it"


async def test_that_a_promise_is_used_up_is_stored_only_where_there_is_one() -> None:
    store = CountingStore()
    assert await made(store).put(A, None, 1.0)
    assert store.writes == 0


async def test_what_an_older_supervisor_writes_late_does_not_count() -> None:
    store = FakeStore()
    first = made(store)
    assert await first.put(A, record(1), 1.0)
    second = made(store)
    await second.read()
    assert await second.put(A, None, 1.0)
    assert not await first.put(A, record(2), 0.05), "it is acknowledged, and the newer supervisor does not know it"
    assert await made(store).read() == {}


async def test_changes_during_a_write_are_written_together() -> None:
    store = CountingStore()
    promises = made(store)
    store.gate.clear()
    first = asyncio.ensure_future(promises.put(A, record(0), 5.0))
    await until(lambda: store.writes == 1)
    waiting = [first, *(asyncio.ensure_future(promises.put(A, record(n), 5.0)) for n in range(20))]
    assert not await promises.put(B, record(2), 0.01), "a slow store delays no caller for longer"
    store.gate.set()
    assert all(await asyncio.gather(*waiting))
    assert store.writes == 2
    assert await made(store).read() == {A: record(19), B: record(2)}


async def test_writes_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_promises, "PERIOD_S", 0.2)
    store = CountingStore()
    promises = made(store)
    began = asyncio.get_running_loop().time()
    for version in range(3 * stored_promises.WRITES):
        assert await promises.put(A, record(version), 5.0)
    assert store.writes == 3 * stored_promises.WRITES
    assert asyncio.get_running_loop().time() - began >= 0.4


async def test_the_newest_is_written_when_the_store_is_back() -> None:
    store = FakeStore()
    promises = made(store)
    store.away = 5
    assert await promises.put(A, record(1), 5.0)
    store.away = 10**9
    assert not await promises.put(A, record(2), 0.01)
    assert not await promises.put(A, record(3), 0.01)
    store.away = 0
    assert await promises.put(A, record(4), 5.0)
    assert await made(store).read() == {A: record(4)}


async def test_nothing_is_written_after_the_end_of_the_mesh() -> None:
    store = CountingStore()
    promises = made(store)
    promises.close()
    assert not await promises.put(A, record(1), 0.01)
    assert store.writes == 0
