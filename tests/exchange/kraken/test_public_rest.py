"""Kraken's public REST endpoints, in the shapes of the manual."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.exchange.kraken.conftest import KrakenExchange


async def test_names_and_rules_of_pairs(kraken: KrakenExchange) -> None:
    """get-tradable-asset-pairs, get-asset-info: a pair of two old assets has their letters only in its key."""
    pairs = await kraken.public("AssetPairs")
    assert list(pairs) == ["XBTUSDT", "ETHUSDT", "XETHXXBT"]
    answer = pairs["XETHXXBT"]
    assert (answer["altname"], answer["wsname"], answer["base"], answer["quote"]) == (
        "ETHXBT",
        "ETH/XBT",
        "XETH",
        "XXBT",
    )
    answer = pairs["XBTUSDT"]
    assert (answer["wsname"], answer["base"], answer["quote"]) == ("XBT/USDT", "XXBT", "USDT")
    assert (answer["pair_decimals"], answer["lot_decimals"], answer["tick_size"], answer["ordermin"]) == (
        2,
        5,
        "0.01",
        "0.00001",
    )
    assert (answer["costmin"], answer["status"], answer["fees"]) == ("5", "online", [[0, 0.1]])
    assert await kraken.public("AssetPairs", pair="BTC/USDT,ETHXBT") == {
        "XBTUSDT": pairs["XBTUSDT"],
        "XETHXXBT": pairs["XETHXXBT"],
    }
    assert await kraken.public("AssetPairs", pair="NOPE") == "EQuery:Unknown asset pair"
    assets = await kraken.public("Assets")
    assert {name: asset["altname"] for name, asset in assets.items()} == {"XXBT": "XBT", "USDT": "USDT", "XETH": "ETH"}
    assert list(await kraken.public("Assets", asset="XBT")) == ["XXBT"]
    assert await kraken.public("Assets", asset="NOPE") == "EQuery:Unknown asset"


async def test_time_and_status(kraken: KrakenExchange) -> None:
    """get-server-time (whole seconds), get-system-status."""
    assert await kraken.public("Time") == {"unixtime": 1700000000, "rfc1123": "Tue, 14 Nov 23 22:13:20 +0000"}
    assert await kraken.public("SystemStatus") == {"status": "online", "timestamp": "2023-11-14T22:13:20Z"}
    await kraken.admin.status("BTCUSDT", "CANCEL_ONLY")
    assert (await kraken.public("AssetPairs", pair="XBTUSDT"))["XBTUSDT"]["status"] == "cancel_only"
    assert (await kraken.public("SystemStatus"))["status"] == "online"
    for symbol in ("ETHUSDT", "ETHBTC"):
        await kraken.admin.status(symbol, "CANCEL_ONLY")
    assert (await kraken.public("SystemStatus"))["status"] == "cancel_only"


async def test_the_book_is_the_engines(kraken: KrakenExchange) -> None:
    """get-order-book: price and volume as text at the pair's decimals, and whole seconds."""
    truth = await kraken.admin.book("BTCUSDT")
    answer = (await kraken.public("Depth", pair="XBTUSDT", count=7))["XBTUSDT"]
    for side in ("bids", "asks"):
        assert len(answer[side]) == 7
        for (price, size, at), level in zip(answer[side], truth[side], strict=False):
            assert (Decimal(price), Decimal(size)) == (Decimal(level[0]), Decimal(level[1]))
            assert (len(price.partition(".")[2]), len(size.partition(".")[2]), at) == (2, 5, 1700000000)
    assert await kraken.public("Depth", pair="XBTUSDT", count=501) == "EGeneral:Invalid arguments:count"
    assert await kraken.public("Depth") == "EQuery:Unknown asset pair"


async def test_trades_candles_and_tickers_agree(kraken: KrakenExchange) -> None:
    """get-recent-trades (`last` is the next `since`), get-ohlc-data, get-ticker-information."""
    await kraken.admin.resume()
    kraken.advance(3000)
    answer = await kraken.public("Trades", pair="BTC/USDT")
    trades, last = answer["XBTUSDT"], answer["last"]
    truth = (await kraken.admin.trades("BTCUSDT"))["trades"]
    assert [row[6] for row in trades] == [trade["id"] for trade in truth]
    assert {row[3] for row in trades} == {"b", "s"}
    assert {row[4] for row in trades} <= {"l", "m"}
    assert await kraken.public("Trades", pair="XBTUSDT", since=last) == {"XBTUSDT": [], "last": last}
    first = await kraken.public("Trades", pair="XBTUSDT", count=1, since=0)
    assert first["XBTUSDT"] == trades[:1]
    after = await kraken.public("Trades", pair="XBTUSDT", since=first["last"])
    assert {row[6] for row in after["XBTUSDT"]} <= {row[6] for row in trades[1:]}
    candles = await kraken.public("OHLC", pair="XBTUSDT", interval=1)
    volume = sum((Decimal(row[1]) for row in trades), Decimal(0))
    assert sum(Decimal(row[6]) for row in candles["XBTUSDT"]) == volume
    assert sum(row[7] for row in candles["XBTUSDT"]) == len(trades)
    ticker = (await kraken.public("Ticker", pair="XBTUSDT"))["XBTUSDT"]
    assert ticker["c"][0] == trades[-1][0]
    assert (Decimal(ticker["v"][1]), ticker["t"][1]) == (volume, len(trades))
    assert set(await kraken.public("Ticker")) == {"XBTUSDT", "ETHUSDT", "XETHXXBT"}
    assert await kraken.public("OHLC", pair="XBTUSDT", interval=2) == "EGeneral:Invalid arguments:interval"


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        ({"status": 503}, 503, "EService:Unavailable"),
        ({"status": 429}, 429, "EAPI:Rate limit exceeded"),
    ],
)
async def test_status_faults_spoil_an_answer(
    kraken: KrakenExchange, fault: dict[str, Any], status: int, error: str
) -> None:
    await kraken.admin.fault(kind="status", protocol="kraken", endpoint="/0/public/Time", count=1, **fault)
    async with kraken.session.get(kraken.kraken["rest"] + "/0/public/Time") as response:
        assert (response.status, await response.json()) == (status, {"error": [error]})
    assert isinstance(await kraken.public("Time"), dict)


async def test_what_is_not_there(kraken: KrakenExchange) -> None:
    assert await kraken.public("Spreads") == "EGeneral:Unknown method"
