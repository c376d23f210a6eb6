"""Available amounts: never more than the balance, and in the end exactly the balance."""

from __future__ import annotations

from decimal import Decimal

import pytest

from venuemesh.actors.orders.machine.funds import SHOWN_NS, Funds
from venuemesh.model.errors import InsufficientBalance

D = Decimal


def funds(free: str = "100") -> Funds:
    found = Funds()
    found.apply({"USDT": (D(free), D(0))}, 10, whole=True)
    return found


def state_in_stream(one: Funds, balances: dict[str, tuple[D, D]], ts_event_ns: int, in_order: bool) -> None:
    one.balances_streamed(balances, ts_event_ns, in_order)
    one.apply(balances, ts_event_ns)


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
        (20, 20, "0"),  # the report may be about another order of this time
        (20, 30, "40"),
    ],
)
def test_a_reservation_ends_with_the_report_that_includes_the_order(
    placed_ns: int | None, told_ns: int, available: str
) -> None:
    one = funds()
    one.reserve("a", "USDT", D(60))
    if placed_ns is not None:
        one.placed("a", placed_ns, placed_ns)
    one.apply({"USDT": (D(40), D(60))}, told_ns)
    assert one.available("USDT") == D(available)


def test_the_report_may_come_before_the_answer_about_the_order() -> None:
    one = funds()
    one.reserve("a", "USDT", D(60))
    one.streamed("a", 20)
    state_in_stream(one, {"USDT": (D(40), D(60))}, 20, in_order=True)
    assert one.available("USDT") == D(0)
    one.placed("a", 20, 20)
    assert one.available("USDT") == D(40)
    assert one.owed_since_ns is None


@pytest.mark.parametrize("answered_first", [True, False])
def test_orders_of_one_time_are_not_spent_twice(answered_first: bool) -> None:
    one = funds()
    for name in ("a", "b"):
        one.reserve(name, "USDT", D(50))
    if answered_first:  # by the answer to the request, before the stream reports anything
        one.placed("b", 20, 20)
    one.streamed("a", 20)
    one.placed("a", 20, 20)
    state_in_stream(one, {"USDT": (D(50), D(50))}, 20, in_order=True)
    one.placed("b", 20, 20)
    assert one.available("USDT") == 0, "the balances after the first order do not include the second"
    assert one.owed_since_ns == 20
    one.streamed("b", 20)
    state_in_stream(one, {"USDT": (D(0), D(100))}, 20, in_order=True)
    assert one.available("USDT") == 0
    assert one.owed_since_ns is None
    assert one.reserved("USDT") == 0


def test_a_snapshot_of_the_same_time_decides_nothing_and_a_later_one_does() -> None:
    one = funds()
    one.reserve("a", "USDT", D(60))
    one.streamed("a", 20)
    one.placed("a", 20, 20)
    one.apply({"USDT": (D(40), D(60))}, 20, whole=True)
    assert one.available("USDT") == 0
    assert one.owed_since_ns == 20
    one.apply({"USDT": (D(40), D(60))}, 21, whole=True)
    assert one.available("USDT") == D(40)
    assert one.owed_since_ns is None


def test_the_reservation_of_an_amendment_ends_like_that_of_an_order() -> None:
    one = funds()
    one.hold("growth:7", "USDT", D(60), "a")
    one.streamed("a", 19)
    one.placed("growth:7", 20, 20)
    state_in_stream(one, {"USDT": (D(40), D(60))}, 20, in_order=True)
    assert one.owed_since_ns == 20
    one.streamed("a", 20)
    state_in_stream(one, {"USDT": (D(40), D(60))}, 20, in_order=True)
    assert one.available("USDT") == D(40)
    one.streamed("a", 21)  # nothing is left that it could be about


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


def test_a_whole_snapshot_ends_the_reservation_of_an_asset_that_the_account_has_no_longer() -> None:
    """The journal has no empty balances, and exchanges need not list them."""
    one = Funds()
    one.restore({"USDT": (D(7), D(0))})
    for name, asset in (("a", "BTC"), ("b", "ETH")):
        one.hold(name, asset, D(1))
        one.placed(name, 20, 0)
    one.apply({"USDT": (D(9), D(0))}, 30, whole=True, unread={"ETH"})
    assert (one.reserved("BTC"), one.reserved("ETH")) == (0, 1)
    one.apply({"USDT": (D(9), D(0))}, 31, whole=True)
    assert one.owed_since_ns is None
    assert one.balance("BTC").total == 0


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


def test_where_orders_and_balances_come_in_separate_streams_only_one_order_alone_is_certain() -> None:
    one = funds()
    for name in ("a", "b"):
        one.reserve(name, "USDT", D(50))
        one.streamed(name, 20)
        one.placed(name, 20, 0)
    state_in_stream(one, {"USDT": (D(50), D(50))}, 20, in_order=False)
    assert one.available("USDT") == 0
    state_in_stream(one, {"USDT": (D(0), D(100))}, 21, in_order=False)
    assert one.reserved("USDT") == 0
    one.reserve("c", "BTC", D(0))
    one.streamed("c", 30)
    one.placed("c", 30, 0)
    state_in_stream(one, {"BTC": (D(0), D(0))}, 30, in_order=False)
    assert one.owed_since_ns is None


@pytest.mark.parametrize(("asked_ns", "available"), [(-1, "0"), (0, "0"), (SHOWN_NS - 1, "0"), (SHOWN_NS, "40")])
def test_without_times_only_balances_that_were_requested_after_the_order_was_known_end_its_reservation(
    asked_ns: int, available: str
) -> None:
    """The estimate of the exchange's clock may move meanwhile."""
    one = funds()
    one.reserve("a", "USDT", D(60))
    one.placed("a", 20, 0, is_dated=False)
    one.apply({"USDT": (D(40), D(60))}, 10**18, whole=True, asked_ns=asked_ns)
    assert one.available("USDT") == D(available)


def test_a_stated_time_counts_before_an_earlier_estimate() -> None:
    one = funds()
    one.reserve("a", "USDT", D(60))
    one.placed("a", 20, 0, is_dated=False)
    one.placed("a", 40, 1)
    one.placed("a", 10, 2, is_dated=False)
    one.apply({"USDT": (D(40), D(60))}, 30, whole=True, asked_ns=0)
    assert one.available("USDT") == 0
    one.placed("a", 29, 3)
    assert one.available("USDT") == D(40)


def test_an_answer_without_a_time_does_not_end_the_reservation_of_another_order() -> None:
    """The exchange had the order by the time of the answer; when it got it is unknown until a report states it."""
    one = funds("3000")
    for name in ("a", "b"):
        one.reserve(name, "USDT", D(1500))
        one.placed(name, 500, 0)
    state_in_stream(one, {"USDT": (D(1500), D(1500))}, 100, in_order=False)  # after the first of them
    assert one.available("USDT") == 0
    one.streamed("a", 99)
    one.placed("a", 99, 1)
    assert one.available("USDT") == 0
    assert one.reserved("USDT") == D(1500)
    state_in_stream(one, {"USDT": (D(0), D(3000))}, 102, in_order=False)
    one.placed("b", 101, 2)
    assert one.reserved("USDT") == 0
