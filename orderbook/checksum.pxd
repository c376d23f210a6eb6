"""C declarations of the checksums of books, for scanners. Python signatures are in checksum.pyi."""

from libc.stdint cimport int64_t

from .l2 cimport OrderBook


# Return the CRC-32, or -1 with BookError set. Raw values are divided by `price_unit` and `size_unit`.
cdef int64_t digits_crc32(OrderBook book, Py_ssize_t levels, int64_t price_unit, int64_t size_unit) except -1
# 10 ** (scale - decimals), or ValueError.
cdef int64_t unit_of(int scale, int decimals) except -1
