"""The wait of an event loop by io_uring: what a system refuses, loops that end or move, and what stays behind."""

import asyncio
import contextvars
import errno
import os
import threading

import pytest

from tests.fakes.waiting import skip_unless_possible
from tests.fakes.writing import book_of
from venuemesh.model.errors import Misconfigured
from venuemesh.model.events import BookState
from venuemesh.orderbook.segment import SegmentReader, SegmentWriter
from venuemesh.orderbook.segment import waiter as module
from venuemesh.orderbook.segment.waiter import Waiter


@pytest.fixture
def writer(tmp_path):
    tmp_path.chmod(0o700)
    writer = SegmentWriter(tmp_path, "book/x/A", (1, 1), 2, 4, levels=40, trades=4, heartbeat_limit_ns=60_000_000_000)
    yield writer
    writer.close()


@pytest.fixture
def ring():
    skip_unless_possible("ring")
    waiter = Waiter("ring")
    yield waiter
    waiter.close()


def publish(writer, sequence=1):
    writer.publish_levels(*book_of(sequence), True, True, sequence, BookState.LIVE, None, 1)


async def changed(waiter, writer):
    """Wait for a publish that comes while the task sleeps; return the version."""
    reader = SegmentReader(writer.path)
    task = asyncio.create_task(waiter.wait(reader, reader.version))
    await asyncio.sleep(0)
    publish(writer)
    return await asyncio.wait_for(task, 10.0)


async def test_a_task_resumes_as_itself_in_its_own_context(writer, ring):
    """The callback that finds the change runs the task itself, without another pass of the loop."""
    name = contextvars.ContextVar("name", default="nobody's")
    reader = SegmentReader(writer.path)

    async def wait(own):
        name.set(own)
        await ring.wait(reader, 0)
        return name.get(), asyncio.current_task().get_name()

    tasks = [asyncio.create_task(wait(own), name=own) for own in ("one", "two")]
    await asyncio.sleep(0)
    publish(writer)
    assert await asyncio.wait_for(asyncio.gather(*tasks), 10.0) == [("one", "one"), ("two", "two")]
    assert name.get() == "nobody's"


async def test_a_woken_task_may_close_the_waiter_and_the_others_wake(writer, ring):
    reader = SegmentReader(writer.path)

    async def leave():
        await ring.wait(reader, 0)
        ring.close()

    tasks = [asyncio.create_task(work) for work in (leave(), ring.wait(reader, 0), ring.wait(reader, 100))]
    await asyncio.sleep(0)
    publish(writer)
    assert await asyncio.wait_for(asyncio.gather(*tasks), 10.0) == [None, 1, 1]


def test_an_interrupt_in_a_woken_task_ends_the_loop_and_not_the_other_tasks(writer, ring):
    reader = SegmentReader(writer.path)
    loop = asyncio.new_event_loop()

    async def interrupt():
        await ring.wait(reader, 0)
        raise KeyboardInterrupt

    first, second = loop.create_task(interrupt()), loop.create_task(ring.wait(reader, 0))
    loop.call_soon(publish, writer)
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(first)
    assert loop.run_until_complete(asyncio.wait_for(second, 10.0)) == 1
    ring.close()
    loop.close()


async def test_a_cancelled_task_ends_by_cancellation(writer, ring):
    reader = SegmentReader(writer.path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.005):
            await ring.wait(reader, 0)
    assert await changed(ring, writer) == 1


def refuse(_loop):
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


async def test_a_thread_waits_where_the_system_refuses_rings(writer, monkeypatch):
    monkeypatch.setattr(module, "LoopWaiter", refuse)
    waiter = Waiter()
    monkeypatch.setattr(waiter, "_way", None)
    assert await changed(waiter, writer) == 1
    assert waiter.threads == 1
    assert not waiter.uses_rings
    waiter.close()


async def test_a_ring_that_was_demanded_and_refused_is_an_error(writer, monkeypatch):
    monkeypatch.setattr(module, "LoopWaiter", refuse)
    with pytest.raises(Misconfigured, match="this system refuses"):
        await Waiter("ring").wait(SegmentReader(writer.path), 0)


def test_another_word_is_refused(monkeypatch):
    monkeypatch.setenv("VENUEMESH_WAIT", "epoll")
    with pytest.raises(Misconfigured, match="ring, thread, poll"):
        Waiter()


async def test_a_ring_that_fails_wakes_its_tasks_and_a_thread_takes_over(writer, ring):
    reader = SegmentReader(writer.path)
    task = asyncio.create_task(ring.wait(reader, 0))
    await asyncio.sleep(0)
    (waiter,) = ring._loops.values()
    waiter.end(True)
    assert await asyncio.wait_for(task, 10.0) == 0
    assert await changed(ring, writer) == 1
    assert ring.threads == 1


def test_one_loop_after_another_and_nothing_stays_open(writer, ring):
    before = len(os.listdir("/proc/self/fd"))
    for version in range(1, 30):
        assert asyncio.run(changed(ring, writer)) == version
    assert ring.threads == 0
    ring.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_loop_that_continues_in_another_thread(writer, ring):
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(changed(ring, writer)) == 1
    found = []
    thread = threading.Thread(target=lambda: found.append(loop.run_until_complete(changed(ring, writer))))
    thread.start()
    thread.join(20.0)
    assert found == [2]
    assert ring.threads == 0
    ring.close()
    loop.close()


async def test_an_idle_ring_is_closed_and_made_again(writer, ring, monkeypatch):
    monkeypatch.setattr("venuemesh.orderbook.segment.loop.IDLE_NS", 1_000_000)
    assert await changed(ring, writer) == 1
    (waiter,) = ring._loops.values()
    async with asyncio.timeout(10.0):
        while waiter.serves:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert ring.segments == 0
    assert await changed(ring, writer) == 2


async def test_a_change_in_a_busy_task_wakes_the_next_wait_and_not_the_loop(writer, ring):
    """A wait is spent when it completes: publishes that no task waits for leave nothing for the kernel to signal."""
    assert await changed(ring, writer) == 1
    reader = SegmentReader(writer.path)
    await asyncio.sleep(0.01)
    for _ in range(3):
        publish(writer)
    assert await asyncio.wait_for(ring.wait(reader, 1), 10.0) == 4
    assert await changed(ring, writer) == 5
