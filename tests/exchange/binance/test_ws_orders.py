"""Signed methods of the WebSocket API, and the user data after them.

Source: web-socket-api.md (Trading requests, Account requests), user-data-stream.md, read 2026-11-22.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.signed_ws import Api, Key, query

pytestmark = pytest.mark.timeout(120)
KEY = Key("KEY", "SECRET")


def order(client_id: str, **fields: Any) -> dict[str, Any]:
    plain = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "price": "60000.00",
        "quantity": "0.01",
        "newClientOrderId": client_id,
    }
    return {name: value for name, value in (plain | fields).items() if value is not None}


@pytest.fixture
async def ws(exchange: Any) -> AsyncIterator[Api]:
    """A connection with the account's user data; the market is at rest."""
    await exchange.admin.pause()
    async with exchange.socket("/ws-api/v3") as socket:
        api = Api(socket, KEY, lambda: exchange.clock.wall_ns // 1_000_000)
        await api.ask("userDataStream.subscribe.signature")
        yield api


async def reports(ws: Api, number: int) -> list[Any]:
    return [(await ws.event("executionReport"))["event"] for _ in range(number)]


async def test_an_order_is_placed_followed_and_cancelled(exchange: Any, ws: Api) -> None:
    placed = await ws.ask("order.place", **order("one", strategyId=7, strategyType=1_000_001))
    assert placed["status"] == 200
    limits = [(limit["rateLimitType"], limit["interval"], limit["count"]) for limit in placed["rateLimits"]]
    assert limits == [("ORDERS", "SECOND", 1), ("ORDERS", "DAY", 1), ("REQUEST_WEIGHT", "MINUTE", 5)]
    result = placed["result"]
    assert (result["clientOrderId"], result["status"], result["fills"]) == ("one", "NEW", [])
    (new,) = await reports(ws, 1)
    assert (new["i"], new["j"], new["J"], new["W"]) == (result["orderId"], 7, 1_000_001, result["workingTime"])
    found = (await ws.ask("order.status", symbol="BTCUSDT", origClientOrderId="one"))["result"]
    assert (found["orderId"], found["isWorking"]) == (result["orderId"], True)
    listed = (await ws.ask("openOrders.status", symbol="BTCUSDT"))["result"]
    assert [item["orderId"] for item in listed] == [result["orderId"]]
    cancelled = await ws.ask("order.cancel", symbol="BTCUSDT", origClientOrderId="one", newClientOrderId="away")
    assert (cancelled["result"]["origClientOrderId"], cancelled["result"]["clientOrderId"]) == ("one", "away")
    (gone,) = await reports(ws, 1)
    assert (gone["x"], gone["c"], gone["C"], gone["w"]) == ("CANCELED", "away", "one", False)
    again = await ws.ask("order.cancel", symbol="BTCUSDT", origClientOrderId="one")
    assert (again["status"], again["error"]["code"]) == (400, -2011)


async def test_a_market_order_fills_with_trades_that_all_agree(exchange: Any, ws: Api) -> None:
    placed = await ws.ask("order.place", **order("take", type="MARKET", quantity="0.2", price=None, timeInForce=None))
    result = placed["result"]
    events = await reports(ws, 1 + len(result["fills"]))
    assert [event["x"] for event in events] == ["NEW"] + ["TRADE"] * len(result["fills"])
    assert events[-1]["X"] == result["status"]
    assert [(event["t"], event["L"], event["l"], event["n"], event["N"]) for event in events[1:]] == [
        (fill["tradeId"], fill["price"], fill["qty"], fill["commission"], fill["commissionAsset"])
        for fill in result["fills"]
    ]
    assert len({event["I"] for event in events}) == len(events)
    trades = (await ws.ask("myTrades", symbol="BTCUSDT"))["result"]
    assert [trade["id"] for trade in trades] == [fill["tradeId"] for fill in result["fills"]]
    truth = (await exchange.admin.fills("main", limit=2))["fills"]
    assert [fill["trade_id"] for fill in truth] == [trade["id"] for trade in trades[:2]]
    shown = (await ws.ask("account.status"))["result"]["balances"]
    ledger = (await exchange.admin.ledger("main"))["accounts"][0]["balances"]
    assert {line["asset"]: (line["free"], line["locked"]) for line in shown} == {
        asset: (balance["free"], balance["locked"]) for asset, balance in ledger.items()
    }


@pytest.mark.parametrize(
    ("time_in_force", "reason"),
    [("IOC", "UNFILLED_IOC_QUANTITY_EXPIRED"), ("FOK", "UNFILLED_FOK_ORDER_EXPIRED")],
)
async def test_why_an_order_expired(ws: Api, time_in_force: str, reason: str) -> None:
    await ws.ask("order.place", **order("brief", timeInForce=time_in_force))
    first, last = await reports(ws, 2)
    assert "eR" not in first
    assert (last["x"], last["X"], last["eR"], last["w"]) == ("EXPIRED", "EXPIRED", reason, False)


async def test_a_prevented_match_is_reported_to_the_order_it_ended(exchange: Any, ws: Api) -> None:
    bid = (await exchange.admin.book("BTCUSDT"))["bids"][0][0]
    price = f"{float(bid) + 0.01:.2f}"
    ask = (await exchange.admin.book("BTCUSDT"))["asks"][0][0]
    if float(price) >= float(ask):
        price = bid
    maker = (await ws.ask("order.place", **order("maker", price=price)))["result"]
    taker = await ws.ask(
        "order.place",
        **order("taker", side="SELL", price=price, quantity="5", selfTradePreventionMode="EXPIRE_MAKER"),
    )
    assert taker["status"] == 200
    while (event := (await reports(ws, 1))[0])["x"] != "TRADE_PREVENTION":
        pass
    assert (event["i"], event["X"], event["U"]) == (maker["orderId"], "EXPIRED_IN_MATCH", taker["result"]["orderId"])
    assert (event["B"], event["pl"], event["pL"], event["Cs"]) == (
        "0.01000000",
        "0.01000000",
        f"{float(price):.8f}",
        "BTCUSDT",
    )
    matches = (await ws.ask("myPreventedMatches", symbol="BTCUSDT", orderId=maker["orderId"]))["result"]
    assert [match["preventedMatchId"] for match in matches] == [event["v"]]


async def test_an_amended_order_keeps_its_id_and_is_reported_replaced(ws: Api) -> None:
    placed = (await ws.ask("order.place", **order("big")))["result"]
    answer = await ws.ask(
        "order.amend.keepPriority",
        symbol="BTCUSDT",
        orderId=placed["orderId"],
        newQty="0.004",
        newClientOrderId="small",
    )
    assert answer["status"] == 200, answer
    _, amended = await reports(ws, 2)
    assert (amended["x"], amended["X"], amended["i"], amended["q"]) == (
        "REPLACED",
        "NEW",
        placed["orderId"],
        "0.00400000",
    )
    assert (amended["c"], amended["C"]) == ("small", "big")


async def test_cancel_and_replace_with_its_three_outcomes(exchange: Any, ws: Api) -> None:
    await ws.ask("order.place", **order("old"))
    replace = {"cancelReplaceMode": "STOP_ON_FAILURE"}
    both = await ws.ask("order.cancelReplace", **order("new", **replace, cancelOrigClientOrderId="old"))
    assert (both["status"], both["result"]["newOrderResponse"]["clientOrderId"]) == (200, "new")
    kinds = [(event["x"], event["c"] if event["x"] == "NEW" else event["C"]) for event in await reports(ws, 3)]
    assert kinds == [("NEW", "old"), ("CANCELED", "old"), ("NEW", "new")]
    failed = await ws.ask("order.cancelReplace", **order("third", **replace, cancelOrigClientOrderId="old"))
    assert (failed["status"], failed["error"]["code"]) == (400, -2022)
    replace = {"cancelReplaceMode": "ALLOW_FAILURE"}
    partly = await ws.ask("order.cancelReplace", **order("third", **replace, cancelOrigClientOrderId="old"))
    assert (partly["status"], partly["error"]["code"]) == (409, -2021)
    assert partly["error"]["data"]["newOrderResult"] == "SUCCESS"
    found = await exchange.admin.receipt("main", "third")
    assert (found["received"], found["accepted"], found["refused"]) == (2, 1, 1)


async def test_an_order_list_from_its_beginning_to_its_end(ws: Api) -> None:
    answer = await ws.ask(
        "orderList.place.oco",
        symbol="BTCUSDT",
        side="SELL",
        quantity="0.01",
        aboveType="LIMIT_MAKER",
        abovePrice="70000.00",
        aboveClientOrderId="above",
        belowType="STOP_LOSS_LIMIT",
        belowPrice="59000.00",
        belowStopPrice="60000.00",
        belowTimeInForce="GTC",
        belowClientOrderId="below",
        listClientOrderId="pair",
    )
    assert answer["status"] == 200, answer
    assert [limit["count"] for limit in answer["rateLimits"][:2]] == [2, 2]
    group = answer["result"]["orderListId"]
    news = {event["c"]: event for event in await reports(ws, 2)}
    assert {event["g"] for event in news.values()} == {group}
    assert (news["below"]["P"], news["below"]["w"], "W" in news["below"]) == ("60000.00000000", False, False)
    assert news["above"]["w"] is True
    begun = (await ws.event("listStatus"))["event"]
    assert (begun["g"], begun["c"], begun["l"], begun["L"], begun["C"]) == (
        group,
        "OCO",
        "EXEC_STARTED",
        "EXECUTING",
        "pair",
    )
    assert {item["c"] for item in begun["O"]} == {"above", "below"}
    listed = (await ws.ask("openOrderLists.status"))["result"]
    assert [item["orderListId"] for item in listed] == [group]
    ended = await ws.ask("orderList.cancel", symbol="BTCUSDT", orderListId=group)
    assert ended["result"]["listStatusType"] == "ALL_DONE"
    assert {event["X"] for event in await reports(ws, 2)} == {"CANCELED"}
    done = (await ws.event("listStatus"))["event"]
    assert (done["l"], done["L"]) == ("ALL_DONE", "ALL_DONE")
    assert (await ws.ask("orderList.status", orderListId=group))["result"]["listOrderStatus"] == "ALL_DONE"


async def test_everything_is_cancelled_at_once(ws: Api) -> None:
    for name in ("a", "b"):
        await ws.ask("order.place", **order(name))
    answer = await ws.ask("openOrders.cancelAll", symbol="BTCUSDT")
    assert [item["origClientOrderId"] for item in answer["result"]] == ["a", "b"]
    assert (await ws.ask("openOrders.cancelAll", symbol="BTCUSDT"))["error"]["code"] == -2011


QUERIES: list[tuple[str, dict[str, Any], str]] = [
    ("account.status", {}, "account"),
    ("account.commission", {"symbol": "BTCUSDT"}, "account/commission"),
    ("account.rateLimits.orders", {}, "rateLimit/order"),
    ("order.status", {"symbol": "BTCUSDT", "origClientOrderId": "a"}, "order"),
    ("openOrders.status", {}, "openOrders"),
    ("allOrders", {"symbol": "BTCUSDT"}, "allOrders"),
    ("myTrades", {"symbol": "BTCUSDT"}, "myTrades"),
    ("allOrderLists", {}, "allOrderList"),
    ("openOrderLists.status", {}, "openOrderList"),
    ("myPreventedMatches", {"symbol": "BTCUSDT", "preventedMatchId": 1}, "myPreventedMatches"),
    ("order.amendments", {"symbol": "BTCUSDT", "orderId": 1}, "order/amendments"),
    ("myFilters", {"symbol": "BTCUSDT"}, "myFilters"),
]


@pytest.mark.parametrize(("method", "params", "path"), QUERIES, ids=[method for method, _, _ in QUERIES])
async def test_queries_answer_as_rest_does(
    exchange: Any, ws: Api, method: str, params: dict[str, Any], path: str
) -> None:
    await ws.ask("order.place", **order("a"))
    await ws.ask("order.place", **order("b", type="MARKET", price=None, timeInForce=None))
    answer = await ws.ask(method, **params)
    url = f"{exchange.base}/api/v3/{path}?{query(params, KEY, exchange.clock.wall_ns // 1_000_000)}"
    async with exchange.session.get(url, headers={"X-MBX-APIKEY": "KEY"}) as response:
        body = json.loads(await response.read())
    assert (answer["status"], answer.get("result", answer.get("error"))) == (response.status, body)


async def test_a_test_order_changes_nothing(exchange: Any, ws: Api) -> None:
    assert (await ws.ask("order.test", **order("dry")))["result"] == {}
    assert (await exchange.admin.orders("main"))["orders"] == []
    assert await exchange.admin.receipt("main", "dry") == {
        "client_order_id": "dry",
        "received": 0,
        "accepted": 0,
        "refused": 0,
    }


async def test_too_many_unfilled_orders(exchange: Any, ws: Api) -> None:
    await exchange.admin.limits(orders_10s=2)
    for name in ("a", "b"):
        await ws.ask("order.place", **order(name))
    answer = await ws.ask("order.place", **order("c"))
    assert (answer["status"], answer["error"]["code"]) == (429, -1015)
    assert answer["error"]["data"]["retryAfter"] > answer["error"]["data"]["serverTime"]
    assert [limit["count"] for limit in answer["rateLimits"][:2]] == [2, 2]


async def test_rate_limits_are_hidden_on_request_and_signed_for(ws: Api) -> None:
    answer = await ws.answer(await ws.send("account.status", _signed_with_flag(ws)))
    assert answer["status"] == 200
    assert "rateLimits" not in answer


def _signed_with_flag(ws: Api) -> dict[str, Any]:
    whole = {"timestamp": ws.now_ms(), "apiKey": "KEY", "returnRateLimits": False}
    payload = "&".join(f"{name}={json.dumps(whole[name]).strip(chr(34))}" for name in sorted(whole))
    return whole | {"signature": KEY.sign(payload)}


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
async def test_orders_signed_by_keys_of_pairs(exchange: Any, kind: str) -> None:
    await exchange.admin.pause()
    key = Key.ed25519("PAIR") if kind == "ed25519" else Key.rsa("PAIR")
    await exchange.admin.add_key("main", "PAIR", public_key=key.public_pem)
    async with exchange.socket("/ws-api/v3") as socket:
        api = Api(socket, key, lambda: exchange.clock.wall_ns // 1_000_000)
        assert (await api.ask("order.place", **order("pair")))["status"] == 200
        tampered = api.signed(order("forged")) | {"quantity": "0.02"}
        answer = await api.answer(await api.send("order.place", tampered))
        assert (answer["status"], answer["error"]["code"]) == (400, -1022)


async def test_a_key_may_be_for_reading_only(exchange: Any, ws: Api) -> None:
    await exchange.admin.add_key("main", "READER", secret="r", only="read")
    reader = Key("READER", "r")
    refused = await ws.answer(await ws.send("order.place", ws.signed(order("x"), reader)))
    assert (refused["status"], refused["error"]["code"]) == (401, -2015)
    allowed = await ws.answer(await ws.send("account.status", ws.signed({}, reader)))
    assert allowed["status"] == 200


async def test_the_ledger_in_pages(exchange: Any, ws: Api) -> None:
    for name in ("a", "b", "c"):
        await ws.ask("order.place", **order(name, type="MARKET", price=None, timeInForce=None, quantity="0.001"))
    seen: list[str] = []
    page: dict[str, Any] = {"orders": [], "more": True}
    while page["more"]:
        since = page["orders"][-1]["order_id"] if page["orders"] else 0
        page = await exchange.admin.orders("main", since=since, limit=2)
        seen += [item["client_order_id"] for item in page["orders"]]
    assert seen == ["a", "b", "c"]
    fills = await exchange.admin.fills("main", since=1)
    assert fills["fills"][0]["number"] == 2
    assert (await exchange.admin.fills("main"))["complete"] is True
    only = await exchange.admin.orders("main", status="FILLED", client_order_id="b")
    assert [item["client_order_id"] for item in only["orders"]] == ["b"]
    accounts = {account["account"]: account for account in (await exchange.admin.accounts())["accounts"]}
    assert [key["key"] for key in accounts["main"]["keys"]] == ["KEY"]
    assert "SECRET" not in json.dumps(accounts)


async def test_a_list_of_three_tells_each_step(exchange: Any, ws: Api) -> None:
    answer = await ws.ask(
        "orderList.place.otoco",
        symbol="BTCUSDT",
        workingType="LIMIT",
        workingSide="BUY",
        workingPrice="64000.00",
        workingQuantity="0.01",
        workingTimeInForce="GTC",
        workingClientOrderId="first",
        pendingSide="SELL",
        pendingQuantity="0.009",
        pendingAboveType="LIMIT_MAKER",
        pendingAbovePrice="66000.00",
        pendingAboveClientOrderId="above",
        pendingBelowType="STOP_LOSS",
        pendingBelowStopPrice="63000.00",
        pendingBelowClientOrderId="below",
    )
    assert answer["status"] == 200, answer
    ids = {order["clientOrderId"]: order["orderId"] for order in answer["result"]["orderReports"]}

    async def until_list_status() -> tuple[list[tuple[Any, ...]], Any]:
        """Return the order events up to the list's next event."""
        shown: list[tuple[Any, ...]] = []
        while True:
            event = (await ws.next_event())["event"]
            if event["e"] == "listStatus":
                return sorted(shown), (event["l"], event["L"])
            if event["e"] == "executionReport":
                shown.append((event["c"], event["x"], event["X"], event.get("eR")))

    assert await until_list_status() == (
        [
            ("above", "NEW", "PENDING_NEW", None),
            ("below", "NEW", "PENDING_NEW", None),
            ("first", "NEW", "NEW", None),
        ],
        ("EXEC_STARTED", "EXECUTING"),
    )
    await exchange.admin.fill("BTCUSDT", ids["first"])
    assert await until_list_status() == (
        [("above", "NEW", "NEW", None), ("below", "NEW", "NEW", None), ("first", "TRADE", "FILLED", None)],
        ("EXEC_STARTED", "EXECUTING"),
    )
    await exchange.admin.fill("BTCUSDT", ids["above"])
    assert await until_list_status() == (
        [("above", "TRADE", "FILLED", None), ("below", "EXPIRED", "EXPIRED", "OCO_TRIGGER")],
        ("ALL_DONE", "ALL_DONE"),
    )
