"""Coinbase Exchange's channel `user`, in the manual's messages: one connection's orders, fills without fees, ends."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from venuemesh.connectors.coinbase import CONNECTOR
from venuemesh.connectors.reports import Missed, OrderReport, StreamOpened
from venuemesh.connectors.uuid_ids import packed
from venuemesh.model.errors import DecodeError
from venuemesh.model.events import Side
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import OrderStatus, OrderType

D = Decimal
OWN = "vm0mx0o2pldnppgbc1000008"
ID, OTHER = "ac928c66-ca53-498f-9c13-a110027a60e8", "132fb6ae-456b-4654-b4e0-d681ac05cea1"
TIME, AT_NS = "2014-11-07T08:19:27.028459Z", 1_415_348_367_028_459_000
BTC = Instrument("coinbase", "BTC-USD", "BTC-USD", "BTC", "USD", 8, 8)
ETH = replace(BTC, name="ETH-USD", symbol="ETH-USD", base="ETH")
GONE = replace(BTC, name="OLD-USD", symbol="OLD-USD", base="OLD", status="delisted")
AUTH = CONNECTOR.auth("hmac", "a-key-of-cb", b64encode(b"secret").decode(), passphrase="word")
HEAD = {"time": TIME, "product_id": "BTC-USD", "sequence": 10, "user_id": "5844eceecf7e803e259d0365"}
RECEIVED = HEAD | {"type": "received", "order_id": ID, "size": "1.34", "price": "502.1", "side": "buy"}
RECEIVED |= {"order_type": "limit", "client_oid": packed(OWN)}
MATCH = HEAD | {"type": "match", "trade_id": 10, "maker_order_id": ID, "taker_order_id": OTHER, "side": "buy"}
MATCH |= {"size": "0.34", "price": "400.23", "maker_user_id": "5f", "maker_fee_rate": "0.001"}
DONE = HEAD | {"type": "done", "price": "502.1", "order_id": ID, "reason": "filled", "side": "buy"}
DONE |= {"remaining_size": "0"}


class Line:
    """One connection."""

    def __init__(self) -> None:
        self.codec = CONNECTOR.trading("http://h", "ws://w")
        self.codec.bind([BTC, ETH, GONE])
        (frame,) = self.codec.stream_open(AUTH, "s1", AT_NS, 5_000)
        self.opening = json.loads(frame)

    def hear(self, message: Any) -> Any:
        return list(self.codec.stream_decode(orjson.dumps(message), 7))


def test_the_subscription_is_signed_and_names_the_products() -> None:
    line = Line()
    assert line.opening["type"] == "subscribe"
    assert line.opening["channels"] == [
        {"name": "user", "product_ids": ["BTC-USD", "ETH-USD"]},
        {"name": "heartbeat", "product_ids": ["BTC-USD"]},
    ]
    assert line.opening["timestamp"] == "1415348367.028"
    answer = {"type": "subscriptions", "channels": [{"name": "heartbeat", "product_ids": ["BTC-USD"]}]}
    assert line.hear(answer) == []
    answer["channels"].append({"name": "user", "product_ids": ["BTC-USD"]})
    assert line.hear(answer) == [StreamOpened("s1")]


def test_a_product_that_the_exchange_does_not_know_is_left_out_the_next_time() -> None:
    line = Line()
    reason = "ETH-USD is not a valid product"
    (refused,) = line.hear({"type": "error", "message": "Failed to subscribe", "reason": reason})
    assert (refused.request_id, refused.reason) == ("s1", reason)
    (frame,) = line.codec.stream_open(AUTH, "s2", AT_NS, 5_000)
    assert json.loads(frame)["channels"][0]["product_ids"] == ["BTC-USD"]
    (refused,) = line.hear({"type": "error", "message": "Authentication Failed", "reason": "Invalid API Key"})
    assert line.codec.refusal(refused.code).value == "key"


def test_an_order_from_receipt_to_end() -> None:
    line = Line()
    (received,) = line.hear(RECEIVED)
    assert received == OrderReport(
        "BTC-USD", OWN, ID, OrderStatus.OPEN, AT_NS, Side.BUY, None, amount=D("1.34"), price=D("502.1")
    )
    assert line.hear(HEAD | {"type": "open", "order_id": ID, "price": "502.1", "remaining_size": "1.34"}) == []
    (matched,) = line.hear(MATCH)
    assert (matched.client_order_id, matched.status, matched.amount) == (OWN, None, D("1.34"))
    (fill,) = matched.fills
    assert (fill.trade_id, fill.fee, fill.is_maker, fill.side) == ("10", None, True, Side.BUY)
    (done,) = line.hear(DONE | {"reason": "canceled", "remaining_size": "1"})
    assert (done.client_order_id, done.status, done.filled) == (OWN, OrderStatus.CANCELED, D("0.34"))
    (again,) = line.hear(DONE)  # the connection has forgotten the order's terms
    assert (again.client_order_id, again.status, again.filled) == ("", OrderStatus.FILLED, None)


def test_self_trade_prevention_is_not_taken_for_fills() -> None:
    """It takes size from both orders, and states that of the resting one alone: only a query tells what was filled."""
    line = Line()
    line.hear(RECEIVED)
    line.hear(MATCH)  # 0.34 of 1.34
    (missed,) = line.hear(DONE | {"reason": "filled", "remaining_size": "0"})
    assert isinstance(missed, Missed)
    line.hear(RECEIVED)
    line.hear(HEAD | {"type": "change", "order_id": ID, "reason": "STP", "new_size": "1", "old_size": "1.34"})
    (missed,) = line.hear(DONE | {"reason": "filled", "remaining_size": "0"})
    assert isinstance(missed, Missed)


def test_a_market_order_by_funds() -> None:
    line = Line()
    funds = {name: value for name, value in RECEIVED.items() if name not in ("size", "price")}
    (received,) = line.hear(funds | {"funds": "3000.234", "order_type": "market"})
    assert (received.order_type, received.amount, received.quote_amount) == (OrderType.MARKET, None, D("3000.234"))
    (done,) = line.hear({name: value for name, value in DONE.items() if name not in ("price", "remaining_size")})
    assert (done.status, done.filled) == (OrderStatus.FILLED, None)


def test_the_takers_side_is_the_other_one() -> None:
    taken = {name: value for name, value in MATCH.items() if not name.startswith("maker_")}
    taken |= {"maker_order_id": OTHER, "taker_order_id": ID, "taker_user_id": "58", "taker_fee_rate": "0.005"}
    (report,) = Line().hear(taken)
    (fill,) = report.fills
    assert (fill.exchange_order_id, fill.is_maker, fill.side) == (ID, False, Side.SELL)
    both = Line().hear(taken | {"maker_user_id": "58"})
    assert [report.exchange_order_id for report in both] == [OTHER, ID]
    (missed,) = Line().hear({name: value for name, value in taken.items() if name != "taker_user_id"})
    assert isinstance(missed, Missed)


@pytest.mark.parametrize("reason", ["101:Time In Force", "102:Self Trade Prevention", "103"])
def test_an_end_by_the_exchange_is_an_expiry_with_its_reason(reason: str) -> None:
    line = Line()
    line.hear(RECEIVED)
    (done,) = line.hear(DONE | {"reason": "canceled", "remaining_size": "1.34", "cancel_reason": reason})
    assert (done.status, done.filled, done.code) == (OrderStatus.EXPIRED, D(0), reason.partition(":")[0])
    assert done.reason


def test_a_changed_order_is_requested() -> None:
    line = Line()
    line.hear(RECEIVED)
    (missed,) = line.hear(HEAD | {"type": "change", "reason": "STP", "order_id": ID, "new_size": "1"})
    assert isinstance(missed, Missed)
    assert ID in missed.reason


@pytest.mark.parametrize(
    "message",
    [
        DONE | {"reason": "eaten"},
        RECEIVED | {"side": "both"},
        RECEIVED | {"order_type": "iceberg"},
        MATCH | {"size": "0"},
        MATCH | {"trade_id": "10"},
        {"type": 5},
    ],
)
def test_nothing_is_guessed(message: Any) -> None:
    with pytest.raises(DecodeError):
        Line().hear(message)


def test_other_messages_are_not_about_the_account() -> None:
    for kind in ("heartbeat", "activate", "invented next year"):
        assert Line().hear(HEAD | {"type": kind}) == []
