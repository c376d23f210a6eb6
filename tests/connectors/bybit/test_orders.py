"""Bybit's orders: drafts and answers in the manual's forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from tests.fakes.captures import captures
from venuemesh.connectors.bybit import CONNECTOR, SISTERS
from venuemesh.connectors.bybit.spec import SPEC
from venuemesh.connectors.limit_answers import Hit, LimitAnswer
from venuemesh.connectors.order_codec import Batches, Draft, Kind, OpensCalls, Refusal, Reply
from venuemesh.connectors.reports import Missed, StreamOpened, StreamSay
from venuemesh.model.errors import DecodeError, Misconfigured, NotOffered, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.events import Side
from venuemesh.model.http import HttpResponse
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import NewOrder, OrderStatus, OrderType, TimeInForce, as_order

D = Decimal
BTC = Instrument("bybit", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 8, 8)
CODEC = CONNECTOR.trading("http://h")
AUTH = CONNECTOR.auth("hmac", "a-key-of-bybit", "a-secret")
LIMIT = NewOrder("vm1", "BTC-USDT", Side.BUY, OrderType.LIMIT, D("2.0"), D("2.15"), TimeInForce.GTC)
NOW_MS = 1_700_000_000_000
ORDER = {  # order/open-order.mdx, the example's fields that are read
    "orderId": "1616024329462743808",
    "orderLinkId": "vm1",
    "symbol": "BTCUSDT",
    "price": "2.15",
    "qty": "2",
    "side": "Buy",
    "orderStatus": "New",
    "rejectReason": "EC_NoError",
    "cumExecQty": "0",
    "cumExecValue": "0",
    "timeInForce": "GTC",
    "orderType": "Limit",
    "marketUnit": "",
    "updatedTime": "1684738540561",
}
FILL = {  # order/execution.mdx, likewise
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderId": "1616024329462743808",
    "execTime": "1672282722429",
    "feeCurrency": "BTC",
    "isMaker": False,
    "execFee": "0.001",
    "execId": "e0cbe81d-0f18-5866-9415-cf319b5dab3b",
    "execPrice": "2",
    "execValue": "2",
    "execType": "Trade",
    "execQty": "1",
}


def read(draft: Draft, result: Any, code: int = 0, msg: str = "OK", status: int = 200, more: Any = None) -> Reply:
    signed = AUTH.sign(draft, "r", NOW_MS * 1_000_000, 5_000)
    body = orjson.dumps({"retCode": code, "retMsg": msg, "result": result, "retExtInfo": more or {}, "time": NOW_MS})
    return CODEC.reply(signed, HttpResponse(status, {}, body, 1, 2))


def page(*found: Any, cursor: str = "") -> dict[str, Any]:
    return {"list": list(found), "nextPageCursor": cursor, "category": "spot"}


def test_orders_are_drafted_as_in_the_manual() -> None:
    draft = CODEC.place(replace(LIMIT, self_trade="CancelBoth"), BTC)
    assert (draft.rest, draft.orders) == (("POST", "/v5/order/create"), ("vm1",))
    common = {"category": "spot", "symbol": "BTCUSDT", "side": "Buy", "orderLinkId": "vm1"}
    limit = {"orderType": "Limit", "qty": "2", "price": "2.15", "timeInForce": "GTC"}
    assert dict(draft.params) == common | limit | {"smpType": "CancelBoth"}
    maker = CODEC.place(replace(LIMIT, order_type=OrderType.LIMIT_MAKER, time_in_force=None), BTC)
    assert dict(maker.params)["timeInForce"] == "PostOnly"
    market = replace(LIMIT, order_type=OrderType.MARKET, price=None, time_in_force=None)
    by_size = common | {"orderType": "Market", "qty": "2", "marketUnit": "baseCoin"}
    assert dict(CODEC.place(market, BTC).params) == by_size
    spent = CODEC.place(replace(market, amount=None, quote_amount=D(100)), BTC)
    assert dict(spent.params) == common | {"orderType": "Market", "qty": "100", "marketUnit": "quoteCoin"}
    for wrong in (replace(LIMIT, price=None), replace(market, price=D(1)), replace(LIMIT, stop_price=D(1))):
        with pytest.raises(NotOffered):
            CODEC.place(wrong, BTC)


def test_an_acknowledgement_states_nothing_but_the_id() -> None:
    reply = read(CODEC.place(LIMIT, BTC), {"orderId": "7", "orderLinkId": "vm1"})
    assert (reply.taken, reply.orders[0].exchange_order_id, reply.orders[0].status) == (("vm1",), "7", None)
    assert not reply.orders[0].is_dated, "an accepted order may reach the book later"
    for wrong in ({"orderId": "", "orderLinkId": "vm1"}, {"orderId": "7", "orderLinkId": "other"}, {}):
        with pytest.raises(DecodeError):
            read(CODEC.place(LIMIT, BTC), wrong)


def test_amendments_and_cancels_are_acknowledged_without_a_state() -> None:
    """order/{amend-order, cancel-order, cancel-all}.mdx."""
    order = as_order(LIMIT, "bybit", "main", 1)
    amend = CODEC.amend(order, BTC, D("1.50"))
    assert dict(CODEC.amend(order, BTC, None, D("2.50")).params)["price"] == "2.5"
    assert (amend.rest, amend.kind) == (("POST", "/v5/order/amend"), Kind.AMEND)
    assert dict(amend.params) == {"category": "spot", "symbol": "BTCUSDT", "orderLinkId": "vm1", "qty": "1.5"}
    for draft in (amend, CODEC.cancel(order, BTC)):
        assert read(draft, {"orderId": "7", "orderLinkId": "vm1"}) == Reply(taken=("vm1",))
        with pytest.raises(DecodeError):
            read(draft, {"orderId": "", "orderLinkId": "vm1"})
    everything = CODEC.cancel_all(BTC)
    assert (everything.rest[1], everything.orders) == ("/v5/order/cancel-all", ())
    listed = [{"orderId": "7", "orderLinkId": "vm1"}, {"orderId": "8", "orderLinkId": ""}]
    assert read(everything, {"list": listed, "success": "1"}).taken == ("vm1",)
    with pytest.raises(DecodeError):
        read(everything, {"list": [], "success": "0"})


def test_each_order_of_a_batch_has_an_outcome() -> None:
    """order/{batch-place, batch-cancel}.mdx, their examples."""
    assert isinstance(CODEC, Batches)
    two = [LIMIT, replace(LIMIT, client_order_id="vm2")]
    placing = CODEC.batch([CODEC.place(order, BTC) for order in two])
    assert (placing.kind, placing.rest[1], placing.orders) == (
        Kind.BATCH_PLACE,
        "/v5/order/create-batch",
        ("vm1", "vm2"),
    )
    assert dict(placing.cost) == {"requests": 1, "place": 2}
    request = AUTH.sign(placing, "r", NOW_MS * 1_000_000, 5_000).request
    assert request is not None
    body = json.loads(request.body)
    assert (body["category"], [row["orderLinkId"] for row in body["request"]]) == ("spot", ["vm1", "vm2"])
    assert "category" not in body["request"][0]
    cancelling = CODEC.batch([CODEC.cancel(as_order(order, "bybit", "main", 1), BTC) for order in two])
    assert (cancelling.kind, cancelling.rest[1]) == (Kind.BATCH_CANCEL, "/v5/order/cancel-batch")
    rows = [
        {"category": "spot", "symbol": "BTCUSDT", "orderId": "7", "orderLinkId": "vm1", "createAt": "1713434102752"},
        {"category": "spot", "symbol": "BTCUSDT", "orderId": "", "orderLinkId": "vm2", "createAt": ""},
    ]
    outcomes = [{"code": 0, "msg": "OK"}, {"code": 170213, "msg": "Order does not exist."}]
    reply = read(placing, {"list": rows}, more={"list": outcomes})
    assert [(one.client_order_id, one.exchange_order_id, one.status) for one in reply.orders] == [("vm1", "7", None)]
    assert not reply.orders[0].is_dated
    assert (reply.taken, reply.refused) == (("vm1",), (("vm2", "170213", "Order does not exist."),))
    reply = read(cancelling, {"list": rows}, more={"list": outcomes})
    assert (reply.orders, reply.taken, len(reply.refused)) == ((), ("vm1",), 1)
    for wrong in (rows[:1], rows[::-1], []):
        with pytest.raises(DecodeError):
            read(placing, {"list": wrong}, more={"list": outcomes})


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (170131, Rejected),
        (170141, Rejected),
        (10002, Rejected),
        (10006, RetryLater),
        (10000, OutcomeUnknown),
        (170146, OutcomeUnknown),
        (999_999, OutcomeUnknown),
        (10003, Misconfigured),
    ],
)
def test_codes_in_status_200(code: int, error: type[Exception]) -> None:
    """error.mdx; a code that the manual does not list leaves the outcome unknown."""
    with pytest.raises(error):
        read(CODEC.place(LIMIT, BTC), {}, code, "words")


def test_recorded_codes_are_classified() -> None:
    """Another client's codes all have a sort, and only codes that the manual lists are an explicit refusal."""
    recorded = json.loads((captures("bybit") / "errors.json").read_text())["exact_code_or_text"]
    sorts = {code: CODEC.refusal(code) for code in recorded}
    assert sorts["10004"] is Refusal.KEY
    assert {code for code, sort in sorts.items() if sort is Refusal.REJECTED and len(code) > 6} == set()


def test_an_order_that_is_not_found_is_looked_for_in_the_history() -> None:
    """open-order.mdx: a restart of the exchange clears the closed orders of /realtime."""
    draft = CODEC.query("vm1", BTC)
    more = read(draft, page()).then
    assert more is not None
    assert (more.rest, more.params) == (("GET", "/v5/order/history"), draft.params)
    assert read(more, page()).absent
    (found,) = read(draft, page(ORDER)).orders
    assert (found.status, found.amount, found.price) == (OrderStatus.OPEN, D(2), D("2.15"))
    assert dict(CODEC.query("vm1", BTC, "7").params)["orderId"] == "7"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"orderStatus": "Cancelled", "rejectReason": "EC_PerCancelRequest"}, OrderStatus.CANCELED),
        ({"orderStatus": "PartiallyFilledCanceled", "rejectReason": "EC_CancelForNoFullFill"}, OrderStatus.EXPIRED),
        ({"orderStatus": "Rejected", "rejectReason": "EC_PostOnlyWillTakeLiquidity"}, OrderStatus.REJECTED),
        ({"orderStatus": "Filled"}, OrderStatus.FILLED),
    ],
)
def test_states(change: dict[str, str], status: OrderStatus) -> None:
    (found,) = read(CODEC.query("vm1", BTC), page(ORDER | change)).orders
    assert found.status is status
    assert bool(found.reason) is (status in (OrderStatus.EXPIRED, OrderStatus.REJECTED))


@pytest.mark.parametrize("change", [{"orderStatus": "Odd"}, {"qty": "1e3"}, {"orderId": ""}, {"side": "buy"}])
def test_what_is_not_known_is_never_guessed(change: dict[str, str]) -> None:
    with pytest.raises(DecodeError):
        read(CODEC.query("vm1", BTC), page(ORDER | change))


def test_lists_are_walked_by_cursor_and_week() -> None:
    week_ms = 7 * 86_400_000
    draft = CODEC.fills(BTC, (NOW_MS - week_ms - 5) * 1_000_000)
    first = read(draft, page(FILL, FILL | {"execQty": "0"}, cursor="a%3A2"))
    assert (len(first.fills), len(first.left_out), first.fills[0].fee) == (1, 1, D("0.001"))
    assert first.then is not None
    assert dict(first.then.params)["cursor"] == "a%3A2"
    second = read(first.then, page(FILL))
    assert second.then is not None
    assert (dict(second.then.params).get("cursor"), dict(second.then.params)["startTime"]) == (None, str(NOW_MS - 5))
    assert read(second.then, page()).then is None
    ended = CODEC.orders(BTC, None)
    openly = read(ended, page(ORDER)).then
    assert openly is not None
    assert (openly.rest[1], openly.kind) == ("/v5/order/realtime", Kind.ORDERS)
    assert read(openly, page()).then is None


def test_what_is_locked_is_in_the_wallets_total() -> None:
    coins = [{"coin": "BTC", "walletBalance": "3", "locked": "1"}, {"coin": "ODD", "walletBalance": "1", "locked": "2"}]
    account = read(CODEC.account(), {"list": [{"coin": coins}]}).account
    assert account is not None
    assert (account.balances.balances, account.balances.unread) == ({"BTC": (D(2), D(1))}, ("ODD",))
    assert account.balances.ts_event_ns == 0, "the time of the answer may be later than the balances"


def test_what_answers_say_of_limits() -> None:
    """rate-limit.mdx: headers state the rest of a limit; 10006 in 200 is an account's limit, 403 a ban of ten
    minutes."""
    cost = CODEC.place(LIMIT, BTC).cost
    assert dict(cost) == {"requests": 1, "place": 1}
    headers = {"x-bapi-limit": "20", "x-bapi-limit-status": "19", "x-bapi-limit-reset-timestamp": str(NOW_MS)}
    good = orjson.dumps({"retCode": 0, "retMsg": "OK", "result": {"orderId": "10006"}, "time": NOW_MS})
    assert SPEC.limit_answer(200, headers, good, cost) == LimitAnswer(remaining={"place": 19})
    body = orjson.dumps({"retCode": 10006, "retMsg": "Too many visits!", "result": {}, "time": NOW_MS})
    spent = {"x-bapi-limit-status": "0", "x-bapi-limit-reset-timestamp": str(NOW_MS + 700)}
    answer = SPEC.limit_answer(200, spent, body, cost)
    assert answer == LimitAnswer(Hit(0.7, ("place",)), remaining={"place": 0})
    assert SPEC.limit_answer(200, {}, body, cost).hit == Hit(1.0, ("place",))
    assert SPEC.limit_answer(403, {}, b"access too frequent", cost).hit == Hit(600.0)
    assert SPEC.limit_answer(429, {"retry-after": "7"}, b"", cost).hit == Hit(7.0)


# ------------------------------------------------------------------------------------------- orders over a websocket


def test_a_connection_for_orders_is_authenticated_first() -> None:
    """websocket/trade/guideline.mdx, its examples."""
    codec = CONNECTOR.trading("http://h", "ws://w")
    assert isinstance(codec, OpensCalls)
    assert codec.call_url() == "ws://w/v5/trade"
    opening = orjson.loads(codec.call_open(AUTH, "calls-1", NOW_MS * 1_000_000, 5_000))
    assert (opening["op"], opening["args"][0]) == ("auth", "a-key-of-bybit")
    good = b'{"retCode":0,"retMsg":"OK","op":"auth","connId":"cnt5leec0hvan15eukcg-2t"}'
    assert codec.call_opened(good) == StreamOpened("")
    refused = codec.call_opened(good.replace(b'0,"retMsg":"OK"', b'10004,"retMsg":"invalid sign"'))
    assert refused == StreamOpened("", "10004", "invalid sign")
    for other in (b"{}", b"nonsense", b'{"retCode":0,"retMsg":"OK","op":"pong","data":["1"],"connId":"c"}'):
        assert codec.call_opened(other) is None
        assert codec.call_answer(other) is None
    with pytest.raises(NotOffered):
        CONNECTOR.trading(environment="demo").call_url()


def test_a_call_is_answered_as_rest_would() -> None:
    draft = CODEC.place(LIMIT, BTC)
    signed = AUTH.sign_call(draft, "test-005", NOW_MS * 1_000_000, 8_000)
    assert signed.call is not None
    sent = orjson.loads(signed.call)
    assert sent["header"] == {"X-BAPI-TIMESTAMP": str(NOW_MS), "X-BAPI-RECV-WINDOW": "8000"}
    assert (sent["reqId"], sent["op"], sent["args"]) == ("test-005", "order.create", [dict(draft.params)])
    assert signed.not_after_ns == (NOW_MS + 8_001) * 1_000_000 - 1
    header = {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "9", "Timenow": "1711001595209"}
    answer = {"reqId": "test-005", "retCode": 0, "retMsg": "OK", "op": "order.create", "retExtInfo": {}}
    answer |= {"data": {"orderId": "a4c1718e", "orderLinkId": "vm1"}, "header": header, "connId": "cnt5leec0"}

    def read_call(message: Any) -> Reply:
        found = CODEC.call_answer(orjson.dumps(message))
        assert found is not None
        assert found.request_id == "test-005"
        return CODEC.reply(signed, HttpResponse(found.status, found.headers, found.body, 1, 2))

    assert read_call(answer).orders[0].exchange_order_id == "a4c1718e"
    found = CODEC.call_answer(orjson.dumps(answer))
    assert found is not None
    assert SPEC.limit_answer(found.status, found.headers, found.body, draft.cost).remaining == {"place": 9}
    with pytest.raises(RetryLater):
        read_call(answer | {"retCode": 10403, "retMsg": "exceed IP rate limit", "data": {}})
    with pytest.raises(OutcomeUnknown):
        read_call(answer | {"retCode": 20006, "retMsg": "reqId is duplicated", "data": {}})
    with pytest.raises(NotOffered):
        AUTH.sign_call(CODEC.cancel_all(BTC), "r", NOW_MS * 1_000_000, 5_000)


# ------------------------------------------------------------------------------------------------------- the stream

EXECUTION = FILL | {"category": "spot", "orderLinkId": "vm1", "execFee": "-0.001"}


def pushed(topic: str, *data: Any) -> Any:
    message = {"id": "592324fa945a30-2603", "topic": topic, "creationTime": NOW_MS, "data": data}
    return CODEC.stream_decode(orjson.dumps(message), 1)


def test_the_stream_authenticates_then_subscribes() -> None:
    """websocket/wss-authentication.mdx, its examples."""
    codec = CONNECTOR.trading("http://h", "ws://w")
    assert codec.stream_url() == "ws://w/v5/private"
    (auth,) = codec.stream_open(AUTH, "stream-1", NOW_MS * 1_000_000, 5_000)
    expires = NOW_MS + 5_000
    signature = AUTH.signature(f"GET/realtime{expires}")
    assert orjson.loads(auth) == {"op": "auth", "args": ["a-key-of-bybit", expires, signature]}
    (say,) = codec.stream_decode(b'{"success":true,"ret_msg":"","op":"auth","conn_id":"cejreaspqfh3sjdnldmg-p"}', 1)
    assert orjson.loads(say.frame) == {"op": "subscribe", "args": ["order", "execution", "wallet"]}
    done = b'{"success":true,"ret_msg":"","op":"subscribe","conn_id":"cejreassvfrsfvb9v1a0-2m"}'
    assert codec.stream_decode(done, 1) == (StreamOpened("stream-1"),)
    (refused,) = codec.stream_decode(b'{"success":false,"ret_msg":"Request not authorized","op":"subscribe"}', 1)
    assert (refused.request_id, refused.code, refused.reason) == (
        "stream-1",
        "refused",
        "subscribe: Request not authorized",
    )
    assert (
        codec.stream_decode(b'{"req_id":"test","op":"pong","args":["1675418560633"],"conn_id":"cfcb4oc-1b"}', 1) == ()
    )


def test_orders_and_fills_come_apart() -> None:
    other = {"category": "linear", "orderStatus": "Untriggered"}
    (order,) = pushed("order", ORDER | {"category": "spot", "orderStatus": "Filled", "cumExecQty": "2"}, other)
    assert (order.status, order.filled, order.fills) == (OrderStatus.FILLED, D(2), ())
    (report,) = pushed("execution", EXECUTION, EXECUTION | {"execType": "Settle"})
    assert (report.client_order_id, report.status, report.filled) == ("vm1", None, None)
    (fill,) = report.fills
    assert (fill.fee, fill.fee_asset, fill.is_maker) == (D("-0.001"), "BTC", False)
    cancelled_too_late = {"category": "spot", "cancelType": "CancelByUser", "orderStatus": "Filled"}
    (again,) = pushed("order", ORDER | cancelled_too_late | {"rejectReason": "EC_OrigClOrdIDDoesNotExist"})
    assert (again.status, again.code) == (OrderStatus.FILLED, None)


@pytest.mark.parametrize("absent", ["", None])
def test_a_fee_that_is_not_stated_is_none(absent: str | None) -> None:
    (report,) = pushed("execution", EXECUTION | {"execFee": absent, "feeCurrency": absent})
    assert [(fill.fee, fill.fee_asset) for fill in report.fills] == [(None, None)]


@pytest.mark.parametrize("write", [lambda extra: extra, lambda extra: orjson.dumps(extra).decode()])
def test_a_fill_may_have_taxes_besides_its_fee(write: Callable[[Any], Any]) -> None:
    """websocket/private/execution.mdx: a list; order/execution.mdx: text."""
    extra = [{"feeCoin": "USDT", "feeType": "GST", "subFeeType": "IND_GST", "feeRate": "0.0000675", "fee": "0.0064"}]
    (report,) = pushed("execution", EXECUTION | {"extraFees": write(extra)})
    (fill,) = report.fills
    assert fill.fees == (("BTC", D("-0.001")), ("USDT", D("0.0064")))


def test_an_unreadable_row_does_not_affect_others() -> None:
    odd = ORDER | {"category": "spot", "orderId": "8", "orderStatus": "Odd"}
    report, missed = pushed("order", odd, ORDER | {"category": "spot"})
    assert (report.exchange_order_id, "8" in missed.reason) == ("1616024329462743808", True)
    for topic in ("order", "execution", "wallet"):
        for row in ({}, None, 7):
            (missed,) = pushed(topic, row)
            assert isinstance(missed, Missed)
    assert pushed("invented next year", {}) == ()


def test_balances_of_the_stream_are_those_that_changed() -> None:
    coins = [{"coin": "BTC", "walletBalance": "3", "locked": "1"}]
    (wallet,) = pushed("wallet", {"accountType": "UNIFIED", "coin": coins})
    assert (wallet.balances, wallet.whole, wallet.ts_event_ns) == ({"BTC": (D(2), D(1))}, False, NOW_MS * 1_000_000)


def test_hosts() -> None:
    assert SISTERS.bybitkz.trading().stream_url() == "wss://stream.bybit.kz/v5/private"
    assert CONNECTOR.trading(environment="testnet").stream_url() == "wss://stream-testnet.bybit.com/v5/private"
    assert CONNECTOR.trading().stream_url() == "wss://stream.bybit.com/v5/private"
    demo = CONNECTOR.trading(environment="demo")  # demo.mdx
    assert demo.stream_url() == "wss://stream-demo.bybit.com/v5/private"
    assert demo.account().host == "https://api-demo.bybit.com"
    assert (demo.offer.batch_place, CODEC.offer.batch_place) == (0, 10)
    assert CONNECTOR.codec(environment="demo").ws_url() == "wss://stream.bybit.com/v5/public/spot"
    with pytest.raises(Misconfigured, match="environment"):
        CONNECTOR.trading(environment="moon")
    assert SISTERS.bybitkz.trading().account().host == "https://api.bybit.kz"
    assert CONNECTOR.trading(environment="testnet").account().host == "https://api-testnet.bybit.com"


def test_the_dead_man_switch_watches_the_connection_of_the_stream_with_the_option() -> None:
    assert (CODEC.offer.dead_man_s, CONNECTOR.trading(dcp=True).offer.dead_man_s) == (None, (3, 300))
    watched = CONNECTOR.trading(dcp=True)
    draft = watched.dead_man(40)
    signed = AUTH.sign(draft, "1", NOW_MS * 1_000_000, 5000)
    assert signed.request is not None
    assert signed.request.url == "https://api.bybit.com/v5/order/disconnected-cancel-all"
    assert signed.request.body == b'{"product":"SPOT","timeWindow":40}'  # order/dcp.mdx: an integer
    answer = HttpResponse(200, {}, b'{"retCode": 0, "retMsg": "success"}', 1, 2)  # its example
    assert watched.reply(signed, answer) == Reply()
    with pytest.raises(NotOffered):
        watched.dead_man(0)
    for codec, topics in ((CODEC, 3), (watched, 4)):
        codec.stream_open(AUTH, "stream-1", NOW_MS * 1_000_000, 5000)
        (sent_next,) = codec.stream_decode(b'{"success":true,"ret_msg":"","op":"auth","conn_id":"1"}', 5)
        assert isinstance(sent_next, StreamSay)
        args = orjson.loads(sent_next.frame)["args"]
        assert (len(args), "dcp.spot" in args) == (topics, topics == 4)
