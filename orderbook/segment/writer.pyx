"""The writing side of a segment: of the book role, a mirror, a replay. The package `segment` has the rules."""

import errno
import os
import secrets

from ...model.address import book_of
from ...model.errors import BookError, Fenced, Misconfigured
from ...model.events import BookState, Side
from .mapping import LEVELS_MAX, TRADES_MAX, process_start
from .names import private_directory, segment_name

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ..l2 cimport ASKS, BIDS, OrderBook
from .layout cimport *  # the VM_ and vm_ names

cdef int LIVE = int(BookState.LIVE)
cdef int GAP = int(BookState.GAP)
cdef int DEAD = int(BookState.DEAD)
cdef tuple STATES = tuple(BookState)  # BookState(i) is STATES[i]


cdef int open_rows(object levels, Py_buffer* view) except -1:
    """Get the buffer of an int64 array of shape (n, 2), with any strides. Raises BookError: it is no such array."""
    try:
        PyObject_GetBuffer(levels, view, PyBUF_STRIDES | PyBUF_FORMAT)
    except (ValueError, TypeError, BufferError) as error:
        raise BookError(f"levels must be int64 of shape (n, 2): {error}") from None
    if (
        view.ndim == 2 and view.shape[1] == 2 and view.itemsize == sizeof(int64_t)
        and (view.format[0] == c"l" or view.format[0] == c"q") and view.format[1] == 0
    ):
        return 0
    PyBuffer_Release(view)
    raise BookError("levels must be int64 of shape (n, 2)")


cdef class SegmentWriter:
    """The one writer of one book's segment. Not thread safe, never blocks, never waits for a reader.

    Raises on creation:
        Misconfigured: the directory is not private, the disk has no room for the file, or an argument is wrong.
        Fenced: this incarnation of the address has a segment already.
    """

    def __cinit__(
        self, directory, address, incarnation, price_scale, size_scale, levels=200, trades=1024,
        heartbeat_limit_ns=250_000_000, sequenced=True, exact=True, mirrored=False,
        redundant=False, comparable=False,
    ):
        cdef vm_header* head
        shown = book_of(address)
        cdef bytes text = shown.encode()
        name = segment_name(address, incarnation)
        if not (0 < levels <= LEVELS_MAX and 0 < trades <= TRADES_MAX and heartbeat_limit_ns > 0):
            raise Misconfigured(f"segment of {address}", f"{levels=}, {trades=}, {heartbeat_limit_ns=}: out of range")
        if len(text) > VM_ADDRESS_BYTES:
            raise Misconfigured(f"segment of {address[:80]}", "the address is too long")
        private_directory(directory)
        self.path = directory / name
        self.address = address
        self.incarnation = tuple(incarnation)
        self.price_scale = price_scale
        self.size_scale = size_scale
        self.levels = levels
        self.trades = trades
        self.sequenced = sequenced
        self.exact = exact
        self.mirrored = mirrored
        self.redundant = redundant
        self.replica = shown != address
        self.comparable = comparable
        size = vm_file_bytes(levels, trades)
        self.scratch = <int64_t*>calloc(4 * levels, sizeof(int64_t))
        if self.scratch is NULL:
            raise MemoryError
        memset(self.hot, 0, sizeof(self.hot))

        unnamed = directory / f".{os.getpid()}.{secrets.token_hex(8)}.new"
        fd = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                _allocate(fd, size)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
                    raise
                raise Misconfigured(
                    f"segment directory {directory}", f"no room for the {size} bytes of {address}: {error.strerror}"
                ) from error
            self.mapping = Mapping(fd, size, True)
            head = &self.mapping.segment.head
            memcpy(head.magic, VM_MAGIC, 8)
            head.format = VM_FORMAT
            head.head_bytes = sizeof(vm_header)
            head.file_bytes = size
            head.epoch, head.counter = incarnation
            head.price_scale, head.size_scale = price_scale, size_scale
            head.levels, head.trades = levels, trades
            head.heartbeat_limit_ns = heartbeat_limit_ns
            head.flags = (
                (VM_SEQUENCED if sequenced else 0)
                | (0 if exact else VM_INEXACT)
                | (VM_MIRRORED if mirrored else 0)
                | (VM_REDUNDANT if redundant else 0)
                | (VM_REPLICA if self.replica else 0)
                | (VM_COMPARABLE if comparable else 0)
            )
            head.writer_pid = os.getpid()
            head.writer_start = process_start(os.getpid())
            head.address_bytes = len(text)
            memcpy(head.address, <const char*>text, len(text))
            self.hot[VM_STATE] = int(BookState.CONNECTING)
            self.hot[VM_TS_EVENT] = self.hot[VM_TS_RECV] = self.hot[VM_PUBLISH_NS] = VM_NONE
            vm_put_hot(self.mapping.segment, self.hot, VM_HOT_WORDS)
            self.last_beat_ns = vm_now()
            vm_beat(self.mapping.segment, self.last_beat_ns)
            try:
                os.link(unnamed, self.path)
            except FileExistsError:
                raise Fenced(address, self.incarnation, self.incarnation) from None
        finally:
            os.close(fd)
            os.unlink(unnamed)

    def __dealloc__(self):
        free(self.scratch)

    @property
    def published(self):
        """The number of publications: books, states and trades."""
        return 0 if self.mapping is None else vm_version(self.mapping.segment)

    @property
    def state(self):
        return STATES[self.hot[VM_STATE]]

    @property
    def reason(self):
        text = (<const char*>&self.hot[VM_REASON])[: 8 * (VM_REASON_END - VM_REASON)].rstrip(b"\0")
        return text.decode(errors="replace")

    cdef int _ready(self) except -1:
        if self.mapping is None:
            raise Fenced(self.address, self.incarnation, self.incarnation)
        if vm_ended(self.mapping.segment):  # retired, here or by the node agent: a successor may be serving
            raise Fenced(self.address, self.incarnation, None)
        return 0

    cdef int _enter(self, object state, object reason) except -1:
        cdef int64_t* hot = self.hot
        cdef int code = state
        cdef bytes text
        if not 0 <= code <= DEAD:
            raise ValueError(f"{state!r} is not a state of a book")
        if code != hot[VM_STATE]:
            hot[VM_STATE] = code
            if code == GAP:
                hot[VM_GAPS] += 1
            elif code == LIVE:
                hot[VM_RESYNCS] += self.was_live
                self.was_live = True
        if reason is not None:
            text = reason.encode()[: 8 * (VM_REASON_END - VM_REASON)]
            memset(&hot[VM_REASON], 0, 8 * (VM_REASON_END - VM_REASON))
            memcpy(&hot[VM_REASON], <const char*>text, len(text))
        return 0

    cdef void _commit(self, int64_t bids, int64_t asks) noexcept:
        """Publish the hot words and, for counts that are not negative, the levels in `scratch`."""
        cdef vm_segment* segment = self.mapping.segment
        self.hot[VM_CHANGES] += 1
        vm_begin(segment)
        vm_put_hot(segment, self.hot, VM_REASON_END)
        if bids >= 0:
            vm_put_levels(segment, self.scratch, self.levels, bids, asks)
        vm_end(segment)
        self._alive(vm_now())
        vm_notify(segment)

    cdef void _alive(self, int64_t now_ns) noexcept:
        self.last_beat_ns = now_ns
        vm_beat(self.mapping.segment, now_ns)

    cdef int _book(
        self, int64_t bids, int64_t asks, int64_t flags, int64_t sequence,
        object state, object reason, object ts_event_ns, int64_t ts_recv_ns, int64_t applied,
    ) except -1:
        cdef int64_t* hot = self.hot
        cdef int64_t* best = self.scratch + self.levels - 1
        cdef int64_t event = VM_NONE if ts_event_ns is None else ts_event_ns
        self._enter(state, reason)
        hot[VM_SEQUENCE] = sequence
        hot[VM_TS_EVENT] = event
        hot[VM_TS_RECV] = ts_recv_ns
        hot[VM_PUBLISH_NS] = vm_now()
        hot[VM_UPDATES] += applied
        hot[VM_N_BIDS] = bids
        hot[VM_N_ASKS] = asks
        hot[VM_FLAGS] = flags
        if bids > 0:
            hot[VM_BID_PRICE] = best[0]
            hot[VM_BID_SIZE] = best[self.levels]
        if asks > 0:
            hot[VM_ASK_PRICE] = best[2 * self.levels]
            hot[VM_ASK_SIZE] = best[3 * self.levels]
        self._commit(bids, asks)
        return 0

    def publish(self, OrderBook book not None, state, ts_event_ns, int64_t ts_recv_ns, int64_t applied=1):
        """Publish the best proven levels of `book`, its sequence, the state and the times, as one; wake the waiters.

        `ts_event_ns` is None if the exchange states no time; `applied` counts the frames since the last publish.
        """
        cdef int64_t n[2]
        cdef int64_t flags = 0, held, cap = self.levels
        cdef int side
        self._ready()
        for side in range(2):
            held = book.proven(side)
            n[side] = min(held, cap)
            book.copy_best(
                side, n[side],
                self.scratch + (2 * side + 1) * cap - n[side], self.scratch + (2 * side + 2) * cap - n[side],
            )
            if held > cap:
                flags |= VM_BIDS_MORE << side
            elif book.side_complete(side):
                flags |= VM_BIDS_WHOLE << side
        self._book(n[BIDS], n[ASKS], flags, book.sequence, state, None, ts_event_ns, ts_recv_ns, applied)

    def publish_levels(
        self, bids, asks, bint bids_complete, bint asks_complete, int64_t sequence, state, ts_event_ns,
        int64_t ts_recv_ns, int64_t applied=1, reason=None,
    ):
        """Publish from int64 arrays of shape (n, 2), best first; every given level counts as proven.

        Raises:
            BookError: arrays of another shape. Nothing was published.
        """
        cdef Py_buffer view
        cdef const char* row
        cdef int64_t n[2]
        cdef int64_t flags = 0, cap = self.levels, i
        cdef int64_t* price
        cdef int side
        self._ready()
        for side in range(2):
            open_rows(asks if side else bids, &view)
            n[side] = min(<int64_t>view.shape[0], cap)
            price = self.scratch + (2 * side + 1) * cap - 1
            row = <const char*>view.buf
            for i in range(n[side]):
                price[-i] = (<const int64_t*>row)[0]
                price[cap - i] = (<const int64_t*>(row + view.strides[1]))[0]
                row += view.strides[0]
            if view.shape[0] > cap:
                flags |= VM_BIDS_MORE << side
            elif asks_complete if side else bids_complete:
                flags |= VM_BIDS_WHOLE << side
            PyBuffer_Release(&view)
        self._book(n[BIDS], n[ASKS], flags, sequence, state, reason, ts_event_ns, ts_recv_ns, applied)

    def set_state(self, state, reason=None):
        """Publish a state alone; reads that begin after the return see it. `reason` (about 60 bytes) stays until the
        next reason."""
        self._ready()
        self._enter(state, reason)
        self._commit(-1, -1)

    def beat(self):
        """Set the heartbeat to now without waking readers. Return the age of the previous heartbeat in ns: more than
        the limit means that readers considered this writer dead meanwhile."""
        cdef int64_t now = vm_now(), lasted = now - self.last_beat_ns
        self._ready()
        self._alive(now)
        return lasted

    def trade(self, trade, missed=0):
        """Append to the trade ring (numbered 1, 2, ... within this incarnation) and wake. Return its number.

        `missed` is the number of trades known to be lost just before this one; None if the number is unknown.
        """
        cdef int64_t slot[8]
        cdef int64_t gap = 0 if missed is None else missed
        self._ready()
        if gap < 0:
            raise ValueError(f"{missed} trades missed")
        slot[VM_T_ID] = trade.trade_id
        slot[VM_T_PRICE] = trade.price_raw
        slot[VM_T_SIZE] = trade.size_raw
        slot[VM_T_SELL] = trade.side is Side.SELL
        slot[VM_T_EVENT] = VM_NONE if trade.ts_event_ns is None else trade.ts_event_ns
        slot[VM_T_RECV] = trade.ts_recv_ns
        self.lost += gap
        slot[VM_T_LOST] = 2 * self.lost + (missed is None)
        vm_put_trade(self.mapping.segment, self.levels, self.trades, slot)
        self._alive(vm_now())
        vm_notify(self.mapping.segment)
        return vm_last_trade(self.mapping.segment)

    def retire(self):
        """Publish RETIRED for good: any later publish raises Fenced. Idempotent."""
        if self.mapping is None or vm_ended(self.mapping.segment):
            return
        self._enter(BookState.RETIRED, None)
        self._commit(-1, -1)
        vm_mark_ended(self.mapping.segment)

    def close(self, unlink=True):
        """Retire, remove the file (unless `unlink` is False), and unmap. Idempotent."""
        if self.mapping is None:
            return
        self.retire()
        if unlink:
            self.path.unlink(missing_ok=True)
        self.mapping = None

    def _begin_publish(self):
        """For tests: begin a publish and never end it, like a writer that is killed during a publish."""
        self._ready()
        vm_begin(self.mapping.segment)
        self.hot[VM_SEQUENCE] = -1
        vm_put_hot(self.mapping.segment, self.hot, VM_SEQUENCE + 1)


def _allocate(fd, size):
    """Allocate all blocks of the file now, so that a full file system is an error here, not a SIGBUS later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:  # macOS
        while size > 0:
            size -= os.write(fd, bytes(min(size, 1 << 20)))
