"""Kraken's orders over websocket v2: calls as the manual has them, and answers in its shapes (read 2026-11-27)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import orjson
import pytest

from tests.connectors.kraken.test_orders import BTC, ID, TXID, known, new
from venuemesh.connectors.kraken import CONNECTOR
from venuemesh.connectors.order_codec import Draft, OpensCalls, Reply, Signed
from venuemesh.connectors.reports import StreamOpened
from venuemesh.connectors.uuid_ids import packed
from venuemesh.model.errors import DecodeError, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.http import HttpResponse
from venuemesh.model.order import NewOrder, OrderType, TimeInForce

NOW_NS = 1_700_000_000_123 * 10**6
CODEC = CONNECTOR.trading("http://h", "ws://w")
AUTH = CONNECTOR.auth("hmac", "KEY", "c2VjcmV0")
DEADLINE = "2023-11-14T22:13:25.123Z"


def call(draft: Draft) -> tuple[Signed, dict[str, Any]]:
    signed = AUTH.sign_call(draft, "3-17", NOW_NS, 5_000)
    assert signed.call is not None
    return signed, orjson.loads(signed.call)


def params(draft: Draft) -> dict[str, Any]:
    found: dict[str, Any] = call(draft)[1]["params"]
    assert found.pop("token") == AUTH.token
    return found


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (new(), {"order_type": "limit", "limit_price": 37500, "order_qty": 1.25, "time_in_force": "gtc"}),
        (
            new(OrderType.LIMIT_MAKER, self_trade="cancel-oldest"),
            {"order_type": "limit", "limit_price": 37500, "order_qty": 1.25}
            | {"post_only": True, "stp_type": "cancel_oldest"},
        ),
        (new(time_in_force=TimeInForce.FOK, price="0.5"), {"limit_price": 0.5, "time_in_force": "fok"}),
        (new(OrderType.MARKET, None), {"order_type": "market", "order_qty": 1.25}),
        (new(OrderType.MARKET, None, None, quote_amount=D("50.5")), {"order_type": "market", "cash_order_qty": 50.5}),
        (
            new(OrderType.STOP_LOSS_LIMIT, "40100", stop_price=D(40000)),
            {"order_type": "stop-loss-limit", "limit_price": 40100, "triggers": {"reference": "last", "price": 40000}},
        ),
    ],
)
def test_an_order_as_a_call(order: NewOrder, expected: dict[str, Any]) -> None:
    """add_order: a market order has no limit price and no time in force, and a pair its symbol."""
    found = params(CODEC.place(order, BTC))
    same = {"symbol": "BTC/USD", "side": "buy", "cl_ord_id": packed(ID), "fee_preference": "quote"}
    for name, value in (same | expected | {"deadline": DEADLINE}).items():
        assert found.pop(name) == value
    assert set(found) <= {"order_type", "order_qty", "limit_price", "time_in_force"} - {
        *(() if order.price is not None else ("limit_price", "time_in_force"))
    }


def test_other_requests_as_calls() -> None:
    """amend_order, cancel_order, batch_add, batch_cancel."""
    first, second = CODEC.place(new(), BTC), CODEC.place(replace(new(price="37000"), client_order_id="vm2"), BTC)
    batch = params(CODEC.batch([first, second]))
    assert (batch["symbol"], batch["deadline"]) == ("BTC/USD", DEADLINE)
    assert [(row["cl_ord_id"], row["limit_price"], "symbol" in row) for row in batch["orders"]] == [
        (packed(ID), 37500, False),
        (packed("vm2"), 37000, False),
    ]
    assert params(CODEC.cancel(known(), BTC)) == {"order_id": [TXID]}
    assert params(CODEC.cancel(known(None), BTC)) == {"cl_ord_id": [packed(ID)]}
    cancels = CODEC.batch([CODEC.cancel(known(), BTC), CODEC.cancel(known(None), BTC)])
    assert params(cancels) == {"orders": [TXID], "cl_ord_id": [packed(ID)]}
    amended = params(CODEC.amend(known(), BTC, D("0.5"), D("37000.1")))
    assert amended == {"order_id": TXID, "order_qty": 0.5, "limit_price": 37000.1, "deadline": DEADLINE}
    assert CODEC.query(ID, BTC).call is CODEC.dead_man(60).call is None  # these go over REST


def test_a_number_keeps_every_digit() -> None:
    signed, _ = call(CODEC.place(new(price="0.12345678901234567890"), BTC))
    assert b'"limit_price":0.1234567890123456789,' in (signed.call or b"")


def answer(draft: Draft, result: Any = None, error: str | None = None, success: bool | None = None) -> Reply:
    """Read an answer with its envelope of the manual."""
    signed, sent = call(draft)
    message: dict[str, Any] = {"method": sent["method"], "req_id": sent["req_id"], "success": error is None}
    message |= {} if result is None else {"result": result}
    message |= {} if error is None else {"error": error}
    message |= {} if success is None else {"success": success}
    message |= {"time_in": "2023-09-21T14:15:07.197274Z", "time_out": "2023-09-21T14:15:07.205301Z"}
    found = CODEC.call_answer(orjson.dumps(message))
    assert found is not None
    assert found.request_id == signed.call_id
    assert CONNECTOR.spec.limit_answer(found.status, found.headers, found.body, draft.cost).hit is None or error
    return CODEC.reply(signed, HttpResponse(found.status, found.headers, found.body, 5, 6))


def test_answers_read_as_those_of_rest() -> None:
    place, cancel = CODEC.place(new(), BTC), CODEC.cancel(known(), BTC)
    (report,) = answer(place, {"order_id": TXID, "cl_ord_id": packed(ID)}).orders
    assert (report.client_order_id, report.exchange_order_id, report.status) == (ID, TXID, None)
    assert answer(cancel, {"order_id": TXID}).taken == (ID,)
    (amended,) = answer(CODEC.amend(known(), BTC, D("0.5")), {"amend_id": "T1", "order_id": TXID}).orders
    assert amended.amount == D("0.5")
    cancels = CODEC.batch([cancel, CODEC.cancel(replace(known(None), client_order_id="vm2"), BTC)])
    assert answer(cancels, {"count": 2}).taken == (ID, "vm2")
    assert answer(cancels, {"count": 0}).absent


def test_a_batch_states_each_order_also_without_success() -> None:
    """ws_compose.rs of krakenfx/kraken-api-sdk; without rows, the refusal is that of the whole batch."""
    draft = CODEC.batch([CODEC.place(new(), BTC), CODEC.place(replace(new(), client_order_id="vm2"), BTC)])
    rows = [{"order_id": TXID, "cl_ord_id": packed(ID)}, {"error": "EOrder:Insufficient funds"}]
    reply = answer(draft, rows, success=False)
    assert ([one.client_order_id for one in reply.orders], reply.taken) == ([ID], (ID,))
    assert reply.refused == (("vm2", "EOrder:Insufficient funds", "EOrder:Insufficient funds"),)
    with pytest.raises(Rejected, match="Invalid price"):
        answer(draft, error="EOrder:Invalid price")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("EOrder:Insufficient funds", Rejected),
        ("EOrder:Rate limit exceeded", RetryLater),
        ("ESession:Invalid session", Rejected),  # `Refusal.CLOCK`: not executed
        ("Unsupported field: 'x'", OutcomeUnknown),
        ("EService:Unavailable", OutcomeUnknown),
    ],
)
def test_refusals_of_calls(error: str, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        answer(CODEC.place(new(), BTC), error=error)


@pytest.mark.parametrize("result", [None, {}, {"order_id": None}, "text", []])
def test_an_answer_without_its_result_states_nothing(result: Any) -> None:
    with pytest.raises(DecodeError):
        answer(CODEC.place(new(), BTC), result, success=True)


def test_a_connection_opens_with_a_subscription_that_keeps_its_token() -> None:
    """rest-api/get-websockets-token; the subscription is quiet, because the user stream has its own connection."""
    codec, auth = CONNECTOR.trading("http://h", "ws://w"), CONNECTOR.auth("hmac", "KEY", "c2VjcmV0")
    assert isinstance(codec, OpensCalls)
    assert codec.call_url() == "ws://w"
    codec.use_token("the token")
    opening = orjson.loads(codec.call_open(auth, "calls-1", NOW_NS, 5_000))
    assert opening["params"] == {"channel": "balances", "token": "the token", "snapshot": False}
    assert auth.token == "the token"
    good = b'{"method":"subscribe","req_id":1,"result":{"channel":"balances","snapshot":false},"success":true}'
    assert codec.call_opened(good) == StreamOpened("")
    refused = codec.call_opened(b'{"error":"EAPI:Invalid token","method":"subscribe","req_id":1,"success":false}')
    assert refused == StreamOpened("", "EAPI:Invalid token", "EAPI:Invalid token")
    for other in (b"{}", b"nonsense", b"[1]", b'{"method":"pong"}', b'{"channel":"heartbeat"}', b'{"method":[]}'):
        assert codec.call_opened(other) is None
        assert codec.call_answer(other) is None
    for method in ([], {}, None):
        assert codec.call_answer(orjson.dumps({"method": method, "req_id": 3, "success": True})) is None
    assert codec.call_answer(good) is None
