"""Coinbase Exchange's public REST endpoints, in the shapes of the manual."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest

from tests.exchange.coinbase.conftest import CoinbaseExchange


async def test_the_time(coinbase: CoinbaseExchange) -> None:
    assert await coinbase.query("/time") == {"iso": "2023-11-14T22:13:20.000000Z", "epoch": 1700000000.0}


async def test_products_and_their_states(coinbase: CoinbaseExchange) -> None:
    """rest, Get all known trading pairs: at most one restriction is true."""
    listed = {row["id"]: row for row in await coinbase.query("/products")}
    assert sorted(listed) == ["BTC-USDT", "ETH-USDT"]
    row = listed["BTC-USDT"]
    assert (row["base_currency"], row["quote_currency"], row["quote_increment"]) == ("BTC", "USDT", "0.01")
    assert (row["base_increment"], row["min_market_funds"], row["status"]) == ("0.00001", "5", "online")
    assert "base_min_size" not in row
    for status, word in (("CANCEL_ONLY", "cancel_only"), ("HALT", "trading_disabled"), ("END_OF_DAY", "auction_mode")):
        await coinbase.admin.status("BTCUSDT", status)
        row = await coinbase.query("/products/BTC-USDT")
        words = ("trading_disabled", "cancel_only", "post_only", "limit_only", "auction_mode")
        assert [name for name in words if row[name]] == [word]


async def test_a_book_has_one_level_all_levels_or_all_orders(coinbase: CoinbaseExchange) -> None:
    """rest, Get product book, Levels: never cut."""
    one, two, three = [await coinbase.query("/products/BTC-USDT/book", level=level) for level in (1, 2, 3)]
    assert (len(one["bids"]), len(one["asks"])) == (1, 1)
    assert one["bids"][0] == two["bids"][0]
    assert (len(two["bids"]), len(two["asks"])) == (60, 60)
    assert one["sequence"] == two["sequence"] == three["sequence"]
    bids, asks = ([Decimal(price) for price, _, _ in two[side]] for side in ("bids", "asks"))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    of_best = [row for row in three["asks"] if row[0] == two["asks"][0][0]]
    assert (len(of_best), sum(Decimal(row[1]) for row in of_best)) == (two["asks"][0][2], Decimal(two["asks"][0][1]))
    ids = [uuid.UUID(order) for side in ("bids", "asks") for _, _, order in three[side]]
    assert len(set(ids)) == len(ids) >= 120


async def test_statistics_trades_and_candles(coinbase: CoinbaseExchange) -> None:
    assert (await coinbase.query("/products/BTC-USDT/ticker"))[0] == 404
    await coinbase.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.5")
    coinbase.advance(60_000, 1000)
    await coinbase.admin.order("BTCUSDT", "SELL", type="MARKET", quantity="0.25")
    trades = await coinbase.query("/products/BTC-USDT/trades")
    assert (trades[0]["side"], trades[-1]["side"]) == ("buy", "sell")  # the maker's
    numbers = [row["trade_id"] for row in trades]
    assert numbers == list(range(numbers[0], numbers[-1] - 1, -1))
    older = await coinbase.query("/products/BTC-USDT/trades", after=numbers[0], limit=1)
    assert [row["trade_id"] for row in older] == [numbers[1]]
    day = await coinbase.query("/products/BTC-USDT/stats")
    assert (day["last"], Decimal(day["volume"])) == (trades[0]["price"], Decimal("0.75"))
    assert (await coinbase.query("/products/stats"))["BTC-USDT"]["stats_24hour"] == day
    ticker = await coinbase.query("/products/BTC-USDT/ticker")
    assert (ticker["price"], ticker["trade_id"]) == (trades[0]["price"], numbers[0])
    candles = await coinbase.query("/products/BTC-USDT/candles", granularity=60)
    assert [(row[0], row[5]) for row in candles] == [(1700000040, 0.25), (1699999980, 0.5)]
    window = {"start": "2023-11-14T22:13:00Z", "end": "2023-11-14T22:13:59Z", "granularity": 60}
    assert await coinbase.query("/products/BTC-USDT/candles", **window) == candles[1:]


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/products/NO-PE/book", {}, 404),
        ("/products/BTC-USDT/book", {"level": "4"}, 400),
        ("/products/BTC-USDT/candles", {"granularity": "61"}, 400),
        ("/products/BTC-USDT/candles", {"start": "0", "end": "90001", "granularity": "300"}, 400),
        ("/products/BTC-USDT/candles", {"start": "noon", "end": "90000", "granularity": "300"}, 400),
        ("/products/BTC-USDT/trades", {"limit": "1001"}, 400),
        ("/nothing", {}, 404),
    ],
)
async def test_refusals_have_a_status_and_a_text(
    coinbase: CoinbaseExchange, path: str, sent: dict[str, str], status: int
) -> None:
    found, text = await coinbase.query(path, **sent)
    assert found == status
    assert text


async def test_an_address_has_a_bucket_that_refills(coinbase: CoinbaseExchange) -> None:
    """rest, How Rate Limits Work: a burst of 15, and 10 a second."""
    answers = [await coinbase.query("/time") for _ in range(16)]
    assert [type(answer) for answer in answers] == [dict] * 15 + [tuple]
    assert answers[15] == (429, "Public rate limit exceeded")
    coinbase.advance(200)
    after: list[Any] = [await coinbase.query("/time") for _ in range(3)]
    assert [type(answer) for answer in after] == [dict, dict, tuple]


async def test_faults_of_requests(coinbase: CoinbaseExchange) -> None:
    await coinbase.admin.fault(kind="status", endpoint="/products/{id}/book", status=503, count=1)
    assert (await coinbase.query("/products/BTC-USDT/book"))[0] == 503
    await coinbase.admin.fault(kind="status", endpoint="GET /time", status=429, count=1)
    assert (await coinbase.query("/time"))[0] == 429
    async with coinbase.session.post(coinbase.coinbase["rest"] + "/time") as response:
        assert response.status == 404
