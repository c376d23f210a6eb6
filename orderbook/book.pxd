from libc.stdint cimport INT64_MIN, int64_t


cdef extern from "levels.h":
    ctypedef struct Half:
        int64_t* key  # ascending, best last; a bid's price, minus an ask's price
        int64_t* size
        Py_ssize_t n
        Py_ssize_t capacity
        int64_t bound
        Py_ssize_t unproven
        void* block


cdef enum:
    BIDS = 0
    ASKS = 1


cdef int64_t NO_PRICE  # INT64_MIN: best price of an empty side


cdef class OrderBook:
    cdef readonly int price_scale, size_scale
    cdef public int64_t sequence
    cdef Half half[2]  # BIDS, ASKS
    cdef readonly Py_ssize_t max_levels  # bound of one side

    cdef int64_t best_price(self, int side) noexcept nogil  # true sign; NO_PRICE for an empty side
    cdef int64_t best_size(self, int side) noexcept nogil  # 0 for an empty side
    cdef bint is_crossed(self) noexcept nogil
    cdef bint side_complete(self, int side) noexcept nogil  # no level can exist beyond those held
    cdef Py_ssize_t proven(self, int side) noexcept nogil  # levels from the touch that are proven
    # Copy the min(n, proven) best levels of a side, true signs, BEST LAST; return how many.
    cdef Py_ssize_t copy_best(self, int side, Py_ssize_t n, int64_t* price, int64_t* size) noexcept nogil
    # Apply sorted or unsorted deltas of both sides as one: all or BookError with nothing changed. `key` as in Half.
    cdef int apply_keys(
        self,
        int64_t* bid_key, int64_t* bid_size, Py_ssize_t n_bids,
        int64_t* ask_key, int64_t* ask_size, Py_ssize_t n_asks,
        int64_t sequence,
    ) except -1
    # Replace the book; keys and sizes best first. All or BookError with nothing changed.
    cdef int load_keys(
        self,
        int64_t* bid_key, int64_t* bid_size, Py_ssize_t n_bids,
        int64_t* ask_key, int64_t* ask_size, Py_ssize_t n_asks,
        int64_t sequence, bint bids_complete, bint asks_complete,
    ) except -1
