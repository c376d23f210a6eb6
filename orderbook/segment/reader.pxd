from libc.stdint cimport int64_t, uint64_t

from .mapping cimport Mapping
from .layout cimport vm_segment


cdef class SegmentReader:
    cdef readonly object path, address, incarnation
    cdef readonly int price_scale, size_scale, levels, trade_slots, writer_pid
    cdef readonly int64_t heartbeat_limit_ns
    cdef readonly uint64_t writer_start
    cdef readonly bint sequenced, exact, mirrored, redundant, replica, comparable
    cdef Mapping mapping
    cdef double price_unit, size_unit

    cdef const vm_segment* _open(self) except NULL
    cdef int _read(self, int64_t n, int64_t* hot, int64_t words, int64_t* pairs) except -1
    cdef int _check(self, const int64_t* hot, int64_t words) except -1
    cdef bint _quick(self, const vm_segment* segment) noexcept
    cdef int _judge(self, const vm_segment* segment, const int64_t* hot) noexcept
    cdef int _refuse(self, int state) except -1
    cdef int64_t _live_sequence(self) except *
