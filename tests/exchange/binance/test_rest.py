"""REST, endpoint by endpoint. Source of shapes and errors: rest-api.md, errors.md, read 2026-11-22."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(120)
BIG = "^[\\w\\-._&&[^a-z]]{1,50}$"


async def test_ping_and_time(exchange: Any) -> None:
    status, body, headers = await exchange.get("ping")
    assert (status, body) == (200, {})
    assert headers["X-MBX-USED-WEIGHT-1M"] == "1"
    _, body, _ = await exchange.get("time")
    assert body == {"serverTime": exchange.clock.wall_ns // 1_000_000}
    _, body, _ = await exchange.get("time", headers={"X-MBX-TIME-UNIT": "MICROSECOND"})
    assert body == {"serverTime": exchange.clock.wall_ns // 1_000}
    status, body, _ = await exchange.get("time", headers={"X-MBX-TIME-UNIT": "s"})
    assert (status, body["code"]) == (400, -1194)


async def test_exchange_info(exchange: Any) -> None:
    _, body, headers = await exchange.get("exchangeInfo")
    assert headers["X-MBX-USED-WEIGHT-1M"] == "20"
    assert [s["symbol"] for s in body["symbols"]] == ["BTCUSDT", "ETHUSDT", "ETHBTC"]
    assert {r["rateLimitType"] for r in body["rateLimits"]} == {"REQUEST_WEIGHT", "ORDERS", "RAW_REQUESTS"}
    filters = {f["filterType"]: f for f in body["symbols"][0]["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert filters["NOTIONAL"]["minNotional"] == "5.00000000"
    _, body, _ = await exchange.get("exchangeInfo?symbol=ETHBTC&showPermissionSets=false")
    assert [(s["symbol"], s["permissionSets"]) for s in body["symbols"]] == [("ETHBTC", [])]
    _, body, _ = await exchange.get('exchangeInfo?symbols=["ETHBTC","BTCUSDT"]')
    assert [s["symbol"] for s in body["symbols"]] == ["ETHBTC", "BTCUSDT"]
    _, body, _ = await exchange.get("exchangeInfo?permissions=SPOT")
    assert len(body["symbols"]) == 3
    _, body, _ = await exchange.get('exchangeInfo?permissions=["TRD_GRP_004","MARGIN"]')
    assert body["symbols"] == []
    await exchange.admin.status("ETHUSDT", "HALT")
    _, body, _ = await exchange.get("exchangeInfo?symbolStatus=HALT")
    assert [s["symbol"] for s in body["symbols"]] == ["ETHUSDT"]


async def test_depth_is_the_engines_book(exchange: Any) -> None:
    exchange.advance(500)
    book = await exchange.admin.book("BTCUSDT")
    _, body, _ = await exchange.get("depth?symbol=BTCUSDT&limit=5000")
    assert body["lastUpdateId"] == book["update_id"]
    assert body["bids"] == book["bids"]
    assert body["asks"] == book["asks"]
    _, body, _ = await exchange.get("depth?symbol=BTCUSDT")
    assert len(body["bids"]) == len(body["asks"]) == 100
    _, body, _ = await exchange.get("depth?symbol=BTCUSDT&limit=99999")
    assert len(body["bids"]) == len(book["bids"])


@pytest.mark.parametrize(
    ("path", "weight"),
    [
        ("depth?symbol=BTCUSDT&limit=100", 5),
        ("depth?symbol=BTCUSDT&limit=101", 25),
        ("depth?symbol=BTCUSDT&limit=1000", 50),
        ("depth?symbol=BTCUSDT&limit=5000", 250),
        ("trades?symbol=BTCUSDT", 25),
        ("historicalTrades?symbol=BTCUSDT", 25),
        ("aggTrades?symbol=BTCUSDT", 4),
        ("klines?symbol=BTCUSDT&interval=1m", 2),
        ("avgPrice?symbol=BTCUSDT", 2),
        ("ticker/24hr?symbol=BTCUSDT", 2),
        ('ticker/24hr?symbols=["BTCUSDT"]', 2),
        ("ticker/24hr", 80),
        ("ticker/price?symbol=BTCUSDT", 2),
        ("ticker/price", 4),
        ("ticker/bookTicker?symbol=BTCUSDT", 2),
        ("ticker/bookTicker", 4),
        ('ticker?symbols=["BTCUSDT","ETHBTC"]', 8),
        ("ticker/tradingDay?symbol=BTCUSDT", 4),
        ("executionRules", 40),
    ],
)
async def test_weights(exchange: Any, path: str, weight: int) -> None:
    status, _, headers = await exchange.get(path)
    assert status == 200
    assert int(headers["X-MBX-USED-WEIGHT-1M"]) == weight


@pytest.mark.parametrize(
    ("path", "code", "msg"),
    [
        ("depth", -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        ("depth?symbol=", -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        ("depth?symbol=NOPE", -1121, "Invalid symbol."),
        (
            "depth?symbol=btcusdt",
            -1100,
            f"Illegal characters found in parameter 'symbol'; legal range is '{BIG}'.",
        ),
        ("depth?symbol=BTCUSDT&limit=", -1105, "Parameter 'limit' was empty."),
        (
            "depth?symbol=BTCUSDT&limit=x",
            -1100,
            "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'.",
        ),
        ("depth?symbol=BTCUSDT&limit=99999999999999999999", -1108, "Parameter 'limit' overflowed."),
        ("depth?symbol=BTCUSDT&limit=0", -1130, "Data sent for parameter 'limit' is not valid."),
        ("depth?symbol=BTCUSDT&foo=1", -1101, "Too many parameters; expected '1' and received '2'."),
        ("depth?symbol=BTCUSDT&symbol=ETHBTC", -1101, "Duplicate values for a parameter detected."),
        ("depth?symbol=BTCUSDT&symbolStatus=HALT", -1220, None),
        ("depth?symbol=BTCUSDT&symbolStatus=halt", -1122, "Invalid symbolStatus."),
        ("ping?x=1", -1101, "Too many parameters; expected '0' and received '1'."),
        ("klines?symbol=BTCUSDT", -1102, None),
        ("klines?symbol=BTCUSDT&interval=7m", -1120, "Invalid interval."),
        ("klines?symbol=BTCUSDT&interval=1m&timeZone=15:00", -1130, None),
        ("ticker?symbol=BTCUSDT&windowSize=1d2h", -1130, None),
        ("ticker", -1102, "Param 'symbol' or 'symbols' must be sent, but both were empty/null!"),
        ('ticker/price?symbol=BTCUSDT&symbols=["ETHBTC"]', -1128, None),
        ('ticker/price?symbols=["ETHBTC","ETHBTC"]', -1151, "Symbol is present multiple times in the list."),
        ("ticker/price?symbols=ETHBTC", -1100, None),
        ("ticker/24hr?symbol=BTCUSDT&type=SMALL", -1139, "Invalid ticker type."),
        ("exchangeInfo?symbol=BTCUSDT&permissions=SPOT", -1128, None),
        ("exchangeInfo?symbol=BTCUSDT&symbolStatus=TRADING", -1128, None),
        ("aggTrades?symbol=BTCUSDT&fromId=1&startTime=1", -1128, None),
        ("referencePrice?symbol=BTCUSDT", -2043, "This symbol doesn't have a reference price."),
    ],
)
async def test_errors(exchange: Any, path: str, code: int, msg: str | None) -> None:
    status, body, headers = await exchange.get(path)
    assert (status, body["code"]) == (400, code)
    assert set(body) == {"code", "msg"}
    if msg is not None:
        assert body["msg"] == msg
    assert int(headers["X-MBX-USED-WEIGHT-1M"]) > 0  # failed requests cost too


async def test_unknown_paths_and_methods(exchange: Any) -> None:
    status, body, _ = await exchange.get("nothing")
    assert status == 404
    assert isinstance(body, str)
    async with exchange.session.post(f"{exchange.base}/api/v3/depth") as response:
        assert response.status == 405


async def test_trades_and_aggregates(exchange: Any) -> None:
    exchange.advance(4000)
    _, all_trades, _ = await exchange.get("trades?symbol=BTCUSDT&limit=1000")
    assert len(all_trades) > 5
    assert set(all_trades[0]) == {"id", "price", "qty", "quoteQty", "time", "isBuyerMaker", "isBestMatch"}
    ids = [t["id"] for t in all_trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    _, two, _ = await exchange.get("trades?symbol=BTCUSDT&limit=2")
    assert two == all_trades[-2:]
    _, older, _ = await exchange.get(f"historicalTrades?symbol=BTCUSDT&fromId={ids[1]}&limit=2")
    assert [t["id"] for t in older] == ids[1:3]
    _, found, _ = await exchange.get("aggTrades?symbol=BTCUSDT&limit=1000")
    assert set(found[0]) == {"a", "p", "q", "f", "l", "T", "m", "M"}
    assert (found[0]["f"], found[-1]["l"]) == (ids[0], ids[-1])
    start = found[2]["T"]
    _, late, _ = await exchange.get(f"aggTrades?symbol=BTCUSDT&startTime={start}&limit=1000")
    assert late == [f for f in found if f["T"] >= start]
    _, early, _ = await exchange.get(f"aggTrades?symbol=BTCUSDT&endTime={start}&limit=1000")
    assert early == [f for f in found if f["T"] <= start]
    _, one, _ = await exchange.get(f"aggTrades?symbol=BTCUSDT&fromId={found[1]['a']}&limit=1")
    assert one == [found[1]]


async def test_klines_add_up_to_the_trades(exchange: Any) -> None:
    exchange.advance(3000)
    exchange.clock.wall_ns += 150_000_000_000  # minutes without trades
    exchange.clock.steady_ns += 10_000_000
    exchange.advance(3000)
    _, trades, _ = await exchange.get("trades?symbol=BTCUSDT&limit=1000")
    _, minutes, _ = await exchange.get("klines?symbol=BTCUSDT&interval=1m")
    assert sum(k[8] for k in minutes) == len(trades)
    assert all(after[0] - before[0] == 60_000 for before, after in itertools.pairwise(minutes))
    assert all(k[6] == k[0] + 59_999 and len(k) == 12 for k in minutes)
    flat = next(k for k in minutes if k[8] == 0)
    assert flat[1] == flat[2] == flat[3] == flat[4]
    _, seconds, _ = await exchange.get("klines?symbol=BTCUSDT&interval=1s&limit=3")
    assert len(seconds) == 3
    _, days, _ = await exchange.get("klines?symbol=BTCUSDT&interval=1d&timeZone=8")
    assert days[0][0] % 86_400_000 == 16 * 3_600_000
    assert days[-1][4] == trades[-1]["price"]
    _, first, _ = await exchange.get(f"uiKlines?symbol=BTCUSDT&interval=1m&startTime={minutes[1][0]}&limit=1")
    assert first == [minutes[1]]


async def test_tickers(exchange: Any) -> None:
    exchange.advance(3000)
    _, trades, _ = await exchange.get("trades?symbol=BTCUSDT&limit=1000")
    book = await exchange.admin.book("BTCUSDT")
    _, day, _ = await exchange.get("ticker/24hr?symbol=BTCUSDT")
    assert (day["lastPrice"], day["count"]) == (trades[-1]["price"], len(trades))
    assert [day["bidPrice"], day["bidQty"]] == book["bids"][0]
    assert [day["askPrice"], day["askQty"]] == book["asks"][0]
    assert list(day)[:6] == [
        "symbol",
        "priceChange",
        "priceChangePercent",
        "weightedAvgPrice",
        "prevClosePrice",
        "lastPrice",
    ]
    _, mini, _ = await exchange.get("ticker/24hr?symbol=BTCUSDT&type=MINI")
    assert "bidPrice" not in mini
    _, every, _ = await exchange.get("ticker/24hr")
    assert [row["symbol"] for row in every] == ["BTCUSDT", "ETHUSDT", "ETHBTC"]
    _, price, _ = await exchange.get("ticker/price?symbol=BTCUSDT")
    assert price == {"symbol": "BTCUSDT", "price": trades[-1]["price"]}
    _, top, _ = await exchange.get("ticker/bookTicker?symbol=BTCUSDT")
    assert [top["bidPrice"], top["bidQty"]] == book["bids"][0]
    _, window, _ = await exchange.get("ticker?symbol=BTCUSDT&windowSize=1h")
    assert window["openTime"] % 60_000 == 0
    assert window["closeTime"] == exchange.clock.wall_ns // 1_000_000
    _, average, _ = await exchange.get("avgPrice?symbol=BTCUSDT")
    assert average["mins"] == 5
    assert average["closeTime"] == trades[-1]["time"]
    _, today, _ = await exchange.get('ticker/tradingDay?symbols=["BTCUSDT","ETHBTC"]')
    assert [row["symbol"] for row in today] == ["BTCUSDT", "ETHBTC"]
    assert today[0]["closeTime"] - today[0]["openTime"] == 86_399_999


async def test_bodies_have_the_fields_of_the_documented_samples(exchange: Any) -> None:
    place = Path(os.environ.get("VENUEMESH_CAPTURES", Path(__file__).parents[4] / "shared" / "captures"))
    file = place / "binance" / "documented.json"
    if not file.exists():
        pytest.skip(f"no recordings at {file}")
    samples = {row["path"]: json.loads(row["response_text"]) for row in json.loads(file.read_text())["rest"]}
    exchange.advance(2000)
    _, info, _ = await exchange.get("exchangeInfo")
    sample = samples["/api/v3/exchangeInfo"]
    assert set(sample) - {"exchangeFilters"} <= set(info) | {"sors"}
    gone = {"permissions"}  # an empty list today; permissionSets took its place
    assert set(sample["symbols"][0]) - gone <= set(info["symbols"][0])
    _, trades, _ = await exchange.get("trades?symbol=BTCUSDT&limit=1")
    assert set(samples["/api/v3/trades"][0]) <= set(trades[0])
    _, time, _ = await exchange.get("time")
    assert set(time) == set(samples["/api/v3/time"])


async def test_limits_429_then_418_then_free(exchange: Any) -> None:
    await exchange.admin.limits(weight=40, violations=2)
    assert (await exchange.get("exchangeInfo"))[0] == 200
    assert (await exchange.get("exchangeInfo"))[0] == 200
    status, body, headers = await exchange.get("ping")
    assert (status, body["code"]) == (429, -1003)
    left = 60 - exchange.clock.wall_ns // 1_000_000_000 % 60
    assert int(headers["Retry-After"]) == left
    assert "X-MBX-USED-WEIGHT-1M" in headers
    await exchange.get("ping")
    status, body, headers = await exchange.get("ping")
    assert (status, body["code"], headers["Retry-After"]) == (418, -1003, "120")
    assert "IP banned until" in body["msg"]
    exchange.clock.wall_ns += 119_000_000_000
    assert (await exchange.get("ping"))[0] == 418
    exchange.clock.wall_ns += 2_000_000_000
    assert (await exchange.get("ping"))[0] == 200


async def test_a_new_minute_starts_a_new_count(exchange: Any) -> None:
    await exchange.admin.limits(weight=5)
    assert (await exchange.get("depth?symbol=BTCUSDT"))[0] == 200
    assert (await exchange.get("ping"))[0] == 429
    exchange.clock.wall_ns += 60_000_000_000
    assert (await exchange.get("ping"))[0] == 200
