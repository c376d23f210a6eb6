"""Reads HTX's books and their changes from bytes into fixed-point levels. scanner.pyi lists accepted forms.

Source: public_websocket_api.md of rosssaunders/coincise, docs/htx/spot, mbp.$levels and depth.$type, read 2026-11-28.
"""

from libc.stdint cimport INT64_MAX, int64_t

from ...orderbook.frame cimport FrameScanner, Header, Slot, scan_integer, scan_literal, scan_pairs
from ...orderbook.l2 cimport ASKS, BIDS


cdef enum:
    MAX_SYMBOL = 64  # bytes


cdef enum:  # the keys found of the message
    TIME = 1
    TICK = 2
    WHOLE = TIME | TICK


cdef enum:  # the keys found of the tick
    BIDS_KEY = 1
    ASKS_KEY = 2
    NUMBER = 4
    PREVIOUS = 8
    BOOK_TIME = 16
    DELTA_KEYS = NUMBER | PREVIOUS
    BOOK_KEYS = BIDS_KEY | ASKS_KEY | NUMBER | BOOK_TIME


cdef const char* read_tick(
    BookScanner scanner, const char* p, const Slot* slot, Header* header, int64_t* book_ms
) noexcept nogil:
    """Read the object whose brace is at p; return what follows it, or NULL."""
    cdef const char* value
    cdef int seen = 0, flag, needed
    scanner.frame.column[BIDS].n = scanner.frame.column[ASKS].n = 0
    if p[0] != c"{":
        return NULL
    while True:
        p += 1
        if (value := scan_literal(p, b'"bids":')) is not NULL:
            flag = BIDS_KEY
            p = scan_pairs(value, 0, slot.price, slot.size, &scanner.frame.column[BIDS])
        elif (value := scan_literal(p, b'"asks":')) is not NULL:
            flag = ASKS_KEY
            p = scan_pairs(value, -1, slot.price, slot.size, &scanner.frame.column[ASKS])
        elif header.depth and (value := scan_literal(p, b'"version":')) is not NULL:
            flag = NUMBER
            p = scan_integer(value, &header.last)
        elif header.depth and (value := scan_literal(p, b'"ts":')) is not NULL:
            flag = BOOK_TIME
            p = scan_integer(value, book_ms)
        elif not header.depth and (value := scan_literal(p, b'"seqNum":')) is not NULL:
            flag = NUMBER
            p = scan_integer(value, &header.last)
        elif not header.depth and (value := scan_literal(p, b'"prevSeqNum":')) is not NULL:
            flag = PREVIOUS
            p = scan_integer(value, &header.previous)
        else:
            return NULL
        if p is NULL or seen & flag:
            return NULL
        seen |= flag
        if p[0] == c"}":
            needed = BOOK_KEYS if header.depth else DELTA_KEYS
            return p + 1 if seen & needed == needed else NULL
        if p[0] != c",":
            return NULL


cdef const Slot* read_topic(BookScanner scanner, const char** at, Header* header) noexcept nogil:
    """Read {"ch":"market.<symbol>.<topic>" at `at` and advance `at`; return the slot, or NULL."""
    cdef const char* p = scan_literal(at[0], b'{"ch":"market.')
    cdef const char* end = p
    cdef int64_t levels
    if p is NULL:
        return NULL
    while end[0] != c"." and end[0] != c'"' and end[0] != c"\\" and end - p < MAX_SYMBOL:
        if <unsigned char>end[0] < 0x20 or <unsigned char>end[0] >= 0x80:
            return NULL
        end += 1
    header.slot = scanner.symbols.find(p, end - p)
    if header.slot < 0:
        return NULL
    if (p := scan_literal(end, b'.mbp.')) is not NULL:
        p = scan_integer(p, &levels)
    elif (p := scan_literal(end, b'.depth.step0')) is not NULL:
        header.depth = scanner.most
    if p is NULL or p[0] != c'"':
        return NULL
    at[0] = p + 1
    return &scanner.symbols.slots[header.slot]


cdef class BookScanner(FrameScanner):
    def __cinit__(self, Py_ssize_t most, bint is_numbered):
        self.most = most
        self.is_numbered = is_numbered

    cdef bint read(self, Header* header) noexcept nogil:
        cdef const char* p = self.frame.text
        cdef const char* value
        cdef const Slot* slot = read_topic(self, &p, header)
        cdef int seen = 0, flag
        cdef int64_t sent_ms = 0, book_ms = 0
        if slot is NULL:
            return False
        while p[0] == c",":
            p += 1
            if (value := scan_literal(p, b'"ts":')) is not NULL:
                flag = TIME
                p = scan_integer(value, &sent_ms)
            elif (value := scan_literal(p, b'"tick":')) is not NULL:
                flag = TICK
                p = read_tick(self, value, slot, header, &book_ms)
            else:
                return False
            if p is NULL or seen & flag:
                return False
            seen |= flag
        if p[0] != c"}" or p + 1 != self.frame.text + self.frame.length or seen & WHOLE != WHOLE:
            return False
        if header.depth:
            sent_ms = book_ms
            if not self.is_numbered:
                header.last = 0
        if sent_ms > INT64_MAX // 1000000:
            return False
        header.first = header.last
        header.ts_event_ns = sent_ms * 1000000
        return True
