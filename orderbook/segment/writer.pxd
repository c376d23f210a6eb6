from libc.stdint cimport int64_t

from .mapping cimport Mapping


cdef class SegmentWriter:
    cdef readonly object path, address, incarnation
    cdef readonly int price_scale, size_scale, levels, trades
    cdef readonly bint sequenced, exact, mirrored, redundant, replica, comparable
    cdef Mapping mapping
    cdef int64_t* scratch  # bid price, bid size, ask price, ask size: `levels` words each, right-aligned
    cdef int64_t hot[32]
    cdef int64_t last_beat_ns
    cdef int64_t lost  # trades that never arrived
    cdef bint was_live

    cdef int _ready(self) except -1
    cdef int _enter(self, object state, object reason) except -1
    cdef void _commit(self, int64_t bids, int64_t asks) noexcept
    cdef void _alive(self, int64_t now_ns) noexcept
    cdef int _book(
        self, int64_t bids, int64_t asks, int64_t flags, int64_t sequence,
        object state, object reason, object ts_event_ns, int64_t ts_recv_ns, int64_t applied,
    ) except -1
