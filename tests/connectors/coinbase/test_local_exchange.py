"""The connector against the local exchange, which was written from the same manual and shares no code with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes.local_books import held, real, seen, undisturbed, until
from venuemesh import NotOffered
from venuemesh.connectors.coinbase import CONNECTOR
from venuemesh.model.events import BookState
from venuemesh.testing import LocalExchange, LocalMesh, local_exchange

PAIR, OTHER = "BTC-USDT", "ETH-BTC"
BOOK = "level2_batch:BTC-USDT"


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with local_exchange([PAIR, OTHER], protocol="coinbase") as running:
        yield running


@pytest.fixture(scope="module")
def mesh(exchange: LocalExchange) -> Iterator[LocalMesh]:
    at = {"rest": exchange.urls["rest"], "ws": exchange.urls["ws"], "pairs": list(exchange.pairs)}
    config = {"mesh": {"name": "local", "heartbeat_limit_s": 2.0}, "exchanges": {"coinbase": at}}
    with LocalMesh(config, connectors=[CONNECTOR]) as made:
        yield made
        assert not made.failures


@pytest.fixture(autouse=True)
def live(exchange: LocalExchange, mesh: LocalMesh) -> Iterator[None]:
    with undisturbed(exchange, mesh):
        yield


def agree(exchange: LocalExchange, mesh: LocalMesh) -> None:
    """Return whether every book at rest is LIVE and equals the exchange's, level by level."""
    exchange.admin.pause(0.2)
    for pair in (PAIR, OTHER):
        book = mesh.market("coinbase").order_book(pair)
        until(lambda book=book, pair=pair: book.is_live and held(mesh, pair) == real(exchange, pair))


def after(exchange: LocalExchange, kind: str, **more: Any) -> Callable[[], bool]:
    """Make a fault happen to the pair's book; return whether it has happened."""
    done = exchange.admin.faults()["done"].get(kind, 0)
    exchange.admin.fault(kind=kind, count=1, symbol="BTCUSDT", stream=BOOK, **more)
    return lambda: exchange.admin.faults()["done"].get(kind, 0) > done


def test_books_and_trades_are_those_of_the_exchange(exchange: LocalExchange, mesh: LocalMesh) -> None:
    until(lambda: all(seen(mesh, pair)["updates"] > 20 for pair in (PAIR, OTHER)))
    until(lambda: seen(mesh)["trades"] > 0)
    agree(exchange, mesh)
    now = seen(mesh)
    book = exchange.admin.book("BTCUSDT")
    assert (now["n_bids"], now["n_asks"]) == (len(book["bids"]), len(book["asks"]))  # the entire book
    assert (now["unreadable"], now["resyncs"], now["missed_trades"]) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["snapshot", "duplicate"])
def test_a_book_in_the_middle_and_a_repeated_change_stay_live(
    exchange: LocalExchange, mesh: LocalMesh, kind: str
) -> None:
    before = seen(mesh)
    until(after(exchange, kind))
    until(lambda: seen(mesh)["updates"] > before["updates"] + 5)
    agree(exchange, mesh)
    now = seen(mesh)
    assert (now["resyncs"], now["unreadable"]) == (before["resyncs"], before["unreadable"])


def test_a_damaged_frame_is_noticed_and_healed_and_the_other_pair_continues(
    exchange: LocalExchange, mesh: LocalMesh
) -> None:
    before, other = seen(mesh), seen(mesh, OTHER)
    until(after(exchange, "corrupt", mode="truncate"))
    until(lambda: seen(mesh)["resyncs"] > before["resyncs"])
    agree(exchange, mesh)
    assert seen(mesh, OTHER)["resyncs"] == other["resyncs"]


def test_a_lost_match_is_counted(exchange: LocalExchange, mesh: LocalMesh) -> None:
    """The manual: matches may be dropped; the numbers of trades show it."""
    before = seen(mesh)["missed_trades"]
    exchange.admin.fault(kind="drop", count=1, symbol="BTCUSDT", stream="matches:BTC-USDT")
    for _ in range(2):
        exchange.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.001")
    until(lambda: seen(mesh)["missed_trades"] > before)


def test_a_pair_that_does_not_trade_is_halted(exchange: LocalExchange, mesh: LocalMesh) -> None:
    exchange.admin.status("BTCUSDT", "CANCEL_ONLY")
    until(lambda: seen(mesh)["state"] == BookState.HALTED.name)
    exchange.admin.status("BTCUSDT", "TRADING")
    until(lambda: seen(mesh)["state"] == BookState.LIVE.name)


def test_a_refused_pair_does_not_affect_the_other_one(exchange: LocalExchange, mesh: LocalMesh) -> None:
    other = seen(mesh, OTHER)
    exchange.admin.delist("BTCUSDT")
    until(lambda: seen(mesh, OTHER)["updates"] > other["updates"] + 5)
    exchange.admin.list("BTCUSDT")
    until(lambda: seen(mesh)["state"] == BookState.LIVE.name)
    assert seen(mesh, OTHER)["resyncs"] == other["resyncs"]


def test_candles_and_tickers_are_those_of_the_exchanges_trades(exchange: LocalExchange, mesh: LocalMesh) -> None:
    market = mesh.market("coinbase")
    exchange.admin.order("ETHBTC", "BUY", type="MARKET", quantity="0.5")
    exchange.admin.pause(0.2)
    made = exchange.admin.trades("ETHBTC")["trades"]
    prices, volume = [Decimal(trade["price"]) for trade in made], sum(Decimal(trade["size"]) for trade in made)
    candles = market.candles(OTHER, "1m", limit=100)
    assert sum(each.volume for each in candles) == volume
    assert max(each.high for each in candles) == max(prices)
    assert min(each.low for each in candles) == min(prices)
    assert (candles[0].open, candles[-1].close) == (prices[0], prices[-1])
    ticker = market.ticker(OTHER)
    assert (ticker.last_price, ticker.high, ticker.low) == (prices[-1], max(prices), min(prices))
    assert (ticker.volume, ticker.bid) == (volume, None)
    assert ticker.quote_volume == volume * prices[-1]
    with pytest.raises(NotOffered, match=r"its intervals are 1m, 5m, 15m, 1h, 6h, 1d"):
        market.candles(OTHER, "1w")
