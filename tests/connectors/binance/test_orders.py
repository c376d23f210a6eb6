"""Intents to drafts, and answers to reports. Messages are our own in the manual's shape (rest-api.md, 2026-11-22)."""

from __future__ import annotations

from decimal import Decimal as D

import orjson
import pytest

from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.binance.spec import OFFER, SPEC, TRADING
from venuemesh.connectors.drafts import plain
from venuemesh.connectors.order_codec import At, Kind, Signed, trading_connector
from venuemesh.model.errors import (
    DecodeError,
    Misconfigured,
    NotOffered,
    OutcomeUnknown,
    Rejected,
    RetryLater,
)
from venuemesh.model.events import Side
from venuemesh.model.http import HttpResponse
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import NewOrder, Order, OrderStatus, OrderType, TimeInForce

MS = 1_000_000
PAIR = Instrument("binance", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 8, 8)
LIMIT, MARKET, MAKER = OrderType.LIMIT, OrderType.MARKET, OrderType.LIMIT_MAKER
STOP, STOP_LIMIT = OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT


def codec():
    return CONNECTOR.trading()


def new(cid="a", side=Side.BUY, kind=LIMIT, amount="0.05", price="1500.25", **fields) -> NewOrder:
    def number(value):
        return None if value is None else D(value)

    for name in ("stop_price", "quote_amount"):
        if name in fields:
            fields[name] = number(fields[name])
    return NewOrder(cid, "BTC-USDT", side, kind, number(amount), number(price), **fields)


def known(cid="a", exchange_order_id=None) -> Order:
    at = 1_700_000_000_000 * MS
    return Order(
        "binance",
        "main",
        cid,
        "BTC-USDT",
        Side.BUY,
        LIMIT,
        D("0.05"),
        D("1500.25"),
        TimeInForce.GTC,
        OrderStatus.OPEN,
        at,
        at,
        exchange_order_id=exchange_order_id,
    )


def reply(draft, body, status=200, headers=None):
    signed = Signed(draft, "1", At(0), "", "")
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return codec().reply(signed, HttpResponse(status, headers or {}, raw, 1, 2))


def error(code: int, msg: str, data=None) -> dict:
    return {"code": code, "msg": msg} | ({"data": data} if data is not None else {})


# Drafts

PLACED = [
    (
        new(),
        "symbol=BTCUSDT side=BUY newClientOrderId=a newOrderRespType=FULL type=LIMIT quantity=0.05 price=1500.25"
        " timeInForce=GTC",
    ),
    (
        new(time_in_force=TimeInForce.IOC, self_trade="EXPIRE_BOTH", side=Side.SELL, amount="10", price="100"),
        "symbol=BTCUSDT side=SELL newClientOrderId=a newOrderRespType=FULL type=LIMIT quantity=10 price=100"
        " timeInForce=IOC selfTradePreventionMode=EXPIRE_BOTH",
    ),
    (
        new(kind=MARKET, price=None),
        "symbol=BTCUSDT side=BUY newClientOrderId=a newOrderRespType=FULL type=MARKET quantity=0.05",
    ),
    (
        new(kind=MARKET, price=None, amount=None, quote_amount="25.50"),
        "symbol=BTCUSDT side=BUY newClientOrderId=a newOrderRespType=FULL type=MARKET quoteOrderQty=25.5",
    ),
    (
        new(kind=MAKER, amount="1E-8"),
        "symbol=BTCUSDT side=BUY newClientOrderId=a newOrderRespType=FULL type=LIMIT_MAKER quantity=0.00000001"
        " price=1500.25",
    ),
    (
        new(kind=STOP_LIMIT, stop_price="1600", time_in_force=TimeInForce.FOK),
        "symbol=BTCUSDT side=BUY newClientOrderId=a newOrderRespType=FULL type=STOP_LOSS_LIMIT quantity=0.05"
        " price=1500.25 timeInForce=FOK stopPrice=1600",
    ),
    (
        new(kind=OrderType.TAKE_PROFIT, price=None, stop_price="1600"),
        "symbol=BTCUSDT side=BUY newClientOrderId=a newOrderRespType=FULL type=TAKE_PROFIT quantity=0.05"
        " stopPrice=1600",
    ),
]


@pytest.mark.parametrize(("order", "params"), PLACED)
def test_placing(order, params):
    draft = codec().place(order, PAIR)
    assert " ".join(f"{name}={value}" for name, value in draft.params) == params
    assert (draft.kind, draft.rest, draft.call) == (Kind.PLACE, ("POST", "/api/v3/order"), "order.place")
    assert (draft.orders, draft.pair, draft.cost, draft.order_count) == (("a",), "BTC-USDT", (("weight", 1),), 1)
    assert codec().place_cost(order) == (draft.cost, draft.order_count)
    assert draft.host == SPEC.rest
    assert draft.changes


@pytest.mark.parametrize(
    "order",
    [
        new(amount=None),
        new(amount=None, quote_amount="5"),
        new(kind=MARKET, price=None, quote_amount="5"),
        new(kind=MARKET),
        new(price=None),
        new(kind=STOP_LIMIT),
        new(stop_price="5"),
        new(kind=MAKER, time_in_force=TimeInForce.IOC),
        new(kind=MARKET, price=None, time_in_force=TimeInForce.FOK),
    ],
)
def test_shapes_that_the_exchange_does_not_have(order):
    with pytest.raises(NotOffered):
        codec().place(order, PAIR)


def test_a_cancel_goes_by_the_exchanges_id_and_keeps_the_orders_own():
    by_client, by_exchange = codec().cancel(known(), PAIR), codec().cancel(known(exchange_order_id="28"), PAIR)
    assert by_client.params == (("symbol", "BTCUSDT"), ("origClientOrderId", "a"), ("newClientOrderId", "a"))
    assert by_exchange.params == (("symbol", "BTCUSDT"), ("orderId", "28"), ("newClientOrderId", "a"))
    assert by_client.rest == ("DELETE", "/api/v3/order")
    assert by_client.orders == ("a",)
    assert by_client.order_count == 0


def test_a_replacement_stops_when_the_cancel_fails():
    draft = codec().replace(known(exchange_order_id="9"), PAIR, new("b", price="1501"))
    params = dict(draft.params)
    assert params["cancelReplaceMode"] == "STOP_ON_FAILURE"
    assert (params["cancelOrderId"], params["cancelNewClientOrderId"], params["newClientOrderId"]) == ("9", "a", "b")
    assert draft.orders == ("a", "b")
    assert draft.order_count == 1
    assert draft.call == "order.cancelReplace"


def test_an_amendment_keeps_the_client_id():
    draft = codec().amend(known(), PAIR, D("0.0300"))
    assert draft.params == (
        ("symbol", "BTCUSDT"),
        ("origClientOrderId", "a"),
        ("newClientOrderId", "a"),
        ("newQty", "0.03"),
    )
    assert draft.rest == ("PUT", "/api/v3/order/amend/keepPriority")
    assert draft.cost == (("weight", 4),)


TAKE = {"kind": MAKER, "price": "1600"}
LOSS = {"kind": STOP_LIMIT, "price": "1400", "stop_price": "1410"}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("side", "above", "below"), [(Side.SELL, "t", "l"), (Side.BUY, "l", "t")])
def test_an_oco_puts_each_order_on_its_side_of_the_market(side, above, below, turned):
    pair = [new("t", side, **TAKE), new("l", side, **LOSS)]
    draft = codec().place_list("OCO", pair[::-1] if turned else pair, PAIR, "list-1")
    params = dict(draft.params)
    assert (params["aboveClientOrderId"], params["belowClientOrderId"]) == (above, below)
    stop = "above" if above == "l" else "below"
    assert (params[f"{stop}StopPrice"], params[f"{stop}TimeInForce"], params["quantity"]) == ("1410", "GTC", "0.05")
    assert params["side"] == side.name
    assert params["listClientOrderId"] == "list-1"
    assert draft.order_count == 2
    assert sorted(draft.orders) == ["l", "t"]
    assert draft.rest[1] == "/api/v3/orderList/oco"


def test_an_otoco():
    orders = [
        new("w", Side.BUY),
        new("t", Side.SELL, **TAKE),
        new("l", Side.SELL, kind=STOP, price=None, stop_price="1400"),
    ]
    params = dict(codec().place_list("OTOCO", orders, PAIR, "list-1").params)
    assert params["workingType"] == "LIMIT"
    assert params["workingTimeInForce"] == "GTC"
    assert params["workingSide"] == "BUY"
    assert params["pendingSide"] == "SELL"
    assert params["pendingQuantity"] == "0.05"
    assert params["pendingAboveType"] == "LIMIT_MAKER"
    assert params["pendingAbovePrice"] == "1600"
    assert params["pendingBelowType"] == "STOP_LOSS"
    assert params["pendingBelowStopPrice"] == "1400"


def test_an_oto():
    params = dict(codec().place_list("OTO", [new("w"), new("p", Side.SELL, kind=MARKET, price=None)], PAIR, "x").params)
    assert (params["pendingType"], params["pendingQuantity"], params["pendingSide"]) == ("MARKET", "0.05", "SELL")
    assert "pendingTimeInForce" not in params


@pytest.mark.parametrize(
    ("kind", "orders"),
    [
        ("OCO", [new("t", **TAKE)]),
        ("OCO", [new("t", **TAKE), new("u", **TAKE)]),
        ("OCO", [new("l", **LOSS), new("m", **LOSS)]),
        ("OCO", [new("t"), new("l", **LOSS)]),
        ("OCO", [new("t", **TAKE), new("l", Side.SELL, **LOSS)]),
        ("OCO", [new("t", amount="1", **TAKE), new("l", **LOSS)]),
        ("OCO", [new("t", self_trade="NONE", **TAKE), new("l", **LOSS)]),
        ("OTO", [new("w", kind=MARKET, price=None), new("p")]),
        ("OTO", [new("w"), new("p", kind=MARKET, price=None, amount=None, quote_amount="5")]),
        ("OTOCO", [new("w"), new("p")]),
        ("OPO", [new("w"), new("p")]),
    ],
)
def test_lists_that_are_not_valid(kind, orders):
    with pytest.raises(NotOffered):
        codec().place_list(kind, orders, PAIR, "x")


def test_questions():
    ask = codec()
    since = 1_700_000_000_000 * MS + 7
    cases = [
        (ask.query("a", PAIR), {"origClientOrderId": "a"}, "/api/v3/order", 4),
        (ask.query("a", PAIR, "28"), {"orderId": "28"}, "/api/v3/order", 4),
        (ask.fills(PAIR, None), {"fromId": "0", "limit": "1000"}, "/api/v3/myTrades", 20),
        (ask.fills(PAIR, since), {"startTime": "1700000000000", "limit": "1000"}, "/api/v3/myTrades", 20),
        (ask.fills(PAIR, since, "28"), {"orderId": "28", "fromId": "0", "limit": "1000"}, "/api/v3/myTrades", 5),
        (ask.fills_after(PAIR, "56"), {"fromId": "57", "limit": "1000"}, "/api/v3/myTrades", 20),
        (ask.orders(PAIR, since), {"startTime": "1700000000000", "limit": "1000"}, "/api/v3/allOrders", 20),
        (ask.fees(PAIR), {}, "/api/v3/account/commission", 20),
    ]
    for draft, params, path, weight in cases:
        assert dict(draft.params) == {"symbol": "BTCUSDT"} | params
        assert draft.rest == ("GET", path)
        assert draft.cost == (("weight", weight),)
        assert not draft.changes
    assert ask.open_orders().params == ()
    assert ask.open_orders().cost == (("weight", 80),)
    assert ask.account().params == (("omitZeroBalances", "true"),)


def test_raw_requests():
    draft = codec().raw("GET", "/api/v3/rateLimit/order", [("a", "b")], True)
    assert draft.cost == (("weight", 40),)
    assert draft.kind is Kind.RAW
    assert not draft.changes
    assert codec().raw("POST", "/sapi/v1/anything", [], True).changes
    for path in ("/fapi/v1/order", "api/v3/order", "https://else.test/api/", "/api/../x", "/api/v3/x?y=1", "/api/v3/ä"):
        with pytest.raises(Misconfigured):
            codec().raw("GET", path, [], True)
    with pytest.raises(Misconfigured):
        codec().raw("PATCH", "/api/v3/order", [], True)


def test_where_requests_go():
    assert codec().call_url() == codec().stream_url() == SPEC.ws_api
    local = CONNECTOR.trading(rest="http://127.0.0.1:1/", ws_api="ws://127.0.0.1:1/ws-api/v3")
    assert local.open_orders().host == "http://127.0.0.1:1"
    assert local.call_url() == "ws://127.0.0.1:1/ws-api/v3"
    with pytest.raises(NotOffered):  # what is signed for one server is not sent to another
        CONNECTOR.trading(rest="http://127.0.0.1:1").stream_url()
    assert trading_connector(CONNECTOR) is CONNECTOR
    test = CONNECTOR.trading(environment="testnet")
    assert test.open_orders().host == "https://testnet.binance.vision"
    assert test.call_url() == "wss://ws-api.testnet.binance.vision/ws-api/v3"
    assert CONNECTOR.codec(environment="testnet").ws_url().startswith("wss://stream.testnet.binance.vision")
    with pytest.raises(Misconfigured):
        CONNECTOR.trading(environment="moon")


def test_the_spec_states_costs_and_sources_of_every_endpoint():
    assert all(one.source and one.cost and one.call for one in TRADING.values())
    assert TRADING["otoco"].order_count == 3
    assert TRADING["cancel"].order_count == 0
    assert {limit.scope for limit in SPEC.account_limits.values()} == {"account"}
    assert set(SPEC.account_headers.values()) == set(SPEC.account_limits)
    assert OFFER.batch_place == 0
    assert OFFER.maker_fee == D("0.001")
    assert SPEC.environments["testnet"].ws_api


@pytest.mark.parametrize(("number", "stated"), [("1E+3", "1000"), ("0.10", "0.1"), ("100", "100"), ("0.00", "0")])
def test_numbers_are_plain(number, stated):
    assert plain(D(number)) == stated


# Answers

ROW = {
    "symbol": "BTCUSDT",
    "orderId": 28,
    "orderListId": -1,
    "clientOrderId": "a",
    "transactTime": 1507725176595,
    "price": "4000.00000000",
    "origQty": "10.00000000",
    "executedQty": "0.00000000",
    "origQuoteOrderQty": "0.000000",
    "cummulativeQuoteQty": "0.00000000",
    "status": "NEW",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "side": "SELL",
    "selfTradePreventionMode": "NONE",
}
TAKEN = {"price": "4000.00", "qty": "1.50", "commission": "0.006", "commissionAsset": "BNB", "tradeId": 56}
CANCELED = ROW | {"status": "CANCELED", "origClientOrderId": "a", "clientOrderId": "x"}


def test_a_fill_in_the_answer_to_placing_without_a_fee():
    (report,) = reply(
        codec().place(new(), PAIR), ROW | {"fills": [TAKEN | {"commission": "0", "commissionAsset": None}]}
    ).orders
    assert [(fill.fee, fill.fee_asset) for fill in report.fills] == [(D(0), None)]


def test_a_full_answer_to_placing():
    row = ROW | {"status": "PARTIALLY_FILLED", "executedQty": "1.50", "cummulativeQuoteQty": "6000", "fills": [TAKEN]}
    (report,) = reply(codec().place(new(), PAIR), row).orders
    assert (report.client_order_id, report.exchange_order_id, report.symbol) == ("a", "28", "BTCUSDT")
    assert report.status is OrderStatus.PARTIALLY_FILLED
    assert report.ts_event_ns == 1507725176595 * MS
    assert (report.amount, report.price, report.filled, report.quote_filled) == (D(10), D(4000), D("1.5"), D(6000))
    assert report.stop_price is None
    assert report.quote_amount is None
    assert report.list_id is None
    assert report.code is None
    assert report.side is Side.SELL
    assert report.order_type is LIMIT
    assert report.time_in_force is TimeInForce.GTC
    (fill,) = report.fills
    assert (fill.trade_id, fill.price, fill.amount, fill.quote_amount) == ("56", D(4000), D("1.5"), D(6000))
    assert (fill.fee, fill.fee_asset, fill.is_maker, fill.side) == (D("0.006"), "BNB", False, Side.SELL)


def test_a_fill_by_an_allocation():
    row = ROW | {"fills": [TAKEN | {"tradeId": -1, "allocId": 0, "matchType": "ONE_PARTY_TRADE_REPORT"}]}
    (report,) = reply(codec().place(new(), PAIR), row).orders
    assert report.fills[0].trade_id == "allocation-0"


def test_an_acknowledgement_alone_states_no_status():
    ack = {key: ROW[key] for key in ("symbol", "orderId", "orderListId", "clientOrderId", "transactTime")}
    (report,) = reply(codec().place(new(), PAIR), ack).orders
    assert report.status is None
    assert report.filled is None
    assert report.exchange_order_id == "28"


@pytest.mark.parametrize(
    ("stated", "meant", "code"),
    [
        ("NEW", OrderStatus.OPEN, None),
        ("PENDING_NEW", OrderStatus.OPEN, None),
        ("PARTIALLY_FILLED", OrderStatus.PARTIALLY_FILLED, None),
        ("FILLED", OrderStatus.FILLED, None),
        ("CANCELED", OrderStatus.CANCELED, None),
        ("REJECTED", OrderStatus.REJECTED, None),
        ("EXPIRED", OrderStatus.EXPIRED, None),
        ("EXPIRED_IN_MATCH", OrderStatus.EXPIRED, "EXPIRED_IN_MATCH"),
    ],
)
def test_every_status_of_the_manual(stated, meant, code):
    (report,) = reply(codec().query("a", PAIR), ROW | {"status": stated, "updateTime": 5}).orders
    assert report.status is meant
    assert report.code == code


@pytest.mark.parametrize(
    "change",
    [
        {"status": "PENDING_CANCEL"},
        {"status": "SOMETHING"},
        {"status": None},
        {"side": "HOLD"},
        {"timeInForce": "GTD"},
        {"type": "PEGGED"},
        {"orderId": "28"},
        {"orderId": -5},
        {"orderId": 2**63},
        {"price": 4000.0},
        {"price": "NaN"},
        {"executedQty": "many"},
        {"symbol": None},
        {"transactTime": "1507725176595"},
        {"fills": [{}]},
        {"fills": [TAKEN | {"tradeId": None}]},
    ],
)
def test_unreadable_values_are_not_guessed(change):
    with pytest.raises(DecodeError):
        reply(codec().place(new(), PAIR), ROW | change)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"5", b'"x"', b"{}", b"\xff", b"<html>"])
@pytest.mark.parametrize("ask", ["place", "query", "account", "fees", "amend", "replace", "cancel_all", "fills"])
def test_any_other_body_is_a_decode_error(ask, body):
    drafts = {
        "place": codec().place(new(), PAIR),
        "query": codec().query("a", PAIR),
        "account": codec().account(),
        "fees": codec().fees(PAIR),
        "amend": codec().amend(known(), PAIR, D(1)),
        "replace": codec().replace(known(), PAIR, new("b")),
        "cancel_all": codec().cancel_all(PAIR),
        "fills": codec().fills(PAIR, None),
    }
    if ask in ("cancel_all", "fills") and body == b"[]":
        assert reply(drafts[ask], body).orders == ()
        return
    with pytest.raises(DecodeError):
        reply(drafts[ask], body)


def test_amounts_that_the_exchange_no_longer_knows():
    (report,) = reply(codec().query("a", PAIR), ROW | {"cummulativeQuoteQty": "-1", "updateTime": 5}).orders
    assert report.quote_filled is None
    assert report.filled == 0


def test_a_cancel_reports_the_order_under_its_own_id():
    (report,) = reply(codec().cancel(known(), PAIR), CANCELED).orders
    assert report.client_order_id == "a"
    assert report.status is OrderStatus.CANCELED


def test_a_query_reports_the_order_under_the_requested_id():
    """A cancel of all has given the order another id."""
    row = ROW | {"clientOrderId": "of-the-cancel", "status": "CANCELED", "updateTime": 5}
    (report,) = reply(codec().query("a", PAIR, "28"), row).orders
    assert report.client_order_id == "a"


def list_row(orders, state="ALL_DONE"):
    return {
        "orderListId": 1929,
        "contingencyType": "OCO",
        "listStatusType": "ALL_DONE",
        "listOrderStatus": state,
        "listClientOrderId": "list-1",
        "transactionTime": 1574040868128,
        "symbol": "BTCUSDT",
        "orders": [{"symbol": "BTCUSDT", "orderId": 20, "clientOrderId": "t"}],
        "orderReports": orders,
    }


def test_a_cancel_of_all_answers_orders_and_lists():
    in_list = CANCELED | {"origClientOrderId": "t", "orderId": 20, "orderListId": 1929}
    answer = reply(codec().cancel_all(PAIR), [CANCELED, list_row([in_list])])
    assert [order.client_order_id for order in answer.orders] == ["a", "t"]
    assert answer.orders[1].list_id == "1929"
    (of_list,) = answer.lists
    assert (of_list.list_id, of_list.state, of_list.orders) == ("1929", "ALL_DONE", (("t", "20"),))


@pytest.mark.parametrize("count", [-1, 2**63])
def test_an_absurd_count_of_orders_is_a_decode_error(count):
    row = b'[{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":160000,"count":%d}]'
    assert reply(codec().order_counts(), row % 3).counts == {"orders_1d": 3}
    with pytest.raises(DecodeError):
        reply(codec().order_counts(), row % count)


@pytest.mark.parametrize(
    "body",
    [
        {"orderReports": [{**CANCELED, "transactTime": None}]},
        {"orderReports": [{name: value for name, value in CANCELED.items() if name != "transactTime"}]},
        [[CANCELED]],
        [7],
    ],
)
def test_a_cancel_with_an_order_that_cannot_be_read_is_a_decode_error(body):
    with pytest.raises(DecodeError):
        reply(codec().cancel_all(PAIR), body)


def test_a_cancel_of_one_order_of_a_list_ends_the_list():
    answer = reply(codec().cancel(known(), PAIR), list_row([CANCELED]))
    assert answer.orders[0].status is OrderStatus.CANCELED
    assert answer.lists[0].client_list_id == "list-1"


def test_an_order_list_is_placed():
    draft = codec().place_list("OCO", [new("t", **TAKE), new("l", **LOSS)], PAIR, "list-1")
    answer = reply(draft, list_row([ROW | {"orderListId": 1929}], "EXECUTING"))
    assert answer.orders[0].status is OrderStatus.OPEN
    assert answer.lists[0].state == "EXECUTING"
    with pytest.raises(DecodeError):
        reply(draft, list_row([], "HALF_DONE"))


def test_nothing_to_cancel_is_no_refusal():
    assert reply(codec().cancel_all(PAIR), error(-2011, "Unknown order sent."), 400).absent


def test_an_amendment():
    row = {key: value for key, value in ROW.items() if key not in ("transactTime", "origQty", "cummulativeQuoteQty")}
    row |= {"origClientOrderId": "a", "qty": "5.0", "cumulativeQuoteQty": "0", "quoteOrderQty": "0.00"}
    answer = reply(codec().amend(known(), PAIR, D(5)), {"transactTime": 7, "executionId": 75, "amendedOrder": row})
    assert answer.orders[0].amount == 5
    assert answer.orders[0].ts_event_ns == 7 * MS
    assert answer.orders[0].client_order_id == "a"


def halves(cancel, cancel_answer, placing, placing_answer):
    return {
        "cancelResult": cancel,
        "newOrderResult": placing,
        "cancelResponse": cancel_answer,
        "newOrderResponse": placing_answer,
    }


REFUSED_CANCEL = error(-2011, "Unknown order sent.")
REFUSED_PLACING = error(-2010, "Order would immediately match and take.")
PLACED_B = ROW | {"clientOrderId": "b", "orderId": 29}


@pytest.mark.parametrize(
    ("status", "body", "done", "refused"),
    [
        (200, halves("SUCCESS", CANCELED, "SUCCESS", PLACED_B), ["a", "b"], []),
        (
            409,
            error(
                -2021, "Order cancel-replace partially failed.", halves("SUCCESS", CANCELED, "FAILURE", REFUSED_PLACING)
            ),
            ["a"],
            [("b", "-2010", "Order would immediately match and take.")],
        ),
        (
            400,
            error(-2022, "Order cancel-replace failed.", halves("FAILURE", REFUSED_CANCEL, "NOT_ATTEMPTED", None)),
            [],
            [("a", "-2011", "Unknown order sent."), ("b", "-2022", "not attempted: the cancel was refused")],
        ),
        (
            409,
            error(
                -2021, "Order cancel-replace partially failed.", halves("FAILURE", REFUSED_CANCEL, "SUCCESS", PLACED_B)
            ),
            ["b"],
            [("a", "-2011", "Unknown order sent.")],
        ),
        (
            429,
            error(
                -2021,
                "Order cancel-replace partially failed.",
                halves("SUCCESS", CANCELED, "FAILURE", error(-1015, "Too many new orders.")),
            ),
            ["a"],
            [("b", "-1015", "Too many new orders.")],
        ),
    ],
)
def test_a_replacement_of_which_each_half_is_reported(status, body, done, refused):
    answer = reply(codec().replace(known(), PAIR, new("b")), body, status)
    assert [order.client_order_id for order in answer.orders] == done
    assert list(answer.refused) == refused


def test_a_replacement_that_failed_without_knowing():
    body = error(-2021, "partially", halves("SUCCESS", CANCELED, "FAILURE", error(-1007, "Timeout waiting")))
    with pytest.raises(OutcomeUnknown):
        reply(codec().replace(known(), PAIR, new("b")), body, 409)
    with pytest.raises(OutcomeUnknown):
        reply(codec().replace(known(), PAIR, new("b")), body, 500)
    refusal = error(-2021, "partially", halves("SUCCESS", CANCELED, "FAILURE", REFUSED_PLACING))
    with pytest.raises(OutcomeUnknown):  # a 5xx with any body states nothing certain
        reply(codec().replace(known(), PAIR, new("b")), refusal, 502)
    with pytest.raises(DecodeError):
        reply(codec().replace(known(), PAIR, new("b")), halves("SUCCESS", CANCELED, "MAYBE", None))
    with pytest.raises(RetryLater):
        reply(codec().replace(known(), PAIR, new("b")), error(-1015, "Too many new orders."), 429)


def test_an_order_that_is_not_there():
    assert reply(codec().query("a", PAIR), error(-2013, "Order does not exist."), 400).absent
    with pytest.raises(Rejected):
        reply(codec().place(new(), PAIR), error(-2013, "Order does not exist."), 400)


def test_an_archived_order_is_there_and_ended():
    answer = reply(codec().query("a", PAIR), error(-2026, "Order was canceled or expired with no executed qty."), 400)
    assert answer.orders[0].status is OrderStatus.CANCELED
    assert answer.orders[0].filled == 0
    assert not answer.orders[0].is_dated
    assert not answer.absent


TRADE = {
    "symbol": "BTCUSDT",
    "id": 28457,
    "orderId": 100234,
    "orderListId": -1,
    "price": "4.00000100",
    "qty": "12.00000000",
    "quoteQty": "48.000012",
    "commission": "10.10000000",
    "commissionAsset": "BNB",
    "time": 1499865549590,
    "isBuyer": True,
    "isMaker": True,
    "isBestMatch": True,
}


def test_own_fills():
    (fill,) = reply(codec().fills(PAIR, None), [TRADE]).fills
    assert (fill.trade_id, fill.exchange_order_id, fill.symbol, fill.side) == ("28457", "100234", "BTCUSDT", Side.BUY)
    assert (fill.price, fill.amount, fill.quote_amount) == (D("4.000001"), D(12), D("48.000012"))
    assert (fill.fee, fill.fee_asset, fill.is_maker) == (D("10.1"), "BNB", True)
    for absent in (None, ""):  # no fee, as the stream states it
        (free,) = reply(codec().fills(PAIR, None), [TRADE | {"commission": "0", "commissionAsset": absent}]).fills
        assert (free.fee, free.fee_asset) == (D(0), None)
    for change in ({"isMaker": 1}, {"isBuyer": None}, {"id": "28457"}, {"commissionAsset": 0}):
        answer = reply(codec().fills(PAIR, None), [TRADE | change, TRADE])
        assert (answer.fills, len(answer.left_out), answer.rows) == ((fill,), 1, 2)
    with pytest.raises(DecodeError):
        reply(codec().fills(PAIR, None), TRADE)


@pytest.mark.parametrize("odd", [{"timeInForce": "GTD"}, {"status": "HELD"}, {"type": "X"}, {"clientOrderId": None}])
def test_an_unreadable_row_does_not_affect_other_open_orders(odd):
    answer = reply(codec().open_orders(), [ROW | {"orderId": 7} | odd, ROW])
    assert [one.exchange_order_id for one in answer.orders] == [str(ROW["orderId"])]
    assert [one.name for one in answer.left_out] == ["7"]


def test_an_unreadable_balance_does_not_affect_others_and_is_not_taken_as_zero():
    good = {"asset": "BTC", "free": "1.5", "locked": "0.5"}
    answer = {
        "canTrade": True,
        "updateTime": 1,
        "permissions": [],
        "balances": [good, good | {"asset": "ODD", "free": ""}],
    }
    found = reply(codec().account(), answer).account.balances
    assert (found.balances, found.whole, found.unread) == ({"BTC": (D("1.5"), D("0.5"))}, True, ("ODD",))
    answer["balances"][1] = {"free": "1", "locked": "0"}  # the asset is missing
    found = reply(codec().account(), answer).account.balances
    assert (found.whole, found.unread) == (False, ())


def test_the_account():
    row = {
        "commissionRates": {"maker": "0.0015", "taker": "0.0015", "buyer": "0", "seller": "0"},
        "canTrade": True,
        "updateTime": 123456789,
        "balances": [{"asset": "BTC", "free": "1.5", "locked": "0.5"}],
        "permissions": ["SPOT"],
        "uid": 354937868,
    }
    account = reply(codec().account(), row).account
    assert account.balances.balances == {"BTC": (D("1.5"), D("0.5"))}
    assert account.balances.whole
    assert account.can_trade
    assert account.permissions == ("SPOT",)
    assert account.account_id == "354937868"
    assert account.maker_fee == D("0.0015")
    assert account.balances.ts_event_ns == 123456789 * MS


def test_fees_add_up():
    row = {
        "symbol": "BTCUSDT",
        "standardCommission": {"maker": "0.001", "taker": "0.002", "buyer": "0.0001", "seller": "0.0003"},
        "specialCommission": {"maker": "0.01", "taker": "0.02", "buyer": "0", "seller": "0"},
        "taxCommission": {"maker": "0.00001", "taker": "0.00002", "buyer": "0", "seller": "0"},
        "discount": {
            "enabledForAccount": True,
            "enabledForSymbol": True,
            "discountAsset": "BNB",
            "discount": "0.75",
        },
    }
    fees = reply(codec().fees(PAIR), row).fees
    assert (fees.pair, fees.maker, fees.taker) == ("BTC-USDT", D("0.01131"), D("0.02232"))
    assert fees.source == "exchange"
    assert "BNB" in fees.discount
    row["discount"]["enabledForSymbol"] = False
    assert reply(codec().fees(PAIR), row).fees.discount == ""
