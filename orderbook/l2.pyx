"""The L2 book of one instrument. l2.pyi has the Python signatures, l2.pxd the C declarations, levels.h the merge."""

import os

from ..model.errors import BeyondDepth, BookError
from ..model.events import Side

from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_CheckBuffer,
    PyObject_GetBuffer,
)
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memmove, memset


cdef extern from "levels.h":
    ctypedef struct Scratch:
        Py_ssize_t room
    ctypedef struct Merged:
        Py_ssize_t kept
        Py_ssize_t fresh
        int sorted
    ctypedef struct Delta:
        pass
    size_t half_bytes(Py_ssize_t capacity) nogil
    int half_grow(Half* half, Py_ssize_t capacity) nogil
    Py_ssize_t half_find(const Half* half, int64_t key) nogil
    int scratch_reserve(Scratch* scratch, Py_ssize_t room) nogil
    Merged merge(
        const Half* half, const int64_t* key, const int64_t* size, Py_ssize_t n, Scratch* scratch, int wide
    ) nogil
    void commit(Half* half, const Scratch* scratch, Merged merged, int wide) nogil
    Py_ssize_t sort_deltas(int64_t* key, int64_t* size, Py_ssize_t n, Delta* room) nogil
    int cpu_is_wide() nogil


# Of numpy, which is imported with the first array
cdef object INT64 = None
cdef object empty = None

cdef Scratch scratch[2]  # one for each side, shared by all books of the process: used only while the GIL is held
memset(scratch, 0, sizeof(scratch))
wide = 0
cdef object BUY = Side.BUY
cdef object SELL = Side.SELL
cdef tuple SIDE_NAMES = ("bid", "ask")


def use_wide(on=None):
    global wide
    if on is None:
        on = os.environ.get("VENUEMESH_PORTABLE") != "1"
    wide = bool(on) and cpu_is_wide()
    return bool(wide)


use_wide()


cdef int side_index(object side) except -1:
    if side is BUY:
        return BIDS
    if side is SELL:
        return ASKS
    raise TypeError(f"side must be Side.BUY or Side.SELL, not {side!r}")


cdef object new_rows(Py_ssize_t count):
    """Return an int64 array of shape (count, 2), not filled."""
    global empty, INT64
    if empty is None:
        import numpy as np

        INT64 = np.dtype(np.int64)
        empty = np.empty
    return empty((count, 2), INT64)


cdef object level_array(object levels, str name):
    """Return `levels` as a C-contiguous int64 array of shape (n, 2), or raise BookError."""
    import numpy as np

    array = np.asarray(levels)
    if array.size == 0:
        return np.empty((0, 2), np.int64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise BookError(f"{name} must have shape (n, 2), not {array.shape}")
    if array.dtype != np.int64:
        if not np.can_cast(array.dtype, np.int64, "safe"):
            raise BookError(f"{name} must be int64, not {array.dtype}")
        array = array.astype(np.int64)
    return np.ascontiguousarray(array)


cdef int make_room(OrderBook book, int side, Py_ssize_t want) except -1:
    cdef Half* half = &book.half[side]
    cdef Py_ssize_t capacity = half.capacity
    if want > capacity:
        capacity = min(max(2 * capacity, want), max(book.max_levels, want))
        if half_grow(half, capacity) != 0:
            raise BookError(f"no memory for {capacity} {SIDE_NAMES[side]} levels")
    return 0


cdef int64_t* sorted_deltas(const int64_t* key, const int64_t* size, Py_ssize_t* n) except NULL:
    """Return a new block of keys, then sizes, strictly best first, with the last delta of each key. Updates `n`."""
    cdef Py_ssize_t count = n[0]
    cdef int64_t* block = <int64_t*>PyMem_Malloc(<size_t>count * (2 * sizeof(int64_t) + sizeof(Delta)))
    if block is NULL:
        raise BookError(f"no memory to sort {count} levels")
    memcpy(block, key, <size_t>count * sizeof(int64_t))
    memcpy(block + count, size, <size_t>count * sizeof(int64_t))
    n[0] = sort_deltas(block, block + count, count, <Delta*>(block + 2 * count))
    return block


cdef inline tuple top_of(OrderBook book, int side):
    """Return the best level as a tuple, the same object while the level is unchanged; None for an empty side."""
    cdef Half* half = &book.half[side]
    cdef tuple held
    cdef int64_t key, size
    if half.n == 0:
        return None
    key = half.key[half.n - 1]
    size = half.size[half.n - 1]
    if key == book.top_key[side] and size == book.top_size[side]:
        return book.bid_top if side == BIDS else book.ask_top
    if key < half.bound:
        raise BeyondDepth("book", SIDE_NAMES[side], 1, 0)
    held = (key if side == BIDS else -key, size)
    if side == BIDS:
        book.bid_top = held
    else:
        book.ask_top = held
    book.top_key[side] = key
    book.top_size[side] = size
    return held


cdef object rows_of(OrderBook book, int side, Py_ssize_t count):
    cdef Half* half = &book.half[side]
    cdef int64_t sign = 1 if side == BIDS else -1
    cdef Py_ssize_t i, last = half.n - 1
    cdef Py_buffer view
    cdef int64_t* row
    array = new_rows(count)
    PyObject_GetBuffer(array, &view, PyBUF_WRITABLE)
    row = <int64_t*>view.buf
    for i in range(count):
        row[2 * i] = sign * half.key[last - i]
        row[2 * i + 1] = half.size[last - i]
    PyBuffer_Release(&view)
    return array


cdef Merged merge_side(
    OrderBook book, int side, const int64_t* key, const int64_t* size, Py_ssize_t n, int64_t* worst
) except *:
    """Merge deltas into the side's scratch area and make room for the commit; the levels stay unchanged."""
    cdef Half* half = &book.half[side]
    cdef Py_ssize_t want = half.n + n
    cdef int64_t* block
    cdef Merged merged
    if want > half.capacity:
        make_room(book, side, want)
    if want > scratch[side].room and scratch_reserve(&scratch[side], want) != 0:
        raise BookError(f"no memory to merge {want} levels")
    worst[0] = key[n - 1]
    merged = merge(half, key, size, n, &scratch[side], wide)
    if not merged.sorted:
        block = sorted_deltas(key, size, &n)
        worst[0] = block[n - 1]
        merged = merge(half, block, block + want - half.n, n, &scratch[side], wide)
        PyMem_Free(block)
    if merged.kept + merged.fresh > book.max_levels:
        raise BookError(f"more than {book.max_levels} {SIDE_NAMES[side]} levels")
    return merged


cdef void keep_window(Half* half, Py_ssize_t window) noexcept nogil:
    """Drop the levels beyond the best `window`: the exchange's side has no more levels."""
    cdef Py_ssize_t beyond = half.n - window
    if beyond > 0:
        memmove(half.key, half.key + beyond, <size_t>window * sizeof(int64_t))
        memmove(half.size, half.size + beyond, <size_t>window * sizeof(int64_t))
        half.n = window
    half.unproven = 0
    half.bound = half.key[0] if half.n == window else INT64_MIN


cdef class OrderBook:
    def __cinit__(
        self,
        int price_scale,
        int size_scale,
        Py_ssize_t capacity=1024,
        Py_ssize_t max_levels=1 << 20,
        Py_ssize_t window=0,
    ):
        memset(self.half, 0, sizeof(self.half))
        if not 0 <= price_scale <= 18 or not 0 <= size_scale <= 18:
            raise ValueError(f"scales must be 0 to 18, not {price_scale} and {size_scale}")
        if not 1 <= capacity <= max_levels or max_levels > 1 << 40:
            raise ValueError(f"capacity must be 1 to max_levels, not {capacity} of {max_levels}")
        if not 0 <= window <= max_levels:
            raise ValueError(f"window must be 0 to max_levels, not {window} of {max_levels}")
        cdef int side
        self.window = window
        self.price_scale = price_scale
        self.size_scale = size_scale
        self.max_levels = max_levels
        for side in range(2):
            if half_grow(&self.half[side], capacity) != 0:
                raise MemoryError
        self.clear()

    def __dealloc__(self):
        free(self.half[BIDS].block)
        free(self.half[ASKS].block)

    def __reduce__(self):
        raise TypeError("an OrderBook does not pickle: send its levels")

    # C face

    cdef int64_t best_price(self, int side) noexcept nogil:
        cdef Half* half = &self.half[side]
        if half.n == 0:
            return NO_PRICE
        return half.key[half.n - 1] if side == BIDS else -half.key[half.n - 1]

    cdef int64_t best_size(self, int side) noexcept nogil:
        cdef Half* half = &self.half[side]
        return half.size[half.n - 1] if half.n else 0

    cdef bint is_crossed(self) noexcept nogil:
        cdef Half* bids = &self.half[BIDS]
        cdef Half* asks = &self.half[ASKS]
        return bids.n > 0 and asks.n > 0 and bids.key[bids.n - 1] >= -asks.key[asks.n - 1]

    cdef bint side_complete(self, int side) noexcept nogil:
        return self.half[side].bound == INT64_MIN

    cdef Py_ssize_t proven(self, int side) noexcept nogil:
        cdef Half* half = &self.half[side]
        if half.unproven < 0:
            half.unproven = half_find(half, half.bound)
        return half.n - half.unproven

    cdef Py_ssize_t copy_best(self, int side, Py_ssize_t n, int64_t* price, int64_t* size) noexcept nogil:
        cdef Half* half = &self.half[side]
        cdef Py_ssize_t i, first, count = self.proven(side)
        if n < count:
            count = n
        if count <= 0:
            return 0
        first = half.n - count
        memcpy(size, half.size + first, <size_t>count * sizeof(int64_t))
        if side == BIDS:
            memcpy(price, half.key + first, <size_t>count * sizeof(int64_t))
        else:
            for i in range(count):
                price[i] = -half.key[first + i]
        return count

    cdef int apply_keys(
        self, const int64_t** key, const int64_t** size, const Py_ssize_t* n, int64_t sequence
    ) except -1:
        cdef Merged merged[2]
        cdef int64_t worst[2]
        cdef int side
        for side in range(2):
            if n[side]:
                merged[side] = merge_side(self, side, key[side], size[side], n[side], &worst[side])
        for side in range(2):
            if n[side]:
                commit(&self.half[side], &scratch[side], merged[side], wide)
                if self.window:
                    keep_window(&self.half[side], self.window)
                elif worst[side] < self.half[side].bound:
                    self.half[side].unproven = -1
        self.sequence = sequence
        return 0

    cdef int load_keys(
        self, const int64_t** key, const int64_t** size, const Py_ssize_t* n, int64_t sequence,
        bint bids_complete, bint asks_complete
    ) except -1:
        cdef Half* half
        cdef Py_ssize_t held[2]
        cdef Py_ssize_t i, last
        cdef int side
        for side in range(2):
            held[side] = min(n[side], self.window) if self.window else n[side]
            if n[side] > self.max_levels:
                raise BookError(f"more than {self.max_levels} {SIDE_NAMES[side]} levels")
            for i in range(n[side]):
                if size[side][i] <= 0:
                    raise BookError(f"{SIDE_NAMES[side]} level {i} of the snapshot has size {size[side][i]}")
                if (key[side][i] <= 0) if side == BIDS else (key[side][i] >= 0):
                    raise BookError(f"{SIDE_NAMES[side]} level {i} of the snapshot has no positive price")
                if i and key[side][i] >= key[side][i - 1]:
                    raise BookError(f"{SIDE_NAMES[side]} level {i} of the snapshot is out of order")
        if n[BIDS] and n[ASKS] and key[BIDS][0] >= -key[ASKS][0]:
            raise BookError(f"crossed snapshot: bid {key[BIDS][0]}, ask {-key[ASKS][0]}")
        make_room(self, BIDS, held[BIDS])
        make_room(self, ASKS, held[ASKS])
        for side in range(2):
            half = &self.half[side]
            last = held[side] - 1
            for i in range(held[side]):
                half.key[i] = key[side][last - i]
                half.size[i] = size[side][last - i]
            half.n = held[side]
            half.unproven = 0
            self.top_size[side] = 0  # the previous best level may no longer be proven
            if held[side] == n[side] and (asks_complete if side == ASKS else bids_complete):
                half.bound = INT64_MIN
            else:
                half.bound = half.key[0] if half.n else INT64_MAX
        self.sequence = sequence
        return 0

    # Python face

    @property
    def n_bids(self):
        return self.half[BIDS].n

    @property
    def n_asks(self):
        return self.half[ASKS].n

    @property
    def proven_bids(self):
        return self.proven(BIDS)

    @property
    def proven_asks(self):
        return self.proven(ASKS)

    @property
    def bids_complete(self):
        return self.side_complete(BIDS)

    @property
    def asks_complete(self):
        return self.side_complete(ASKS)

    @property
    def crossed(self):
        return self.is_crossed()

    @property
    def best_bid(self):
        return top_of(self, BIDS)

    @property
    def best_ask(self):
        return top_of(self, ASKS)

    @property
    def memory_bytes(self):
        cdef size_t held = half_bytes(self.half[BIDS].capacity) + half_bytes(self.half[ASKS].capacity)
        return held + <size_t>type(self).__basicsize__

    def clear(self):
        cdef int side
        for side in range(2):
            self.half[side].n = 0
            self.half[side].bound = INT64_MAX
            self.half[side].unproven = 0
            self.top_size[side] = 0
        self.sequence = 0

    def load(self, bids, asks, sequence, bids_complete=False, asks_complete=False):
        cdef Columns columns = Columns(bids, asks)
        self.load_keys(columns.key, columns.size, columns.n, sequence, bids_complete, asks_complete)

    def apply(self, bids, asks, sequence):
        cdef Columns columns = Columns(bids, asks)
        self.apply_keys(columns.key, columns.size, columns.n, sequence)

    def size_at(self, side, int64_t price):
        cdef Half* half = &self.half[side_index(side)]
        cdef int64_t key = price if side is BUY else -price
        cdef Py_ssize_t at
        if key < half.bound:
            raise BeyondDepth("book", SIDE_NAMES[side_index(side)], price, self.proven(side_index(side)))
        at = half_find(half, key)
        return half.size[at] if at < half.n and half.key[at] == key else 0

    def levels(self, side, n=None):
        cdef int index = side_index(side)
        cdef Py_ssize_t count = self.half[index].n
        if n is not None:
            if n < 0:
                raise ValueError(f"n must not be negative: {n}")
            count = min(count, <Py_ssize_t>n)
        return rows_of(self, index, count)

    def depth(self, Py_ssize_t n):
        cdef int side
        if n < 0:
            raise ValueError(f"n must not be negative: {n}")
        for side in range(2):
            if not self.side_complete(side) and n > self.proven(side):
                raise BeyondDepth("book", SIDE_NAMES[side], n, self.proven(side))
        return rows_of(self, BIDS, min(n, self.half[BIDS].n)), rows_of(self, ASKS, min(n, self.half[ASKS].n))


cdef bint plain_levels(Py_buffer* view):
    """Whether a buffer is a C-contiguous int64 array of shape (n, 2)."""
    if view.ndim != 2 or view.shape[1] != 2 or view.format is NULL:
        return False
    if view.strides[1] != sizeof(int64_t) or view.strides[0] != 2 * sizeof(int64_t):
        return False
    if view.itemsize != sizeof(int64_t):
        return False
    return (view.format[0] == c"l" or view.format[0] == c"q") and view.format[1] == 0


cdef int open_levels(object levels, str name, Py_buffer* view) except -1:
    """Get the buffer of levels: of a plain array itself, or else of a converted copy. Raises BookError."""
    if PyObject_CheckBuffer(levels):
        PyObject_GetBuffer(levels, view, PyBUF_STRIDES | PyBUF_FORMAT)
        if plain_levels(view):
            return 0
        PyBuffer_Release(view)
    PyObject_GetBuffer(level_array(levels, name), view, PyBUF_STRIDES | PyBUF_FORMAT)
    return 0


cdef class Columns:
    """Levels of both sides, copied from (n, 2) arrays. Prices > 0 and sizes >= 0, otherwise BookError."""

    cdef const int64_t* key[2]
    cdef const int64_t* size[2]
    cdef Py_ssize_t n[2]
    cdef int64_t* block

    def __cinit__(self, bids, asks):
        cdef Py_buffer views[2]
        cdef Py_ssize_t count
        cdef int64_t* room
        cdef int side
        open_levels(bids, "bids", &views[BIDS])
        try:
            open_levels(asks, "asks", &views[ASKS])
        except BaseException:
            PyBuffer_Release(&views[BIDS])
            raise
        try:
            count = views[BIDS].shape[0] + views[ASKS].shape[0]
            self.block = <int64_t*>PyMem_Malloc(<size_t>(2 * count + 1) * sizeof(int64_t))
            if self.block is NULL:
                raise BookError(f"no memory for {count} levels")
            room = self.block
            for side in range(2):
                self.n[side] = views[side].shape[0]
                self.key[side] = room
                self.size[side] = room + self.n[side]
                split(<const int64_t*>views[side].buf, self.n[side], side, room)
                room += 2 * self.n[side]
        finally:
            PyBuffer_Release(&views[BIDS])
            PyBuffer_Release(&views[ASKS])

    def __dealloc__(self):
        PyMem_Free(self.block)


cdef int split(const int64_t* rows, Py_ssize_t n, int side, int64_t* room) except -1:
    """Write n keys, then n sizes."""
    cdef Py_ssize_t i
    for i in range(n):
        if rows[2 * i] <= 0:
            raise BookError(f"{SIDE_NAMES[side]} price {rows[2 * i]} is not positive")
        if rows[2 * i + 1] < 0:
            raise BookError(f"negative size {rows[2 * i + 1]}")
        room[i] = rows[2 * i] if side == BIDS else -rows[2 * i]
        room[n + i] = rows[2 * i + 1]
    return 0
