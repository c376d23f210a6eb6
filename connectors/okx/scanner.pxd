"""C declarations of the scanner of OKX's book updates. Bodies: scanner.pyx; Python signatures: scanner.pyi."""

from ...orderbook.frame cimport FrameScanner


cdef class BookScanner(FrameScanner):
    pass
