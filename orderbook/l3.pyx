"""The L3 book of one instrument. l3.pyi has the Python signatures, l3.pxd the C declarations, orders.h the structures."""

from ..model.errors import BookError
from ..model.events import Side
from .records import ADD, CHANGE, IF_RESTING, MATCH, REMOVE, REPLACE, L3Order, QueuePlace

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeASCII
from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memset

from .l2 cimport ASKS, BIDS, Half, OrderBook, new_rows, side_index


cdef extern from "levels.h":
    ctypedef struct Delta:
        pass
    Py_ssize_t half_find(const Half* half, int64_t key) nogil
    Py_ssize_t sort_deltas(int64_t* key, int64_t* size, Py_ssize_t n, Delta* room) nogil


cdef extern from "orders.h":
    Py_ssize_t id_unpack(const OrderId* id, char* text) nogil
    void orders_free(Orders* book) nogil
    size_t orders_bytes(const Orders* book) nogil
    int32_t find_order(const Orders* book, const OrderId* id) nogil
    int32_t find_level(const Orders* book, int64_t key, int side) nogil
    int reserve_one(Orders* book) nogil
    int overflows(const Orders* book, int64_t key, int side, int64_t more) nogil
    void enter_order(Orders* book, const OrderId* id, int64_t key, int side, int64_t size, int64_t time_ns) nogil
    void remove_order(Orders* book, int32_t i) nogil
    void resize_order(Orders* book, int32_t i, int64_t size) nogil
    void move_order(Orders* book, int32_t i, int64_t key, int64_t size, int64_t time_ns) nogil
    void settle(Orders* book) nogil


cdef int _IF_RESTING = IF_RESTING
cdef int _ADD = ADD, _CHANGE = CHANGE, _MATCH = MATCH, _REPLACE = REPLACE, _REMOVE = REMOVE
cdef object BUY = Side.BUY
cdef object SELL = Side.SELL


cdef int read_id(object text, OrderId* id) except -1:
    cdef Py_ssize_t n
    cdef const char* bytes_of
    if not isinstance(text, str):
        raise BookError(f"an order id is text, not {type(text).__name__}")
    bytes_of = PyUnicode_AsUTF8AndSize(text, &n)
    if bytes_of is NULL or id_pack(bytes_of, n, id) != 0:
        raise BookError(f"order id {text[:50]!r} is neither a UUID nor 1 to 24 printable ASCII characters")
    return 0


cdef object text_of(const OrderId* id):
    cdef char text[40]
    return PyUnicode_DecodeASCII(text, id_unpack(id, text), NULL)


cdef inline int64_t price_of(const Level* level) noexcept nogil:
    return level.key if level.side == BIDS else -level.key


cdef object order_of(Orders* orders, int32_t i):
    cdef Order* order = &orders.order[i]
    cdef Level* level = &orders.level[order.level]
    side = BUY if level.side == BIDS else SELL
    return L3Order(text_of(&order.id), side, price_of(level), order.size, order.time_ns)


cdef class Keys:
    """Keys and sizes of the levels of both sides, best first."""

    cdef int64_t* block
    cdef const int64_t* key[2]
    cdef const int64_t* size[2]
    cdef Py_ssize_t n[2]

    def __dealloc__(self):
        PyMem_Free(self.block)


cdef Keys keys_of(const Orders* orders, bint changed_only, bint resized=True):
    """Copy the changed levels, those without orders as size 0; or all levels with orders.

    Without `resized`, the levels that the aggregated book has, and keeps, are left out.
    """
    cdef Keys keys = Keys.__new__(Keys)
    cdef Py_ssize_t count = orders.n_changed if changed_only else orders.level_top
    cdef Py_ssize_t made[2]
    cdef Py_ssize_t i
    cdef int side
    cdef int64_t* room
    cdef const Level* level
    cdef int64_t* at
    keys.block = <int64_t*>PyMem_Malloc(<size_t>(count + 1) * (4 * sizeof(int64_t) + 3 * sizeof(int64_t)))
    if keys.block is NULL:
        raise BookError(f"no memory for {count} levels")
    made[BIDS] = made[ASKS] = 0
    for i in range(count):
        level = &orders.level[orders.changed[i] if changed_only else i]
        if not changed_only and level.count == 0:
            continue  # free, or changed to nothing
        if not resized and level.held and level.count:
            continue
        at = keys.block + 2 * level.side * count
        at[made[level.side]] = level.key
        at[count + made[level.side]] = level.size
        made[level.side] += 1
    room = keys.block + 4 * count
    for side in range(2):
        at = keys.block + 2 * side * count
        keys.n[side] = sort_deltas(at, at + count, made[side], <Delta*>room) if made[side] > 1 else made[side]
        keys.key[side] = at
        keys.size[side] = at + count
    return keys


cdef object rows_from(const int64_t* key, const int64_t* size, Py_ssize_t n, int side):
    cdef int64_t sign = 1 if side == BIDS else -1
    cdef Py_buffer view
    cdef int64_t* row
    cdef Py_ssize_t i
    array = new_rows(n)
    PyObject_GetBuffer(array, &view, PyBUF_WRITABLE)
    row = <int64_t*>view.buf
    for i in range(n):
        row[2 * i] = sign * key[i]
        row[2 * i + 1] = size[i]
    PyBuffer_Release(&view)
    return array


cdef int check_order(int64_t price, int64_t size) except -1:
    if price <= 0:
        raise BookError(f"order price {price} is not positive")
    if size <= 0:
        raise BookError(f"order size {size} is not positive")
    return 0


cdef class L3Book:
    def __cinit__(self, int price_scale, int size_scale, Py_ssize_t max_orders=1 << 22, Py_ssize_t window=0):
        memset(&self.orders, 0, sizeof(self.orders))
        if not 1 <= max_orders <= 1 << 30:
            raise ValueError(f"max_orders must be 1 to {1 << 30}, not {max_orders}")
        self.max_orders = max_orders
        self.book = OrderBook(price_scale, size_scale, window=window)

    def __dealloc__(self):
        orders_free(&self.orders)

    def __reduce__(self):
        raise TypeError("an L3Book does not pickle: send its orders")

    # C face

    cdef int add_order(
        self, const OrderId* id, int side, int64_t price, int64_t size, int64_t time_ns
    ) except -1:
        cdef int64_t key = price if side == BIDS else -price
        check_order(price, size)
        if find_order(&self.orders, id) != NOWHERE:
            raise BookError(f"order {text_of(id)} is in the book already")
        if self.orders.orders >= self.max_orders:
            raise BookError(f"more than {self.max_orders} orders")
        if overflows(&self.orders, key, side, size):
            raise BookError(f"the sizes at price {price} are more than int64 holds")
        if reserve_one(&self.orders) != 0:
            raise BookError("no memory for another order")
        enter_order(&self.orders, id, key, side, size, time_ns)
        return 0

    cdef int resize(self, const OrderId* id, int64_t size) except -1:
        cdef int32_t i = self.known(id)
        cdef Level* level = &self.orders.level[self.orders.order[i].level]
        if size < 0:
            raise BookError(f"order {text_of(id)} has a negative size {size}")
        if size > self.orders.order[i].size and level.size > INT64_MAX - size:
            raise BookError(f"the sizes at price {price_of(level)} are more than int64 holds")
        if size == 0:
            remove_order(&self.orders, i)
        else:
            resize_order(&self.orders, i, size)
        return 0

    cdef int reduce(self, const OrderId* id, int64_t by) except -1:
        cdef int32_t i = self.known(id)
        cdef int64_t left = self.orders.order[i].size - by
        if by <= 0 or left < 0:
            raise BookError(f"order {text_of(id)} of size {self.orders.order[i].size} cannot be reduced by {by}")
        return self.resize(id, left)

    cdef int move(self, const OrderId* id, int64_t price, int64_t size, int64_t time_ns) except -1:
        cdef int32_t i = self.known(id)
        cdef int side = self.orders.level[self.orders.order[i].level].side
        cdef int64_t key = price if side == BIDS else -price
        check_order(price, size)
        if overflows(&self.orders, key, side, size):
            raise BookError(f"the sizes at price {price} are more than int64 holds")
        if reserve_one(&self.orders) != 0:
            raise BookError("no memory for another level")
        move_order(&self.orders, i, key, size, time_ns)
        return 0

    cdef bint drop(self, const OrderId* id) noexcept:
        cdef int32_t i = find_order(&self.orders, id)
        if i == NOWHERE:
            return False
        remove_order(&self.orders, i)
        return True

    cdef int commit_levels(self, int64_t sequence) except -1:
        cdef Keys keys
        if self.orders.n_changed:
            keys = keys_of(&self.orders, True, resized=False)
            if keys.n[BIDS] or keys.n[ASKS]:
                self.book.apply_keys(keys.key, keys.size, keys.n, sequence)
            self.resize_levels()
            settle(&self.orders)
            if self.book.window:
                self.drop_beyond()
        self.book.sequence = sequence
        return 0

    cdef void resize_levels(self) noexcept:
        """Set the sizes of the changed levels that the aggregated book has and keeps: no level moves for that."""
        cdef const Level* level
        cdef Half* half
        cdef Py_ssize_t at
        cdef int32_t i
        for i in range(self.orders.n_changed):
            level = &self.orders.level[self.orders.changed[i]]
            if level.held and level.count:
                half = &self.book.half[level.side]
                at = half_find(half, level.key)
                if at < half.n and half.key[at] == level.key:  # otherwise the window has just left it out
                    half.size[at] = level.size

    cdef int32_t known(self, const OrderId* id) except -1:
        cdef int32_t i = find_order(&self.orders, id)
        if i == NOWHERE:
            raise BookError(f"order {text_of(id)} is not in the book")
        return i

    cdef void drop_beyond(self) noexcept:
        """Forget the orders of the levels that the window of the aggregated book left out."""
        cdef Half* half
        cdef Level* level
        cdef int32_t at
        if self.orders.levels == self.book.half[BIDS].n + self.book.half[ASKS].n:
            return
        for at in range(self.orders.level_top):
            level = &self.orders.level[at]
            half = &self.book.half[level.side]
            if level.count and half.n and level.key < half.key[0]:
                while level.count:
                    remove_order(&self.orders, level.head)
        settle(&self.orders)

    # Python face

    @property
    def sequence(self):
        return self.book.sequence

    @property
    def n_orders(self):
        return self.orders.orders

    @property
    def memory_bytes(self):
        return orders_bytes(&self.orders) + <size_t>type(self).__basicsize__ + <size_t>self.book.memory_bytes

    def clear(self):
        orders_free(&self.orders)
        self.book.clear()

    def load(self, bids, asks, int64_t sequence, bint bids_complete=True, bint asks_complete=True):
        cdef L3Book fresh = L3Book(self.book.price_scale, self.book.size_scale, self.max_orders)
        cdef Keys keys
        cdef Orders old
        for side, rows in ((BUY, bids), (SELL, asks)):
            for row in rows:
                fresh.add(side, *row)
        keys = keys_of(&fresh.orders, False)
        self.book.load_keys(keys.key, keys.size, keys.n, sequence, bids_complete, asks_complete)
        settle(&fresh.orders)
        old = self.orders
        self.orders = fresh.orders
        fresh.orders = old
        if self.book.window:
            self.drop_beyond()

    def add(self, side, id, int64_t price, int64_t size, int64_t time_ns=0):
        cdef OrderId packed
        read_id(id, &packed)
        self.add_order(&packed, side_index(side), price, size, time_ns)

    def change(self, id, int64_t size):
        cdef OrderId packed
        read_id(id, &packed)
        self.resize(&packed, size)

    def match(self, id, int64_t size):
        cdef OrderId packed
        read_id(id, &packed)
        self.reduce(&packed, size)

    def replace(self, id, int64_t price, int64_t size, int64_t time_ns=0):
        cdef OrderId packed
        read_id(id, &packed)
        self.move(&packed, price, size, time_ns)

    def remove(self, id):
        cdef OrderId packed
        read_id(id, &packed)
        return self.drop(&packed)

    def apply(self, events):
        cdef OrderId packed
        cdef tuple event
        cdef int kind
        cdef Py_ssize_t n
        for event in events:
            n = len(event)
            kind = event[0] if n > 1 else -1
            if kind > _IF_RESTING and kind != _IF_RESTING + _REMOVE:
                kind -= _IF_RESTING
                read_id(event[1], &packed)
                if find_order(&self.orders, &packed) == NOWHERE:
                    continue
            if kind == _ADD and (n == 5 or n == 6):
                read_id(event[1], &packed)
                self.add_order(&packed, side_index(event[2]), event[3], event[4], event[5] if n == 6 else 0)
            elif kind == _REMOVE and n == 2:
                read_id(event[1], &packed)
                self.drop(&packed)
            elif kind == _MATCH and n == 3:
                read_id(event[1], &packed)
                self.reduce(&packed, event[2])
            elif kind == _CHANGE and n == 3:
                read_id(event[1], &packed)
                self.resize(&packed, event[2])
            elif kind == _REPLACE and (n == 4 or n == 5):
                read_id(event[1], &packed)
                self.move(&packed, event[2], event[3], event[4] if n == 5 else 0)
            else:
                raise BookError(f"{event!r:.100} is no event of an order")

    def changes(self):
        cdef Keys keys = keys_of(&self.orders, True)
        return (
            rows_from(keys.key[BIDS], keys.size[BIDS], keys.n[BIDS], BIDS),
            rows_from(keys.key[ASKS], keys.size[ASKS], keys.n[ASKS], ASKS),
        )

    def commit(self, int64_t sequence):
        self.commit_levels(sequence)

    def order(self, id):
        cdef OrderId packed
        cdef int32_t i
        read_id(id, &packed)
        i = find_order(&self.orders, &packed)
        return None if i == NOWHERE else order_of(&self.orders, i)

    def place(self, id):
        cdef OrderId packed
        cdef int32_t i, before
        cdef int64_t size = 0
        cdef Py_ssize_t count = 0
        read_id(id, &packed)
        i = find_order(&self.orders, &packed)
        if i == NOWHERE:
            return None
        before = self.orders.order[i].prev
        while before != NOWHERE:
            size += self.orders.order[before].size
            count += 1
            before = self.orders.order[before].prev
        return QueuePlace(count, size)

    def queue(self, side, int64_t price):
        cdef int index = side_index(side)
        cdef int32_t at = find_level(&self.orders, price if index == BIDS else -price, index)
        cdef int32_t i = NOWHERE if at == NOWHERE else self.orders.level[at].head
        found = []
        while i != NOWHERE:
            found.append(order_of(&self.orders, i))
            i = self.orders.order[i].next
        return found

    def rows(self, side, levels=None):
        """See l3.pyi. The levels are those of the last commit; all orders in them now are returned."""
        import numpy as np

        cdef int index = side_index(side)
        cdef Half* half = &self.book.half[index]
        cdef Py_ssize_t wanted = half.n, number, count = 0, row = 0
        cdef int32_t at, i
        cdef int64_t[:, ::1] out
        if levels is not None:
            if levels < 0:
                raise ValueError(f"levels must not be negative: {levels}")
            wanted = min(wanted, <Py_ssize_t>levels)
        for number in range(wanted):
            at = find_level(&self.orders, half.key[half.n - 1 - number], index)
            count += 0 if at == NOWHERE else self.orders.level[at].count
        array = np.empty((count, 3), np.int64)
        ids = []
        out = array
        for number in range(wanted):
            at = find_level(&self.orders, half.key[half.n - 1 - number], index)
            i = NOWHERE if at == NOWHERE else self.orders.level[at].head
            while i != NOWHERE:
                ids.append(text_of(&self.orders.order[i].id))
                out[row, 0] = price_of(&self.orders.level[at])
                out[row, 1] = self.orders.order[i].size
                out[row, 2] = self.orders.order[i].time_ns
                row += 1
                i = self.orders.order[i].next
        return ids, array
