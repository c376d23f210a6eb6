"""HTX's private side, REST and the websocket v2, in the forms of the manual, with its traps."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.exchange.htx.conftest import HtxExchange

TWO_HOURS_MS = 2 * 3_600_000
ORDERS = "/v1/order/orders"


async def test_signatures(htx: HtxExchange) -> None:
    assert [one["type"] for one in await htx.private("/v1/account/accounts")] == ["spot", "otc", "point"]
    for wrong in ({"secret": "x"}, {"key": "NOBODY"}, {"ago_s": 301}, {"ago_s": -301}):
        assert await htx.private("/v1/account/accounts", **wrong) == "api-signature-not-valid"
    _, late, _ = await htx.signed("/v1/account/accounts", ago_s=301)
    assert "Invalid submission time" in late["err-msg"]
    assert isinstance(await htx.private("/v1/account/accounts", ago_s=300), list)
    status, _, headers = await htx.signed("/v1/account/accounts")
    assert status == 200
    assert int(headers["X-HB-RateLimit-Requests-Remain"]) < 100


async def test_balances_have_a_free_and_a_locked_row(htx: HtxExchange) -> None:
    await htx.place(amount="0.01", price="20000")
    data = await htx.private(f"/v1/account/accounts/{htx.account_id}/balance")
    rows = {(row["currency"], row["type"]): Decimal(row["balance"]) for row in data["list"]}
    assert rows["usdt", "frozen"] == 200
    assert rows["usdt", "trade"] == 999_800
    assert await htx.private("/v1/account/accounts/1/balance") == "account-get-accounts-inexistent-error"


async def test_an_order_is_placed_found_listed_and_cancelled(htx: HtxExchange) -> None:
    number = await htx.place(**{"client-order-id": "one"})
    found = await htx.private(f"{ORDERS}/{number}")
    assert (found["client-order-id"], found["state"], found["type"]) == ("one", "submitted", "buy-limit")
    assert (str(found["id"]), found["amount"], found["field-amount"]) == (number, "0.00100000", "0.00000000")
    (listed,) = await htx.private("/v1/order/openOrders", **{"account-id": htx.account_id, "symbol": "btcusdt"})
    assert "filled-amount" in listed
    assert await htx.private(f"{ORDERS}/getClientOrder", clientOrderId="one") == found
    assert await htx.private(f"{ORDERS}/{number}/submitcancel", {"order-id": number, "symbol": "btcusdt"}) == number
    assert await htx.private(f"{ORDERS}/{number}/submitcancel", {}) == "order-orderstate-error"
    assert (await htx.private(f"{ORDERS}/{number}"))["state"] == "canceled"
    assert await htx.private("/v1/order/openOrders") == []
    assert await htx.private(f"{ORDERS}/1/submitcancel", {}) == "base-record-invalid"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"account-id": "1"}, "account-account-id-inexistent"),
        ({"symbol": "nope"}, "invalid-parameter"),
        ({"kind": "buy-what"}, "order-type-invalid"),
        ({"amount": "0.0000001"}, "order-limitorder-amount-min-error"),
        ({"price": "20000.123"}, "order-orderprice-precision-error"),
        ({"amount": "100"}, "order-accountbalance-error"),
        ({"client-order-id": "x y"}, "invalid-parameter"),
        ({"kind": "buy-limit-maker", "price": "70000"}, "order-invalid-price"),
        ({"amount": "1", "kind": "sell-market", "price": None, "source": "margin-api"}, "order-source-invalid"),
    ],
)
async def test_refused_orders(htx: HtxExchange, changes: dict[str, Any], code: str) -> None:
    assert await htx.place(**changes) == code


async def test_a_client_id_may_be_used_again_and_finds_the_newest(htx: HtxExchange) -> None:
    first = await htx.place(**{"client-order-id": "same"})
    second = await htx.place(price="20001", **{"client-order-id": "same"})
    assert str((await htx.private(f"{ORDERS}/getClientOrder", clientOrderId="same"))["id"]) == second
    assert len(await htx.private("/v1/order/openOrders")) == 2
    assert await htx.private(f"{ORDERS}/submitCancelClientOrder", {"client-order-id": "same"}) == 10
    (left,) = await htx.private("/v1/order/openOrders")
    assert (str(left["id"]), left["client-order-id"]) == (first, "same")


async def test_what_is_forgotten(htx: HtxExchange) -> None:
    """A client id after two hours (eight while open); an order that was cancelled unfilled after two hours."""
    gone = await htx.place(**{"client-order-id": "gone"})
    await htx.place(price="20001", **{"client-order-id": "open"})
    filled = await htx.place("buy-market", "100", None, **{"client-order-id": "filled"})
    await htx.private(f"{ORDERS}/{gone}/submitcancel", {})
    htx.clock.wall_ns += (TWO_HOURS_MS + 1000) * 10**6
    for name, number in (("gone", gone), ("filled", filled)):
        assert await htx.private(f"{ORDERS}/getClientOrder", clientOrderId=name) == "base-record-invalid"
        found = await htx.private(f"{ORDERS}/{number}")
        assert found == "base-record-invalid" if name == "gone" else found["state"] == "filled"
    assert (await htx.private(f"{ORDERS}/getClientOrder", clientOrderId="open"))["state"] == "submitted"
    listed = await htx.private(ORDERS, symbol="btcusdt", states="filled,canceled")
    assert [str(row["id"]) for row in listed] == [filled]
    htx.clock.wall_ns += 3 * TWO_HOURS_MS * 10**6
    assert await htx.private(f"{ORDERS}/getClientOrder", clientOrderId="open") == "base-record-invalid"


async def test_a_market_buy_states_its_value(htx: HtxExchange) -> None:
    number = await htx.place("buy-market", "100", None)
    found = await htx.private(f"{ORDERS}/{number}")
    assert (found["state"], found["amount"]) == ("filled", "100.00000000")
    assert Decimal(99) < Decimal(found["field-cash-amount"]) <= 100
    rows = await htx.private(f"{ORDERS}/{number}/matchresults")
    assert sum(Decimal(row["filled-amount"]) for row in rows) == Decimal(found["field-amount"])
    assert {(row["fee-currency"], row["role"], row["fee-deduct-state"]) for row in rows} == {("btc", "taker", "done")}


async def test_pages_of_fills_have_records_that_do_not_rise(htx: HtxExchange) -> None:
    for _ in range(4):
        await htx.place("buy-market", "20", None)
    every = await htx.private("/v1/order/matchresults", symbol="btcusdt", size="500")
    records = [row["id"] for row in every]
    assert len(set(records)) == len(records) >= 4
    assert records not in (sorted(records), sorted(records, reverse=True))
    first = await htx.private("/v1/order/matchresults", symbol="btcusdt", size="2")
    rest = await htx.private(
        "/v1/order/matchresults", symbol="btcusdt", size="500", direct="next", **{"from": str(first[-1]["id"])}
    )
    assert [*first, *rest] == every
    now_ms = htx.clock.now_ns() // 10**6
    window = {"start-time": str(now_ms - 49 * 3_600_000), "end-time": str(now_ms)}
    assert await htx.private("/v1/order/matchresults", symbol="btcusdt", **window) == "invalid-interval"


async def test_batches_have_an_outcome_for_each_order(htx: HtxExchange) -> None:
    await htx.place()
    order = {
        "account-id": htx.account_id,
        "symbol": "btcusdt",
        "type": "buy-limit",
        "amount": "0.001",
        "price": "21000",
    }
    made = await htx.private(
        "/v1/order/batch-orders", [order | {"client-order-id": "a"}, order | {"client-order-id": "b", "amount": "100"}]
    )
    assert made[0]["client-order-id"] == "a"
    assert (made[1]["client-order-id"], made[1]["err-code"]) == ("b", "order-accountbalance-error")
    number = str(made[0]["order-id"])
    done = await htx.private(f"{ORDERS}/batchcancel", {"order-ids": [number, "1"]})
    assert done["success"] == [number]
    assert [(row["order-id"], row["err-code"]) for row in done["failed"]] == [("1", "base-record-invalid")]
    again = await htx.private(f"{ORDERS}/batchcancel", {"client-order-ids": ["a"]})
    assert again["failed"][0]["err-code"] == "order-orderstate-error"
    assert await htx.private("/v1/order/batch-orders", [order] * 11) == "invalid-parameter"


async def test_the_dead_mans_switch(htx: HtxExchange) -> None:
    path = "/v2/algo-orders/cancel-all-after"
    await htx.place()
    assert await htx.private(path, {"timeout": 4}) == "invalid-parameter"
    times = await htx.private(path, {"timeout": 5})
    assert times["triggerTime"] - times["currentTime"] == 5_000
    htx.advance(4_900, 100)
    assert len(await htx.private("/v1/order/openOrders")) == 1
    htx.advance(300, 100)
    assert await htx.private("/v1/order/openOrders") == []


async def test_limits_of_endpoints(htx: HtxExchange) -> None:
    htx.desk.limits.account_share = 0.1
    codes = [await htx.private("/v1/order/matchresults", symbol="btcusdt") for _ in range(3)]
    assert codes == [[], [], "510"]


# ------------------------------------------------------------------------------------------------------- websocket


async def test_the_private_websocket(htx: HtxExchange) -> None:
    async with htx.account() as socket:
        assert (await htx.say(socket, action="sub", ch="orders#*"))["code"] == 2002
        assert (await htx.log_in(socket, secret="x"))["code"] == 2002
        assert await htx.log_in(socket) == {"action": "req", "code": 200, "ch": "auth", "data": {}}
        assert (await htx.say(socket, action="sub", ch="orders#nope"))["code"] == 2001
        for topic in ("orders#*", "trade.clearing#*#0"):
            answer = await htx.say(socket, action="sub", ch=topic)
            assert answer == {"action": "sub", "code": 200, "ch": topic, "data": {}}
        assert (await htx.say(socket, action="sub", ch="accounts.update#2"))["code"] == 200
        first = [await htx.hear(socket), await htx.hear(socket)]
        assert {one["data"]["currency"] for one in first} == {"btc", "usdt"}
        assert {one["data"]["changeType"] for one in first} == {None}

        number = await htx.place("buy-market", "30", None, **{"client-order-id": "m"})
        heard: list[Any] = []
        while len(heard) == 0 or heard[-1]["ch"] != "trade.clearing#*#0":
            heard.append(await htx.hear(socket))
        events = [one["data"] for one in heard if one["ch"] == "orders#*"]
        assert [one["eventType"] for one in events] == ["creation", "trade"]
        created, traded = events
        assert (str(created["orderId"]), created["orderValue"], created["clientOrderId"]) == (
            number,
            "30.00000000",
            "m",
        )
        assert "orderSize" not in created
        assert (traded["aggressor"], traded["orderStatus"]) == (True, "filled")
        assert "transactFee" not in traded
        cleared = heard[-1]["data"]
        assert (cleared["tradeId"], cleared["feeCurrency"]) == (traded["tradeId"], "btc")
        assert Decimal(cleared["transactFee"]) > 0

        resting = await htx.place()
        await htx.private(f"{ORDERS}/{resting}/submitcancel", {})
        while (ended := await htx.hear_of(socket, "orders#*"))["data"]["eventType"] != "cancellation":
            pass
        assert (ended["data"]["orderStatus"], ended["data"]["execAmt"]) == ("canceled", "0.00000000")


async def test_pings_of_the_private_websocket(htx: HtxExchange) -> None:
    async with htx.account() as socket:
        htx.advance(20_100, 100)
        ping = await htx.hear(socket)
        assert ping["action"] == "ping"
        await socket.send_str(f'{{"action":"pong","data":{{"ts":{ping["data"]["ts"]}}}}}')
        (client,) = htx.venue.floor.connections.open.values()
        await htx.eventually(lambda: not client._waiting)
