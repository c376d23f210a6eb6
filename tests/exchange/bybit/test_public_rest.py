"""Bybit's public REST endpoints, in the shapes of the manual."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest

from tests.exchange.bybit.conftest import BybitExchange


async def test_the_time(bybit: BybitExchange) -> None:
    """market/time.mdx."""
    assert await bybit.query("time") == {"timeSecond": "1700000000", "timeNano": "1700000000000000000"}


async def test_spot_lists_what_trades_on_one_page(bybit: BybitExchange) -> None:
    """market/instrument.mdx: spot has `Trading` only, and no cursor."""
    answer = await bybit.query("instruments-info", category="spot")
    assert sorted(answer) == ["category", "list"]
    listed = {row["symbol"]: row for row in answer["list"]}
    assert sorted(listed) == ["BTCUSDT", "ETHUSDT"]
    row = listed["BTCUSDT"]
    assert (row["baseCoin"], row["quoteCoin"], row["status"]) == ("BTC", "USDT", "Trading")
    assert (row["priceFilter"], row["lotSizeFilter"]["basePrecision"]) == ({"tickSize": "0.01"}, "0.00001")
    await bybit.admin.status("BTCUSDT", "HALT")
    answer = await bybit.query("instruments-info", category="spot")
    assert [row["symbol"] for row in answer["list"]] == ["ETHUSDT"]
    one = await bybit.query("instruments-info", category="spot", symbol="ETHUSDT")
    assert [row["symbol"] for row in one["list"]] == ["ETHUSDT"]
    empty = {"category": "linear", "list": [], "nextPageCursor": ""}
    assert await bybit.query("instruments-info", category="linear") == empty


async def test_the_order_book(bybit: BybitExchange) -> None:
    """market/orderbook.mdx: one level by default, at most 1000."""
    best = await bybit.query("orderbook", category="spot", symbol="BTCUSDT")
    assert (best["s"], len(best["b"]), len(best["a"])) == ("BTCUSDT", 1, 1)
    book = await bybit.query("orderbook", category="spot", symbol="BTCUSDT", limit=1000)
    assert (len(book["b"]), len(book["a"])) == (60, 60)
    bids, asks = ([Decimal(price) for price, _ in book[side]] for side in "ba")
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert book["seq"] == bybit.market.update_id


async def test_tickers_trades_and_candles(bybit: BybitExchange) -> None:
    """market/tickers.mdx, market/recent-trade.mdx, market/kline.mdx: the newest first, ids are UUIDs."""
    await bybit.admin.order("BTCUSDT", "BUY", type="MARKET", quantity="0.5")
    bybit.advance(60_000, 1000)
    await bybit.admin.order("BTCUSDT", "SELL", type="MARKET", quantity="0.25")
    (ticker,) = (await bybit.query("tickers", category="spot", symbol="BTCUSDT"))["list"]
    book = await bybit.query("orderbook", category="spot", symbol="BTCUSDT")
    assert [ticker["bid1Price"], ticker["bid1Size"]] == book["b"][0]
    assert Decimal(ticker["volume24h"]) == Decimal("0.75")
    trades = (await bybit.query("recent-trade", category="spot", symbol="BTCUSDT"))["list"]
    assert trades[0]["side"] == "Sell"
    assert trades[-1]["side"] == "Buy"
    assert len({str(uuid.UUID(trade["execId"])) for trade in trades}) == len(trades)
    assert ticker["lastPrice"] == trades[0]["price"]
    spent = sum(Decimal(trade["price"]) * Decimal(trade["size"]) for trade in trades)
    assert Decimal(ticker["turnover24h"]) == spent
    candles = (await bybit.query("kline", category="spot", symbol="BTCUSDT", interval="1"))["list"]
    assert [row[0] for row in candles] == ["1700000040000", "1699999980000"]
    assert [Decimal(row[5]) for row in candles] == [Decimal("0.25"), Decimal("0.5")]
    (first,) = (await bybit.query("kline", category="spot", symbol="BTCUSDT", interval="1", end=1700000000000))["list"]
    assert first == candles[1]


@pytest.mark.parametrize(
    ("endpoint", "sent"),
    [
        ("orderbook", {"category": "spot", "symbol": "NOPE"}),
        ("orderbook", {"category": "linear", "symbol": "BTCUSDT"}),
        ("orderbook", {"category": "spot"}),
        ("orderbook", {"category": "spot", "symbol": "BTCUSDT", "limit": "1001"}),
        ("orderbook", {"category": "spot", "symbol": "BTCUSDT", "limit": "ten"}),
        ("instruments-info", {}),
        ("tickers", {"category": "moon"}),
        ("kline", {"category": "spot", "symbol": "BTCUSDT", "interval": "7"}),
    ],
)
async def test_refusals_come_with_status_200(bybit: BybitExchange, endpoint: str, sent: dict[str, str]) -> None:
    code, text = await bybit.query(endpoint, **sent)
    assert code == 10001
    assert text


async def test_an_ip_past_the_limit_is_banned_for_ten_minutes(bybit: BybitExchange) -> None:
    """rate-limit.mdx: 600 requests in 5 s, then "403, access too frequent"."""
    await bybit.admin.limits(protocol="bybit", requests=3)
    url = bybit.bybit["rest"] + "/v5/market/time"
    statuses = []
    for _ in range(4):
        async with bybit.session.get(url) as response:
            statuses.append(response.status)
    assert statuses == [200, 200, 200, 403]
    bybit.advance(599_000, 10_000)
    async with bybit.session.get(url) as response:
        assert response.status == 403
    bybit.advance(1_000)
    assert "timeNano" in await bybit.query("time")


async def test_faults_of_requests(bybit: BybitExchange) -> None:
    url = bybit.bybit["rest"] + "/v5/market/time"
    await bybit.admin.fault(kind="status", endpoint="/v5/market/time", status=503, count=1)
    async with bybit.session.get(url) as response:
        assert (response.status, (await response.json())["retCode"]) == (503, 10016)
    await bybit.admin.fault(kind="status", endpoint="GET /v5/market/time", status=429, count=1)
    async with bybit.session.get(url) as response:
        assert (response.status, (await response.json())["retCode"]) == (429, 10006)
    async with bybit.session.get(bybit.bybit["rest"] + "/v5/market/nothing") as response:
        assert response.status == 404
    async with bybit.session.post(url) as response:
        assert response.status == 404
