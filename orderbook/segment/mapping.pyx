"""The shared part of writers, readers and waiters: the mapped file, its clock, and this system's way to wait."""

import os

from ...model.errors import Misconfigured, SegmentMismatch

from libc.string cimport memcpy, memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from .layout cimport *  # the VM_ and vm_ names

FORMAT_VERSION = VM_FORMAT
LEVELS_MAX = 100_000
TRADES_MAX = 1_000_000

POLLING = not vm_has_waitv() or os.environ.get("VENUEMESH_WAIT") == "poll"


cdef class Mapping:
    def __cinit__(self, int fd, size_t size, bint writable, identity=None):
        cdef int protection = PROT_READ | PROT_WRITE if writable else PROT_READ
        cdef void* at = mmap(NULL, size, protection, MAP_SHARED, fd, 0)
        if at == MAP_FAILED:
            raise Misconfigured("segment", "cannot be mapped: the system refused it")
        self.segment = <vm_segment*>at
        self.size = size
        self.identity = identity

    def __dealloc__(self):
        if self.segment is not NULL:
            munmap(self.segment, self.size)


def process_start(pid):
    """Return the start time of process `pid` in clock ticks since boot; 0 if it is dead or the time is unknown.

    A zombie counts as dead. Source: proc_pid_stat(5).
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
        return 0 if state in (b"Z", b"X") else int(fields[18])
    except (OSError, IndexError, ValueError):
        return 0


def monotonic_ns():
    """Return CLOCK_MONOTONIC, the clock of heartbeats, in nanoseconds."""
    return vm_now()


def mark_ended(path):
    """Mark a segment RETIRED and wake its readers. Only for a segment whose writer is certainly dead."""
    cdef Mapping mapping = map_segment(path, True)
    vm_mark_ended(mapping.segment)


cdef Mapping map_segment(object path, bint writable):
    """Map a segment of this version, or raise SegmentMismatch or FileNotFoundError."""
    cdef vm_header head
    cdef bytes start
    try:
        fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SegmentMismatch(str(path), f"cannot be opened: {error.strerror}") from None
    try:
        found = os.fstat(fd)
        try:
            start = os.pread(fd, sizeof(vm_header), 0)
        except OSError as error:
            raise SegmentMismatch(str(path), f"cannot be read: {error.strerror}") from None
        if found.st_uid != os.geteuid():
            raise SegmentMismatch(str(path), f"belongs to user {found.st_uid}, not to {os.geteuid()}")
        if len(start) < 12 or start[:8] != VM_MAGIC:
            raise SegmentMismatch(str(path), "is not a segment")
        memset(&head, 0, sizeof(head))
        memcpy(&head, <const char*>start, len(start))
        if head.format != VM_FORMAT:
            raise SegmentMismatch(
                str(path), f"is a segment of format {head.format}; this program reads format {VM_FORMAT}"
            )
        if (
            len(start) < <Py_ssize_t>sizeof(vm_header) or found.st_size != head.file_bytes
            or not 0 < head.levels <= LEVELS_MAX or not 0 < head.trades <= TRADES_MAX
            or head.file_bytes != vm_file_bytes(head.levels, head.trades) or head.address_bytes > VM_ADDRESS_BYTES
            or not 0 <= head.price_scale <= 18 or not 0 <= head.size_scale <= 18
        ):
            raise SegmentMismatch(str(path), "is truncated or damaged")
        return Mapping(fd, head.file_bytes, writable, (found.st_dev, found.st_ino))
    finally:
        os.close(fd)
