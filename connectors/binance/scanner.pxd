"""C declarations of the scanners of Binance's frames. Bodies: scanner.pyx; Python signatures: scanner.pyi."""

from libc.stdint cimport int64_t

from ...orderbook.frame cimport Frame, SymbolTable


cdef class DepthScanner:
    cdef readonly int64_t first, last, ts_event_ns
    cdef readonly int slot
    cdef readonly object previous, checksum  # None: no frame has them
    cdef Frame frame
    cdef SymbolTable symbols


cdef class SnapshotScanner:
    cdef readonly int64_t sequence
    cdef Frame frame
    cdef int price_scale, size_scale
    cdef bint ready
