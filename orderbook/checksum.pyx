"""Checksums of the best levels of a book, computed from its integers. Python signatures are in checksum.pyi."""

from ..model.errors import BookError

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memset

from .l2 cimport ASKS, BIDS, OrderBook, wide
from .l3 cimport NOWHERE, L3Book, Orders


cdef extern from "crc32.h":
    void crc32_prepare() nogil
    int crc32_can_fold() nogil
    uint32_t crc32_text(const char* text, Py_ssize_t n, int fold) nogil
    ctypedef struct Written:
        pass
    const int WRITTEN
    char* write_level(char* out, int64_t price, int64_t size, Written* known) nogil

cdef extern from "orders.h":
    int32_t find_level(const Orders* book, int64_t key, int side) nogil


cdef enum:
    ROOM = 128  # levels a side
    LEVEL = 44  # bytes that writing one level may touch

MAX_LEVELS = ROOM

crc32_prepare()
cdef Written written[WRITTEN]  # for all books of the process: used only while the GIL is held
memset(written, 0, sizeof(written))
cdef int can_fold = crc32_can_fold()


cdef int64_t unit_of(int scale, int decimals) except -1:
    cdef int64_t unit = 1
    if not 0 <= decimals <= scale:
        raise ValueError(f"decimals must be 0 to {scale}, not {decimals}")
    for _ in range(scale - decimals):
        unit *= 10
    return unit


cdef Py_ssize_t write_best(
    OrderBook book, Py_ssize_t levels, int64_t price_unit, int64_t size_unit, char* text
) except -1:
    """Write the digits of both sides; return the number of bytes."""
    cdef char* at = text
    cdef Py_ssize_t i, last
    cdef int64_t price, size
    cdef int side
    if not 1 <= levels <= ROOM:
        raise ValueError(f"levels must be 1 to {ROOM}, not {levels}")
    for side in (ASKS, BIDS):
        last = book.half[side].n - 1
        for i in range(min(levels, book.half[side].n)):
            price = book.half[side].key[last - i]
            if side == ASKS:
                price = -price
            size = book.half[side].size[last - i]
            if price_unit != 1 or size_unit != 1:
                if price % price_unit or size % size_unit:
                    raise BookError(f"level {price}, {size} has more decimals than the exchange writes")
                price //= price_unit
                size //= size_unit
            at = write_level(at, price, size, written)
    return at - text


cdef int64_t digits_crc32(OrderBook book, Py_ssize_t levels, int64_t price_unit, int64_t size_unit) except -1:
    cdef char text[2 * ROOM * LEVEL]
    return crc32_text(text, write_best(book, levels, price_unit, size_unit, text), wide and can_fold)


def crc32(OrderBook book not None, Py_ssize_t levels, int price_decimals, int size_decimals):
    return digits_crc32(
        book, levels, unit_of(book.price_scale, price_decimals), unit_of(book.size_scale, size_decimals)
    )


def digits(OrderBook book not None, Py_ssize_t levels, int price_decimals, int size_decimals):
    cdef char text[2 * ROOM * LEVEL]
    cdef Py_ssize_t n = write_best(
        book, levels, unit_of(book.price_scale, price_decimals), unit_of(book.size_scale, size_decimals), text
    )
    return text[:n]


cdef char* write_queue(
    Orders* orders, int32_t level, int64_t price, int64_t price_unit, int64_t size_unit, char* at
) except NULL:
    """Write the digits of each order of a level, in the order of its queue; return the end."""
    cdef int32_t i = orders.level[level].head
    cdef int64_t size
    while i != NOWHERE:
        size = orders.order[i].size
        if price % price_unit or size % size_unit:
            raise BookError(f"order at {price} of {size} has more decimals than the exchange writes")
        at = write_level(at, price // price_unit, size // size_unit, written)
        i = orders.order[i].next
    return at


def orders_digits(L3Book book not None, Py_ssize_t levels, int price_decimals, int size_decimals):
    cdef OrderBook l2 = book.book
    cdef int64_t price_unit = unit_of(l2.price_scale, price_decimals)
    cdef int64_t size_unit = unit_of(l2.size_scale, size_decimals)
    cdef int32_t found[2 * ROOM]
    cdef int64_t price[2 * ROOM]
    cdef Py_ssize_t i, last, n = 0, count = 0
    cdef char* text
    cdef char* at
    cdef int side
    if not 1 <= levels <= ROOM:
        raise ValueError(f"levels must be 1 to {ROOM}, not {levels}")
    if book.orders.n_changed:
        raise BookError("orders have changed since the last commit")
    for side in (ASKS, BIDS):
        last = l2.half[side].n - 1
        for i in range(min(levels, l2.half[side].n)):
            found[n] = find_level(&book.orders, l2.half[side].key[last - i], side)
            price[n] = l2.half[side].key[last - i] if side == BIDS else -l2.half[side].key[last - i]
            count += book.orders.level[found[n]].count
            n += 1
    text = <char*>PyMem_Malloc(<size_t>(count + 1) * LEVEL)
    if text is NULL:
        raise BookError(f"no memory for the digits of {count} orders")
    try:
        at = text
        for i in range(n):
            at = write_queue(&book.orders, found[i], price[i], price_unit, size_unit, at)
        return text[:at - text]
    finally:
        PyMem_Free(text)


def orders_crc32(L3Book book not None, Py_ssize_t levels, int price_decimals, int size_decimals):
    cdef bytes text = orders_digits(book, levels, price_decimals, size_decimals)
    return crc32_text(text, len(text), wide and can_fold)
