"""OKX's public REST endpoints, in the shapes of the manual."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.exchange.okx.conftest import OkxExchange


async def test_instruments_have_their_rules_and_states(okx: OkxExchange) -> None:
    """get-instruments."""
    listed = {row["instId"]: row for row in await okx.public("public/instruments", instType="SPOT")}
    assert sorted(listed) == ["BTC-USDT", "ETH-BTC", "ETH-USDT"]
    row = listed["BTC-USDT"]
    assert (row["baseCcy"], row["quoteCcy"], row["instType"]) == ("BTC", "USDT", "SPOT")
    assert (row["tickSz"], row["lotSz"], row["minSz"], row["state"]) == ("0.01", "0.00001", "0.00016", "live")
    assert len({each["instIdCode"] for each in listed.values()}) == 3
    await okx.admin.status("BTCUSDT", "HALT")
    (row,) = await okx.public("public/instruments", instType="SPOT", instId="BTC-USDT")
    assert row["state"] == "suspend"


async def test_the_book_is_the_engines(okx: OkxExchange) -> None:
    """get-order-book: one level by default, 400 at most."""
    truth = await okx.admin.book("BTCUSDT")
    for asked, levels in (({}, 1), ({"sz": 7}, 7), ({"sz": 5000}, 400)):
        (book,) = await okx.public("market/books", instId="BTC-USDT", **asked)
        for side in ("bids", "asks"):
            assert len(book[side]) == levels
            for (price, size, zero, orders), level in zip(book[side], truth[side], strict=False):
                assert (Decimal(price), Decimal(size)) == (Decimal(level[0]), Decimal(level[1]))
                assert zero == "0"
                assert int(orders) >= 1
        assert (book["ts"], type(book["seqId"])) == ("1700000000000", int)


async def test_trades_candles_and_tickers_agree(okx: OkxExchange) -> None:
    """get-trades (newest first), get-candlesticks, get-ticker, get-tickers."""
    await okx.admin.resume()
    okx.advance(3000)
    trades = await okx.public("market/trades", instId="BTC-USDT", limit=500)
    truth = (await okx.admin.trades("BTCUSDT"))["trades"]
    assert [int(row["tradeId"]) for row in trades] == [trade["id"] for trade in reversed(truth)]
    assert {row["side"] for row in trades} == {"buy", "sell"}
    assert await okx.public("market/trades", instId="BTC-USDT", limit=2) == trades[:2]
    volume = sum((Decimal(row["sz"]) for row in trades), Decimal(0))
    candles = await okx.public("market/candles", instId="BTC-USDT", bar="1m")
    assert sum(Decimal(row[5]) for row in candles) == volume
    assert (candles[0][8], len(candles[0])) == ("0", 9)
    assert await okx.public("market/candles", instId="BTC-USDT", after=candles[-1][0]) == []
    assert await okx.public("market/candles", instId="BTC-USDT", bar="1Dutc") != []
    history = await okx.public("market/history-candles", instId="BTC-USDT", bar="1m")
    assert history == [row for row in candles if row[8] == "1"]
    (ticker,) = await okx.public("market/ticker", instId="BTC-USDT")
    assert (Decimal(ticker["vol24h"]), ticker["last"]) == (volume, trades[0]["px"])
    assert ticker in await okx.public("market/tickers", instType="SPOT")


@pytest.mark.parametrize(
    ("name", "query", "error"),
    [
        ("market/books", {}, (400, "50014")),
        ("market/books", {"instId": "NO-PAIR"}, (200, "51001")),
        ("market/books", {"instId": "BTC-USDT", "sz": "many"}, (400, "51000")),
        ("market/candles", {"instId": "BTC-USDT", "bar": "7m"}, (400, "51000")),
        ("public/instruments", {}, (400, "50014")),
        ("public/instruments", {"instType": "NOTHING"}, (400, "51000")),
        ("account/balance", {}, (401, "50103")),
        ("nowhere", {}, (404, "404")),
    ],
)
async def test_errors_have_their_codes(okx: OkxExchange, name: str, query: dict[str, str], error: object) -> None:
    assert await okx.public(name, **query) == error


async def test_time_and_its_limit(okx: OkxExchange) -> None:
    """get-system-time: ten requests in two seconds."""
    for _ in range(10):
        assert await okx.public("public/time") == [{"ts": "1700000000000"}]
    assert await okx.public("public/time") == (429, "50011")
    okx.advance(2000, step_ms=1000)
    assert await okx.public("public/time") == [{"ts": "1700000002000"}]


async def test_faults_act_on_requests(okx: OkxExchange) -> None:
    await okx.admin.fault(kind="status", status=503, endpoint="/api/v5/market/books", count=1)
    assert await okx.public("market/books", instId="BTC-USDT") == (503, "50001")
    await okx.admin.fault(kind="accept_then_status", status=400, endpoint="/api/v5/market/books", count=1)
    assert await okx.public("market/books", instId="BTC-USDT") == (400, "50004")
