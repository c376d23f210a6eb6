"""Recordings of the local exchange replay to the exchange's own books."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.exchange_process import ExchangeProcess
from tests.truth.child import PATIENCE_S
from tests.truth.harness import raw
from venuemesh.actors.recording.file import read
from venuemesh.actors.recording.record import record
from venuemesh.actors.recording.replay import Replay, replay
from venuemesh.connectors import registry
from venuemesh.connectors.transport import Feed
from venuemesh.model.events import BookState, Side

PAIRS = ["BTC-USDT", "ETH-BTC"]


class Watched:
    """The recorder's connection, and through it the books that the recorder keeps."""

    def __init__(self) -> None:
        self.session: Any = None

    def feed(self, url: Any, handler: Any, **options: Any) -> Feed:
        self.session = handler
        return Feed(url, handler, **options)

    def live(self) -> dict[str, int]:
        """Update ids of the books that are LIVE, by symbol."""
        pairs = {} if self.session is None else self.session.ingest.pairs
        return {s: pair.machine.sequence for s, pair in pairs.items() if pair.machine.state is BookState.LIVE}


async def until(what: str, probe: Any) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not probe():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.02)


async def record_to_rest(exchange: ExchangeProcess, out: Path, drops: int) -> dict[str, Any]:
    """Record some traffic, with gaps on request, until the exchange is at rest; return its update ids."""
    admin = exchange.admin
    watched, stop = Watched(), asyncio.Event()
    recording = asyncio.create_task(
        record("binance", PAIRS, out, rest=exchange.rest, ws=exchange.ws, connect=watched.feed, stop=stop)
    )
    symbols = [pair.replace("-", "") for pair in PAIRS]
    try:
        await until("every book is LIVE", lambda: len(watched.live()) == len(PAIRS))
        first = watched.live()  # a gap is one only after a delta: before, the snapshot is merely too old
        await until("deltas came", lambda: all(watched.live().get(s, 0) > first[s] for s in symbols))
        if drops:
            rule = await asyncio.to_thread(
                admin.fault, kind="drop", stream="btcusdt@depth@100ms", probability=0.3, count=drops
            )

            def dropped() -> bool:
                return any(r["id"] == rule["id"] and r["done"] == drops for r in admin.faults()["faults"])

            await until("frames were dropped", dropped)
            await asyncio.to_thread(admin.clear_faults)
        passed = {symbol: admin.book(symbol)["update_id"] for symbol in symbols}
        await until("traffic went on", lambda: all(watched.live().get(s, 0) > passed[s] + 200 for s in symbols))
        final: dict[str, Any] = (await asyncio.to_thread(admin.pause, 5.0))["update_ids"]
        await until("everything arrived", lambda: watched.live() == {s: final[s] for s in symbols})
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            result = await recording
    finally:
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)
    assert all(found["state"] == "LIVE" for found in result["pairs"].values()), result
    return {symbol: final[symbol] for symbol in symbols}


@pytest.mark.parametrize("drops", [0, 2])
async def test_replay_gives_the_exchange_its_book(exchange: ExchangeProcess, tmp_path: Path, drops: int) -> None:
    """Both paths end with the exchange's own book at rest, with or without gaps."""
    out = tmp_path / "recording.jsonl.zst"
    try:
        final = await record_to_rest(exchange, out, drops)
        books = {symbol: exchange.admin.book(symbol) for symbol in final}
    finally:
        exchange.admin.clear_faults()
        exchange.admin.resume()
    fast, slow = replay([out], "binance", "fast"), replay([out], "binance", "slow")
    assert fast == slow
    assert sorted(fast) == sorted(pair.replace("-", "") for pair in PAIRS)
    for symbol, found in fast.items():
        book, right = found["book"], books[symbol]
        assert found["state"] == "LIVE", found
        assert book["last_id"] == final[symbol]
        assert book["crossed_after"] == 0
        assert (book["gaps"] > 0) is (drops > 0 and symbol == "BTCUSDT")
        assert (book["bids"], book["asks"]) == (right["bids"][:5], right["asks"][:5])
        assert book["applied"] > 0
        _whole(out, symbol, right)


def _whole(out: Path, symbol: str, right: dict[str, Any]) -> None:
    """Check that every proven level of the replayed book is the exchange's."""
    codec_of = registry.connector("binance").codec
    records = list(read(out))
    listed = next(r for r in records if r.kind == "http" and codec_of().recognise(r.url) == "instruments")
    instruments = {found.symbol: found for found in codec_of().instruments(listed.raw)}
    run = Replay(codec_of(), instruments, {}, fast=True)
    for recorded in records:
        run.feed(out.name, recorded)
    book, instrument = run.ingest.pairs[symbol].book, instruments[symbol]
    units = 10 ** (8 - instrument.price_scale), 10 ** (8 - instrument.size_scale)
    for side, rows, proven in (
        (Side.BUY, right["bids"], book.proven_bids),
        (Side.SELL, right["asks"], book.proven_asks),
    ):
        held = [(price * units[0], size * units[1]) for price, size in book.levels(side, proven).tolist()]
        assert proven >= 20
        assert held == [(raw(price), raw(size)) for price, size in rows[:proven]]
