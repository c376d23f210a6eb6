"""C face of the scanners. Bodies are in scanner.pyx, the Python face in scanner.pyi."""

from libc.stdint cimport int64_t

from .l2 cimport OrderBook


cdef extern from "frame.h":
    ctypedef struct Column:
        int64_t* key
        int64_t* size
        Py_ssize_t n

    ctypedef struct Scale:
        int scale


cdef struct Slot:
    char* symbol  # UTF-8
    Py_ssize_t length
    void* book  # borrowed: `books` of the scanner holds the reference
    Scale price, size
    bint armed  # feed() may apply to it


cdef class Frame:
    """A private copy of the bytes that are scanned, and the levels read from them."""

    cdef char* text  # length bytes, then zeros
    cdef Py_ssize_t length, capacity
    cdef int64_t* block
    cdef Column column[2]  # BIDS, ASKS

    cdef bint take(self, object data) except -1


cdef class DepthScanner:
    cdef readonly int64_t first, last, ts_event_ns
    cdef readonly int slot
    cdef Frame frame
    cdef list books
    cdef Slot* slots
    cdef int* table
    cdef int n_slots, slots_room
    cdef unsigned int table_mask

    cdef int read(self, object frame) except -2
    cdef int find(self, const char* symbol, Py_ssize_t length) noexcept nogil


cdef class SnapshotScanner:
    cdef readonly int64_t sequence
    cdef Frame frame
    cdef int price_scale, size_scale
    cdef bint ready
