"""What clients of spot request elsewhere of Binance. Source of shapes: see `binance/elsewhere.py`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.signed_ws import LIMIT, Key, query

pytestmark = pytest.mark.timeout(120)
KEY, HEADERS = Key("KEY", "SECRET"), {"X-MBX-APIKEY": "KEY"}


async def signed(exchange: Any, path: str, **params: Any) -> tuple[int, Any]:
    url = f"{exchange.base}{path}?{query(params, KEY, exchange.clock.wall_ns // 1_000_000)}"
    async with exchange.session.get(url, headers=HEADERS) as response:
        return response.status, json.loads(await response.read())


async def plain(exchange: Any, path: str, **headers: str) -> tuple[int, Any]:
    async with exchange.session.get(exchange.base + path, headers=headers) as response:
        return response.status, json.loads(await response.read())


async def test_coins_are_those_of_pairs_and_balances(exchange: Any) -> None:
    status, body = await signed(exchange, "/sapi/v1/capital/config/getall")
    assert status == 200
    assert [coin["coin"] for coin in body] == ["BTC", "ETH", "USDT"]
    assert body[0] == {
        "coin": "BTC",
        "depositAllEnable": False,
        "withdrawAllEnable": False,
        "name": "BTC",
        "free": "10.00000000",
        "locked": "0.00000000",
        "freeze": "0",
        "withdrawing": "0",
        "ipoing": "0",
        "ipoable": "0",
        "storage": "0",
        "isLegalMoney": False,
        "trading": True,
        "networkList": [],
    }


async def test_fees_of_one_pair_and_of_all(exchange: Any) -> None:
    row = {"symbol": "ETHBTC", "makerCommission": "0.001", "takerCommission": "0.001"}
    assert await signed(exchange, "/sapi/v1/asset/tradeFee", symbol="ETHBTC") == (200, [row])
    status, body = await signed(exchange, "/sapi/v1/asset/tradeFee")
    assert (status, [fee["symbol"] for fee in body]) == (200, ["BTCUSDT", "ETHUSDT", "ETHBTC"])
    status, body = await signed(exchange, "/sapi/v1/asset/tradeFee", symbol="NOPE")
    assert (status, body["code"]) == (400, -1121)


async def test_no_pair_has_margin_and_a_key_is_enough_to_learn_that(exchange: Any) -> None:
    cross, isolated = "/sapi/v1/margin/allPairs", "/sapi/v1/margin/isolated/allPairs"
    assert await plain(exchange, cross, **HEADERS) == (200, [])
    assert await signed(exchange, cross) == await signed(exchange, isolated) == (200, [])
    for path, headers, code in ((cross, {}, -2014), (cross, {"X-MBX-APIKEY": "X"}, -2015), (isolated, HEADERS, -1102)):
        status, body = await plain(exchange, path, **headers)
        assert (status >= 400, body["code"]) == (True, code)


async def test_there_are_no_futures(exchange: Any) -> None:
    empty = {"timezone": "UTC", "serverTime": exchange.clock.wall_ns // 1_000_000}
    empty |= {"rateLimits": [], "exchangeFilters": [], "symbols": []}
    assert await plain(exchange, "/dapi/v1/exchangeInfo") == (200, empty)
    whole = {**empty, "futuresType": "U_MARGINED", "assets": []}
    assert await plain(exchange, "/fapi/v1/exchangeInfo") == (200, whole)


@pytest.mark.parametrize(
    "kind",
    ["application/x-www-form-urlencoded", "application/json", "text/plain", "application/json; charset=utf-8", None],
)
async def test_a_form_is_read_under_the_types_that_clients_give_it(exchange: Any, kind: str | None) -> None:
    url, body = f"{exchange.base}/api/v3/order", query(LIMIT, KEY, exchange.clock.wall_ns // 1_000_000)
    headers = HEADERS if kind is None else {**HEADERS, "Content-Type": kind}
    async with exchange.session.post(url, data=body.encode(), headers=headers) as response:
        placed = json.loads(await response.read())
    assert (response.status, placed.get("symbol")) == (200, "BTCUSDT"), placed


async def test_json_is_no_form(exchange: Any) -> None:
    url, body = f"{exchange.base}/api/v3/order", json.dumps(LIMIT)
    async with exchange.session.post(
        url, data=body, headers={**HEADERS, "Content-Type": "application/json"}
    ) as response:
        assert (response.status, json.loads(await response.read())["code"]) == (400, -1102)


async def test_a_pair_in_any_script(exchange: Any) -> None:
    symbol = "币安人生USDT"
    await exchange.admin.list(symbol)
    await exchange.admin.deposit("main", "币安人生", "1000")
    status, book, _ = await exchange.get("depth", params={"symbol": symbol, "limit": 5})
    assert (status, len(book["bids"])) == (200, 5)
    status, row = await signed(exchange, "/sapi/v1/asset/tradeFee", symbol=symbol)
    assert (status, row[0]["symbol"]) == (200, symbol)
    url = f"{exchange.base}/api/v3/order"
    order = {**LIMIT, "symbol": symbol, "side": "SELL", "quantity": "100", "price": book["bids"][0][0]}
    body = query(order, KEY, exchange.clock.wall_ns // 1_000_000)
    async with exchange.session.post(
        url, data=body.encode(), headers=HEADERS | {"Content-Type": "text/plain"}
    ) as answer:
        assert json.loads(await answer.read())["status"] == "FILLED"
    async with exchange.socket("/ws/" + "币安人生usdt@depth@100ms") as socket:
        await exchange.admin.order(symbol, "BUY", quantity="100", price=book["bids"][0][0])
        exchange.advance(200)
        assert (await exchange.next_json(socket))["s"] == symbol
