"""Binance.US's protocol where it differs from Binance's. Source: binance-us/binance-us-api-docs, read 2026-11-27."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from tests.exchange.conftest import Exchange, HandClock
from venuemesh.exchange.account_options import parse_account
from venuemesh.exchange.binanceus.face import BinanceUs
from venuemesh.exchange.face import find_protocols
from venuemesh.exchange.options import Options
from venuemesh.exchange.server import Server

SECRETS = {"KEY": "SECRET", "OTHER": "HIDDEN"}


class UsExchange(Exchange):
    """The exchange as a client of Binance.US sees it."""

    def __init__(self, server: Server, clock: HandClock, session: aiohttp.ClientSession) -> None:
        super().__init__(server, clock, session)
        self.base = server.urls["binanceus"]["rest"]
        assert isinstance(self.venue.faces["binanceus"], BinanceUs)

    async def private(self, method: str, path: str, key: str = "KEY", **sent: Any) -> tuple[int, Any]:
        """Status and body of a signed request."""
        query = urlencode({**sent, "timestamp": self.clock.now_ns() // 1_000_000})
        signature = hmac.digest(SECRETS[key].encode(), query.encode(), "sha256").hex()
        status, body, _ = await self.call(method, f"{path}?{query}&signature={signature}", key)
        return status, body

    async def call(self, method: str, path: str, key: str | None) -> tuple[int, Any, dict[str, str]]:
        headers = {} if key is None else {"X-MBX-APIKEY": key}
        async with self.session.request(method, f"{self.base}/api/v3/{path}", headers=headers) as response:
            return response.status, json.loads(await response.read()), dict(response.headers)

    async def listen_key(self, key: str = "KEY") -> str:
        status, body, headers = await self.call("POST", "userDataStream", key)
        assert (status, headers["X-MBX-USED-WEIGHT-1M"].isdigit()) == (200, True)
        return str(body["listenKey"])

    async def order(self, client_id: str) -> None:
        bid = (await self.admin.book("BTCUSDT"))["bids"][0][0]
        await self.admin.order("BTCUSDT", "BUY", price=bid, quantity="0.001", account="main", client_order_id=client_id)


@pytest.fixture
async def us() -> AsyncIterator[UsExchange]:
    clock = HandClock()
    accounts = [
        parse_account(f"{name}:{key}:{SECRETS[key]}:BTC=10,USDT=1000000")
        for name, key in (("main", "KEY"), ("other", "OTHER"))
    ]
    options = Options(symbols=("BTCUSDT",), levels=60, seed=7, accounts=accounts, paused=True)
    server = Server(options, clock, find_protocols(["binance", "binanceus"]))
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield UsExchange(server, clock, session)
    await server.stop()


async def test_a_listen_key_opens_the_account_s_stream_and_events_come_as_they_are(us: UsExchange) -> None:
    key = await us.listen_key()
    assert await us.listen_key() == key  # an active key is returned again
    assert await us.listen_key("OTHER") != key
    async with us.socket(f"/ws/{key}") as raw, us.socket(f"/stream?streams={key}") as combined:
        await us.order("mine")
        event = await us.next_json(raw)
        assert (event["e"], event["c"], event["x"]) == ("executionReport", "mine", "NEW")
        assert (await us.next_json(raw))["e"] == "outboundAccountPosition"
        wrapped = await us.next_json(combined)
        assert (wrapped["stream"], wrapped["data"]) == (key, event)


async def test_a_listen_key_ends_after_an_hour_unless_it_is_extended(us: UsExchange) -> None:
    key, minute_ms = await us.listen_key(), 60_000.0
    us.venue.faces["binanceus"].limits.ping_s = us.venue.faces["binanceus"].limits.idle_s = 0.0
    async with us.socket(f"/ws/{key}") as socket:
        us.advance(50 * minute_ms, step_ms=minute_ms / 10)
        assert (await us.call("PUT", f"userDataStream?listenKey={key}", "KEY"))[:2] == (200, {})
        us.advance(50 * minute_ms, step_ms=minute_ms / 10)
        assert await us.listen_key() == key
        us.advance(61 * minute_ms, step_ms=minute_ms / 10)
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    assert await us.listen_key() != key


async def test_a_deleted_key_closes_its_stream_and_no_other_account_can_change_it(us: UsExchange) -> None:
    key = await us.listen_key()
    async with us.socket(f"/ws/{key}") as socket:
        for method in ("PUT", "DELETE"):
            status, body, _ = await us.call(method, f"userDataStream?listenKey={key}", "OTHER")
            assert (status, body["code"]) == (400, -1125)
        assert (await us.call("DELETE", f"userDataStream?listenKey={key}", "KEY"))[:2] == (200, {})
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    assert (await us.call("PUT", "userDataStream", "KEY"))[1]["code"] == -1102
    for wrong in (None, "NOBODY"):
        assert (await us.call("POST", "userDataStream", wrong))[1]["code"] == -2015


async def test_an_oco_has_a_limit_and_a_stop_order(us: UsExchange) -> None:
    book = await us.admin.book("BTCUSDT")
    bid, ask = float(book["bids"][0][0]), float(book["asks"][0][0])
    sent = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.01", "limitClientOrderId": "up"}
    sent |= {"stopClientOrderId": "down", "price": f"{ask * 1.02:.2f}", "stopPrice": f"{bid * 0.98:.2f}"}
    status, body = await us.private("POST", "order/oco", **sent, newOrderRespType="FULL")
    assert (status, body["contingencyType"], body["listOrderStatus"]) == (200, "OCO", "EXECUTING")
    kinds = {row["clientOrderId"]: row["type"] for row in body["orderReports"]}
    assert kinds == {"down": "STOP_LOSS", "up": "LIMIT_MAKER"}
    status, body = await us.private("POST", "order/oco", **sent, stopLimitPrice="1")
    assert (status, body["code"]) == (400, -1102)
    assert "stopLimitTimeInForce" in body["msg"]


async def test_requests_and_parameters_that_only_binance_has_are_refused(us: UsExchange) -> None:
    assert (await us.get("exchangeInfo?showPermissionSets=false"))[1]["code"] == -1101
    assert (await us.private("GET", "account", omitZeroBalances="true"))[1]["code"] == -1104
    status, body = await us.private("GET", "account")
    assert (status, "uid" in body, body["commissionRates"]["buyer"]) == (200, False, "0.00000000")
    sent = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "1"}
    assert (await us.private("POST", "order", **sent, selfTradePreventionMode="DECREMENT"))[0] == 400
    for method, path in (("GET", "account/commission"), ("POST", "orderList/oco"), ("PUT", "order/amend/keepPriority")):
        async with us.session.request(method, f"{us.base}/api/v3/{path}") as response:
            assert response.status == 404


async def test_symbols_weights_and_limits_are_its_own(us: UsExchange) -> None:
    _, info, headers = await us.get("exchangeInfo")
    assert headers["X-MBX-USED-WEIGHT-1M"] == "10"
    limits = {(one["rateLimitType"], one["intervalNum"]): one["limit"] for one in info["rateLimits"]}
    assert limits == {
        ("REQUEST_WEIGHT", 1): 1200,
        ("ORDERS", 10): 50,
        ("ORDERS", 1): 160_000,
        ("RAW_REQUESTS", 5): 5000,
    }
    (row,) = info["symbols"]
    assert not {"amendAllowed", "otoAllowed", "allowedSelfTradePreventionModes"} & row.keys()
    assert info["allowedSelfTradePreventionModes"] == ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"]
    await us.get("depth?symbol=BTCUSDT&limit=5000")
    await us.private("GET", "openOrders")
    _, _, headers = await us.get("ping")
    assert headers["X-MBX-USED-WEIGHT-1M"] == str(10 + 50 + 40 + 1)


async def test_faults_are_of_one_protocol(us: UsExchange) -> None:
    await us.admin.fault(kind="status", status=503, protocol="binanceus", endpoint="/api/v3/ping", count=1)
    async with us.session.get(us.server.urls["binance"]["rest"] + "/api/v3/ping") as response:
        assert response.status == 200
    assert (await us.get("ping"))[0] == 503
