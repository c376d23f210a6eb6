from .layout cimport vm_segment


cdef int POLLING  # whether waiting is looking every 0.5 ms, for want of futex_waitv


cdef class Mapping:
    """A mapped file; unmapped when the last who holds it lets go."""

    cdef vm_segment* segment
    cdef size_t size
    cdef object identity  # (device, inode): no other file has it while this is mapped


cdef Mapping map_segment(object path, bint writable)
