"""Kraken's private websocket: executions and balances. Messages are our own in the manual's shape."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import orjson
import pytest

from venuemesh.connectors.kraken import CONNECTOR
from venuemesh.connectors.kraken.auth import KrakenAuth
from venuemesh.connectors.reports import BalanceChange, Missed, OrderReport, StreamOpened
from venuemesh.connectors.uuid_ids import packed
from venuemesh.model.errors import NotOffered
from venuemesh.model.events import Side
from venuemesh.model.order import OrderStatus, OrderType

ID, TXID, AT = "vm0mwz7mndn9r5vog1000011", "OUF4EM-FRGI2-MQMWZD", "2023-10-06T17:35:55.440295Z"
S = OrderStatus


class Connection:
    """One connection; its messages are numbered."""

    def __init__(self) -> None:
        self.codec = CONNECTOR.trading()
        self.codec.use_token("token")
        auth = KrakenAuth("hmac", "key", "c2VjcmV0")
        self.sent = [orjson.loads(frame) for frame in self.codec.stream_open(auth, "attempt-1", 0, 5000)]
        self.numbers = {"executions": 0, "balances": 0}

    def says(self, channel: str, *rows: dict[str, Any], kind: str = "update", skip: int = 0) -> list[Any]:
        self.numbers[channel] += 1 + skip
        message = {"channel": channel, "type": kind, "data": rows, "sequence": self.numbers[channel]}
        return list(self.codec.stream_decode(orjson.dumps(message), 7))

    def raw(self, **message: Any) -> list[Any]:
        return list(self.codec.stream_decode(orjson.dumps(message), 7))


@pytest.fixture
def connection() -> Connection:
    return Connection()


def event(kind: str, status: str | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "exec_type": kind,
        "order_status": status or kind,
        "order_id": TXID,
        "cl_ord_id": packed(ID),
        "timestamp": AT,
    } | fields


def pending(**fields: Any) -> dict[str, Any]:
    terms = {"symbol": "BTC/USD", "side": "buy", "order_type": "limit", "order_qty": 2, "limit_price": 26500.4}
    return event("pending_new", **(terms | fields))


def trade(**fields: Any) -> dict[str, Any]:
    amounts = {"last_qty": 0.5, "last_price": 26500.3, "cost": 13250.15, "cum_qty": 0.5, "cum_cost": 13250.15}
    fees = {"fees": [{"asset": "USD", "qty": 34.4504}], "liquidity_ind": "t", "exec_id": "T1", "side": "buy"}
    return event("trade", "partially_filled", **(amounts | fees | fields))


def test_it_subscribes_to_both_channels_with_the_token_and_is_open_when_both_are(connection):
    assert [one["params"]["channel"] for one in connection.sent] == ["executions", "balances"]
    assert {one["params"]["token"] for one in connection.sent} == {"token"}
    assert connection.raw(method="subscribe", success=True, result={"channel": "executions"}, req_id=1) == []
    assert connection.raw(method="subscribe", success=True, result={"channel": "balances"}, req_id=2) == [
        StreamOpened("attempt-1")
    ]


def test_a_refused_subscription(connection):
    (opened,) = connection.raw(method="subscribe", success=False, error="ESession:Invalid session", req_id=1)
    assert (opened.request_id, opened.code) == ("attempt-1", "ESession:Invalid session")


def test_what_came_before_completes_what_comes_later(connection):
    assert connection.says("executions", pending()) == []
    (opened,) = connection.says("executions", event("new"))
    assert isinstance(opened, OrderReport)
    assert (opened.status, opened.symbol, opened.side) == (S.OPEN, "BTC/USD", Side.BUY)
    assert (opened.client_order_id, opened.exchange_order_id) == (ID, TXID)
    assert (opened.amount, opened.price, opened.order_type) == (D(2), D("26500.4"), OrderType.LIMIT)
    (traded,) = connection.says("executions", trade())
    (fill,) = traded.fills
    assert (traded.status, traded.filled, traded.quote_filled) == (S.PARTIALLY_FILLED, D("0.5"), D("13250.15"))
    assert (fill.trade_id, fill.price, fill.amount, fill.is_maker) == ("T1", D("26500.3"), D("0.5"), False)
    assert (fill.fee, fill.fee_asset) == (D("34.4504"), "USD")
    (ended,) = connection.says("executions", event("canceled", reason="User requested", cum_qty=0.5))
    assert (ended.status, ended.symbol, ended.filled, ended.fills) == (S.CANCELED, "BTC/USD", D("0.5"), ())
    assert ended.reason == "User requested"


def test_a_fill_may_have_fees_in_several_assets(connection):
    connection.says("executions", pending())
    fees = [{"asset": "USD", "qty": 1.5}, {"asset": "BTC", "qty": 0.001}]
    (traded,) = connection.says("executions", trade() | {"fees": fees})
    assert traded.fills[0].fees == (("USD", D("1.5")), ("BTC", D("0.001")))
    (free,) = connection.says("executions", trade() | {"fees": []})
    assert free.fills[0].fees == (("USD", D(0)),)


def test_an_order_unknown_to_this_connection_is_missed_not_guessed(connection):
    (missed,) = connection.says("executions", event("canceled"))
    assert isinstance(missed, Missed)
    assert TXID in missed.reason


def test_a_new_connection_begins_with_its_snapshot(connection):
    connection.says("executions", pending())
    connection.codec.stream_open(KrakenAuth("hmac", "key", "c2VjcmV0"), "attempt-2", 0, 5000)
    connection.numbers = {"executions": 0, "balances": 0}
    (missed,) = connection.says("executions", event("new"))
    assert isinstance(missed, Missed)
    (known,) = connection.says("executions", pending(exec_type="new", order_status="new"), kind="snapshot")
    assert known.status is S.OPEN
    assert connection.says("executions", event("canceled"))[0].status is S.CANCELED


def test_a_skipped_number_is_a_gap(connection):
    connection.says("executions", pending())
    missed, report = connection.says("executions", event("new"), skip=1)
    assert isinstance(missed, Missed)
    assert report.status is S.OPEN


def test_an_amendment_has_the_new_amount(connection):
    connection.says("executions", pending())
    (report,) = connection.says("executions", event("amended", "new", order_qty=1.5))
    assert (report.status, report.amount) == (S.OPEN, D("1.5"))


@pytest.mark.parametrize("row", [event("reborn", "new"), event("new", "sleeping"), trade(liquidity_ind="x")])
def test_unknown_words_are_not_guessed(connection, row):
    connection.says("executions", pending())
    (missed,) = connection.says("executions", row)
    assert isinstance(missed, Missed)


def test_balances_tell_of_deposits_alone(connection):
    total = {"asset": "USD", "balance": 5.5, "asset_class": "currency"}
    assert connection.says("balances", total, kind="snapshot") == []
    entry = {"asset": "USD", "amount": -2.5, "balance": 3, "type": "withdrawal", "timestamp": AT}
    (change,) = connection.says("balances", entry)
    assert change == BalanceChange("USD", D("-2.5"), 1696613755440295000)
    assert connection.says("balances", {**entry, "type": "trade"}) == []
    (missed,) = connection.says("balances", {**entry, "amount": orjson.Fragment(b"1e99999999")})
    assert isinstance(missed, Missed)


def test_other_messages_do_not_concern_the_account(connection):
    assert connection.raw(channel="heartbeat") == []
    assert connection.raw(channel="status", type="update", data=[{"system": "online"}]) == []
    assert connection.raw(method="pong", req_id=3) == []


def test_a_codec_for_another_server_gives_no_token_to_the_exchange():
    assert CONNECTOR.trading().stream_url() == "wss://ws-auth.kraken.com/v2"
    with pytest.raises(NotOffered):
        CONNECTOR.trading(rest="http://localhost:1").stream_url()


def test_a_stop_order_has_both_prices(connection):
    """executions: a trigger price that moves with the market is not read as a fixed price."""
    triggers = {"reference": "last", "price": 26000.5, "price_type": "static", "status": "untriggered"}
    connection.says("executions", pending(order_type="stop-loss-limit", triggers=triggers))
    (opened,) = connection.says("executions", event("new"))
    assert (opened.order_type, opened.stop_price) == (OrderType.STOP_LOSS_LIMIT, D("26000.5"))
    assert opened.price == D("26500.4")
    (started,) = connection.says("executions", event("status", "new", triggers={**triggers, "status": "triggered"}))
    assert (started.status, started.stop_price) == (S.OPEN, D("26000.5"))
    moving = {"reference": "last", "price": -2, "price_type": "pct"}
    connection.says("executions", pending(order_id="OTHER", order_type="stop-loss", triggers=moving))
    (other,) = connection.says("executions", event("new", order_id="OTHER"))
    assert (other.order_type, other.stop_price) == (OrderType.STOP_LOSS, None)


def test_an_unreadable_row_does_not_affect_others(connection: Connection) -> None:
    odd = pending(order_id="ODD") | {"exec_type": "invented"}
    found = connection.says("executions", odd, pending(), kind="snapshot")
    assert [type(one) for one in found] == [Missed, OrderReport]
    assert "ODD" in found[0].reason
    (missed,) = connection.says("balances", {"asset": "BTC"})
    assert isinstance(missed, Missed)
