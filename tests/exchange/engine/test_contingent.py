"""Stop prices, order lists, amendments, self-trade prevention: events and their reports to accounts, in order.

Source: rest-api.md (New order, Order lists, Order Amend Keep Priority), user-data-stream.md (Order Expiry Reason),
faqs/stp_faq.md, faqs/order_amend_keep_priority.md, read 2026-11-22.
"""

from __future__ import annotations

from typing import Any

import pytest

from venuemesh.exchange.engine.accounts import Account, Order, OrderList, Ticket
from venuemesh.exchange.engine.engine import Engine
from venuemesh.exchange.engine.market import ExecutionReport, Market, Quiet
from venuemesh.exchange.engine.rules import ONE, rules_for
from venuemesh.model.errors import Rejected
from venuemesh.model.events import Side

BUY, SELL = Side.BUY, Side.SELL
BTC = "BTCUSDT"
P = 64_250 * ONE  # the last price to begin with
Q = ONE // 100


class EventRecorder(Quiet):
    """Account a's reports as (order number within the test, kind, status), and lists as (kind,)."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.reports: list[ExecutionReport] = []

    def report(self, report: ExecutionReport) -> None:
        if report.account.name == "a":
            self.lines.append((report.order.client_id, report.kind, report.order.status))
            self.reports.append(report)

    def order_list(self, group: OrderList, kind: str, now_ns: int) -> None:
        self.lines.append(("list", kind))

    def take(self) -> list[Any]:
        lines, self.lines = self.lines, []
        return lines


class Stage:
    """One market with accounts a and b. `trade` makes a price the last one."""

    def __init__(self) -> None:
        self.listener = EventRecorder()
        self.engine = Engine(self.listener)
        self.market: Market = self.engine.list(rules_for(BTC))
        self.a, self.b = (self.engine.add_account(Account(name)) for name in "ab")
        for account in (self.a, self.b):
            account.deposit("BTC", 10 * ONE)
            account.deposit("USDT", 1_000_000 * ONE)
        self.now = 0

    def place(
        self, kind: str, side: Side, price: int | None = None, size: int = Q, name: str = "x", **more: Any
    ) -> Order:
        self.now += 1
        return self.engine.submit(self.a, BTC, ticket(kind, side, price, size, name, **more), self.now)

    def submit(self, contingency: str, *tickets: Ticket) -> tuple[OrderList, tuple[Order, ...]]:
        self.now += 1
        return self.engine.submit_list(self.a, BTC, contingency, tickets, "mine", self.now)

    def other(self, side: Side, price: int, size: int = Q, time_in_force: str = "GTC") -> Order:
        self.now += 1
        return self.engine.place(self.b, BTC, side, "LIMIT", size, price, self.now, time_in_force, self_trade="NONE")

    def trade(self, price: int) -> None:
        """Make the other account trade with itself at a price without other orders."""
        self.other(SELL, price, 100_000)
        self.other(BUY, price, 100_000)

    def locked(self) -> tuple[int, int]:
        return self.a.balance("BTC").locked, self.a.balance("USDT").locked

    def freed(self) -> bool:
        return self.locked() == (0, 0) and not self.a.open and not self.market.waiting


def ticket(kind: str, side: Side, price: int | None = None, size: int = Q, name: str = "", **more: Any) -> Ticket:
    return Ticket(side, kind, size, price, client_id=name, **more)


@pytest.fixture
def stage() -> Stage:
    return Stage()


UP, DOWN = P + 10 * ONE, P - 10 * ONE


@pytest.mark.parametrize(
    ("kind", "side", "stop", "reached"),
    [
        ("STOP_LOSS", BUY, UP, UP),
        ("STOP_LOSS", SELL, DOWN, DOWN),
        ("TAKE_PROFIT", BUY, DOWN, DOWN),
        ("TAKE_PROFIT", SELL, UP, UP),
    ],
)
@pytest.mark.parametrize("limit", [False, True])
def test_an_order_with_a_stop_price_waits_until_a_trade_reaches_it(
    stage: Stage, kind: str, side: Side, stop: int, reached: int, limit: bool
) -> None:
    price = (P + 20 * ONE if side is BUY else P - 20 * ONE) if limit else None
    order = stage.place(kind + ("_LIMIT" if limit else ""), side, price, stop_price=stop)
    assert (order.status, order.working_ns, stage.market.tops) == ("NEW", -1, (None, None))
    pays = stop if price is None else price
    assert stage.locked() == ((0, pays * Q // ONE) if side is BUY else (Q, 0))
    stage.trade(P)
    assert order.working_ns == -1
    stage.listener.take()
    against = stage.other(SELL if side is BUY else BUY, P + 15 * ONE if side is BUY else P - 15 * ONE, 5 * Q)
    stage.trade(reached)
    assert (order.status, order.working_ns) == ("FILLED", stage.now)
    assert order.quote_filled == (against.price or 0) * Q // ONE
    assert stage.listener.take() == [("x", "NEW", "NEW"), ("x", "TRADE", "FILLED")]
    assert stage.freed()


@pytest.mark.parametrize(
    ("kind", "side", "stop"),
    [
        ("STOP_LOSS", BUY, P),
        ("STOP_LOSS", BUY, DOWN),
        ("STOP_LOSS", SELL, P),
        ("STOP_LOSS", SELL, UP),
        ("TAKE_PROFIT", BUY, UP),
        ("TAKE_PROFIT", SELL, DOWN),
    ],
)
def test_a_stop_price_that_is_reached_already_is_refused(stage: Stage, kind: str, side: Side, stop: int) -> None:
    with pytest.raises(Rejected, match="WOULD_TRIGGER"):
        stage.place(kind, side, stop_price=stop)
    with pytest.raises(Rejected, match="WOULD_TRIGGER"):
        stage.place(f"{kind}_LIMIT", side, P, stop_price=stop)
    assert stage.freed()


def test_a_stop_limit_rests_after_it_was_reached(stage: Stage) -> None:
    order = stage.place("STOP_LOSS_LIMIT", SELL, P, stop_price=DOWN)
    stage.trade(DOWN)
    assert (order.status, stage.market.asks.depth()) == ("NEW", [(P, Q)])
    assert stage.engine.cancel(BTC, order.id, 9, stage.a).status == "CANCELED"
    assert stage.freed()


@pytest.mark.parametrize(
    ("time_in_force", "status", "filled", "why"),
    [
        ("IOC", "EXPIRED", Q, "UNFILLED_IOC_QUANTITY_EXPIRED"),
        ("FOK", "EXPIRED", 0, "UNFILLED_FOK_ORDER_EXPIRED"),
        ("GTC", "PARTIALLY_FILLED", Q, ""),
    ],
)
def test_time_in_force_counts_from_when_it_works(
    stage: Stage, time_in_force: str, status: str, filled: int, why: str
) -> None:
    order = stage.place("STOP_LOSS_LIMIT", SELL, DOWN, 3 * Q, stop_price=DOWN, time_in_force=time_in_force)
    stage.other(BUY, DOWN, Q)
    stage.other(SELL, DOWN, 100_000)  # trades at the stop price, and leaves less than is asked
    assert (order.status, order.expiry_reason) == (status, why)
    assert order.filled == (filled - 100_000 if filled else 0)


def test_a_triggered_market_order_without_liquidity_or_funds_expires(stage: Stage) -> None:
    dry = stage.place("STOP_LOSS", SELL, stop_price=DOWN, name="dry")
    stage.trade(DOWN)
    assert (dry.status, dry.expiry_reason) == ("EXPIRED", "INSUFFICIENT_LIQUIDITY")
    assert stage.freed()
    poor = stage.place("STOP_LOSS", BUY, size=8 * ONE, stop_price=P, name="poor")
    stage.other(SELL, P + 9000 * ONE, 9 * ONE)
    stage.a.balance("USDT").free = 0
    stage.trade(P)
    assert (poor.status, poor.expiry_reason, poor.filled) == ("EXPIRED", "REJECTED", 0)
    assert stage.freed()


def test_one_trigger_may_reach_the_next(stage: Stage) -> None:
    stage.other(BUY, DOWN, Q)
    stage.other(BUY, DOWN - ONE, Q)
    stage.other(BUY, DOWN - 2 * ONE, 100_000)
    first = stage.place("STOP_LOSS", SELL, size=2 * Q - 100_000, stop_price=DOWN, name="first")
    second = stage.place("STOP_LOSS", SELL, size=100_000, stop_price=DOWN - ONE, name="second")
    stage.other(SELL, DOWN, 100_000)
    assert (first.status, second.status) == ("FILLED", "FILLED")
    assert stage.market.bars.last_price == DOWN - 2 * ONE


# -------------------------------------------------------------------------------------------------------------- OCO


def oco(stage: Stage, side: Side = SELL, size: int = Q) -> tuple[OrderList, Order, Order]:
    stop, limit = (DOWN, UP) if side is SELL else (UP, DOWN)
    group, _ = stage.submit(
        "OCO",
        ticket("STOP_LOSS_LIMIT", side, stop, size, "stop", stop_price=stop),
        ticket("LIMIT_MAKER", side, limit, size, "limit"),
    )
    return group, group.orders[0], group.orders[1]


@pytest.mark.parametrize("side", [BUY, SELL])
def test_an_oco_locks_once_and_its_limit_order_ends_its_stop(stage: Stage, side: Side) -> None:
    group, stop, limit = oco(stage, side)
    assert stage.locked() == ((Q, 0) if side is SELL else (0, UP * Q // ONE))
    assert stage.listener.take() == [("stop", "NEW", "NEW"), ("limit", "NEW", "NEW"), ("list", "EXEC_STARTED")]
    stage.other(BUY if side is SELL else SELL, limit.price or 0, Q // 2)
    assert stage.listener.take() == [("limit", "TRADE", "PARTIALLY_FILLED"), ("stop", "EXPIRED", "EXPIRED")]
    assert (stop.expiry_reason, group.status) == ("OCO_TRIGGER", "EXEC_STARTED")
    half = Q // 2
    assert stage.locked() == ((half, 0) if side is SELL else (0, DOWN * half // ONE))
    stage.other(BUY if side is SELL else SELL, limit.price or 0, Q // 2)
    assert stage.listener.take() == [("limit", "TRADE", "FILLED"), ("list", "ALL_DONE")]
    assert (group.status, stage.freed()) == ("ALL_DONE", True)


def test_the_stop_of_an_oco_ends_its_limit_order(stage: Stage) -> None:
    group, stop, limit = oco(stage)
    stage.listener.take()
    stage.trade(DOWN)
    assert (limit.status, limit.expiry_reason) == ("EXPIRED", "OCO_TRIGGER")
    assert (stop.status, stage.market.asks.depth(), group.status) == ("NEW", [(DOWN, Q)], "EXEC_STARTED")
    assert stage.listener.take() == [("limit", "EXPIRED", "EXPIRED"), ("stop", "NEW", "NEW")]
    stage.other(BUY, DOWN)
    assert (stop.status, group.status, stage.freed()) == ("FILLED", "ALL_DONE", True)


def test_cancelling_one_order_of_a_list_cancels_all_of_it(stage: Stage) -> None:
    group, stop, limit = oco(stage)
    stage.listener.take()
    stage.engine.cancel(BTC, limit.id, 5, stage.a, "by-me")
    assert [order.status for order in (stop, limit)] == ["CANCELED", "CANCELED"]
    assert [(r.client_id, r.original) for r in stage.listener.reports[-2:]] == [("by-me", "stop"), ("by-me", "limit")]
    assert stage.listener.take()[-1] == ("list", "ALL_DONE")
    assert (group.status, stage.freed()) == ("ALL_DONE", True)


@pytest.mark.parametrize(
    ("side", "stop", "limit"), [(SELL, UP, UP), (SELL, DOWN, P), (SELL, P, UP), (BUY, DOWN, DOWN), (BUY, UP, P)]
)
def test_prices_of_an_oco_lie_around_the_last_price(stage: Stage, side: Side, stop: int, limit: int) -> None:
    with pytest.raises(Rejected, match="OCO_PRICES"):
        stage.submit(
            "OCO",
            ticket("STOP_LOSS", side, stop_price=stop),
            ticket("LIMIT_MAKER", side, limit),
        )
    assert stage.freed()
    assert not stage.a.lists


def test_an_oco_of_two_stop_prices(stage: Stage) -> None:
    group, _ = stage.submit(
        "OCO",
        ticket("STOP_LOSS", SELL, name="stop", stop_price=DOWN),
        ticket("TAKE_PROFIT", SELL, name="profit", stop_price=UP),
    )
    assert stage.locked() == (Q, 0)
    stage.other(BUY, UP - ONE)
    stage.listener.take()
    stage.trade(UP)
    assert stage.listener.take() == [
        ("stop", "EXPIRED", "EXPIRED"),
        ("profit", "NEW", "NEW"),
        ("profit", "TRADE", "FILLED"),
        ("list", "ALL_DONE"),
    ]
    assert stage.freed()
    assert group.status == "ALL_DONE"


# --------------------------------------------------------------------------------------------------- OTO and OTOCO


def test_an_oto_places_its_second_order_when_the_first_has_filled(stage: Stage) -> None:
    group, seen = stage.submit("OTO", ticket("LIMIT", BUY, P, Q, "first"), ticket("LIMIT", SELL, UP, Q // 2, "then"))
    assert [order.status for order in seen] == ["NEW", "PENDING_NEW"]
    assert stage.locked() == (0, P * Q // ONE)
    assert len(stage.a.open) == 2  # it counts among the open ones
    stage.other(SELL, P, Q // 2)
    assert group.orders[1].status == "PENDING_NEW"
    stage.listener.take()
    stage.other(SELL, P, Q // 2)
    assert stage.listener.take() == [("first", "TRADE", "FILLED"), ("then", "NEW", "NEW"), ("list", "EXEC_STARTED")]
    assert stage.locked() == (Q // 2, 0)
    stage.other(BUY, UP)
    assert (group.status, stage.freed()) == ("ALL_DONE", True)


def test_an_oto_filled_at_once_still_shows_the_second_order_pending(stage: Stage) -> None:
    stage.other(SELL, P)
    group, seen = stage.submit("OTO", ticket("LIMIT", BUY, P, Q, "first"), ticket("LIMIT", SELL, UP, Q // 2, "then"))
    assert [order.status for order in seen] == ["FILLED", "PENDING_NEW"]
    assert [order.status for order in group.orders] == ["FILLED", "NEW"]


@pytest.mark.parametrize("time_in_force", ["IOC", "FOK"])
def test_an_oto_whose_first_order_expires_is_over(stage: Stage, time_in_force: str) -> None:
    first = ticket("LIMIT", BUY, P, Q, "first", time_in_force=time_in_force)
    group, _ = stage.submit("OTO", first, ticket("MARKET", SELL, None, Q, "then"))
    assert [order.status for order in group.orders] == ["EXPIRED", "EXPIRED"]
    assert group.orders[1].expiry_reason == "OTO_PHASE_ONE_EXPIRED"
    assert (group.status, stage.freed()) == ("ALL_DONE", True)


@pytest.mark.parametrize("which", [0, 1])
def test_cancelling_either_order_of_an_oto_ends_both(stage: Stage, which: int) -> None:
    group, _ = stage.submit("OTO", ticket("LIMIT", BUY, P, Q), ticket("MARKET", SELL, None, Q))
    stage.engine.cancel(BTC, group.orders[which].id, 5, stage.a)
    assert [order.status for order in group.orders] == ["CANCELED", "CANCELED"]
    assert (group.status, stage.freed()) == ("ALL_DONE", True)


def test_a_second_order_that_cannot_be_placed_expires_as_rejected(stage: Stage) -> None:
    group, _ = stage.submit("OTO", ticket("LIMIT", BUY, P, Q), ticket("LIMIT", SELL, UP, 11 * ONE, "then"))
    stage.other(SELL, P)
    assert [order.status for order in group.orders] == ["FILLED", "EXPIRED"]
    assert (group.orders[1].expiry_reason, group.status, stage.freed()) == ("REJECTED", "ALL_DONE", True)


@pytest.mark.parametrize(("price", "ended"), [(UP, "limit"), (DOWN, "stop")])
def test_an_otoco_ends_by_either_order(stage: Stage, price: int, ended: str) -> None:
    group, seen = stage.submit(
        "OTO",
        ticket("LIMIT", BUY, P, Q, "first"),
        ticket("STOP_LOSS", SELL, None, Q // 2, "stop", stop_price=DOWN),
        ticket("LIMIT_MAKER", SELL, UP, Q // 2, "limit"),
    )
    assert (group.contingency, [order.status for order in seen]) == ("OTO", ["NEW", "PENDING_NEW", "PENDING_NEW"])
    stage.other(SELL, P)
    assert [order.status for order in group.orders] == ["FILLED", "NEW", "NEW"]
    assert stage.locked() == (Q // 2, 0)
    stage.other(BUY, price)
    if ended == "stop":
        stage.other(SELL, price, 100_000)
    statuses = {order.client_id: order.status for order in group.orders}
    assert statuses[{"limit": "stop", "stop": "limit"}[ended]] == "EXPIRED"
    assert statuses[ended] == ("FILLED" if ended == "limit" else "EXPIRED" if stage.a.open else "FILLED")
    assert (group.status, stage.freed()) == ("ALL_DONE", True)


def test_ids_of_a_list_are_checked_before_anything_is_done(stage: Stage) -> None:
    stage.place("LIMIT", BUY, DOWN, name="taken")
    pair = [ticket("LIMIT", BUY, DOWN, Q, "one"), ticket("LIMIT", SELL, UP, Q, "one")]
    with pytest.raises(Rejected, match="DUPLICATE_ORDER"):
        stage.submit("OTO", *pair)
    with pytest.raises(Rejected, match="DUPLICATE_ORDER"):
        stage.submit("OTO", pair[0], ticket("LIMIT", SELL, UP, Q, "taken"))
    stage.submit("OTO", pair[0], ticket("LIMIT", SELL, UP, Q, "two"))
    with pytest.raises(Rejected, match="DUPLICATE_ORDER"):  # of the list itself
        stage.submit("OTO", ticket("LIMIT", BUY, DOWN), ticket("LIMIT", SELL, UP))
    assert len(stage.a.open) == 3


# ------------------------------------------------------------------------------------- amendments and prevention


def test_an_amendment_keeps_the_place_in_the_queue_and_frees_funds(stage: Stage) -> None:
    order = stage.place("LIMIT", BUY, DOWN, 10 * Q, "mine")
    behind = stage.other(BUY, DOWN, Q)
    start = stage.market.update_id
    made = stage.engine.amend(order, 4 * Q, "", 7)
    assert stage.market.bids.depth() == [(DOWN, 5 * Q)]
    assert stage.market.update_id == start + 1
    assert stage.locked() == (0, DOWN * 4 * Q // ONE)
    assert (made.old_size, made.new_size, made.old_client_id) == (10 * Q, 4 * Q, "mine")
    assert made.new_client_id == order.client_id != "mine"
    report = stage.listener.reports[-1]
    assert (report.kind, report.id, report.client_id, report.original) == (
        "REPLACED",
        made.execution_id,
        order.client_id,
        "mine",
    )
    stage.other(SELL, DOWN, 4 * Q)
    assert (order.status, behind.status) == ("FILLED", "NEW")


@pytest.mark.parametrize(
    ("size", "name", "code"),
    [
        (10 * Q, "", "AMEND_NOTHING"),
        (2 * Q, "", "SIZE"),  # as much as is filled
        (0, "", "SIZE"),
        (5 * Q + 1, "", "SIZE"),
        (5 * Q, "other", "DUPLICATE_ORDER"),
        (5 * Q, "mine", None),
        (5 * Q, "new", None),
    ],
)
def test_what_may_be_amended(stage: Stage, size: int, name: str, code: str | None) -> None:
    order = stage.place("LIMIT", BUY, DOWN, 10 * Q, "mine")
    stage.place("LIMIT", BUY, DOWN - ONE, Q, "other")
    stage.other(SELL, DOWN, 2 * Q)
    if code is None:
        stage.engine.amend(order, size, name, 7)
        assert (order.remaining, order.client_id, stage.a.client_ids[name]) == (3 * Q, name, order.id)
        return
    with pytest.raises(Rejected) as caught:
        stage.engine.amend(order, size, name, 7)
    assert (caught.value.code, order.size, order.client_id) == (code, 10 * Q, "mine")


def test_orders_of_a_list_never_grow_and_keep_their_price(stage: Stage) -> None:
    _, _, limit = oco(stage, size=4 * Q)
    stop = stage.place("STOP_LOSS_LIMIT", SELL, DOWN, Q, "stop alone", stop_price=DOWN)
    for order, size, price in ((limit, 5 * Q, None), (limit, 4 * Q, UP + ONE), (stop, 2 * Q, None)):
        with pytest.raises(Rejected, match="AMEND_UNSUPPORTED"):
            stage.engine.amend(order, size, "", 7, price)


def test_amending_one_order_of_an_oco_amends_both(stage: Stage) -> None:
    group, stop, limit = oco(stage, size=4 * Q)
    stage.listener.take()
    made = stage.engine.amend(limit, Q, "renamed", 7)
    assert (stop.size, limit.size, stage.locked()) == (Q, Q, (Q, 0))
    assert (made.order_id, stop.client_id, limit.client_id) == (limit.id, "stop", "renamed")
    assert stage.listener.take() == [("stop", "REPLACED", "NEW"), ("renamed", "REPLACED", "NEW"), ("list", "UPDATED")]
    stage.other(BUY, UP)
    assert (limit.status, group.status, stage.freed()) == ("FILLED", "ALL_DONE", True)


def test_the_order_of_an_oco_that_is_left_is_amended_alone(stage: Stage) -> None:
    _, stop, limit = oco(stage, size=4 * Q)
    stage.other(BUY, UP, Q)
    stage.listener.take()
    stage.engine.amend(limit, 2 * Q, "limit", 7)
    assert stage.listener.take() == [("limit", "REPLACED", "PARTIALLY_FILLED")]
    assert (stop.size, limit.remaining, stage.locked()) == (4 * Q, Q, (Q, 0))


def test_orders_of_an_oto_are_amended_by_themselves(stage: Stage) -> None:
    group, _ = stage.submit("OTO", ticket("LIMIT", BUY, P, 4 * Q), ticket("LIMIT", SELL, UP, 4 * Q))
    stage.engine.amend(group.orders[1], Q, "", 7)
    assert [order.size for order in group.orders] == [4 * Q, Q]
    stage.engine.amend(group.orders[0], 2 * Q, "", 7)
    stage.other(SELL, P, 2 * Q)
    assert (group.orders[1].status, stage.locked()) == ("NEW", (Q, 0))


@pytest.mark.parametrize(
    ("mode", "taken", "kinds"),
    [
        ("EXPIRE_MAKER", (0, 3 * Q), ["NEW", "TRADE_PREVENTION"]),
        ("EXPIRE_TAKER", (2 * Q, 0), ["NEW", "TRADE_PREVENTION"]),
        ("EXPIRE_BOTH", (2 * Q, 3 * Q), ["NEW", "TRADE_PREVENTION", "TRADE_PREVENTION"]),
        ("DECREMENT", (2 * Q, 2 * Q), ["NEW", "TRADE_PREVENTION", "TRADE_PREVENTION"]),
    ],
)
def test_prevented_matches_are_kept_and_reported(
    stage: Stage, mode: str, taken: tuple[int, int], kinds: list[str]
) -> None:
    maker = stage.place("LIMIT", SELL, P, 3 * Q, "maker")
    stage.listener.take()
    taker = stage.place("LIMIT", BUY, P, 2 * Q, "taker", self_trade=mode)
    (match,) = stage.a.prevented
    assert (match.taker_size, match.maker_size) == taken
    assert (match.taker_order, match.maker_order, match.price, match.mode) == (taker.id, maker.id, P, mode)
    assert (taker.prevented, maker.prevented) == taken
    assert [line[1] for line in stage.listener.take()] == kinds
    for report in stage.listener.reports[-len(kinds) + 1 :]:
        assert report.match is match
        assert report.prevented == report.order.prevented
    if mode == "DECREMENT":
        assert (stage.market.asks.depth(), stage.locked()) == ([(P, Q)], (Q, 0))


def test_delisting_ends_everything_and_reports_it(stage: Stage) -> None:
    group, stop, limit = oco(stage)
    plain = stage.place("LIMIT", BUY, DOWN)
    stage.engine.delist(BTC, 9)
    assert {order.status for order in (plain, stop, limit)} == {"EXPIRED"}
    assert {order.expiry_reason for order in (plain, stop, limit)} == {"EXCHANGE_CANCELED"}
    assert (group.status, stage.locked()) == ("ALL_DONE", (0, 0))
