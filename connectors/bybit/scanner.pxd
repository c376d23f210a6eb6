"""C declarations of the scanner of Bybit's book deltas. Bodies: scanner.pyx; Python signatures: scanner.pyi."""

from ...orderbook.frame cimport FrameScanner


cdef class BookScanner(FrameScanner):
    pass
