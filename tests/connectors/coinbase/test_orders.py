"""Coinbase Exchange's orders: drafts in the manual's form, and answers in its fields."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from venuemesh.connectors.coinbase import CONNECTOR
from venuemesh.connectors.coinbase import orders as module
from venuemesh.connectors.order_codec import Draft, Kind, Refusal, Reply
from venuemesh.connectors.uuid_ids import packed
from venuemesh.model.errors import DecodeError, Misconfigured, NotOffered, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.events import Side
from venuemesh.model.http import HttpResponse
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import NewOrder, Order, OrderStatus, OrderType, TimeInForce

D = Decimal
OWN = "vm0mx0o2pldnppgbc1000008"
BTC = Instrument("coinbase", "BTC-USD", "BTC-USD", "BTC", "USD", 8, 8)
CODEC = CONNECTOR.trading("http://h", "ws://w")
AUTH = CONNECTOR.auth("hmac", "a-key-of-cb", b64encode(b"secret").decode(), passphrase="word")
LIMIT = NewOrder(OWN, "BTC-USD", Side.BUY, OrderType.LIMIT, D("2.0"), D("2.15"), TimeInForce.GTC)
HELD = Order(
    *("coinbase", "main", OWN, "BTC-USD", Side.BUY, OrderType.LIMIT, D(1), D(2), TimeInForce.GTC, OrderStatus.OPEN),
    created_ns=0,
    updated_ns=0,
)
ID = "d0c5340b-6d6c-49d9-b567-48c4bfca13d2"
AT_NS = 1_481_227_745_508_000_000  # 2016-12-08T20:09:05.508Z
ORDER = {  # the fields of Get single order
    "id": ID,
    "price": "2.15",
    "size": "2.00000000",
    "product_id": "BTC-USD",
    "profile_id": "8058d771-2d88-4f0f-ab6e-299c153d4308",
    "side": "buy",
    "type": "limit",
    "time_in_force": "GTC",
    "post_only": False,
    "created_at": "2016-12-08T20:09:05.508Z",
    "fill_fees": "0.0249376391550000",
    "filled_size": "0.50000000",
    "executed_value": "1.0750000000000000",
    "status": "open",
    "settled": False,
    "client_oid": packed(OWN),
}
FILL = {  # the fields of Get all fills
    "created_at": "2016-12-08T20:09:05.508Z",
    "trade_id": 74,
    "product_id": "BTC-USD",
    "order_id": ID,
    "user_id": "5844eceecf7e803e259d0365",
    "profile_id": "8058d771-2d88-4f0f-ab6e-299c153d4308",
    "liquidity": "T",
    "price": "10.00",
    "size": "0.01",
    "fee": "0.00025",
    "side": "buy",
    "settled": True,
    "usd_volume": "0.1",
}


def sent(draft: Draft) -> dict[str, str]:
    assert len(dict(draft.params)) == len(draft.params)
    return dict(draft.params)


def read(draft: Draft, data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    signed = AUTH.sign(draft, "r", 1_700_000_000_000_000_000, 5_000)
    return CODEC.reply(signed, HttpResponse(status, headers or {}, orjson.dumps(data), 1, 2))


def test_orders_are_drafted_as_in_the_manual() -> None:
    draft = CODEC.place(replace(LIMIT, self_trade="cb"), BTC)
    assert (draft.rest, draft.orders, draft.pair) == (("POST", "/orders"), (OWN,), "BTC-USD")
    assert sent(draft) == {
        "type": "limit",
        "side": "buy",
        "product_id": "BTC-USD",
        "client_oid": packed(OWN),
        "price": "2.15",
        "size": "2",
        "time_in_force": "GTC",
        "stp": "cb",
    }
    maker = sent(CODEC.place(replace(LIMIT, order_type=OrderType.LIMIT_MAKER, time_in_force=None), BTC))
    assert (maker["post_only"], "time_in_force" in maker) == ("true", False)
    for force in (TimeInForce.IOC, TimeInForce.FOK):
        assert sent(CODEC.place(replace(LIMIT, time_in_force=force), BTC))["time_in_force"] == force.value


def test_a_market_order_has_a_size_or_funds() -> None:
    market = replace(LIMIT, order_type=OrderType.MARKET, price=None, time_in_force=None)
    bought = sent(CODEC.place(market, BTC))
    assert (bought["type"], bought["size"], "price" in bought, "time_in_force" in bought) == (
        "market",
        "2",
        False,
        False,
    )
    spent = sent(CODEC.place(replace(market, amount=None, quote_amount=D(100)), BTC))
    assert (spent["funds"], "size" in spent) == ("100", False)


@pytest.mark.parametrize(
    "change",
    [
        {"order_type": OrderType.STOP_LOSS_LIMIT, "stop_price": D(2)},
        {"order_type": OrderType.MARKET},
        {"order_type": OrderType.LIMIT_MAKER, "time_in_force": TimeInForce.IOC},
        {"amount": None},
        {"price": None},
    ],
)
def test_other_orders_are_refused_before_anything_is_sent(change: dict[str, Any]) -> None:
    with pytest.raises(NotOffered):
        CODEC.place(replace(LIMIT, **change), BTC)


def test_orders_are_named_in_the_path() -> None:
    named = f"/orders/client:{packed(OWN)}"
    assert CODEC.cancel(HELD, BTC).rest == ("DELETE", named)
    assert sent(CODEC.cancel(HELD, BTC)) == {"product_id": "BTC-USD"}
    assert CODEC.cancel(replace(HELD, exchange_order_id=ID), BTC).rest == ("DELETE", f"/orders/{ID}")
    assert CODEC.query(OWN, BTC).rest == ("GET", named)
    assert CODEC.query(OWN, BTC, ID).rest == ("GET", f"/orders/{ID}")
    assert CODEC.cancel_all(BTC).rest == ("DELETE", "/orders")


def test_the_answer_to_an_order_states_what_it_states() -> None:
    """Pending: taken, without an outcome; any other status is a report."""
    draft = CODEC.place(LIMIT, BTC)
    for status in ("pending", "received"):
        taken = read(draft, ORDER | {"status": status, "filled_size": "0"})
        (report,) = taken.orders
        assert (report.status, report.exchange_order_id, taken.taken) == (None, ID, (OWN,))
        assert not report.is_dated, "it was created, and not processed yet"
    (report,) = read(draft, ORDER).orders
    assert (report.status, report.filled, report.client_order_id) == (OrderStatus.PARTIALLY_FILLED, D("0.5"), OWN)
    assert report.is_dated
    (refused,) = read(draft, ORDER | {"status": "rejected", "filled_size": "0", "reject_reason": "post only"}).orders
    assert (refused.status, refused.reason) == (OrderStatus.REJECTED, "post only")
    with pytest.raises(DecodeError):
        read(draft, ORDER | {"client_oid": packed("vm1")})
    (named,) = read(draft, {name: value for name, value in ORDER.items() if name != "client_oid"}).orders
    assert (named.client_order_id, named.stated_id) == (OWN, "")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"filled_size": "0"}, OrderStatus.OPEN),
        ({"status": "active", "filled_size": "0", "stop": "loss", "stop_price": "1.5"}, OrderStatus.OPEN),
        ({}, OrderStatus.PARTIALLY_FILLED),
        ({"status": "done", "done_reason": "filled", "filled_size": "2"}, OrderStatus.FILLED),
        ({"status": "done", "done_reason": "filled"}, OrderStatus.EXPIRED),  # self-trade prevention took the rest
        ({"status": "done", "done_reason": "canceled"}, OrderStatus.CANCELED),
    ],
)
def test_states_of_orders(change: dict[str, Any], status: OrderStatus) -> None:
    (report,) = read(CODEC.query(OWN, BTC), ORDER | change).orders
    assert (report.status, report.client_order_id, report.ts_event_ns) == (status, OWN, AT_NS)
    assert report.order_type is (None if "stop" in change else OrderType.LIMIT)


@pytest.mark.parametrize(
    "change",
    [{"status": "settling"}, {"status": "done", "done_reason": "eaten"}, {"side": "both"}, {"filled_size": -1}],
)
def test_nothing_about_an_order_is_guessed(change: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        read(CODEC.query(OWN, BTC), ORDER | change)
    listed = read(CODEC.open_orders(), [ORDER | change, ORDER | {"id": "other"}])
    assert [one.exchange_order_id for one in listed.orders] == ["other"]
    assert [(row.name, row.client_id) for row in listed.left_out] == [(ID, OWN)]


def test_a_404_is_an_absence_with_any_text_but_that_of_the_product() -> None:
    query, cancel = CODEC.query(OWN, BTC), CODEC.cancel(HELD, BTC)
    for text in ("NotFound", "order not found", "nothing here"):
        assert read(query, {"message": text}, 404).absent
        with pytest.raises(Rejected) as caught:
            read(cancel, {"message": text}, 404)
        assert CODEC.refusal(caught.value.code, caught.value.reason) is Refusal.NOT_THERE
    with pytest.raises(Rejected) as caught:
        read(query, {"message": "Product not found"}, 404)
    assert CODEC.refusal(caught.value.code, caught.value.reason) is Refusal.NO_PAIR
    with pytest.raises(Rejected) as caught:
        read(cancel, {"message": "Order already done"}, 400)
    assert CODEC.refusal(caught.value.code) is Refusal.NOT_THERE


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"message": "Insufficient funds"}, Rejected),
        (401, {"message": "invalid signature"}, Misconfigured),
        (429, {"message": "Private rate limit exceeded"}, RetryLater),
        (500, {"message": "Internal server error"}, OutcomeUnknown),
        (404, {}, OutcomeUnknown),  # not this exchange's form: a proxy may have answered
    ],
)
def test_failures_of_a_new_order(status: int, body: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(CODEC.place(LIMIT, BTC), body, status)


def test_a_cancel_is_acknowledged_by_an_id() -> None:
    assert read(CODEC.cancel(HELD, BTC), ID).taken == (OWN,)
    assert read(CODEC.cancel_all(BTC), [ID]).taken == ()
    for wrong in ({}, [], 5):
        with pytest.raises(DecodeError):
            read(CODEC.cancel(HELD, BTC), wrong)


def test_a_fee_is_known_when_the_fill_is_settled() -> None:
    draft = CODEC.fills(BTC, None, ID)
    assert sent(draft) == {"order_id": ID, "limit": "1000"}
    older = FILL | {"trade_id": 73, "settled": False, "liquidity": "M"}
    first, second = read(draft, [FILL, older]).fills
    assert (first.trade_id, first.fee, first.fee_asset, first.is_maker) == ("73", None, None, True)
    assert (second.trade_id, second.fee, second.fee_asset, second.is_maker) == ("74", D("0.00025"), "USD", False)
    assert (second.quote_amount, second.ts_event_ns) == (D("0.1"), AT_NS)
    (rebate,) = read(draft, [FILL | {"fee": "-0.1"}]).fills
    assert rebate.fee == D("-0.1")


def test_lists_are_paged_back_until_they_are_old_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    rows = [FILL | {"trade_id": number} for number in (9, 8, 7, 6)]
    draft = CODEC.fills_after(BTC, "6")
    first = read(draft, rows[:2], headers={"cb-after": "8"})
    assert first.then is not None
    assert sent(first.then) == {"product_id": "BTC-USD", "limit": "2", "before": "6", "after": "8"}
    second = read(first.then, rows[2:], headers={"cb-after": "6"})
    assert ([fill.trade_id for fill in second.fills], second.then) == (["7"], None)
    since = CODEC.fills(BTC, AT_NS)
    assert sent(since)["start_date"] == "2016-12-08T20:09:05.508Z"
    old = FILL | {"created_at": "2016-12-08T20:09:05.507Z"}
    page = read(since, [FILL, old], headers={"cb-after": "1"})
    assert ([fill.trade_id for fill in page.fills], page.then) == (["74"], None)
    with pytest.raises(DecodeError, match="without a cursor"):
        read(draft, rows[:2])
    orders = CODEC.orders(BTC, AT_NS)
    assert sent(orders)["status"] == "all"
    page = read(orders, [ORDER, ORDER], headers={"cb-after": "2016-12-08"})
    assert page.then is not None
    assert sent(page.then)["after"] == "2016-12-08"


def test_open_orders_are_asked_in_every_open_state() -> None:
    states = [value for name, value in CODEC.open_orders().params if name == "status"]
    assert states == ["open", "pending", "received", "active"]


def test_balances_and_fees() -> None:
    row = {"currency": "BTC", "balance": "1.5", "hold": "0.5", "available": "1", "id": "x", "trading_enabled": True}
    account = read(CODEC.account(), [row, {"currency": "ODD"}]).account
    assert account is not None
    assert (account.balances.balances, account.balances.unread) == ({"BTC": (D(1), D("0.5"))}, ("ODD",))
    fees = read(CODEC.fees(BTC), {"maker_fee_rate": "0.0015", "taker_fee_rate": "0.0025", "usd_volume": "25000.00"})
    assert fees.fees is not None
    assert (fees.fees.maker, fees.fees.taker) == (D("0.0015"), D("0.0025"))


def test_ids_are_uuids_of_version_4_or_ours() -> None:
    for known in (OWN, "vm", "1985ca2d-61ef-49f1-bfce-6c39d8462914"):
        assert re.fullmatch(CODEC.offer.client_id_pattern, known)
    for forgotten in ("mine", "1985CA2D-61EF-49F1-BFCE-6C39D8462914", "1985ca2d61ef49f1bfce6c39d8462914"):
        assert not re.fullmatch(CODEC.offer.client_id_pattern, forgotten)
    assert Kind.AMEND not in CODEC._readers
