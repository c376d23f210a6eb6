from libc.stdint cimport uint32_t, uint64_t

from .layout cimport vm_segment


cdef class WaitSet:
    cdef list _mappings
    cdef const vm_segment* _segments[127]  # 128 futexes a thread, one of them for control
    cdef uint64_t _versions[127]
    cdef bint _alive[127]
    cdef uint32_t _control
    cdef bint _poll
    cdef int _used
