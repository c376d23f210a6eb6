"""What an account keeps of its orders, and the unfilled order count.

Source: faqs/order_count_decrement.md (its examples), read 2026-11-22.
"""

from __future__ import annotations

import pytest

from venuemesh.exchange.engine import accounts
from venuemesh.exchange.engine.accounts import Account, OrderCount
from venuemesh.exchange.engine.book import Ticket
from venuemesh.exchange.engine.engine import Engine
from venuemesh.exchange.engine.rules import ONE, rules_for
from venuemesh.model.events import Side

BTC = "BTCUSDT"
P = 64_250 * ONE
Q = ONE // 100
SECOND = 1_000_000_000
DAY = 86_400 * SECOND


@pytest.mark.parametrize(
    "steps",
    [
        # (second, what, count after): "+" an order, "t" a first fill as taker, "m" as maker
        [(1, "+", 1), (2, "+", 2), (2, "t", 1), (3, "+", 2), (5, "+", 3), (5, "t", 2)],
        [
            *[(1, "+", 1), (1, "+", 2), (2, "+", 3), (2, "+", 4), (2, "+", 5)],
            *[(3, "m", 0), (4, "+", 1), (4, "+", 2), (5, "m", 0), (6, "+", 1)],
        ],
        [(9, "+", 1), (10, "+", 1), (19, "+", 2), (20, "", 0)],
        [(0, "m", 0), (0, "t", 0), (1, "+", 1)],  # no credit below zero
    ],
)
def test_the_count_of_ten_seconds(steps: list[tuple[int, str, int]]) -> None:
    count = OrderCount()
    for second, what, after in steps:
        now = 1_000 * DAY + second * SECOND
        if what == "+":
            count.add(1, now)
        elif what:
            count.first_fill(what == "m", now)
        assert count.counts(now)[0] == after


def test_the_count_of_a_day_follows_utc() -> None:
    count = OrderCount()
    count.add(5, 3 * DAY - SECOND)
    assert count.counts(3 * DAY - SECOND) == (5, 5)
    assert count.counts(3 * DAY) == (0, 0)
    count.add(10, 3 * DAY + SECOND)
    for _ in range(5):
        count.first_fill(False, 3 * DAY + 100 * SECOND)  # of yesterday's orders
    assert count.counts(3 * DAY + 100 * SECOND) == (0, 5)


def test_only_the_first_fill_of_an_order_counts() -> None:
    engine = Engine()
    engine.list(rules_for(BTC))
    a, b = (engine.add_account(Account(name)) for name in "ab")
    for account in (a, b):
        account.deposit("BTC", 10 * ONE)
        account.deposit("USDT", 1_000_000 * ONE)
    a.unfilled.add(20, 1)
    engine.place(a, BTC, Side.SELL, "LIMIT", 4 * Q, P, 1)
    for _ in range(3):
        engine.place(b, BTC, Side.BUY, "LIMIT", Q, P, 2)
    assert a.unfilled.counts(2) == (15, 15)


def test_the_history_is_bounded_and_keeps_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "HISTORY", 5)
    engine = Engine()
    engine.list(rules_for(BTC))
    a = engine.add_account(Account("a"))
    a.deposit("USDT", 1_000_000 * ONE)
    kept = engine.place(a, BTC, Side.BUY, "LIMIT", Q, P, 1, client_id="kept")
    for number in range(20):
        order = engine.place(a, BTC, Side.BUY, "LIMIT", Q, P, 1, client_id=f"order-{number % 7}")
        engine.cancel(BTC, order.id, 2, a)
    assert len(a.orders) == len(a.by_id) == len(a.by_client) == 5
    assert (a.orders[0], a.by_client["kept"], a.by_id[kept.id]) == (kept, kept, kept)
    assert [order.client_id for order in a.orders][1:] == [f"order-{n % 7}" for n in range(16, 20)]


def test_ids_that_are_made_here_differ_from_those_of_open_orders() -> None:
    engine = Engine()
    engine.list(rules_for(BTC))
    a = engine.add_account(Account("a"))
    a.deposit("USDT", 1_000_000 * ONE)
    first = engine.submit(a, BTC, Ticket(Side.BUY, "LIMIT", Q, P, client_id="x-2"), 1)
    second = engine.submit(a, BTC, Ticket(Side.BUY, "LIMIT", Q, P), 1)
    assert second.client_id not in ("", first.client_id)
    assert a.client_ids == {first.client_id: first.id, second.client_id: second.id}
