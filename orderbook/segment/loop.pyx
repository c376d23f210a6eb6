"""The wait of one event loop for segments, by io_uring: the kernel wakes the loop itself, without a thread between.

The loop watches one eventfd. Each segment that a task waits for has one futex wait in the kernel, on the segment's
version word; the wake call that every publish makes anyway completes the wait and signals the eventfd. So the writer
knows nothing of its readers, does the same work for all of them, and reads nothing that a reader wrote. `ring.h` has
the system calls.

A wait is armed when a task begins to wait and is spent when it completes: while a task is busy with a change, further
changes wake nobody. When the eventfd is readable, the versions of few segments are compared at once, and the kernel is
asked only when the task waits again. No change is missed: the kernel compares the version word with the version that was last seen when
it arms the wait, under the lock that the writer's wake takes.

A dying writer publishes nothing, so a timer wakes the loop when the oldest heartbeat would pass its limit. The same
timer ends waits whose time is over, and drops what no task has waited for in a while.
"""

import errno
import os
import threading
from asyncio import CancelledError, InvalidStateError

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from .mapping cimport Mapping
from .reader cimport SegmentReader
from .layout cimport *  # the VM_ and vm_ names

cdef extern from "ring.h":
    ctypedef struct vm_ring:
        int fd, event
    int vm_ring_open(vm_ring* r, uint32_t sq_entries, uint32_t cq_entries) noexcept nogil
    void vm_ring_close(vm_ring* r) noexcept nogil
    int vm_ring_enter(vm_ring* r) noexcept nogil
    int vm_ring_wait(vm_ring* r, uint64_t token, const uint32_t* word, uint32_t expected) noexcept nogil
    int vm_ring_cancel(vm_ring* r, uint64_t token, uint64_t token_none) noexcept nogil
    int vm_ring_take(vm_ring* r, uint64_t* token, int32_t* result) noexcept nogil
    int vm_ring_hush(vm_ring* r) noexcept nogil

IDLE_NS = 1_000_000_000  # a slot that no task has waited on for this long is dropped; a ring without slots is closed

cdef int FEW = 32  # segments: comparing so many versions costs less than a system call
cdef double SHORTEST_S = 0.001  # loops round timers to milliseconds
cdef int64_t NEVER_NS = 2**62
cdef uint64_t NO_TOKEN = 0  # of the end of a wait; tokens of waits are positive
cdef int32_t CHANGED = -errno.EAGAIN, ENDED = -errno.ECANCELED, INTERRUPTED = -errno.EINTR
cdef object thread_id = threading.get_ident


cdef class FutexRing:
    """Futex waits of one thread in the kernel; `event` is readable when some have completed.

    Raises on creation:
        OSError: this system has no io_uring with futexes (before Linux 6.7), or forbids it.
    """

    cdef vm_ring ring

    def __cinit__(self):
        check(vm_ring_open(&self.ring, 64, 256))

    def __dealloc__(self):
        vm_ring_close(&self.ring)

    cdef int arm(self, uint64_t token, const vm_segment* segment, uint64_t version) except -1:
        """Queue a wait until the segment's version differs from `version`: then `token` completes, once."""
        while vm_ring_wait(&self.ring, token, vm_version_word(segment), <uint32_t>version):
            check(vm_ring_enter(&self.ring))  # the queue is full
        return 0

    cdef int disarm(self, uint64_t token) except -1:
        """Queue the end of the wait of `token`, which completes once if it has not yet."""
        while vm_ring_cancel(&self.ring, token, NO_TOKEN):
            check(vm_ring_enter(&self.ring))
        return 0


cdef int check(int error) except -1:
    if error:
        raise OSError(error, os.strerror(error))
    return 0


cdef class Wait:
    """One task's wait: a future for the task alone, which steps the task without another pass of the loop.

    It offers what a task uses of an awaited future. The loop's callback that finds the change resumes the task itself,
    in the task's context, as the loop would do in its next pass.
    """

    cdef public bint _asyncio_future_blocking
    cdef uint64_t after
    cdef bint alive, _done, _cancelled
    cdef int64_t until_ns
    cdef object _loop, _callback, _context

    def __await__(self):
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    def get_loop(self):
        return self._loop

    def done(self):
        return self._done

    def cancelled(self):
        return self._cancelled

    def result(self):
        if self._cancelled:
            raise CancelledError
        if not self._done:
            raise InvalidStateError("the wait is not over")

    def exception(self):
        self.result()

    def add_done_callback(self, callback, *, context=None):
        self._callback, self._context = callback, context
        if self._done:
            self._schedule()

    def remove_done_callback(self, callback):
        if self._callback != callback:
            return 0
        self._callback = None
        return 1

    def cancel(self, msg=None):
        if self._done:
            return False
        self._done = self._cancelled = True
        self._schedule()
        return True

    cdef int finish(self) except -1:
        """End the wait; the task runs in the loop's next pass."""
        if not self._done:
            self._done = True
            self._schedule()
        return 0

    cdef int resume(self) except -1:
        """End the wait and run the task now. Only for callbacks of the loop: no other task may be running."""
        if self._done:
            return 0
        self._done = True
        callback, self._callback = self._callback, None
        if callback is not None:
            self._context.run(callback, self)
        return 0

    cdef int _schedule(self) except -1:
        callback, self._callback = self._callback, None
        if callback is not None:
            self._loop.call_soon(callback, self, context=self._context)
        return 0


cdef class _Slot:
    """One segment that a task waits for, or waited for a moment ago. Keeps the segment mapped."""

    cdef object identity
    cdef Mapping mapping
    cdef const vm_segment* segment
    cdef uint64_t token  # of the wait in the kernel; 0 if there is none
    cdef uint64_t armed  # the version that the wait compares with
    cdef list requests
    cdef int64_t idle_since_ns  # 0 while a task waits

    cdef bint alive(self) noexcept:
        return vm_lives(self.segment, self.segment.head.heartbeat_limit_ns)


cdef class LoopWaiter:
    """Waits for the tasks of one event loop, in the thread that runs the loop.

    Raises on creation:
        OSError: this system has no io_uring with futexes, or forbids it.
    """

    cdef readonly bint failed  # whether the system refused a call on the ring
    cdef FutexRing _ring
    cdef object _loop, _thread, _timer
    cdef dict _slots, _by_token
    cdef uint64_t _tokens
    cdef int64_t _due_ns

    def __init__(self, loop):
        self._ring = FutexRing()
        self._loop = loop
        self._thread = thread_id()
        self._slots = {}
        self._by_token = {}
        loop.add_reader(self._ring.ring.event, self._ready)

    @property
    def serves(self):
        """Whether it can be used in this thread. It ends when idle, and when its loop runs in another thread."""
        return self._serves()

    cdef bint _serves(self):
        return self._ring is not None and self._thread == thread_id()

    @property
    def segments(self):
        """The number of segments that tasks wait for, or waited for a moment ago."""
        return len(self._slots)

    def wait(self, SegmentReader reader not None, uint64_t after_version, timeout_s=None, bint alive=True):
        """Return an awaitable, for one task, that is done when a wait as `Waiter.wait` describes it is over."""
        cdef int64_t now = vm_now(), look_ns, idle_ns = IDLE_NS
        cdef const vm_segment* segment = reader._open()
        cdef _Slot slot = self._slots.get(reader.mapping.identity)
        cdef Wait request = Wait.__new__(Wait)
        if vm_version(segment) > after_version or vm_lives(segment, segment.head.heartbeat_limit_ns) != alive:
            request._done = True
            return request
        if slot is None:
            slot = self._add(reader.mapping, segment)
        request.after = after_version
        request.alive = alive
        request.until_ns = NEVER_NS
        if timeout_s is not None and timeout_s < 1e9:
            request.until_ns = now + <int64_t>(max(timeout_s, 0.0) * 1e9)
        request._loop = self._loop
        slot.requests.append(request)
        slot.idle_since_ns = 0
        if slot.token == 0:
            found = []
            try:
                self._arm(slot)
                self._reap(found)
            except OSError:
                self.end(True)
            for other in found:
                (<Wait>other).finish()  # not now: a task is running
            if self._ring is None:
                return request
        look_ns = min(
            request.until_ns, now + idle_ns, vm_look_again(segment, now, segment.head.heartbeat_limit_ns)
        )
        if self._timer is None or look_ns < self._due_ns:
            self._look_at(look_ns, now)
        return request

    def end(self, bint failed=False):
        """Close the ring and wake every waiting task. Idempotent."""
        cdef _Slot slot
        cdef Wait request
        if self._ring is None:
            return
        ring, self._ring = self._ring, None
        self.failed = failed
        slots = list(self._slots.values())
        self._slots.clear()
        self._by_token.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loop.is_closed():
            return
        self._loop.remove_reader((<FutexRing>ring).ring.event)
        for slot in slots:
            for request in slot.requests:
                request.finish()

    cdef _Slot _add(self, Mapping mapping, const vm_segment* segment):
        cdef _Slot slot = _Slot.__new__(_Slot)
        slot.identity = mapping.identity
        slot.mapping = mapping
        slot.segment = segment
        slot.requests = []
        self._slots[slot.identity] = slot
        return slot

    cdef int _drop(self, _Slot slot) except -1:
        del self._slots[slot.identity]
        if slot.token:
            del self._by_token[slot.token]
            self._ring.disarm(slot.token)
        return 0

    cdef int _arm(self, _Slot slot) except -1:
        """Queue a wait for the segment's next version, and wake the requests that the present version fulfils."""
        cdef Wait request
        slot.armed = vm_version(slot.segment)
        self._tokens += 1
        slot.token = self._tokens
        self._by_token[slot.token] = slot
        self._ring.arm(slot.token, slot.segment, slot.armed)
        for request in slot.requests:
            if slot.armed > request.after:
                request.finish()
        return 0

    def _ready(self):
        """Run the tasks whose segments have changed."""
        cdef _Slot slot
        cdef int changed = 0
        if not self._is_here():
            return
        found = []
        try:
            if len(self._slots) <= FEW:
                for slot in list(self._slots.values()):
                    if slot.token and vm_version(slot.segment) != slot.armed:
                        changed += 1
                        self._spent(slot, found)
            if changed == 0:
                self._reap(found)
        except OSError:
            self.end(True)
        run(found)

    cdef int _reap(self, list found) except -1:
        """Hand the queued waits to the kernel; append the requests that others fulfil to `found`."""
        cdef vm_ring* ring = &self._ring.ring
        cdef uint64_t token
        cdef int32_t result
        cdef _Slot slot
        cdef bint again = True
        while again:
            check(vm_ring_enter(ring))
            while vm_ring_take(ring, &token, &result):
                if token == NO_TOKEN:
                    continue
                if result not in (0, CHANGED, ENDED, INTERRUPTED):
                    check(-result)
                slot = self._by_token.get(token)
                if slot is not None:
                    self._spent(slot, found)
            again = vm_ring_hush(ring)
        return 0

    cdef int _spent(self, _Slot slot, list found) except -1:
        """Move the fulfilled requests of a slot, whose wait has completed or is about to, to `found`; wait again for the
        others."""
        cdef uint64_t version = vm_version(slot.segment)
        cdef Wait request
        del self._by_token[slot.token]
        slot.token = 0
        if not slot.requests:
            return self._drop(slot)
        waiting = []
        for request in slot.requests:
            if version > request.after or slot.alive() != request.alive:
                found.append(request)
            elif not request._done:
                waiting.append(request)
        slot.requests = waiting
        if waiting:
            self._arm(slot)
        return 0

    cdef bint _is_here(self):
        """Return whether this still serves; end it if its loop runs in another thread now."""
        if self._ring is not None and not self._serves():
            self.end()
        return self._ring is not None

    cdef int _look_at(self, int64_t when_ns, int64_t now) except -1:
        """Let the timer look at all heartbeats and times at `when_ns`."""
        if self._timer is not None:
            self._timer.cancel()
        self._due_ns = when_ns
        self._timer = self._loop.call_later(max((when_ns - now) / 1e9, SHORTEST_S), self._look)
        return 0

    def _look(self):
        """Run the tasks whose time is over or whose writer died or revived; drop idle slots, and the ring with the last
        of them."""
        cdef int64_t now = vm_now(), next_ns = now + <int64_t>IDLE_NS
        self._timer = None
        if not self._is_here():
            return
        found = []
        try:
            for slot in list(self._slots.values()):
                next_ns = min(next_ns, self._look_at_slot(slot, now, found))
            self._reap(found)
        except OSError:
            self.end(True)
        if self._slots:
            self._look_at(next_ns, now)
        else:
            self.end()
        run(found)

    cdef int64_t _look_at_slot(self, _Slot slot, int64_t now, list found) except -1:
        """Move the requests that are over to `found`; return when to look again."""
        cdef int64_t idle_ns = IDLE_NS, look_ns
        cdef bint alive = slot.alive()
        cdef Wait request
        waiting = []
        look_ns = vm_look_again(slot.segment, now, slot.segment.head.heartbeat_limit_ns)
        for request in slot.requests:
            if alive != request.alive or request.until_ns <= now:
                found.append(request)
            elif not request._done:
                waiting.append(request)
                look_ns = min(look_ns, request.until_ns)
        slot.requests = waiting
        if waiting:
            slot.idle_since_ns = 0
            return look_ns
        if slot.idle_since_ns == 0:
            slot.idle_since_ns = now
        elif now - slot.idle_since_ns >= idle_ns:
            self._drop(slot)
        return slot.idle_since_ns + idle_ns


cdef int run(list found) except -1:
    """Run the tasks of these requests, in a callback of their loop."""
    cdef Wait request
    cdef int begun = 0
    try:
        for request in found:
            begun += 1
            request.resume()
    finally:
        for request in found[begun:]:  # a task ended with KeyboardInterrupt or SystemExit, which ends the loop
            request.finish()
    return 0
