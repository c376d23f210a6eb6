"""Bybit's private websocket: authentication, the topics `order`, `execution` and `wallet`, and faults on them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.exchange.bybit.conftest import BybitExchange
from tests.exchange.bybit.test_private_rest import MARKET, RESTING


async def opened(bybit: BybitExchange, socket: Any, *topics: str) -> None:
    assert (await bybit.log_in(socket))["success"] is True
    assert (await bybit.say(socket, "subscribe", *topics))["success"] is True


async def row(bybit: BybitExchange, socket: Any, topic: str) -> Any:
    message = await bybit.hear(socket, topic)
    assert set(message) == {"id", "topic", "creationTime", "data"}
    (found,) = message["data"]
    return found


async def test_answers_have_the_shapes_of_the_manual(bybit: BybitExchange) -> None:
    """websocket/wss-authentication.mdx."""
    async with bybit.account() as socket:
        answer = await bybit.log_in(socket, req_id="10001")
        assert answer == {
            "success": True,
            "ret_msg": "",
            "conn_id": answer["conn_id"],
            "req_id": "10001",
            "op": "auth",
        }
        subscribed = await bybit.say(socket, "subscribe", "order")
        assert subscribed == {"success": True, "ret_msg": "", "op": "subscribe", "conn_id": answer["conn_id"]}
        pong = await bybit.say(socket, "ping", req_id="test")
        stamp = str(bybit.clock.now_ns() // 1_000_000)
        assert pong == {"req_id": "test", "op": "pong", "args": [stamp], "conn_id": answer["conn_id"]}


async def test_who_may_not_hear(bybit: BybitExchange) -> None:
    """`expires` must be greater than the present time."""
    async with bybit.account() as socket:
        assert (await bybit.say(socket, "subscribe", "order"))["success"] is False
        for wrong in ({"key": "NOBODY"}, {"secret": "other"}, {"in_ms": 0}, {"args": ["KEY"]}):
            assert (await bybit.log_in(socket, **wrong))["success"] is False  # type: ignore[arg-type]
        assert (await bybit.log_in(socket))["success"] is True
        assert (await bybit.log_in(socket))["success"] is False
        for topics in (["orderbook.50.BTCUSDT"], ["order", "order.spot"], []):
            assert (await bybit.say(socket, "subscribe", *topics))["success"] is False
    async with bybit.feed() as socket:
        assert (await bybit.log_in(socket))["success"] is False
    await bybit.admin.add_key("main", "TRADER", secret="s", only="trade")
    async with bybit.account() as socket:
        assert (await bybit.log_in(socket, key="TRADER", secret="s"))["success"] is True
        assert (await bybit.say(socket, "subscribe", "order"))["success"] is False


@pytest.mark.parametrize("category", ["", ".spot"])
async def test_an_order_is_reported_whole_and_its_fills_apart(bybit: BybitExchange, category: str) -> None:
    order, execution = f"order{category}", f"execution{category}"
    async with bybit.account() as socket:
        await opened(bybit, socket, order, execution)
        made = await bybit.private("order/create", RESTING | {"orderLinkId": "a1"})
        update = await row(bybit, socket, order)
        assert (update["category"], update["orderId"], update["orderLinkId"]) == ("spot", made["orderId"], "a1")
        assert (update["orderStatus"], update["qty"], update["cumExecQty"]) == ("New", "0.01000", "0")
        await bybit.private("order/amend", {"symbol": "BTCUSDT", "orderLinkId": "a1", "qty": "0.02"})
        assert (await row(bybit, socket, order))["qty"] == "0.02000"
        await bybit.private("order/cancel", {"symbol": "BTCUSDT", "orderLinkId": "a1"})
        update = await row(bybit, socket, order)
        assert (update["orderStatus"], update["rejectReason"]) == ("Cancelled", "EC_PerCancelRequest")
        await bybit.private("order/create", MARKET | {"side": "Sell", "qty": "0.05"})
        fills, seen, status = [], [], ""
        while status != "Filled":
            message = await bybit.next_json(socket)
            (found,) = message["data"]
            seen.append(message["topic"])
            if message["topic"] == execution:
                fills.append(found)
            else:
                status = found["orderStatus"]
        listed = (await bybit.private("execution/list"))["list"]
        assert {one["execId"] for one in fills} == {one["execId"] for one in listed}
        assert sum(Decimal(one["execQty"]) for one in fills) == Decimal("0.05")
        assert (fills[0]["category"], fills[0]["execType"], fills[0]["isMaker"]) == ("spot", "Trade", False)
        assert seen[:3] == [order, execution, order]


async def test_the_fee_of_a_fill_may_be_stated_later(bybit: BybitExchange) -> None:
    await bybit.admin.fault(kind="late_fee", protocol="bybit", account="main", ms=300, count=1)
    async with bybit.account() as socket:
        await opened(bybit, socket, "execution")
        await bybit.private("order/create", MARKET | {"side": "Sell", "qty": "0.001"})
        found = await row(bybit, socket, "execution")
        assert (found["execFee"], found["feeCurrency"]) == ("", "")
        assert [one["execFee"] for one in (await bybit.private("execution/list"))["list"]] == [""]
        bybit.advance(300, 300)
        (listed,) = (await bybit.private("execution/list"))["list"]
        again = await row(bybit, socket, "execution")
        assert (again["execId"], again["execFee"]) == (found["execId"], listed["execFee"])
        assert (again["feeCurrency"], Decimal(again["execFee"]) > 0) == ("USDT", True)


async def test_a_category_that_is_not_spot_is_silent(bybit: BybitExchange) -> None:
    async with bybit.account() as socket:
        await opened(bybit, socket, "order.linear", "execution.spot")
        await bybit.private("order/create", MARKET | {"side": "Sell", "qty": "1"})
        assert (await bybit.next_json(socket))["topic"] == "execution.spot"
        assert (await bybit.say(socket, "unsubscribe", "execution.spot"))["success"] is True
        await bybit.private("order/create", MARKET | {"side": "Sell", "qty": "1"})
        assert (await bybit.say(socket, "ping"))["op"] == "pong"


async def test_a_post_only_order_that_would_take_is_never_reported_as_open(bybit: BybitExchange) -> None:
    async with bybit.account() as socket:
        await opened(bybit, socket, "order")
        price = await bybit.best("asks")
        await bybit.private("order/create", RESTING | {"timeInForce": "PostOnly", "price": price})
        update = await row(bybit, socket, "order")
        assert (update["orderStatus"], update["rejectReason"]) == ("Rejected", "EC_PostOnlyWillTakeLiquidity")


async def test_balances_are_reported_as_they_change(bybit: BybitExchange) -> None:
    """websocket/private/wallet.mdx: no snapshot at first."""
    async with bybit.account() as socket:
        await opened(bybit, socket, "wallet")
        await bybit.private("order/create", RESTING)
        update = await row(bybit, socket, "wallet")
        held = {one["coin"]: (Decimal(one["walletBalance"]), Decimal(one["locked"])) for one in update["coin"]}
        assert (update["accountType"], held) == ("UNIFIED", {"BTC": (10, 0), "USDT": (1_000_000, 600)})
        await bybit.admin.deposit("main", "ETH", "3")
        update = await row(bybit, socket, "wallet")
        assert [(one["coin"], Decimal(one["walletBalance"])) for one in update["coin"]] == [("ETH", 3)]
        await bybit.admin.fault(kind="balance", account="main", asset="ETH", amount="1", stream="user", count=1)
        await bybit.admin.deposit("main", "ETH", "1")
        assert Decimal((await row(bybit, socket, "wallet"))["coin"][0]["walletBalance"]) == 5


async def test_only_the_own_orders_are_reported_and_faults_reach_them(bybit: BybitExchange) -> None:
    async with bybit.account() as socket:
        await opened(bybit, socket, "order")
        await bybit.private("order/create", RESTING, key="OTHER")
        await bybit.admin.fault(kind="drop", stream="user", count=1)
        await bybit.private("order/create", RESTING | {"orderLinkId": "lost"})
        await bybit.eventually(lambda: bybit.venue.faults.counters.get("drop") == 1)
        await bybit.private("order/create", RESTING | {"orderLinkId": "told"})
        assert (await row(bybit, socket, "order"))["orderLinkId"] == "told"
        await bybit.admin.fault(kind="status", endpoint="ws:subscribe", count=1)
        assert (await bybit.say(socket, "subscribe", "wallet"))["success"] is False
        await bybit.admin.revoke("KEY")
        assert (await socket.receive(timeout=20)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_nonsense_is_refused(bybit: BybitExchange) -> None:
    async with bybit.account() as socket:
        for words in ("nonsense", json.dumps({"op": "pinf"}), json.dumps({"op": "auth", "args": "x"})):
            await socket.send_str(words)
            assert (await bybit.next_json(socket))["success"] is False
