"""The shared part of byte scanners. frame.pxd has the C declarations, frame.h reads numbers, strings, level lists."""

from ..model.errors import BookError

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy, memset

from .l2 cimport ASKS, BIDS, OrderBook, new_rows


cdef enum:
    MAX_FRAME = 1 << 26  # bytes; a longer frame is not scanned
    MAX_SYMBOL = 64  # bytes


cdef class Frame:
    def __cinit__(self):
        grow(self, 0)

    def __dealloc__(self):
        PyMem_Free(self.text)
        PyMem_Free(self.block)

    cdef bint take(self, object data) except -1:
        cdef Py_buffer view
        if PyBytes_CheckExact(data):
            return copy(self, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return copy(self, <const char*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef tuple levels(self):
        return rows(&self.column[BIDS], 1), rows(&self.column[ASKS], -1)

    cdef int apply(self, OrderBook book, int64_t sequence) except -1:
        cdef const int64_t* key[2]
        cdef const int64_t* size[2]
        cdef Py_ssize_t n[2]
        cdef int side
        for side in range(2):
            key[side] = self.column[side].key
            size[side] = self.column[side].size
            n[side] = self.column[side].n
        book.apply_keys(key, size, n, sequence)
        return 0

    cdef int load(self, OrderBook book, int64_t sequence, Py_ssize_t limit) except -1:
        cdef const int64_t* key[2]
        cdef const int64_t* size[2]
        cdef Py_ssize_t n[2]
        cdef int side
        for side in range(2):
            key[side] = self.column[side].key
            size[side] = self.column[side].size
            n[side] = self.column[side].n
        book.load_keys(key, size, n, sequence, n[BIDS] < limit, n[ASKS] < limit)
        return 0


cdef bint copy(Frame frame, const char* text, Py_ssize_t length) except -1:
    if length > frame.capacity:
        if length > MAX_FRAME:
            return False
        grow(frame, length)
    frame.length = length
    memcpy(frame.text, text, <size_t>length)
    memset(frame.text + length, 0, PADDING)
    return True


cdef int grow(Frame frame, Py_ssize_t length) except -1:
    cdef Py_ssize_t capacity = max(2 * length, 4096)
    cdef Py_ssize_t room = capacity // 6 + 1  # the shortest level is [1,0],
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
    cdef Py_buffer view
    cdef int64_t* row
    cdef Py_ssize_t i
    array = new_rows(column.n)
    PyObject_GetBuffer(array, &view, PyBUF_WRITABLE)
    row = <int64_t*>view.buf
    for i in range(column.n):
        row[2 * i] = sign * column.key[i]
        row[2 * i + 1] = column.size[i]
    PyBuffer_Release(&view)
    return array


cdef class SymbolTable:
    def __cinit__(self):
        self.books = []

    def __dealloc__(self):
        cdef int i
        for i in range(self.n_slots):
            PyMem_Free(self.slots[i].symbol)
        PyMem_Free(self.slots)
        PyMem_Free(self.table)

    cdef int bind(self, str symbol, OrderBook book) except -1:
        cdef bytes text = symbol.encode()
        cdef Py_ssize_t length = len(text)
        cdef int slot
        if length == 0 or length > MAX_SYMBOL:
            raise ValueError(f"a symbol has 1 to {MAX_SYMBOL} bytes, not {length}")
        slot = self.find(text, length)
        if slot < 0:
            slot = add(self, text, length)
            self.books.append(book)
        else:
            self.books[slot] = book
        self.slots[slot].book = <void*>book
        self.slots[slot].price = scale_of(book.price_scale)
        self.slots[slot].size = scale_of(book.size_scale)
        return slot

    cdef int find(self, const char* symbol, Py_ssize_t length) noexcept nogil:
        cdef unsigned int at
        cdef Slot* slot
        if self.n_slots == 0:
            return -1
        at = <unsigned int>hash_text(symbol, length) & self.mask
        while self.table[at] >= 0:
            slot = &self.slots[self.table[at]]
            if slot.length == length and memcmp(slot.symbol, symbol, <size_t>length) == 0:
                return self.table[at]
            at = (at + 1) & self.mask
        return -1


cdef int add(SymbolTable symbols, const char* text, Py_ssize_t length) except -1:
    """Make a slot for a new symbol; return the slot."""
    cdef int slot = symbols.n_slots
    cdef char* symbol
    if slot == symbols.room:
        make_room(symbols, max(8, 2 * slot))
    symbol = <char*>PyMem_Malloc(<size_t>length)
    if symbol is NULL:
        raise MemoryError
    memcpy(symbol, text, <size_t>length)
    symbols.slots[slot].symbol = symbol
    symbols.slots[slot].length = length
    enter(symbols, slot)
    symbols.n_slots += 1
    return slot


cdef int make_room(SymbolTable symbols, int room) except -1:
    cdef unsigned int size = 4 * room
    cdef int i
    cdef Slot* slots = <Slot*>PyMem_Realloc(symbols.slots, <size_t>room * sizeof(Slot))
    if slots is NULL:
        raise MemoryError
    symbols.slots = slots
    cdef int* table = <int*>PyMem_Realloc(symbols.table, size * sizeof(int))
    if table is NULL:
        raise MemoryError
    symbols.table = table
    symbols.room = room
    symbols.mask = size - 1
    for i in range(<int>size):
        table[i] = -1
    for i in range(symbols.n_slots):
        enter(symbols, i)
    return 0


cdef void enter(SymbolTable symbols, int slot) noexcept:
    cdef unsigned int at = <unsigned int>hash_text(symbols.slots[slot].symbol, symbols.slots[slot].length)
    at &= symbols.mask
    while symbols.table[at] >= 0:
        at = (at + 1) & symbols.mask
    symbols.table[at] = slot


cdef class FrameScanner:
    def __cinit__(self):
        self.frame = Frame()
        self.symbols = SymbolTable()
        self.slot = self.header_previous = self.header_checksum = self.header_ts_ns = -1

    cdef bint read(self, Header* header) noexcept nogil:
        return False

    cdef int64_t checksum_of(self, OrderBook book) except -2:
        return -1

    @property
    def previous(self):
        return None if self.header_previous < 0 else self.header_previous

    @property
    def checksum(self):
        return None if self.header_checksum < 0 else self.header_checksum

    @property
    def ts_event_ns(self):
        return None if self.header_ts_ns < 0 else self.header_ts_ns

    def bind(self, str symbol, OrderBook book not None):
        self.slot = -1
        return self.symbols.bind(symbol, book)

    def scan(self, frame):
        cdef Header header
        self.slot = -1
        header.previous = header.checksum = header.ts_event_ns = -1
        header.depth = 0
        if not self.frame.take(frame) or not self.read(&header):
            return -1
        self.first = header.first
        self.last = header.last
        self.depth = header.depth
        self.header_ts_ns = header.ts_event_ns
        self.header_previous = header.previous
        self.header_checksum = header.checksum
        self.is_proven = None
        self.slot = header.slot
        return header.slot

    def apply(self):
        cdef int64_t found
        if self.slot < 0:
            raise BookError("no frame was recognised to apply")
        book = <OrderBook>self.symbols.slots[self.slot].book
        if self.depth:
            self.frame.load(book, self.last, self.depth)
        else:
            self.frame.apply(book, self.last)
        if self.header_checksum >= 0:
            found = self.checksum_of(book)
            if found >= 0:
                self.is_proven = found == self.header_checksum

    def levels(self):
        if self.slot < 0:
            raise BookError("no frame was recognised")
        return self.frame.levels()
