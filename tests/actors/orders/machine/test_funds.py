"""Available amounts: never more than the balance, and in the end exactly the balance."""

from __future__ import annotations

from decimal import Decimal

import pytest

from venuemesh.actors.orders.machine.funds import Funds
from venuemesh.model.errors import InsufficientBalance

D = Decimal


def funds(free: str = "100") -> Funds:
    found = Funds()
    found.apply({"USDT": (D(free), D(0))}, 10, whole=True)
    return found


def test_two_orders_never_spend_one_balance_twice() -> None:
    one = funds()
    one.reserve("a", "USDT", D(60))
    with pytest.raises(InsufficientBalance) as refused:
        one.reserve("b", "USDT", D(60))
    assert (refused.value.needed, refused.value.available) == ("60", "40")
    assert one.available("USDT") == D(40)


@pytest.mark.parametrize(
    ("placed_ns", "told_ns", "available"),
    [
        (None, 30, "0"),  # its existence is unknown: the report may or may not include it
        (20, 15, "0"),  # the report is older than the order
        (20, 20, "40"),
        (20, 30, "40"),
    ],
)
def test_a_reservation_ends_with_the_report_that_includes_the_order(
    placed_ns: int | None, told_ns: int, available: str
) -> None:
    one = funds()
    one.reserve("a", "USDT", D(60))
    if placed_ns is not None:
        one.placed("a", placed_ns)
    one.apply({"USDT": (D(40), D(60))}, told_ns)
    assert one.available("USDT") == D(available)


def test_the_report_may_come_before_the_word_on_the_order() -> None:
    one = funds()
    one.reserve("a", "USDT", D(60))
    one.apply({"USDT": (D(40), D(60))}, 20)
    assert one.available("USDT") == D(0)
    one.placed("a", 20)
    assert one.available("USDT") == D(40)


def test_an_order_that_took_nothing_is_released_at_once() -> None:
    one = funds()
    one.reserve("a", "USDT", D(60))
    one.release("a")
    assert one.available("USDT") == D(100)


def test_an_old_report_changes_nothing_and_a_different_one_is_doubtful() -> None:
    one = funds()
    one.apply({"USDT": (D(80), D(0))}, 30)
    assert one.apply({"USDT": (D(100), D(0))}, 20)
    assert not one.apply({"USDT": (D(80), D(0))}, 20)
    assert one.balance("USDT").free == D(80)


def test_a_whole_snapshot_empties_what_it_does_not_name() -> None:
    one = funds()
    one.apply({"BTC": (D(1), D(0))}, 30, whole=True)
    assert one.balance("USDT").total == 0
    assert one.snapshot() == {"BTC": (D(1), D(0))}


def test_journaled_balances_are_shown_and_overwritten_by_any_report() -> None:
    one = Funds()
    one.restore({"USDT": (D(7), D(1))})
    assert not one.known
    assert one.balance("USDT").total == D(8)
    one.apply({"USDT": (D(9), D(0))}, 1)
    assert one.balance("USDT").total == D(9)


def test_an_asset_whose_row_cannot_be_read_keeps_what_was_known_of_it() -> None:
    funds = Funds()
    funds.apply({"BTC": (D(1), D(0)), "USDT": (D(5), D(2))}, 1, whole=True)
    funds.apply({}, 2, whole=True, unread={"USDT"})
    assert (funds.balance("BTC").total, funds.balance("USDT").total) == (0, 7)
