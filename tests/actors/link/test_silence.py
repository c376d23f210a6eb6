"""A copy is SILENT when its source, the link's process, the node or the way between stops, and LIVE again after it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.fakes.link_stage import ADDRESS, Stage, Writer, stage_in, until
from venuemesh.actors.link import client
from venuemesh.model.events import BookState
from venuemesh.orderbook.segment import SegmentReader

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 0.5


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage_in(tmp_path, LIMIT_S) as stage:
        yield stage


class Mover:
    """Publishes the book all the time."""

    def __init__(self, writer: Writer) -> None:
        self.writer, self.sequence = writer, 0
        self.at: list[float] = [0.0]  # when each sequence was published
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while True:
            self.sequence += 1
            self.writer.say(self.sequence)
            self.at.append(time.monotonic())
            await asyncio.sleep(0.005)


async def moving(stage: Stage) -> tuple[Mover, SegmentReader]:
    mover = Mover(stage.there.writer())
    await stage.follow(ADDRESS)
    book = await stage.reader()
    await until_state(book, BookState.LIVE)
    return mover, book


async def until_state(book: SegmentReader, state: BookState) -> None:
    await until(lambda: book.state is state, 20.0)


async def test_news_without_answers_to_pings_prove_nothing(stage: Stage) -> None:
    """One-way: the link's messages arrive, the mirror's do not."""
    mover, book = await moving(stage)
    stage.there.proxy.to_link.clear()
    await until_state(book, BookState.SILENT)
    seen = book.content().sequence
    await until(lambda: book.content().sequence > seen)
    assert BookState(book.content().state) is BookState.SILENT, "news arrive, but how old they are is not known"
    stage.there.proxy.to_link.set()
    await until_state(book, BookState.LIVE)
    mover.task.cancel()


async def test_what_was_held_on_the_way_is_not_taken_for_new(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """One-way: the mirror's messages arrive, the link's do not until later, on the same connection."""
    monkeypatch.setattr(client, "LOST_S", 60.0)
    mover, book = await moving(stage)
    stage.there.proxy.to_mirror.clear()
    await until_state(book, BookState.SILENT)
    await asyncio.sleep(3.0)  # it holds this much of old news and answers
    stage.there.proxy.to_mirror.set()
    await until_state(book, BookState.LIVE)
    following = book.content().sequence + 1
    age_s = time.monotonic() - mover.at[following] if following < len(mover.at) else 0.0
    assert age_s < LIMIT_S + 1.0, "LIVE with content that was replaced at the source long ago"
    assert stage.there.proxy.connections == 1
    mover.task.cancel()


async def test_a_half_open_connection_is_replaced(stage: Stage) -> None:
    mover, book = await moving(stage)
    before = stage.there.proxy.connections
    stage.there.proxy.to_link.clear()
    stage.there.proxy.to_mirror.clear()
    await until_state(book, BookState.SILENT)
    await until(lambda: stage.there.proxy.connections > before)  # it gave the first one up, and tries others
    stage.there.proxy.to_link.set()
    stage.there.proxy.to_mirror.set()
    await until_state(book, BookState.LIVE)
    assert stage.there.link is not None
    link = stage.there.link
    await until(lambda: list(link.status()["mirrors"]) == ["mirror/m"])
    mover.task.cancel()


async def test_a_mirror_that_finds_no_link_says_why_and_continues(stage: Stage) -> None:
    await stage.there.stop_link()
    await stage.follow(ADDRESS)
    await until(lambda: "no role serves link/l" in (stage.mirror.status()["error"] or ""))
    stage.there.writer().say(1)
    await stage.there.start_link()
    await until_state(await stage.reader(), BookState.LIVE)
    assert stage.mirror.status()["error"] is None


# ---------------------------------------------------------------------- another process

Start = Callable[[int], "asyncio.Future[Process]"]


@pytest.fixture
async def start(stage: Stage) -> AsyncIterator[Callable[[int], object]]:
    """Start a source's process and point the stage's mirror at it."""
    started: list[Process] = []
    await stage.there.stop_link()

    async def begin(counter: int) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.fakes.link_process",
            str(stage.there.directory),
            str(counter),
            cwd=ROOT,
            stdout=PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        assert process.stdout is not None
        where = json.loads(await asyncio.wait_for(process.stdout.readline(), 60.0))
        stage.there.point_at({"host": "127.0.0.1", "port": where["port"], "secret": bytes.fromhex(where["secret"])})
        return process

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_stopped_and_a_killed_process_are_silent_and_their_successor_is_live(
    stage: Stage, start: Callable[[int], object]
) -> None:
    process = await start(5)  # type: ignore[misc]
    await stage.follow(ADDRESS)
    book = await stage.reader()
    await until_state(book, BookState.LIVE)

    process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    await until_state(book, BookState.SILENT)
    assert time.monotonic() - began < LIMIT_S + 1.0
    stopped_at = book.content().sequence
    process.send_signal(signal.SIGCONT)
    await until_state(book, BookState.LIVE)
    await until(lambda: book.content().sequence > stopped_at)

    process.kill()
    await process.wait()
    await until_state(book, BookState.SILENT)
    stage.there.where = {}
    await start(12)  # type: ignore[misc]
    await until_state(book, BookState.RETIRED)
    later = await stage.reader(after=book.incarnation)
    assert later.incarnation == (1, 12)
    await until_state(later, BookState.LIVE)
