"""Orders over OKX's private websocket: answers in the manual's form, refusals, and faults."""

from __future__ import annotations

import json
from typing import Any

from tests.exchange.okx.conftest import OkxExchange
from tests.exchange.okx.test_private_rest import RESTING
from tests.exchange.okx.test_private_ws import IN, ORDERS, opened, row


async def call(okx: OkxExchange, socket: Any, op: str, *args: Any, **more: Any) -> Any:
    """The answer to a call."""
    await socket.send_str(json.dumps({"id": "1512", "op": op, "args": list(args), **more}))
    while True:
        answer = json.loads((await socket.receive(timeout=20)).data)
        if answer.get("op") == op:
            assert answer["id"] == "1512"
            assert int(answer["outTime"]) >= int(answer["inTime"]) > 10**15
            return answer


async def placing(okx: OkxExchange, **changes: Any) -> dict[str, Any]:
    """A resting order, with its pair by number."""
    listed = {each["instId"]: each["instIdCode"] for each in await okx.public("public/instruments", instType="SPOT")}
    order = RESTING | changes
    return {"instIdCode": listed[order.pop("instId")], **order}


async def test_orders_are_placed_amended_and_cancelled(okx: OkxExchange) -> None:
    order = await placing(okx, clOrdId="c1")
    pair = {"instIdCode": order["instIdCode"]}
    async with okx.account() as socket:
        await opened(okx, socket, ORDERS)
        placed = await call(okx, socket, "order", order)
        assert (placed["code"], placed["data"][0]["clOrdId"], placed["data"][0]["sCode"]) == ("0", "c1", "0")
        number = placed["data"][0]["ordId"]
        assert (await row(okx, socket))["ordId"] == number
        assert (await okx.admin.receipt("main", "c1"))["accepted"] == 1
        amended = await call(okx, socket, "amend-order", pair | {"ordId": number, "newSz": "0.02"})
        assert amended["data"][0]["sCode"] == "0"
        assert (await row(okx, socket))["sz"] == "0.02"
        assert (await call(okx, socket, "cancel-order", pair | {"clOrdId": "c1"}))["data"][0]["ordId"] == number
        assert (await row(okx, socket))["state"] == "canceled"
        gone = await call(okx, socket, "cancel-order", pair | {"ordId": number})
        assert (gone["code"], gone["data"][0]["sCode"]) == ("1", "51400")
        other = await placing(okx, instId="ETH-USDT", px="2500", sz="0.1", clOrdId="c3")
        both = await call(okx, socket, "batch-orders", order | {"clOrdId": "c2"}, other, order | {"sz": "1000"})
        assert (both["code"], [each["sCode"] for each in both["data"]][:2]) == ("2", ["0", "0"])
        cancels = ({"instIdCode": each["instIdCode"], "clOrdId": name} for each, name in ((order, "c2"), (other, "c3")))
        ended = await call(okx, socket, "batch-cancel-orders", *cancels)
        assert (ended["code"], len(ended["data"])) == ("0", 2)


async def test_what_a_call_needs(okx: OkxExchange) -> None:
    order = await placing(okx)
    async with okx.account() as socket:
        assert (await call(okx, socket, "order", order))["code"] == "60011"
        assert await okx.log_in(socket) == IN
        for args in ((), (order, order)):
            refused = await call(okx, socket, "order", *args)
            assert (refused["code"], refused["data"]) == ("60013", [])
        by_name = {name: value for name, value in order.items() if name != "instIdCode"} | {"instId": "BTC-USDT"}
        for wrong, code in ((by_name, "50014"), (order | {"instIdCode": 1}, "51001")):
            answer = await call(okx, socket, "order", wrong)
            assert code in (answer["code"], *(each["sCode"] for each in answer["data"]))
        late = str(okx.clock.now_ns() // 10**6 - 1)
        assert (await call(okx, socket, "order", order, expTime=late))["code"] == "50036"
        assert (await call(okx, socket, "order", order))["code"] == "0"
    async with okx.feed() as socket:
        await socket.send_str(json.dumps({"id": "1", "op": "order", "args": [order]}))
        assert (await okx.next(socket, event=True))["code"] == "60019"


async def test_calls_share_the_limits_of_rest_and_take_faults(okx: OkxExchange) -> None:
    order = await placing(okx)
    okx.desk.limits.place = 2
    async with okx.account() as socket:
        assert await okx.log_in(socket) == IN
        assert (await okx.private("trade/order", RESTING))[0]["sCode"] == "0"
        assert (await call(okx, socket, "order", order))["code"] == "0"
        assert (await call(okx, socket, "order", order))["code"] == "50011"
        okx.advance(2_001, 2_001)
        await okx.admin.fault(kind="status", endpoint="ws:order", status=503, count=1)
        assert (await call(okx, socket, "order", order))["code"] == "50001"
        await okx.admin.fault(kind="accept_then_status", endpoint="ws:order", symbol="BTCUSDT", count=1)
        assert (await call(okx, socket, "order", order | {"clOrdId": "u1"}))["code"] == "50004"
        assert (await okx.admin.receipt("main", "u1"))["accepted"] == 1
