"""The best bid and ask of one moment, copied from a segment."""

from decimal import Context, Decimal

from ...model.errors import BeyondDepth
from ...model.events import BookState
from ...model.fixed import to_decimal
from ..records import Level

from libc.stdint cimport int64_t

from ..l2 cimport ASKS, BIDS
from .layout cimport VM_BIDS_WHOLE, VM_NONE

cdef int LIVE = int(BookState.LIVE)
cdef tuple STATES = tuple(BookState)  # BookState(i) is STATES[i]
cdef object new_tuple = tuple.__new__
cdef object EXACT = Context(prec=100)  # not the caller's, which may round


cdef class Top:
    """Best bid and ask of one moment, with the book's state then. Raw integers; Decimals are made on request.

    Pass `version` to a wait for the next change. `update` counts publishes of book or state (not trades), so two tops of
    the same incarnation and `replica` with the same `update` are equal. `live` alone answers whether the top may be
    trusted.
    """

    @property
    def live(self):
        return self._state == LIVE

    @property
    def state(self):
        return STATES[self._state]

    @property
    def ts_event_ns(self):
        """The exchange's time of the last frame; None if it states none."""
        return None if self._ts_event == VM_NONE else self._ts_event

    @property
    def ts_recv_ns(self):
        """Our wall-clock time of the last frame; None before the first."""
        return None if self._ts_recv == VM_NONE else self._ts_recv

    @property
    def publish_ns(self):
        """CLOCK_MONOTONIC of the last publish of the book on this node; None before the first."""
        return None if self._published == VM_NONE else self._published

    @property
    def bid_raw(self):
        """(price, size) of the best bid; None when there is none."""
        return (self._bid_price, self._bid_size) if self._has(BIDS) else None

    @property
    def ask_raw(self):
        """(price, size) of the best ask; None when there is none."""
        return (self._ask_price, self._ask_size) if self._has(ASKS) else None

    @property
    def best_bid(self):
        """The best bid, exact; None when there is none. Raises BeyondDepth when nothing of the side is proven."""
        if not self._has(BIDS):
            return None
        return self._level(self._bid_price, self._bid_size)

    @property
    def best_ask(self):
        """The best ask, exact; None when there is none. Raises BeyondDepth when nothing of the side is proven."""
        if not self._has(ASKS):
            return None
        return self._level(self._ask_price, self._ask_size)

    @property
    def mid(self):
        """Half of best bid plus best ask, exact; None when a side is empty."""
        if not (self._has(BIDS) and self._has(ASKS)):
            return None
        return to_decimal(5 * (<object>self._bid_price + <object>self._ask_price), self.price_scale + 1)

    @property
    def spread(self):
        """Best ask minus best bid, exact; None when a side is empty."""
        if not (self._has(BIDS) and self._has(ASKS)):
            return None
        return to_decimal(<object>self._ask_price - <object>self._bid_price, self.price_scale)

    cdef object _level(self, int64_t price, int64_t size):
        # The same as Level(to_decimal(..), to_decimal(..)), without its three Python frames.
        return new_tuple(Level, (
            Decimal(price).scaleb(-self.price_scale, EXACT), Decimal(size).scaleb(-self.size_scale, EXACT)
        ))

    cdef int _has(self, int side) except -1:
        if self._held[side]:
            return 1
        if self.sequence_known and not self._flags & (VM_BIDS_WHOLE << side):
            raise BeyondDepth(self.address, "ask" if side else "bid", 1, 0)
        return 0

    def __reduce__(self):
        return _top, (
            self.address, self.incarnation, self.version, self.update, self.sequence, self.price_scale, self.size_scale,
            self.sequence_known, self._state, self._flags, self._held[0], self._held[1],
            self._ts_event, self._ts_recv, self._published,
            self._bid_price, self._bid_size, self._ask_price, self._ask_size, self.replica,
        )

    def __repr__(self):
        def side(raw):
            return "-" if raw is None else (
                f"{to_decimal(raw[1], self.size_scale)} @ {to_decimal(raw[0], self.price_scale)}"
            )

        bid = side((self._bid_price, self._bid_size) if self._held[0] else None)
        ask = side((self._ask_price, self._ask_size) if self._held[1] else None)
        return f"<Top {self.address} {self.state.name} bid {bid} ask {ask} sequence {self.sequence}>"


def _top(address, incarnation, version, update, sequence, price_scale, size_scale, known, state, flags, bids, asks,
         event, recv, published, bid_price, bid_size, ask_price, ask_size, replica=False):
    cdef Top top = Top.__new__(Top)
    top.address, top.incarnation = address, incarnation
    top.version, top.update, top.sequence = version, update, sequence
    top.price_scale, top.size_scale, top.sequence_known = price_scale, size_scale, known
    top._state, top._flags = state, flags
    top._held[0], top._held[1] = bids, asks
    top._ts_event, top._ts_recv, top._published = event, recv, published
    top._bid_price, top._bid_size, top._ask_price, top._ask_size = bid_price, bid_size, ask_price, ask_size
    top.replica = replica
    return top


def empty_top(address, price_scale, size_scale, state=BookState.ABSENT, incarnation=(0, 0)):
    """Return a top with the state only: for a book without a segment, or without a consistent copy."""
    return _top(address, incarnation, 0, 0, 0, price_scale, size_scale, False, int(state), 0, 0, 0,
                VM_NONE, VM_NONE, VM_NONE, 0, 0, 0, 0)
