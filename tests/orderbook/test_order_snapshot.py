"""The copy of an order-level book says what the book itself says, and marks own orders."""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venuemesh.actors.book import order_rows as sent
from venuemesh.actors.book.order_rows import order_rows
from venuemesh.model.events import BookState, Side
from venuemesh.orderbook.l3 import L3Book
from venuemesh.orderbook.order_snapshot import OrderLevelSnapshot, QueueAhead, read_orders

HEAD = {"address": "book/acme/A-B", "incarnation": [1, 2], "state": 3, "ts_event_ns": 5, "ts_recv_ns": 6}


def copied(book: L3Book, levels: int | None = None, own: Any = None) -> OrderLevelSnapshot:
    return read_orders({**HEAD, **order_rows(book, levels)}, own)


def made(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> L3Book:
    book = L3Book(1, 2)
    book.load(
        [(f"b{n}", price, size, n) for n, (price, size) in enumerate(bids)],
        [(f"a{n}", price, size, n) for n, (price, size) in enumerate(asks)],
        7,
    )
    return book


ROWS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), max_size=25)


@given(ROWS, ROWS, st.one_of(st.none(), st.integers(1, 6)))
def test_rows_and_places_are_those_of_the_book(bids, asks, levels):
    book = made(bids, [(price + 10, size) for price, size in asks])
    copy = copied(book, levels)
    assert (copy.sequence, copy.state, copy.incarnation) == (7, BookState.LIVE, (1, 2))
    for side, rows, complete in (
        (Side.BUY, copy.bids, copy.bids_complete),
        (Side.SELL, copy.asks, copy.asks_complete),
    ):
        ids, numbers = book.rows(side, levels)
        assert [one.decode() for one in rows["id"].tolist()] == ids
        assert [rows[name].tolist() for name in ("price", "size", "time_ns")] == numbers.T.tolist()
        assert complete == (len(ids) == len(book.rows(side)[0]))
        for name in ids:
            place = book.place(name)
            assert place is not None
            assert copy.ahead(name) == QueueAhead(place.orders, Decimal(place.size) / 100)
    assert copy.ahead("elsewhere") is None


def test_own_orders_are_marked():
    copy = copied(made([(5, 1), (5, 2)], [(6, 1)]), own={"b1": "mine", "x": "not in the book"})
    assert copy.bids["own"].tolist() == [False, True]
    assert copy.asks["own"].tolist() == [False]
    assert copy.own is not None
    assert copy.own["b1"] == "mine"
    assert copied(made([], [])).own is None


def test_a_message_has_whole_levels_and_a_bound(monkeypatch):
    monkeypatch.setattr(sent, "ORDERS_MOST", 4)
    copy = copied(made([(5, 1), (5, 2), (4, 1), (4, 1), (4, 1)], [(6, 1), (6, 1), (7, 1), (7, 1)]))
    assert copy.bids["price"].tolist() == [5, 5]
    assert (len(copy.asks), copy.bids_complete, copy.asks_complete) == (4, False, True)


def test_it_is_read_only_pickles_and_gives_exact_numbers():
    copy = copied(made([(5, 3)], [(6, 1)]))
    again = pickle.loads(pickle.dumps(copy))
    assert again.bids.tolist() == copy.bids.tolist()
    assert (copy.price(copy.bids["price"][0]), copy.size(copy.bids["size"][0])) == (Decimal("0.5"), Decimal("0.03"))
    assert copy.rows("buy") is copy.asks
    assert copy.rows(Side.SELL) is copy.bids
    assert repr(copy) == "<OrderLevelSnapshot book/acme/A-B LIVE sequence 7, 1 bids, 1 asks>"
    with pytest.raises(ValueError, match="read-only"):
        copy.bids["size"][0] = 1
