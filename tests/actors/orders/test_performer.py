"""The performer: effects happen in their order, and never before the commit in front of them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes.clock import until
from venuemesh.actors.orders.machine.effects import Answer, Ask, Commit, Halt, MeasureClock, Purpose, Refuse, Send
from venuemesh.actors.orders.performer import Performer
from venuemesh.journal.writes import Batch, PutMark
from venuemesh.model.errors import Fenced, JournalUnavailable, Rejected


class Journal:
    """Commits on the test's request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, asyncio.Future[list[int]]]] = []
        self.flushing: dict[str, Any] = {}

    async def commit(self, writes: Any, batch_id: str | None = None, flushing: Any = None) -> list[int]:
        self.flushing[batch_id or ""] = flushing
        done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self.asked.append((batch_id or "", done))
        return await done

    def answer(self, at: int = 0, error: Exception | None = None) -> None:
        done = self.asked[at][1]
        done.set_result([]) if error is None else done.set_exception(error)


class Role:
    """Records the effects in order."""

    def __init__(self) -> None:
        self.did: list[Any] = []
        self.failed: list[Any] = []
        self.prepared: list[Any] = []

    def can_prepare(self, effect: Send) -> bool:
        return effect.request != "a call"  # type: ignore[comparison-overlap]

    def prepare(self, effect: Send) -> None:
        self.prepared.append(effect.request)

    def committed(self, writes: Any, numbers: Any) -> None:
        self.did.append(("committed", writes[0].name))

    def send(self, effect: Send) -> None:
        self.did.append(("send", effect.request))

    def ask(self, effect: Ask) -> None:
        self.did.append(("ask", effect.ask_id))

    def lookup(self, effect: Any) -> None:
        self.did.append(("lookup", effect))

    def measure_clock(self) -> None:
        self.did.append(("clock", None))

    def journal_failed(self, effects: Any, error: Any) -> None:
        self.failed.append((list(effects), error))

    def halt(self, error: BaseException) -> None:
        self.did.append(("halt", type(error).__name__))


def commit(name: str) -> Commit:
    return Commit(Batch(name, (PutMark(name, "x"),)))


def send(name: str) -> Send:
    return Send(name)  # type: ignore[arg-type]


@pytest.fixture
async def rig():
    journal, role = Journal(), Role()
    performer = Performer(journal.commit, role, lambda: None)
    yield SimpleNamespace(journal=journal, role=role, performer=performer)
    performer.stop()


async def test_nothing_behind_a_commit_happens_before_it_is_durable_and_all_of_it_in_order(rig):
    token = asyncio.get_running_loop().create_future()
    ask = Ask(7, Purpose.QUERY, None)  # type: ignore[arg-type]
    rig.performer.perform(
        [send("free"), commit("1"), send("a"), ask, MeasureClock(), commit("2"), Answer(token, "done")]
    )
    await until(lambda: len(rig.journal.asked) == 2)
    assert rig.role.did == [("send", "free"), ("ask", 7), ("clock", None)]
    rig.journal.answer(1)
    await asyncio.sleep(0.01)
    assert not token.done()
    rig.journal.answer(0)
    assert await token == "done"
    assert rig.role.did[3:] == [("committed", "1"), ("send", "a"), ("committed", "2")]
    refused = asyncio.get_running_loop().create_future()
    rig.performer.perform([Refuse(refused, Rejected("no", "no")), Halt(Rejected("x", "y"))])
    with pytest.raises(Rejected):
        await refused
    assert rig.role.did[-1] == ("halt", "Rejected")


async def test_a_failed_commit_fails_all_later_effects_and_commits_too(rig):
    rig.performer.perform([commit("1"), send("a"), commit("2"), send("b")])
    await until(lambda: len(rig.journal.asked) == 2)
    rig.journal.answer(0, JournalUnavailable(1.0, "disk full"))
    rig.performer.perform([commit("3"), send("c")])  # before the failure was handled
    rig.journal.answer(1, JournalUnavailable(1.0, "disk full"))
    await until(lambda: rig.role.failed)
    ((effects, error),) = rig.role.failed
    assert [one.batch.id if isinstance(one, Commit) else one.request for one in effects] == [
        "1",
        "a",
        "2",
        "b",
        "3",
        "c",
    ]
    assert isinstance(error, JournalUnavailable)
    assert rig.role.did == []
    assert [name for name, _ in rig.journal.asked] in (["1", "2"], ["1", "2", "3"])
    rig.performer.perform([commit("4"), send("d")])
    await until(lambda: rig.journal.asked[-1][0] == "4")
    rig.journal.answer(-1)
    await until(lambda: rig.role.did == [("committed", "4"), ("send", "d")])


async def test_a_newer_epoch_ends_the_role(rig):
    rig.performer.perform([commit("1"), send("a")])
    await until(lambda: rig.journal.asked)
    rig.journal.answer(0, Fenced("orders/acme/main", (1, 0), (2, 0)))
    await until(lambda: rig.role.did == [("halt", "Fenced")])


async def test_a_role_whose_cell_has_ended_performs_nothing_behind_its_commit():
    ended = False

    def alive() -> None:
        if ended:
            raise asyncio.CancelledError

    journal, role = Journal(), Role()
    performer = Performer(journal.commit, role, alive)
    performer.perform([commit("1"), send("a")])
    await until(lambda: len(journal.asked) == 1)
    ended = True
    journal.answer()
    await asyncio.sleep(0.01)
    performer.perform([send("b")])
    assert role.did == []


async def test_a_request_is_prepared_when_the_commit_before_it_waits_only_for_the_disk(rig):
    rig.performer.perform([send("free"), commit("1"), send("a"), send("a call"), commit("2"), send("b")])
    await until(lambda: len(rig.journal.asked) == 2)
    assert rig.role.prepared == []
    rig.journal.flushing["1"]()
    rig.journal.flushing["1"]()  # the database was lost, and the commit is executed again
    assert rig.role.prepared == ["a"]
    rig.performer.perform([commit("4"), send("a call")])
    await until(lambda: len(rig.journal.asked) == 3)
    assert rig.journal.flushing["4"] is None  # nothing to prepare
    rig.journal.answer(0, JournalUnavailable(1.0, "disk full"))
    rig.performer.perform([commit("3"), send("c")])  # before the failure was handled: it goes back unsent
    rig.journal.answer(1, JournalUnavailable(1.0, "disk full"))
    await until(lambda: rig.role.failed)
    assert rig.role.did == [("send", "free")]
    rig.journal.flushing["2"]()  # too late: its commit has failed
    assert rig.role.prepared == ["a"]
