"""One thread's wait for many segments at once: by futex_waitv, or by polling where the system has none."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from .mapping cimport POLLING
from .reader cimport SegmentReader
from .layout cimport *  # the VM_ and vm_ names


cdef class WaitSet:
    """Up to 127 segments that one thread waits for at once, and a control word that wakes the thread.

    `waiter.Waiter` owns it. Add and remove under the interpreter's lock at any time; `wait` in one thread only.
    """

    ROOM = 127

    def __cinit__(self, poll=None):
        self._mappings = [None] * 127
        self._used = 0
        self._poll = POLLING if poll is None else poll
        self._control = 0

    @property
    def polling(self):
        """Whether it polls every 0.5 ms, because there is no futex_waitv, instead of sleeping until woken."""
        return self._poll

    def __len__(self):
        return self._used

    def add(self, SegmentReader reader not None):
        """Watch a segment from its present state on; return its slot, or -1 if there is no room."""
        cdef const vm_segment* segment = reader._open()
        cdef int slot
        for slot in range(127):
            if self._mappings[slot] is None:
                self._mappings[slot] = reader.mapping
                self._segments[slot] = segment
                self._versions[slot] = vm_version(segment)
                self._alive[slot] = _lives(segment)
                self._used += 1
                return slot
        return -1

    def remove(self, int slot):
        if self._mappings[slot] is not None:
            self._mappings[slot] = None
            self._used -= 1

    def call(self):
        """Make a running or the next `wait` return."""
        vm_poke(&self._control)

    def look(self):
        """Return (slot, version, alive) of the segments that changed since the last call."""
        cdef int slot
        cdef uint64_t version
        cdef bint alive
        changed = []
        for slot in range(127):
            if self._mappings[slot] is None:
                continue
            version = vm_version(self._segments[slot])
            alive = _lives(self._segments[slot])
            if version != self._versions[slot] or alive != self._alive[slot]:
                self._versions[slot] = version
                self._alive[slot] = alive
                changed.append((slot, version, alive))
        return changed

    def control(self):
        """Return the control word for `wait`: a later call of `call` is then not missed."""
        return vm_word(&self._control)

    def wait(self, uint32_t control, double timeout_s):
        """Sleep until a watched segment differs from the result of the last `look`, `call` is called, or the time is
        over. A heartbeat that must be judged ends the sleep too.
        """
        cdef uint32_t* words[128]
        cdef uint32_t expected[128]
        cdef int n = 1, slot, poll = self._poll
        cdef int64_t now = vm_now(), until = now + <int64_t>(timeout_s * 1e9)
        held = [mapping for mapping in self._mappings if mapping is not None]  # keeps the segments mapped
        words[0] = &self._control
        expected[0] = control
        for slot in range(127):
            if self._mappings[slot] is None:
                continue
            words[n] = vm_version_word(self._segments[slot])
            expected[n] = <uint32_t>self._versions[slot]
            until = min(
                until, vm_look_again(self._segments[slot], now, self._segments[slot].head.heartbeat_limit_ns)
            )
            n += 1
        with nogil:
            vm_wait_many(words, expected, n, until, poll)
        held.clear()


cdef bint _lives(const vm_segment* segment) noexcept nogil:
    return vm_lives(segment, segment.head.heartbeat_limit_ns)
