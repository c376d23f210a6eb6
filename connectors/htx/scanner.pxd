"""C declarations of the scanner of HTX's books. Bodies: scanner.pyx; Python signatures: scanner.pyi."""

from ...orderbook.frame cimport FrameScanner


cdef class BookScanner(FrameScanner):
    cdef Py_ssize_t most  # levels a side of a whole book
    cdef bint is_numbered  # whether whole books have a number
