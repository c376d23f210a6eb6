"""Cells in one process: messages, restarts and deaths are the same as in separate processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.actors.cell.toy import Toy
from venuemesh.actors.cell.local import LocalCells
from venuemesh.actors.cell.messages import Asker
from venuemesh.actors.limits.role import LimitsRole
from venuemesh.actors.limits.settings import LimitsSettings
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.spec import Limit
from venuemesh.model.errors import Misconfigured, OutcomeUnknown, Rejected, RetryLater

ADDRESS = "orders/acme/main"


@pytest.fixture
def ended() -> list[Any]:
    return []


@pytest.fixture
async def cells(tmp_path: Path, ended: list[Any]) -> AsyncIterator[LocalCells]:
    made = LocalCells("test", tmp_path)
    await made.start(ADDRESS, lambda context: Toy(context, ended), ["orders/acme/alias"])
    yield made
    await made.close()


@pytest.fixture
def ask(cells: LocalCells) -> Asker:
    return cells.asker("test")


async def test_a_message_is_answered_and_a_refusal_is_typed(ask: Asker) -> None:
    assert await ask(ADDRESS, "who", {"a": [1]}) == {"incarnation": [1, 1], "restarts": 0, "body": {"a": [1]}}
    assert await ask("orders/acme/alias", "poll:news", None, 1.0) == "news"
    with pytest.raises(Rejected, match="nothing"):
        await ask(ADDRESS, "nothing")
    with pytest.raises(RetryLater, match="no role serves"):
        await ask("orders/acme/other", "who", None, 0.05)


async def test_the_two_actors_of_a_redundant_book_have_different_incarnations(cells: LocalCells, ask: Asker) -> None:
    for address in ("book/acme/BTC-USDT", "replica/acme/BTC-USDT"):
        await cells.start(address, Toy)
    await cells.restart("book/acme/BTC-USDT")
    book, replica = [await ask(f"{kind}/acme/BTC-USDT", "who") for kind in ("book", "replica")]
    assert (book["incarnation"], replica["incarnation"]) == ([1, 3], [1, 2])
    assert (book["restarts"], replica["restarts"]) == (1, 0)


async def test_roles_ask_each_other(cells: LocalCells, ask: Asker) -> None:
    await cells.start("limits/acme/default", Toy)
    answer = await ask("limits/acme/default", "ask", {"address": ADDRESS})
    assert answer["incarnation"] == [1, 1]
    assert list(cells) == [ADDRESS, "limits/acme/default"]


async def test_a_stop_is_reported_and_a_kill_is_not(cells: LocalCells, ask: Asker, ended: list[Any]) -> None:
    await cells.kill(ADDRESS)
    assert ended == [("task", (1, 1))]
    await cells.restart(ADDRESS)
    assert (await ask(ADDRESS, "who"))["restarts"] == 1
    await cells.stop(ADDRESS)
    assert ("stop", (1, 2)) in ended
    assert not cells.failures


async def test_a_question_that_was_delivered_to_a_dead_role_has_an_unknown_outcome(
    cells: LocalCells, ask: Asker
) -> None:
    answer = asyncio.ensure_future(ask(ADDRESS, "hang", None, 0.6))
    await ask(ADDRESS, "who")  # the other one is there by now
    await cells.kill(ADDRESS)
    with pytest.raises(OutcomeUnknown):
        await answer


async def test_a_question_waits_for_the_next_incarnation(cells: LocalCells, ask: Asker) -> None:
    await cells.kill(ADDRESS)
    answer = asyncio.ensure_future(ask(ADDRESS, "who"))
    await asyncio.sleep(0)
    await cells.restart(ADDRESS)
    assert (await answer)["incarnation"] == [1, 2]


async def test_an_unexpected_error_ends_a_role_but_not_after_a_read(cells: LocalCells, ask: Asker) -> None:
    with pytest.raises(Rejected, match="broken_read"):
        await ask(ADDRESS, "broken_read")
    assert await ask(ADDRESS, "who")
    with pytest.raises(OutcomeUnknown):
        await ask(ADDRESS, "broken", None, 0.5)
    assert [address for address, _ in cells.failures] == [ADDRESS, ADDRESS]
    with pytest.raises(RetryLater):
        await ask(ADDRESS, "who", None, 0.05)
    await cells.restart(ADDRESS)
    assert (await ask(ADDRESS, "who"))["incarnation"] == [1, 2]


async def test_a_role_that_does_not_start_raises_its_own_error(cells: LocalCells, ask: Asker) -> None:
    def broken(context: Any) -> Toy:
        toy = Toy(context)
        toy.broken = "start"
        return toy

    with pytest.raises(KeyError, match="start"):
        await cells.start("orders/acme/broken", broken)
    assert not cells.failures
    with pytest.raises(RetryLater):
        await ask("orders/acme/broken", "who", None, 0.05)


async def test_an_address_is_started_once(cells: LocalCells) -> None:
    with pytest.raises(Misconfigured):
        await cells.start(ADDRESS, Toy)


async def test_a_later_process_continues_the_incarnations(tmp_path: Path) -> None:
    cells = LocalCells("test", tmp_path, first=2000)
    await cells.start(ADDRESS, Toy)
    assert (await cells.asker("test")(ADDRESS, "who")) == {"incarnation": [1, 2000], "restarts": 0, "body": None}
    await cells.close()


async def test_roles_beat(cells: LocalCells) -> None:
    async with asyncio.timeout(10.0):
        while not cells.status(ADDRESS)["beats"]:  # noqa: ASYNC110 - beats come by time
            await asyncio.sleep(0.02)
    with pytest.raises(RetryLater):
        cells.status("orders/acme/nobody")


async def test_a_real_role_serves(cells: LocalCells, ask: Asker) -> None:
    limits, settings = {"weight": Limit(100, 60.0)}, LimitsSettings(ConnectorSettings("acme"))
    await cells.start("limits/acme/default", lambda context: LimitsRole(settings, context, limits=limits))
    body = {"cost": {"weight": 1}, "holder": "me", "wait_s": 1.0}
    assert (await ask("limits/acme/default", "acquire", body))["lease"]


async def test_closing_gives_the_loop_back(tmp_path: Path) -> None:
    before = asyncio.get_running_loop().get_task_factory()
    cells = LocalCells("test", tmp_path)
    await cells.start(ADDRESS, Toy)
    await cells.close()
    assert asyncio.get_running_loop().get_task_factory() is before
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()
