"""C declarations of the scanner of Coinbase Exchange's books. Bodies: scanner.pyx; Python signatures: scanner.pyi."""

from ...orderbook.frame cimport FrameScanner


cdef class BookScanner(FrameScanner):
    cdef Py_ssize_t entire  # more levels than a side has
