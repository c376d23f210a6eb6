"""The snapshot scanner against a slow reader of the same JSON."""

from __future__ import annotations

import random
from collections.abc import Iterator

import orjson
import pytest

from tests.fakes.depth_frames import integer, mutate, numbers, state
from tests.fakes.effort import EFFORT
from venuemesh.connectors.binance.scanner import SnapshotScanner
from venuemesh.model.errors import BookError
from venuemesh.orderbook.l2 import OrderBook, use_wide


@pytest.fixture(params=["wide", "portable"], autouse=True)
def code(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both kinds of code, if the processor has both."""
    wide = request.param == "wide"
    if use_wide(wide) != wide:
        pytest.skip("this processor has no AVX2")
    yield request.param
    use_wide(None)


BODY = b'{"lastUpdateId":7,"bids":[["2.00000000","1.00000000"],["1.50000000","3.00000000"]],"asks":[["3.0","1"]]}'


def test_reads_a_snapshot() -> None:
    scanner, book = SnapshotScanner(), OrderBook(8, 8)
    with pytest.raises(BookError):
        scanner.load(book, 2)
    assert scanner.scan(BODY, 8, 8)
    assert [side.tolist() for side in scanner.levels()] == [
        [[200000000, 100000000], [150000000, 300000000]],
        [[300000000, 100000000]],
    ]
    scanner.load(book, 2)
    assert (book.sequence, book.bids_complete, book.asks_complete, book.proven_bids) == (7, False, True, 2)
    assert (book.best_bid, book.best_ask) == ((200000000, 100000000), (300000000, 100000000))
    with pytest.raises(BookError, match="scale"):
        scanner.load(OrderBook(8, 7), 2)
    with pytest.raises(ValueError, match="scales"):
        scanner.scan(BODY, 19, 8)
    moved = b'{"asks":[["3.0","1"]],"bids":[],"lastUpdateId":7}'
    assert scanner.scan(moved, 1, 0)
    assert not scanner.scan(moved + b" ", 1, 0)
    with pytest.raises(BookError):
        scanner.levels()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"1.50000000"', b'"2.00000000"'),
        (b'"1.50000000"', b'"2.50000000"'),
        (b'"3.0"', b'"2.0"'),
        (b'"3.00000000"', b'"0.00000000"'),
    ],
    ids=["price twice", "out of order", "crossed", "size zero"],
)
def test_refuses_an_impossible_snapshot(old: bytes, new: bytes) -> None:
    scanner, book = SnapshotScanner(), OrderBook(8, 8)
    assert scanner.scan(BODY, 8, 8)
    scanner.load(book, 5)
    before = state(book)
    assert scanner.scan(BODY.replace(old, new), 8, 8)
    with pytest.raises(BookError):
        scanner.load(book, 5)
    assert state(book) == before


def test_snapshots_agree_with_the_slow_reader_when_damaged() -> None:
    rng, scanner, taken = random.Random(7), SnapshotScanner(), 0
    for _ in range(int(6000 * EFFORT)):
        body = mutate(rng, BODY)
        if not scanner.scan(body, 8, 8):
            continue
        taken += 1
        snapshot = orjson.loads(body)
        assert scanner.sequence == integer(snapshot["lastUpdateId"])
        assert [side.tolist() for side in scanner.levels()] == [
            numbers(snapshot[key], (8, 8)) for key in ("bids", "asks")
        ]
    assert taken > 100 * EFFORT
