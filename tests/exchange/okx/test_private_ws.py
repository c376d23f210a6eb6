"""OKX's private websocket: logins, the channels `orders` and `account`, and faults on them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.exchange.okx.conftest import OkxExchange
from tests.exchange.okx.test_private_rest import RESTING, TAKING

ORDERS = {"channel": "orders", "instType": "SPOT"}
ACCOUNT = {"channel": "account"}
IN = {"event": "login", "code": "0", "msg": ""}


async def ask(okx: OkxExchange, socket: Any, *args: dict[str, str], op: str = "subscribe") -> list[Any]:
    """The answers to a request, as event and code."""
    await socket.send_str(json.dumps({"op": op, "args": list(args)}))
    answers = [await okx.next(socket, event=True) for _ in args]
    return [(answer["event"], answer.get("code")) for answer in answers]


async def opened(okx: OkxExchange, socket: Any, *args: dict[str, str]) -> None:
    assert await okx.log_in(socket) == IN
    assert await ask(okx, socket, *args) == [("subscribe", None)] * len(args)


async def row(okx: OkxExchange, socket: Any) -> Any:
    (found,) = (await okx.next(socket, "orders"))["data"]
    return found


async def test_who_may_not_log_in(okx: OkxExchange) -> None:
    """overview/websocket/login.md, error/code/websocket.md."""
    async with okx.account() as socket:
        assert await ask(okx, socket, ORDERS) == [("error", "60011")]
        assert (await okx.log_in(socket, key="NOBODY"))["code"] == "60005"
        assert (await okx.log_in(socket, passphrase="other"))["code"] == "60024"
        assert (await okx.log_in(socket, secret="other"))["code"] == "60007"
        assert (await okx.log_in(socket, ago_s=31))["code"] == "60006"
        assert await okx.log_in(socket, ago_s=30) == IN
        assert (await okx.log_in(socket))["code"] == "60031"
        assert await ask(okx, socket, {"channel": "books", "instId": "BTC-USDT"}) == [("error", "60018")]
        await socket.send_str("ping")
        assert (await socket.receive(timeout=20)).data == "pong"
    async with okx.feed() as socket:
        assert (await okx.log_in(socket))["code"] == "60028"


async def test_orders_are_reported_whole_with_the_fill_of_each_message(okx: OkxExchange) -> None:
    """ws-order-channel.md: nothing at first; a market order is reported once more, filled and without a fill."""
    async with okx.account() as socket:
        await opened(okx, socket, ORDERS)
        (made,) = await okx.private("trade/order", RESTING | {"clOrdId": "b1"})
        update = await row(okx, socket)
        assert (update["ordId"], update["clOrdId"], update["state"], update["avgPx"]) == (
            made["ordId"],
            "b1",
            "live",
            "0",
        )
        await okx.private("trade/amend-order", {"instId": "BTC-USDT", "clOrdId": "b1", "newSz": "0.005"})
        update = await row(okx, socket)
        assert (update["sz"], update["amendResult"], update["state"]) == ("0.005", "0", "live")
        await okx.private("trade/cancel-order", {"instId": "BTC-USDT", "clOrdId": "b1"})
        update = await row(okx, socket)
        assert (update["state"], update["cancelSource"], update["tradeId"]) == ("canceled", "1", "")
        await okx.private("trade/order", TAKING | {"side": "buy", "sz": "700"})
        assert (await row(okx, socket))["state"] == "live"
        fills = []
        while (update := await row(okx, socket))["tradeId"]:
            assert (update["execType"], update["fillFeeCcy"]) == ("T", "BTC")
            assert Decimal(update["fillFee"]) < 0
            fills.append(update)
        assert (update["state"], update["fillSz"], update["fillPx"]) == ("filled", "0", "")
        assert sum(Decimal(one["fillSz"]) for one in fills) == Decimal(update["accFillSz"])
        assert {one["tradeId"] for one in fills} == {one["tradeId"] for one in await okx.private("trade/fills")}


async def test_a_post_only_order_that_would_take_is_never_reported_as_live(okx: OkxExchange) -> None:
    async with okx.account() as socket:
        await opened(okx, socket, ORDERS)
        price = (await okx.admin.book("BTCUSDT"))["asks"][0][0]
        await okx.private("trade/order", RESTING | {"ordType": "post_only", "px": price})
        update = await row(okx, socket)
        assert (update["state"], update["cancelSource"]) == ("canceled", "31")


async def test_balances_come_whole_then_as_they_change(okx: OkxExchange) -> None:
    async with okx.account() as socket:
        await opened(okx, socket, ACCOUNT)
        update = await okx.next(socket, "account")
        assert update["eventType"] == "snapshot"
        held = {one["ccy"]: one["availBal"] for one in update["data"][0]["details"]}
        assert held == {"BTC": "10", "USDT": "1000000"}
        await okx.private("trade/order", RESTING)
        update = await okx.next(socket, "account")
        usdt = next(one for one in update["data"][0]["details"] if one["ccy"] == "USDT")
        assert (usdt["availBal"], usdt["frozenBal"]) == ("999400", "600")
        await okx.admin.deposit("main", "ETH", "3")
        update = await okx.next(socket, "account")
        assert [(one["ccy"], one["availBal"]) for one in update["data"][0]["details"]] == [("ETH", "3")]


async def test_only_the_own_orders_are_reported_and_faults_reach_them(okx: OkxExchange) -> None:
    async with okx.account() as socket:
        await opened(okx, socket, ORDERS)
        await okx.private("trade/order", RESTING, key="OTHER")
        await okx.admin.fault(kind="drop", stream="user", count=1)
        await okx.private("trade/order", RESTING | {"clOrdId": "lost"})
        await okx.eventually(lambda: okx.venue.faults.counters.get("drop") == 1)
        await okx.private("trade/order", RESTING | {"clOrdId": "told"})
        assert (await row(okx, socket))["clOrdId"] == "told"
        await okx.admin.revoke("KEY")
        assert (await socket.receive(timeout=20)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


@pytest.mark.parametrize(("mode", "fee", "asset"), [("absent", "", ""), ("zero", "0", "USDT")])
@pytest.mark.parametrize("again", [True, False])
async def test_the_fee_of_a_fill_may_be_stated_later(
    okx: OkxExchange, mode: str, fee: str, asset: str, again: bool
) -> None:
    await okx.admin.fault(kind="late_fee", protocol="okx", account="main", ms=300, mode=mode, again=again, count=1)
    selling = TAKING | {"side": "sell", "sz": "0.01"}
    async with okx.account() as socket:
        await opened(okx, socket, ORDERS)
        placed = (await okx.private("trade/order", selling))[0]["ordId"]
        found = await row(okx, socket)
        while not found["tradeId"]:
            found = await row(okx, socket)
        trade = found["tradeId"]
        assert (found["fillFee"], found["fillFeeCcy"]) == (fee, asset)

        async def listed() -> tuple[str, str]:
            rows = await okx.private("trade/fills", ordId=placed)
            return next((each["fee"], each["feeCcy"]) for each in rows if each["tradeId"] == trade)

        assert await listed() == (fee, asset)
        okx.advance(300, 300)
        paid = await listed()
        assert paid[1] == "USDT"
        assert Decimal(paid[0]) < 0
        if again:
            while found["tradeId"] != trade or found["fillFee"] == fee:
                found = await row(okx, socket)
            assert (found["fillFee"], found["fillFeeCcy"]) == paid
        else:
            other = (await okx.private("trade/order", selling))[0]["ordId"]
            while found["ordId"] != other:
                found = await row(okx, socket)
                assert found["tradeId"] != trade or found["fillFee"] == fee
