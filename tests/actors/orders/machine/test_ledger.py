"""Reports on one order, in every possible sequence."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from venuemesh.actors.orders.machine.effect_buffer import EffectBuffer
from venuemesh.actors.orders.machine.effects import Halt, Now
from venuemesh.actors.orders.machine.ledger import Held, Ledger
from venuemesh.connectors.reports import FillReport, OrderReport
from venuemesh.journal.writes import PutEvent, PutFill, PutOrder
from venuemesh.model.events import Side
from venuemesh.model.order import Fee, NewOrder, OrderStatus, OrderType, Step, TimeInForce, as_order

S = OrderStatus
D = Decimal


class Book:
    """A ledger with one order, and all its writes."""

    def __init__(self, **order: Any) -> None:
        self.effects = EffectBuffer(100)
        self.ledger = Ledger("acme", "main", self.effects, 10)
        given: dict[str, Any] = {"amount": D(3), "price": D(10), "time_in_force": TimeInForce.GTC} | order
        asked = NewOrder("vm1", "BTC-USDT", Side.BUY, given.pop("order_type", OrderType.LIMIT), **given)
        self.writes: list[Any] = []
        self.halted = False
        self.ns = 100
        self.held = self.ledger.add(as_order(asked, "acme", "main", 1), "NEW", self.now)

    @property
    def now(self) -> Now:
        self.ns += 1
        return Now(self.ns, self.ns, self.ns)

    def tell(self, *reports: OrderReport) -> None:
        for report in reports:
            self.ledger.apply(self.held, report, self.now)
        self._take()

    def _take(self) -> None:
        for effect in self.effects.take():
            if isinstance(effect, Halt):
                self.halted = True
            elif hasattr(effect, "batch"):
                self.writes += effect.batch.writes

    @property
    def status(self) -> OrderStatus:
        return self.held.order.status

    @property
    def events(self) -> list[str]:
        self._take()
        return [one.event.type.value for one in self.writes if isinstance(one, PutEvent)]


def fill(trade_id: str, amount: str = "1", **more: Any) -> FillReport:
    worth = D(amount) * 10
    given: dict[str, Any] = {"fee": D("0.001"), "fee_asset": "BTC", "is_maker": True} | more
    return FillReport(trade_id, D(10), D(amount), worth, ts_event_ns=int(trade_id), **given)


def report(status: OrderStatus | None, filled: str | None = None, *fills: FillReport, **more: Any) -> OrderReport:
    worth = None if filled is None else D(filled) * 10
    total = None if filled is None else D(filled)
    given: dict[str, Any] = {"ts_event_ns": 5, "amount": D(3)} | more
    return OrderReport("BTCUSDT", "vm1", "77", status, filled=total, quote_filled=worth, fills=fills, **given)


ACK = report(S.OPEN, "0")
ONE = report(S.PARTIALLY_FILLED, "1", fill("1"))
TWO = report(S.PARTIALLY_FILLED, "2", fill("2"))
ALL = report(S.FILLED, "3", fill("3"))
GONE = report(S.CANCELED, "2")


@pytest.mark.parametrize("order", list(permutations([ACK, ONE, TWO, ALL, ONE])))
def test_any_order_of_acknowledgement_and_fills_ends_filled(order: tuple[OrderReport, ...]) -> None:
    book = Book()
    book.tell(*order)
    assert (book.status, book.held.order.filled, book.held.order.quote_filled) == (S.FILLED, D(3), D(30))
    assert book.held.order.fees == {"BTC": D("0.003")}
    assert book.events == ["created", "filled", "filled", "filled", "completed"]
    assert sum(isinstance(one, PutFill) for one in book.writes) == 3


@pytest.mark.parametrize("order", list(permutations([ACK, ONE, TWO, GONE, ACK])))
def test_a_cancel_is_reported_after_its_fills(order: tuple[OrderReport, ...]) -> None:
    book = Book()
    book.tell(*order)
    assert (book.status, book.held.order.filled) == (S.CANCELED, D(2))
    assert book.events == ["created", "filled", "filled", "cancelled"]


def test_a_terminal_status_in_the_journal_never_changes_back() -> None:
    book = Book()
    book.tell(report(S.CANCELED, "0"), ACK, report(S.OPEN, "0"), report(S.EXPIRED, "0"))
    states = [one.order.status for one in book.writes if isinstance(one, PutOrder)]
    assert book.status is S.CANCELED
    assert states[-1] is S.CANCELED
    assert states.count(S.CANCELED) == 1


def test_a_total_above_our_fills_requests_them_and_completion_waits() -> None:
    book = Book()
    book.tell(ACK, report(S.FILLED, "3"))
    assert book.held.short
    assert book.status is S.OPEN
    assert "completed" not in book.events
    for one in ("1", "2", "3"):
        book.ledger.fill(book.held, fill(one), book.now)
    assert not book.held.short
    assert (book.status, book.events[-1]) == (S.FILLED, "completed")


def test_filled_without_a_total_waits_for_the_whole_amount() -> None:
    book = Book()
    book.tell(report(S.FILLED))
    assert book.held.short
    assert book.status is S.OPEN


def test_a_late_fill_counts_on_a_cancelled_order_and_may_complete_it() -> None:
    book = Book()
    book.tell(ACK, report(S.CANCELED))
    book.ledger.fill(book.held, fill("1"), book.now)
    assert (book.status, book.held.order.filled) == (S.CANCELED, D(1))
    book.ledger.fill(book.held, fill("2", "2"), book.now)
    assert (book.status, book.held.order.filled) == (S.FILLED, D(3))
    assert book.events == ["created", "cancelled", "filled", "filled", "completed"]


@pytest.mark.parametrize(
    ("change", "is_possible"),
    [
        ({"amount": D(4), "quote_amount": D(40)}, False),  # more than the order
        ({"side": Side.SELL}, False),
        ({"price": D(11), "quote_amount": D(11)}, True),  # beyond the order's price
        ({"quote_amount": D(0)}, True),
        ({"quote_amount": D(100)}, True),
    ],
)
def test_a_fill_that_cannot_be_true_is_requested_and_its_id_stays_free(
    change: dict[str, Any], is_possible: bool
) -> None:
    """Only the list of fills can confirm an odd price or quote amount."""
    book, odd = Book(), replace(fill("7"), **change)
    book.tell(ACK, report(S.FILLED, "3", odd))
    assert (book.held.order.filled, book.held.short, book.status, book.halted) == (D(0), True, S.OPEN, False)
    book.ledger.fill(book.held, odd, book.now, is_listed=True)
    assert bool(book.held.order.filled) is is_possible
    assert book.held.short
    if not is_possible:
        book.ledger.fill(book.held, fill("7", "3"), book.now, is_listed=True)
        assert (book.status, book.held.short, book.held.suspects) == (S.FILLED, False, {})


def test_an_order_is_filled_only_when_its_fills_add_up_to_its_amount() -> None:
    book = Book()
    book.tell(ACK, report(S.FILLED, "0"))
    assert (book.status, book.held.short) == (S.OPEN, True)
    book.tell(report(S.FILLED, "1", fill("1", "1")))
    assert (book.status, book.held.short) == (S.PARTIALLY_FILLED, True)
    book.tell(report(S.FILLED, "3", fill("2", "2")))
    assert (book.status, book.held.order.filled) == (S.FILLED, D(3))


def test_an_order_by_quote_amount_is_done_when_both_sums_agree() -> None:
    book = Book(order_type=OrderType.MARKET, amount=None, price=None, time_in_force=None, quote_amount=D(35))
    done = report(S.FILLED, "3", fill("1", "2"), amount=D(3))
    book.tell(done)
    assert book.held.short
    assert (book.status, book.held.order.amount) == (S.PARTIALLY_FILLED, None)
    book.ledger.fill(book.held, fill("2", "1"), book.now)
    assert (book.status, book.held.order.amount, book.held.order.remaining) == (S.FILLED, D(3), D(0))
    assert book.events == ["created", "filled", "filled", "completed"]


def test_an_order_by_quote_amount_that_finds_no_further_size_expires_with_what_it_got() -> None:
    book = Book(order_type=OrderType.MARKET, amount=None, price=None, time_in_force=None, quote_amount=D(35))
    book.tell(report(S.EXPIRED, "2", fill("1", "2"), amount=D(3)))
    assert (book.status, book.held.order.filled) == (S.EXPIRED, D(2))


def test_filled_by_quote_amount_without_a_total_is_queried() -> None:
    book = Book(order_type=OrderType.MARKET, amount=None, price=None, time_in_force=None, quote_amount=D(35))
    book.tell(report(S.FILLED))
    assert book.held.amount_unstated
    assert book.status is S.OPEN


@pytest.mark.parametrize(
    ("reason", "tif"),
    [("IOC remainder", TimeInForce.IOC), ("FOK", TimeInForce.FOK), ("self-trade prevention", TimeInForce.GTC)],
)
def test_an_order_ended_by_the_exchange_expires_with_its_reason(reason: str, tif: TimeInForce) -> None:
    book = Book(time_in_force=tif)
    book.tell(report(S.EXPIRED, "1", fill("1"), reason=reason))
    assert (book.status, book.held.order.reason, book.held.order.filled) == (S.EXPIRED, reason, D(1))


def test_a_rejection_in_a_report_ends_an_order_that_was_never_there() -> None:
    book = Book()
    book.tell(report(S.REJECTED, code="-2010", reason="no money"))
    assert (book.status, book.held.order.code, book.events) == (S.REJECTED, "-2010", ["rejected"])


def test_a_rejection_of_another_order_with_this_id_changes_nothing() -> None:
    book = Book()
    other = report(S.REJECTED, code="-2010", reason="duplicate")
    book.tell(ACK, replace(other, exchange_order_id="78"), replace(other, exchange_order_id=""))
    assert book.status is S.OPEN


@pytest.mark.parametrize("cancelling", [False, True])
def test_a_rejection_after_the_acknowledgement_ends_the_order_with_its_reason(cancelling: bool) -> None:
    book = Book()
    book.tell(ACK)
    if cancelling:
        book.ledger.step(book.held, Step.CANCEL_SENT, book.now)
    book.tell(report(S.REJECTED, "0", code="170131", reason="no money"), ACK)
    order = book.held.order
    assert (order.status, order.code, order.reason) == (S.REJECTED, "170131", "no money")
    assert book.events == ["created", "rejected"]
    assert book.ledger.open_count == 0


def test_a_rejection_after_fills_ends_the_rest_and_waits_for_fills_that_are_missing() -> None:
    book = Book()
    book.tell(ONE, report(S.REJECTED, "2", code="170131", reason="no money"))
    assert (book.status, book.held.short) == (S.PARTIALLY_FILLED, True)
    book.ledger.fill(book.held, fill("2"), book.now)
    order = book.held.order
    assert (order.status, order.filled, order.code) == (S.EXPIRED, D(2), "170131")
    assert book.events == ["created", "filled", "filled", "expired"]


def test_amounts_only_shrink() -> None:
    book = Book()
    book.tell(ACK, report(S.OPEN, "0", amount=D(2)), ACK)
    assert book.held.order.amount == D(2)
    assert book.events == ["created", "amended"]
    book.tell(report(S.PARTIALLY_FILLED, "1", fill("1"), amount=D(2)), report(S.FILLED, "2", fill("2"), amount=D(2)))
    assert book.status is S.FILLED


def test_a_later_report_completes_a_missing_fee_once() -> None:
    book = Book()
    bare = fill("1", "3", fee=None, fee_asset=None)
    book.tell(ACK, report(S.FILLED, "3", bare))
    assert (book.status, book.held.order.fees) == (S.FILLED, {})
    for fee, asset in ((None, None), (D("-0.002"), "BTC"), (D("0.5"), "USDT")):
        book.tell(report(S.FILLED, "3", replace(bare, fee=fee, fee_asset=asset)))
    order = book.held.order
    assert (order.filled, order.fees, book.held.fills["1"].fee) == (D(3), {"BTC": D("-0.002")}, D("-0.002"))
    assert [one.fill.fee for one in book.writes if isinstance(one, PutFill)] == [None, D("-0.002")]
    assert book.events == ["created", "filled", "completed", "fee"]
    assert not book.held.without_fee


def test_a_later_report_replaces_a_fee_of_zero_once() -> None:
    book = Book()
    free = fill("1", "1", fee=D(0))
    book.tell(ACK, report(S.PARTIALLY_FILLED, "1", free))
    for fee in (D(0), D("-0.002"), D("0.5")):
        book.tell(report(S.PARTIALLY_FILLED, "1", replace(free, fee=fee)))
    assert (book.held.order.fees, book.held.fills["1"].fee) == ({"BTC": D("-0.002")}, D("-0.002"))
    assert book.events == ["created", "filled", "fee"]


def test_fees_of_fills_in_several_assets_are_kept_apart() -> None:
    book = Book()
    paid, rebate = fill("1", fee=D("0.001"), fee_asset="BTC"), fill("2", fee=D("-0.3"), fee_asset="BNB")
    book.tell(ACK, report(S.PARTIALLY_FILLED, "2", paid, rebate))
    assert book.held.order.fees == {"BTC": D("0.001"), "BNB": D("-0.3")}


def test_a_fill_may_have_several_fees_of_either_sign() -> None:
    book = Book()
    taxes = (Fee("BTC", D("0.0001")), Fee("BNB", D("-0.3")))
    book.tell(ACK, report(S.PARTIALLY_FILLED, "1", fill("1", fee=D("0.001"), fee_asset="BTC", more_fees=taxes)))
    assert book.held.order.fees == {"BTC": D("0.0011"), "BNB": D("-0.3")}
    assert book.held.fills["1"].fees == (Fee("BTC", D("0.001")), *taxes)
    bare = fill("2", fee=D(0), fee_asset="BTC")
    book.tell(report(S.PARTIALLY_FILLED, "2", bare))
    book.tell(report(S.PARTIALLY_FILLED, "2", replace(bare, more_fees=taxes)))
    assert book.held.order.fees == {"BTC": D("0.0012"), "BNB": D("-0.6")}
    assert book.events == ["created", "filled", "filled", "fee"]


def test_a_list_id_stays_on_the_order() -> None:
    book = Book()
    book.tell(report(S.OPEN, "0", list_id="9"), ACK)
    assert book.held.order.list_id == "9"


def test_an_order_that_appears_after_it_was_proven_absent_is_reported() -> None:
    book = Book()
    book.ledger.step(book.held, Step.NO_REPLY, book.now)
    book.ledger.step(book.held, Step.ABSENT, book.now)
    book.tell(ACK)
    assert book.status is S.FAILED
    assert book.events == ["unknown", "failed", "external"]


def test_unknown_to_found_to_refused_cancel() -> None:
    book = Book()
    for step, after in [
        (Step.NO_REPLY, S.UNKNOWN),
        (Step.ACK, S.OPEN),
        (Step.CANCEL_SENT, S.PENDING_CANCEL),
        (Step.NO_REPLY, S.PENDING_CANCEL),
        (Step.CANCEL_REFUSED, S.OPEN),
    ]:
        book.ledger.step(book.held, step, book.now)
        assert book.status is after
    assert not book.held.order.cancel_requested


def test_a_refused_cancel_of_a_partly_filled_order_leaves_it_partly_filled() -> None:
    book = Book()
    book.tell(ONE)
    book.ledger.step(book.held, Step.CANCEL_SENT, book.now)
    book.tell(TWO)
    assert book.status is S.PENDING_CANCEL
    book.ledger.step(book.held, Step.CANCEL_REFUSED, book.now)
    assert book.status is S.PARTIALLY_FILLED


def test_old_orders_are_forgotten_and_open_ones_never() -> None:
    book = Book()
    for number in range(2, 30):
        order = replace(book.held.order, client_order_id=f"vm{number}", created_ns=number)
        held: Held = book.ledger.add(order, "NEW", book.now)
        book.ledger.step(held, Step.NOT_SENT, book.now)
    assert len(book.ledger) == 11
    assert "vm1" in book.ledger
    assert "vm2" not in book.ledger
    assert book.ledger.forgotten_ns == 19
    assert book.ledger.open_on("BTC-USDT") == book.ledger.open_count == 1


def test_sums_are_exact_beyond_the_default_precision() -> None:
    book = Book(amount=D("1E+20"))
    tiny = FillReport("1", D(1), D("1E-20"), D("1E-20"), D("1E-25"), "BTC", True, 1)
    large = FillReport("2", D(1), D("1E+19"), D("1E+19"), D("1E+10"), "BTC", True, 2)
    for one in (tiny, large):
        book.ledger.fill(book.held, one, book.now)
    assert str(book.held.order.filled) == "10000000000000000000.00000000000000000001"
    assert str(book.held.order.fees["BTC"]) == "10000000000.0000000000000000000000001"


def test_an_answer_without_a_time_says_only_that_the_exchange_had_the_order_by_then() -> None:
    one = Book()
    one.tell(report(None, ts_event_ns=50, is_dated=False))  # sent at 50; the answer is here at about 100
    by_ns = one.held.on_exchange_ns
    assert by_ns is not None
    assert by_ns > 100, "balances between the sending and the answer may not include the order"
    assert one.held.seen_ns == by_ns
    one.tell(report(OrderStatus.OPEN, ts_event_ns=80))
    assert one.held.on_exchange_ns == 80, "a report states when"
    assert one.held.seen_ns == by_ns, "what an older report says changes nothing for a later amendment"
