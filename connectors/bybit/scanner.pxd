"""C declarations of the scanner of Bybit's books. Bodies: scanner.pyx; Python signatures: scanner.pyi."""

from ...orderbook.frame cimport FrameScanner


cdef class BookScanner(FrameScanner):
    cdef bint is_numbered  # whether whole books have a number
