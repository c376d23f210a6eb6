"""Market data on the WebSocket API. Source: web-socket-api.md, read 2026-11-22."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.timeout(120)


def asked(method: str, **params: Any) -> dict[str, Any]:
    return {"id": "q-1", "method": method, "params": params}


async def test_answers_and_rate_limits(exchange: Any) -> None:
    async with exchange.socket("/ws-api/v3") as ws:
        answer = await exchange.ask(ws, {"id": 1, "method": "ping"})
        assert answer == {
            "id": 1,
            "status": 200,
            "result": {},
            "rateLimits": [
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": 6000,
                    "count": 3,  # connecting cost 2
                }
            ],
        }
        answer = await exchange.ask(ws, {"id": None, "method": "v3/time", "params": {"returnRateLimits": False}})
        assert answer == {
            "id": None,
            "status": 200,
            "result": {"serverTime": exchange.clock.wall_ns // 1_000_000},
        }
    async with exchange.socket("/ws-api/v3?returnRateLimits=false&timeUnit=MICROSECOND") as ws:
        answer = await exchange.ask(ws, {"id": 2, "method": "time"})
        assert answer == {"id": 2, "status": 200, "result": {"serverTime": exchange.clock.wall_ns // 1_000}}
        answer = await exchange.ask(ws, {"id": 2, "method": "time", "params": {"returnRateLimits": True}})
        assert "rateLimits" in answer


@pytest.mark.parametrize(
    ("method", "params", "path"),
    [
        ("depth", {"symbol": "BTCUSDT", "limit": 5}, "depth?symbol=BTCUSDT&limit=5"),
        ("trades.recent", {"symbol": "BTCUSDT", "limit": 2}, "trades?symbol=BTCUSDT&limit=2"),
        ("trades.historical", {"symbol": "BTCUSDT", "fromId": 1}, "historicalTrades?symbol=BTCUSDT&fromId=1"),
        ("trades.aggregate", {"symbol": "BTCUSDT"}, "aggTrades?symbol=BTCUSDT"),
        ("klines", {"symbol": "BTCUSDT", "interval": "1s"}, "klines?symbol=BTCUSDT&interval=1s"),
        ("uiKlines", {"symbol": "BTCUSDT", "interval": "1m"}, "uiKlines?symbol=BTCUSDT&interval=1m"),
        ("avgPrice", {"symbol": "BTCUSDT"}, "avgPrice?symbol=BTCUSDT"),
        ("ticker.24hr", {"symbols": ["BTCUSDT"], "type": "MINI"}, 'ticker/24hr?symbols=["BTCUSDT"]&type=MINI'),
        ("ticker.tradingDay", {"symbol": "BTCUSDT"}, "ticker/tradingDay?symbol=BTCUSDT"),
        ("ticker", {"symbol": "BTCUSDT", "windowSize": "7d"}, "ticker?symbol=BTCUSDT&windowSize=7d"),
        ("ticker.price", {}, "ticker/price"),
        ("ticker.book", {"symbol": "ETHBTC"}, "ticker/bookTicker?symbol=ETHBTC"),
    ],
)
async def test_the_same_answers_as_rest(exchange: Any, method: str, params: dict[str, Any], path: str) -> None:
    exchange.advance(1500)
    await exchange.admin.pause()
    _, rest, _ = await exchange.get(path)
    async with exchange.socket("/ws-api/v3") as ws:
        answer = await exchange.ask(ws, asked(method, **params))
        assert (answer["id"], answer["status"]) == ("q-1", 200)
        assert answer["result"] == rest


async def test_exchange_info_tells_of_connections(exchange: Any) -> None:
    async with exchange.socket("/ws-api/v3") as ws:
        answer = await exchange.ask(ws, asked("exchangeInfo", symbols=["ETHBTC"]))
        kinds = {limit["rateLimitType"] for limit in answer["result"]["rateLimits"]}
        assert kinds == {"REQUEST_WEIGHT", "ORDERS", "CONNECTIONS"}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (asked("depth"), -1102),
        (asked("depth", symbol="NOPE"), -1121),
        (asked("depth", symbol="BTCUSDT", limit="x"), -1100),
        (asked("depth", symbol="BTCUSDT", limit=True), -1100),
        (asked("depth", symbol=5), -1130),
        (asked("depth", symbol="BTCUSDT", more=1), -1101),
        (asked("ticker.price", symbols="BTCUSDT"), -1130),
        (asked("order.place"), -1102),
        (asked("sor.order.place"), -1020),
        (asked("nonsense"), -1020),
        ("[1]", -1135),
        ("nonsense", -1135),
        ({"id": 1, "method": "depth", "params": [1]}, -1135),
    ],
)
async def test_errors(exchange: Any, request_: Any, code: int) -> None:
    async with exchange.socket("/ws-api/v3") as ws:
        answer = await exchange.ask(ws, request_)
        assert (answer["status"], answer["error"]["code"]) == (400, code)


async def test_weight_is_shared_with_rest_and_a_ban_disconnects(exchange: Any) -> None:
    await exchange.admin.limits(weight=50, violations=1)
    async with exchange.socket("/ws-api/v3") as ws:
        await exchange.get("exchangeInfo")
        await exchange.get("exchangeInfo")
        assert (await exchange.ask(ws, asked("depth", symbol="BTCUSDT")))["rateLimits"][0]["count"] == 47
        answer = await exchange.ask(ws, asked("depth", symbol="BTCUSDT"))
        assert (answer["status"], answer["error"]["code"]) == (429, -1003)
        assert answer["error"]["data"]["retryAfter"] > answer["error"]["data"]["serverTime"]
        answer = await exchange.ask(ws, asked("ping"))
        assert answer["status"] == 418
        await exchange.eventually(lambda: not exchange.venue.connections)
