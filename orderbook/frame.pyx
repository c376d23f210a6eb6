"""From a frame's bytes to fixed-point levels. See scanner.pyi for what is recognised, scan.h for numbers and lists."""

import os

import numpy as np

from ..model.errors import BookError

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from .l2 cimport ASKS, BIDS, OrderBook


cdef extern from "frame.h":
    const int PADDING
    Scale scale_of(int scale) nogil
    const char* scan_integer(const char* p, int64_t* out) nogil
    const char* scan_string(const char* p) nogil
    const char* skip_levels(const char* p) nogil
    const char* scan_levels_portable(const char* p, int64_t negate, Scale price, Scale size, Column* out) nogil
    const char* scan_levels_wide(const char* p, int64_t negate, Scale price, Scale size, Column* out) nogil
    uint64_t hash_text(const char* p, Py_ssize_t n) nogil


cdef extern from "levels.h":
    int cpu_is_wide() nogil


cdef enum:
    MAX_FRAME = 1 << 26  # bytes; a longer frame is not ours
    HAS_E = 1
    HAS_TIME = 2
    HAS_SYMBOL = 4
    HAS_FIRST = 8
    HAS_LAST = 16
    HAS_BIDS = 32
    HAS_ASKS = 64
    HAS_ALL = 127


cdef enum:
    _NOT_MINE = -1
    _APPLIED = 0
    _STALE = 1
    _GAP = 2
    _HELD = 3
    _CROSSED = 4

NOT_MINE, APPLIED, STALE, GAP, HELD, CROSSED = _NOT_MINE, _APPLIED, _STALE, _GAP, _HELD, _CROSSED

cdef int wide = 0


def use_wide(on=None):
    global wide
    if on is None:
        on = os.environ.get("VENUEMESH_PORTABLE") != "1"
    wide = bool(on) and cpu_is_wide()
    return bool(wide)


use_wide()


cdef class Frame:
    def __dealloc__(self):
        PyMem_Free(self.text)
        PyMem_Free(self.block)

    cdef bint take(self, object data) except -1:
        """Copy the bytes of `data`; False when there are too many."""
        cdef Py_buffer view
        if PyBytes_CheckExact(data):
            return frame_copy(self, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return frame_copy(self, <const char*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)


cdef bint frame_copy(Frame frame, const char* text, Py_ssize_t length) except -1:
    cdef Py_ssize_t room
    if length > frame.capacity:
        if length > MAX_FRAME:
            return False
        frame_grow(frame, length)
    frame.length = length
    memcpy(frame.text, text, <size_t>length)
    memset(frame.text + length, 0, PADDING)
    return True


cdef int frame_grow(Frame frame, Py_ssize_t length) except -1:
    cdef Py_ssize_t capacity = max(2 * length, 4096)
    cdef Py_ssize_t room = capacity // 10 + 1  # the shortest level is ["1","0"],
    cdef int side
    cdef char* text = <char*>PyMem_Malloc(<size_t>(capacity + PADDING))
    cdef int64_t* block = <int64_t*>PyMem_Malloc(<size_t>(4 * room) * sizeof(int64_t))
    if text is NULL or block is NULL:
        PyMem_Free(text)
        PyMem_Free(block)
        raise MemoryError
    PyMem_Free(frame.text)
    PyMem_Free(frame.block)
    frame.text = text
    frame.block = block
    frame.capacity = capacity
    for side in range(2):
        frame.column[side].key = block + 2 * side * room
        frame.column[side].size = block + (2 * side + 1) * room
        frame.column[side].n = 0
    return 0


cdef object rows(Column* column, int64_t sign):
    cdef int64_t[:, ::1] view
    cdef Py_ssize_t i
    array = np.empty((column.n, 2), np.int64)
    if column.n:
        view = array
        for i in range(column.n):
            view[i, 0] = sign * column.key[i]
            view[i, 1] = column.size[i]
    return array


cdef inline const char* scan_side(const char* p, int side, Scale price, Scale size, Column* out) noexcept nogil:
    if wide:
        return scan_levels_wide(p, -(side == ASKS), price, size, out)
    return scan_levels_portable(p, -(side == ASKS), price, size, out)


cdef struct Event:
    int64_t first
    int64_t last
    int64_t ts_ms
    int slot
    const char* waiting[2]  # level lists that came before the symbol


cdef const char* read_event(DepthScanner scanner, const char* p, Event* event) noexcept nogil:
    """Read the object of a depthUpdate whose brace is at p; return what follows it, or NULL."""
    cdef int seen = 0, flag, side
    cdef const char* end
    cdef char name
    cdef Scale price = scale_of(0), size = price
    event.waiting[0] = event.waiting[1] = NULL
    if p[0] != c"{":
        return NULL
    while True:
        if p[1] != c'"' or p[2] == 0 or p[3] != c'"' or p[4] != c":":
            return NULL
        name = p[2]
        p += 5
        if name == c"b" or name == c"a":
            side = BIDS if name == c"b" else ASKS
            flag = HAS_BIDS if name == c"b" else HAS_ASKS
            if seen & HAS_SYMBOL:
                p = scan_side(p, side, price, size, &scanner.frame.column[side])
            else:
                event.waiting[side] = p
                p = skip_levels(p)
        elif name == c"U":
            flag = HAS_FIRST
            p = scan_integer(p, &event.first)
        elif name == c"u":
            flag = HAS_LAST
            p = scan_integer(p, &event.last)
        elif name == c"E":
            flag = HAS_TIME
            p = scan_integer(p, &event.ts_ms)
        elif name == c"s":
            flag = HAS_SYMBOL
            end = scan_string(p)
            if end is NULL:
                return NULL
            event.slot = scanner.find(p + 1, end - p - 2)
            if event.slot < 0:
                return NULL
            price = scanner.slots[event.slot].price
            size = scanner.slots[event.slot].size
            p = end
        elif name == c"e":
            flag = HAS_E
            if memcmp(p, <const char*>b'"depthUpdate"', 13) != 0:
                return NULL
            p += 13
        else:
            return NULL
        if p is NULL or seen & flag:
            return NULL
        seen |= flag
        if p[0] == c"}":
            break
        if p[0] != c",":
            return NULL
    if seen != HAS_ALL or event.first > event.last or event.ts_ms > INT64_MAX // 1000000:
        return NULL
    for side in range(2):
        if event.waiting[side] is not NULL:
            end = scan_side(event.waiting[side], side, price, size, &scanner.frame.column[side])
            if end is NULL or end != skip_levels(event.waiting[side]):
                return NULL
    return p + 1


cdef bint read_frame(DepthScanner scanner, Event* event) noexcept nogil:
    """Read a bare event or {"stream":...,"data":{...}}, in either order, to the last byte."""
    cdef const char* p = scanner.frame.text
    cdef const char* end = p + scanner.frame.length
    if p[0] != c"{":
        return False
    if p[2] != c"s" and p[2] != c"d" or p[3] == c'"':
        return read_event(scanner, p, event) == end
    if memcmp(p, <const char*>b'{"stream":', 10) == 0:
        p = scan_string(p + 10)
        if p is NULL or memcmp(p, <const char*>b',"data":', 8) != 0:
            return False
        p = read_event(scanner, p + 8, event)
        return p is not NULL and p[0] == c"}" and p + 1 == end
    if memcmp(p, <const char*>b'{"data":', 8) == 0:
        p = read_event(scanner, p + 8, event)
        if p is NULL or memcmp(p, <const char*>b',"stream":', 10) != 0:
            return False
        p = scan_string(p + 10)
        return p is not NULL and p[0] == c"}" and p + 1 == end
    return False


cdef class DepthScanner:
    def __cinit__(self):
        self.frame = Frame()
        frame_grow(self.frame, 0)
        self.books = []
        self.slot = -1
        self.table_mask = 0

    def __dealloc__(self):
        cdef int i
        for i in range(self.n_slots):
            PyMem_Free(self.slots[i].symbol)
        PyMem_Free(self.slots)
        PyMem_Free(self.table)

    def bind(self, str symbol, OrderBook book not None):
        cdef bytes text = symbol.encode()
        cdef Py_ssize_t length = len(text)
        cdef int slot
        if length == 0 or length > 64:
            raise ValueError(f"a symbol has 1 to 64 bytes, not {length}")
        slot = self.find(text, length)
        if slot < 0:
            slot = add_slot(self, text, length)
            self.books.append(book)
        else:
            self.books[slot] = book
        self.slots[slot].book = <void*>book
        self.slots[slot].price = scale_of(book.price_scale)
        self.slots[slot].size = scale_of(book.size_scale)
        self.slots[slot].armed = False
        self.slot = -1
        return slot

    def arm(self, int slot, bint on=True):
        if not 0 <= slot < self.n_slots:
            raise ValueError(f"no slot {slot}")
        self.slots[slot].armed = on

    cdef int find(self, const char* symbol, Py_ssize_t length) noexcept nogil:
        cdef unsigned int at
        cdef Slot* slot
        if self.n_slots == 0:
            return -1
        at = <unsigned int>hash_text(symbol, length) & self.table_mask
        while self.table[at] >= 0:
            slot = &self.slots[self.table[at]]
            if slot.length == length and memcmp(slot.symbol, symbol, <size_t>length) == 0:
                return self.table[at]
            at = (at + 1) & self.table_mask
        return -1

    cdef int read(self, object frame) except -2:
        cdef Event event
        self.slot = -1
        if not self.frame.take(frame) or not read_frame(self, &event):
            return -1
        self.first = event.first
        self.last = event.last
        self.ts_event_ns = event.ts_ms * 1000000
        self.slot = event.slot
        return event.slot

    def scan(self, frame):
        return self.read(frame)

    def apply(self):
        if self.slot < 0:
            raise BookError("no frame was recognised to apply")
        apply_slot(self)

    def feed(self, frame):
        cdef int slot = self.read(frame)
        cdef OrderBook book
        if slot < 0:
            return _NOT_MINE
        if not self.slots[slot].armed:
            return _HELD
        book = <OrderBook>self.slots[slot].book
        if self.last <= book.sequence:
            return _STALE
        if self.first - 1 > book.sequence:
            self.slots[slot].armed = False
            return _GAP
        apply_slot(self)
        return _CROSSED if book.is_crossed() else _APPLIED

    def levels(self):
        if self.slot < 0:
            raise BookError("no frame was recognised")
        return rows(&self.frame.column[BIDS], 1), rows(&self.frame.column[ASKS], -1)


cdef int apply_slot(DepthScanner scanner) except -1:
    cdef const int64_t* key[2]
    cdef const int64_t* size[2]
    cdef Py_ssize_t n[2]
    cdef int side
    for side in range(2):
        key[side] = scanner.frame.column[side].key
        size[side] = scanner.frame.column[side].size
        n[side] = scanner.frame.column[side].n
    (<OrderBook>scanner.slots[scanner.slot].book).apply_keys(key, size, n, scanner.last)
    return 0


cdef int add_slot(DepthScanner scanner, const char* text, Py_ssize_t length) except -1:
    cdef Slot* slots
    cdef int* table
    cdef unsigned int at, size
    cdef int i, room
    cdef char* symbol
    if scanner.n_slots == scanner.slots_room:
        room = max(8, 2 * scanner.slots_room)
        slots = <Slot*>PyMem_Realloc(scanner.slots, <size_t>room * sizeof(Slot))
        if slots is NULL:
            raise MemoryError
        scanner.slots = slots
        size = 4 * room
        table = <int*>PyMem_Realloc(scanner.table, size * sizeof(int))
        if table is NULL:
            raise MemoryError
        scanner.table = table
        scanner.slots_room = room
        scanner.table_mask = size - 1
        for i in range(<int>size):
            table[i] = -1
        for i in range(scanner.n_slots):
            enter(scanner, i)
    symbol = <char*>PyMem_Malloc(<size_t>length)
    if symbol is NULL:
        raise MemoryError
    memcpy(symbol, text, <size_t>length)
    scanner.slots[scanner.n_slots].symbol = symbol
    scanner.slots[scanner.n_slots].length = length
    enter(scanner, scanner.n_slots)
    scanner.n_slots += 1
    return scanner.n_slots - 1


cdef void enter(DepthScanner scanner, int slot) noexcept:
    cdef unsigned int at = <unsigned int>hash_text(scanner.slots[slot].symbol, scanner.slots[slot].length)
    at &= scanner.table_mask
    while scanner.table[at] >= 0:
        at = (at + 1) & scanner.table_mask
    scanner.table[at] = slot


cdef class SnapshotScanner:
    def __cinit__(self):
        self.frame = Frame()
        frame_grow(self.frame, 0)

    def scan(self, body, int price_scale, int size_scale):
        cdef int64_t number = 0
        cdef const char* p
        cdef Scale price, size
        cdef int seen = 0, flag, side
        if not 0 <= price_scale <= 18 or not 0 <= size_scale <= 18:
            raise ValueError(f"scales must be 0 to 18, not {price_scale} and {size_scale}")
        self.ready = False
        if not self.frame.take(body):
            return False
        price = scale_of(price_scale)
        size = scale_of(size_scale)
        p = self.frame.text
        if p[0] != c"{":
            return False
        while True:
            p += 1
            if memcmp(p, <const char*>b'"lastUpdateId":', 15) == 0:
                flag = HAS_LAST
                p = scan_integer(p + 15, &number)
            elif memcmp(p, <const char*>b'"bids":', 7) == 0:
                flag = HAS_BIDS
                p = scan_side(p + 7, BIDS, price, size, &self.frame.column[BIDS])
            elif memcmp(p, <const char*>b'"asks":', 7) == 0:
                flag = HAS_ASKS
                p = scan_side(p + 7, ASKS, price, size, &self.frame.column[ASKS])
            else:
                return False
            if p is NULL or seen & flag:
                return False
            seen |= flag
            if p[0] == c"}":
                break
            if p[0] != c",":
                return False
        if seen != HAS_LAST | HAS_BIDS | HAS_ASKS or p + 1 != self.frame.text + self.frame.length:
            return False
        self.sequence = number
        self.price_scale = price_scale
        self.size_scale = size_scale
        self.ready = True
        return True

    def levels(self):
        if not self.ready:
            raise BookError("no snapshot was recognised")
        return rows(&self.frame.column[BIDS], 1), rows(&self.frame.column[ASKS], -1)

    def load(self, OrderBook book not None, Py_ssize_t limit):
        cdef const int64_t* key[2]
        cdef const int64_t* size[2]
        cdef Py_ssize_t n[2]
        cdef int side
        if not self.ready:
            raise BookError("no snapshot was recognised to load")
        if book.price_scale != self.price_scale or book.size_scale != self.size_scale:
            raise BookError(f"snapshot scanned at scales {self.price_scale}, {self.size_scale}")
        for side in range(2):
            key[side] = self.frame.column[side].key
            size[side] = self.frame.column[side].size
            n[side] = self.frame.column[side].n
        book.load_keys(key, size, n, self.sequence, n[BIDS] < limit, n[ASKS] < limit)
