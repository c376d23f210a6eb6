"""Bybit's private REST endpoints, in the shapes of the manual, and their traps."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.exchange.bybit.conftest import BybitExchange
from tests.fakes.captures import captures
from venuemesh.exchange.bybit.auth import authenticate
from venuemesh.exchange.bybit.errors import ApiError
from venuemesh.exchange.bybit.orders import order_number
from venuemesh.exchange.engine.accounts import Account
from venuemesh.exchange.engine.engine import Engine
from venuemesh.exchange.engine.keys import ApiKey
from venuemesh.exchange.floor import Floor

RESTING = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "60000"}
MARKET = {"symbol": "BTCUSDT", "orderType": "Market"}


async def order(bybit: BybitExchange, placed: Any) -> Any:
    (found,) = (await bybit.private("order/realtime", orderId=placed["orderId"]))["list"]
    return found


# ------------------------------------------------------------------------------------------------------------ signing


def floor_of(key: ApiKey) -> Floor:
    engine = Engine()
    engine.add_account(Account("a", keys={key.name: key}))
    return Floor(engine, None, None, lambda seconds, call: None)  # type: ignore[arg-type]


def test_recorded_signatures_are_good() -> None:
    """Signatures of a public client with a fixed clock."""
    recorded = json.loads((captures("bybit") / "signing.json").read_text())
    key = ApiKey(recorded["keys"]["apiKey"], recorded["keys"]["secret"].encode())
    floor, now_ns = floor_of(key), recorded["clock_ms"] * 1_000_000
    assert recorded["requests"]
    for request in recorded["requests"]:
        payload = (request["body"] or urlsplit(request["url"]).query).encode()
        assert authenticate(floor, request["headers"], payload, now_ns)[1] is key
        with pytest.raises(ApiError, match="Error sign"):
            authenticate(floor, request["headers"], payload + b" ", now_ns)


async def test_who_may_not(bybit: BybitExchange) -> None:
    """error.mdx; guide.mdx: server_time - recv_window <= timestamp < server_time + 1000."""
    balance, query = "account/wallet-balance", {"accountType": "UNIFIED"}
    assert await bybit.private(balance, key="NOBODY", **query) == 10003
    assert await bybit.private(balance, secret="other", **query) == 10004
    for name in ("API-KEY", "TIMESTAMP", "SIGN"):
        status, _, _ = await bybit.signed(balance, headers={f"X-BAPI-{name}": ""}, **query)
        assert status == 401
    for ago_ms, window, good in (
        (5000, "5000", True),
        (5001, "5000", False),
        (101, "100", False),
        (-999, "5000", True),
        (-1000, "5000", False),
        (0, "soon", False),
    ):
        answer = await bybit.private(balance, ago_ms=ago_ms, window=window, **query)
        assert (answer != 10002) is good, (ago_ms, window)
    await bybit.admin.add_key("main", "READER", secret="s", only="read")
    assert await bybit.private("order/create", RESTING, key="READER", secret="s") == 10005
    await bybit.admin.revoke("KEY")
    assert await bybit.private(balance, **query) == 10003


async def test_limits_say_what_is_left(bybit: BybitExchange) -> None:
    """rate-limit.mdx: by endpoint and account, in a rolling second; a request above the limit gets 10006 in HTTP
    200."""
    for used in range(1, 6):
        _, _, headers = await bybit.signed("account/fee-rate")
        assert (headers["X-Bapi-Limit"], headers["X-Bapi-Limit-Status"]) == ("5", str(5 - used))
    status, body, headers = await bybit.signed("account/fee-rate")
    assert (status, json.loads(body)["retCode"], headers["X-Bapi-Limit-Status"]) == (200, 10006, "0")
    assert headers["X-Bapi-Limit-Reset-Timestamp"] == str(bybit.clock.now_ns() // 1_000_000 + 1000)
    assert (await bybit.private("account/fee-rate", key="OTHER"))["category"] == "spot"
    bybit.advance(1000)
    assert len((await bybit.private("account/fee-rate"))["list"]) == 2


# ------------------------------------------------------------------------------------------------------------- trading


async def test_an_order_is_acknowledged_read_and_cancelled(bybit: BybitExchange) -> None:
    """create-order.mdx, cancel-order.mdx: the answers have two ids, and no state."""
    placed = await bybit.private("order/create", RESTING | {"orderLinkId": "ours-1"})
    assert sorted(placed) == ["orderId", "orderLinkId"]
    assert placed["orderLinkId"] == "ours-1"
    assert placed["orderId"].isdigit()
    found = await order(bybit, placed)
    assert (found["orderStatus"], found["timeInForce"], found["qty"], found["leavesQty"]) == (
        *("New", "GTC"),
        *("0.01000", "0.01000"),
    )
    assert (found["rejectReason"], found["avgPrice"], found["price"]) == ("EC_NoError", "", "60000.00")
    assert (await bybit.private("order/realtime", orderLinkId="ours-1"))["list"] == [found]
    (wallet,) = (await bybit.private("account/wallet-balance", accountType="UNIFIED", coin="USDT"))["list"]
    (coin,) = wallet["coin"]
    assert (coin["coin"], Decimal(coin["walletBalance"]), Decimal(coin["locked"])) == ("USDT", 1_000_000, 600)
    ack = await bybit.private("order/cancel", {"symbol": "BTCUSDT", "orderLinkId": "ours-1"})
    assert ack == placed
    found = await order(bybit, placed)
    assert (found["orderStatus"], found["rejectReason"], found["cancelType"], found["leavesQty"]) == (
        *("Cancelled", "EC_PerCancelRequest"),
        *("CancelByUser", "0"),
    )
    assert (await bybit.private("order/realtime"))["list"] == []
    assert (await bybit.private("order/realtime", openOnly=1))["list"] == [found]
    assert (await bybit.private("order/history"))["list"] == [found]
    assert await bybit.private("order/cancel", {"symbol": "BTCUSDT", "orderLinkId": "ours-1"}) == 170213
    assert await bybit.private("order/create", RESTING | {"orderLinkId": "ours-1"}) == 170141  # unique for ever


async def test_market_orders_are_in_quote_or_base(bybit: BybitExchange) -> None:
    """create-order.mdx, qty: a market buy is by value unless `marketUnit` is base; a sale is by quantity."""
    bought = await order(bybit, await bybit.private("order/create", MARKET | {"side": "Buy", "qty": "200"}))
    assert (bought["orderType"], bought["marketUnit"], Decimal(bought["qty"])) == ("Market", "quoteCoin", 200)
    assert Decimal("150") < Decimal(bought["cumExecValue"]) <= 200
    by_size = MARKET | {"side": "Buy", "qty": "0.02", "marketUnit": "baseCoin"}
    bought = await order(bybit, await bybit.private("order/create", by_size))
    assert (bought["orderStatus"], bought["cumExecQty"], bought["timeInForce"]) == ("Filled", "0.02000", "IOC")
    assert list(bought["cumFeeDetail"]) == ["BTC"]
    sold = await order(bybit, await bybit.private("order/create", MARKET | {"side": "Sell", "qty": "0.02"}))
    assert (sold["cumExecQty"], sold["marketUnit"], list(sold["cumFeeDetail"])) == ("0.02000", "baseCoin", ["USDT"])
    (first, *_) = (await bybit.private("execution/list", orderId=sold["orderId"]))["list"]
    assert (first["side"], first["isMaker"], first["feeCurrency"], first["execType"]) == (
        "Sell",
        False,
        "USDT",
        "Trade",
    )


async def test_what_may_not_take_is_rejected_after_its_acknowledgement(bybit: BybitExchange) -> None:
    """create-order.mdx, PostOnly; enum.mdx, rejectReason."""
    crossing = RESTING | {"price": await bybit.best("asks"), "timeInForce": "PostOnly"}
    found = await order(bybit, await bybit.private("order/create", crossing))
    assert (found["orderStatus"], found["rejectReason"]) == ("Rejected", "EC_PostOnlyWillTakeLiquidity")
    assert (found["timeInForce"], found["cumExecQty"]) == ("PostOnly", "0")
    found = await order(bybit, await bybit.private("order/create", RESTING | {"timeInForce": "PostOnly"}))
    assert found["orderStatus"] == "New"
    for force, reason in (("IOC", "EC_NoImmediateQtyToFill"), ("FOK", "EC_CancelForNoFullFill")):
        found = await order(bybit, await bybit.private("order/create", RESTING | {"timeInForce": force}))
        assert (found["orderStatus"], found["rejectReason"]) == ("Cancelled", reason)


async def test_an_amendment_keeps_the_order(bybit: BybitExchange) -> None:
    """amend-order.mdx: quantity, price or both."""
    placed = await bybit.private("order/create", RESTING)
    named = {"symbol": "BTCUSDT", "orderId": placed["orderId"]}
    assert await bybit.private("order/amend", named | {"qty": "0.005"}) == placed
    assert await bybit.private("order/amend", named | {"price": "59000", "qty": "0.02"}) == placed
    found = await order(bybit, placed)
    assert (found["qty"], found["price"], found["orderStatus"]) == ("0.02000", "59000.00", "New")
    assert await bybit.private("order/amend", named) == 10001


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"symbol": "NOPE"}, 10001),
        ({"category": "linear"}, 10001),
        ({"side": "buy"}, 170117),
        ({"orderType": "Stop"}, 170116),
        ({"timeInForce": "DAY"}, 170115),
        ({"qty": "0.000001"}, 170136),
        ({"qty": "0.010001"}, 170137),
        ({"price": "60000.001"}, 170134),
        ({"qty": "0.01", "price": "1"}, 170140),
        ({"orderLinkId": "x" * 37}, 10001),
        ({"orderLinkId": "not.allowed"}, 10001),
        ({"isLeverage": 1}, 170227),
    ],
)
async def test_refused(bybit: BybitExchange, changed: dict[str, Any], code: int) -> None:
    """error.mdx: a code in HTTP 200; nothing was placed."""
    assert await bybit.private("order/create", RESTING | changed) == code
    assert (await bybit.private("order/realtime"))["list"] == []


async def test_too_little_money_is_refused_at_once(bybit: BybitExchange) -> None:
    sale = MARKET | {"side": "Sell", "qty": "1"}
    await bybit.admin.withdraw("main", "BTC", "9.9")
    assert await bybit.private("order/create", sale) == 170131


async def test_pages_are_walked_by_cursor(bybit: BybitExchange) -> None:
    """open-order.mdx, execution.mdx: newest first; the cursor is sent back as it came."""
    placed = [await bybit.private("order/create", RESTING | {"price": str(50000 + step)}) for step in range(5)]
    walked: list[str] = []
    cursor = ""
    while True:
        answer = await bybit.private("order/realtime", limit=2, **({"cursor": cursor} if cursor else {}))
        walked += [row["orderId"] for row in answer["list"]]
        cursor = answer["nextPageCursor"]
        if not cursor:
            break
        assert "%3A" in cursor
    assert walked == [one["orderId"] for one in reversed(placed)]
    assert await bybit.private("order/realtime", cursor="nothing") == 10001
    cancelled = await bybit.private("order/cancel-all", {"symbol": "BTCUSDT"})
    assert (cancelled["success"], len(cancelled["list"])) == ("1", 5)
    assert (await bybit.private("order/realtime"))["list"] == []
    assert await bybit.private("execution/list", startTime=1, endTime=700_000_000) == 10001


async def test_an_unfilled_order_leaves_the_history_after_a_day(bybit: BybitExchange) -> None:
    """order-list.mdx: 24 hours for cancelled orders; the orders of the last restart are in /realtime for longer."""
    placed = await bybit.private("order/create", RESTING)
    await bybit.private("order/cancel", {"symbol": "BTCUSDT", "orderId": placed["orderId"]})
    assert len((await bybit.private("order/history"))["list"]) == 1
    bybit.clock.wall_ns += 86_400 * 1_000_000_000
    assert (await bybit.private("order/history"))["list"] == []


# -------------------------------------------------------------------------------------------------------------- faults


async def test_an_order_cannot_be_queried_right_after_its_acknowledgement(bybit: BybitExchange) -> None:
    await bybit.admin.fault(kind="unseen", ms=500, protocol="bybit")
    placed = await bybit.private("order/create", RESTING)
    assert (await bybit.private("order/realtime", orderId=placed["orderId"]))["list"] == []
    bybit.advance(500)
    assert (await order(bybit, placed))["orderStatus"] == "New"


async def test_an_order_is_rejected_after_its_acknowledgement(bybit: BybitExchange) -> None:
    await bybit.admin.fault(kind="reject_later", ms=100, protocol="bybit", count=1)
    placed = await bybit.private("order/create", RESTING)
    assert (await order(bybit, placed))["orderStatus"] == "New"
    kept = bybit.venue.engine.accounts["main"].by_id[order_number(placed["orderId"]) or 0]
    await bybit.eventually(lambda: kept.status == "REJECTED")
    found = await order(bybit, placed)
    assert (found["orderStatus"], found["rejectReason"]) == ("Rejected", "EC_Others")


async def test_a_request_is_void_after_its_window(bybit: BybitExchange) -> None:
    """A held request (the fault `late`) is checked at its execution."""
    await bybit.admin.fault(kind="late", endpoint="POST /v5/order/create", ms=100, count=1)
    held = asyncio.create_task(bybit.private("order/create", RESTING, window="50"))
    await bybit.eventually(lambda: bybit.venue.faults.counters.get("late") == 1)
    bybit.advance(100)
    assert await held == 10002
    assert (await bybit.private("order/realtime"))["list"] == []


async def test_a_balance_may_be_misstated(bybit: BybitExchange) -> None:
    await bybit.admin.fault(kind="balance", account="main", protocol="bybit", asset="BTC", amount="1")
    (wallet,) = (await bybit.private("account/wallet-balance", accountType="UNIFIED", coin="BTC"))["list"]
    assert Decimal(wallet["coin"][0]["walletBalance"]) == 11


async def test_answers_that_say_nothing_certain(bybit: BybitExchange) -> None:
    """A server error before the execution of the order, and a timeout after it."""
    await bybit.admin.fault(kind="status", status=503, count=1, protocol="bybit", endpoint="/v5/order/create")
    status, body, _ = await bybit.signed("order/create", RESTING)
    assert (status, json.loads(body)["retCode"]) == (503, 10016)
    await bybit.admin.fault(
        kind="accept_then_status", status=500, count=1, protocol="bybit", endpoint="/v5/order/create"
    )
    status, body, _ = await bybit.signed("order/create", RESTING | {"orderLinkId": "unknown"})
    assert (status, json.loads(body)["retCode"]) == (500, 10000)
    assert (await bybit.private("order/realtime"))["list"][0]["orderLinkId"] == "unknown"


async def test_each_row_of_a_batch_has_an_outcome(bybit: BybitExchange) -> None:
    """order/batch-place.mdx, batch-amend.mdx, batch-cancel.mdx: codes and texts are in retExtInfo."""

    async def batch(what: str, *rows: Any) -> tuple[list[Any], list[tuple[int, str]]]:
        _, body, _ = await bybit.signed(f"order/{what}-batch", {"request": rows})
        answer = json.loads(body)
        assert (answer["retCode"], answer["retMsg"]) == (0, "OK")
        return answer["result"]["list"], [(one["code"], one["msg"]) for one in answer["retExtInfo"]["list"]]

    rows, outcomes = await batch("create", RESTING | {"orderLinkId": "b1"}, RESTING | {"orderLinkId": "b1"})
    assert outcomes == [(0, "OK"), (170141, "Duplicate clientOrderId")]
    assert list(rows[0]) == ["category", "symbol", "orderId", "orderLinkId", "createAt"]
    assert (rows[0]["orderLinkId"], rows[0]["symbol"], rows[1]["orderId"]) == ("b1", "BTCUSDT", "")
    assert bybit.desk.floor.receipts_of(bybit.venue.engine.accounts["main"]).find("b1").refused == 1
    named = {"symbol": "BTCUSDT", "orderLinkId": "b1"}
    assert (await batch("amend", named | {"qty": "0.02"}))[1] == [(0, "OK")]
    assert (await order(bybit, rows[0]))["qty"] == "0.02000"
    _, outcomes = await batch("cancel", named, named)
    assert outcomes == [(0, "OK"), (170213, "Order does not exist.")]
    for wrong in ([], [1], [RESTING] * 11, "x"):
        assert await bybit.private("order/create-batch", {"request": wrong}) == 10001


async def test_what_of_a_batch_is_beyond_the_limit_fails(bybit: BybitExchange) -> None:
    """rate-limit.mdx, Instructions for batch endpoints: each row counts."""
    for _ in range(2):
        await bybit.signed("order/create-batch", {"request": [RESTING] * 9})
    _, body, headers = await bybit.signed("order/create-batch", {"request": [RESTING] * 3})
    assert [one["code"] for one in json.loads(body)["retExtInfo"]["list"]] == [0, 0, 10006]
    assert headers["X-Bapi-Limit-Status"] == "0"


async def test_what_a_key_and_its_account_are(bybit: BybitExchange) -> None:
    """account/account-info.mdx, user/apikey-info.mdx."""
    assert (await bybit.private("account/info"))["unifiedMarginStatus"] == 6
    found = await bybit.private("user/query-api")
    assert (found["apiKey"], found["readOnly"], found["permissions"]["Spot"]) == ("KEY", 0, ["SpotTrade"])
    await bybit.admin.add_key("main", "READER", secret="s", only="read")
    found = await bybit.private("user/query-api", key="READER", secret="s")
    assert (found["readOnly"], found["permissions"]["Spot"], found["uta"]) == (1, [], 1)
