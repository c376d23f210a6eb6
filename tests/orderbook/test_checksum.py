"""The checksum computed in C equals zlib's of the same text written in Python."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.effort import EFFORT
from venuemesh.model.errors import BookError
from venuemesh.model.events import Side
from venuemesh.model.fixed import to_text
from venuemesh.orderbook.checksum import MAX_LEVELS, crc32, digits, orders_crc32, orders_digits
from venuemesh.orderbook.l2 import OrderBook, use_wide
from venuemesh.orderbook.l3 import L3Book


def slowly(book: OrderBook, levels: int, price_decimals: int, size_decimals: int) -> bytes:
    """Return the exchange's text: numbers with their decimals, without dot and leading zeros."""
    out = ""
    for side in (Side.SELL, Side.BUY):
        for price, size in book.levels(side, levels).tolist():
            for raw, scale, decimals in (
                (price, book.price_scale, price_decimals),
                (size, book.size_scale, size_decimals),
            ):
                assert raw % 10 ** (scale - decimals) == 0
                text = to_text(raw // 10 ** (scale - decimals), decimals)
                out += text.replace(".", "").lstrip("0")
    return out.encode()


LEVEL = st.tuples(st.integers(1, 10**9), st.integers(1, 2**40))


@settings(max_examples=int(200 * EFFORT), deadline=None)
@given(
    st.lists(LEVEL, max_size=30, unique_by=lambda row: row[0]),
    st.lists(LEVEL, max_size=30, unique_by=lambda row: row[0]),
    st.integers(1, 30),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_agrees_with_zlib_on_the_same_text(bids, asks, levels, coarser_price, coarser_size):
    """Books at finer scales than the exchange's numbers have the same checksum."""
    book = OrderBook(5 + coarser_price, 4 + coarser_size)
    units = np.array([10**coarser_price, 10**coarser_size], np.int64)
    below = np.array(sorted(bids, reverse=True), np.int64).reshape(-1, 2) * units
    above = np.array(sorted(asks), np.int64).reshape(-1, 2) * units
    if len(above):
        above[:, 0] += 2 * 10**9 * units[0]
    book.load(below, above, 1)
    text = slowly(book, levels, 5, 4)
    assert digits(book, levels, 5, 4) == text
    for wide in (False, None):
        use_wide(wide)
        assert crc32(book, levels, 5, 4) == zlib.crc32(text)


def test_the_longest_numbers_fit():
    book = OrderBook(0, 0)
    top = 2**63 - 1
    rows = np.array([[top - n, top] for n in range(MAX_LEVELS)], np.int64)
    book.load(rows, np.empty((0, 2), np.int64), 1)
    assert crc32(book, MAX_LEVELS, 0, 0) == zlib.crc32(slowly(book, MAX_LEVELS, 0, 0))


def test_an_empty_book_is_the_crc_of_nothing():
    assert crc32(OrderBook(1, 1), 10, 1, 1) == 0


def test_what_the_exchange_cannot_have_written_is_refused():
    book = OrderBook(3, 3)
    book.load(np.array([[1_001, 5_000]], np.int64), np.empty((0, 2), np.int64), 1)
    with pytest.raises(BookError, match="more decimals"):
        crc32(book, 10, 2, 3)
    for levels, decimals in ((0, 3), (MAX_LEVELS + 1, 3), (10, 4), (10, -1)):
        with pytest.raises(ValueError, match="must be"):
            crc32(book, levels, decimals, 3)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 10**12)), max_size=40),
    st.lists(st.tuples(st.integers(10, 19), st.integers(1, 10**12)), max_size=40),
    st.integers(1, 12),
)
def test_orders_are_written_level_by_level_in_their_queues(below, above, levels):
    book = L3Book(5, 4)
    text = b""
    for side, rows, best in ((Side.SELL, above, 1), (Side.BUY, below, -1)):
        for number, (price, size) in enumerate(rows):
            book.add(side, f"{side.value}{number}", price * 10, size * 100)
        prices = sorted({price for price, _ in rows}, key=lambda price: best * price)[:levels]
        for wanted in prices:
            text += b"".join(b"%d%d" % (price, size) for price, size in rows if price == wanted)
    book.commit(1)
    assert orders_digits(book, levels, 4, 2) == text
    for wide in (False, None):
        use_wide(wide)
        assert orders_crc32(book, levels, 4, 2) == zlib.crc32(text)


def test_orders_that_the_exchange_cannot_have_written_are_refused():
    book = L3Book(3, 3)
    book.add(Side.BUY, "a", 1_001, 5_000)
    book.commit(1)
    with pytest.raises(BookError, match="more decimals"):
        orders_crc32(book, 10, 2, 3)
    with pytest.raises(ValueError, match="must be"):
        orders_crc32(book, MAX_LEVELS + 1, 3, 3)
    book.remove("a")
    with pytest.raises(BookError, match="last commit"):
        orders_crc32(book, 10, 3, 3)
