"""A failed commit fails every later commit, even an immediate one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from venuemesh.actors.orders.machine.effects import Commit, Effect
from venuemesh.actors.orders.performer import Performer
from venuemesh.journal.committer import Committer
from venuemesh.journal.writes import Batch
from venuemesh.model.errors import JournalUnavailable, MeshError


class FailsOnce:
    """A journal whose first commit fails."""

    def __init__(self) -> None:
        self.failed = False
        self.taken: list[str] = []

    def commit(
        self, exchange: str, account: str, epoch: int, batches: Sequence[Batch], flushing: Any = None
    ) -> list[list[int]]:
        if not self.failed:
            self.failed = True
            raise JournalUnavailable(0.5, "busy")
        self.taken += [batch.id for batch in batches]
        return [[] for _ in batches]

    def close(self) -> None:
        pass


class Role:
    """Records what came back."""

    def __init__(self) -> None:
        self.back: list[str] = []
        self.notified = asyncio.Event()

    def committed(self, writes: Any, numbers: Any) -> None:
        raise AssertionError("nothing may be committed")

    def journal_failed(self, effects: Sequence[Effect], error: MeshError) -> None:
        self.back += [effect.batch.id for effect in effects if isinstance(effect, Commit)]
        self.notified.set()

    def halt(self, error: BaseException) -> None:
        raise AssertionError("nothing ends") from error


@pytest.mark.parametrize("turns", range(6))
async def test_no_commit_slips_in_behind_one_that_failed(turns: int) -> None:
    journal, role = FailsOnce(), Role()
    committer = Committer(journal, "acme", "main", 1)  # type: ignore[arg-type]
    performer = Performer(committer.submit, role, lambda: None)  # type: ignore[arg-type]
    performer.perform([Commit(Batch("1-1", ()))])
    while not journal.failed:  # noqa: ASYNC110 - a thread sets it, and every turn of the loop counts
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    if not role.notified.is_set():  # after the notice the machine hands over nothing
        performer.perform([Commit(Batch("1-2", ()))])
    async with asyncio.timeout(10.0):
        await role.notified.wait()
    performer.stop()
    await committer.close()
    assert journal.taken == []
    assert role.back[0] == "1-1"
