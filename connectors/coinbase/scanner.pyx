"""Reads Coinbase Exchange's books and their changes from bytes into fixed-point levels. scanner.pyi lists accepted
forms.

Source: websocket_api.md at 7b30bfe2 of rosssaunders/coincise, docs/coinbase/exchange, Level2 Channel, read 2026-11-28.
"""

from ...orderbook.frame cimport (
    FrameScanner,
    Header,
    Slot,
    scan_changes,
    scan_levels,
    scan_literal,
    scan_symbol,
    scan_time,
)
from ...orderbook.l2 cimport ASKS, BIDS


cdef enum:  # the keys found
    PRODUCT = 1
    BIDS_KEY = 2
    ASKS_KEY = 4
    CHANGES = 8
    TIME = 16
    SNAPSHOT = PRODUCT | BIDS_KEY | ASKS_KEY
    UPDATE = PRODUCT | CHANGES | TIME


cdef class BookScanner(FrameScanner):
    def __cinit__(self, Py_ssize_t entire):
        self.entire = entire

    cdef bint read(self, Header* header) noexcept nogil:
        cdef const char* p = scan_literal(self.frame.text, b'{"type":"')
        cdef const char* value
        cdef const Slot* slot = NULL
        cdef int seen = 0, flag
        cdef bint is_book
        if p is NULL:
            return False
        value = scan_literal(p, b'l2update"')
        is_book = value is NULL
        if is_book:
            value = scan_literal(p, b'snapshot"')
        p = value
        while p is not NULL and p[0] == c",":
            p += 1
            if (value := scan_literal(p, b'"product_id":')) is not NULL:
                flag = PRODUCT
                p = scan_symbol(value, self.symbols, &header.slot)
                if p is not NULL:
                    slot = &self.symbols.slots[header.slot]
            elif (value := scan_literal(p, b'"time":')) is not NULL:
                flag = TIME
                p = scan_time(value, &header.ts_event_ns)
            elif slot is NULL:
                return False
            elif not is_book and (value := scan_literal(p, b'"changes":')) is not NULL:
                flag = CHANGES
                p = scan_changes(value, slot.price, slot.size, self.frame.column)
            elif is_book and (value := scan_literal(p, b'"bids":')) is not NULL:
                flag = BIDS_KEY
                p = scan_levels(value, BIDS, slot.price, slot.size, &self.frame.column[BIDS])
            elif is_book and (value := scan_literal(p, b'"asks":')) is not NULL:
                flag = ASKS_KEY
                p = scan_levels(value, ASKS, slot.price, slot.size, &self.frame.column[ASKS])
            else:
                return False
            if seen & flag:
                return False
            seen |= flag
        if p is NULL or p[0] != c"}" or p + 1 != self.frame.text + self.frame.length:
            return False
        header.first = header.last = 0
        if is_book:
            header.depth = self.entire
            return seen & SNAPSHOT == SNAPSHOT
        return seen & UPDATE == UPDATE
