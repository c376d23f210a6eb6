"""Private messages have the fields and types of the manual's samples (`documented.json` of the captures)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.captures import captures
from tests.fakes.signed_ws import Api, Key, query

pytestmark = pytest.mark.timeout(120)
KEY = Key("KEY", "SECRET")
EVENTS = {
    "Spot/Account/AccountPosition": "outboundAccountPosition",
    "Spot/Account/Balance": "balanceUpdate",
    "Spot/Account/OcoOrder": "listStatus",
    "Spot/Account/Order": "executionReport",
}
LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
ONE = {"symbol": "BTCUSDT", "origClientOrderId": "one"}


def documented() -> dict[str, Any]:
    return json.loads((captures("binance") / "documented.json").read_text())  # type: ignore[no-any-return]


def shape(value: Any) -> Any:
    """Return names and JSON types; of a list, those of its first item."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def lacking(sample: Any, ours: Any, where: str = "") -> list[str]:
    """Return the fields of `sample` that `ours` lacks or has in another type. An empty list or null has no type."""
    if isinstance(sample, dict) and isinstance(ours, dict):
        missing = [f"{where}.{name}" for name in sample if name not in ours]
        both = [name for name in sample if name in ours]
        return missing + [found for name in both for found in lacking(sample[name], ours[name], f"{where}.{name}")]
    if isinstance(sample, list) and isinstance(ours, list):
        return lacking(sample[0], ours[0], f"{where}[]") if sample and ours else []
    return [] if sample == ours or "NoneType" in (sample, ours) else [f"{where}: {sample} is documented, not {ours}"]


@pytest.fixture
async def ws(exchange: Any) -> Any:
    await exchange.admin.pause()
    async with exchange.socket("/ws-api/v3") as socket:
        api = Api(socket, KEY, lambda: exchange.clock.wall_ns // 1_000_000)
        api_answer = await api.ask("userDataStream.subscribe.signature")
        assert api_answer["status"] == 200
        yield api


@pytest.mark.parametrize(("name", "kind"), EVENTS.items(), ids=EVENTS.values())
async def test_events(exchange: Any, ws: Api, name: str, kind: str) -> None:
    steps = next(item["steps"] for item in documented()["ws"] if item["name"] == name)
    subscribed, sample = (json.loads(step["text"]) for step in steps[1:3])
    answer = await ws.answer(await ws.send("session.subscriptions"))
    assert lacking(shape(subscribed), shape(answer | {"result": {"subscriptionId": 0}})) == []
    await exchange.admin.deposit("main", "BTC", "1")
    sides = {
        "aboveType": "LIMIT_MAKER",
        "abovePrice": "70000.00",
        "belowType": "STOP_LOSS",
        "belowStopPrice": "60000.00",
    }
    placed = await ws.ask("order.place", **LIMIT, price="60000.00", quantity="0.01")
    pair = await ws.ask("orderList.place.oco", symbol="BTCUSDT", side="SELL", quantity="0.01", **sides)
    assert (placed["status"], pair["status"]) == (200, 200)
    ours = await ws.event(kind)
    assert shape(ours) == shape(sample)


REST = {
    "Spot/Account/GetAccountInfo": {},
    "Spot/Trading/GetOpenOrders": {"symbol": "BTCUSDT"},
    "Spot/Trading/GetOrder": ONE,
    "Spot/Trading/GetOrders": {"symbol": "BTCUSDT"},
    "Spot/Trading/GetUserTrades": {"symbol": "BTCUSDT"},
    "Spot/Trading/CancelOrder": ONE,
    "Spot/Trading/PlaceOrder": {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.01"},
    "Spot/Trading/ReplaceOrder": LIMIT
    | {
        "price": "60000.00",
        "quantity": "0.02",
        "cancelReplaceMode": "STOP_ON_FAILURE",
        "cancelOrigClientOrderId": "one",
    },
}


@pytest.mark.parametrize(("name", "params"), REST.items(), ids=REST)
async def test_answers(exchange: Any, ws: Api, name: str, params: dict[str, Any]) -> None:
    item = next(item for item in documented()["rest"] if item["name"] == name)
    await ws.ask("order.place", **LIMIT, price="60000.00", quantity="0.01", newClientOrderId="one")
    await ws.ask("order.place", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    sample = json.loads(item["response_text"])
    sample = sample["data"] if name == "Spot/Trading/ReplaceOrder" else sample
    url = f"{exchange.base}{item['path']}?{query(params, KEY, exchange.clock.wall_ns // 1_000_000)}"
    async with exchange.session.request(item["method"], url, headers={"X-MBX-APIKEY": "KEY"}) as response:
        body = json.loads(await response.read())
        assert response.status == 200, body
    assert lacking(shape(sample), shape(body)) == []
