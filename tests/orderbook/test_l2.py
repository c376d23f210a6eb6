"""The book against a sorted dict of twenty lines; a refusal leaves the book unchanged."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.effort import EFFORT
from venuemesh.model.errors import BeyondDepth, BookError
from venuemesh.model.events import Side
from venuemesh.orderbook import l2 as book_module
from venuemesh.orderbook.l2 import OrderBook

SIDES = (Side.BUY, Side.SELL)
Pairs = list[tuple[int, int]]


@pytest.fixture(params=["wide", "portable"])
def code(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both kinds of code, if the processor has both."""
    wide = book_module.use_wide(request.param == "wide")
    if request.param == "wide" and not wide:
        pytest.skip("this processor has no AVX2")
    yield request.param
    book_module.use_wide(None)


class Model:
    """A model of a book: two dicts, and the price down to which each side is proven (None: nothing is proven)."""

    def __init__(self) -> None:
        self.sides: list[dict[int, int]] = [{}, {}]
        self.bound: list[float | None] = [None, None]
        self.sequence = 0

    def load(self, sides: list[Pairs], sequence: int, complete: tuple[bool, bool]) -> None:
        self.sides, self.sequence = [dict(side) for side in sides], sequence
        for i, side in enumerate(sides):
            worst = (1 if i else -1) * float("inf") if complete[i] else side[-1][0] if side else None
            self.bound[i] = worst

    def apply(self, sides: list[Pairs], sequence: int) -> None:
        self.sequence = sequence
        for held, changes in zip(self.sides, sides, strict=True):
            for price, size in changes:
                if size == 0:
                    held.pop(price, None)
                else:
                    held[price] = size

    def levels(self, i: int) -> list[list[int]]:
        return [list(level) for level in sorted(self.sides[i].items(), reverse=i == 0)]

    def array(self, i: int) -> np.ndarray:
        """`levels` as an array."""
        held = self.sides[i]
        prices, sizes = (np.fromiter(values, np.int64, len(held)) for values in (held, held.values()))
        order = np.argsort(prices)[:: 1 if i else -1]
        return np.column_stack((prices[order], sizes[order]))

    def proven(self, i: int) -> int:
        bound = self.bound[i]
        return 0 if bound is None else sum(p <= bound if i else p >= bound for p in self.sides[i])


def rows(pairs: Pairs) -> np.ndarray:
    return np.array(pairs, np.int64).reshape(-1, 2)


def state(book: OrderBook) -> tuple[object, ...]:
    sides = tuple(book.levels(side).tolist() for side in SIDES)
    return *sides, book.sequence, book.proven_bids, book.proven_asks, book.bids_complete, book.asks_complete


def same(book: OrderBook, model: Model) -> None:
    levels = [model.levels(0), model.levels(1)]
    proven = [model.proven(0), model.proven(1)]
    complete = [model.bound[0] == -float("inf"), model.bound[1] == float("inf")]
    assert state(book) == (*levels, model.sequence, *proven, *complete)
    assert (book.n_bids, book.n_asks) == (len(levels[0]), len(levels[1]))
    for i, best in enumerate(("best_bid", "best_ask")):
        if levels[i] and not proven[i]:
            with pytest.raises(BeyondDepth):
                getattr(book, best)
        else:
            assert getattr(book, best) == (tuple(levels[i][0]) if levels[i] else None)
    assert book.crossed == bool(levels[0] and levels[1] and levels[0][0][0] >= levels[1][0][0])
    for n in (0, 1, 3, 1000):
        for i, side in enumerate(SIDES):
            assert book.levels(side, n).tolist() == levels[i][:n]
        if all(complete[i] or n <= proven[i] for i in (0, 1)):
            assert [side.tolist() for side in book.depth(n)] == [side[:n] for side in levels]
        else:
            with pytest.raises(BeyondDepth):
                book.depth(n)
    for i, side in enumerate(SIDES):
        for price in range(1, 45, 4):
            bound = model.bound[i]
            if bound is None or (price > bound if i else price < bound):
                with pytest.raises(BeyondDepth):
                    book.size_at(side, price)
            else:
                assert book.size_at(side, price) == model.sides[i].get(price, 0)


PRICE = st.integers(1, 45)
CHANGES = st.lists(st.tuples(PRICE, st.sampled_from([0, 0, 1, 7, 2**63 - 1])), max_size=12)
ORDERED = st.booleans()
APPLY = st.tuples(st.just("apply"), CHANGES, CHANGES, ORDERED)
SNAPSHOT = st.tuples(
    st.just("load"),
    st.tuples(st.integers(1, 45), st.sets(PRICE, max_size=30), st.booleans(), st.booleans()),
    st.just(None),
    st.just(None),
)


@settings(max_examples=int(100 * EFFORT), deadline=None)
@given(st.lists(st.one_of(APPLY, APPLY, SNAPSHOT), max_size=12), st.booleans())
def test_agrees_with_a_sorted_dict(operations: list[tuple[str, object, object, object]], wide: bool) -> None:
    book_module.use_wide(wide)
    book, model = OrderBook(8, 8, capacity=1), Model()
    same(book, model)
    for number, (kind, a, b, ordered) in enumerate(operations):
        if kind == "load":
            middle, prices, *complete = a  # type: ignore[misc]
            bids = [(price, price + 1) for price in sorted(prices, reverse=True) if price < middle]
            asks = [(price, price + 1) for price in sorted(prices) if price > middle]
            book.load(rows(bids), rows(asks), number, *complete)
            model.load([bids, asks], number, tuple(complete))
        else:
            changes = [sorted(a, reverse=True), sorted(b)] if ordered else [a, b]  # type: ignore[call-overload]
            book.apply(rows(changes[0]), rows(changes[1]), number)
            model.apply(changes, number)
        same(book, model)
    book.clear()
    same(book, Model())
    book_module.use_wide(None)


@pytest.mark.parametrize("seed", range(4))
def test_agrees_on_deep_books_and_long_frames(code: str, seed: int) -> None:
    rng = random.Random(seed)
    book, model = OrderBook(2, 2, capacity=3), Model()
    bids = [(price, 1) for price in range(20_000, 10_000, -rng.randrange(5, 9))]
    asks = [(price, 1) for price in range(20_001, 30_000, rng.randrange(5, 9))]
    book.load(rows(bids), rows(asks), 1, False, True)
    model.load([bids, asks], 1, (False, True))
    for number in range(int(300 * EFFORT)):
        changes: list[Pairs] = []
        for sign in (-1, 1):
            count = rng.choice((0, 1, 2, 9, 17, 100))
            reach = rng.choice((8, 60, 400, 11_000))
            prices = {20_000 + sign * rng.randrange(reach) for _ in range(count)}
            changes.append([(p, rng.choice((0, 0, 5, 9))) for p in sorted(prices, reverse=sign < 0)])
        book.apply(rows(changes[0]), rows(changes[1]), number)
        model.apply(changes, number)
        for i, (side, proven) in enumerate(zip(SIDES, (book.proven_bids, book.proven_asks), strict=True)):
            expected = model.array(i)
            assert np.array_equal(book.levels(side), expected)
            prices, bound = expected[:, 0], model.bound[i]
            assert proven == (0 if bound is None else np.count_nonzero(prices <= bound if i else prices >= bound))


def small() -> OrderBook:
    book = OrderBook(2, 2, capacity=2, max_levels=4)
    book.load(rows([(100, 5), (99, 6)]), rows([(101, 7), (103, 8)]), 10, False, True)
    return book


REFUSED_SNAPSHOTS = {
    "size zero": ([(100, 0)], []),
    "negative size": ([], [(100, -1)]),
    "price zero": ([(0, 1)], []),
    "negative ask": ([], [(-5, 1)]),
    "least int64": ([], [(-(2**63), 1)]),
    "bids out of order": ([(99, 1), (100, 1)], []),
    "asks out of order": ([], [(101, 1), (100, 1)]),
    "price twice": ([(99, 1), (99, 1)], []),
    "crossed": ([(101, 1)], [(100, 1)]),
    "touching": ([(100, 1)], [(100, 1)]),
    "too many levels": ([(p, 1) for p in range(50, 45, -1)], []),
    "second side bad": ([(90, 1)], [(101, 1), (102, 0)]),
}


@pytest.mark.parametrize("name", REFUSED_SNAPSHOTS)
def test_refused_snapshot_changes_nothing(name: str) -> None:
    book = small()
    before = state(book)
    bids, asks = REFUSED_SNAPSHOTS[name]
    with pytest.raises(BookError):
        book.load(rows(bids), rows(asks), 99)
    assert state(book) == before


REFUSED_DELTAS = {
    "negative size": ([(100, -1)], []),
    "price zero": ([(0, 1)], []),
    "negative ask": ([], [(-1, 1)]),
    "least int64": ([], [(-(2**63), 1)]),
    "good bids, bad asks": ([(100, 0), (98, 1)], [(102, 5), (103, -8)]),
    "too many levels": ([(100, 0)], [(104, 1), (105, 1), (106, 1)]),
    "too many levels, unordered": ([(100, 0)], [(106, 1), (105, 1), (104, 1)]),
}


@pytest.mark.parametrize("name", REFUSED_DELTAS)
def test_refused_delta_changes_nothing(code: str, name: str) -> None:
    book = small()
    before = state(book)
    bids, asks = REFUSED_DELTAS[name]
    with pytest.raises(BookError):
        book.apply(rows(bids), rows(asks), 99)
    assert state(book) == before


@pytest.mark.parametrize(
    "levels",
    [np.zeros((2, 3), np.int64), np.ones(4, np.int64), np.array([[100.0, 1.0]]), np.array([[1, 2]], np.uint64), ["x"]],
    ids=["three columns", "flat", "floats", "unsigned", "text"],
)
def test_refuses_what_are_no_levels(levels: np.ndarray) -> None:
    book = small()
    before = state(book)
    for refuse in (book.load, book.apply):
        with pytest.raises(BookError):
            refuse(levels, rows([]), 99)
        with pytest.raises(BookError):
            refuse(rows([]), levels, 99)
    with pytest.raises(OverflowError):
        book.apply(rows([(98, 1)]), rows([]), 2**63)
    with pytest.raises(OverflowError):
        book.load(rows([(98, 1)]), rows([]), 2**63)
    assert state(book) == before


def test_takes_other_layouts_of_the_same_numbers() -> None:
    book = OrderBook(0, 0)
    wanted = [[9, 1], [8, 2]]
    for levels in (wanted, rows(wanted)[::-1][::-1], np.asfortranarray(rows(wanted)), rows(wanted).astype(np.int32)):
        book.load(levels, [], 1)
        assert book.levels(Side.BUY).tolist() == wanted


def test_bound_of_levels_counts_what_is_left() -> None:
    book = small()  # two asks of at most four
    book.apply(rows([]), rows([(101, 0), (103, 0), (104, 1), (105, 1), (106, 1), (107, 1)]), 11)
    assert book.n_asks == 4


def test_only_what_the_snapshot_reached_is_proven() -> None:
    book = small()
    assert (book.proven_bids, book.proven_asks, book.bids_complete, book.asks_complete) == (2, 2, False, True)
    book.apply(rows([(98, 1)]), rows([(104, 1)]), 11)  # beyond what the bids prove
    assert (book.n_bids, book.proven_bids, book.proven_asks) == (3, 2, 3)
    with pytest.raises(BeyondDepth) as beyond:
        book.depth(3)
    assert (beyond.value.side, beyond.value.asked, beyond.value.proven) == ("bid", 3, 2)
    book.apply(rows([(100, 0), (99, 0)]), rows([]), 12)  # another level between 99 and 98 may exist
    assert book.proven_bids == 0
    with pytest.raises(BeyondDepth):
        _ = book.best_bid
    assert book.best_ask == (101, 7)
    book.apply(rows([(99, 4)]), rows([]), 13)
    assert book.best_bid == (99, 4)


def test_a_best_level_that_did_not_change_is_the_same_object() -> None:
    book = small()
    best = book.best_bid
    book.apply(rows([(99, 1)]), rows([]), 11)
    assert book.best_bid is best
    book.apply(rows([(100, 6)]), rows([]), 12)
    assert book.best_bid == (100, 6)
    book.load(rows([(100, 6)]), rows([]), 13, False, False)
    assert book.best_bid == (100, 6)
    book.clear()
    assert book.best_bid is None


def test_grows_and_says_what_it_holds() -> None:
    book = OrderBook(0, 0, capacity=1)
    before = book.memory_bytes
    book.apply(rows([(p, 1) for p in range(5000, 0, -1)]), rows([]), 1)
    assert book.n_bids == 5000
    assert before < 5000 * 16 <= book.memory_bytes <= before + 4 * 5000 * 16


@pytest.mark.parametrize("arguments", [(-1, 0), (0, 19), (0, 0, 0), (0, 0, 5, 4)])
def test_refuses_impossible_shapes(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be"):
        OrderBook(*arguments)


def test_does_not_pickle_and_wants_a_side() -> None:
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(small())
    with pytest.raises(TypeError, match="side"):
        small().levels("bid")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        small().levels(Side.BUY, -1)
    with pytest.raises(ValueError, match="negative"):
        small().depth(-1)
