"""C face of the scanner of Bybit's book deltas. Bodies are in scanner.pyx, the Python face is in scanner.pyi."""

from ...orderbook.frame cimport FrameScanner


cdef class BookScanner(FrameScanner):
    pass
