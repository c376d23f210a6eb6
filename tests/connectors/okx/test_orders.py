"""OKX's orders: drafts in the manual's form, and answers from the manual's examples."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from venuemesh.connectors.okx import CONNECTOR
from venuemesh.connectors.order_codec import Draft, Kind, Refusal, Reply
from venuemesh.connectors.reports import Missed, StreamOpened
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

D = Decimal
BTC = Instrument("okx", "BTC-USDT", "BTC-USDT", "BTC", "USDT", 8, 8)
CODEC = CONNECTOR.trading("http://h")
AUTH = CONNECTOR.auth("hmac", "a-key-of-okx", "a-secret", passphrase="word")
LIMIT = NewOrder("vm1", "BTC-USDT", Side.BUY, OrderType.LIMIT, D("2.0"), D("2.15"), TimeInForce.GTC)
HELD = Order(
    *("okx", "main", "vm1", "BTC-USDT", Side.BUY, OrderType.LIMIT, D(1), D(2), TimeInForce.GTC, OrderStatus.OPEN),
    created_ns=0,
    updated_ns=0,
)
# order/book/trading-trade-get-order-details.md, the example, without the fields that are always empty here
ORDER = {
    "accFillSz": "0.00192834",
    "avgPx": "51858",
    "cTime": "1708587373361",
    "cancelSource": "",
    "clOrdId": "",
    "fee": "-0.00000192834",
    "feeCcy": "BTC",
    "fillPx": "51858",
    "fillSz": "0.00192834",
    "fillTime": "1708587373361",
    "instId": "BTC-USDT",
    "ordId": "680800019749904384",
    "ordType": "market",
    "px": "",
    "side": "buy",
    "state": "filled",
    "sz": "100",
    "tgtCcy": "quote_ccy",
    "tradeId": "744876980",
    "uTime": "1708587373362",
}
# trading-trade-get-transaction-details-last-3-days.md, likewise
FILL = {
    "side": "buy",
    "fillSz": "0.00192834",
    "fillPx": "51858",
    "fee": "-0.00000192834",
    "ordId": "680800019749904384",
    "instId": "BTC-USDT",
    "billId": "680800019754098688",
    "fillTime": "1708587373361",
    "execType": "T",
    "tradeId": "744876980",
    "feeCcy": "BTC",
    "ts": "1708587373362",
}


def sent(draft: Draft) -> dict[str, str]:
    assert len(dict(draft.params)) == len(draft.params)
    return dict(draft.params)


def read(draft: Draft, data: Any, code: str = "0", msg: str = "", status: int = 200) -> Reply:
    signed = AUTH.sign(draft, "r", 1_700_000_000_000_000_000, 5_000)
    body = orjson.dumps({"code": code, "msg": msg, "data": data})
    return CODEC.reply(signed, HttpResponse(status, {}, body, 1, 2))


def test_orders_are_drafted_as_in_the_manual() -> None:
    draft = CODEC.place(replace(LIMIT, self_trade="cancel_both"), BTC)
    assert (draft.rest, draft.orders, draft.pair) == (("POST", "/api/v5/trade/order"), ("vm1",), "BTC-USDT")
    assert sent(draft) == {
        "instId": "BTC-USDT",
        "tdMode": "cash",
        "clOrdId": "vm1",
        "side": "buy",
        "ordType": "limit",
        "px": "2.15",
        "sz": "2",
        "stpMode": "cancel_both",
    }
    for force, word in ((TimeInForce.IOC, "ioc"), (TimeInForce.FOK, "fok")):
        assert sent(CODEC.place(replace(LIMIT, time_in_force=force), BTC))["ordType"] == word
    maker = replace(LIMIT, order_type=OrderType.LIMIT_MAKER, time_in_force=None)
    assert sent(CODEC.place(maker, BTC))["ordType"] == "post_only"


def test_a_market_order_says_what_it_counts_in_and_may_not_shrink() -> None:
    market = replace(LIMIT, order_type=OrderType.MARKET, price=None, time_in_force=None)
    bought = sent(CODEC.place(market, BTC))
    assert (bought["tgtCcy"], bought["sz"], bought["banAmend"], bought["slippagePct"]) == (
        "base_ccy",
        "2",
        "true",
        "0.05",
    )
    sold = sent(CODEC.place(replace(market, side=Side.SELL), BTC))
    assert (sold["tgtCcy"], "slippagePct" in sold, "px" in sold) == ("base_ccy", False, False)
    spent = sent(CODEC.place(replace(market, amount=None, quote_amount=D(100)), BTC))
    assert (spent["tgtCcy"], spent["sz"], "slippagePct" in spent) == ("quote_ccy", "100", False)


@pytest.mark.parametrize(
    "change",
    [
        {"order_type": OrderType.STOP_LOSS_LIMIT, "stop_price": D(2)},
        {"order_type": OrderType.MARKET},
        {"order_type": OrderType.LIMIT_MAKER, "time_in_force": TimeInForce.IOC},
        {"amount": None},
        {"amount": None, "quote_amount": D(5)},
        {"price": None},
    ],
)
def test_other_orders_are_refused_before_anything_is_sent(change: dict[str, Any]) -> None:
    with pytest.raises(NotOffered):
        CODEC.place(replace(LIMIT, **change), BTC)


def test_cancels_and_queries_name_the_exchanges_id_where_it_is_known() -> None:
    assert sent(CODEC.cancel(HELD, BTC)) == {"instId": "BTC-USDT", "clOrdId": "vm1"}
    assert sent(CODEC.cancel(replace(HELD, exchange_order_id="7"), BTC)) == {"instId": "BTC-USDT", "ordId": "7"}
    amended = CODEC.amend(replace(HELD, exchange_order_id="7"), BTC, D("0.50"))
    assert sent(amended) == {"instId": "BTC-USDT", "ordId": "7", "newSz": "0.5"}
    assert sent(CODEC.amend(HELD, BTC, None, D("1.50"))) == {"instId": "BTC-USDT", "clOrdId": "vm1", "newPx": "1.5"}
    assert (amended.rest, amended.order_count) == (("POST", "/api/v5/trade/amend-order"), 1)
    assert sent(CODEC.query("vm1", BTC)) == {"instId": "BTC-USDT", "clOrdId": "vm1"}
    assert sent(CODEC.query("vm1", BTC, "7")) == {"instId": "BTC-USDT", "ordId": "7"}


def test_an_acknowledgement_states_nothing_but_the_id() -> None:
    row = {"clOrdId": "vm1", "ordId": "12345689", "tag": "", "ts": "1695190491421", "sCode": "0", "sMsg": ""}
    reply = read(CODEC.place(LIMIT, BTC), [row])
    (report,) = reply.orders
    assert (report.client_order_id, report.exchange_order_id, report.status) == ("vm1", "12345689", None)
    assert (reply.taken, report.ts_event_ns) == (("vm1",), 1_695_190_491_421_000_000)
    assert read(CODEC.cancel(HELD, BTC), [row]) == Reply(taken=("vm1",))
    assert read(CODEC.amend(HELD, BTC, D("0.5")), [row | {"reqId": ""}]) == Reply(taken=("vm1",))


def test_a_batch_is_a_list_and_each_row_of_the_answer_is_of_its_order() -> None:
    market = replace(LIMIT, client_order_id="vm2", order_type=OrderType.MARKET, price=None, time_in_force=None)
    draft = CODEC.batch([CODEC.place(LIMIT, BTC), CODEC.place(market, BTC)])
    assert (draft.rest, draft.orders, draft.pair) == (("POST", "/api/v5/trade/batch-orders"), ("vm1", "vm2"), BTC.name)
    assert (draft.cost, draft.order_count) == ((("batch_place", 2),), 2)
    request = AUTH.sign(draft, "r", 1_700_000_000_000_000_000, 5_000).request
    assert request is not None
    first, second = orjson.loads(request.body or b"")
    assert (first, second["clOrdId"], second["banAmend"]) == (sent(CODEC.place(LIMIT, BTC)), "vm2", True)
    assert ("expTime", "1700000005000") in request.headers
    row = {"clOrdId": "vm1", "ordId": "7", "tag": "", "ts": "1695190491421", "sCode": "0", "sMsg": ""}
    poor = row | {"clOrdId": "vm2", "ordId": "", "sCode": "51008", "sMsg": "words"}
    for code, rows in (("2", [row, poor]), ("0", [row, row | {"clOrdId": "vm2"}])):
        reply = read(draft, rows, code)
        assert [one.client_order_id for one in reply.orders] == list(reply.taken)
        assert reply.refused == ((("vm2", "51008", "words"),) if code == "2" else ())
    later = row | {"clOrdId": "vm2", "ts": "1695190491422"}
    times = {one.ts_event_ns for one in read(draft, [row, later], "0").orders}
    assert times == {1_695_190_491_422_000_000}, "the exchange had each order by the latest time"
    (made,) = read(draft, [row, poor | {"ts": ""}], "2").orders
    assert made.ts_event_ns == 1_695_190_491_421_000_000
    both = read(draft, [row | {"sCode": "51008", "sMsg": "words"}, poor], "1", "Operation failed.")
    assert ([one[0] for one in both.refused], both.taken) == (["vm1", "vm2"], ())
    for rows in ([row], [poor, row], [row, poor, poor]):
        with pytest.raises(DecodeError):
            read(draft, rows, "2" if len(rows) > 1 else "0")


def test_a_batch_of_cancels_names_each_order_and_its_pair() -> None:
    other = replace(HELD, client_order_id="vm2", exchange_order_id="8")
    draft = CODEC.batch([CODEC.cancel(HELD, BTC), CODEC.cancel(other, BTC)])
    request = AUTH.sign(draft, "r", 1_700_000_000_000_000_000, 5_000).request
    assert request is not None
    assert orjson.loads(request.body or b"") == [sent(CODEC.cancel(HELD, BTC)), sent(CODEC.cancel(other, BTC))]
    assert (draft.pair, draft.order_count, "expTime" in dict(request.headers)) == (BTC.name, 0, False)
    row = {"clOrdId": "", "ordId": "7", "ts": "1695190491421", "sCode": "0", "sMsg": ""}
    gone = row | {"sCode": "51400", "sMsg": "words"}
    assert read(draft, [row, gone], "2") == Reply(taken=("vm1",), refused=(("vm2", "51400", "words"),))


def test_the_dead_man_switch_says_when_it_fires() -> None:
    draft = CODEC.dead_man(60)
    assert (draft.rest, sent(draft), draft.changes) == (
        ("POST", "/api/v5/trade/cancel-all-after"),
        {"timeOut": "60"},
        False,
    )
    armed, off = [{"triggerTime": when, "tag": "", "ts": "1587971400"} for when in ("1587971460", "0")]
    assert read(draft, [armed]) == read(CODEC.dead_man(0), [off]) == Reply()
    for asked, row in ((draft, off), (CODEC.dead_man(0), armed)):
        with pytest.raises(DecodeError):
            read(asked, [row])


@pytest.mark.parametrize(
    ("code", "error", "sort"),
    [
        ("51008", Rejected, Refusal.REJECTED),
        ("51016", Rejected, Refusal.DUPLICATE),
        ("51400", Rejected, Refusal.NOT_THERE),
        ("50061", RetryLater, None),
        ("51149", OutcomeUnknown, None),
        ("51119", OutcomeUnknown, None),
        ("50120", Misconfigured, None),
    ],
)
def test_the_code_of_the_row_is_the_refusal(code: str, error: type, sort: Refusal | None) -> None:
    row = {"clOrdId": "vm1", "ordId": "", "tag": "", "ts": "1695190491421", "sCode": code, "sMsg": "words"}
    with pytest.raises(error) as caught:
        read(CODEC.place(LIMIT, BTC), [row], "1", "Operation failed.")
    if isinstance(caught.value, Rejected):
        assert (caught.value.code, caught.value.reason) == (code, "words")
        assert CODEC.refusal(code) is sort


@pytest.mark.parametrize("change", [{"sCode": "51008"}, {"ordId": ""}, {"ordId": 7}, {"ts": ""}])
def test_a_row_that_contradicts_its_answer_is_unreadable(change: dict[str, Any]) -> None:
    row = {"clOrdId": "vm1", "ordId": "7", "tag": "", "ts": "1695190491421", "sCode": "0", "sMsg": ""} | change
    with pytest.raises(DecodeError):
        read(CODEC.place(LIMIT, BTC), [row])


def test_an_order_is_read() -> None:
    (report,) = read(CODEC.query("vm1", BTC), [ORDER]).orders
    assert (report.client_order_id, report.exchange_order_id) == ("vm1", "680800019749904384")
    assert (report.status, report.order_type, report.side) == (OrderStatus.FILLED, OrderType.MARKET, Side.BUY)
    assert (report.amount, report.quote_amount, report.price) == (None, D(100), None)
    assert (report.filled, report.quote_filled, report.fills) == (D("0.00192834"), None, ())
    live = ORDER | {"ordType": "post_only", "state": "live", "px": "13013.5", "sz": "0.001", "tgtCcy": ""}
    (report,) = read(CODEC.query("vm1", BTC), [live | {"accFillSz": "0"}]).orders
    assert (report.status, report.order_type, report.filled) == (OrderStatus.OPEN, OrderType.LIMIT_MAKER, D(0))
    assert (report.amount, report.price) == (D("0.001"), D("13013.5"))
    for source, status in (("1", OrderStatus.CANCELED), ("20", OrderStatus.CANCELED), ("31", OrderStatus.EXPIRED)):
        (report,) = read(CODEC.query("vm1", BTC), [live | {"state": "canceled", "cancelSource": source}]).orders
        assert report.status is status
        assert bool(report.reason) is (status is OrderStatus.EXPIRED)
    for wrong in ({"state": "dormant"}, {"ordType": "rpi"}, {"side": "hold"}, {"accFillSz": "1e-3"}, {"ordId": 5}):
        with pytest.raises(DecodeError):
            read(CODEC.query("vm1", BTC), [live | wrong])


def test_an_order_that_is_not_there_is_absent() -> None:
    assert read(CODEC.query("vm1", BTC), [], "51603", "Order does not exist.").absent
    with pytest.raises(Rejected):
        read(CODEC.query("vm1", BTC), [], "51001", "Instrument ID doesn't exist.")


def test_a_fee_that_is_paid_is_positive_and_pages_go_by_bill() -> None:
    (fill,) = read(CODEC.fills(BTC, None, "680800019749904384"), [FILL]).fills
    assert (fill.trade_id, fill.page) == ("744876980", "680800019754098688")
    assert (fill.price, fill.amount, fill.quote_amount) == (D(51858), D("0.00192834"), D(51858) * D("0.00192834"))
    assert (fill.fee, fill.fee_asset, fill.is_maker) == (D("0.00000192834"), "BTC", False)
    assert fill.ts_event_ns == 1_708_587_373_361_000_000
    (rebate,) = read(CODEC.fills(BTC, None, "6"), [FILL | {"fee": "0.1", "feeCcy": "USDT", "execType": "M"}]).fills
    assert (rebate.fee, rebate.fee_asset, rebate.is_maker) == (D("-0.1"), "USDT", True)
    for absent in ("", None):
        (unknown,) = read(CODEC.fills(BTC, None, "6"), [FILL | {"fee": absent, "feeCcy": absent}]).fills
        assert (unknown.fee, unknown.fee_asset) == (None, None)
    reply = read(CODEC.fills(BTC, None, "6"), [FILL | {"fillSz": "0"}, FILL])
    assert (len(reply.fills), [row.name for row in reply.left_out]) == (1, ["680800019749904384"])
    page = [FILL | {"billId": str(n)} for n in range(300, 201, -1)]
    assert (
        sent(read(CODEC.fills(BTC, None), [FILL | {"billId": None}, *page]).then or CODEC.open_orders())["after"]
        == "202"
    )


def test_pages_follow_from_the_oldest_row_of_a_full_page() -> None:
    draft = CODEC.fills_after(BTC, "5")
    assert sent(draft) == {"instType": "SPOT", "instId": "BTC-USDT", "before": "5"}
    assert draft.rest == ("GET", "/api/v5/trade/fills-history")
    page = [FILL | {"billId": str(n)} for n in range(300, 200, -1)]
    then = read(draft, page).then
    assert then is not None
    assert sent(then) == sent(draft) | {"after": "201"}
    assert sent(read(then, page).then or draft)["after"] == "201"
    assert read(then, page[:99]).then is None
    opened = CODEC.open_orders()
    orders = [ORDER | {"ordId": str(n)} for n in range(300, 200, -1)]
    assert sent(read(opened, orders).then or opened) == {"instType": "SPOT", "after": "201"}
    assert read(opened, orders[:5]).then is None


def test_orders_of_a_pair_are_those_that_ended_and_those_that_are_open() -> None:
    draft = CODEC.orders(BTC, 1_700_000_000_000_000_000)
    assert sent(draft) == {"instType": "SPOT", "instId": "BTC-USDT", "begin": "1700000000000"}
    then = read(draft, [ORDER]).then
    assert then is not None
    assert (then.rest[1], sent(then)) == ("/api/v5/trade/orders-pending", {"instType": "SPOT", "instId": "BTC-USDT"})
    assert read(then, []).then is None


def test_balances_and_fees() -> None:
    usdt = {"ccy": "USDT", "availBal": "4834.317093622894", "frozenBal": "158.573", "cashBal": "4850.4"}
    row = {"uTime": "1705474164160", "details": [usdt, {"ccy": "ODD", "availBal": "x", "frozenBal": "0"}]}
    account = read(CODEC.account(), [row]).account
    assert account is not None
    assert account.balances.balances == {"USDT": (D("4834.317093622894"), D("158.573"))}
    assert (account.balances.whole, account.balances.unread) == (True, ("ODD",))
    assert account.balances.ts_event_ns == 0, "uTime may be later than the balances"
    group = {"groupId": "1", "maker": "-0.0008", "taker": "-0.001"}
    fees = read(CODEC.fees(BTC), [{"feeGroup": [group], "maker": "", "taker": ""}]).fees
    assert fees is not None
    assert (fees.pair, fees.maker, fees.taker) == ("BTC-USDT", D("0.0008"), D("0.001"))


def test_a_raw_request_carries_its_parameters() -> None:
    draft = CODEC.raw("GET", "/api/v5/account/config", [], True)
    assert (draft.kind, draft.cost, draft.host) == (Kind.RAW, (("other", 1),), "http://h")
    assert CODEC.raw("GET", "/api/v5/account/balance", [("ccy", "BTC")], True).cost == (("balance", 1),)
    with pytest.raises(Misconfigured):
        CODEC.raw("GET", "/elsewhere", [], True)


# ------------------------------------------------------------------------------------------------------- the stream

# order/book/trading-trade-ws-order-channel.md, the example, without the fields that are always empty here
PUSHED = ORDER | {
    "accFillSz": "0.001",
    "execType": "M",
    "fillFee": "-0.02522168",
    "fillFeeCcy": "USDT",
    "fillPx": "31527.1",
    "fillSz": "0.001",
    "fillTime": "1654084353263",
    "ordId": "452197707845865472",
    "ordType": "limit",
    "px": "31527.1",
    "side": "sell",
    "state": "filled",
    "sz": "0.001",
    "tgtCcy": "",
    "tradeId": "242589207",
    "uTime": "1654084353264",
}


def decoded(message: Any) -> Any:
    return CODEC.stream_decode(orjson.dumps(message), 1)


def test_the_stream_logs_in_then_subscribes_and_is_open_once_both_channels_are() -> None:
    codec = CONNECTOR.trading("http://h", "ws://w")
    assert codec.stream_url() == "ws://w/ws/v5/private"
    (login,) = codec.stream_open(AUTH, "stream-1", 1_538_054_050_000_000_000, 5_000)
    decoded_message = orjson.loads(login)
    assert (decoded_message["op"], decoded_message["args"][0]["timestamp"]) == ("login", "1538054050")
    assert decoded_message["args"][0]["sign"] == AUTH.signature("1538054050GET/users/self/verify")
    done = orjson.dumps({"event": "login", "code": "0", "msg": "", "connId": "a4d3ae55"})
    (say,) = codec.stream_decode(done, 1)
    args = orjson.loads(say.frame)["args"]  # type: ignore[union-attr]
    assert args == [{"channel": "orders", "instType": "SPOT"}, {"channel": "account"}]
    acks = [codec.stream_decode(orjson.dumps({"event": "subscribe", "arg": arg}), 1) for arg in args]
    assert acks == [(), (StreamOpened("stream-1"),)]
    refused = orjson.dumps({"event": "error", "code": "60009", "msg": "Login failed.", "connId": "a"})
    assert codec.stream_decode(refused, 1) == (StreamOpened("stream-1", "60009", "Login failed."),)


def test_an_order_of_the_channel_brings_the_fill_of_its_message() -> None:
    arg = {"channel": "orders", "instType": "SPOT", "uid": "614488474791936"}
    (report,) = decoded({"arg": arg, "data": [PUSHED]})
    assert (report.status, report.filled, report.amount) == (OrderStatus.FILLED, D("0.001"), D("0.001"))
    (fill,) = report.fills
    assert (fill.trade_id, fill.fee, fill.fee_asset, fill.is_maker) == ("242589207", D("0.02522168"), "USDT", True)
    assert (fill.price, fill.amount, fill.page) == (D("31527.1"), D("0.001"), "")
    without = PUSHED | {"tradeId": "", "fillSz": "0", "fillPx": "", "execType": "", "fillFee": "0", "fillFeeCcy": ""}
    for odd in (without | {"state": "odd"}, 7):
        report, missed = decoded({"arg": arg, "data": [odd, without]})
        assert (type(missed), report.status) == (Missed, OrderStatus.FILLED)
    (report,) = decoded({"arg": arg, "data": [without]})
    assert (report.status, report.fills) == (OrderStatus.FILLED, ())


def test_balances_of_the_channel_and_the_end_of_a_connection() -> None:
    usdt = {"ccy": "USDT", "availBal": "4734.3", "frozenBal": "16.1"}
    data = [{"uTime": "1705474164160", "details": [usdt]}]
    (decoded_message,) = decoded({"arg": {"channel": "account", "uid": "1"}, "eventType": "snapshot", "data": data})
    assert (decoded_message.balances, decoded_message.whole) == ({"USDT": (D("4734.3"), D("16.1"))}, False)
    assert CODEC.stream_decode(b"pong", 1) == ()
    assert decoded({"event": "channel-conn-count", "channel": "orders", "connCount": "2", "connId": "a"}) == ()
    (ended,) = decoded({"event": "channel-conn-count-error", "channel": "orders", "connCount": "30", "connId": "a"})
    assert "orders" in ended.reason
    (ended,) = decoded({"event": "notice", "code": "64008", "msg": "The connection will soon be closed."})
    assert "soon be closed" in ended.reason
