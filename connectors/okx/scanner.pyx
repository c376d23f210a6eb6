"""Reads OKX's book updates from bytes into fixed-point levels. scanner.pyi lists accepted forms.

Source: order/book/trading-market-data-ws-order-book-channel.md of the manual, read 2026-11-27.
"""

from libc.stdint cimport INT64_MAX, int64_t

from ...orderbook.frame cimport (
    Delta,
    FrameScanner,
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
    PREVIOUS = 16
    CHECKSUM = 32
    WHOLE = 31


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
    cdef bint read(self, Delta* delta) noexcept nogil:
        cdef const char* p = scan_literal(self.frame.text, b'{"arg":{"channel":"books","instId":')
        cdef const char* value
        cdef int seen = 0, flag
        cdef int64_t unread = 0
        cdef const Slot* slot
        if p is NULL:
            return False
        p = scan_symbol(p, self.symbols, &delta.slot)
        if p is NULL:
            return False
        slot = &self.symbols.slots[delta.slot]
        p = scan_literal(p, b'},"action":"update","data":[{')
        if p is NULL:
            return False
        while True:
            if (value := scan_literal(p, b'"asks":')) is not NULL:
                flag = ASKS_KEY
                p = scan_rows(value, ASKS, slot.price, slot.size, &self.frame.column[ASKS])
            elif (value := scan_literal(p, b'"bids":')) is not NULL:
                flag = BIDS_KEY
                p = scan_rows(value, BIDS, slot.price, slot.size, &self.frame.column[BIDS])
            elif (value := scan_literal(p, b'"ts":')) is not NULL:
                flag = TIME
                p = read_time(value, &delta.ts_event_ns)
            elif (value := scan_literal(p, b'"seqId":')) is not NULL:
                flag = SEQUENCE
                p = scan_integer(value, &delta.last)
            elif (value := scan_literal(p, b'"prevSeqId":')) is not NULL:
                flag = PREVIOUS
                p = scan_integer(value, &delta.previous)
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
        delta.first = delta.last
        p = scan_literal(p, b"}]}")
        return seen & WHOLE == WHOLE and p is not NULL and p == self.frame.text + self.frame.length
