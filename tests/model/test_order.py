"""The lifecycle table and the records of orders."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venuemesh.model.errors import InvalidTransition
from venuemesh.model.events import Side
from venuemesh.model.order import (
    NEXT,
    TERMINAL,
    AccountEvent,
    Balance,
    CancelResult,
    EventType,
    Fee,
    Fill,
    NewOrder,
    Order,
    OrderStatus,
    OrderType,
    Step,
    TimeInForce,
    advance,
    as_order,
)

S = OrderStatus
ASKED = NewOrder(
    "vm1", "BTC-USDT", Side.BUY, OrderType.LIMIT, Decimal("0.5"), Decimal("1E+4"), TimeInForce.GTC, owner="quoter"
)
ORDER = as_order(ASKED, "acme", "main", 7)
FILL = Fill(
    "t1", "vm1", "9", "BTC-USDT", Side.BUY, Decimal(10), Decimal("0.1"), Decimal(1), Decimal("0.001"), "BNB", True, 1, 2
)


def test_a_status_that_is_terminal_never_becomes_another_but_filled_by_its_last_fill():
    for end in TERMINAL:
        for step in Step:
            after = advance(end, step)
            assert after is end or (step is Step.LAST_FILL and end in (S.CANCELED, S.EXPIRED) and after is S.FILLED)


def test_only_words_of_the_exchange_or_proof_end_an_order():
    ends = {
        (status, step): after for (status, step), after in NEXT.items() if after in TERMINAL and status not in TERMINAL
    }
    assert {step for _, step in ends} == {
        Step.REJECT, Step.NOT_SENT, Step.ABSENT, Step.LAST_FILL, Step.CANCELED, Step.EXPIRED
    }  # fmt: skip
    assert all(after is not S.FAILED for (_, step), after in ends.items() if step is Step.NO_REPLY)


@pytest.mark.parametrize(
    ("status", "step"),
    [
        *((status, step) for status in (S.OPEN, S.PARTIALLY_FILLED) for step in (Step.ABSENT, Step.NOT_SENT)),
        (S.PARTIALLY_FILLED, Step.REJECT),
    ],
)
def test_what_the_exchange_has_confirmed_cannot_be_absent_and_what_has_fills_was_not_refused(status, step):
    with pytest.raises(InvalidTransition, match=f"{step.value} is not allowed in {status.value}"):
        advance(status, step)


def test_every_status_that_is_not_terminal_can_reach_an_end():
    for status in set(S) - TERMINAL:
        reached, grown = {status}, True
        while grown:
            more = {after for (before, _), after in NEXT.items() if before in reached} | reached
            grown, reached = more != reached, more
        assert S.FILLED in reached
        assert S.CANCELED in reached


def test_a_refused_cancel_leaves_an_order_with_fills_partially_filled():
    assert advance(S.PENDING_CANCEL, Step.CANCEL_REFUSED) is S.OPEN
    assert advance(S.PENDING_CANCEL, Step.CANCEL_REFUSED, Decimal("0.1")) is S.PARTIALLY_FILLED
    assert advance(S.UNKNOWN, Step.ACK, Decimal("0.1")) is S.PARTIALLY_FILLED


@pytest.mark.parametrize(
    "record",
    [
        ASKED,
        ORDER,
        replace(ORDER, fees={"BNB": Decimal("0.001")}, status=S.PARTIALLY_FILLED, filled=Decimal("0.1")),
        FILL,
        replace(FILL, more_fees=(Fee("USDT", Decimal("-0.1")), Fee("BNB", Decimal(2)))),
        AccountEvent(3, EventType.FILLED, "acme", "main", 5, 4, ORDER, FILL),
        AccountEvent(4, EventType.PAUSED, "acme", "main", 5, pair="BTC-USDT", reason="asked"),
        Balance("BTC", Decimal(3), Decimal(2), Decimal(1), Decimal("1.5")),
        CancelResult("vm1", True, S.CANCELED),
    ],
    ids=lambda record: type(record).__name__,
)
def test_records_survive_as_plain_values(record):
    plain = record.to_dict()
    assert type(record).from_dict(plain) == record
    text = str(plain)
    assert "Decimal" not in text
    assert "<" not in text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=0, max_value=10**20))
def test_amounts_are_written_without_exponent_and_read_back_exactly(amount):
    plain = replace(ASKED, amount=amount).to_dict()
    assert "E" not in plain["amount"]
    assert NewOrder.from_dict(plain).amount == amount


def test_what_is_left_and_the_average_come_from_the_fills():
    assert ORDER.remaining == Decimal("0.5")
    assert ORDER.average_price is None
    filled = replace(ORDER, filled=Decimal("0.2"), quote_filled=Decimal(2100))
    assert filled.remaining == Decimal("0.3")
    assert filled.average_price == Decimal(10500)
    assert isinstance(filled, Order)
