"""Reads Bybit's books and their changes from bytes into fixed-point levels. scanner.pyi lists accepted forms.

Source: bybit-exchange/docs, docs/v5, websocket/public/orderbook.mdx, read 2026-11-27.
"""

from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memcmp

from ...orderbook.frame cimport (
    FrameScanner,
    Header,
    Slot,
    scan_integer,
    scan_levels,
    scan_literal,
    scan_string,
)
from ...orderbook.l2 cimport ASKS, BIDS


cdef enum:
    RESTARTED = 1  # `u` of a snapshot, in a message of any type


cdef enum:  # the keys found of the message
    TYPE = 1
    TIME = 2
    ENGINE_TIME = 4
    DATA = 8
    WHOLE = TYPE | TIME | DATA


cdef enum:  # the keys found of the data
    SYMBOL = 1
    BIDS_KEY = 2
    ASKS_KEY = 4
    UPDATE = 8
    CROSS_SEQUENCE = 16
    WHOLE_DATA = SYMBOL | BIDS_KEY | ASKS_KEY | UPDATE


cdef const char* read_data(BookScanner scanner, const char* p, const Slot* slot, Header* header) noexcept nogil:
    """Read the object whose brace is at p; return what follows it, or NULL."""
    cdef const char* value
    cdef int seen = 0, flag
    cdef int64_t unread = 0
    if p[0] != c"{":
        return NULL
    while True:
        p += 1
        if (value := scan_literal(p, b'"s":')) is not NULL:
            flag = SYMBOL
            p = scan_string(value)
            if p is NULL or p - value - 2 != slot.length:
                return NULL
            if memcmp(value + 1, slot.symbol, <size_t>slot.length) != 0:
                return NULL
        elif (value := scan_literal(p, b'"b":')) is not NULL:
            flag = BIDS_KEY
            p = scan_levels(value, BIDS, slot.price, slot.size, &scanner.frame.column[BIDS])
        elif (value := scan_literal(p, b'"a":')) is not NULL:
            flag = ASKS_KEY
            p = scan_levels(value, ASKS, slot.price, slot.size, &scanner.frame.column[ASKS])
        elif (value := scan_literal(p, b'"u":')) is not NULL:
            flag = UPDATE
            p = scan_integer(value, &header.last)
        elif (value := scan_literal(p, b'"seq":')) is not NULL:
            flag = CROSS_SEQUENCE
            p = scan_integer(value, &unread)
        else:
            return NULL
        if p is NULL or seen & flag:
            return NULL
        seen |= flag
        if p[0] == c"}":
            return p + 1 if seen & WHOLE_DATA == WHOLE_DATA else NULL
        if p[0] != c",":
            return NULL


cdef const Slot* read_topic(BookScanner scanner, const char** at, Header* header) noexcept nogil:
    """Read {"topic":"orderbook.<depth>.<symbol>" at `at` and advance `at`; return the slot, or NULL."""
    cdef const char* p = scan_literal(at[0], b'{"topic":"orderbook.')
    cdef const char* end = scan_string(at[0] + 9) if p is not NULL else NULL
    if end is NULL:
        return NULL
    p = scan_integer(p, &header.depth)
    if p is NULL or p[0] != c"." or header.depth == 0:
        return NULL
    p += 1
    header.slot = scanner.symbols.find(p, end - 1 - p)
    at[0] = end
    return &scanner.symbols.slots[header.slot] if header.slot >= 0 else NULL


cdef class BookScanner(FrameScanner):
    def __cinit__(self, bint is_numbered):
        self.is_numbered = is_numbered

    cdef bint read(self, Header* header) noexcept nogil:
        cdef const char* p = self.frame.text
        cdef const char* value
        cdef const Slot* slot = read_topic(self, &p, header)
        cdef int seen = 0, flag
        cdef bint is_delta = False
        cdef int64_t sent_ms = 0, engine_ms = 0
        if slot is NULL:
            return False
        while p[0] == c",":
            p += 1
            if (value := scan_literal(p, b'"type":')) is not NULL:
                flag = TYPE
                p = scan_literal(value, b'"delta"')
                is_delta = p is not NULL
                if not is_delta:
                    p = scan_literal(value, b'"snapshot"')
            elif (value := scan_literal(p, b'"ts":')) is not NULL:
                flag = TIME
                p = scan_integer(value, &sent_ms)
            elif (value := scan_literal(p, b'"cts":')) is not NULL:
                flag = ENGINE_TIME
                p = scan_integer(value, &engine_ms)
            elif (value := scan_literal(p, b'"data":')) is not NULL:
                flag = DATA
                p = read_data(self, value, slot, header)
            else:
                return False
            if p is NULL or seen & flag:
                return False
            seen |= flag
        if p[0] != c"}" or p + 1 != self.frame.text + self.frame.length or seen & WHOLE != WHOLE:
            return False
        if seen & ENGINE_TIME:
            sent_ms = engine_ms
        if sent_ms > INT64_MAX // 1000000:
            return False
        if is_delta and header.last != RESTARTED:
            header.depth = 0
        elif not self.is_numbered:
            header.last = 0
        header.first = header.last
        header.ts_event_ns = sent_ms * 1000000
        return True
