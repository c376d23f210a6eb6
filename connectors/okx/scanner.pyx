"""Reads OKX's books and their changes from bytes into fixed-point levels. scanner.pyi lists accepted forms.

Source: order/book/trading-market-data-ws-order-book-channel.md of the manual, read 2026-11-27.
"""

from libc.stdint cimport INT64_MAX, int64_t

from ...orderbook.frame cimport (
    FrameScanner,
    Header,
    Slot,
    scan_integer,
    scan_literal,
    scan_rows,
    scan_symbol,
)
from ...orderbook.l2 cimport ASKS, BIDS


cdef enum:  # the keys found
    ASKS_KEY = 1
    BIDS_KEY = 2
    TIME = 4
    SEQUENCE = 8
    BOOK = ASKS_KEY | BIDS_KEY | TIME | SEQUENCE
    PREVIOUS = 16
    UPDATE = BOOK | PREVIOUS
    CHECKSUM = 32


cdef const char* read_time(const char* p, int64_t* ns) noexcept nogil:
    """Read a string of milliseconds whose quote is at p; return what follows it, or NULL."""
    cdef int64_t ms = 0
    if p[0] != c'"':
        return NULL
    p = scan_integer(p + 1, &ms)
    if p is NULL or p[0] != c'"' or ms > INT64_MAX // 1000000:
        return NULL
    ns[0] = ms * 1000000
    return p + 1


cdef class BookScanner(FrameScanner):
    def __cinit__(self, int64_t depth):
        self.window = depth

    cdef bint read(self, Header* header) noexcept nogil:
        cdef const char* p = scan_literal(self.frame.text, b'{"arg":{"channel":"books","instId":')
        cdef const char* value
        cdef int seen = 0, flag, wanted
        cdef int64_t unread = 0
        cdef const Slot* slot
        if p is NULL:
            return False
        p = scan_symbol(p, self.symbols, &header.slot)
        if p is NULL:
            return False
        slot = &self.symbols.slots[header.slot]
        p = scan_literal(p, b'},"action":"')
        if p is NULL:
            return False
        if (value := scan_literal(p, b'update","data":[{')) is NULL:
            if (value := scan_literal(p, b'snapshot","data":[{')) is NULL:
                return False
            header.depth = self.window
        p = value
        while True:
            if (value := scan_literal(p, b'"asks":')) is not NULL:
                flag = ASKS_KEY
                p = scan_rows(value, ASKS, slot.price, slot.size, &self.frame.column[ASKS])
            elif (value := scan_literal(p, b'"bids":')) is not NULL:
                flag = BIDS_KEY
                p = scan_rows(value, BIDS, slot.price, slot.size, &self.frame.column[BIDS])
            elif (value := scan_literal(p, b'"ts":')) is not NULL:
                flag = TIME
                p = read_time(value, &header.ts_event_ns)
            elif (value := scan_literal(p, b'"seqId":')) is not NULL:
                flag = SEQUENCE
                p = scan_integer(value, &header.last)
            elif (value := scan_literal(p, b'"prevSeqId":')) is not NULL:
                flag = PREVIOUS
                if header.depth:  # -1 in a whole book
                    p = scan_integer(value + (value[0] == c"-"), &unread)
                else:
                    p = scan_integer(value, &header.previous)
            elif (value := scan_literal(p, b'"checksum":')) is not NULL:
                flag = CHECKSUM
                p = scan_integer(value + (value[0] == c"-"), &unread)
            else:
                return False
            if p is NULL or seen & flag:
                return False
            seen |= flag
            if p[0] != c",":
                break
            p += 1
        header.first = header.last
        wanted = BOOK if header.depth else UPDATE
        p = scan_literal(p, b"}]}")
        return seen & wanted == wanted and p is not NULL and p == self.frame.text + self.frame.length
