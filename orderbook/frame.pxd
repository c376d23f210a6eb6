"""Primitives of byte scanners: the bytes of a frame, numbers, strings, level lists, and the books that symbols feed.

An exchange's scanner cimports them and adds the exchange's grammar: the keys of a frame and their meaning. The
functions of frame.h are inlined into each scanner. Bodies of the classes are in frame.pyx.
"""

from libc.stdint cimport int64_t, uint64_t

from .l2 cimport ASKS, OrderBook, wide


cdef extern from "frame.h":
    ctypedef struct Column:  # levels of one side: keys as a book holds them, and sizes
        int64_t* key
        int64_t* size
        Py_ssize_t n

    ctypedef struct Scale:
        int scale

    # Each returns the position behind the value at p, or NULL if the value does not have exactly this form.
    const char* scan_literal(const char* p, const char* text) noexcept nogil
    const char* scan_integer(const char* p, int64_t* out) noexcept nogil
    const char* scan_string(const char* p) noexcept nogil
    const char* scan_time(const char* p, int64_t* out) noexcept nogil  # RFC 3339, as ns since the Unix epoch
    const char* skip_levels(const char* p) noexcept nogil
    # A level list whose levels are objects of the numbers "price" and "qty".
    const char* scan_objects(const char* p, int64_t negate, Scale price, Scale size, Column* out) noexcept nogil
    # A list of changes ["buy","price","size"] of both sides; `columns` are those of BIDS and ASKS.
    const char* scan_changes(const char* p, Scale price, Scale size, Column* columns) noexcept nogil
    # A list of pairs [price,size] of JSON numbers, which may have exponents; sizes are rounded to the scale.
    const char* scan_pairs(const char* p, int64_t negate, Scale price, Scale size, Column* out) noexcept nogil
    const char* scan_levels_portable(
        const char* p, int64_t negate, Scale price, Scale size, Column* out
    ) noexcept nogil
    const char* scan_levels_wide(const char* p, int64_t negate, Scale price, Scale size, Column* out) noexcept nogil
    const char* scan_rows_portable(const char* p, int64_t negate, Scale price, Scale size, Column* out) noexcept nogil
    const char* scan_rows_wide(const char* p, int64_t negate, Scale price, Scale size, Column* out) noexcept nogil

    Scale scale_of(int scale) noexcept nogil
    uint64_t hash_text(const char* p, Py_ssize_t n) noexcept nogil
    const int PADDING


cdef inline const char* scan_levels(
    const char* p, int side, Scale price, Scale size, Column* out
) noexcept nogil:
    """Read a list [["price","size"],...] of one side; return the position behind the list, or NULL."""
    if wide:
        return scan_levels_wide(p, -(side == ASKS), price, size, out)
    return scan_levels_portable(p, -(side == ASKS), price, size, out)


cdef inline const char* scan_rows(
    const char* p, int side, Scale price, Scale size, Column* out
) noexcept nogil:
    """Read such a list whose levels have two more fields of digits; return the position behind the list, or NULL."""
    if wide:
        return scan_rows_wide(p, -(side == ASKS), price, size, out)
    return scan_rows_portable(p, -(side == ASKS), price, size, out)


cdef class Frame:
    """A private copy of the scanned bytes, and the levels read from them."""

    cdef char* text  # length bytes, then PADDING zeros
    cdef Py_ssize_t length, capacity
    cdef int64_t* block
    cdef Column column[2]  # BIDS, ASKS

    cdef bint take(self, object data) except -1  # copy `data`; False when there are too many bytes
    cdef tuple levels(self)  # copies of both columns as arrays (n, 2), with the prices' true signs
    # Set the sizes of both columns in a book. All or BookError with the book unchanged.
    cdef int apply(self, OrderBook book, int64_t sequence) except -1
    # Replace a book by both columns; a side with fewer than `limit` levels is complete. All or BookError.
    cdef int load(self, OrderBook book, int64_t sequence, Py_ssize_t limit) except -1


cdef struct Slot:
    char* symbol  # UTF-8
    Py_ssize_t length
    void* book  # a borrowed reference: `books` of the table holds the object
    Scale price, size


cdef class SymbolTable:
    """The books of symbols. A symbol has a slot, counted from 0 in the order of binding."""

    cdef Slot* slots
    cdef list books
    cdef int* table  # slots by hash of their symbols, -1: free
    cdef int n_slots, room
    cdef unsigned int mask

    cdef int bind(self, str symbol, OrderBook book) except -1  # the slot of the symbol, made if missing
    cdef int find(self, const char* symbol, Py_ssize_t length) noexcept nogil  # the slot, or -1


cdef inline const char* scan_symbol(const char* p, SymbolTable symbols, int* slot) noexcept nogil:
    """Read the string of a bound symbol; return the position behind it, or NULL."""
    cdef const char* end = scan_string(p)
    if end is NULL:
        return NULL
    slot[0] = symbols.find(p + 1, end - p - 2)
    return end if slot[0] >= 0 else NULL


cdef struct Header:  # of a frame with levels: everything but the levels
    int64_t first, last
    int64_t previous  # -1: not stated
    int64_t checksum  # -1: absent
    int64_t ts_event_ns  # -1: absent
    int64_t depth  # 0: a delta; otherwise a whole book of at most so many levels a side
    int slot


cdef class FrameScanner:
    """The shared part of the scanners: an exchange's scanner adds `read`, the grammar of its frames."""

    cdef readonly int64_t first, last
    cdef readonly int slot
    cdef readonly Py_ssize_t depth
    cdef readonly object is_proven
    cdef int64_t header_previous, header_checksum, header_ts_ns  # -1: absent
    cdef Frame frame
    cdef SymbolTable symbols

    # Read the frame to its last byte; False when it is not exactly a delta or a whole book of a bound symbol.
    cdef bint read(self, Header* header) noexcept nogil
    # The checksum of a book by the exchange's rule; -1: the scanner does not compute it. Raises BookError.
    cdef int64_t checksum_of(self, OrderBook book) except -2
