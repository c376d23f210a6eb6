"""C declarations of the scanners of Binance's frames. Bodies: scanner.pyx; Python signatures: scanner.pyi."""

from libc.stdint cimport int64_t

from ...orderbook.frame cimport Frame, FrameScanner


cdef class DepthScanner(FrameScanner):
    pass


cdef class SnapshotScanner:
    cdef readonly int64_t sequence
    cdef Frame frame
    cdef int price_scale, size_scale
    cdef bint ready
