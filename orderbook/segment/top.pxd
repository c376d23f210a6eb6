from libc.stdint cimport int64_t, uint64_t


cdef class Top:
    cdef readonly object address, incarnation
    cdef readonly uint64_t version
    cdef readonly int64_t update, sequence
    cdef readonly int price_scale, size_scale
    cdef readonly bint sequence_known  # False before the first publish of a book
    cdef readonly bint replica  # of a redundant book: the second actor wrote it
    cdef int _state
    cdef int64_t _flags
    cdef int64_t _held[2]
    cdef int64_t _ts_event, _ts_recv, _published
    cdef int64_t _bid_price, _bid_size, _ask_price, _ask_size

    cdef object _level(self, int64_t price, int64_t size)
    cdef int _has(self, int side) except -1
