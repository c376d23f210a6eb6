"""Waiting for segments: wakes, timeouts, deaths, many segments, several loops, forks; in every way there is."""

import asyncio
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time

import pytest

from tests.fakes.waiting import skip_unless_possible
from tests.fakes.writing import WritingProcess, book_of, trade_of
from venuemesh.model.errors import NotSynced
from venuemesh.model.events import BookState
from venuemesh.orderbook.segment import SegmentReader, SegmentWriter
from venuemesh.orderbook.segment.directory import mark_retired
from venuemesh.orderbook.segment.waiter import WAYS, Waiter

ADDRESS = "book/binance/BTC-USDT"
LONG_NS = 60_000_000_000


@pytest.fixture
def directory(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def write(directory):
    writers = []

    def make(counter=1, address=ADDRESS, limit_ns=LONG_NS):
        writers.append(
            SegmentWriter(directory, address, (1, counter), 2, 4, levels=40, trades=4, heartbeat_limit_ns=limit_ns)
        )
        return writers[-1]

    yield make
    for writer in writers:
        writer.close()


@pytest.fixture(params=WAYS)
def waiter(request):
    skip_unless_possible(request.param)
    Waiter.shared().close()  # what the tests of other modules left asleep is not this waiter's
    waiter = Waiter(request.param)
    yield waiter
    waiter.close()
    assert waiter.threads == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "venuemesh-waiter"]


def publish(writer, sequence=1):
    writer.publish_levels(*book_of(sequence), True, True, sequence, BookState.LIVE, None, 1)


async def until(condition, within_s=10.0):
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_what_already_happened_is_not_waited_for(write, waiter):
    writer = write()
    publish(writer)
    assert await waiter.wait(SegmentReader(writer.path), 0) == 1
    assert waiter.threads == 0


async def test_a_publish_a_state_a_trade_and_the_end_wake(write, waiter):
    writer = write()
    reader = SegmentReader(writer.path)
    for change in (
        lambda: publish(writer),
        lambda: writer.set_state(BookState.GAP),
        lambda: writer.trade(trade_of(1)),
        lambda: mark_retired(writer.path),
    ):
        before = reader.version
        task = asyncio.create_task(waiter.wait(reader, before, 10.0))
        await until(lambda: waiter.segments == 1)
        assert not task.done()
        change()
        assert await task > before


async def test_time_runs_out(write, waiter):
    writer = write()
    reader = SegmentReader(writer.path)
    assert await waiter.wait(reader, 0, 0.01) == 0
    assert await waiter.wait(reader, 0, 0.0) == 0
    assert await waiter.wait(reader, 0, -1.0) == 0


async def test_nothing_is_slept_through(write, waiter):
    """Wait, wake, wait again, while the writer never waits for the reader: no final version is missed."""
    writer = write()
    reader = SegmentReader(writer.path)
    rounds = 2_000

    def write_all():
        for sequence in range(rounds):
            publish(writer, sequence)

    thread = threading.Thread(target=write_all)
    thread.start()
    seen = 0
    while seen < rounds:
        seen = await asyncio.wait_for(waiter.wait(reader, seen), 10.0)
    thread.join()
    assert seen == rounds


async def test_one_at_a_time_across_processes(directory, waiter):
    """Each publish comes a little later in the wait: before its first look, while it is armed, when it sleeps."""
    with WritingProcess(directory, ADDRESS, heartbeat_limit_ns=LONG_NS) as process:
        reader = SegmentReader(process.path)
        for sequence in range(200):
            version = reader.version
            process.tell("publish", sequence, answer=False)
            busy_until = time.perf_counter_ns() + sequence * 1_000
            while time.perf_counter_ns() < busy_until:
                pass
            assert await asyncio.wait_for(waiter.wait(reader, version), 10.0) == version + 1
            process.read_answer()


async def test_a_silent_death_wakes_too(directory, waiter):
    limit_ns = 250_000_000
    with WritingProcess(directory, ADDRESS, heartbeat_limit_ns=limit_ns) as process:
        reader = SegmentReader(process.path)
        process.tell("publish", 1)
        task = asyncio.create_task(waiter.wait(reader, reader.version))
        await until(lambda: waiter.segments == 1)
        process.kill()
        version = await asyncio.wait_for(task, 10.0)
        assert version == 1
        assert reader.state is BookState.DEAD
        assert reader.heartbeat_age_ns > limit_ns


async def test_a_revival_wakes_the_tasks_that_wait_for_it(directory, waiter):
    with WritingProcess(directory, ADDRESS, heartbeat_limit_ns=100_000_000) as process:
        reader = SegmentReader(process.path)
        process.tell("hush")
        await until(lambda: not reader.alive)
        task = asyncio.create_task(waiter.wait(reader, reader.version, alive=False))
        await until(lambda: waiter.segments == 1)
        process.tell("publish", 1)
        assert await asyncio.wait_for(task, 10.0) == 1


async def test_more_segments_than_one_thread_can_take(write, waiter):
    writers = [write(address=f"book/x/{number}") for number in range(300)]
    readers = [SegmentReader(writer.path) for writer in writers]
    tasks = [asyncio.create_task(waiter.wait(reader, 0)) for reader in readers]
    await until(lambda: waiter.segments == 300)
    assert waiter.threads == (0 if waiter.uses_rings else 3)
    for writer in writers[::2]:
        publish(writer)
    await until(lambda: sum(task.done() for task in tasks) >= 150)
    assert sum(task.done() for task in tasks) == 150
    assert all(task.done() for task in tasks[::2])
    for writer in writers[1::2]:
        publish(writer)
    assert await asyncio.wait_for(asyncio.gather(*tasks), 10.0) == [1] * 300
    assert len(os.listdir("/proc/self/fd")) < 200


async def test_many_tasks_on_one_segment(write, waiter):
    writer = write()
    readers = [SegmentReader(writer.path) for _ in range(10)]
    tasks = [asyncio.create_task(waiter.wait(reader, 0)) for reader in readers for _ in range(10)]
    await until(lambda: waiter.segments == 1)
    await asyncio.sleep(0)
    publish(writer)
    assert await asyncio.wait_for(asyncio.gather(*tasks), 10.0) == [1] * 100


async def test_a_cancelled_wait_leaves_nothing(write, waiter):
    writer = write()
    reader = SegmentReader(writer.path)
    task = asyncio.create_task(waiter.wait(reader, 0))
    await until(lambda: waiter.segments == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    publish(writer)  # changes without a waiting task: the slot is dropped, and the thread without slots ends
    await until(lambda: waiter.segments == 0 and waiter.threads == 0)


async def test_a_reader_closed_meanwhile(write, waiter):
    writer = write()
    reader = SegmentReader(writer.path)
    task = asyncio.create_task(waiter.wait(reader, 0, 0.05))
    await until(lambda: waiter.segments == 1)
    reader.close()
    with pytest.raises(NotSynced):
        await task


def test_several_loops_and_a_loop_that_was_closed(write, waiter):
    writer = write()
    reader = SegmentReader(writer.path)
    found = []
    armed = threading.Barrier(4)

    async def wait():
        task = asyncio.create_task(waiter.wait(reader, 0))
        await until(lambda: waiter.segments == 1)
        armed.wait()
        found.append(await asyncio.wait_for(task, 10.0))

    async def leave():
        asyncio.get_running_loop().create_task(waiter.wait(reader, 0))
        await asyncio.sleep(0)

    abandoned = asyncio.new_event_loop()
    abandoned.run_until_complete(leave())
    abandoned.close()
    threads = [threading.Thread(target=lambda: asyncio.run(wait())) for _ in range(3)]
    for thread in threads:
        thread.start()
    armed.wait()
    publish(writer)
    for thread in threads:
        thread.join(10.0)
    assert found == [1, 1, 1]


async def test_close_wakes_every_task_and_the_waiter_continues(write, waiter):
    writer = write()
    reader = SegmentReader(writer.path)
    task = asyncio.create_task(waiter.wait(reader, 0))
    await until(lambda: waiter.segments == 1)
    waiter.close()
    assert await asyncio.wait_for(task, 10.0) == 0
    task = asyncio.create_task(waiter.wait(reader, 0))
    await until(lambda: waiter.segments == 1)
    publish(writer)
    assert await asyncio.wait_for(task, 10.0) == 1


def test_a_thread_waits_for_itself(write):
    writer = write()
    reader = SegmentReader(writer.path)
    assert reader.wait(0, 0.01) == 0
    found = []
    thread = threading.Thread(target=lambda: found.append(reader.wait(0, 10.0)))
    thread.start()
    publish(writer)
    thread.join(10.0)
    assert found == [1]


def test_a_thread_notices_a_silent_death(write):
    writer = write(limit_ns=50_000_000)
    reader = SegmentReader(writer.path)
    started = time.monotonic()
    assert reader.wait(0, 20.0) == 0
    assert not reader.alive
    assert time.monotonic() - started < 10.0
    assert reader.wait(0, 20.0, alive=True) == 0  # at once: it is known to be dead


def test_one_per_process_and_pickled_it_is_the_other_processes_own():
    assert Waiter.shared() is Waiter.shared()
    assert pickle.loads(pickle.dumps(Waiter.shared())) is Waiter.shared()


def _in_child(path, answers):
    async def wait():
        task = asyncio.create_task(Waiter.shared().wait(SegmentReader(path), 0))
        await until(lambda: Waiter.shared().segments == 1)
        answers.put("waiting")
        answers.put(await asyncio.wait_for(task, 10.0))

    asyncio.run(wait())


async def test_a_forked_child_waits_with_its_own_thread(write):
    writer = write()
    reader = SegmentReader(writer.path)
    task = asyncio.create_task(Waiter.shared().wait(reader, 0))
    await until(lambda: Waiter.shared().segments == 1)
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    child = fork.Process(target=_in_child, args=(writer.path, answers))
    child.start()
    assert await asyncio.to_thread(answers.get, True, 20.0) == "waiting"
    publish(writer)
    assert await asyncio.to_thread(answers.get, True, 20.0) == 1
    assert await asyncio.wait_for(task, 10.0) == 1
    await asyncio.to_thread(child.join, 20.0)
    assert child.exitcode == 0
    Waiter.shared().close()


def test_a_process_that_ends_while_it_waits_ends(write):
    writer = write()
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from venuemesh.orderbook.segment import SegmentReader\n"
        "from venuemesh.orderbook.segment.waiter import Waiter\n"
        "async def main():\n"
        "    asyncio.create_task(Waiter.shared().wait(SegmentReader(Path(sys.argv[1])), 0))\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(main())\n"
    )
    for way in ("", "thread", "poll"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(writer.path)],
            env=os.environ | {"VENUEMESH_WAIT": way},
            timeout=60,
            check=False,
        )
        assert done.returncode == 0
