"""Shared-memory segments: one writer's book, read by any process of the same user on this node.

A segment is a file for one (address, incarnation). Its writer allocates it in full under a temporary name, completes its
header, and only then gives it its name, so no reader ever sees half a header or a hole. Readers map it read-only. How
the data is guarded is said in `segment.h`.

What a reader may believe: a copy whose lock word was even and unchanged around it, from a writer whose heartbeat
(CLOCK_MONOTONIC) is younger than the limit in the header, in a segment that has not ended. `LIVE` is given for nothing
else. A writer killed inside a publish leaves the lock word odd for ever: reads then try for at most about 2 ms and raise
`NotSynced`, with the state DEAD as soon as the heartbeat says so.
"""

import errno
import os
import secrets
from decimal import Context, Decimal

import numpy as np

from ..model.errors import BeyondDepth, BookError, Fenced, Misconfigured, NotSynced, SegmentMismatch
from ..model.events import BookState, Side
from ..model.fixed import to_decimal
from .names import private_directory, segment_name
from .records import Depth, Level, Statistics, Trade
from .snapshot import BookSnapshot

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport INT64_MIN, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strlen
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from .book cimport ASKS, BIDS, OrderBook

FORMAT_VERSION = VM_FORMAT
LEVELS_MAX = 100_000
TRADES_MAX = 1_000_000

cdef int64_t NONE = INT64_MIN
cdef int LIVE = int(BookState.LIVE)
cdef int GAP = int(BookState.GAP)
cdef int RETIRED = int(BookState.RETIRED)
cdef int DEAD = int(BookState.DEAD)
cdef tuple STATES = tuple(BookState)  # BookState(i) is STATES[i]
cdef object INT64 = np.dtype(np.int64)
cdef object FLOAT64 = np.dtype(np.float64)
cdef object empty = np.empty
cdef object new_tuple = tuple.__new__
cdef object EXACT = Context(prec=100)  # not the caller's, which may round


cdef class Mapping:
    def __cinit__(self, int fd, size_t size, bint writable, identity=None):
        cdef int protection = PROT_READ | PROT_WRITE if writable else PROT_READ
        cdef void* at = mmap(NULL, size, protection, MAP_SHARED, fd, 0)
        if at == MAP_FAILED:
            raise Misconfigured("segment", "cannot be mapped: the system refused it")
        self.segment = <vm_segment*>at
        self.size = size
        self.identity = identity

    def __dealloc__(self):
        if self.segment is not NULL:
            munmap(self.segment, self.size)


def process_start(pid):
    """Return when process `pid` started, in clock ticks since boot; 0 when it is dead or that cannot be known.

    A process that was killed and not yet waited for is dead. Source: proc_pid_stat(5).
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
        return 0 if state in (b"Z", b"X") else int(fields[18])
    except (OSError, IndexError, ValueError):
        return 0


def monotonic_ns():
    """Return CLOCK_MONOTONIC, the clock of heartbeats, in nanoseconds."""
    return vm_now()


cdef class SegmentWriter:
    """The one writer of one book's segment. Not thread safe, never blocks, never waits for a reader.

    Raises on creation:
        Misconfigured: the directory is not private, there is no room for the whole file, or a bad argument.
        Fenced: this incarnation of the address has a segment already.
    """

    def __cinit__(
        self, directory, address, incarnation, price_scale, size_scale, levels=200, trades=1024,
        heartbeat_limit_ns=250_000_000, sequenced=True, exact=True,
    ):
        cdef vm_header* head
        cdef bytes text = address.encode()
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
            head.flags = (VM_SEQUENCED if sequenced else 0) | (0 if exact else VM_INEXACT)
            head.writer_pid = os.getpid()
            head.writer_start = process_start(os.getpid())
            head.address_bytes = len(text)
            memcpy(head.address, <const char*>text, len(text))
            self.hot[VM_STATE] = int(BookState.CONNECTING)
            self.hot[VM_TS_EVENT] = self.hot[VM_TS_RECV] = self.hot[VM_PUBLISH_NS] = NONE
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
        """How many versions were published: books, states and trades."""
        return 0 if self.mapping is None else vm_version(self.mapping.segment)

    @property
    def state(self):
        return STATES[self.hot[VM_STATE]]

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
            raise ValueError(f"{state!r} is no state of a book")
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
        """One publish of the hot words and, where a count is not negative, of the levels in `scratch`."""
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
        object state, object ts_event_ns, int64_t ts_recv_ns, int64_t applied,
    ) except -1:
        cdef int64_t* hot = self.hot
        cdef int64_t* best = self.scratch + self.levels - 1
        cdef int64_t event = NONE if ts_event_ns is None else ts_event_ns
        self._enter(state, None)
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
        """Publish the best proven levels of `book`, its sequence, the state and the times, as one; wake who waits.

        `ts_event_ns` is None where the exchange gives no time; `applied` counts the frames since the last publish.
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
        self._book(n[BIDS], n[ASKS], flags, book.sequence, state, ts_event_ns, ts_recv_ns, applied)

    def publish_levels(
        self, bids, asks, bint bids_complete, bint asks_complete, int64_t sequence, state, ts_event_ns,
        int64_t ts_recv_ns, int64_t applied=1,
    ):
        """The same from int64 arrays of shape (n, 2), best first; every level given counts as proven.

        Raises:
            BookError: arrays of another shape. Nothing was published.
        """
        cdef const int64_t[:, :] levels
        cdef int64_t n[2]
        cdef int64_t flags = 0, cap = self.levels, i
        cdef int64_t* price
        cdef int side
        self._ready()
        for side in range(2):
            given = asks if side else bids
            try:
                levels = given
            except (ValueError, TypeError) as error:
                raise BookError(f"levels must be int64 of shape (n, 2): {error}") from None
            if levels.shape[1] != 2:
                raise BookError(f"levels must be int64 of shape (n, 2), not (n, {levels.shape[1]})")
            n[side] = min(<int64_t>levels.shape[0], cap)
            price = self.scratch + (2 * side + 1) * cap - 1
            for i in range(n[side]):
                price[-i] = levels[i, 0]
                price[cap - i] = levels[i, 1]
            if levels.shape[0] > cap:
                flags |= VM_BIDS_MORE << side
            elif asks_complete if side else bids_complete:
                flags |= VM_BIDS_WHOLE << side
        self._book(n[BIDS], n[ASKS], flags, sequence, state, ts_event_ns, ts_recv_ns, applied)

    def set_state(self, state, reason=None):
        """Publish a state alone; reads that begin after this returned see it. `reason` (60 bytes or so) stays until
        another is given."""
        self._ready()
        self._enter(state, reason)
        self._commit(-1, -1)

    def beat(self):
        """Set the heartbeat to now, waking nobody. Return how long the one before had lasted, in nanoseconds: more than
        the limit means that readers took this writer for dead meanwhile."""
        cdef int64_t now = vm_now(), lasted = now - self.last_beat_ns
        self._ready()
        self._alive(now)
        return lasted

    def trade(self, trade):
        """Append to the trade ring (numbered 1, 2, ... within this incarnation) and wake. Return its number."""
        cdef int64_t slot[8]
        self._ready()
        slot[VM_T_ID] = trade.trade_id
        slot[VM_T_PRICE] = trade.price_raw
        slot[VM_T_SIZE] = trade.size_raw
        slot[VM_T_SELL] = trade.side is Side.SELL
        slot[VM_T_EVENT] = NONE if trade.ts_event_ns is None else trade.ts_event_ns
        slot[VM_T_RECV] = trade.ts_recv_ns
        slot[7] = 0
        vm_put_trade(self.mapping.segment, self.levels, self.trades, slot)
        self._alive(vm_now())
        vm_notify(self.mapping.segment)
        return vm_last_trade(self.mapping.segment)

    def retire(self):
        """Publish RETIRED, once and for all: whatever is published after it raises Fenced. Idempotent."""
        if self.mapping is None or vm_ended(self.mapping.segment):
            return
        self._enter(BookState.RETIRED, None)
        self._commit(-1, -1)
        vm_mark_ended(self.mapping.segment)

    def close(self, unlink=True):
        """Retire, remove the file unless told otherwise, and unmap. Idempotent."""
        if self.mapping is None:
            return
        self.retire()
        if unlink:
            self.path.unlink(missing_ok=True)
        self.mapping = None

    def _begin_publish(self):
        """For tests: enter a publish and never leave it, as a writer does that is killed inside one."""
        self._ready()
        vm_begin(self.mapping.segment)
        self.hot[VM_SEQUENCE] = -1
        vm_put_hot(self.mapping.segment, self.hot, VM_SEQUENCE + 1)


def _allocate(fd, size):
    """Give the file all its blocks now, so that a full file system is an error here and no SIGBUS later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:  # macOS
        while size > 0:
            size -= os.write(fd, bytes(min(size, 1 << 20)))


def mark_ended(path):
    """Mark a segment RETIRED and wake its readers. Only for one whose writer is certainly dead."""
    cdef Mapping mapping = _map(path, True)
    vm_mark_ended(mapping.segment)


cdef Mapping _map(object path, bint writable):
    """Map a segment of this version, or raise SegmentMismatch or FileNotFoundError."""
    cdef vm_header head
    cdef bytes start
    try:
        fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SegmentMismatch(str(path), f"cannot be opened: {error.strerror}") from None
    try:
        found = os.fstat(fd)
        try:
            start = os.pread(fd, sizeof(vm_header), 0)
        except OSError as error:
            raise SegmentMismatch(str(path), f"cannot be read: {error.strerror}") from None
        if found.st_uid != os.geteuid():
            raise SegmentMismatch(str(path), f"belongs to user {found.st_uid}, not to {os.geteuid()}")
        if len(start) < 12 or start[:8] != VM_MAGIC:
            raise SegmentMismatch(str(path), "is not a segment")
        memset(&head, 0, sizeof(head))
        memcpy(&head, <const char*>start, len(start))
        if head.format != VM_FORMAT:
            raise SegmentMismatch(
                str(path), f"is a segment of format {head.format}; this program reads format {VM_FORMAT}"
            )
        if (
            len(start) < sizeof(vm_header) or found.st_size != head.file_bytes
            or not 0 < head.levels <= LEVELS_MAX or not 0 < head.trades <= TRADES_MAX
            or head.file_bytes != vm_file_bytes(head.levels, head.trades) or head.address_bytes > VM_ADDRESS_BYTES
            or not 0 <= head.price_scale <= 18 or not 0 <= head.size_scale <= 18
        ):
            raise SegmentMismatch(str(path), "is truncated or damaged")
        return Mapping(fd, head.file_bytes, writable, (found.st_dev, found.st_ino))
    finally:
        os.close(fd)


cdef class Top:
    """Best bid and ask of one moment, with what was known of the book then. Raw integers; Decimals are made when asked.

    `version` is what to wait after; `update` counts publishes of book or state (not trades), so two tops of the same
    incarnation with the same `update` say the same. `live` is the whole answer to "may I trust this".
    """

    @property
    def live(self):
        return self._state == LIVE

    @property
    def state(self):
        return STATES[self._state]

    @property
    def ts_event_ns(self):
        """The exchange's time of the last frame; None where it gives none."""
        return None if self._ts_event == NONE else self._ts_event

    @property
    def ts_recv_ns(self):
        """Our wall-clock time of the last frame; None before the first."""
        return None if self._ts_recv == NONE else self._ts_recv

    @property
    def publish_ns(self):
        """CLOCK_MONOTONIC of the last publish of the book on this node; None before the first."""
        return None if self._published == NONE else self._published

    @property
    def bid_raw(self):
        """(price, size) of the best bid; None when there is none."""
        return (self._bid_price, self._bid_size) if self._has(BIDS) else None

    @property
    def ask_raw(self):
        """(price, size) of the best ask; None when there is none."""
        return (self._ask_price, self._ask_size) if self._has(ASKS) else None

    @property
    def best_bid(self):
        """The best bid, exact; None when there is none. Raises BeyondDepth when nothing of the side is proven."""
        if not self._has(BIDS):
            return None
        return self._level(self._bid_price, self._bid_size)

    @property
    def best_ask(self):
        """The best ask, exact; None when there is none. Raises BeyondDepth when nothing of the side is proven."""
        if not self._has(ASKS):
            return None
        return self._level(self._ask_price, self._ask_size)

    @property
    def mid(self):
        """Half of best bid plus best ask, exact; None when a side is empty."""
        if not (self._has(BIDS) and self._has(ASKS)):
            return None
        return to_decimal(5 * (<object>self._bid_price + <object>self._ask_price), self.price_scale + 1)

    @property
    def spread(self):
        """Best ask minus best bid, exact; None when a side is empty."""
        if not (self._has(BIDS) and self._has(ASKS)):
            return None
        return to_decimal(<object>self._ask_price - <object>self._bid_price, self.price_scale)

    cdef object _level(self, int64_t price, int64_t size):
        # What Level(to_decimal(..), to_decimal(..)) makes, without its three Python frames.
        return new_tuple(Level, (
            Decimal(price).scaleb(-self.price_scale, EXACT), Decimal(size).scaleb(-self.size_scale, EXACT)
        ))

    cdef int _has(self, int side) except -1:
        if self._held[side]:
            return 1
        if self.sequence_known and not self._flags & (VM_BIDS_WHOLE << side):
            raise BeyondDepth(self.address, "ask" if side else "bid", 1, 0)
        return 0

    def __reduce__(self):
        return _top, (
            self.address, self.incarnation, self.version, self.update, self.sequence, self.price_scale, self.size_scale,
            self.sequence_known, self._state, self._flags, self._held[0], self._held[1],
            self._ts_event, self._ts_recv, self._published,
            self._bid_price, self._bid_size, self._ask_price, self._ask_size,
        )

    def __repr__(self):
        def side(raw):
            return "-" if raw is None else (
                f"{to_decimal(raw[1], self.size_scale)} @ {to_decimal(raw[0], self.price_scale)}"
            )

        bid = side((self._bid_price, self._bid_size) if self._held[0] else None)
        ask = side((self._ask_price, self._ask_size) if self._held[1] else None)
        return f"<Top {self.address} {self.state.name} bid {bid} ask {ask} sequence {self.sequence}>"


def _top(address, incarnation, version, update, sequence, price_scale, size_scale, known, state, flags, bids, asks,
         event, recv, published, bid_price, bid_size, ask_price, ask_size):
    cdef Top top = Top.__new__(Top)
    top.address, top.incarnation = address, incarnation
    top.version, top.update, top.sequence = version, update, sequence
    top.price_scale, top.size_scale, top.sequence_known = price_scale, size_scale, known
    top._state, top._flags = state, flags
    top._held[0], top._held[1] = bids, asks
    top._ts_event, top._ts_recv, top._published = event, recv, published
    top._bid_price, top._bid_size, top._ask_price, top._ask_size = bid_price, bid_size, ask_price, ask_size
    return top


def empty_top(address, price_scale, size_scale, state=BookState.ABSENT, incarnation=(0, 0)):
    """Return a top that knows nothing but the state: of a book without a segment, or without a consistent copy."""
    return _top(address, incarnation, 0, 0, 0, price_scale, size_scale, False, int(state), 0, 0, 0,
                NONE, NONE, NONE, 0, 0, 0, 0)


cdef class SegmentReader:
    """One mapped segment, read-only. Holds no file descriptor; arrays it returns are copies.

    Raises on creation:
        SegmentMismatch: the file is no segment of this version, or is damaged.
        FileNotFoundError: there is none.
    """

    def __cinit__(self, path):
        cdef const vm_header* head
        self.mapping = _map(path, False)
        head = &self.mapping.segment.head
        self.path = path
        self.address = head.address[: head.address_bytes].decode()
        self.incarnation = (head.epoch, head.counter)
        self.price_scale, self.size_scale = head.price_scale, head.size_scale
        self.price_unit, self.size_unit = 10.0**head.price_scale, 10.0**head.size_scale
        self.levels, self.trade_slots = head.levels, head.trades
        self.heartbeat_limit_ns = head.heartbeat_limit_ns
        self.sequenced = head.flags & VM_SEQUENCED != 0
        self.exact = head.flags & VM_INEXACT == 0
        self.writer_pid, self.writer_start = head.writer_pid, head.writer_start

    def close(self):
        """Let go of the mapping; every later read raises NotSynced. Idempotent."""
        self.mapping = None

    @property
    def identity(self):
        """(device, inode) of the file: no other file has it while this reader is open."""
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
        cdef Mapping mapping = self.mapping  # keeps it mapped while the lock of the interpreter is let go
        cdef const vm_segment* segment = self._open()
        cdef int tries
        if vm_read(segment, self.levels, n, hot, words, pairs) == 0:
            return 0
        for tries in range(VM_PATIENT_TRIES):
            if not self._quick(segment):
                break
            with nogil:
                vm_yield(tries)
            if vm_read(segment, self.levels, n, hot, words, pairs) == 0:
                return 0
        if vm_ended(segment):
            raise NotSynced(self.address, "RETIRED", "its writer ended inside a publish")
        if not self._quick(segment):
            raise NotSynced(self.address, "DEAD", "its writer died inside a publish")
        raise NotSynced(self.address, "GAP", "its writer does not finish a publish")

    cdef bint _quick(self, const vm_segment* segment) noexcept:
        """Whether the writer lives: not ended, and its heartbeat within the limit."""
        cdef int64_t beat = vm_heartbeat(segment)  # before the clock, so that the age is never too small
        return not vm_ended(segment) and vm_now() - beat <= self.heartbeat_limit_ns

    cdef int _judge(self, const vm_segment* segment, const int64_t* hot) noexcept:
        if vm_ended(segment):
            return RETIRED
        return <int>hot[VM_STATE] if self._quick(segment) else DEAD

    @property
    def version(self):
        """Published so far: changes with every publish, trade and end."""
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
        """Whether the file has lost its name, or the name is another file's. Asks the file system."""
        try:
            named = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return True
        return (named.st_dev, named.st_ino) != self.identity

    @property
    def state(self):
        """The writer's state; RETIRED when the segment has ended, DEAD when the heartbeat is too old. Never raises for a
        publish that does not end: that is GAP until it is DEAD."""
        cdef int64_t hot[32]
        try:
            self._read(0, hot, 1, NULL)
        except NotSynced as doubt:
            return BookState[doubt.state]
        return STATES[self._judge(self.mapping.segment, hot)]

    def top(self, bint stale_ok=False):
        """Return one consistent `Top`.

        Raises:
            NotSynced: the book is not LIVE (unless `stale_ok`), or no consistent copy can be had.
        """
        cdef int64_t hot[32]
        cdef const vm_segment* segment = self._open()
        cdef uint64_t version = vm_version(segment)  # before the data: what comes after it cannot be slept through
        cdef Top top
        cdef int state
        self._read(0, hot, VM_ASK_SIZE + 1, NULL)
        state = self._judge(segment, hot)
        if state != LIVE and not stale_ok:
            self._refuse(state)
        top = Top.__new__(Top)
        top.address, top.incarnation = self.address, self.incarnation
        top.version = version
        top.update = hot[VM_CHANGES]
        top.sequence = hot[VM_SEQUENCE]
        top.price_scale, top.size_scale = self.price_scale, self.size_scale
        top.sequence_known = hot[VM_PUBLISH_NS] != NONE
        top._state = state
        top._flags = hot[VM_FLAGS]
        top._held[0], top._held[1] = hot[VM_N_BIDS], hot[VM_N_ASKS]
        top._ts_event, top._ts_recv, top._published = hot[VM_TS_EVENT], hot[VM_TS_RECV], hot[VM_PUBLISH_NS]
        top._bid_price, top._bid_size = hot[VM_BID_PRICE], hot[VM_BID_SIZE]
        top._ask_price, top._ask_size = hot[VM_ASK_PRICE], hot[VM_ASK_SIZE]
        return top

    cdef int _refuse(self, int state) except -1:
        if state == DEAD:
            reason = f"its writer has not been heard for {self.heartbeat_age_ns // 1_000_000} ms"
        else:
            reason = self.statistics().reason or None
        raise NotSynced(self.address, STATES[state].name, reason)

    def depth(self, n=None, bint as_float=False, bint stale_ok=False):
        """Return `Depth(bids, asks)`, best first: int64 raw, or float64 values. `n` None means all that is stored.

        A side that ends before `n` and is complete gives fewer rows.

        Raises:
            NotSynced: the book is not LIVE (unless `stale_ok`), or no consistent copy can be had.
            BeyondDepth: more levels asked than are stored of a side that is not complete.
        """
        cdef int64_t hot[32]
        cdef int64_t rows, i, wanted = -1 if n is None else n
        cdef Py_buffer view
        cdef int64_t* raw
        cdef double* real
        cdef int state, side
        if n is not None and wanted < 1:
            raise ValueError(f"{n} levels: at least one must be asked for")
        rows = self.levels if n is None else min(wanted, <int64_t>self.levels)
        both = empty((2, rows, 2), FLOAT64 if as_float else INT64)
        PyObject_GetBuffer(both, &view, PyBUF_WRITABLE)
        try:
            raw = <int64_t*>view.buf
            self._read(rows, hot, VM_FLAGS + 1, raw)
            if as_float:  # in place: a double is as wide as what it is made from
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
                raise BeyondDepth(self.address, "ask" if side else "bid", wanted, hot[VM_N_BIDS + side])
        bids, asks = both
        if hot[VM_N_BIDS] < rows:
            bids = bids[: hot[VM_N_BIDS]]
        if hot[VM_N_ASKS] < rows:
            asks = asks[: hot[VM_N_ASKS]]
        return Depth(bids, asks)

    def snapshot(self, bint stale_ok=False):
        """Return everything stored, as one immutable `BookSnapshot`. Raises as `top` does."""
        cdef int64_t hot[32]
        cdef const vm_segment* segment = self._open()
        cdef uint64_t version = vm_version(segment)
        cdef Py_buffer view
        cdef int state
        both = empty((2, self.levels, 2), INT64)
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
            ts_event_ns=None if hot[VM_TS_EVENT] == NONE else hot[VM_TS_EVENT],
            ts_recv_ns=None if hot[VM_TS_RECV] == NONE else hot[VM_TS_RECV],
            price_scale=self.price_scale,
            size_scale=self.size_scale,
            bids=bids,
            asks=asks,
            bids_complete=hot[VM_FLAGS] & VM_BIDS_WHOLE != 0,
            asks_complete=hot[VM_FLAGS] & VM_ASKS_WHOLE != 0,
        )

    def statistics(self):
        """Return the writer's counters and reason, whatever the state."""
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

    def trades(self, int64_t after, int64_t limit=1000):
        """Return the trades numbered above `after`, oldest first, at most `limit`; the first of them knows how many the
        ring had already lost. Whatever the state of the book: a trade that happened stays true."""
        cdef const vm_segment* segment = self._open()
        cdef int64_t last = vm_last_trade(segment), number
        cdef int64_t slot[8]
        cdef int outcome
        found = []
        missed = 0
        number = after + 1
        if last - number >= self.trade_slots:
            missed = last - self.trade_slots + 1 - number
            number += missed
        while number <= last and len(found) < limit:
            outcome = vm_read_trade(segment, self.levels, self.trade_slots, number, slot)
            if outcome == 0:
                found.append(Trade(
                    number, self.incarnation, slot[VM_T_ID], slot[VM_T_PRICE], slot[VM_T_SIZE], self.price_scale,
                    self.size_scale, Side.SELL if slot[VM_T_SELL] else Side.BUY,
                    None if slot[VM_T_EVENT] == NONE else slot[VM_T_EVENT], slot[VM_T_RECV], missed,
                ))
                missed = 0
            elif outcome == 1:  # lapped between the look at `last` and the copy
                missed += 1
            else:
                break
            number += 1
        return found

    def wait(self, uint64_t after_version, double timeout_s, bint alive=True):
        """Block this thread, with the interpreter's lock let go, until the version passes `after_version` or `alive` is no
        longer what it was said to be. Return the version; it is `after_version` still when neither happened in time."""
        cdef Mapping mapping = self.mapping
        cdef const vm_segment* segment = self._open()
        cdef uint32_t* word = vm_version_word(segment)
        cdef uint32_t expected
        cdef uint64_t version
        cdef int64_t until = vm_now() + <int64_t>(timeout_s * 1e9), now, wake
        while True:
            version = vm_version(segment)
            now = vm_now()
            if version > after_version or self._quick(segment) != alive or now >= until:
                return version
            expected = <uint32_t>version
            wake = min(until, now + 50_000_000, _look_again(segment, now, self.heartbeat_limit_ns))
            with nogil:
                vm_wait_many(&word, &expected, 1, wake, POLLING)
            PyErr_CheckSignals()


cdef int64_t _look_again(const vm_segment* segment, int64_t now, int64_t limit) noexcept nogil:
    """When the heartbeat must be judged again: just after it would be too old, or soon when it is."""
    cdef int64_t until = vm_heartbeat(segment) + limit + 500_000
    if vm_ended(segment):
        return now + 1_000_000_000
    return until if until > now else now + 20_000_000


cdef int POLLING = not vm_has_waitv() or os.environ.get("VENUEMESH_WAIT") == "poll"


cdef class WaitSet:
    """Up to 127 segments that one thread waits for at once, and a control word to call it back. `waiter.Waiter` owns it.

    Add and remove under the interpreter's lock at any time; `wait` in one thread only.
    """

    ROOM = 127

    def __cinit__(self, poll=None):
        self._mappings = [None] * 127
        self._used = 0
        self._poll = POLLING if poll is None else poll
        self._control = 0

    @property
    def polling(self):
        """Whether it looks every 0.5 ms, for want of futex_waitv, instead of sleeping until woken."""
        return self._poll

    def __len__(self):
        return self._used

    def add(self, SegmentReader reader not None):
        """Watch a segment from what it is now; return its slot, or -1 when there is no room."""
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
        """Return (slot, version, alive) of the segments that changed since they were looked at last."""
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
        """Return the control word, to be given to `wait`: a call made after this is not missed."""
        return vm_word(&self._control)

    def wait(self, uint32_t control, double timeout_s):
        """Sleep until a watched segment differs from what `look` saw, `call` is called, a heartbeat must be judged, or the
        time is over."""
        cdef uint32_t* words[128]
        cdef uint32_t expected[128]
        cdef int n = 1, slot, poll = self._poll
        cdef int64_t now = vm_now(), until = now + <int64_t>(timeout_s * 1e9)
        held = [mapping for mapping in self._mappings if mapping is not None]  # mapped until this returns
        words[0] = &self._control
        expected[0] = control
        for slot in range(127):
            if self._mappings[slot] is None:
                continue
            words[n] = vm_version_word(self._segments[slot])
            expected[n] = <uint32_t>self._versions[slot]
            until = min(
                until, _look_again(self._segments[slot], now, self._segments[slot].head.heartbeat_limit_ns)
            )
            n += 1
        with nogil:
            vm_wait_many(words, expected, n, until, poll)
        held.clear()


cdef bint _lives(const vm_segment* segment) noexcept nogil:
    cdef int64_t beat = vm_heartbeat(segment)
    return not vm_ended(segment) and vm_now() - beat <= segment.head.heartbeat_limit_ns
