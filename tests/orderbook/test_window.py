"""A book that keeps the best levels of each side, against a sorted dict that is cut after every change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.effort import EFFORT
from venuemesh.model.errors import BookError
from venuemesh.model.events import Side
from venuemesh.orderbook import l2
from venuemesh.orderbook.l2 import OrderBook

Pairs = list[tuple[int, int]]


def rows(pairs: Pairs) -> np.ndarray:
    return np.array(pairs, np.int64).reshape(-1, 2)


class Cut:
    """The model: a dict a side, cut to the best `window`; the price down to which it is proven, None for all."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.sides: list[dict[int, int]] = [{}, {}]

    def apply(self, changes: list[Pairs]) -> None:
        for i, (held, side) in enumerate(zip(self.sides, changes, strict=True)):
            held.update(side)
            kept = [row for row in sorted(held.items(), reverse=i == 0) if row[1]][: self.window]
            self.sides[i] = dict(kept)

    def levels(self, i: int) -> list[list[int]]:
        return [list(row) for row in self.sides[i].items()]


PRICE = st.integers(1, 45)
CHANGES = st.lists(st.tuples(PRICE, st.sampled_from([0, 0, 1, 7])), min_size=1, max_size=12)


@settings(max_examples=int(150 * EFFORT), deadline=None)
@given(st.integers(1, 6), st.lists(st.tuples(CHANGES, CHANGES), max_size=12), st.booleans())
def test_a_window_is_the_sorted_dict_cut_after_every_delta(window, deltas, wide):
    l2.use_wide(wide)
    book, model = OrderBook(2, 2, capacity=1, window=window), Cut(window)
    book.load(rows([]), rows([]), 1, True, True)
    for number, changes in enumerate(deltas):
        book.apply(rows(changes[0]), rows(changes[1]), number)
        model.apply(list(changes))
        for i, (side, n, proven, complete) in enumerate(
            (
                (Side.BUY, book.n_bids, book.proven_bids, book.bids_complete),
                (Side.SELL, book.n_asks, book.proven_asks, book.asks_complete),
            )
        ):
            assert book.levels(side).tolist() == model.levels(i)
            assert proven == n == len(model.levels(i))  # everything held is proven
            assert complete == (n < window)
    l2.use_wide(None)


def test_the_proven_depth_moves_with_the_market():
    """Of ten asks the best five are traded while five worse ones are added: all ten are proven."""
    held = [(100 + n, 5) for n in range(10)]
    book, fixed = OrderBook(0, 0, window=10), OrderBook(0, 0)
    for each in (book, fixed):
        each.load(rows([(99, 1)]), rows(held), 1)
        for n in range(5):
            each.apply(rows([]), rows([(100 + n, 0), (110 + n, 5)]), 2 + n)
    assert (book.n_asks, book.proven_asks, fixed.proven_asks) == (10, 10, 5)
    assert len(book.depth(1)[1]) == 1


def test_a_snapshot_is_cut_to_the_window():
    book = OrderBook(0, 0, window=2)
    book.load(rows([(9, 1), (8, 1), (7, 1)]), rows([(10, 1), (11, 1)]), 1, True, True)
    assert book.levels(Side.BUY).tolist() == [[9, 1], [8, 1]]
    assert (book.bids_complete, book.asks_complete) == (False, True)
    assert (book.proven_bids, book.proven_asks) == (2, 2)


def test_a_refused_delta_leaves_a_window_as_it_was():
    book = OrderBook(0, 0, capacity=1, window=2, max_levels=3)
    book.load(rows([(9, 1), (8, 1)]), rows([(10, 1), (11, 1)]), 1)
    with pytest.raises(BookError):
        book.apply(rows([(7, 1), (6, 1)]), rows([(12, 1)]), 2)
    assert (book.levels(Side.BUY).tolist(), book.levels(Side.SELL).tolist()) == ([[9, 1], [8, 1]], [[10, 1], [11, 1]])
    with pytest.raises(ValueError, match="window"):
        OrderBook(0, 0, capacity=1, max_levels=3, window=4)
