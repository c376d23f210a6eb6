"""How many levels a snapshot requests: the smallest number that costs little while many pairs start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.fakes.venue import INSTRUMENT
from venuemesh.actors.book.events import Confirmed, Drained, Opened, SnapshotArrived
from venuemesh.actors.book.ingest import NoSink, Pair
from venuemesh.actors.book.machine import BookMachine
from venuemesh.actors.book.snapshot_size import SnapshotSize
from venuemesh.connectors.binance.spec import SPEC
from venuemesh.connectors.sequence import by_range
from venuemesh.orderbook.l2 import OrderBook

WHOLE, PROMISED = 1000, 50


def pair() -> Pair:
    machine = BookMachine(lambda sequence, delta, joined: by_range(sequence, delta), lambda: 0.5)
    return Pair(INSTRUMENT, OrderBook(2, 2), machine, NoSink())


def joined(levels: int) -> Pair:
    """A pair whose book was loaded with so many levels a side of a deeper book."""
    one = pair()
    for event in (Opened(), Confirmed(), SnapshotArrived(1, 7), Drained()):
        one.machine.on(event, 0)
    assert one.machine.is_joined
    prices = np.arange(1, levels + 1)
    ones = np.ones(levels, np.int64)
    one.book.load(np.stack([100_000 - prices, ones], 1), np.stack([100_000 + prices, ones], 1), 7)
    return one


def size(promised: int = PROMISED, whole: int = WHOLE) -> SnapshotSize:
    return SnapshotSize(SPEC, whole, promised)


@pytest.mark.parametrize(
    ("promised", "pairs", "levels"),
    [
        (50, 1, WHOLE),
        (50, 12, WHOLE),  # 12 x 50 are a tenth of the weight of a minute
        (50, 13, 100),
        (50, 200, 100),
        (51, 200, 500),  # 100 levels would not prove twice what is promised
        (400, 200, WHOLE),
    ],
)
def test_many_pairs_begin_with_the_smallest_snapshot_that_proves_enough(promised, pairs, levels):
    assert size(promised).levels(pair(), pairs) == levels


def test_a_small_snapshot_is_followed_by_a_whole_one():
    sizes, one = size(), joined(100)
    assert not sizes.is_shallow(one)
    sizes.joined(one, 100)
    assert sizes.is_shallow(one)
    assert sizes.levels(one, 200) == WHOLE
    sizes.joined(one, WHOLE)
    assert not sizes.is_shallow(one)


def test_a_book_that_is_complete_needs_no_whole_snapshot():
    sizes, one = size(), joined(20)
    one.book.load(one.book.depth(5)[0], one.book.depth(5)[1], 7, True, True)
    sizes.joined(one, 100)
    assert not sizes.is_shallow(one)


def test_a_book_that_lost_its_proven_levels_is_shallow():
    assert size().is_shallow(joined(49))
    assert not size().is_shallow(joined(50))


def test_where_snapshots_cost_the_same_or_are_not_limited_they_are_whole():
    endpoint = SPEC.endpoints["snapshot"]
    flat = replace(SPEC, endpoints={**SPEC.endpoints, "snapshot": replace(endpoint, cost_by_size=())})
    free = replace(SPEC, limits={})
    for spec in (flat, free):
        assert SnapshotSize(spec, WHOLE, PROMISED).levels(pair(), 200) == WHOLE
