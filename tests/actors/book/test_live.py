"""The book role over real sockets against the local exchange, at a high rate, with and without faults.

A sampler reads the segments throughout, as strategies do. Afterwards its LIVE samples are compared with the exchange's
own history; at rest every book must equal the exchange's, level by level.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.clock import until
from tests.fakes.context import context_of, grant
from tests.fakes.exchange_process import ExchangeProcess
from venuemesh.actors.book.role import BookRole
from venuemesh.actors.book.settings import BookSettings
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.binance.market import BinanceCodec
from venuemesh.connectors.sequence import Numbers, Verdict
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.transport import Rest
from venuemesh.model.errors import NotSynced
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.segment import SegmentReader

NAMES = ("BTC-USDT", "ETH-USDT", "BNB-BTC")
FAULTS = (
    {"kind": "drop", "probability": 0.03},
    {"kind": "duplicate", "probability": 0.05},
    {"kind": "reorder", "probability": 0.03},
    {"kind": "corrupt", "probability": 0.0005},  # each puts every book of the socket in doubt, for longer each time
    {"kind": "corrupt", "probability": 0.0005, "mode": "truncate"},
    {"kind": "skip", "probability": 0.01, "ids": 3},
    {"kind": "cut", "count": 2, "after": 100},
    {"kind": "status", "status": 503, "endpoint": "/api/v3/depth", "probability": 0.3},
    {"kind": "slow", "ms": 50, "endpoint": "/api/v3/depth", "probability": 0.5},
)

Sample = tuple[int, list[list[int]], list[list[int]]]


class Run:
    """One running role, and a reader's samples."""

    def __init__(self, role: BookRole, instruments: dict[str, Instrument], folder: Path) -> None:
        self.role, self.instruments, self.folder = role, instruments, folder
        self.samples: dict[str, dict[int, Sample]] = {name: {} for name in instruments}
        self.not_live = 0
        self.failed: list[BaseException] = []
        self.readers: dict[str, SegmentReader] = {}

    async def beat(self) -> None:
        while True:
            self.role.beat()
            await asyncio.sleep(0.05)

    async def sample(self) -> None:
        while True:
            for name in self.instruments:
                self.look(name)
            await asyncio.sleep(0.001)

    def look(self, name: str) -> None:
        reader = self.readers.get(name)
        if reader is None:
            reader = self.readers[name] = SegmentReader(self.folder / f"book~binance~{name}@1.1")
        try:
            seen = reader.snapshot()
        except NotSynced:
            self.not_live += 1
            return
        sample = (seen.sequence, seen.bids[:20].tolist(), seen.asks[:20].tolist())
        earlier = self.samples[name].setdefault(seen.sequence, sample)
        assert earlier == sample  # one sequence, one book

    def check(self, exchange: ExchangeProcess) -> int:
        """Compare every sample with the exchange's own history; return the number of samples."""
        checked = 0
        for name, instrument in self.instruments.items():
            history = exchange.admin.history(instrument.symbol)
            assert history["complete"]
            wanted = self.samples[name]
            sides: dict[str, dict[int, int]] = {"bid": {}, "ask": {}}
            for number, _, side, price, size in history["updates"]:
                raw, left = instrument.price_raw(price), instrument.size_raw(size)
                if left:
                    sides[side][raw] = left
                else:
                    sides[side].pop(raw, None)
                if number in wanted:
                    checked += 1
                    best = [sorted(sides["bid"].items(), reverse=True)[:20], sorted(sides["ask"].items())[:20]]
                    shown = [[tuple(level) for level in levels] for levels in wanted[number][1:]]
                    assert shown == best, f"{name} at {number}"
        return checked

    @property
    def sampled(self) -> int:
        """Return the number of LIVE books that a reader saw, over all pairs."""
        return sum(map(len, self.samples.values()))

    def has_seen(self, trades: int = 0, gaps: int = 0) -> bool:
        """Return whether all books together had this many trades and gaps."""
        pairs = self.role.status()["pairs"].values()
        return sum(pair["trades"] for pair in pairs) >= trades and sum(pair["gaps"] for pair in pairs) >= gaps

    async def past(self, exchange: ExchangeProcess) -> Callable[[], bool]:
        """Return a condition: every book has passed the exchange's current sequence."""
        marks = {
            name: (await asyncio.to_thread(exchange.admin.book, instrument.symbol))["update_id"]
            for name, instrument in self.instruments.items()
        }
        return lambda: all(self.role.status()["pairs"][name]["sequence"] > mark for name, mark in marks.items())

    async def equals(self, exchange: ExchangeProcess) -> bool:
        """Return whether every book is LIVE and equals the exchange's book now."""
        for name, instrument in self.instruments.items():
            there = await asyncio.to_thread(exchange.admin.book, instrument.symbol)
            here = await self.role.handle("snapshot", {"pair": name})
            if here["state"] != 3 or here["sequence"] != there["update_id"]:
                return False
            if not (here["bids_complete"] and here["asks_complete"]):  # it began with a small snapshot
                return False
            for side in ("bids", "asks"):
                held = np.frombuffer(here[side], dtype="<i8").reshape(-1, 2).tolist()
                shown = [[instrument.price_raw(Decimal(p)), instrument.size_raw(Decimal(s))] for p, s in there[side]]
                assert held == shown, f"{name} {side}"
        return True


@asynccontextmanager
async def at_work(exchange: ExchangeProcess, folder: Path) -> AsyncIterator[Run]:
    await asyncio.to_thread(folder.chmod, 0o700)
    codec = CONNECTOR.codec(exchange.rest)
    rest = Rest()
    listed = {found.name: found for found in codec.instruments((await rest.send(codec.instruments_request())).body)}
    await rest.close()
    instruments = {name: listed[name] for name in NAMES}

    run: Run
    context = context_of(
        "book/binance/group-1", segments=folder, ask=grant, fail=lambda error: run.failed.append(error)
    )
    connector = ConnectorSettings("binance", rest=exchange.rest, ws=exchange.ws, options={"snapshot_limit": 5000})
    patient_s = 30.0  # a busy machine is not what is tested here
    role = BookRole(BookSettings(connector, tuple(instruments.values()), heartbeat_limit_s=patient_s), context)
    run = Run(role, instruments, folder)
    await role.start()
    tasks = [asyncio.ensure_future(run.beat()), asyncio.ensure_future(run.sample())]
    try:
        await until(lambda: role.status()["state"] == "LIVE", 20.0)
        yield run
        assert run.failed == []
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for reader in run.readers.values():
            reader.close()
        await role.stop()


@pytest.fixture
def exchange():
    symbols = ",".join(name.replace("-", "") for name in NAMES)
    with ExchangeProcess("--rate", "3000", "--symbols", symbols, without_limits=True) as running:
        yield running


async def rest_and_compare(run: Run, exchange: ExchangeProcess) -> None:
    await asyncio.to_thread(exchange.admin.clear_faults)
    await until(await run.past(exchange), 60.0)  # a delta sent since shows what was lost of those before it
    await asyncio.to_thread(exchange.admin.pause, 1.0)
    async with asyncio.timeout(60):
        while not await run.equals(exchange):
            if run.role.status()["state"] != "LIVE":
                await asyncio.to_thread(exchange.admin.step)
            await asyncio.sleep(0.05)


async def test_books_are_the_exchanges_own_without_faults(exchange, tmp_path):
    async with at_work(exchange, tmp_path) as run:
        await until(lambda: run.has_seen(trades=1) and run.sampled > 60, 60.0)
        await rest_and_compare(run, exchange)
        report = run.role.status()
        assert sum(pair["gaps"] + pair["suspected"] for pair in report["pairs"].values()) == 0
        assert sum(pair["trades"] for pair in report["pairs"].values()) > 0
        assert await asyncio.to_thread(run.check, exchange) > 20
        assert report["socket"]["json_path"] < report["socket"]["frames"]


async def test_books_are_never_wrong_while_live_for_any_exchange_behaviour(exchange, tmp_path):
    async with at_work(exchange, tmp_path) as run:
        for fault in FAULTS:
            await asyncio.to_thread(lambda fault=fault: exchange.admin.fault(**fault))
        before = run.sampled
        await until(lambda: run.has_seen(gaps=3) and run.not_live > 0 and run.sampled > before + 30, 120.0)
        await rest_and_compare(run, exchange)
        report = run.role.status()
        assert sum(pair["gaps"] for pair in report["pairs"].values()) > 0
        assert run.not_live > 0
        assert await asyncio.to_thread(run.check, exchange) > 20


async def check_until(run: Run, exchange: ExchangeProcess, deadline_s: float) -> None:
    async with asyncio.timeout(deadline_s):
        while True:
            await asyncio.sleep(0.5)
            await asyncio.to_thread(run.check, exchange)


async def test_the_check_catches_a_rule_that_lets_gaps_pass(exchange, tmp_path, monkeypatch):
    def broken(self: BinanceCodec, sequence: int, delta: Numbers, joined: bool) -> Verdict:
        return Verdict.STALE if delta.last <= sequence else Verdict.APPLY

    monkeypatch.setattr(BinanceCodec, "classify", broken)
    async with at_work(exchange, tmp_path) as run:
        await asyncio.to_thread(lambda: exchange.admin.fault(kind="drop", probability=0.2))
        with pytest.raises(AssertionError):
            await check_until(run, exchange, 30.0)
