"""Recordings of feeds that push their books replay to exactly the stated books, with small codecs of their styles.

The codecs read only the messages of these recordings: Kraken's websocket v2 `book` at depth 10 (CRC-32 of the top ten,
window cut by the client) and Bybit's v5 `orderbook.500` (`u` rises by one, `u` = 1 restarts).
"""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pytest

from tests.fakes.captures import captures
from tests.fakes.styles import ChecksummedCodec, StyledCodec, connector
from venuemesh.actors.recording.file import read
from venuemesh.actors.recording.replay import Replay
from venuemesh.connectors.reading import levels
from venuemesh.connectors.spec import BookFeed, BookSource, Proof
from venuemesh.model.events import BookState, DepthDelta, DepthSnapshot, Levels
from venuemesh.model.instrument import Instrument

XRP = Instrument("acme", "XRP-USDT", "XRPUSDT", "XRP", "USDT", 4, 0)
BTC = Instrument("acme", "BTC-USD", "BTC/USD", "BTC", "USD", 1, 8)


class KrakenReader(ChecksummedCodec):
    """Source: docs.kraken.com, websocket v2, Book and Book checksum, read 2026-11-27."""

    def symbol_of(self, frame: Any) -> str | None:
        message = orjson.loads(frame)
        return message["data"][0]["symbol"] if message.get("channel") == "book" else None

    def decode(self, frame: Any, recv_ns: int) -> Any:
        message = json.loads(bytes(frame), parse_float=Decimal, parse_int=Decimal)
        (data,) = message["data"]
        instrument = self._bound.get(data["symbol"])
        if instrument is None:
            return super().decode(b'{"t":"unbound"}', recv_ns)

        def side(name: str) -> Levels:
            rows = [(instrument.price_raw(row["price"]), instrument.size_raw(row["qty"])) for row in data[name]]
            return np.array(rows, np.int64).reshape(-1, 2)

        bids, asks, checksum = side("bids"), side("asks"), int(data["checksum"])
        if message["type"] == "snapshot":
            whole = [len(rows) < self.spec.book.window for rows in (bids, asks)]
            return [DepthSnapshot(instrument.symbol, 0, bids, asks, *whole, None, recv_ns, None, checksum)]
        return [DepthDelta(instrument.symbol, 0, 0, bids, asks, None, recv_ns, checksum=checksum)]


class BybitReader(StyledCodec):
    """Source: bybit-exchange/docs, v5/websocket/public/orderbook.mdx, read 2026-11-27."""

    def symbol_of(self, frame: Any) -> str | None:
        message = orjson.loads(frame)
        return message["data"]["s"] if message.get("topic", "").startswith("orderbook.") else None

    def decode(self, frame: Any, recv_ns: int) -> Any:
        message = orjson.loads(frame)
        data = message["data"]
        instrument = self._bound.get(data["s"])
        if instrument is None:
            return super().decode(b'{"t":"unbound"}', recv_ns)
        bids, asks, number = levels(instrument, data["b"]), levels(instrument, data["a"]), data["u"]
        if message["type"] == "snapshot" or number == 1:
            whole = [len(rows) < self.spec.book.window for rows in (bids, asks)]
            return [DepthSnapshot(instrument.symbol, number, bids, asks, *whole, None, recv_ns)]
        return [DepthDelta(instrument.symbol, number, number, bids, asks, None, recv_ns)]


CASES = {
    "kraken": (KrakenReader, BookFeed(BookSource.PUSHED, Proof.CHECKSUM, window=10), BTC, "book_v2.jsonl.gz"),
    "bybit": (BybitReader, BookFeed(BookSource.PUSHED, Proof.STEP, window=500), XRP, "orderbook_500.jsonl.gz"),
}


def replayed(exchange: str, lose: int | None = None, twice: bool = False, **feed: Any) -> tuple[Replay, Any]:
    """Replay the recording without its frame `lose`; with `twice` its first frame comes again at the end."""
    reader, book, instrument, name = CASES[exchange]
    made = connector("step", reader)
    made = replace(made, spec=replace(made.spec, book=replace(book, **feed), decimals_by_pair=True, gzip=False))
    run = Replay(made.codec(), {instrument.symbol: instrument}, {}, fast=True)
    records = list(read(captures(exchange) / name))
    for number, record in enumerate([*records, *(records[:1] if twice else [])]):
        if number != lose:
            run.feed(name, record)
    expected = json.loads((captures(exchange) / "expected.json").read_text())[f"{name} {instrument.symbol}"]["book"]
    return run, expected


@pytest.mark.parametrize("exchange", CASES)
def test_the_recording_ends_as_stated(exchange):
    run, expected = replayed(exchange)
    ((symbol, found),) = run.result().items()
    book = found["book"] | {"snapshots": run.ingest.pairs[symbol].machine.counters.snapshots}
    stated = {key: value for key, value in expected.items() if key not in ("last_seq", "seq_went_back")}
    assert {key: book[key] for key in stated} == stated
    assert found["state"] == "LIVE"
    held = run.ingest.pairs[symbol].book
    assert (held.proven_bids, held.proven_asks) == (held.n_bids, held.n_asks)


@pytest.mark.parametrize(("exchange", "lose"), [("kraken", 100), ("bybit", 10)])
def test_a_lost_frame_of_the_recording_is_noticed_and_the_next_book_repairs_it(exchange, lose):
    run, _ = replayed(exchange, lose)
    (pair,) = run.ingest.pairs.values()
    assert pair.machine.state is BookState.GAP
    run, _ = replayed(exchange, lose, twice=True)
    (pair,) = run.ingest.pairs.values()
    assert pair.machine.state is BookState.LIVE


def test_a_window_that_is_not_cut_fails_the_checksums():
    run, expected = replayed("kraken", window=1000)
    ((_, found),) = run.result().items()
    assert found["book"]["checksum_bad"] > 0
    assert found["state"] != "LIVE"
    assert expected["checksum_bad"] == 0
