from .layout cimport vm_segment


cdef int POLLING  # whether waits poll every 0.5 ms because the system has no futex_waitv


cdef class Mapping:
    """A mapped file; unmapped when its last user releases it."""

    cdef vm_segment* segment
    cdef size_t size
    cdef object identity  # (device, inode): no other file has it while this is mapped


cdef Mapping map_segment(object path, bint writable)
