"""C face of the scanner of OKX's book updates. Bodies are in scanner.pyx, the Python face is in scanner.pyi."""

from ...orderbook.frame cimport FrameScanner


cdef class BookScanner(FrameScanner):
    pass
