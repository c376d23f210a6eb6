"""Kraken's private websocket v2, in the shapes of the manual: executions, balances, orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.exchange.kraken.conftest import SECRET, KrakenExchange
from venuemesh.exchange.kraken.ids import order_number

BUY: dict[str, Any] = {"symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "limit_price": 60000.0}
BUY |= {"order_qty": 0.01}
IDS = {"timestamp", "order_status", "exec_type", "order_id", "cl_ord_id"}


async def token_of(kraken: KrakenExchange, key: str = "KEY") -> str:
    return str((await kraken.private("GetWebSocketsToken", key=key))["token"])


async def ask(kraken: KrakenExchange, socket: Any, method: str, **params: Any) -> Any:
    await kraken.say(socket, method, 1, **params)
    return await kraken.next(socket, method=method)


async def event(kraken: KrakenExchange, socket: Any, channel: str = "executions") -> Any:
    answer = await kraken.next(socket, channel)
    assert answer["type"] == "update"
    (data,) = answer["data"]
    return data | {"sequence": answer["sequence"]}


async def test_subscriptions_need_a_token_and_the_private_endpoint(kraken: KrakenExchange) -> None:
    """get-websockets-token: used within 15 minutes, valid for longer while its subscription lives."""
    token = await token_of(kraken)
    async with kraken.private_feed() as socket:
        refused = await ask(kraken, socket, "subscribe", channel="balances", token="nonsense")
        assert (refused["success"], refused["error"]) == (False, "ESession:Invalid session")
        public = await ask(kraken, socket, "subscribe", channel="trade", symbol=["BTC/USDT"])
        assert public["error"].startswith("Public market data subscriptions are unavailable on this endpoint")
        answer = await ask(kraken, socket, "subscribe", channel="balances", token=token)
        assert (answer["success"], answer["result"]) == (True, {"channel": "balances", "snapshot": True})
        again = await ask(kraken, socket, "subscribe", channel="balances", token=token)
        assert again["error"] == "Already subscribed"
        unused = await token_of(kraken)
        kraken.advance(901_000, 1_000)
        stale = await ask(kraken, socket, "subscribe", channel="executions", token=unused)
        assert stale["error"] == "EAPI:Invalid token"
        assert (await ask(kraken, socket, "subscribe", channel="executions", token=token))["success"] is True
        assert (await ask(kraken, socket, "unsubscribe", channel="executions", token=token))["success"] is True
        await kraken.admin.revoke("KEY")
        assert (await socket.receive(timeout=20)).type is aiohttp.WSMsgType.CLOSE  # until here balances arrived
    async with kraken.private_feed() as socket:
        gone = await ask(kraken, socket, "add_order", token=token, **BUY)
        assert gone["error"] == "ESession:Invalid session"


async def test_the_life_of_an_order(kraken: KrakenExchange) -> None:
    """executions: pending_new has all fields; new, trade and canceled have the changed fields; one message each."""
    token = await token_of(kraken)
    async with kraken.private_feed() as socket:
        answer = await ask(kraken, socket, "subscribe", channel="executions", token=token)
        assert answer["result"] == {
            "channel": "executions",
            "snap_orders": True,
            "snap_trades": False,
            "maxratecount": 180,
        }
        snapshot = await kraken.next(socket, "executions")
        assert (snapshot["type"], snapshot["data"], snapshot["sequence"]) == ("snapshot", [], 1)
        order = BUY | {"limit_price": 64000.0, "cl_ord_id": "w1"}
        placed = await ask(kraken, socket, "add_order", token=token, **order)
        identity = placed["result"]["order_id"]
        assert placed["result"] == {"order_id": identity, "cl_ord_id": "w1"}  # and no status
        first = await event(kraken, socket)
        assert (first["exec_type"], first["order_status"], first["sequence"]) == ("pending_new", "pending_new", 2)
        assert (first["symbol"], first["side"], first["limit_price"], first["order_qty"]) == (
            "BTC/USDT",
            "buy",
            Decimal("64000.00"),
            Decimal("0.01000"),
        )
        second = await event(kraken, socket)
        assert set(second) == IDS | {"sequence"}
        assert (second["exec_type"], second["order_id"], second["cl_ord_id"]) == ("new", identity, "w1")
        await kraken.admin.fill("BTCUSDT", order_number(identity), "0.004")
        fill = await event(kraken, socket)
        assert (fill["exec_type"], fill["order_status"], fill["liquidity_ind"]) == ("trade", "partially_filled", "m")
        assert (fill["last_qty"], fill["last_price"], fill["cost"]) == (Decimal("0.00400"), 64000, 256)
        assert (fill["cum_qty"], fill["cum_cost"], fill["avg_price"]) == (Decimal("0.00400"), 256, 64000)
        assert fill["fees"] == [{"asset": "USDT", "qty": Decimal("0.25600000")}]
        ((name, _),) = (await kraken.private("TradesHistory"))["trades"].items()
        assert fill["exec_id"] == name
        await ask(kraken, socket, "cancel_order", token=token, cl_ord_id=["w1"])
        ended = await event(kraken, socket)
        assert (ended["exec_type"], ended["order_status"], ended["reason"]) == (
            "canceled",
            "canceled",
            "User requested",
        )
        assert (ended["cum_qty"], "symbol" in ended, ended["sequence"]) == (Decimal("0.00400"), False, 5)


async def test_a_filled_order_and_the_balances_after_it(kraken: KrakenExchange) -> None:
    """executions (trade, then filled), balances (an entry for each asset; totals, which an open order does not
    change)."""
    token = await token_of(kraken)
    async with kraken.private_feed() as socket, kraken.private_feed() as purse:
        await ask(kraken, socket, "subscribe", channel="executions", token=token, snap_orders=False)
        await ask(kraken, purse, "subscribe", channel="balances", token=token)
        snapshot = await kraken.next(purse, "balances")
        assert {each["asset"]: each["balance"] for each in snapshot["data"]} == {"BTC": 10, "USDT": 1_000_000}
        placed = await ask(kraken, socket, "add_order", token=token, **BUY | {"limit_price": 64000.0})
        await kraken.admin.fill("BTCUSDT", order_number(placed["result"]["order_id"]))
        kinds = [(await event(kraken, socket)) for _ in range(4)]
        assert [answer["exec_type"] for answer in kinds] == ["pending_new", "new", "trade", "filled"]
        assert (kinds[2]["order_status"], kinds[3]["cum_qty"]) == ("filled", Decimal("0.01000"))
        base, quote = await event(kraken, purse, "balances"), await event(kraken, purse, "balances")
        assert (base["asset"], base["amount"], base["fee"], base["balance"]) == (
            "BTC",
            Decimal("0.01"),
            0,
            Decimal("10.01"),
        )
        assert (quote["asset"], quote["amount"], quote["fee"]) == ("USDT", -640, Decimal("0.64"))
        assert quote["balance"] == Decimal("999359.36")
        assert base["ref_id"] == quote["ref_id"] == kinds[2]["exec_id"]
        assert (base["sequence"], quote["sequence"]) == (2, 3)
        await kraken.admin.deposit("main", "ETH", "2")
        answer = await event(kraken, purse, "balances")
        assert (answer["type"], answer["asset"], answer["amount"], answer["balance"]) == ("deposit", "ETH", 2, 2)


async def test_the_fee_of_a_fill_may_be_stated_later(kraken: KrakenExchange) -> None:
    """Where the fee is absent, a trade has no fees, and the history, whose fee is a number, has zero."""
    token = await token_of(kraken)
    await kraken.admin.fault(kind="late_fee", protocol="kraken", account="main", ms=300, count=1)
    async with kraken.private_feed() as socket:
        await ask(kraken, socket, "subscribe", channel="executions", token=token, snap_orders=False)
        placed = await ask(kraken, socket, "add_order", token=token, **BUY | {"limit_price": 64000.0})
        await kraken.admin.fill("BTCUSDT", order_number(placed["result"]["order_id"]))
        found = [await event(kraken, socket) for _ in range(3)][-1]
        assert (found["exec_type"], found["fees"]) == ("trade", [])
        (listed,) = (await kraken.private("TradesHistory"))["trades"].values()
        assert Decimal(listed["fee"]) == 0
        kraken.advance(300, 300)
        (listed,) = (await kraken.private("TradesHistory"))["trades"].values()
        assert Decimal(listed["fee"]) == Decimal("0.64")
        while (again := await event(kraken, socket))["exec_type"] != "trade":
            pass
        assert (again["exec_id"], again["fees"]) == (found["exec_id"], [{"asset": "USDT", "qty": Decimal("0.64")}])


async def test_snapshots_have_open_orders_and_fills(kraken: KrakenExchange) -> None:
    """executions: snap_orders is true by default, snap_trades brings the last 50."""
    token = await token_of(kraken)
    async with kraken.private_feed() as socket:
        placed = await ask(kraken, socket, "add_order", token=token, **BUY | {"limit_price": 64000.0})
        identity = placed["result"]["order_id"]
        await kraken.admin.fill("BTCUSDT", order_number(identity), "0.001")
        await ask(kraken, socket, "subscribe", channel="executions", token=token, snap_trades=True)
        answer = await kraken.next(socket, "executions")
        assert [(each["exec_type"], each["order_id"]) for each in answer["data"]] == [
            ("status", identity),
            ("trade", identity),
        ]
        assert (answer["data"][0]["order_status"], answer["data"][0]["cum_qty"]) == (
            "partially_filled",
            Decimal("0.001"),
        )


async def test_post_only_amend_and_cancels(kraken: KrakenExchange) -> None:
    """add_order (post_only is cancelled, not refused), amend_order, cancel_order (an answer each), cancel_all."""
    token = await token_of(kraken)
    ask_price = float((await kraken.admin.book("BTCUSDT"))["asks"][0][0])
    async with kraken.private_feed() as socket:
        await ask(kraken, socket, "subscribe", channel="executions", token=token, ratecounter=True)
        taking = BUY | {"limit_price": ask_price, "post_only": True}
        assert (await ask(kraken, socket, "add_order", token=token, **taking))["success"] is True
        first, second = await event(kraken, socket), await event(kraken, socket)
        assert (first["exec_type"], second["exec_type"], second["reason"]) == (
            "pending_new",
            "canceled",
            "Post only order",
        )
        assert first["ratecount"] == 1
        placed = [(await ask(kraken, socket, "add_order", token=token, **BUY))["result"]["order_id"] for _ in "ab"]
        amended = await ask(kraken, socket, "amend_order", token=token, order_id=placed[0], order_qty=0.02)
        assert amended["result"]["order_id"] == placed[0]
        answer = await event(kraken, socket)
        while answer["exec_type"] != "amended":
            answer = await event(kraken, socket)
        assert (answer["order_id"], answer["order_qty"], answer["amended"]) == (placed[0], Decimal("0.02"), True)
        await kraken.say(socket, "cancel_order", 9, token=token, order_id=[placed[0], "OUF4EM-FRGI2-MQMWZD"])
        good = await kraken.next(socket, method="cancel_order")
        bad = await kraken.next(socket, method="cancel_order")
        assert (good["result"], good["req_id"]) == ({"order_id": placed[0]}, 9)
        assert (bad["error"], bad["success"], bad["req_id"]) == ("EOrder:Invalid order", False, 9)
        assert (await ask(kraken, socket, "cancel_all", token=token))["result"] == {"count": 1}
        answer = await ask(kraken, socket, "cancel_all_orders_after", token=token, timeout=60)
        assert answer["result"]["triggerTime"] == "2023-11-14T22:14:20Z"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"symbol": "XBT/USDT"}, "Currency pair not supported XBT/USDT"),
        ({"order_qty": 100.0}, "EOrder:Insufficient funds"),
        ({"order_qty": 0.000001}, "EGeneral:Invalid arguments:order_qty"),
        ({"limit_price": 60000.001}, "EOrder:Invalid price:XBTUSDT price can only be specified up to 2 decimals."),
        ({"leverage": 2}, "Unsupported field: 'leverage'"),
        ({"cl_ord_id": "x" * 19}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"order_type": "iceberg"}, "EGeneral:Invalid arguments:order_type"),
        ({"time_in_force": "gtd"}, "EGeneral:Invalid arguments:time_in_force"),
        ({"deadline": "2023-11-14T22:13:20.100Z"}, "EGeneral:Invalid arguments:deadline"),
    ],
)
async def test_an_error_is_one_text(kraken: KrakenExchange, changed: dict[str, Any], error: str) -> None:
    token = await token_of(kraken)
    async with kraken.private_feed() as socket:
        answer = await ask(kraken, socket, "add_order", token=token, **BUY | changed)
        assert (answer["error"], answer["success"], "result" in answer) == (error, False, False)


async def test_markets_by_quote_amount_and_validation(kraken: KrakenExchange) -> None:
    """add_order: cash_order_qty is the amount to spend; a validated order has no id."""
    token = await token_of(kraken)
    market = {"symbol": "BTC/USDT", "side": "buy", "order_type": "market", "cash_order_qty": 100.0}
    async with kraken.private_feed() as socket:
        validated = await ask(kraken, socket, "add_order", token=token, **BUY, validate=True)
        assert validated["result"] == {"order_id": ""}
        placed = await ask(kraken, socket, "add_order", token=token, **market)
        order = (await kraken.private("QueryOrders", txid=placed["result"]["order_id"]))[placed["result"]["order_id"]]
        assert 99 < Decimal(order["cost"]) <= 100


async def test_an_order_that_comes_after_five_seconds_is_refused(kraken: KrakenExchange) -> None:
    """add_order: the default deadline is 5 s."""
    token = await token_of(kraken)
    async with kraken.private_feed() as socket:
        await kraken.admin.fault(kind="late", endpoint="ws:add_order", ms=50, count=1)
        await kraken.say(socket, "add_order", token=token, **BUY, cl_ord_id="late")
        await kraken.eventually(lambda: kraken.venue.faults.counters.get("late") == 1)
        kraken.advance(5_100, 100)
        assert (await kraken.next(socket, method="add_order"))["error"] == "EService:Deadline elapsed"
        receipt = await kraken.admin.receipt("main", "late")
        assert (receipt["received"], receipt["refused"]) == (1, 1)


async def test_faults_of_orders_and_user_data(kraken: KrakenExchange) -> None:
    """accept_then_wait reverses answer and events; drop leaves a gap in `sequence`; cut by account."""
    token = await token_of(kraken)
    async with kraken.private_feed() as socket:
        await ask(kraken, socket, "subscribe", channel="executions", token=token)
        await kraken.next(socket, "executions")
        await kraken.admin.fault(kind="accept_then_wait", endpoint="ws:add_order", ms=30, count=1)
        await kraken.say(socket, "add_order", 3, token=token, **BUY)
        assert (await kraken.next(socket))["channel"] == "executions"
        assert (await kraken.next(socket))["channel"] == "executions"
        assert (await kraken.next(socket))["method"] == "add_order"
        await kraken.admin.fault(kind="drop", stream="user", account="main", count=1)
        placed = await ask(kraken, socket, "add_order", token=token, **BUY)
        assert placed["success"] is True
        answer = await event(kraken, socket)
        assert (answer["exec_type"], answer["sequence"]) == ("new", 5)
        await kraken.admin.fault(kind="accept_then_status", endpoint="ws:cancel_all", count=1)
        assert (await ask(kraken, socket, "cancel_all", token=token))["error"] == "EGeneral:Internal error"
        assert (await kraken.private("OpenOrders"))["open"] == {}
        await kraken.admin.cut(account="main")
        while True:
            message = await socket.receive(timeout=20)
            if message.type is not aiohttp.WSMsgType.TEXT:
                break


async def test_keys_that_may_only_read(kraken: KrakenExchange) -> None:
    await kraken.admin.add_key("main", "READER", secret=SECRET, only="read")
    token = await token_of(kraken, "READER")
    async with kraken.private_feed() as socket:
        assert (await ask(kraken, socket, "subscribe", channel="balances", token=token))["success"] is True
        assert (await ask(kraken, socket, "add_order", token=token, **BUY))["error"] == "EGeneral:Permission denied"
