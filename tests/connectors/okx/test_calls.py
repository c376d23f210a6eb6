"""OKX's orders over the private websocket: calls as the manual has them, and answers from its examples."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from tests.connectors.okx.test_orders import AUTH, BTC, CODEC, HELD, LIMIT
from venuemesh.connectors.okx import CONNECTOR
from venuemesh.connectors.order_codec import At, Draft, OpensCalls, Reply, Signed
from venuemesh.connectors.reports import StreamOpened
from venuemesh.model.errors import Misconfigured, NotOffered, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.http import HttpResponse
from venuemesh.model.order import OrderType

D = Decimal
NUMBERED = replace(BTC, aliases=("123456",))
NOW_NS = 1_700_000_000_123 * 10**6
ROW = {"clOrdId": "vm1", "ordId": "12345689", "tag": "", "ts": "1695190491421", "sCode": "0", "sMsg": "", "subCode": ""}


def call(draft: Draft) -> tuple[Signed, dict[str, Any]]:
    signed = AUTH.sign_call(draft, "3-17", NOW_NS, 5_000)
    assert signed.call is not None
    return signed, orjson.loads(signed.call)


def answer(draft: Draft, data: list[Any], code: str = "0", msg: str = "") -> Reply:
    """Read an answer with its envelope of the manual."""
    signed, sent = call(draft)
    times = {"inTime": "1695190491421339", "outTime": "1695190491423240"}
    message = {"id": sent["id"], "op": sent["op"], "data": data, "code": code, "msg": msg, **times}
    found = CODEC.call_answer(orjson.dumps(message))
    assert found is not None
    assert found.request_id == signed.call_id == "3x17"
    return CODEC.reply(signed, HttpResponse(found.status, found.headers, found.body, 5, 6))


def test_an_order_as_a_call() -> None:
    """ws-place-order.md: the pair by its number, the deadline next to the orders, and no signature."""
    market = replace(LIMIT, order_type=OrderType.MARKET, price=None, time_in_force=None)
    for order in (LIMIT, market):
        draft = CODEC.place(order, NUMBERED)
        signed, sent = call(draft)
        request = AUTH.sign(draft, "r", NOW_NS, 5_000).request
        assert request is not None
        by_rest = orjson.loads(request.body or b"")
        assert by_rest.pop("instId") == "BTC-USDT"
        assert sent == {
            "id": "3x17",
            "op": "order",
            "args": [by_rest | {"instIdCode": 123456}],
            "expTime": "1700000005123",
        }
        assert signed.ends == At(1_700_000_005_124 * 10**6 - 1)
        assert "vm1" in signed.text
    assert orjson.loads(signed.text.partition(" ")[2])[0]["banAmend"] is True


def test_other_requests_as_calls() -> None:
    """ws-{place-multiple-orders, cancel-order, cancel-multiple-orders, amend-order}.md."""
    first, second = CODEC.place(LIMIT, NUMBERED), CODEC.place(replace(LIMIT, client_order_id="vm2"), NUMBERED)
    _, batch = call(CODEC.batch([first, second]))
    assert (batch["op"], batch["expTime"]) == ("batch-orders", "1700000005123")
    assert [(row["clOrdId"], row["instIdCode"], "instId" in row) for row in batch["args"]] == [
        ("vm1", 123456, False),
        ("vm2", 123456, False),
    ]
    known = replace(HELD, exchange_order_id="7")
    _, cancel = call(CODEC.cancel(known, NUMBERED))
    assert cancel == {"id": "3x17", "op": "cancel-order", "args": [{"instIdCode": 123456, "ordId": "7"}]}
    _, cancels = call(CODEC.batch([CODEC.cancel(known, NUMBERED), CODEC.cancel(HELD, NUMBERED)]))
    assert cancels["op"] == "batch-cancel-orders"
    assert cancels["args"] == [{"instIdCode": 123456, "ordId": "7"}, {"instIdCode": 123456, "clOrdId": "vm1"}]
    _, amended = call(CODEC.amend(known, NUMBERED, D("0.5")))
    assert amended["args"] == [{"instIdCode": 123456, "ordId": "7", "newSz": "0.5"}]
    assert (amended["op"], amended["expTime"]) == ("amend-order", "1700000005123")
    assert CODEC.query("vm1", NUMBERED).call is CODEC.dead_man(60).call is None  # these go over REST


def test_a_pair_without_a_number_goes_over_rest() -> None:
    draft = CODEC.place(LIMIT, BTC)
    assert draft.call is None
    assert CODEC.batch([draft, CODEC.place(replace(LIMIT, client_order_id="vm2"), BTC)]).call is None
    with pytest.raises(NotOffered):
        AUTH.sign_call(draft, "1", NOW_NS, 5_000)
    with pytest.raises(Misconfigured):
        AUTH.sign_call(CODEC.place(LIMIT, NUMBERED), "1", NOW_NS, 30_001)


def test_answers_read_as_those_of_rest() -> None:
    place = CODEC.place(LIMIT, NUMBERED)
    (report,) = answer(place, [ROW]).orders
    assert (report.client_order_id, report.exchange_order_id, report.status) == ("vm1", "12345689", None)
    assert answer(CODEC.cancel(HELD, NUMBERED), [ROW]) == Reply(taken=("vm1",))
    other = CODEC.place(replace(LIMIT, client_order_id="vm2"), NUMBERED)
    poor = ROW | {"clOrdId": "vm2", "ordId": "", "sCode": "51008", "sMsg": "words", "subCode": "1000"}
    reply = answer(CODEC.batch([place, other]), [ROW, poor], "2")
    assert (reply.taken, reply.refused) == (("vm1",), (("vm2", "51008", "words"),))
    assert [one.symbol for one in reply.orders] == ["BTC-USDT"]


@pytest.mark.parametrize(
    ("code", "data", "expected"),
    [
        ("1", [ROW | {"sCode": "51008", "sMsg": "words", "ordId": ""}], Rejected),
        ("60013", [], Rejected),  # "Invalid args": the page's example of a format error
        ("50011", [], RetryLater),
        ("50004", [], OutcomeUnknown),
        ("64007", [], OutcomeUnknown),
    ],
)
def test_refusals_of_calls(code: str, data: list[Any], expected: type[Exception]) -> None:
    with pytest.raises(expected):
        answer(CODEC.place(LIMIT, NUMBERED), data, code, "words")


def test_a_connection_opens_with_a_login() -> None:
    assert isinstance(CODEC, OpensCalls)
    assert CONNECTOR.trading(ws_api="ws://w").call_url() == "ws://w/ws/v5/private"
    assert orjson.loads(CODEC.call_open(AUTH, "calls-1", NOW_NS, 5_000)) == orjson.loads(AUTH.login(NOW_NS))
    assert CODEC.call_opened(b'{"event":"login","code":"0","msg":"","connId":"a4d3ae55"}') == StreamOpened("")
    refused = CODEC.call_opened(b'{"event":"error","code":"60009","msg":"Login failed.","connId":"a4d3ae55"}')
    assert refused == StreamOpened("", "60009", "Login failed.")
    for frame in (b"pong", b"[]", b'{"op":"order"}', b'{"event":"notice","code":"64008"}', b'{"event":"error"}'):
        assert CODEC.call_opened(frame) is None
        assert CODEC.call_answer(frame) is None
