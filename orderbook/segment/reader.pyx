"""The reading side of a segment. The package `segment` explains when a reader may trust a copy."""

import os

from ...model.errors import BeyondDepth, NotSynced, SegmentMismatch
from ...model.events import BookState, Side
from ..records import Content, Depth, Statistics, Trade, count_of
from ..snapshot import BookSnapshot

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint32_t, uint64_t

from .mapping cimport POLLING, map_segment
from .layout cimport *  # the VM_ and vm_ names
from .top cimport Top

cdef int LIVE = int(BookState.LIVE)
cdef int RETIRED = int(BookState.RETIRED)
cdef int DEAD = int(BookState.DEAD)
cdef tuple STATES = tuple(BookState)  # BookState(i) is STATES[i]
cdef int N_STATES = len(STATES)
# Of numpy, which is imported with the first array
cdef object INT64 = None
cdef object FLOAT64 = None
cdef object empty = None
cdef object MOST = 2**62  # means all levels: more than any side has


cdef object new_rows(int64_t rows, bint as_float):
    """Return an array of shape (2, rows, 2), not filled."""
    global INT64, FLOAT64, empty
    if empty is None:
        import numpy as np

        INT64, FLOAT64 = np.dtype(np.int64), np.dtype(np.float64)
        empty = np.empty
    return empty((2, rows, 2), FLOAT64 if as_float else INT64)


cdef class SegmentReader:
    """One mapped segment, read-only. Holds no file descriptor; returned arrays are copies.

    Raises on creation:
        SegmentMismatch: the file is not a segment of this version, or is damaged.
        FileNotFoundError: there is none.
    """

    def __cinit__(self, path):
        cdef const vm_header* head
        self.mapping = map_segment(path, False)
        head = &self.mapping.segment.head
        self.path = path
        try:
            self.address = head.address[: head.address_bytes].decode()
        except UnicodeDecodeError:
            raise SegmentMismatch(str(path), "is damaged: its address is not text") from None
        self.incarnation = (head.epoch, head.counter)
        self.price_scale, self.size_scale = head.price_scale, head.size_scale
        self.price_unit, self.size_unit = 10.0**head.price_scale, 10.0**head.size_scale
        self.levels, self.trade_slots = head.levels, head.trades
        self.heartbeat_limit_ns = head.heartbeat_limit_ns
        self.sequenced = head.flags & VM_SEQUENCED != 0
        self.exact = head.flags & VM_INEXACT == 0
        self.mirrored = head.flags & VM_MIRRORED != 0
        self.redundant = head.flags & VM_REDUNDANT != 0
        self.replica = head.flags & VM_REPLICA != 0
        self.comparable = head.flags & VM_COMPARABLE != 0
        self.writer_pid, self.writer_start = head.writer_pid, head.writer_start

    def close(self):
        """Release the mapping; every later read raises NotSynced. Idempotent."""
        self.mapping = None

    @property
    def identity(self):
        """(device, inode) of the file; unique while this reader is open."""
        self._open()
        return self.mapping.identity

    @property
    def closed(self):
        return self.mapping is None

    cdef const vm_segment* _open(self) except NULL:
        if self.mapping is None:
            raise NotSynced(self.address, "ABSENT", "this reader is closed")
        return self.mapping.segment

    cdef int _read(self, int64_t n, int64_t* hot, int64_t words, int64_t* pairs) except -1:
        cdef Mapping mapping = self.mapping  # keeps the file mapped while the interpreter's lock is released
        cdef const vm_segment* segment = self._open()
        cdef int tries
        if vm_read(segment, self.levels, n, hot, words, pairs) == 0:
            return self._check(hot, words)
        for tries in range(VM_PATIENT_TRIES):
            if not self._quick(segment):
                break
            with nogil:
                vm_yield(tries)
            if vm_read(segment, self.levels, n, hot, words, pairs) == 0:
                return self._check(hot, words)
        if vm_ended(segment):
            raise NotSynced(self.address, "RETIRED", "its writer ended during a publish")
        if not self._quick(segment):
            raise NotSynced(self.address, "DEAD", "its writer died during a publish")
        raise NotSynced(self.address, "GAP", "its writer does not finish a publish")

    cdef int _check(self, const int64_t* hot, int64_t words) except -1:
        """Refuse words that index memory and that no writer has written: the file is damaged."""
        if not 0 <= hot[VM_STATE] < N_STATES or (
            words > VM_N_ASKS
            and not (0 <= hot[VM_N_BIDS] <= self.levels and 0 <= hot[VM_N_ASKS] <= self.levels)
        ):
            raise NotSynced(self.address, "GAP", "its segment is damaged")
        return 0

    cdef bint _quick(self, const vm_segment* segment) noexcept:
        """Whether the writer lives: not ended, and its heartbeat within the limit."""
        return vm_lives(segment, self.heartbeat_limit_ns)

    cdef int _judge(self, const vm_segment* segment, const int64_t* hot) noexcept:
        if vm_ended(segment):
            return RETIRED
        return <int>hot[VM_STATE] if self._quick(segment) else DEAD

    @property
    def version(self):
        """The number of publications: it changes with every publish, trade and end."""
        return vm_version(self._open())

    @property
    def alive(self):
        """Whether the writer's heartbeat is within its limit and the segment has not ended."""
        return self._quick(self._open())

    @property
    def ended(self):
        """Whether the segment was retired, by its writer or, after its death, by the node agent."""
        return vm_ended(self._open()) != 0

    @property
    def heartbeat_age_ns(self):
        cdef int64_t beat = vm_heartbeat(self._open())
        return vm_now() - beat

    @property
    def unlinked(self):
        """Whether the file's name is gone or belongs to another file. Asks the file system."""
        try:
            named = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return True
        return (named.st_dev, named.st_ino) != self.identity

    @property
    def state(self):
        """The writer's state; RETIRED when the segment has ended, DEAD when the heartbeat is too old.

        A publish that does not end raises nothing: the state is GAP, and later DEAD.
        """
        cdef int64_t hot[32]
        try:
            self._read(0, hot, 1, NULL)
        except NotSynced as doubt:
            return BookState[doubt.state]
        return STATES[self._judge(self.mapping.segment, hot)]

    def top(self, bint stale_ok=False):
        """Return one consistent `Top`.

        Raises:
            NotSynced: the book is not LIVE (unless `stale_ok`), or no consistent copy could be read.
        """
        cdef int64_t hot[32]
        cdef const vm_segment* segment = self._open()
        cdef uint64_t version = vm_version(segment)  # read before the data, so that a waiter cannot miss a later change
        cdef Top top
        cdef int state
        self._read(0, hot, VM_ASK_SIZE + 1, NULL)
        state = self._judge(segment, hot)
        if state != LIVE and not stale_ok:
            self._refuse(state)
        top = Top.__new__(Top)
        top.address, top.incarnation = self.address, self.incarnation
        top.replica = self.replica
        top.version = version
        top.update = hot[VM_CHANGES]
        top.sequence = hot[VM_SEQUENCE]
        top.price_scale, top.size_scale = self.price_scale, self.size_scale
        top.sequence_known = hot[VM_PUBLISH_NS] != VM_NONE
        top._state = state
        top._flags = hot[VM_FLAGS]
        top._held[0], top._held[1] = hot[VM_N_BIDS], hot[VM_N_ASKS]
        top._ts_event, top._ts_recv, top._published = hot[VM_TS_EVENT], hot[VM_TS_RECV], hot[VM_PUBLISH_NS]
        top._bid_price, top._bid_size = hot[VM_BID_PRICE], hot[VM_BID_SIZE]
        top._ask_price, top._ask_size = hot[VM_ASK_PRICE], hot[VM_ASK_SIZE]
        return top

    cdef int _refuse(self, int state) except -1:
        if state == DEAD:
            reason = f"its writer's last heartbeat is {self.heartbeat_age_ns // 1_000_000} ms old"
        else:
            reason = self.statistics().reason or None
        raise NotSynced(self.address, STATES[state].name, reason)

    cdef int64_t _live_sequence(self) except *:
        """The sequence number of a LIVE book, or else the least number."""
        cdef int64_t hot[2]
        try:
            self._read(0, hot, VM_SEQUENCE + 1, NULL)
        except NotSynced:
            return VM_NONE
        return hot[VM_SEQUENCE] if self._judge(self.mapping.segment, hot) == LIVE else VM_NONE

    def depth(self, n=None, bint as_float=False, bint stale_ok=False):
        """Return `Depth(bids, asks)`, best first: int64 raw, or float64 values. `n` None means all stored levels.

        A complete side with fewer than `n` levels gives fewer rows.

        Raises:
            NotSynced: the book is not LIVE (unless `stale_ok`), or no consistent copy could be read.
            BeyondDepth: `n` is more than the stored levels of a side that is not complete.
        """
        cdef int64_t hot[32]
        cdef int64_t rows, i, wanted = -1 if n is None else min(count_of(n), MOST)
        cdef Py_buffer view
        cdef int64_t* raw
        cdef double* real
        cdef int state, side
        rows = self.levels if n is None else min(wanted, <int64_t>self.levels)
        both = new_rows(rows, as_float)
        PyObject_GetBuffer(both, &view, PyBUF_WRITABLE)
        try:
            raw = <int64_t*>view.buf
            self._read(rows, hot, VM_FLAGS + 1, raw)
            if as_float:  # in place: a double is as wide as an int64
                real = <double*>view.buf
                for side in range(2):
                    for i in range(2 * rows * side, 2 * rows * side + 2 * min(rows, hot[VM_N_BIDS + side]), 2):
                        real[i] = <double>raw[i] / self.price_unit
                        real[i + 1] = <double>raw[i + 1] / self.size_unit
        finally:
            PyBuffer_Release(&view)
        state = self._judge(self._open(), hot)
        if state != LIVE and not stale_ok:
            self._refuse(state)
        for side in range(2):
            if wanted > hot[VM_N_BIDS + side] and not hot[VM_FLAGS] & (VM_BIDS_WHOLE << side):
                raise BeyondDepth(self.address, "ask" if side else "bid", n, hot[VM_N_BIDS + side])
        bids, asks = both
        if hot[VM_N_BIDS] < rows:
            bids = bids[: hot[VM_N_BIDS]]
        if hot[VM_N_ASKS] < rows:
            asks = asks[: hot[VM_N_ASKS]]
        return Depth(bids, asks)

    def snapshot(self, bint stale_ok=False):
        """Return all stored levels as one immutable `BookSnapshot`. Raises as `top`."""
        cdef int64_t hot[32]
        cdef const vm_segment* segment = self._open()
        cdef uint64_t version = vm_version(segment)
        cdef Py_buffer view
        cdef int state
        both = new_rows(self.levels, False)
        PyObject_GetBuffer(both, &view, PyBUF_WRITABLE)
        try:
            self._read(self.levels, hot, VM_HOT_WORDS, <int64_t*>view.buf)
        finally:
            PyBuffer_Release(&view)
        state = self._judge(segment, hot)
        if state != LIVE and not stale_ok:
            self._refuse(state)
        bids, asks = both[0, : hot[VM_N_BIDS]].copy(), both[1, : hot[VM_N_ASKS]].copy()
        bids.flags.writeable = asks.flags.writeable = False
        return BookSnapshot(
            address=self.address,
            incarnation=self.incarnation,
            state=STATES[state],
            version=version,
            sequence=hot[VM_SEQUENCE],
            ts_event_ns=None if hot[VM_TS_EVENT] == VM_NONE else hot[VM_TS_EVENT],
            ts_recv_ns=None if hot[VM_TS_RECV] == VM_NONE else hot[VM_TS_RECV],
            price_scale=self.price_scale,
            size_scale=self.size_scale,
            bids=bids,
            asks=asks,
            bids_complete=hot[VM_FLAGS] & VM_BIDS_WHOLE != 0,
            asks_complete=hot[VM_FLAGS] & VM_ASKS_WHOLE != 0,
        )

    def content(self):
        """Return all that the writer published last, as one `Content`. The state is the writer's own word: this
        does not judge whether the writer lives.

        Raises:
            NotSynced: no consistent copy could be read.
        """
        cdef int64_t hot[32]
        cdef const vm_segment* segment = self._open()
        cdef uint64_t version = vm_version(segment)  # read before the data: a later change has a later version
        cdef bytearray rows = bytearray(4 * self.levels * sizeof(int64_t))
        cdef char* raw = rows
        cdef Py_ssize_t bids, asks, side = 2 * self.levels * <Py_ssize_t>sizeof(int64_t)
        self._read(self.levels, hot, VM_REASON_END, <int64_t*>raw)
        bids, asks = 16 * hot[VM_N_BIDS], 16 * hot[VM_N_ASKS]
        reason = (<const char*>&hot[VM_REASON])[: 8 * (VM_REASON_END - VM_REASON)].rstrip(b"\0")
        return Content(
            version,
            hot[VM_CHANGES],
            hot[VM_STATE],
            hot[VM_SEQUENCE],
            None if hot[VM_TS_EVENT] == VM_NONE else hot[VM_TS_EVENT],
            None if hot[VM_TS_RECV] == VM_NONE else hot[VM_TS_RECV],
            hot[VM_FLAGS] & VM_BIDS_WHOLE != 0,
            hot[VM_FLAGS] & VM_ASKS_WHOLE != 0,
            reason.decode(errors="replace"),
            <bytes>raw[:bids],
            <bytes>raw[side : side + asks],
        )

    def statistics(self):
        """Return the writer's counters and reason, in any state."""
        cdef int64_t hot[32]
        self._read(0, hot, VM_REASON_END, NULL)
        reason = (<const char*>&hot[VM_REASON])[: 8 * (VM_REASON_END - VM_REASON)].rstrip(b"\0")
        return Statistics(
            hot[VM_UPDATES], hot[VM_GAPS], hot[VM_RESYNCS], vm_last_trade(self.mapping.segment),
            reason.decode(errors="replace"),
        )

    @property
    def last_trade_number(self):
        """Number of the newest trade; 0 before the first."""
        return vm_last_trade(self._open())

    def trades(self, int64_t after, int64_t limit=1000, lost=None):
        """Return the trades numbered above `after`, oldest first, at most `limit`, each with the number of trades lost
        just before it. The book may be in any state: a trade that happened stays true.

        `lost` is the field `lost` of the trade numbered `after`. It is needed only if the ring no longer holds that
        trade; without it `missed` of the first trade may then be None.
        """
        cdef const vm_segment* segment = self._open()
        cdef int64_t last = vm_last_trade(segment), number
        cdef int64_t slot[8]
        cdef int64_t total, before = -1 if lost is None else lost
        cdef int outcome
        if after < 0:
            raise ValueError(f"{after}: trades are numbered from 1")
        if after == 0:
            before = 0
        elif lost is None and vm_read_trade(segment, self.levels, self.trade_slots, after, slot) == 0:
            before = slot[VM_T_LOST] >> 1
        found = []
        missed = 0
        number = after + 1
        if last - number >= self.trade_slots:
            missed = last - self.trade_slots + 1 - number
            number += missed
        while number <= last and len(found) < limit:
            outcome = vm_read_trade(segment, self.levels, self.trade_slots, number, slot)
            if outcome == 0:
                total = slot[VM_T_LOST] >> 1
                if slot[VM_T_LOST] & 1 or (before < 0 and total > 0):
                    missed = None
                elif before >= 0:
                    missed += max(total - before, 0)
                before = total
                found.append(Trade(
                    number, self.incarnation, slot[VM_T_ID], slot[VM_T_PRICE], slot[VM_T_SIZE], self.price_scale,
                    self.size_scale, Side.SELL if slot[VM_T_SELL] else Side.BUY,
                    None if slot[VM_T_EVENT] == VM_NONE else slot[VM_T_EVENT], slot[VM_T_RECV], missed, total,
                ))
                missed = 0
            elif outcome == 1:  # overwritten between reading `last` and the copy
                missed += 1
            else:
                break
            number += 1
        return found

    def wait(self, uint64_t after_version, double timeout_s, bint alive=True):
        """Block this thread until the version passes `after_version` or the writer's life differs from `alive`.

        The interpreter's lock is released meanwhile. Return the version, which is still `after_version` if neither
        happened in time.
        """
        cdef Mapping mapping = self.mapping
        cdef const vm_segment* segment = self._open()
        cdef uint32_t* word = vm_version_word(segment)
        cdef uint32_t expected
        cdef uint64_t version
        cdef int64_t until = vm_now() + <int64_t>((timeout_s if timeout_s < 1e9 else 1e9) * 1e9), now, wake
        while True:
            version = vm_version(segment)
            now = vm_now()
            if version > after_version or self._quick(segment) != alive or now >= until:
                return version
            expected = <uint32_t>version
            wake = min(until, now + 50_000_000, vm_look_again(segment, now, self.heartbeat_limit_ns))
            with nogil:
                vm_wait_many(&word, &expected, 1, wake, POLLING)
            PyErr_CheckSignals()


def ahead(SegmentReader current not None, SegmentReader other not None):
    """Return the one of two segments of the same book to read now; None: neither book is LIVE.

    It is the current one, unless that is not LIVE, or the other one has a higher sequence number (`comparable`).
    """
    cdef int64_t here = current._live_sequence(), there = other._live_sequence()
    if there == VM_NONE:
        return None if here == VM_NONE else current
    if here == VM_NONE or (there > here and current.comparable and other.comparable):
        return other
    return current
