"""What fails behind a socket: killed, stopped and replaced processes, with the sender's rules for each."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.actors.cell.near_cells import ADDRESS, NearCell, Process, Routes, route_of
from tests.fakes.clock import until
from venuemesh.actors.cell.messages import ASK_METHOD, Asker, Gone, Unreachable
from venuemesh.actors.cell.near import near_directory
from venuemesh.actors.cell.sweep import leave, sweep
from venuemesh.model.errors import OutcomeUnknown, RetryLater
from venuemesh.orderbook.segment.names import private_directory

Start = Callable[[tuple[int, int]], Process]


@pytest.fixture(autouse=True)
def private(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start processes; all of them are killed at the end."""
    processes: list[Process] = []

    def started(incarnation: tuple[int, int]) -> Process:
        processes.append(Process(tmp_path, incarnation))
        return processes[-1]

    yield started
    for process in processes:
        if process.lives:
            process.kill()


def asker(routes: Routes) -> Asker:
    return Asker("me", routes, routes.send, time.monotonic)


async def hang(ask: Asker, timeout_s: float) -> asyncio.Task[Any]:
    """Send a message that is never answered; return when it has arrived."""
    hanging = asyncio.ensure_future(ask(ADDRESS, "hang", None, timeout_s))
    await ask(ADDRESS, "who", None, 10.0)  # messages of a connection arrive in their order
    return hanging


async def test_a_message_of_a_killed_cell_is_repeated_to_its_successor(start: Start, tmp_path: Path) -> None:
    first, routes = start((1, 1)), Routes(tmp_path)
    routes.set(route_of((1, 1)))
    ask = asker(routes)
    hanging = await hang(ask, 10.0)
    first.kill()
    asked = asyncio.ensure_future(ask(ADDRESS, "who", None, 10.0))
    await until(lambda: len(routes.elsewhere) == 2)  # both met the end
    assert not asked.done()
    start((1, 2))
    routes.set(route_of((1, 2)))
    assert (await asked)["incarnation"] == [1, 2]
    assert not hanging.done()  # executed again by the successor
    hanging.cancel()


async def test_the_outcome_is_unknown_when_the_cell_dies_after_the_message_was_sent(
    start: Start, tmp_path: Path
) -> None:
    process, routes = start((1, 1)), Routes(tmp_path)
    routes.set(route_of((1, 1)))
    ask = asker(routes)
    hanging = await hang(ask, 0.5)
    process.kill()
    with pytest.raises(OutcomeUnknown):
        await hanging
    with pytest.raises(RetryLater):  # this one never left
        await ask(ADDRESS, "who", None, 0.2)


async def test_a_stopped_cell_gives_no_answer_in_time_and_answers_once_when_it_resumes(
    start: Start, tmp_path: Path
) -> None:
    process, routes = start((1, 1)), Routes(tmp_path)
    routes.set(route_of((1, 1)))
    ask = asker(routes)
    assert (await ask(ADDRESS, "who", "first", 10.0))["body"] == "first"
    process.signal(signal.SIGSTOP)
    with pytest.raises(OutcomeUnknown):
        await ask(ADDRESS, "who", None, 0.2)
    process.signal(signal.SIGCONT)
    assert (await ask(ADDRESS, "who", "later", 10.0))["body"] == "later"


async def test_a_lost_connection_to_a_living_cell_executes_the_message_once(tmp_path: Path) -> None:
    """The same envelope goes the other way; the cell knows the message already."""
    cell = await NearCell(tmp_path).start()
    routes = Routes(tmp_path)
    routes.set(route_of())
    routes.other_way = lambda route, method, packed: cell.host.ask(packed)
    gate = asyncio.Event()
    handle = cell.toy.handle

    async def slow(kind: str, body: Any) -> Any:
        answer = await handle(kind, body)
        await gate.wait()
        return answer

    cell.toy.handle = slow  # type: ignore[method-assign]
    asked = asyncio.ensure_future(asker(routes)(ADDRESS, "who", 5, 10.0))
    await until(lambda: cell.toy.handled == 1)
    routes.close()
    await until(lambda: bool(routes.elsewhere))
    gate.set()
    assert (await asked)["body"] == 5
    assert cell.toy.handled == 1
    assert routes.elsewhere == [(route_of(), ASK_METHOD)]
    cell.server.close()


async def test_a_cell_that_was_fenced_sends_its_callers_to_the_next(tmp_path: Path) -> None:
    old, new = await NearCell(tmp_path, (1, 1)).start(), await NearCell(tmp_path, (2, 1)).start()
    old.host.end()  # fenced, but its socket is still there
    routes = Routes(tmp_path)
    routes.set(route_of((1, 1)))
    asked = asyncio.ensure_future(asker(routes)(ADDRESS, "who", None, 10.0))
    await asyncio.sleep(0)
    routes.set(route_of((2, 1)))
    assert (await asked)["incarnation"] == [2, 1]
    assert routes.elsewhere == []
    old.server.close()
    new.server.close()


async def test_the_sockets_of_killed_cells_are_swept_and_the_directory_goes(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "mesh" / "node"
    private_directory(private_directory(folder.parent) / folder.name)
    process = Process(folder, (1, 1))
    assert sweep(folder) == 0
    process.kill()
    assert sweep(folder) == 1
    leave(folder)
    assert os.listdir(tmp_path) == []


async def test_a_supervisor_that_ends_before_it_answers_is_unreachable_and_one_without_a_socket_is_sought_elsewhere(
    tmp_path: Path,
) -> None:
    routes = Routes(tmp_path)
    with pytest.raises(Gone):
        await routes.supervisor("status", timeout_s=1.0)
    assert routes.sought == ["status"]
    private_directory(near_directory(tmp_path))

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_unix_server(hang_up, near_directory(tmp_path) / "supervisor")
    with pytest.raises(Unreachable):
        await routes.supervisor("status", timeout_s=5.0)
    server.close()
    assert routes.sought == ["status"]
