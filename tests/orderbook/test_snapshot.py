"""Queries of a book, against a very simple model in Decimal."""

import copy
import pickle
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from venuemesh.model.errors import BeyondDepth, Rejected
from venuemesh.model.events import BookState, Side
from venuemesh.orderbook.snapshot import BookSnapshot

PRICE_SCALE, SIZE_SCALE = 2, 3


def snapshot(bids, asks, bids_complete=True, asks_complete=True):
    return BookSnapshot(
        "book/x/A-B", (1, 1), BookState.LIVE, 1, 1, None, 1, PRICE_SCALE, SIZE_SCALE,
        np.array(bids, np.int64).reshape(-1, 2), np.array(asks, np.int64).reshape(-1, 2), bids_complete, asks_complete,
    )  # fmt: skip


@st.composite
def books(draw):
    middle = draw(st.integers(1_000, 10**15))
    sizes = st.integers(1, 9 * 10**18)
    bid = st.lists(st.integers(1, 999), unique=True, max_size=12)
    bids = [(middle - step, draw(sizes)) for step in sorted(draw(bid))]
    asks = [(middle + step, draw(sizes)) for step in sorted(draw(bid))]
    return snapshot(bids, asks, draw(st.booleans()), draw(st.booleans()))


def model(book, side):
    rows, complete = (book.asks, book.asks_complete) if side is Side.BUY else (book.bids, book.bids_complete)
    price, size = Decimal(10) ** -PRICE_SCALE, Decimal(10) ** -SIZE_SCALE
    return [(int(p) * price, int(s) * size) for p, s in rows], complete


def answer(ask):
    try:
        return ask()
    except BeyondDepth:
        return BeyondDepth


@settings(max_examples=300, deadline=None)
@given(books(), st.sampled_from(Side), st.decimals("0.0001", "1e20", places=4), st.integers(-1_100, 1_100))
def test_the_answers_are_the_models(book, side, volume, step):
    with localcontext() as context:
        context.prec = 200
        rows, complete = model(book, side)

        reached, left, paid = None, volume, Decimal(0)
        for price, size in rows:
            taken = min(left, size)
            paid += taken * price
            left -= taken
            if left == 0:
                reached = price
                break
        assert answer(lambda: book.price_for_volume(side, volume)) == (BeyondDepth if reached is None else reached)
        average = answer(lambda: book.vwap(side, volume))
        if reached is None:
            assert average is BeyondDepth
        else:
            assert abs(average - paid / volume) <= abs(average) * Decimal("1e-33")

        spent, reached = Decimal(0), None
        for price, size in rows:
            spent += price * size
            if spent >= volume:
                reached = price
                break
        assert answer(lambda: book.price_for_quote_volume(side, volume)) == (
            BeyondDepth if reached is None else reached
        )

        limit = (rows[0][0] if rows else Decimal(10)) + Decimal(step) / 200
        within = [(p, s) for p, s in rows if (p <= limit if side is Side.BUY else p >= limit)]
        unknown = not complete and (not rows or (limit > rows[-1][0] if side is Side.BUY else limit < rows[-1][0]))
        assert answer(lambda: book.volume_for_price(side, limit)) == (
            BeyondDepth if unknown else sum(s for _, s in within)
        )
        assert answer(lambda: book.size_at(side, limit)) == (BeyondDepth if unknown else dict(rows).get(limit, 0))


@settings(max_examples=100, deadline=None)
@given(books(), st.integers(1, 14))
def test_depth_and_imbalance(book, n):
    short = [
        not complete and len(rows) < n
        for rows, complete in ((book.bids, book.bids_complete), (book.asks, book.asks_complete))
    ]
    if any(short):
        with pytest.raises(BeyondDepth):
            book.depth(n)
        with pytest.raises(BeyondDepth):
            book.imbalance(n)
        return
    exact = book.depth(n, np.int64)
    real = book.depth(n)
    assert np.array_equal(exact.bids, book.bids[:n])
    assert np.array_equal(real.asks, book.asks[:n] / [10**PRICE_SCALE, 10**SIZE_SCALE])
    assert -1.0 <= book.imbalance(n) <= 1.0


def test_the_sides_are_the_orders_not_the_books():
    book = snapshot([(10000, 5_000), (9990, 7_000)], [(10010, 2_000), (10020, 4_000)])
    assert book.best_bid == (Decimal("100.00"), Decimal("5.000"))
    assert book.best_ask == (Decimal("100.10"), Decimal("2.000"))
    assert book.price_for_volume(Side.BUY, 3) == Decimal("100.20")
    assert book.price_for_volume(Side.SELL, 6) == Decimal("99.90")
    assert book.vwap(Side.BUY, "4") == (2 * Decimal("100.10") + 2 * Decimal("100.20")) / 4
    assert book.size_at(Side.BUY, "100.20") == 4
    assert book.size_at(Side.SELL, "100.20") == 0
    assert book.volume_for_price(Side.BUY, "100.15") == 2
    assert book.imbalance(2) == (12 - 6) / 18
    assert [level.price for level in book.levels(Side.BUY)] == [Decimal("100.10"), Decimal("100.20")]


def test_the_callers_decimal_context_rounds_nothing():
    with localcontext() as context:
        context.prec = 3
        book = snapshot([(10000123, 5_000)], [(10010123, 2_000)])
        assert book.best_ask.price == Decimal("100101.23")
        assert book.vwap(Side.BUY, 1) == Decimal("100101.23")
        assert book.volume_for_price(Side.SELL, "100001.23") == Decimal("5.000")


def test_empty_sides():
    nothing = snapshot([], [])
    assert nothing.best_bid is None
    assert nothing.imbalance() == 0.0
    assert nothing.size_at(Side.BUY, 1) == 0
    with pytest.raises(BeyondDepth):
        nothing.vwap(Side.BUY, 1)
    with pytest.raises(BeyondDepth):
        _ = snapshot([], [], bids_complete=False).best_bid


@pytest.mark.parametrize("wrong", [0, -1, "0", Decimal("-3"), "NaN", "Infinity"])
def test_a_volume_must_be_a_positive_number(wrong):
    with pytest.raises(ValueError, match=r"positive|not a number"):
        snapshot([(1, 1)], [(2, 1)]).vwap(Side.BUY, wrong)


def test_a_float_means_its_shortest_text_and_a_side_may_be_text():
    book = snapshot([(10000, 5_000)], [(10010, 200), (10020, 300)])
    for side in ("buy", "BUY", Side.BUY):
        for volume in ("0.3", 0.3, np.float64(0.3)):
            assert book.vwap(side, volume) == book.vwap(Side.BUY, Decimal("0.3"))
    assert book.size_at("sell", 100.0) == book.size_at(Side.SELL, "100") > 0
    assert book.size_at(Side.BUY, 100.1) > 0  # exactly 100.1, not the double next to it
    assert book.volume_for_price("buy", 100.1) == Decimal("0.200")
    assert book.price_for_volume("buy", np.int64(0) + 1 - 0.5) == Decimal("100.20")


@pytest.mark.parametrize("wrong", [True, None, 1j, np.array([1.0]), "1_0", "１０", " 1", "1e999"])
def test_anything_else_is_refused(wrong):
    with pytest.raises((TypeError, ValueError), match=r"number|digits"):
        snapshot([(1, 1)], [(2, 1)]).vwap(Side.BUY, wrong)


@pytest.mark.parametrize("wrong", ["bye", "", None, 1])
def test_another_side_is_refused_with_those_there_are(wrong):
    with pytest.raises(Rejected, match="buy, sell"):
        snapshot([(1, 1)], [(2, 1)]).vwap(wrong, 1)


def test_a_frame():
    pandas = pytest.importorskip("pandas")
    book = snapshot([(10000, 5_000), (9990, 7_000)], [(10010, 2_000)])
    frame = book.to_pandas()
    assert list(frame["side"]) == ["bid", "bid", "ask"]
    assert list(frame["price"]) == [100.0, 99.9, 100.1]
    assert list(frame["size"]) == [5.0, 7.0, 2.0]
    assert list(book.to_pandas(exact=True)["price"]) == [Decimal("100.00"), Decimal("99.90"), Decimal("100.10")]
    assert isinstance(frame, pandas.DataFrame)


@pytest.mark.parametrize("number", ["abc", "", "NaN", "Infinity", "1e999999999", "1e-999999999"])
def test_an_argument_that_is_not_a_number_is_a_value_error(number):
    book = snapshot([(100, 5)], [(110, 5)])
    for ask in (book.size_at, book.volume_for_price, book.vwap, book.price_for_volume, book.price_for_quote_volume):
        with pytest.raises(ValueError):  # noqa: PT011
            ask(Side.BUY, number)


@pytest.mark.parametrize("copied", [lambda book: pickle.loads(pickle.dumps(book)), copy.deepcopy, copy.copy])
def test_a_copy_is_read_only(copied):
    book = copied(snapshot([(100, 5)], [(110, 5)]))
    assert book.depth(1, np.int64).bids.tolist() == [[100, 5]]
    for levels in (book.bids, book.asks):
        with pytest.raises(ValueError, match="read-only"):
            levels[0, 0] = 7
