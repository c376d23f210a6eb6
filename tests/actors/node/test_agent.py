"""The node agent alone: the test writes the pulses and controls the time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.context import context_of
from tests.fakes.writing import WritingProcess
from venuemesh.actors.cell.pulse import PERIOD_S, SUPERVISOR, Pulse, is_alive, process_start, read_beats
from venuemesh.actors.cell.sweep import FOREIGN_SILENT_NS
from venuemesh.actors.node import agent
from venuemesh.actors.node.agent import ORPHANS_EVERY_BEATS, AgentRole
from venuemesh.actors.node.settings import AgentSettings
from venuemesh.model.errors import Rejected

BEAT_NS = int(PERIOD_S * 1e9)
NOBODY = 2**22 + 1  # above the largest pid
SETTINGS = AgentSettings(hang_limit_s=0.5, watcher_limit_s=1.0, heartbeat_limit_s=0.1)


class Node:
    """A node: its segment directory, its pulses and its agent."""

    def __init__(self, directory: Path, settings: AgentSettings = SETTINGS) -> None:
        self.directory, self.now_ns = directory, 0
        self.pulses: dict[str, Pulse] = {}
        self.failures: list[BaseException] = []
        context = context_of(
            "agent/n",
            segments=directory,
            fail=self.failures.append,
            monotonic_ns=lambda: self.now_ns,
            time_ns=lambda: self.now_ns,
        )
        self.agent = AgentRole(settings, context)

    def pulse(self, cell: str, pid: int | None = None, start: int = 1) -> Pulse:
        made = self.pulses[cell] = Pulse(self.directory / "pulse", cell)
        if pid is not None:
            made.pid, made.start = pid, start
            made.beat(0, 0)
        return made

    def run(self, seconds: float, *beating: str) -> None:
        """Let time pass, beat by beat; only the named cells keep beating."""
        for _ in range(round(seconds / PERIOD_S)):
            self.now_ns += BEAT_NS
            for cell in beating:
                self.pulses[cell].beat(self.now_ns, 0)
            self.agent.beat()

    @property
    def stale(self) -> list[str]:
        found: list[str] = self.agent.status()["stale"]
        return found


@pytest.fixture
def node(tmp_path: Path) -> Node:
    directory = tmp_path / "mesh" / "node"
    directory.mkdir(mode=0o700, parents=True)
    return Node(directory)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    yield process
    process.kill()
    process.wait()


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while True:
            if reached():
                return
            await asyncio.sleep(0.01)


async def test_a_process_that_hangs_for_longer_than_the_limit_is_stale_until_it_continues(node: Node) -> None:
    node.pulse("a")
    node.pulse("b")
    node.run(0.5, "a")
    assert node.stale == []
    node.run(0.1, "a")
    assert node.stale == ["b"]
    node.run(0.1, "a", "b")
    assert node.stale == []


async def test_a_pause_of_the_agent_itself_counts_against_no_process(node: Node) -> None:
    node.pulse("a")
    node.run(0.1, "a")
    node.now_ns += 60 * 10**9
    node.run(0.1)
    assert node.stale == []


async def test_the_health_poll_answers_at_once_when_it_knows_more(node: Node) -> None:
    node.pulse("a")
    assert await node.agent.poll("health", {"stale": []}, 0.01) == {"stale": []}
    waiting = asyncio.ensure_future(node.agent.poll("health", {"stale": []}, 60.0))
    await asyncio.sleep(0)
    node.run(0.7)
    assert await asyncio.wait_for(waiting, 10.0) == {"stale": ["a"]}
    assert await node.agent.poll("health", {"stale": []}, 60.0) == {"stale": ["a"]}
    with pytest.raises(Rejected):
        await node.agent.poll("other", None, 1.0)


async def test_a_supervisor_that_hangs_is_killed_and_a_cell_is_not(
    node: Node, sleeper: subprocess.Popen[bytes]
) -> None:
    start = process_start(sleeper.pid)
    assert start is not None
    node.pulse(SUPERVISOR, sleeper.pid, start)
    node.run(0.9)
    assert is_alive(sleeper.pid, start)
    node.run(0.3)
    await until(lambda: not is_alive(sleeper.pid, start))
    assert node.agent.status()["killed"] >= 1
    node.run(0.2)
    assert not (node.directory / "pulse" / SUPERVISOR).exists()
    await node.agent.stop()
    assert node.failures == []


async def test_kill_is_of_exactly_this_process(node: Node, sleeper: subprocess.Popen[bytes]) -> None:
    start = process_start(sleeper.pid)
    assert start is not None
    assert await node.agent.handle("kill", {"pid": sleeper.pid, "start": start + 1})  # that one is gone already
    assert is_alive(sleeper.pid, start)
    assert await node.agent.handle("kill", {"pid": sleeper.pid, "start": start})
    assert not is_alive(sleeper.pid, start)
    with pytest.raises(Rejected):
        await node.agent.handle("other", None)


async def test_usage_is_by_cell_and_not_read_again_within_a_second(node: Node) -> None:
    node.pulse("a").name("book/x/a")
    node.pulse("gone", NOBODY)
    node.now_ns = 5 * 10**9
    first = await node.agent.handle("usage", None)
    assert list(first) == ["a"]
    assert first["a"]["pid"] == os.getpid()
    assert first["a"]["address"] == "book/x/a"
    assert first["a"]["rss"] > 0
    held = bytearray(20_000_000)
    assert (await node.agent.handle("usage", None))["a"]["rss"] == first["a"]["rss"]
    node.now_ns += 2 * 10**9
    assert (await node.agent.handle("usage", None))["a"]["rss"] > first["a"]["rss"]
    assert len(held) == 20_000_000


async def test_files_of_a_dead_process_are_swept_at_once(node: Node) -> None:
    node.pulse("a")
    node.run(0.1, "a")  # it is seen from here
    with WritingProcess(node.directory, "book/x/a") as writer:
        assert await node.agent.handle("sweep", None) == 0
        writer.kill()
        assert await node.agent.handle("sweep", None) == 1
        assert not writer.path.exists()
    assert node.agent.status()["swept"] == 1


async def test_where_a_process_beats_unseen_the_dead_are_given_their_silence(node: Node) -> None:
    node.pulse("foreign", NOBODY)
    node.run(0.1, "foreign")

    async def sweep() -> int:
        node.pulses["foreign"].beat(time.monotonic_ns(), 0)
        gone: int = await node.agent.handle("sweep", None)
        return gone

    with WritingProcess(node.directory, "book/x/a") as writer:
        writer.kill()  # as its segment looks from here, the writer may be in the other namespace too
        assert await sweep() == 0
        assert writer.path.exists()
        async with asyncio.timeout(10.0):
            while await sweep() == 0:  # it does not beat: half a second later it goes
                assert writer.path.exists()
    assert not writer.path.exists()
    assert (node.directory / "pulse" / "foreign").exists()


async def test_a_new_agent_knows_nothing_and_gives_everyone_their_silence(node: Node) -> None:
    with WritingProcess(node.directory, "book/x/a") as writer:
        writer.kill()
        await node.agent.start()
        assert writer.path.exists()
        assert await node.agent.handle("sweep", None) == 1


async def test_files_of_an_earlier_node_of_the_host_go_when_they_have_been_silent(node: Node) -> None:
    earlier = node.directory.parent / "earlier"
    left = Pulse(earlier / "pulse", "cell")
    left.pid, left.start = NOBODY, 1
    left.beat(time.monotonic_ns() - (FOREIGN_SILENT_NS - 5 * 10**9), 0)  # its host was lost a moment ago
    await node.agent.start()
    assert left.path.exists()
    left.beat(time.monotonic_ns() - FOREIGN_SILENT_NS, 0)
    node.run(ORPHANS_EVERY_BEATS * PERIOD_S)
    await until(lambda: not earlier.exists())


async def test_pulses_are_read_ten_times_in_the_hang_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path, AgentSettings(hang_limit_s=2.0))
    node.pulse("cell-1")
    readings = []
    monkeypatch.setattr(agent, "read_beats", lambda path: readings.append(node.now_ns) or read_beats(path))
    node.run(2.0, "cell-1")
    assert len(readings) == 10
    node.run(2.0)
    assert node.stale == []
    node.run(0.2)
    assert node.stale == ["cell-1"]
