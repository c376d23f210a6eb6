"""A consumer of the frame server becomes LIVE: its frames and snapshots make one exact book."""

from __future__ import annotations

import orjson

from benchmarks.frame_server import IDLE_RATE, MID, Pair, pair_names, prepare, text
from venuemesh.connectors.binance.scanner import DepthScanner, SnapshotScanner
from venuemesh.orderbook.l2 import OrderBook


def test_frames_are_contiguous_and_lead_to_the_snapshot() -> None:
    pair = Pair("AAA", prepare(15, seed=1), 15, offset=3)
    book = OrderBook(2, 5)
    snapshots, scanner = SnapshotScanner(), DepthScanner()
    assert snapshots.scan(orjson.dumps(pair.snapshot()), 2, 5)
    snapshots.load(book, 1000)
    scanner.bind(pair.symbol, book)
    last = book.sequence
    for _ in range(2000):
        assert scanner.scan(pair.frame()) == 0
        assert scanner.first == last + 1
        last = scanner.last
        scanner.apply()
    assert not book.crossed
    after = pair.snapshot()
    assert after["lastUpdateId"] == last == book.sequence
    for side, levels in (("bids", book.n_bids), ("asks", book.n_asks)):
        assert len(after[side]) == levels


def test_a_frame_has_the_requested_levels_on_the_right_sides() -> None:
    for levels in (2, 15, 200):
        for change in prepare(levels, seed=2)[:20]:
            assert len(change.bids) + len(change.asks) == levels
            assert all(price < MID for price, _ in change.bids)
            assert all(price > MID for price, _ in change.asks)


def test_text_is_the_exchanges() -> None:
    assert text(123456, 2) == "1234.56000000"
    assert text(5, 5) == "0.00005000"


def test_pairs_have_distinct_names() -> None:
    names = pair_names(700)
    assert len(set(names)) == 700
    assert names[0] == "AAA-USDT"
    assert IDLE_RATE > 0
