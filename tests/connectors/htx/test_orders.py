"""HTX's orders: drafts and answers in the manual's forms, the documented samples, and the private websocket."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from tests.fakes.captures import captures
from venuemesh.connectors.htx import CONNECTOR
from venuemesh.connectors.htx.orders import HtxTrading
from venuemesh.connectors.htx.stream import TOPICS
from venuemesh.connectors.order_codec import Batches, DeadManSwitch, Draft, Kind, OpensCalls, Reply, UsesTokens
from venuemesh.connectors.reports import BalanceReport, Missed, OrderReport, StreamOpened, StreamSay
from venuemesh.model.errors import DecodeError, NotOffered, OutcomeUnknown, Rejected
from venuemesh.model.events import Side
from venuemesh.model.http import HttpResponse
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import Fee, NewOrder, OrderStatus, OrderType, TimeInForce, as_order

D = Decimal
BTC = Instrument("htx", "BTC-USDT", "btcusdt", "BTC", "USDT", 8, 8)
AUTH = CONNECTOR.auth("hmac", "a-key-of-htx", "a-secret")
LIMIT = NewOrder("vm1", "BTC-USDT", Side.BUY, OrderType.LIMIT, D("2.0"), D("2.15"), TimeInForce.GTC)
NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
ORDER = {
    "id": 357632718898331, "symbol": "btcusdt", "account-id": 13496526, "client-order-id": "vm1",
    "amount": "5.000000000000000000", "price": "1.000000000000000000", "created-at": 1630649406687,
    "type": "buy-limit-maker", "field-amount": "0.0", "field-cash-amount": "0.0", "field-fees": "0.0",
    "finished-at": 0, "source": "spot-api", "state": "submitted", "canceled-at": 0,
}  # fmt: skip
FILL = {
    "symbol": "btcusdt", "fee-currency": "btc", "source": "spot-api", "price": "0.338", "created-at": 1629443051839,
    "role": "taker", "order-id": 345487249132375, "match-id": 5014, "filled-amount": "147.928994082840236",
    "filled-fees": "0.2", "filled-points": "0.0", "fee-deduct-currency": "", "fee-deduct-state": "done",
    "trade-id": 1085, "id": 313288753120940, "type": "buy-market",
}  # fmt: skip


def codec(account: str = "100009") -> HtxTrading:
    made = CONNECTOR.trading("http://h")
    if account:
        made.use_token(account)
    return made


def read(draft: Draft, data: Any, made: HtxTrading | None = None) -> Reply:
    return answered(draft, {"status": "ok", "data": data}, made)


def answered(draft: Draft, body: Any, made: HtxTrading | None = None, status: int = 200) -> Reply:
    signed = AUTH.sign(draft, "r", NOW_MS * 1_000_000, 5_000)
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return (made or codec()).reply(signed, HttpResponse(status, {}, raw, NOW_MS * 10**6, NOW_MS * 10**6 + 1))


# ---------------------------------------------------------------------------------------------------------- drafts


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, "buy-limit"),
        ({"side": Side.SELL, "time_in_force": TimeInForce.IOC}, "sell-ioc"),
        ({"time_in_force": TimeInForce.FOK}, "buy-limit-fok"),
        ({"order_type": OrderType.LIMIT_MAKER, "time_in_force": None}, "buy-limit-maker"),
    ],
)
def test_orders_are_drafted_as_in_the_manual(change: dict[str, Any], word: str) -> None:
    draft = codec().place(replace(LIMIT, **change), BTC)
    assert (draft.rest, draft.orders) == (("POST", "/v1/order/orders/place"), ("vm1",))
    assert dict(draft.params) == {
        "account-id": "100009", "symbol": "btcusdt", "type": word, "client-order-id": "vm1", "amount": "2",
        "price": "2.15",
    }  # fmt: skip


def test_the_drafted_order_of_a_public_client_is_ours() -> None:
    recorded = json.loads((captures("htx") / "signing.json").read_text())["requests"][0]
    order = replace(LIMIT, client_order_id="our-order-1", amount=D("0.05"), price=D("1500.25"))
    signed = AUTH.sign(codec().place(order, BTC), "r", 0, 301_000)
    assert signed.request is not None
    assert signed.request.body.decode() == recorded["body"]


def test_a_market_order_states_what_it_spends() -> None:
    market = replace(LIMIT, order_type=OrderType.MARKET, price=None, time_in_force=None)
    buy = codec().place(replace(market, amount=None, quote_amount=D("150.5")), BTC)
    assert (dict(buy.params)["type"], dict(buy.params)["amount"]) == ("buy-market", "150.5")
    sell = codec().place(replace(market, side=Side.SELL), BTC)
    assert (dict(sell.params)["type"], dict(sell.params)["amount"]) == ("sell-market", "2")
    for wrong in (market, replace(market, side=Side.SELL, amount=None, quote_amount=D(5))):
        with pytest.raises(NotOffered, match="that it receives"):
            codec().place(wrong, BTC)


def test_cancels_name_the_exchanges_id_or_else_the_clients() -> None:
    made, order = codec(), as_order(LIMIT, 1, "test", 0)
    by_client = made.cancel(order, BTC)
    assert (by_client.rest[1], by_client.params) == (
        "/v1/order/orders/submitCancelClientOrder", (("client-order-id", "vm1"),)
    )  # fmt: skip
    by_id = made.cancel(replace(order, exchange_order_id="77"), BTC)
    assert by_id.rest[1] == "/v1/order/orders/77/submitcancel"
    both = made.batch([by_id, by_id])
    assert (both.rest[1], both.params) == ("/v1/order/orders/batchcancel", (("order-ids", '["77","77"]'),))
    assert made.batch([by_id, by_client]).params == (("client-order-ids", '["vm1","vm1"]'),)
    assert isinstance(made, Batches)
    signed = AUTH.sign(both, "r", NOW_MS * 10**6, 5_000)
    assert signed.request.body == b'{"order-ids":["77","77"]}'


def test_a_batch_of_orders_is_a_list() -> None:
    made = codec()
    draft = made.batch([made.place(LIMIT, BTC), made.place(replace(LIMIT, client_order_id="vm2"), BTC)])
    body = json.loads(AUTH.sign(draft, "r", NOW_MS * 10**6, 5_000).request.body)
    assert [row["client-order-id"] for row in body] == ["vm1", "vm2"]
    reply = read(
        draft, [{"order-id": 5, "client-order-id": "vm1"}, {"client-order-id": "vm2", "err-code": "x", "err-msg": "y"}]
    )
    assert (reply.taken, reply.refused, reply.orders[0].exchange_order_id) == (("vm1",), (("vm2", "x", "y"),), "5")


def test_what_the_codec_offers() -> None:
    made = codec()
    assert isinstance(made, UsesTokens)
    assert isinstance(made, DeadManSwitch)
    assert not isinstance(made, OpensCalls)
    assert dict(made.dead_man(0).params) == {"timeout": "0"}
    with pytest.raises(NotOffered):
        made.call_url()
    with pytest.raises(NotOffered):
        made.cancel_all(BTC)


# -------------------------------------------------------------------------------------------------- the account's id


def test_the_id_of_the_account_comes_from_the_exchange() -> None:
    made = codec("")
    listed = [{"id": 1, "type": "point", "state": "working"}, {"id": 10000001, "type": "spot", "state": "working"}]
    first = made.account()
    assert first.rest[1] == "/v1/account/accounts"
    then = read(first, listed, made).then
    assert then is not None
    assert then.rest[1] == "/v1/account/accounts/10000001/balance"
    rows = [
        {"currency": "usdt", "type": kind, "balance": amount}
        for kind, amount in (("trade", "91.85"), ("frozen", "5.1"))
    ]
    data = {"id": 10000001, "type": "spot", "state": "working", "list": rows}
    account = read(then, data, made).account
    assert account is not None
    assert (account.account_id, account.can_trade, account.balances.balances) == (
        "10000001", True, {"USDT": (D("91.85"), D("5.1"))}
    )  # fmt: skip
    assert made.account() == then
    assert dict(made.place(LIMIT, BTC).params)["account-id"] == "10000001"
    assert read(made.token(), listed, made).token == "10000001"
    with pytest.raises(DecodeError):
        read(then, data | {"id": 10000002}, made)


def test_an_unreadable_balance_leaves_the_others() -> None:
    made = codec()
    rows = [
        {"currency": "usdt", "type": "trade", "balance": "1"},
        {"currency": "btc", "type": "trade", "balance": "x"},
        {"currency": "eth", "type": "lock", "balance": "2"},
    ]
    account = read(made.account(), {"id": 100009, "type": "spot", "state": "lock", "list": rows}, made).account
    assert account is not None
    assert (account.balances.unread, account.can_trade) == (("BTC",), False)
    assert account.balances.balances["ETH"] == (D(0), D(2))


# --------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("changes", "status", "filled"),
    [
        ({}, OrderStatus.OPEN, "0"),
        ({"state": "partial-filled", "field-amount": "1"}, OrderStatus.PARTIALLY_FILLED, "1"),
        ({"state": "filled", "field-amount": "5"}, OrderStatus.FILLED, "5"),
        ({"state": "partial-canceled", "field-amount": "1"}, OrderStatus.CANCELED, "1"),
        ({"state": "canceling", "field-amount": "1"}, OrderStatus.PARTIALLY_FILLED, "1"),
        ({"state": "canceled", "type": "buy-ioc"}, OrderStatus.EXPIRED, "0"),
        ({"state": "canceled", "type": "sell-limit"}, OrderStatus.CANCELED, "0"),
    ],
)
def test_states(changes: dict[str, Any], status: OrderStatus, filled: str) -> None:
    (order,) = read(codec().query("vm1", BTC), ORDER | changes).orders
    assert (order.status, order.filled, order.amount) == (status, D(filled), D(5))


def test_the_amount_of_a_market_buy_is_in_quote() -> None:
    row = ORDER | {
        "type": "buy-market",
        "price": "0.0",
        "state": "filled",
        "field-amount": "4",
        "field-cash-amount": "5",
    }
    (order,) = read(codec().query("vm1", BTC), row).orders
    assert (order.amount, order.quote_amount, order.filled, order.price) == (None, D(5), D(4), None)


@pytest.mark.parametrize(
    "changes", [{"state": "lost"}, {"type": "buy-what"}, {"id": "x"}, {"amount": 5}, {"field-amount": None}]
)
def test_unknown_words_are_not_guessed(changes: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        read(codec().query("vm1", BTC), ORDER | changes)


def test_a_query_by_client_id_may_find_nothing() -> None:
    body = {"status": "error", "err-code": "base-record-invalid", "err-msg": "record invalid", "data": None}
    assert answered(codec().query("vm1", BTC), body).absent
    order = replace(as_order(LIMIT, 1, "test", 0), exchange_order_id="7")
    with pytest.raises(Rejected):
        answered(codec().cancel(order, BTC), body)
    with pytest.raises(OutcomeUnknown):
        answered(codec().place(LIMIT, BTC), {"status": "error", "err-code": "base-system-error", "err-msg": "x"})


def test_fees_of_fills() -> None:
    draft = codec().fills(BTC, None, "345487249132375")
    assert draft.rest[1] == "/v1/order/orders/345487249132375/matchresults"
    rows = [
        FILL,
        FILL | {"trade-id": 2, "filled-fees": "0", "filled-points": "0.1", "fee-deduct-currency": "hbpoint"},
        FILL | {"trade-id": 3, "fee-deduct-state": "ongoing"},
        FILL | {"trade-id": 4, "filled-fees": "-0.1", "fee-currency": "usdt", "role": "maker"},
    ]
    fourth, third, second, first = read(draft, rows).fills
    assert (first.fee, first.fee_asset, first.is_maker, first.trade_id) == (D("0.2"), "BTC", False, "1085")
    assert first.quote_amount == D("147.928994082840236") * D("0.338")
    assert (second.fee, second.fee_asset, second.more_fees) == (D("0.1"), "HBPOINT", ())
    assert third.fee is None
    assert (fourth.fee, fourth.is_maker) == (D("-0.1"), True)
    both = read(draft, [FILL | {"filled-points": "0.3", "fee-deduct-currency": "ht"}]).fills[0]
    assert (both.fee, both.more_fees) == (D("0.2"), (Fee("HT", D("0.3")),))


def test_windows_and_pages_of_fills() -> None:
    """Windows of 48 hours up to now; pages after the last record of a full page."""
    start_ms = NOW_MS - 3 * DAY_MS
    first = codec().fills(BTC, start_ms * 10**6)
    assert dict(first.params) == {"symbol": "btcusdt", "size": "500", "start-time": str(start_ms)}
    full = [FILL | {"trade-id": number + 1, "id": 9000 - number} for number in range(500)]
    more = read(first, full).then
    assert more is not None
    assert dict(more.params) == dict(first.params) | {"from": "8501", "direct": "next"}
    assert read(more, full).then is not None
    following = read(more, []).then
    assert following is not None
    assert dict(following.params) == dict(first.params) | {"start-time": str(start_ms + 2 * DAY_MS)}
    assert read(following, [FILL]).then is None
    alone = codec().fills(BTC, None)
    page = [FILL | {"id": 5}] * 500
    assert read(replace(alone, params=(*alone.params, ("from", "5"))), page).then is None  # `from` was included


def test_lists_of_orders_end_with_the_open_ones() -> None:
    first = codec().orders(BTC, NOW_MS * 10**6 - 5)
    assert dict(first.params)["states"] == "filled,partial-canceled,canceled"
    reply = read(first, [ORDER, ORDER | {"state": "odd"}])
    assert (len(reply.orders), reply.left_out[0].name) == (1, "357632718898331")
    assert reply.then is not None
    assert reply.then.rest == ("GET", "/v1/order/openOrders")
    row = {name.replace("field", "filled"): value for name, value in ORDER.items()}
    last = read(reply.then, [row])
    assert (len(last.orders), last.then) == (1, None)


def test_cancels_of_a_batch_have_outcomes() -> None:
    made, order = codec(), as_order(LIMIT, 1, "test", 0)
    drafts = [made.cancel(replace(order, client_order_id=f"vm{n}", exchange_order_id=str(n)), BTC) for n in (1, 2)]
    failed = {
        "err-msg": "Incorrect order state",
        "order-state": 7,
        "order-id": "2",
        "err-code": "order-orderstate-error",
    }
    reply = read(made.batch(drafts), {"success": ["1"], "failed": [failed | {"client-order-id": "vm2"}]})
    assert reply.taken == ("vm1",)
    assert reply.refused == (("vm2", "order-orderstate-error", "Incorrect order state"),)
    with pytest.raises(DecodeError):
        read(made.batch(drafts), {"success": ["1"], "failed": []})


def test_fee_rates_of_the_account() -> None:
    row = {"symbol": "btcusdt", "actualMakerRate": "0.0015", "actualTakerRate": "0.0015"}
    row |= {"takerFeeRate": "0.002", "makerFeeRate": "-0.0001"}
    fees = answered(codec().fees(BTC), {"code": 200, "data": [row], "success": True}).fees
    assert fees is not None
    assert (fees.maker, fees.taker, fees.pair) == (D("-0.0001"), D("0.002"), "BTC-USDT")
    assert "0.0015" in fees.discount


# ---------------------------------------------------------------------------------------- the documented samples


def documented(kind: str) -> dict[str, Any]:
    found = json.loads((captures("htx") / "documented.json").read_text())[kind]
    return {one["name"].rpartition("/")[2]: one for one in found}


def test_the_documented_answers_are_read() -> None:
    rest = documented("rest")

    def of(name: str, draft: Draft, made: HtxTrading | None = None) -> Reply:
        return answered(draft, rest[name]["response_text"].encode(), made)

    made = codec("1000001")
    order = replace(as_order(LIMIT, 1, "test", 0), exchange_order_id="1")
    account = of("GetBalances", made.account(), made).account
    assert account is not None
    assert account.balances.balances["USDT"] == (D("91.850043797676510303"), D("5.160000000000000015"))
    assert of("GetAccounts", made.token()).token == "10000001"
    assert of("PlaceOrder", made.place(LIMIT, BTC)).orders[0].exchange_order_id == "356501383558845"
    assert of("CancelOrder", made.cancel(order, BTC)).taken == ("vm1",)
    assert of("CancelOrderByClientOrderId", made.cancel(replace(order, exchange_order_id=None), BTC)).taken == ("vm1",)
    batch = made.batch([made.cancel(replace(order, exchange_order_id=n), BTC) for n in ("12345", "357631450723117")])
    assert len(of("CancelOrders", batch).refused) == 1
    assert of("GetOrder", made.query("23456", BTC)).orders[0].order_type is OrderType.LIMIT_MAKER
    assert of("GetOpenOrders", made.open_orders()).orders[0].side is Side.SELL
    (closed,) = of("GetClosedOrders", made.orders(BTC, None)).orders
    assert (closed.status, closed.quote_amount, closed.filled) == (
        OrderStatus.FILLED,
        D(50),
        D("147.928994082840236"),
    )
    (fill,) = of("GetUserTrades", made.fills(BTC, None)).fills
    assert (fill.fee, fill.fee_asset) == (D("0.1"), "HBPOINT")


@pytest.mark.parametrize(("name", "number"), [("Order1", "27163533"), ("OrderTrade", "99998888")])
def test_the_documented_stream_is_read(name: str, number: str) -> None:
    made = codec("")
    made.stream_open(AUTH, "s", NOW_MS * 10**6, 5_000)
    received = [step["text"].encode() for step in documented("ws")[name]["steps"] if step["dir"] == "recv"]
    assert all(isinstance(one, StreamSay) for one in made.stream_decode(received[0], 7))
    (report,) = made.stream_decode(received[-1], 7)
    assert isinstance(report, OrderReport)
    assert report.exchange_order_id == number


def test_a_balance_of_another_mode_is_missed() -> None:
    """The documented message is of mode 1, which states only what has changed."""
    made = codec("")
    (step,) = [step for step in documented("ws")["Account"]["steps"] if "push" in step["text"]]
    (missed,) = made.stream_decode(step["text"].encode(), 7)
    assert isinstance(missed, Missed)


# ----------------------------------------------------------------------------------------------- the private stream


def opened(account: str = "100009") -> HtxTrading:
    made = codec(account)
    (frame,) = made.stream_open(AUTH, "s-1", NOW_MS * 10**6, 5_000)
    assert json.loads(frame)["ch"] == "auth"
    return made


def push(made: HtxTrading, channel: str, **data: Any) -> list[Any]:
    return list(made.stream_decode(orjson.dumps({"action": "push", "ch": channel, "data": data}), 7))


CREATION = {
    "eventType": "creation", "symbol": "btcusdt", "accountId": 100009, "orderId": 27163533, "clientOrderId": "abc123",
    "orderSource": "spot-api", "orderPrice": "77.0", "orderSize": "2.0", "type": "sell-limit",
    "orderStatus": "submitted", "orderCreateTime": 1583853365586,
}  # fmt: skip
TRADE = {
    "eventType": "trade", "symbol": "btcusdt", "accountId": 100009, "tradePrice": "76.5", "tradeVolume": "0.5",
    "orderId": 27163533, "type": "sell-limit", "clientOrderId": "abc123", "orderSource": "spot-api",
    "orderPrice": "77.0", "orderSize": "2.0", "tradeId": 9, "tradeTime": 1583854188883, "aggressor": True,
    "orderStatus": "partial-filled", "remainAmt": "1.5", "execAmt": "0.5",
}  # fmt: skip
CLEARING = {
    "eventType": "trade", "symbol": "btcusdt", "orderId": 27163533, "tradePrice": "76.5", "tradeVolume": "0.5",
    "orderSide": "sell", "aggressor": True, "tradeId": 9, "tradeTime": 1583854188883, "transactFee": "0.02",
    "feeCurrency": "usdt", "feeDeduct": "0", "feeDeductType": "", "accountId": 100009, "orderStatus": "filled",
    "clientOrderId": "abc123",
}  # fmt: skip


def test_the_stream_opens_when_every_topic_is_confirmed() -> None:
    made = opened()
    asked = made.stream_decode(b'{"action":"req","code":200,"ch":"auth","data":{}}', 7)
    assert [json.loads(one.frame)["ch"] for one in asked if isinstance(one, StreamSay)] == list(TOPICS)
    found = [
        made.stream_decode(orjson.dumps({"action": "sub", "code": 200, "ch": one, "data": {}}), 7) for one in TOPICS
    ]
    assert found == [(), (), (StreamOpened("s-1"),)]
    assert made.stream_decode(b'{"action":"req","code":2002,"ch":"auth","message":"auth.fail"}', 7) == (
        StreamOpened("s-1", "2002", "req auth: auth.fail"),
    )
    (say,) = made.stream_decode(b'{"action":"ping","data":{"ts":1575537778295}}', 7)
    assert json.loads(say.frame) == {"action": "pong", "data": {"ts": 1575537778295}}


def test_events_of_orders_and_the_fees_that_follow() -> None:
    made = opened()
    (created,) = push(made, "orders#*", **CREATION)
    assert (created.status, created.amount, created.client_order_id) == (OrderStatus.OPEN, D(2), "abc123")
    (traded,) = push(made, "orders#*", **TRADE)
    (fill,) = traded.fills
    assert (traded.status, traded.filled, fill.fee, fill.is_maker) == (
        OrderStatus.PARTIALLY_FILLED,
        D("0.5"),
        None,
        False,
    )
    (cleared,) = push(made, "trade.clearing#*#0", **CLEARING)
    (again,) = cleared.fills
    assert (cleared.status, again.trade_id, again.fee, again.fee_asset) == (None, fill.trade_id, D("0.02"), "USDT")
    ended = {**CREATION, "eventType": "cancellation", "orderStatus": "partial-canceled", "lastActTime": 1583854188884}
    (cancelled,) = push(made, "orders#*", **ended, remainAmt="1.5", execAmt="0.5")
    assert (cancelled.status, cancelled.filled) == (OrderStatus.CANCELED, D("0.5"))


def test_a_market_buy_in_the_stream_is_in_quote() -> None:
    event = {name: value for name, value in TRADE.items() if name not in ("orderSize", "orderPrice")}
    (report,) = push(opened(), "orders#*", **event | {"type": "buy-market", "orderValue": "100", "execAmt": "38.25"})
    assert (report.amount, report.quote_amount, report.filled, report.quote_filled) == (None, D(100), None, D("38.25"))


def test_balances_in_the_stream() -> None:
    event = {"currency": "btc", "accountId": 100009, "balance": "3", "available": "2", "accountType": "trade"}
    (report,) = push(opened(), "accounts.update#2", **event, changeType="order.match", changeTime=5)
    assert report == BalanceReport({"BTC": (D(2), D(1))}, False, 5_000_000)
    (first,) = push(opened(), "accounts.update#2", **event, changeType=None, changeTime=None)
    assert first.ts_event_ns == 0, "it states no time"
    (odd,) = push(opened(), "accounts.update#2", **event | {"available": "4"}, changeTime=5)
    assert isinstance(odd, Missed)


def test_events_of_other_accounts_and_of_conditional_orders_are_left_out() -> None:
    made = opened()
    assert push(made, "orders#*", **CREATION | {"accountId": 5}) == []
    assert push(made, "trade.clearing#*#0", **CLEARING | {"accountId": 5}) == []
    assert push(made, "orders#*", eventType="deletion", symbol="btcusdt", clientOrderId="x") == []
    assert push(made, "trade.clearing#*#0", **CLEARING | {"eventType": "cancellation"}) == []
    assert push(made, "invented#*", a=1) == []
    assert made.stream_decode(orjson.dumps({"ch": "trade.clearing#*#0", "data": CLEARING}), 7)  # without an action
    (missed,) = push(made, "orders#*", **CREATION | {"orderStatus": "odd"})
    assert isinstance(missed, Missed)
    assert "27163533" in missed.reason


def test_kinds_of_drafts_have_their_limits() -> None:
    made = codec()
    kinds = {draft.kind: draft.cost for draft in (made.place(LIMIT, BTC), made.open_orders(), made.fills(BTC, None))}
    assert kinds == {
        Kind.PLACE: (("place", 1),), Kind.OPEN_ORDERS: (("open_orders", 1),), Kind.FILLS: (("fills", 1),)
    }  # fmt: skip
    assert all(limit in made.spec.key_limits for cost in kinds.values() for limit, _ in cost)
