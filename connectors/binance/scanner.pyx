"""Reads Binance's depth frames and snapshots from bytes into fixed-point levels. scanner.pyi lists accepted forms.

Source: binance/binance-spot-api-docs, web-socket-streams.md (Diff. Depth Stream) and rest-api.md (Order book), read
2026-11-22.
"""

from ...model.errors import BookError

from libc.stdint cimport INT64_MAX, int64_t

from ...orderbook.frame cimport (
    Frame,
    FrameScanner,
    Header,
    Scale,
    Slot,
    scale_of,
    scan_integer,
    scan_levels,
    scan_literal,
    scan_string,
    scan_symbol,
    skip_levels,
)
from ...orderbook.l2 cimport ASKS, BIDS, OrderBook


cdef enum:  # the keys found
    EVENT = 1
    TIME = 2
    SYMBOL = 4
    FIRST = 8
    LAST = 16
    BIDS_KEY = 32
    ASKS_KEY = 64
    WHOLE_EVENT = 127
    WHOLE_SNAPSHOT = LAST | BIDS_KEY | ASKS_KEY


cdef const char* read_event(DepthScanner scanner, const char* p, Header* header) noexcept nogil:
    """Read the object of a depthUpdate whose brace is at p; return the position behind it, or NULL."""
    cdef int seen = 0, flag, side
    cdef int64_t ts_ms = 0
    cdef const char* end
    cdef const char* waiting[2]  # level lists before the symbol
    cdef char name
    cdef Slot* slot
    cdef Scale price = scale_of(0), size = price
    waiting[0] = waiting[1] = NULL
    if p[0] != c"{":
        return NULL
    while True:
        if p[1] != c'"' or p[2] == 0 or p[3] != c'"' or p[4] != c":":
            return NULL
        name = p[2]
        p += 5
        if name == c"b" or name == c"a":
            side = BIDS if name == c"b" else ASKS
            flag = BIDS_KEY if name == c"b" else ASKS_KEY
            if seen & SYMBOL:
                p = scan_levels(p, side, price, size, &scanner.frame.column[side])
            else:
                waiting[side] = p
                p = skip_levels(p)
        elif name == c"U":
            flag = FIRST
            p = scan_integer(p, &header.first)
        elif name == c"u":
            flag = LAST
            p = scan_integer(p, &header.last)
        elif name == c"E":
            flag = TIME
            p = scan_integer(p, &ts_ms)
        elif name == c"s":
            flag = SYMBOL
            p = scan_symbol(p, scanner.symbols, &header.slot)
            if p is NULL:
                return NULL
            slot = &scanner.symbols.slots[header.slot]
            price = slot.price
            size = slot.size
        elif name == c"e":
            flag = EVENT
            p = scan_literal(p, b'"depthUpdate"')
        else:
            return NULL
        if p is NULL or seen & flag:
            return NULL
        seen |= flag
        if p[0] == c"}":
            break
        if p[0] != c",":
            return NULL
    if seen != WHOLE_EVENT or header.first > header.last or ts_ms > INT64_MAX // 1000000:
        return NULL
    header.ts_event_ns = ts_ms * 1000000
    for side in range(2):
        if waiting[side] is not NULL:
            end = scan_levels(waiting[side], side, price, size, &scanner.frame.column[side])
            if end is NULL or end != skip_levels(waiting[side]):
                return NULL
    return p + 1


cdef class DepthScanner(FrameScanner):
    cdef bint read(self, Header* header) noexcept nogil:
        """Read a bare event or {"stream":...,"data":{...}}, in either order, to the last byte."""
        cdef const char* start = self.frame.text
        cdef const char* end = start + self.frame.length
        cdef const char* p = start
        if p[0] != c"{":
            return False
        if p[2] != c"s" and p[2] != c"d" or p[3] == c'"':
            return read_event(self, p, header) == end
        p = scan_literal(start, b'{"stream":')
        if p is not NULL:
            p = scan_string(p)
            if p is not NULL:
                p = scan_literal(p, b',"data":')
            if p is not NULL:
                p = read_event(self, p, header)
            return p is not NULL and p[0] == c"}" and p + 1 == end
        p = scan_literal(start, b'{"data":')
        if p is not NULL:
            p = read_event(self, p, header)
            if p is not NULL:
                p = scan_literal(p, b',"stream":')
            if p is not NULL:
                p = scan_string(p)
            return p is not NULL and p[0] == c"}" and p + 1 == end
        return False


cdef const char* read_snapshot(
    Frame frame, const char* p, Scale price, Scale size, int64_t* sequence
) noexcept nogil:
    """Read the object of a snapshot whose brace is at p; return the position behind it, or NULL."""
    cdef const char* key
    cdef const char* value
    cdef int seen = 0, flag
    if p[0] != c"{":
        return NULL
    while True:
        key = p + 1
        value = scan_literal(key, b'"lastUpdateId":')
        if value is not NULL:
            flag = LAST
            p = scan_integer(value, sequence)
        else:
            value = scan_literal(key, b'"bids":')
            if value is not NULL:
                flag = BIDS_KEY
                p = scan_levels(value, BIDS, price, size, &frame.column[BIDS])
            else:
                value = scan_literal(key, b'"asks":')
                if value is NULL:
                    return NULL
                flag = ASKS_KEY
                p = scan_levels(value, ASKS, price, size, &frame.column[ASKS])
        if p is NULL or seen & flag:
            return NULL
        seen |= flag
        if p[0] == c"}":
            return p + 1 if seen == WHOLE_SNAPSHOT else NULL
        if p[0] != c",":
            return NULL


cdef class SnapshotScanner:
    def __cinit__(self):
        self.frame = Frame()

    def scan(self, body, int price_scale, int size_scale):
        cdef int64_t sequence = 0
        if not 0 <= price_scale <= 18 or not 0 <= size_scale <= 18:
            raise ValueError(f"scales must be 0 to 18, not {price_scale} and {size_scale}")
        self.ready = False
        if not self.frame.take(body):
            return False
        if read_snapshot(
            self.frame, self.frame.text, scale_of(price_scale), scale_of(size_scale), &sequence
        ) != self.frame.text + self.frame.length:
            return False
        self.sequence = sequence
        self.price_scale = price_scale
        self.size_scale = size_scale
        self.ready = True
        return True

    def levels(self):
        if not self.ready:
            raise BookError("no snapshot was recognised")
        return self.frame.levels()

    def load(self, OrderBook book not None, Py_ssize_t limit):
        if not self.ready:
            raise BookError("no snapshot was recognised to load")
        if book.price_scale != self.price_scale or book.size_scale != self.size_scale:
            raise BookError(f"snapshot scanned at scales {self.price_scale}, {self.size_scale}")
        self.frame.load(book, self.sequence, limit)
