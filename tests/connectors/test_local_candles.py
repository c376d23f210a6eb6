"""Candles and tickers of every exchange, through a mesh, from the local exchange: they agree with its own trades."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest

from venuemesh import Market, NotOffered, Rejected, RetryLater, UnknownInstrument
from venuemesh.model.candle import Candle
from venuemesh.model.time import DAY_NS, MINUTE_NS
from venuemesh.testing import LocalExchange, LocalMesh, local_exchange

PAIR = "BTC-USDT"
SYMBOL = "BTCUSDT"
STREAMS = {  # of candles of a minute, as each protocol names it
    "binance": "btcusdt@kline_1m",
    "bybit": "kline.1.BTCUSDT",
    "htx": "market.btcusdt.kline.1min",
    "kraken": "ohlc-1:BTC/USDT",
    "okx": "candle1m:BTC-USDT",
}
STATES_OPEN = {"binance", "bybit", "htx", "okx"}  # the price of 24 hours ago
STATES_QUOTE = {"binance", "bybit", "htx", "okx"}


@pytest.fixture(scope="module", params=["binance", "bybit", "htx", "kraken", "okx"])
def exchange(request: pytest.FixtureRequest) -> Iterator[LocalExchange]:
    with local_exchange([PAIR], protocol=request.param) as running:
        yield running


@pytest.fixture(scope="module")
def market(request: pytest.FixtureRequest, exchange: LocalExchange) -> Iterator[Market]:
    name = exchange.protocol
    at = {"rest": exchange.urls["rest"], "ws": exchange.urls["ws"], "pairs": [PAIR]}
    with LocalMesh({"mesh": {"name": f"candles-{name}"}, "exchanges": {name: at}}) as mesh:
        mesh.wait_ready()
        market = mesh.market(name)
        next(market.trades(PAIR))
        exchange.admin.pause(0.2)
        yield market
        assert not mesh.failures


def test_the_candles_add_up_to_the_trades_of_the_exchange(exchange: LocalExchange, market: Market) -> None:
    made = exchange.admin.trades(PAIR.replace("-", ""))["trades"]
    prices = [Decimal(trade["price"]) for trade in made]
    candles = market.candles(PAIR, "1m", limit=100)
    assert made
    assert sum(each.volume for each in candles) == sum(Decimal(trade["size"]) for trade in made)
    assert max(each.high for each in candles) == max(prices)
    assert min(each.low for each in candles) == min(prices)
    assert (candles[0].open, candles[-1].close) == (prices[0], prices[-1])
    assert [each.close_ns for each in candles[:-1]] == [each.open_ns for each in candles[1:]]
    assert all(each.is_closed for each in candles[:-1])
    assert not candles[-1].is_closed
    assert (candles[-1].quote_volume is not None) == (exchange.protocol in STATES_QUOTE)


def test_a_stretch_of_time_and_longer_candles(market: Market) -> None:
    last = market.candles(PAIR, "1m", limit=1)[-1]
    (again,) = market.candles(PAIR, "1m", start=last.open_ns, end=last.open_ns + 1)
    assert replace(again, is_closed=last.is_closed) == last
    assert market.candles(PAIR, "1m", start=last.open_ns + DAY_NS) == []
    hour = market.candles(PAIR, "1h", limit=3)[-1]
    week = market.candles(PAIR, "1w", limit=2)[-1]
    assert week.open_ns <= hour.open_ns <= last.open_ns < last.close_ns <= hour.close_ns <= week.close_ns
    assert week.close == hour.close == last.close


def test_unavailable_candles_are_a_typed_error(exchange: LocalExchange, market: Market) -> None:
    with pytest.raises(NotOffered, match=r"its intervals are .*1m, .*1h"):
        market.candles(PAIR, "7m")
    with pytest.raises(UnknownInstrument):
        market.candles("NO-SUCH", "1m")
    with pytest.raises(Rejected, match=r"too_many|too_old"):
        market.candles(PAIR, "1m", start=DAY_NS)


def test_the_ticker_agrees_with_the_trades_of_the_exchange(exchange: LocalExchange, market: Market) -> None:
    made = exchange.admin.trades(PAIR.replace("-", ""))["trades"]
    prices = [Decimal(trade["price"]) for trade in made]
    ticker = market.ticker(PAIR)
    assert (ticker.last_price, ticker.high, ticker.low) == (prices[-1], max(prices), min(prices))
    assert ticker.volume == sum(Decimal(trade["size"]) for trade in made)
    assert (ticker.open is not None) == (exchange.protocol in STATES_OPEN)
    assert ticker.bid is not None
    assert ticker.ask is not None
    assert ticker.bid < ticker.ask


@dataclass
class Follower:
    """A reader of live candles, and the exchange's clock, which it sets forward by minutes."""

    exchange: LocalExchange
    changes: Iterator[Candle]
    closed: list[Candle] = field(default_factory=list)
    last: Candle | None = None
    minutes: int = 0

    def until(self, reached: Callable[[Candle], bool]) -> None:
        """Read changes until one is reached; each closed candle comes once, and candles come in order."""
        while True:
            candle = next(self.changes)
            assert self.last is None or candle.open_ns >= self.last.open_ns
            assert not self.closed or candle.open_ns == self.closed[-1].close_ns
            self.last = candle
            if candle.is_closed:
                self.closed.append(candle)
            if reached(candle):
                return

    def trade(self, size: str = "0.01") -> None:
        self.exchange.admin.order(SYMBOL, "BUY", type="MARKET", quantity=size)

    def next_minute(self) -> int:
        """Set the exchange's clock forward to the next minute, and trade; return the opening of that minute."""
        self.minutes += 1
        self.exchange.admin.clock(self.minutes * 60_000.0)
        self.trade()
        return int(self.made()[-1]["time_ns"]) // MINUTE_NS * MINUTE_NS

    def made(self) -> list[dict[str, Any]]:
        return list(self.exchange.admin.trades(SYMBOL)["trades"])

    def to_next_minute(self) -> None:
        """Set the clock forward, and read until the new minute's candle."""
        opened = self.next_minute()
        self.until(lambda candle: candle.open_ns == opened)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def candle_of(made: list[dict[str, Any]], open_ns: int) -> tuple[Decimal, ...]:
    """Open, high, low, close and volume of the trades of a minute; without trades, the price before it.

    The wall clock may pass a minute between two settings of the exchange's clock, so a minute may have no trade.
    """
    inside = [trade for trade in made if open_ns <= trade["time_ns"] < open_ns + MINUTE_NS]
    prices = [Decimal(trade["price"]) for trade in inside]
    if not inside:
        prices = [Decimal([trade for trade in made if trade["time_ns"] < open_ns][-1]["price"])]
    return prices[0], max(prices), min(prices), prices[-1], sum(Decimal(trade["size"]) for trade in inside)  # type: ignore[return-value]


def test_live_candles_survive_what_a_connection_can_do(exchange: LocalExchange, market: Market) -> None:
    """Lost, repeated and late frames, and a lost connection: every closed candle comes once, and is the exchange's."""
    admin, stream = exchange.admin, STREAMS[exchange.protocol]
    follower = Follower(exchange, market.candle_changes(PAIR, "1m", timeout_s=30.0))
    follower.until(lambda candle: not candle.is_closed)
    before = follower.last
    assert before is not None
    follower.trade()
    follower.until(lambda candle: candle.volume >= before.volume + Decimal("0.01") or candle.open_ns > before.open_ns)
    follower.to_next_minute()

    admin.fault(kind="drop", stream=stream)  # also the last states and the end of the candle
    follower.trade()
    follower.next_minute()
    wait_for(lambda: admin.faults()["faults"][0]["done"] > 0)
    admin.clear_faults()
    follower.to_next_minute()

    admin.fault(kind="duplicate", stream=stream, probability=0.7)
    admin.fault(kind="reorder", stream=stream, probability=0.5, ms=1500)
    for _ in range(2):
        follower.trade()
        follower.to_next_minute()
    admin.clear_faults()

    admin.cut()
    follower.trade("0.02")
    follower.to_next_minute()
    follower.to_next_minute()

    made = follower.made()
    assert len(follower.closed) >= 6
    for each in follower.closed[1:]:
        assert (each.open, each.high, each.low, each.close, each.volume) == candle_of(made, each.open_ns)
    first, *_, last = follower.closed
    kept = market.candles(PAIR, "1m", start=first.open_ns, end=last.close_ns)
    assert kept == follower.closed
    resumed = market.candle_changes(PAIR, "1m", start=follower.closed[-3].open_ns, timeout_s=10.0)
    assert [next(resumed) for _ in range(3)] == follower.closed[-3:]


def test_an_interval_without_a_stream_and_silence_are_typed_errors(market: Market) -> None:
    with pytest.raises(NotOffered, match="its intervals are"):
        next(market.candle_changes(PAIR, "7m"))
    with pytest.raises(UnknownInstrument):
        next(market.candle_changes("NO-SUCH", "1m"))
    quiet = market.candle_changes(PAIR, "1w", start=2**62, timeout_s=0.3)
    with pytest.raises(RetryLater, match=r"no candle of BTC-USDT 1w for 0\.3 s"):
        next(quiet)
