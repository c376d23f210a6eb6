"""The order-level book against a plain model under random operations, and its rules one by one."""

import random
import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.effort import EFFORT
from venuemesh.model.errors import BookError
from venuemesh.model.events import Side
from venuemesh.orderbook.l3 import L3Book
from venuemesh.orderbook.records import ADD, CHANGE, IF_RESTING, MATCH, REMOVE, REPLACE, L3Order, QueuePlace

BUY, SELL = Side.BUY, Side.SELL
UUID = "9a3b8c5e-0f1d-4e2a-8b7c-6d5e4f3a2b1c"


class Model:
    """What the book must do, in dictionaries: id -> (side, price, size, time), in the order of each queue."""

    def __init__(self):
        self.orders = {}

    def add(self, side, id, price, size, time_ns=0):
        if id in self.orders or price <= 0 or size <= 0:
            raise BookError("refused")
        self.orders[id] = (side, price, size, time_ns)

    def change(self, id, size):
        if id not in self.orders or size < 0:
            raise BookError("refused")
        side, price, _, time_ns = self.orders[id]
        if size:
            self.orders[id] = (side, price, size, time_ns)
        else:
            del self.orders[id]

    def match(self, id, size):
        if id not in self.orders or not 0 < size <= self.orders[id][2]:
            raise BookError("refused")
        self.change(id, self.orders[id][2] - size)

    def replace(self, id, price, size, time_ns=0):
        if id not in self.orders or price <= 0 or size <= 0:
            raise BookError("refused")
        side = self.orders.pop(id)[0]
        self.orders[id] = (side, price, size, time_ns)

    def remove(self, id):
        return self.orders.pop(id, None) is not None

    def queue(self, side, price):
        return [L3Order(id, *rest) for id, rest in self.orders.items() if rest[:2] == (side, price)]

    def levels(self, side):
        sizes = {}
        for of, price, size, _ in self.orders.values():
            if of is side:
                sizes[price] = sizes.get(price, 0) + size
        return [[price, sizes[price]] for price in sorted(sizes, reverse=side is BUY)]

    def rows(self, side):
        found = [one for price, _ in self.levels(side) for one in self.queue(side, price)]
        return [one.id for one in found], [[one.price, one.size, one.time_ns] for one in found]


def check(book, model):
    assert book.n_orders == len(model.orders)
    for side in (BUY, SELL):
        assert book.book.levels(side).tolist() == model.levels(side)
        ids, rows = book.rows(side)
        assert (ids, rows.tolist()) == model.rows(side)
        for price, _ in model.levels(side):
            queue = model.queue(side, price)
            assert book.queue(side, price) == queue
            ahead = 0
            for place, one in enumerate(queue):
                assert book.place(one.id) == QueuePlace(place, ahead)
                assert book.order(one.id) == one
                ahead += one.size


IDS = st.sampled_from([f"o{n}" for n in range(12)])
PRICES = st.integers(0, 6)
SIZES = st.integers(-1, 5)
OPERATIONS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from((BUY, SELL)), IDS, PRICES, SIZES, st.integers(0, 3)),
    st.tuples(st.just("change"), IDS, SIZES),
    st.tuples(st.just("match"), IDS, SIZES),
    st.tuples(st.just("replace"), IDS, PRICES, SIZES, st.integers(0, 3)),
    st.tuples(st.just("remove"), IDS),
    st.tuples(st.just("commit"), st.integers(1, 9)),
)


@settings(max_examples=int(300 * EFFORT))
@given(st.lists(OPERATIONS, max_size=60))
def test_every_operation_does_what_the_model_does(operations):
    book, model = L3Book(2, 4), Model()
    before = {side: [] for side in (BUY, SELL)}
    for name, *arguments in operations:
        if name == "commit":
            changed = {side: dict(rows.tolist()) for side, rows in zip((BUY, SELL), book.changes(), strict=True)}
            book.commit(*arguments)
            for side in (BUY, SELL):
                sizes = {**dict(before[side]), **changed[side]}
                assert {price: size for price, size in sizes.items() if size} == dict(model.levels(side))
                before[side] = model.levels(side)
            continue
        results = []
        for one in (book, model):
            try:
                results.append(getattr(one, name)(*arguments))
            except BookError:
                results.append(BookError)
        assert results[0] == results[1], (name, arguments)
    book.commit(99)
    assert book.sequence == 99
    check(book, model)


@given(st.lists(OPERATIONS, max_size=40))
def test_many_events_at_once_do_what_single_calls_do(operations):
    kinds = {"add": ADD, "change": CHANGE, "match": MATCH, "replace": REPLACE, "remove": REMOVE}
    one, many = L3Book(2, 4), L3Book(2, 4)
    events = []
    for name, *arguments in operations:
        if name == "commit":
            continue
        try:
            getattr(one, name)(*arguments)
        except BookError:
            continue
        side = [arguments.pop(0)] if name == "add" else []
        events.append((kinds[name], arguments[0], *side, *arguments[1:]))
    many.apply(iter(events))
    for book in (one, many):
        book.commit(1)
    for side in (BUY, SELL):
        assert one.rows(side)[0] == many.rows(side)[0]
        assert one.rows(side)[1].tolist() == many.rows(side)[1].tolist()


def test_a_change_of_an_order_that_may_not_rest_is_left_out():
    book = L3Book(0, 0)
    book.add(BUY, "a", 5, 3)
    for kind, *values in ((CHANGE, 1), (MATCH, 1), (REPLACE, 4, 1)):
        book.apply([(kind | IF_RESTING, "x", *values)])
        with pytest.raises(BookError, match="not in the book"):
            book.apply([(kind, "x", *values)])
    assert book.order("a") == L3Order("a", BUY, 5, 3, 0)
    book.apply([(CHANGE | IF_RESTING, "a", 2), (MATCH | IF_RESTING, "a", 1), (REPLACE | IF_RESTING, "a", 6, 9, 7)])
    assert book.order("a") == L3Order("a", BUY, 6, 9, 7)
    for bad in ((CHANGE | IF_RESTING, "", 1), (CHANGE | IF_RESTING, "a"), (MATCH | IF_RESTING, "a", 10)):
        with pytest.raises(BookError):
            book.apply([bad])


def test_an_event_that_cannot_be_applied_ends_the_batch():
    book = L3Book(0, 0)
    short = [(), (ADD,), (ADD, "b"), (ADD, "b", BUY, 1), (CHANGE, "a"), (MATCH, "a"), (REPLACE, "a", 1), (REMOVE,)]
    long = [(ADD, "b", BUY, 1, 1, 1, 1), (CHANGE, "a", 1, 1), (REMOVE, "a", 1)]
    for bad in (
        (CHANGE, "x", 1),
        (5, "a", 1),
        (40, "a", 1),
        (IF_RESTING, "a", BUY, 1, 1),
        (ADD, "a", BUY, 1, 1),
        *short,
        *long,
    ):
        with pytest.raises(BookError):
            book.apply([(REMOVE, "a"), (ADD, "a", BUY, 5, 2), bad, (ADD, "never", BUY, 5, 2)])
        assert book.order("a") == L3Order("a", BUY, 5, 2, 0)
        assert book.order("never") is None
    with pytest.raises(TypeError):
        book.apply([["a"]])


def test_a_long_random_life_leaks_no_order_and_no_room():
    """Ids of both forms, a book that grows and shrinks; what is held stays bounded by its largest size."""
    draw = random.Random(7)
    book, model, ids = L3Book(2, 4), Model(), []
    held = 0
    for step in range(int(20_000 * EFFORT)):
        grows = (step // int(2_000 * EFFORT)) % 2 == 0
        if not ids or draw.random() < (0.7 if grows else 0.3):
            id = str(uuid.UUID(int=draw.getrandbits(128))) if draw.random() < 0.5 else f"O{draw.getrandbits(60):x}"
            arguments = (draw.choice((BUY, SELL)), id, draw.randint(1, 40), draw.randint(1, 9), step)
            book.add(*arguments)
            model.add(*arguments)
            ids.append(id)
        else:
            at = draw.randrange(len(ids))
            id, kind = ids[at], draw.random()
            if kind < 0.2:
                for one in (book, model):
                    one.replace(id, 1 + step % 40, 1 + step % 9, step)
            elif kind < 0.4:
                for one in (book, model):
                    one.change(id, 1 + step % 9)
            else:
                assert book.remove(id) is model.remove(id) is True
                ids[at] = ids[-1]
                ids.pop()
        if step % 500 == 0:
            book.commit(step)
            check(book, model)
        held = max(held, book.n_orders)
    book.commit(1)
    check(book, model)
    assert book.memory_bytes < 250 * held + 20_000


def test_ids_come_back_as_they_were():
    book = L3Book(0, 0)
    ids = [UUID, "a", "OQCLML-BW3P3-BUCMWZ", "~" * 24, "0" * 24, "12345678901234567890"]
    for number, id in enumerate(ids, 1):
        book.add(BUY, id, 5, number)
    assert [one.id for one in book.queue(BUY, 5)] == ids
    for bad in (
        "",
        "x" * 25,
        UUID.upper(),
        UUID[:-1] + "g",
        UUID.replace("-", "x"),
        "two words",
        "n\x00l",
        "ü",
        7,
        None,
    ):
        with pytest.raises(BookError, match="order id"):
            book.add(BUY, bad, 5, 1)
        with pytest.raises(BookError):
            book.order(bad)
    assert book.n_orders == len(ids)


def test_a_snapshot_replaces_all_or_nothing():
    book = L3Book(0, 0)
    book.load([("a", 10, 1, 7), ("b", 10, 2), ("c", 9, 3)], [("d", 11, 4)], 5)
    assert (book.book.best_bid, book.book.best_ask, book.sequence) == ((10, 3), (11, 4), 5)
    assert book.book.bids_complete
    assert book.order("a") == L3Order("a", BUY, 10, 1, 7)
    bad = {
        "is in the book already": ([("x", 10, 1), ("x", 9, 1)], []),
        "not positive": ([("x", 10, 0)], []),
        "price 0": ([("x", 0, 1)], []),
        "crossed": ([("x", 10, 1)], [("y", 10, 1)]),
    }
    for reason, (bids, asks) in bad.items():
        with pytest.raises(BookError, match=reason):
            book.load(bids, asks, 6)
        assert (book.n_orders, book.sequence) == (4, 5)
        assert book.book.levels(BUY).tolist() == [[10, 3], [9, 3]]
    book.load([], [("e", 12, 1)], 7, bids_complete=False)
    assert book.n_orders == 1
    assert book.order("a") is None
    assert not book.book.bids_complete
    assert book.book.asks_complete


def test_a_snapshot_need_not_be_sorted_by_price_but_keeps_each_queue():
    book = L3Book(0, 0)
    book.load([("a", 9, 1), ("b", 10, 2), ("c", 9, 3)], [("d", 12, 4), ("e", 11, 4)], 5)
    assert book.rows(BUY)[0] == ["b", "a", "c"]
    assert book.rows(SELL, 1)[0] == ["e"]


def test_a_refused_change_leaves_everything():
    book = L3Book(0, 0, max_orders=2)
    book.add(BUY, "a", 10, 5)
    book.add(SELL, "b", 11, 2**62)
    with pytest.raises(BookError, match="more than 2 orders"):
        book.add(BUY, "c", 10, 1)
    assert book.remove("a")
    with pytest.raises(BookError, match="more than int64 holds"):
        book.add(SELL, "c", 11, 2**62)
    with pytest.raises(BookError, match="not in the book"):
        book.change("a", 1)
    with pytest.raises(BookError, match=r"of size .* cannot be reduced by 0"):
        book.match("b", 0)
    with pytest.raises(TypeError):
        book.add("buy", "d", 1, 1)
    book.commit(1)
    assert book.book.levels(SELL).tolist() == [[11, 2**62]]
    assert book.n_orders == 1


def test_a_window_forgets_the_orders_of_levels_beyond_it():
    book = L3Book(0, 0, window=2)
    book.load([("a", 10, 1), ("b", 9, 2), ("c", 8, 3)], [("d", 11, 4)], 1)
    assert book.n_orders == 3
    assert book.order("c") is None
    book.add(BUY, "e", 12, 1)
    book.remove("d")
    book.add(SELL, "f", 13, 1)
    book.commit(2)
    assert book.book.levels(BUY).tolist() == [[12, 1], [10, 1]]
    assert book.order("b") is None
    assert book.rows(BUY)[0] == ["e", "a"]
    assert book.book.levels(SELL).tolist() == [[13, 1]]
    book.add(BUY, "g", 13, 1)  # the level that this pushes out changes at the same time
    book.change("a", 7)
    book.commit(3)
    assert book.book.levels(BUY).tolist() == [[13, 1], [12, 1]]
    book.remove("g")
    book.add(BUY, "a", 10, 1)
    book.add(BUY, "b", 9, 2)  # it can come back
    book.remove("e")
    book.commit(4)
    assert book.book.levels(BUY).tolist() == [[10, 1], [9, 2]]


def test_an_empty_book_answers_everything():
    book = L3Book(3, 3)
    assert (book.order("a"), book.place("a"), book.remove("a"), book.queue(BUY, 1)) == (None, None, False, [])
    ids, rows = book.rows(SELL)
    assert (ids, rows.shape, rows.dtype) == ([], (0, 3), np.int64)
    assert [rows.shape for rows in book.changes()] == [(0, 2), (0, 2)]
    book.add(BUY, "a", 1, 1)
    book.clear()
    assert book.n_orders == 0
    book.commit(1)
    book.add(BUY, "a", 1, 1)
    book.commit(2)
    assert book.book.levels(BUY).tolist() == [[1, 1]]
    with pytest.raises(TypeError):
        book.__reduce__()
