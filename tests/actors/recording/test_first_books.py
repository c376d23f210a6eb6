"""The first whole book of a recording shows the depth of the feed and the decimals that result in its checksum."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from venuemesh.actors.recording.file import CaptureWriter
from venuemesh.actors.recording.first_books import FirstBook, first_books
from venuemesh.actors.recording.replay import replay
from venuemesh.connectors.kraken import CONNECTOR
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.checksum import crc32
from venuemesh.orderbook.l2 import OrderBook

TRADE = {"symbol": "ABC/USD", "side": "buy", "price": 10.25, "qty": 1.5, "trade_id": 7}


def frames(bids: int, asks: int) -> list[bytes]:
    """Return a trade, then a book with two decimals in prices and three in sizes, then another bid below all others."""
    sides = [[[5000 - at, 1500 + at] for at in range(bids)], [[5001 + at, 2500 + at] for at in range(asks)]]
    book = OrderBook(2, 3)
    out = [{"channel": "trade", "type": "update", "data": [TRADE | {"timestamp": "2026-11-27T10:00:00Z"}]}]
    for kind, changed in (("snapshot", sides), ("update", [[[5, 9]], []])):
        arrays = [np.array(rows, np.int64).reshape(-1, 2) for rows in changed]
        if kind == "snapshot":
            book.load(*arrays, 0)
        else:
            book.apply(*arrays, 0)
        rows = [[{"price": p / 100, "qty": q / 1000} for p, q in side] for side in changed]
        data = {"symbol": "ABC/USD", "bids": rows[0], "asks": rows[1], "checksum": crc32(book, 10, 2, 3)}
        out.append({"channel": "book", "type": kind, "data": [data | {"timestamp": "2026-11-27T10:00:00.5Z"}]})
    return [json.dumps(frame, separators=(",", ":")).encode() for frame in out]


@pytest.fixture
def recording(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "abc.jsonl.zst"
    writer = CaptureWriter(path)
    for number, frame in enumerate(frames(*request.param)):
        writer.add(1_800_000_000_000_000_000 + number, "recv", frame, "wss://ws.kraken.com/v2")
    writer.close()
    return path


@pytest.mark.parametrize(
    ("recording", "window"),
    [((3, 10), 10), ((30, 20), 100), ((100, 100), 100), ((1200, 5), 1200)],
    indirect=["recording"],
)
def test_the_window_is_the_smallest_that_the_exchange_offers(recording: Path, window: int) -> None:
    found = first_books(CONNECTOR.codec(), {}, [recording])
    proven = Instrument("kraken", "ABC/USD", "ABC/USD", "", "", 2, 3)
    assert found == {"ABC/USD": FirstBook(window, proven)}
    assert first_books(CONNECTOR.codec(depth=1000), {}, [recording])["ABC/USD"].window == max(1000, window)


@pytest.mark.parametrize("recording", [(3, 3)], indirect=True)
def test_a_listed_pair_keeps_its_decimals(recording: Path) -> None:
    listed = {"ABC/USD": Instrument("kraken", "ABC-USD", "ABC/USD", "ABC", "USD", 5, 8)}
    assert first_books(CONNECTOR.codec(), listed, [recording]) == {"ABC/USD": FirstBook(10, None)}


@pytest.mark.parametrize("path", ["fast", "slow"])
@pytest.mark.parametrize(("recording", "n_bids"), [((30, 20), 31), ((100, 20), 100)], indirect=["recording"])
def test_a_recording_of_a_deeper_feed_ends_as_deep_as_it_is(recording: Path, n_bids: int, path: str) -> None:
    found = replay([recording], "kraken", path)["ABC/USD"]
    assert (found["state"], found["book"]["checksum_ok"], found["book"]["checksum_bad"]) == ("LIVE", 2, 0)
    assert (found["book"]["n_bids"], found["book"]["n_asks"]) == (n_bids, 20)
    assert found["book"]["bids"][0] == ["50.00", "1.500"]
    assert found["trades"]["first"] == [["7", "10.25", "1.500", "buy"]]


def test_only_feeds_that_push_their_books_are_read(tmp_path: Path) -> None:
    from venuemesh.connectors.binance import CONNECTOR as BINANCE

    assert first_books(BINANCE.codec(), {}, [tmp_path / "none.jsonl"]) == {}
