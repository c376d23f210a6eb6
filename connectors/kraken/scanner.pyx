"""Reads Kraken's book updates from bytes into fixed-point levels. scanner.pyi lists accepted forms.

Source: docs.kraken.com, websocket-v2/book, read 2026-11-27.
"""

from ...orderbook.frame cimport (
    Delta,
    FrameScanner,
    Slot,
    scan_integer,
    scan_literal,
    scan_objects,
    scan_symbol,
    scan_time,
)
from ...orderbook.l2 cimport ASKS, BIDS


cdef enum:  # the keys found
    SYMBOL = 1
    BIDS_KEY = 2
    ASKS_KEY = 4
    CHECKSUM = 8
    TIME = 16
    WHOLE = 31


cdef class BookScanner(FrameScanner):
    cdef bint read(self, Delta* delta) noexcept nogil:
        cdef const char* p = scan_literal(self.frame.text, b'{"channel":"book","type":"update","data":[{')
        cdef const char* value
        cdef int seen = 0, flag
        cdef Slot* slot = NULL
        if p is NULL:
            return False
        delta.first = delta.last = 0
        while True:
            if (value := scan_literal(p, b'"symbol":')) is not NULL:
                flag = SYMBOL
                p = scan_symbol(value, self.symbols, &delta.slot)
                if p is NULL:
                    return False
                slot = &self.symbols.slots[delta.slot]
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
                p = scan_integer(value, &delta.checksum)
            elif (value := scan_literal(p, b'"timestamp":')) is not NULL:
                flag = TIME
                p = scan_time(value, &delta.ts_event_ns)
            else:
                return False
            if p is NULL or seen & flag:
                return False
            seen |= flag
            if p[0] != c",":
                break
            p += 1
        p = scan_literal(p, b"}]}")
        return seen == WHOLE and p is not NULL and p == self.frame.text + self.frame.length
