"""A process that stood still sends no orders until its node is confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from venuemesh.mesh import presence
from venuemesh.mesh.presence import PAUSE_S, Presence
from venuemesh.model.errors import RetryLater
from venuemesh.model.time import in_ns


class Mesh:
    """Answers the requests for a confirmation, and is the clock of the process."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.answers: list[bool | RetryLater] = []
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def confirm(self) -> bool:
        self.asked.set()
        await self.may_answer.wait()
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, RetryLater):
            raise answer
        return answer

    def pass_s(self, seconds: float) -> None:
        self.now_ns += in_ns(seconds)


@pytest.fixture
def mesh(monkeypatch: pytest.MonkeyPatch) -> Mesh:
    monkeypatch.setattr(presence, "BEAT_S", 0.005)
    monkeypatch.setattr(presence, "AGAIN_S", 0.005)
    return Mesh()


@pytest.fixture
async def one(mesh: Mesh) -> AsyncIterator[Presence]:
    found = Presence(mesh.confirm, lambda: mesh.now_ns)
    keeping = asyncio.create_task(found.keep())
    yield found
    keeping.cancel()


async def confirmed(one: Presence) -> None:
    async with asyncio.timeout(30.0):
        while True:
            try:
                return one.check()
            except RetryLater:
                await asyncio.sleep(0.002)


async def test_a_short_pause_refuses_nothing(mesh: Mesh, one: Presence) -> None:
    mesh.pass_s(PAUSE_S)
    one.check()
    assert not mesh.asked.is_set()


async def test_orders_are_refused_from_the_first_moment_until_the_node_is_confirmed(mesh: Mesh, one: Presence) -> None:
    mesh.may_answer.clear()
    mesh.pass_s(PAUSE_S + 15)
    with pytest.raises(RetryLater, match=r"stood still for 20\.0 s"):
        one.check()  # before any task of the loop has run
    await mesh.asked.wait()
    with pytest.raises(RetryLater):
        one.check()
    mesh.may_answer.set()
    await confirmed(one)


async def test_the_pause_is_noticed_without_an_order(mesh: Mesh, one: Presence) -> None:
    mesh.pass_s(PAUSE_S + 1)
    async with asyncio.timeout(30.0):
        await mesh.asked.wait()
    await confirmed(one)


async def test_a_node_that_is_not_part_and_a_supervisor_that_is_away_confirm_nothing(mesh: Mesh, one: Presence) -> None:
    mesh.answers = [False, RetryLater(1.0, "away"), False]
    mesh.pass_s(PAUSE_S + 1)
    await confirmed(one)
    assert mesh.answers == []


async def test_a_confirmation_from_before_another_pause_counts_for_nothing(mesh: Mesh, one: Presence) -> None:
    mesh.may_answer.clear()
    mesh.pass_s(PAUSE_S + 1)
    await mesh.asked.wait()
    mesh.asked.clear()
    mesh.pass_s(PAUSE_S + 1)
    mesh.may_answer.set()
    async with asyncio.timeout(30.0):
        await mesh.asked.wait()
    await confirmed(one)
