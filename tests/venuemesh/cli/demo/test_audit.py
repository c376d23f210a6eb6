"""The comparison of a journal with a ledger finds every kind of difference."""

from dataclasses import replace
from decimal import Decimal

import pytest

from venuemesh.cli.demo.audit import compare
from venuemesh.model.events import Side
from venuemesh.model.order import (
    AccountEvent,
    Balance,
    EventType,
    Fill,
    NewOrder,
    OrderStatus,
    OrderType,
    TimeInForce,
    as_order,
)

D = Decimal
ASKED = NewOrder("vm1", "BTC-USDT", Side.BUY, OrderType.LIMIT, D("0.5"), D(100), TimeInForce.GTC)
FILLED = replace(
    as_order(ASKED, "binance", "main", 1),
    status=OrderStatus.FILLED,
    exchange_order_id="9",
    filled=D("0.5"),
    quote_filled=D(50),
)
REFUSED = replace(as_order(replace(ASKED, client_order_id="vm2"), "binance", "main", 2), status=OrderStatus.FAILED)
FILL = Fill("77", "vm1", "9", "BTC-USDT", Side.BUY, D(100), D("0.5"), D(50), D("0.0005"), "BTC", True, 5, 6)
HELD = {"BTC": Balance("BTC", D("0.4995"), D("0.4995"), D(0), D("0.4995"))}
LEDGER = {
    "orders": [
        {
            "client_order_id": "vm1",
            "order_id": 9,
            "status": "FILLED",
            "filled": "0.50000000",
            "quote_filled": "50.00000000",
            "side": "BUY",
            "type": "LIMIT",
            "price": "100.00000000",
            "size": "0.50000000",
        }
    ],
    "fills": [
        {
            "trade_id": 77,
            "client_id": "vm1",
            "order_id": 9,
            "side": "buy",
            "price": "100.0",
            "size": "0.5",
            "quote": "50",
            "fee": "0.0005",
            "fee_asset": "BTC",
            "maker": True,
        }
    ],
    "balances": {"BTC": {"free": "0.49950000", "locked": "0.00000000"}},
}
EVENTS = [
    AccountEvent(1, EventType.FAILED, "binance", "main", 1, order=REFUSED),
    AccountEvent(2, EventType.CREATED, "binance", "main", 2, order=replace(FILLED, status=OrderStatus.OPEN)),
    AccountEvent(3, EventType.FILLED, "binance", "main", 3, order=FILLED, fill=FILL),
    AccountEvent(4, EventType.COMPLETED, "binance", "main", 4, order=FILLED),
]
AGREED = {
    "orders": [FILLED, REFUSED],
    "fills": [FILL],
    "events": EVENTS,
    "balances": HELD,
    "handed_out": ["vm1", "vm2"],
    "ledger": LEDGER,
    "receipts": [{"client_order_id": "vm1", "received": 1}],
}


def row(kind, **changes):
    return LEDGER | {kind: [LEDGER[kind][0] | changes]}


def test_what_agrees_is_counted():
    found = compare(**AGREED)
    assert found.problems == []
    assert (found.orders, found.fills, found.events) == ({"FILLED": 1, "FAILED": 1}, 1, 4)


def test_a_fee_that_is_stated_later_reports_no_other_fill():
    bare = replace(EVENTS[2], fill=replace(FILL, fee=None, fee_asset=None))
    stated = AccountEvent(5, EventType.FEE, "binance", "main", 5, order=FILLED, fill=FILL)
    assert compare(**(AGREED | {"events": [*EVENTS[:2], bare, EVENTS[3], stated]})).problems == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"orders": [REFUSED]}, "not in the journal"),
        ({"orders": [FILLED, replace(REFUSED, status=OrderStatus.CANCELED)]}, "not at the exchange"),
        ({"ledger": row("orders", status="CANCELED")}, "status is FILLED in the journal, CANCELED at the exchange"),
        ({"ledger": row("orders", filled="0.4")}, "filled is 0.5 in the journal"),
        ({"ledger": row("orders", order_id=10)}, "exchange id"),
        ({"ledger": row("orders", size="0.6")}, "amount"),
        ({"ledger": row("orders", price="101")}, "price"),
        ({"ledger": row("fills", fee="0.0004")}, "fill 77 of vm1"),
        ({"ledger": LEDGER | {"fills": []}}, "in the journal, but not at the exchange"),
        ({"fills": []}, "at the exchange, but not in the journal"),
        ({"fills": [FILL, FILL]}, "in the journal, but not at the exchange"),
        ({"ledger": LEDGER | {"balances": {"BTC": {"free": "1", "locked": "0"}}}}, "BTC: 0.4995 free"),
        ({"ledger": LEDGER | {"balances": LEDGER["balances"] | {"BNB": {"free": "1", "locked": "0"}}}}, "BNB"),
        ({"handed_out": ["vm1", "vm2", "vm3"]}, "vm3: given to a strategy"),
        ({"receipts": [{"client_order_id": "vm1", "received": 2}]}, "2 times"),
        ({"events": EVENTS[1:]}, "event 2 is in the place of event 1"),
        ({"events": EVENTS[:3]}, "its events end with"),
        ({"events": [*EVENTS[:2], replace(EVENTS[3], number=3)]}, "no event reports it"),
        ({"events": [*EVENTS[:3], replace(EVENTS[2], number=4), replace(EVENTS[3], number=5)]}, "2 events report it"),
    ],
)
def test_every_difference_is_named(change, problem):
    problems = compare(**(AGREED | change)).problems
    assert any(problem in found for found in problems), problems
