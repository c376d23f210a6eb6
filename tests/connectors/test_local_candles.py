"""Candles and tickers of every exchange, through a mesh, from the local exchange: they agree with its own trades."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from venuemesh import Market, NotOffered, Rejected, UnknownInstrument
from venuemesh.model.time import DAY_NS
from venuemesh.testing import LocalExchange, LocalMesh, local_exchange

PAIR = "BTC-USDT"
STATES_OPEN = {"binance", "bybit", "okx"}  # the price of 24 hours ago
STATES_QUOTE = {"binance", "bybit", "okx"}


@pytest.fixture(scope="module", params=["binance", "bybit", "kraken", "okx"])
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
