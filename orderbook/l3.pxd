"""C declarations of the order-level book, for scanners. Bodies: l3.pyx; Python signatures: l3.pyi."""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint64_t

from .l2 cimport OrderBook


cdef extern from "orders.h":
    const int32_t NOWHERE
    ctypedef struct OrderId:
        uint64_t word[3]
    ctypedef struct Order:
        OrderId id
        int64_t size
        int64_t time_ns
        int32_t next, prev, level
    ctypedef struct Level:
        int64_t key
        int64_t size
        int32_t head, tail, count
        int16_t side
        int8_t changed, held
    ctypedef struct Orders:
        Order* order
        int32_t orders
        Level* level
        int32_t levels, level_top
        int32_t* changed
        int32_t n_changed
    int id_pack(const char* text, Py_ssize_t n, OrderId* id) nogil


cdef class L3Book:
    cdef Orders orders
    cdef readonly OrderBook book  # the levels, as of the last commit
    cdef readonly Py_ssize_t max_orders
    # Each changes the orders in full or raises BookError with nothing changed. `side` is BIDS or ASKS, prices are true.
    cdef int add_order(
        self, const OrderId* id, int side, int64_t price, int64_t size, int64_t time_ns
    ) except -1
    cdef int resize(self, const OrderId* id, int64_t size) except -1
    cdef int reduce(self, const OrderId* id, int64_t by) except -1
    cdef int move(self, const OrderId* id, int64_t price, int64_t size, int64_t time_ns) except -1
    cdef bint drop(self, const OrderId* id) noexcept  # False: there is no such order
    cdef int commit_levels(self, int64_t sequence) except -1
    cdef int32_t known(self, const OrderId* id) except -1
    cdef void drop_beyond(self) noexcept
    cdef void resize_levels(self) noexcept
