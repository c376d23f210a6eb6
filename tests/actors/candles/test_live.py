"""Live candles, with a connection and REST that the test controls: subscriptions, leases, refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes.clock import FakeClock, until
from tests.fakes.transport import FakeFeed, FakeRest
from venuemesh.actors.book.surroundings import Surroundings
from venuemesh.actors.candles.feed import CONFIRM_S
from venuemesh.actors.candles.live import LEASE_S, LiveCandles
from venuemesh.connectors.binance.market import BinanceCodec
from venuemesh.connectors.binance.spec import CANDLES, SPEC
from venuemesh.connectors.spec import CandleStream
from venuemesh.model.candle import Candle, close_of
from venuemesh.model.errors import RetryLater
from venuemesh.model.instrument import Instrument
from venuemesh.model.time import MINUTE_NS

BTC = Instrument("binance", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 2, 5)
ETH = Instrument("binance", "ETH-USDT", "ETHUSDT", "ETH", "USDT", 2, 5)


class Budget:
    async def connection(self) -> Callable[[], None]:
        return lambda: None

    def refused(self, status: int, headers: Any) -> None: ...


class Stage:
    """Live candles of Binance; `listed` is what REST has, by symbol."""

    def __init__(self, **stream: int) -> None:
        self.clock = FakeClock()
        self.feeds: list[FakeFeed] = []
        self.asked: list[tuple[str, str, int]] = []
        self.listed: dict[str, list[Candle]] = {"BTCUSDT": [], "ETHUSDT": []}
        self.error: Exception | None = None
        self.failed: list[BaseException] = []
        limits = {name: limit for name, limit in SPEC.limits.items() if name != "messages"}  # no pace
        offer = replace(CANDLES, stream=CandleStream(**({"pairs_per_message": 10, "max_streams": 10} | stream)))
        spec = replace(SPEC, limits=limits, candles=offer)
        around = Surroundings(
            connect=self._connect,
            rest=FakeRest(),
            budget=Budget(),  # type: ignore[arg-type]
            monotonic_ns=self.clock.monotonic_ns,
            time_ns=self.clock.time_ns,
            alive=lambda: None,
            fail=self.failed.append,
        )
        self.live = LiveCandles(lambda: BinanceCodec(spec, None, None), offer, around, self._fetch)
        self.minute = self.clock.time_ns() // MINUTE_NS * MINUTE_NS

    def _connect(self, *args: Any, **options: Any) -> FakeFeed:
        self.feeds.append(FakeFeed(*args, **options))
        return self.feeds[-1]

    async def _fetch(self, instrument: Instrument, interval: str, start_ns: int, end_ns: int) -> list[Candle]:
        self.asked.append((instrument.symbol, interval, start_ns))
        if self.error is not None:
            raise self.error
        return [each for each in self.listed[instrument.symbol] if start_ns <= each.open_ns < end_ns]

    def candle(self, number: int, volume: int, is_closed: bool = False, interval: str = "1m") -> Candle:
        open_ns, one = self.minute + number * MINUTE_NS, Decimal(100)
        close_ns = close_of(open_ns, interval)
        return Candle(open_ns, close_ns, one, one, one, one, Decimal(volume), Decimal(5), 3, is_closed)

    def stream(self, symbol: str, candle: Candle, interval: str = "1m", feed: int = 0) -> None:
        row = {"t": candle.open_ns // 10**6, "i": interval, "v": str(candle.volume), "q": "5", "n": 3}
        row |= dict.fromkeys("ohlc", "100") | {"x": candle.is_closed}
        self.feeds[feed].frame(json.dumps({"e": "kline", "E": 1, "s": symbol, "k": row}).encode())

    def open(self, feed: int = 0) -> None:
        self.feeds[feed].open(self.clock.now_ns)

    def sent(self, feed: int = 0) -> list[Any]:
        link = self.feeds[feed].link
        return [] if link is None else [(row["method"], row["params"]) for row in map(json.loads, link.sent)]

    def confirm(self, feed: int = 0) -> None:
        """Confirm every request on a connection."""
        link = self.feeds[feed].link
        assert link is not None
        for row in map(json.loads, list(link.sent)):
            self.feeds[feed].frame(json.dumps({"result": None, "id": row["id"]}).encode())

    def poll(self, instrument: Instrument = BTC, interval: str = "1m", start: int | None = None, after: int = 0) -> Any:
        return asyncio.ensure_future(self.live.poll(instrument, interval, start, after, 60.0))

    async def beat(self, seconds: float = 0.25) -> None:
        self.clock.advance(seconds)
        self.live.beat()
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def stages() -> AsyncIterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(**stream: int) -> Stage:
        made.append(Stage(**stream))
        return made[-1]

    yield make
    for stage in made:
        await stage.live.stop()
        assert stage.failed == []


async def followed(stage: Stage, *readers: tuple[Instrument, str]) -> list[Any]:
    """Poll for the first time, confirm, and return the first answers."""
    polls = [stage.poll(*reader) for reader in readers or [(BTC, "1m")]]
    await asyncio.sleep(0)
    stage.open()
    await until(lambda: len(stage.sent()) == len({interval for _, interval in readers or [(BTC, "1m")]}))
    stage.confirm()
    await stage.beat()
    return [await poll for poll in polls]


async def test_a_subscription_lives_as_long_as_readers_poll(stages: Callable[..., Stage]) -> None:
    stage = stages()
    stage.listed["BTCUSDT"] = [stage.candle(-1, 7, True), stage.candle(0, 2)]
    poll = stage.poll()
    await asyncio.sleep(0)
    stage.open()
    assert stage.sent() == [("SUBSCRIBE", ["btcusdt@kline_1m"])]
    await stage.beat()
    assert not stage.asked  # the stream is not confirmed: candles after the answer could be missed
    stage.confirm()
    await stage.beat()
    first = await poll
    assert (first["candles"], first["reason"]) == ([stage.candle(0, 2)], None)
    waiting = stage.poll(start=first["start_ns"], after=first["version"])
    await asyncio.sleep(0)
    stage.stream("BTCUSDT", stage.candle(0, 3, True))
    stage.stream("BTCUSDT", stage.candle(1, 1))
    news = await waiting
    assert news["candles"] == [stage.candle(0, 3, True), stage.candle(1, 1)]
    await stage.beat(LEASE_S - 1)
    assert stage.live.series("BTCUSDT", "1m") is not None
    link = stage.feeds[0].link
    assert link is not None
    await stage.beat(2)
    assert stage.live.series("BTCUSDT", "1m") is None
    assert json.loads(link.sent[-1])["method"] == "UNSUBSCRIBE"
    assert stage.feeds[0].stopped
    again = stage.poll()
    await asyncio.sleep(0)
    assert len(stage.feeds) == 2
    again.cancel()


async def test_a_lost_connection_is_filled_before_newer_candles_are_shown(stages: Callable[..., Stage]) -> None:
    stage = stages()
    stage.listed["BTCUSDT"] = [stage.candle(0, 2)]
    (first,) = await followed(stage)
    poll = stage.poll(start=first["start_ns"], after=first["version"])
    stage.feeds[0].close("reset by peer")
    stage.listed["BTCUSDT"] = [stage.candle(0, 9, True), stage.candle(1, 4, True), stage.candle(2, 1)]
    stage.open()
    stage.stream("BTCUSDT", stage.candle(2, 1))  # before the confirmation
    await stage.beat()
    assert not poll.done()
    stage.confirm()
    await stage.beat()
    assert (await poll)["candles"] == stage.listed["BTCUSDT"]


async def test_series_share_connections_up_to_what_one_may_carry(stages: Callable[..., Stage]) -> None:
    stage = stages(max_streams=2)
    polls = [stage.poll(BTC, "1m"), stage.poll(ETH, "1m"), stage.poll(BTC, "1h"), stage.poll(BTC, "1m")]
    await asyncio.sleep(0)
    stage.open(0)
    stage.open(1)
    assert stage.sent(0) == [("SUBSCRIBE", ["btcusdt@kline_1m", "ethusdt@kline_1m"])]
    assert stage.sent(1) == [("SUBSCRIBE", ["btcusdt@kline_1h"])]
    assert list(stage.live.status()["series"]) == ["BTC-USDT 1m", "ETH-USDT 1m", "BTC-USDT 1h"]
    for poll in polls:
        poll.cancel()


async def test_an_interval_of_a_pair_ends_without_the_other(stages: Callable[..., Stage]) -> None:
    stage = stages()
    stage.listed["BTCUSDT"] = [stage.candle(0, 2)]
    await followed(stage, (BTC, "1m"), (BTC, "3m"))
    await stage.beat(LEASE_S - 1)
    kept = stage.poll(BTC, "1m", after=2**62)
    await asyncio.sleep(0)
    await stage.beat(2)
    assert stage.sent()[-1] == ("UNSUBSCRIBE", ["btcusdt@kline_3m"])
    stage.stream("BTCUSDT", stage.candle(0, 3))
    series = stage.live.series("BTCUSDT", "1m")
    assert series is not None
    assert series.since(0)[-1].volume == 3
    kept.cancel()


async def test_a_refused_subscription_is_sent_again_and_does_not_affect_the_others(
    stages: Callable[..., Stage],
) -> None:
    stage = stages(pairs_per_message=1)
    stage.listed["ETHUSDT"] = [stage.candle(0, 2)]
    refused, good = stage.poll(BTC), stage.poll(ETH)
    await asyncio.sleep(0)
    stage.open()
    await until(lambda: len(stage.sent()) == 2)
    first, second = (json.loads(frame)["id"] for frame in stage.feeds[0].link.sent)  # type: ignore[union-attr]
    stage.feeds[0].frame(json.dumps({"error": {"code": 2, "msg": "busy"}, "id": first}).encode())
    stage.feeds[0].frame(json.dumps({"result": None, "id": second}).encode())
    await stage.beat()
    assert (await good)["reason"] is None
    assert "2: busy" in stage.live.status()["series"]["BTC-USDT 1m"]["reason"]
    await stage.beat(3.0)
    assert len(stage.sent()) == 2
    await stage.beat(3.0)
    await until(lambda: stage.sent()[2:] == [("SUBSCRIBE", ["btcusdt@kline_1m"])])
    stage.confirm()
    await stage.beat()
    assert stage.live.series("BTCUSDT", "1m") is not None
    refused.cancel()


async def test_what_is_never_confirmed_is_asked_on_a_new_connection(stages: Callable[..., Stage]) -> None:
    stage = stages()
    poll = stage.poll()
    await asyncio.sleep(0)
    stage.open()
    await stage.beat(CONFIRM_S - 1)
    assert stage.feeds[0].reconnects == []
    await stage.beat(1.1)
    assert stage.feeds[0].reconnects == ["a subscription was not confirmed within 10 s"]
    poll.cancel()


async def test_an_unreadable_frame_is_checked_over_rest_for_the_pair_that_it_names(
    stages: Callable[..., Stage],
) -> None:
    stage = stages()
    stage.listed = {"BTCUSDT": [stage.candle(0, 2)], "ETHUSDT": [stage.candle(0, 2)]}
    await followed(stage, (BTC, "1m"), (ETH, "1m"))
    stage.asked.clear()
    stage.feeds[0].frame(b'{"e":"kline","s":"ETHUSDT","k":{"t":')
    await stage.beat()
    assert [symbol for symbol, *_ in stage.asked] == ["ETHUSDT"]


async def test_candles_from_before_the_series_come_over_rest_once(stages: Callable[..., Stage]) -> None:
    stage = stages()
    stage.listed["BTCUSDT"] = [stage.candle(-600, 4, True), stage.candle(-501, 5, True), stage.candle(0, 2)]
    poll = stage.poll(start=stage.minute - 700 * MINUTE_NS)
    await asyncio.sleep(0)
    stage.open()
    stage.confirm()
    await stage.beat()
    assert (await poll)["candles"] == stage.listed["BTCUSDT"]


async def test_requests_that_fail_are_named_as_the_reason(stages: Callable[..., Stage]) -> None:
    stage = stages()
    stage.error = RetryLater(7.0, "HTTP 429")
    poll = asyncio.ensure_future(stage.live.poll(BTC, "1m", None, 0, 0.2))
    await asyncio.sleep(0)
    stage.open()
    stage.confirm()
    await stage.beat()
    answer = await poll
    assert (answer["candles"], answer["start_ns"]) == ([], None)
    assert "HTTP 429" in answer["reason"]
    stage.error = None
    await stage.beat(6.0)
    assert len(stage.asked) == 1
    await stage.beat(1.0)
    assert len(stage.asked) == 2
