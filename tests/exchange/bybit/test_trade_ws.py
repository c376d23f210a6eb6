"""Orders over Bybit's websocket, in the shapes of the manual."""

from __future__ import annotations

import json
from typing import Any

from tests.exchange.bybit.conftest import BybitExchange
from tests.exchange.bybit.test_private_rest import RESTING


def trade(bybit: BybitExchange) -> Any:
    return bybit.session.ws_connect(bybit.bybit["ws_api"] + "/v5/trade")


async def ask(bybit: BybitExchange, socket: Any, op: str, *args: Any, **changes: Any) -> Any:
    """The answer to a request."""
    header = {"X-BAPI-TIMESTAMP": str(bybit.clock.now_ns() // 1_000_000), "X-BAPI-RECV-WINDOW": "5000"}
    named = [{"category": "spot", **one} if isinstance(one, dict) else one for one in args]
    await socket.send_str(json.dumps({"header": header, "op": op, "args": named} | changes))
    return await bybit.next_json(socket)


async def test_requests_are_answered_as_in_the_manual(bybit: BybitExchange) -> None:
    """websocket/trade/guideline.mdx, its examples."""
    async with trade(bybit) as socket:
        answer = await bybit.log_in(socket)
        connection = answer["connId"]
        assert answer == {"retCode": 0, "retMsg": "OK", "op": "auth", "connId": connection}
        pong = await ask(bybit, socket, "ping")
        now = str(bybit.clock.now_ns() // 1_000_000)
        assert pong == {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [now], "connId": connection}
        made = await ask(bybit, socket, "order.create", RESTING | {"orderLinkId": "t1"}, reqId="test-005")
        assert list(made) == ["reqId", "retCode", "retMsg", "op", "data", "retExtInfo", "header", "connId"]
        assert (made["reqId"], made["retCode"], made["op"]) == ("test-005", 0, "order.create")
        assert made["data"]["orderLinkId"] == "t1"
        assert (made["header"]["X-Bapi-Limit"], made["header"]["X-Bapi-Limit-Status"]) == ("20", "19")
        assert made["header"]["Timenow"] == now
        named = {"symbol": "BTCUSDT", "orderLinkId": "t1"}
        assert (await ask(bybit, socket, "order.amend", named | {"qty": "0.02"}))["retCode"] == 0
        (found,) = (await bybit.private("order/realtime", **named))["list"]
        assert found["qty"] == "0.02000"
        batch = await ask(bybit, socket, "order.cancel-batch", {"request": [named, named]})
        assert [one["code"] for one in batch["retExtInfo"]["list"]] == [0, 170213]
        receipt = bybit.desk.floor.receipts_of(bybit.venue.engine.accounts["main"]).find("t1")
        assert (receipt.received, receipt.accepted) == (1, 1)


async def test_what_is_refused(bybit: BybitExchange) -> None:
    async with trade(bybit) as socket:
        assert (await ask(bybit, socket, "order.create", RESTING))["retCode"] == 10005
        assert (await bybit.log_in(socket, secret="other"))["retCode"] == 10004
        assert (await bybit.log_in(socket))["retCode"] == 0
        assert (await bybit.log_in(socket))["retCode"] == 20001
        assert (await ask(bybit, socket, "order.create", RESTING, reqId="a"))["retCode"] == 0
        assert (await ask(bybit, socket, "order.create", RESTING, reqId="a"))["retCode"] == 20006
        late = {"X-BAPI-TIMESTAMP": str(bybit.clock.now_ns() // 1_000_000 - 5001)}
        assert (await ask(bybit, socket, "order.create", RESTING, header=late))["retCode"] == 10002
        assert (await ask(bybit, socket, "order.create", RESTING, header={}))["retCode"] == 10002
        assert (await ask(bybit, socket, "order.create", RESTING, RESTING))["retCode"] == 10001
        assert (await ask(bybit, socket, "order.create", RESTING, reqId="x" * 37))["retCode"] == 10001
        assert (await ask(bybit, socket, "order.find", RESTING))["retCode"] == 10404
        bybit.desk.limits.trades = 0
        assert (await ask(bybit, socket, "order.create", RESTING))["retCode"] == 10403


async def test_faults_reach_orders(bybit: BybitExchange) -> None:
    async with trade(bybit) as socket:
        assert (await bybit.log_in(socket))["retCode"] == 0
        await bybit.admin.fault(kind="accept_then_status", endpoint="ws:order.create", count=1)
        assert (await ask(bybit, socket, "order.create", RESTING | {"orderLinkId": "f1"}))["retCode"] == 10000
        assert len((await bybit.private("order/realtime", orderLinkId="f1"))["list"]) == 1
        await bybit.admin.fault(kind="status", status=429, endpoint="ws:order.create", count=1)
        assert (await ask(bybit, socket, "order.create", RESTING | {"orderLinkId": "f2"}))["retCode"] == 10006
        assert (await bybit.private("order/realtime", orderLinkId="f2"))["list"] == []
