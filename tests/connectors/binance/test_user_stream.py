"""Frames of the user stream. Our own, in the manual's shape. Source: user-data-stream.md, read 2026-11-22."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal as D

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.captures import captures
from venuemesh.connectors.binance import CONNECTOR, reports
from venuemesh.connectors.order_codec import At, Signed
from venuemesh.connectors.reports import (
    BalanceChange,
    BalanceReport,
    ListReport,
    OrderReport,
    StreamEnded,
    StreamOpened,
)
from venuemesh.model.errors import DecodeError
from venuemesh.model.events import Side
from venuemesh.model.http import HttpResponse
from venuemesh.model.order import NewOrder, OrderStatus, OrderType, TimeInForce

MS = 1_000_000
CODEC = CONNECTOR.trading()
KEY = CONNECTOR.auth("hmac", "k" * 64, "secret")
ORDER = {
    "e": "executionReport",
    "E": 1499405658658,
    "s": "ETHBTC",
    "c": "ours",
    "S": "BUY",
    "o": "LIMIT",
    "f": "GTC",
    "q": "1.00000000",
    "p": "0.10264410",
    "P": "0.00000000",
    "F": "0.00000000",
    "g": -1,
    "C": "",
    "x": "NEW",
    "X": "NEW",
    "r": "NONE",
    "i": 4293153,
    "l": "0.00000000",
    "z": "0.00000000",
    "L": "0.00000000",
    "n": "0",
    "N": None,
    "T": 1499405658657,
    "t": -1,
    "I": 8641984,
    "w": True,
    "m": False,
    "M": False,
    "O": 1499405658657,
    "Z": "0.00000000",
    "Y": "0.00000000",
    "Q": "0.00000000",
    "W": 1499405658657,
    "V": "NONE",
}
TRADE = {
    "x": "TRADE",
    "X": "PARTIALLY_FILLED",
    "l": "0.4",
    "L": "0.1026",
    "Y": "0.04104",
    "z": "0.4",
    "Z": "0.04104",
    "n": "0.0004",
    "N": "ETH",
    "t": 77,
    "m": True,
}


def decode(event: dict) -> list:
    return list(CODEC.stream_decode(orjson.dumps({"subscriptionId": 0, "event": event}), 7))


def order(**change) -> OrderReport:
    (report,) = decode(ORDER | change)
    assert isinstance(report, OrderReport)
    return report


def test_a_new_order():
    report = order()
    assert (report.client_order_id, report.exchange_order_id, report.symbol) == ("ours", "4293153", "ETHBTC")
    assert (report.status, report.side, report.order_type) == (OrderStatus.OPEN, Side.BUY, OrderType.LIMIT)
    assert report.time_in_force is TimeInForce.GTC
    assert (report.amount, report.price, report.filled, report.quote_filled) == (D(1), D("0.1026441"), D(0), D(0))
    assert (report.stop_price, report.quote_amount, report.list_id, report.code) == (None, None, None, None)
    assert report.ts_event_ns == 1499405658657 * MS
    assert report.fills == ()


def test_a_fill():
    report = order(**TRADE)
    (fill,) = report.fills
    assert (fill.trade_id, fill.price, fill.amount, fill.quote_amount) == ("77", D("0.1026"), D("0.4"), D("0.04104"))
    assert (fill.fee, fill.fee_asset, fill.is_maker) == (D("0.0004"), "ETH", True)
    assert (fill.exchange_order_id, fill.side, fill.symbol) == ("4293153", Side.BUY, "ETHBTC")
    assert (report.status, report.filled) == (OrderStatus.PARTIALLY_FILLED, D("0.4"))


def test_a_fill_by_an_allocation():
    """An order of another program, routed over several books. Source: faqs/sor_faq.md, read 2026-11-22."""
    (fill,) = order(**TRADE | {"t": -1, "a": 1234, "b": "ONE_PARTY_TRADE_REPORT", "uS": True, "k": "SOR"}).fills
    assert fill.trade_id == "allocation-1234"


def test_a_fill_without_a_fee():
    (fill,) = order(**TRADE | {"n": "0", "N": None}).fills
    assert (fill.fee, fill.fee_asset) == (D(0), None)


@pytest.mark.parametrize(
    ("change", "status", "cid", "code"),
    [
        ({"x": "CANCELED", "X": "CANCELED", "c": "of-the-cancel", "C": "ours"}, OrderStatus.CANCELED, "ours", None),
        ({"x": "CANCELED", "X": "CANCELED", "C": "ours"}, OrderStatus.CANCELED, "ours", None),
        ({"x": "REPLACED", "c": "new-name", "C": "ours", "q": "0.5"}, OrderStatus.OPEN, "ours", None),
        ({"x": "REPLACED", "q": "0.5"}, OrderStatus.OPEN, "ours", None),
        ({"x": "NEW", "X": "PENDING_NEW"}, OrderStatus.OPEN, "ours", None),
        (
            {"x": "REJECTED", "X": "REJECTED", "r": "INSUFFICIENT_BALANCES"},
            OrderStatus.REJECTED,
            "ours",
            "INSUFFICIENT_BALANCES",
        ),
        ({"x": "REJECTED", "X": "REJECTED", "r": "SOMETHING_NEW"}, OrderStatus.REJECTED, "ours", "SOMETHING_NEW"),
        (
            {"x": "EXPIRED", "X": "EXPIRED", "eR": "UNFILLED_IOC_QUANTITY_EXPIRED"},
            OrderStatus.EXPIRED,
            "ours",
            "UNFILLED_IOC_QUANTITY_EXPIRED",
        ),
        ({"x": "EXPIRED", "X": "EXPIRED"}, OrderStatus.EXPIRED, "ours", None),
        (
            {
                "x": "TRADE_PREVENTION",
                "X": "EXPIRED_IN_MATCH",
                "v": 3,
                "A": "1.0",
                "B": "1.0",
                "u": 1,
                "U": 37,
                "Cs": "BTCUSDT",
                "pl": "2.123456",
                "pL": "0.10000001",
                "pY": "0.21234562",
            },
            OrderStatus.EXPIRED,
            "ours",
            "EXPIRED_IN_MATCH",
        ),
        ({"x": "TRADE_PREVENTION", "X": "PARTIALLY_FILLED", "B": "1.0"}, OrderStatus.PARTIALLY_FILLED, "ours", None),
        (
            {"x": "TRADE", "X": "FILLED"} | {k: v for k, v in TRADE.items() if k not in "xX"},
            OrderStatus.FILLED,
            "ours",
            None,
        ),
    ],
)
def test_every_execution_type(change, status, cid, code):
    report = order(**change)
    assert (report.status, report.client_order_id, report.code) == (status, cid, code)
    assert (report.reason is None) == (code is None)
    assert bool(report.fills) == (change["x"] == "TRADE")


def test_an_order_of_a_list_and_one_by_quote_amount():
    assert order(g=2).list_id == "2"
    report = order(o="MARKET", p="0.00000000", Q="25.5", q="0.00000000")
    assert (report.quote_amount, report.price, report.amount) == (D("25.5"), None, None)
    assert order(o="STOP_LOSS_LIMIT", P="0.2").stop_price == D("0.2")


@pytest.mark.parametrize(
    "change",
    [
        {"X": "PENDING_CANCEL"},
        {"X": "HALTED"},
        {"x": "CALCULATED"},
        {"S": "HOLD"},
        {"o": "PEGGED"},
        {"f": "GTD"},
        {"i": "4293153"},
        {"T": None},
        {"z": 0.4},
        {"s": None},
        TRADE | {"t": -1},
        TRADE | {"m": 1},
        TRADE | {"L": "Infinity"},
    ],
)
def test_unreadable_values_are_not_guessed(change):
    with pytest.raises(DecodeError):
        decode(ORDER | change)


@pytest.mark.parametrize("missing", sorted(set(ORDER) - set("EFrIwWMOVtlLYnNm") - {"C", "g"}))
def test_a_report_without_what_it_needs(missing):
    event = {key: value for key, value in ORDER.items() if key != missing}
    if missing in "qpPQzZ":  # amounts that it does not state are not known
        decode(event)
        return
    with pytest.raises(DecodeError):
        decode(event)


def test_balances():
    (report,) = decode(
        {
            "e": "outboundAccountPosition",
            "E": 1564034571105,
            "u": 1564034571073,
            "B": [{"a": "ETH", "f": "10000.000000", "l": "0.5"}],
        }
    )
    assert report == BalanceReport({"ETH": (D(10000), D("0.5"))}, False, 1564034571073 * MS)
    (change,) = decode({"e": "balanceUpdate", "E": 2, "a": "BTC", "d": "-100.0", "T": 1573200697068})
    assert change == BalanceChange("BTC", D(-100), 1573200697068 * MS)


def test_a_list():
    (report,) = decode(
        {
            "e": "listStatus",
            "E": 1564035303637,
            "s": "ETHBTC",
            "g": 2,
            "c": "OCO",
            "l": "EXEC_STARTED",
            "L": "EXECUTING",
            "r": "NONE",
            "C": "of-the-list",
            "T": 1564035303625,
            "O": [{"s": "ETHBTC", "i": 17, "c": "a"}, {"s": "ETHBTC", "i": 18, "c": "b"}],
        }
    )
    orders = (("a", "17"), ("b", "18"))
    assert report == ListReport("2", "ETHBTC", "EXECUTING", orders, 1564035303625 * MS, "of-the-list")


@pytest.mark.parametrize("kind", ["eventStreamTerminated", "serverShutdown"])
def test_the_end_of_the_stream(kind):
    (report,) = decode({"e": kind, "E": 1728973001334})
    assert isinstance(report, StreamEnded)


@pytest.mark.parametrize("kind", ["externalLockUpdate", "somethingAddedLater"])
def test_unused_messages(kind):
    assert decode({"e": kind, "E": 1581557507324, "a": "NEO", "d": "10.0", "T": 1581557507268}) == []


def test_opening_by_signature():
    (frame,) = CODEC.stream_open(KEY, "sub-1", 1_747_385_641_636 * MS, 5000)
    sent = json.loads(frame)
    assert (sent["id"], sent["method"]) == ("sub-1", "userDataStream.subscribe.signature")
    assert set(sent["params"]) == {"apiKey", "timestamp", "recvWindow", "signature"}
    assert sent["params"]["timestamp"] == 1747385641636


def test_opened_or_refused():
    frame = b'{"id":"sub-1","status":200,"result":{"subscriptionId":0}}'
    assert list(CODEC.stream_decode(frame, 7)) == [StreamOpened("sub-1")]
    frame = b'{"id":"sub-1","status":400,"error":{"code":-2015,"msg":"Invalid API-key."}}'
    assert list(CODEC.stream_decode(frame, 7)) == [StreamOpened("sub-1", "-2015", "Invalid API-key.")]


@pytest.mark.parametrize("frame", [b"", b"[]", b"null", b"5", b"{}", b'{"event":5}', b'{"event":{"e":5}}', b"\xff"])
def test_any_other_frame_is_a_decode_error(frame):
    with pytest.raises(DecodeError):
        CODEC.stream_decode(frame, 7)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_decode_or_are_refused(frame):
    try:
        CODEC.stream_decode(frame, 7)
    except DecodeError:
        assert CODEC.call_answer(frame) is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(ORDER)), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(ORDER)), JSON, st.sampled_from([{}, TRADE]))
def test_one_field_of_anything_decodes_or_is_refused(key, value, change):
    with contextlib.suppress(DecodeError):
        decode(ORDER | change | {key: value})


# Requests over the websocket


def test_an_answer_is_read_like_a_rest_answer():
    limits = [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50, "count": 12},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 160000, "count": 4043},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000, "count": 321},
        {"rateLimitType": "OF_TOMORROW", "interval": "MINUTE", "intervalNum": 1, "limit": 6000, "count": 321},
        {"count": 4},
        None,
    ]
    frame = orjson.dumps({"id": "7", "status": 200, "result": {"orderId": 1}, "rateLimits": limits})
    answer = CODEC.call_answer(frame)
    assert answer[:3] == ("7", 200, b'{"orderId":1}')
    assert answer.headers == {
        "x-mbx-order-count-10s": "12",
        "x-mbx-order-count-1d": "4043",
        "x-mbx-used-weight-1m": "321",
    }
    spec = CODEC.spec
    assert set(answer.headers) == set(spec.used_headers) | set(spec.account_headers)
    frame = b'{"id":"7","status":400,"error":{"code":-2010,"msg":"no"}}'
    assert CODEC.call_answer(frame) == ("7", 400, b'{"code":-2010,"msg":"no"}', {})


@pytest.mark.parametrize(
    "frame",
    [
        b'{"subscriptionId":0,"event":{"e":"x"}}',
        b'{"id":null,"status":400,"error":{"code":-1135,"msg":"Invalid JSON"}}',
        b'{"id":"7","status":200}',
        b'{"id":"7","status":400}',
        b'{"id":"7","status":"200","error":{}}',
        b"[]",
        b"<html>",
    ],
)
def test_frames_that_answer_no_call(frame):
    assert CODEC.call_answer(frame) is None


# The manual's samples as other people keep them


def documented(kind: str) -> list:
    return json.loads((captures("binance") / "documented.json").read_text())[kind]


def test_documented_frames():
    """Every frame after a subscription by signature decodes to its report."""
    kinds = {
        "Spot/Account/AccountPosition": BalanceReport,
        "Spot/Account/Balance": BalanceChange,
        "Spot/Account/OcoOrder": ListReport,
        "Spot/Account/Order": OrderReport,
    }
    seen = set()
    for sample in documented("ws"):
        if sample["name"] not in kinds:
            continue
        sent, opened, event = (step["text"] for step in sample["steps"])
        assert json.loads(sent)["method"] == "userDataStream.subscribe.signature"
        assert list(CODEC.stream_decode(opened.encode(), 7)) == [StreamOpened("0")]
        (report,) = CODEC.stream_decode(event.encode(), 7)
        assert isinstance(report, kinds[sample["name"]])
        seen.add(sample["name"])
    assert seen == set(kinds)


def test_documented_answers():
    from tests.connectors.binance.test_orders import PAIR, known, new

    limit = NewOrder("a", "BTC-USDT", Side.BUY, OrderType.LIMIT, D(1), D(1))
    drafts = {
        "Spot/Account/GetAccountInfo": CODEC.account(),
        "Spot/Trading/CancelOrder": CODEC.cancel(known(), PAIR),
        "Spot/Trading/GetOpenOrders": CODEC.open_orders(),
        "Spot/Trading/GetOrder": CODEC.query("myOrder1", PAIR),
        "Spot/Trading/GetOrders": CODEC.orders(PAIR, None),
        "Spot/Trading/GetUserTrades": CODEC.fills(PAIR, None),
        "Spot/Trading/PlaceOrder": CODEC.place(limit, PAIR),
        "Spot/Trading/ReplaceOrder": CODEC.replace(known("DnLo3vTAQcjha43lAZhZ0y"), PAIR, new("b")),
    }
    found = {}
    for sample in documented("rest"):
        if (draft := drafts.get(sample["name"])) is not None:
            assert (sample["method"], sample["path"]) == draft.rest
            response = HttpResponse(200, {}, sample["response_text"].encode(), 1, 2)
            found[sample["name"]] = CODEC.reply(Signed(draft, "1", At(0), "", ""), response)
    assert set(found) == set(drafts)
    assert found["Spot/Account/GetAccountInfo"].account.balances.balances["BTC"][0] == D("4723846.89208129")
    assert found["Spot/Trading/CancelOrder"].orders[0].client_order_id == "myOrder1"
    assert [fill.trade_id for fill in found["Spot/Trading/PlaceOrder"].orders[0].fills] == [
        "56",
        "57",
        "58",
        "59",
        "60",
    ]
    assert [one.exchange_order_id for one in found["Spot/Trading/ReplaceOrder"].orders] == ["9", "10"]
    assert found["Spot/Trading/GetUserTrades"].fills[0].fee == D("10.1")


@pytest.mark.parametrize("reason", [2**63, True, ["x"], {}])
def test_a_reject_reason_of_another_type_is_unreadable(reason):
    with pytest.raises(DecodeError):
        reports.order({"rejectReason": reason, "status": "NEW", "type": "LIMIT", "transactTime": 1})
