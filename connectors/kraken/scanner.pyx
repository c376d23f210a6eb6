"""Reads Kraken's books and their changes from bytes into fixed-point levels. scanner.pyi lists accepted forms.

Source: docs.kraken.com, websocket-v2/book, read 2026-11-27.
"""

from libc.stdint cimport int64_t

from ...orderbook.checksum cimport digits_crc32
from ...orderbook.frame cimport (
    FrameScanner,
    Header,
    Slot,
    scan_integer,
    scan_literal,
    scan_objects,
    scan_symbol,
    scan_time,
)
from ...orderbook.l2 cimport ASKS, BIDS, OrderBook


cdef enum:  # the keys found
    SYMBOL = 1
    BIDS_KEY = 2
    ASKS_KEY = 4
    CHECKSUM = 8
    WHOLE = 15
    TIME = 16


cdef class BookScanner(FrameScanner):
    def __cinit__(self, int64_t depth, Py_ssize_t checked):
        self.window = depth
        self.checked = checked

    cdef int64_t checksum_of(self, OrderBook book) except -2:
        return digits_crc32(book, self.checked, 1, 1)

    cdef bint read(self, Header* header) noexcept nogil:
        cdef const char* p = scan_literal(self.frame.text, b'{"channel":"book","type":"')
        cdef const char* value
        cdef int seen = 0, flag
        cdef Slot* slot = NULL
        if p is NULL:
            return False
        if (value := scan_literal(p, b'update","data":[{')) is NULL:
            if (value := scan_literal(p, b'snapshot","data":[{')) is NULL:
                return False
            header.depth = self.window
        p = value
        header.first = header.last = 0
        while True:
            if (value := scan_literal(p, b'"symbol":')) is not NULL:
                flag = SYMBOL
                p = scan_symbol(value, self.symbols, &header.slot)
                if p is NULL:
                    return False
                slot = &self.symbols.slots[header.slot]
            elif (value := scan_literal(p, b'"bids":')) is not NULL:
                flag = BIDS_KEY
                if slot is NULL:
                    return False
                p = scan_objects(value, 0, slot.price, slot.size, &self.frame.column[BIDS])
            elif (value := scan_literal(p, b'"asks":')) is not NULL:
                flag = ASKS_KEY
                if slot is NULL:
                    return False
                p = scan_objects(value, -1, slot.price, slot.size, &self.frame.column[ASKS])
            elif (value := scan_literal(p, b'"checksum":')) is not NULL:
                flag = CHECKSUM
                p = scan_integer(value, &header.checksum)
            elif (value := scan_literal(p, b'"timestamp":')) is not NULL:
                flag = TIME
                p = scan_time(value, &header.ts_event_ns)
            else:
                return False
            if p is NULL or seen & flag:
                return False
            seen |= flag
            if p[0] != c",":
                break
            p += 1
        p = scan_literal(p, b"}]}")
        return seen & WHOLE == WHOLE and p is not NULL and p == self.frame.text + self.frame.length
