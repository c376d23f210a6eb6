"""C declarations of the scanner of Kraken's books. Bodies: scanner.pyx; Python signatures: scanner.pyi."""

from libc.stdint cimport int64_t

from ...orderbook.frame cimport FrameScanner


cdef class BookScanner(FrameScanner):
    cdef Py_ssize_t checked  # levels a side that the checksum covers
    cdef int64_t window  # levels a side of a whole book, at most
