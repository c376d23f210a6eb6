"""The wait of event loops by one thread, which sleeps for all the segments a process waits for and wakes the loops.

The thread sleeps in `futex_waitv`, on the version words of up to 127 segments at once (further segments get further
threads). When a word changes, the thread calls each event loop with waiting tasks, once per loop for any number of
tasks. While a task waits for a segment, its slot stays armed: a strategy that keeps up never pays for arming the slot
again. A slot that changed while no task waited is dropped, and a thread without slots ends.

A dying writer publishes nothing, so the thread also wakes when the oldest heartbeat that it watches would pass its
limit: a task that waits for a dead writer's next publish is woken about 1 ms after the limit.

Where the kernel has no futex_waitv (before Linux 5.16, or forbidden by a sandbox), and on macOS, the thread reads the
words every 0.5 ms instead.
"""

from __future__ import annotations

import asyncio
import threading
from typing import NamedTuple

from . import SegmentReader, WaitSet, monotonic_ns

IDLE_NS = 1_000_000_000  # a slot that no task has waited on for this long is dropped; a thread without slots ends

_Future = asyncio.Future[None]


class _Request(NamedTuple):
    after: int
    alive: bool
    loop: asyncio.AbstractEventLoop
    future: _Future


class _Slot:
    """One segment that a task waits for, or waited for a moment ago."""

    __slots__ = ("identity", "idle_since_ns", "number", "requests", "shard")

    def __init__(self, identity: tuple[int, int], number: int, shard: _Shard) -> None:
        self.identity = identity
        self.number = number
        self.shard = shard
        self.requests: list[_Request] = []
        self.idle_since_ns = 0


class _Shard:
    """One thread and the slots it sleeps for."""

    def __init__(self, poll: bool | None) -> None:
        self.set = WaitSet(poll)
        self.slots: dict[int, _Slot] = {}
        self.thread: threading.Thread | None = None
        self.stopping = False


class ThreadWaiter:
    """Waits for the tasks of any event loops and threads. Threads start when first needed and end when idle."""

    def __init__(self, poll: bool | None = None) -> None:
        """`poll` True forces polling every 0.5 ms, False requires futexes, None takes what the system offers."""
        self._poll = poll
        self._lock = threading.Lock()
        self._shards: list[_Shard] = []
        self._slots: dict[tuple[int, int], _Slot] = {}

    @property
    def threads(self) -> int:
        """The number of running threads."""
        return len(self._shards)

    @property
    def segments(self) -> int:
        """The number of armed segments."""
        return len(self._slots)

    async def wait(
        self, reader: SegmentReader, after_version: int, timeout_s: float | None = None, alive: bool = True
    ) -> None:
        """Sleep as `Waiter.wait` does."""
        if reader.version > after_version or reader.alive is not alive:
            return
        loop = asyncio.get_running_loop()
        request = _Request(after_version, alive, loop, loop.create_future())
        with self._lock:
            slot = self._slots.get(reader.identity) or self._arm(reader)
            slot.requests.append(request)
        expiry = None if timeout_s is None else loop.call_later(max(0.0, timeout_s), _resolve, (request.future,))
        try:
            # Check again now that the request is registered: otherwise a change since the first check would be lost.
            if reader.version <= after_version and reader.alive is alive:
                await request.future
        finally:
            if expiry is not None:
                expiry.cancel()
            with self._lock:
                if request in slot.requests:
                    slot.requests.remove(request)

    def close(self) -> None:
        """End the threads and wake every waiting task."""
        with self._lock:
            shards, slots = list(self._shards), list(self._slots.values())
            self._shards.clear()
            self._slots.clear()
            for shard in shards:
                shard.stopping = True
        _wake([request for slot in slots for request in slot.requests])
        for shard in shards:
            shard.set.call()
            if shard.thread is not None and shard.thread is not threading.current_thread():
                shard.thread.join()

    def _arm(self, reader: SegmentReader) -> _Slot:
        for shard in self._shards:
            if len(shard.set) < WaitSet.ROOM:
                break
        else:
            shard = _Shard(self._poll)
            self._shards.append(shard)
        number = shard.set.add(reader)
        slot = shard.slots[number] = self._slots[reader.identity] = _Slot(reader.identity, number, shard)
        slot.idle_since_ns = monotonic_ns()
        if shard.thread is None:
            shard.thread = threading.Thread(target=self._run, args=(shard,), name="venuemesh-waiter", daemon=True)
            shard.thread.start()
        else:
            shard.set.call()
        return slot

    def _drop(self, slot: _Slot) -> None:
        slot.shard.set.remove(slot.number)
        del slot.shard.slots[slot.number]
        del self._slots[slot.identity]

    def _run(self, shard: _Shard) -> None:
        purged_ns = monotonic_ns()
        while True:
            control = shard.set.control()
            with self._lock:
                if shard.stopping:
                    return
                now = monotonic_ns()
                woken = self._look(shard, now)
                is_done = False
                if now - purged_ns >= IDLE_NS:
                    purged_ns = now
                    is_done = self._purge(shard, now)
            _wake(woken)
            if is_done:
                return
            shard.set.wait(control, IDLE_NS / 1e9)

    def _look(self, shard: _Shard, now: int) -> list[_Request]:
        """Remove and return the requests that the changed slots fulfil; disarm changed slots without requests."""
        woken: list[_Request] = []
        for number, version, alive in shard.set.look():
            slot = shard.slots[number]
            if not slot.requests:
                self._drop(slot)
                continue
            slot.idle_since_ns = now  # a task waited until now
            waiting: list[_Request] = []
            for request in slot.requests:
                (woken if version > request.after or alive is not request.alive else waiting).append(request)
            slot.requests = waiting
        return woken

    def _purge(self, shard: _Shard, now: int) -> bool:
        """Drop slots that no task has waited for in a while. Return whether the thread has no slots left."""
        for slot in list(shard.slots.values()):
            if slot.requests:
                slot.idle_since_ns = now
            elif now - slot.idle_since_ns >= IDLE_NS:
                self._drop(slot)
        if shard.slots:
            return False
        self._shards.remove(shard)
        return True


def _wake(requests: list[_Request]) -> None:
    """Resolve the futures, with one call into each loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Future]] = {}
    for request in requests:
        loops.setdefault(request.loop, []).append(request.future)
    for loop, futures in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, futures)
        except RuntimeError:
            continue  # the loop was closed with tasks waiting in it: no task is left to wake


def _resolve(futures: list[_Future] | tuple[_Future]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
