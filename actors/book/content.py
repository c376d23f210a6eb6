"""How the books of a session take what a codec reads: levels into an `OrderBook`, orders into an `L3Book`.

An order-level book has its levels in an `OrderBook` too, which segments publish, so all else is the same for both. A
codec that reads levels for an order-level book, or orders for a book of levels, is wrong: that ends the actor.
"""

from __future__ import annotations

from collections.abc import Callable

from ...connectors.market_codec import ChecksummedBooks, ChecksummedOrders, Codec
from ...connectors.spec import BookFeed
from ...model.events import Delta, DepthDelta, DepthSnapshot, WholeBook
from ...model.instrument import Instrument
from ...orderbook.l2 import OrderBook
from ...orderbook.l3 import L3Book

Checksum = Callable[[Instrument, OrderBook, L3Book | None], int]


def make_books(feed: BookFeed, instrument: Instrument) -> tuple[OrderBook, L3Book | None]:
    """Return an empty book of levels and, if the feed is `by_order`, the order-level book that it belongs to."""
    window = feed.window or 0
    if not feed.by_order:
        return OrderBook(instrument.price_scale, instrument.size_scale, window=window), None
    orders = L3Book(instrument.price_scale, instrument.size_scale, window=window)
    return orders.book, orders


def loader(book: OrderBook, orders: L3Book | None, read: WholeBook) -> Callable[[], None]:
    """Return the function that loads a whole book. It raises BookError; then the book is as before."""
    if isinstance(read, DepthSnapshot):
        if orders is not None:
            raise AssertionError(f"{read.symbol} has an order-level book, and its codec reads levels")
        return lambda: book.load(read.bids, read.asks, read.sequence, read.bids_complete, read.asks_complete)
    if orders is None:
        raise AssertionError(f"{read.symbol} has a book of levels, and its codec reads orders")
    return lambda: orders.load(read.bids, read.asks, read.sequence, read.bids_complete, read.asks_complete)


def apply(book: OrderBook, orders: L3Book | None, delta: Delta, sequence: int) -> None:
    """Apply a delta. Raises BookError; an order-level book may then have some of the orders' changes, its levels have
    none."""
    if isinstance(delta, DepthDelta):
        if orders is not None:
            raise AssertionError(f"{delta.symbol} has an order-level book, and its codec reads levels")
        book.apply(delta.bids, delta.asks, sequence)
        return
    if orders is None:
        raise AssertionError(f"{delta.symbol} has a book of levels, and its codec reads orders")
    orders.apply(delta.changes)
    orders.commit(sequence)


def checksum_by(codec: Codec) -> Checksum | None:
    """Return how the codec computes the checksum of a book; None: its exchange has none. It raises BookError."""
    if isinstance(codec, ChecksummedOrders):
        by_order = codec.order_checksum

        def checksum(instrument: Instrument, book: OrderBook, orders: L3Book | None) -> int:
            if orders is None:
                raise AssertionError(f"{instrument.name} has a book of levels, and its codec reads orders")
            return by_order(instrument, orders)

        return checksum
    if isinstance(codec, ChecksummedBooks):
        by_level = codec.checksum
        return lambda instrument, book, orders: by_level(instrument, book)
    return None
