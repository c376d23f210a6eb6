"""C declarations of the book, for scanners and the segment writer. Bodies: l2.pyx; Python signatures: l2.pyi."""

from libc.stdint cimport int64_t


cdef extern from "levels.h":
    const int64_t NO_PRICE "VENUEMESH_NO_PRICE"  # best price of an empty side

    ctypedef struct Half:
        int64_t* key  # ascending, best last: a bid's price, minus an ask's price
        int64_t* size
        Py_ssize_t n
        Py_ssize_t capacity
        int64_t bound  # keys >= bound are proven; INT64_MIN: complete; INT64_MAX: nothing is proven
        Py_ssize_t unproven  # how many keys are < bound; -1: not counted yet
        void* block


cdef enum:
    BIDS = 0
    ASKS = 1


cdef object new_rows(Py_ssize_t count)
cdef int side_index(object side) except -1  # BIDS or ASKS of Side.BUY or Side.SELL; TypeError
cdef int wide  # whether books and scanners run AVX2 code: see use_wide


cdef class OrderBook:
    cdef readonly int price_scale, size_scale
    cdef public int64_t sequence
    cdef readonly Py_ssize_t max_levels  # largest number of levels of a side
    cdef readonly Py_ssize_t window  # number of best levels kept on each side; 0: all
    cdef Half half[2]  # BIDS, ASKS
    cdef tuple bid_top, ask_top  # the best levels last returned
    cdef int64_t top_key[2]
    cdef int64_t top_size[2]  # 0: no level was returned

    cdef int64_t best_price(self, int side) noexcept nogil  # true sign; NO_PRICE for an empty side
    cdef int64_t best_size(self, int side) noexcept nogil  # 0 for an empty side
    cdef bint is_crossed(self) noexcept nogil
    cdef bint side_complete(self, int side) noexcept nogil  # no level exists beyond those held
    cdef Py_ssize_t proven(self, int side) noexcept nogil  # levels from the touch that are proven
    # Copy the min(n, proven) best levels of a side, true signs, BEST LAST; return how many.
    cdef Py_ssize_t copy_best(self, int side, Py_ssize_t n, int64_t* price, int64_t* size) noexcept nogil
    # Set absolute sizes of both sides: keys as in Half, prices > 0, sizes >= 0, fastest best first. All or BookError
    # with nothing changed. Needs the GIL: all books share one scratch area.
    cdef int apply_keys(
        self, const int64_t** key, const int64_t** size, const Py_ssize_t* n, int64_t sequence
    ) except -1
    # Replace the book by levels that are best first; keys as in Half. All or BookError with nothing changed.
    cdef int load_keys(
        self, const int64_t** key, const int64_t** size, const Py_ssize_t* n, int64_t sequence,
        bint bids_complete, bint asks_complete,
    ) except -1
