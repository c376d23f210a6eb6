"""The unfilled order count of an account.

Source: faqs/order_count_decrement.md (its examples), read 2026-11-22.
"""

from __future__ import annotations

from typing import Any

import pytest

from venuemesh.exchange.binance.face import Binance
from venuemesh.exchange.binance.order_count import OrderCount
from venuemesh.exchange.clock import Clock
from venuemesh.exchange.engine.accounts import Account
from venuemesh.exchange.engine.engine import Engine
from venuemesh.exchange.engine.market import Listeners
from venuemesh.exchange.engine.rules import ONE, rules_for
from venuemesh.exchange.faults import Faults
from venuemesh.exchange.floor import Floor
from venuemesh.model.events import Side

BTC = "BTCUSDT"
P = 64_250 * ONE
Q = ONE // 100
SECOND = 1_000_000_000
DAY = 86_400 * SECOND


def never(seconds: float, call: Any) -> None:
    """A timer that never fires: nothing in these tests waits."""


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
    listeners = Listeners()
    engine = Engine(listeners)
    face = Binance(Floor(engine, Faults(1, never), Clock(), never))
    listeners.all.append(face)
    engine.list(rules_for(BTC))
    a, b = (engine.add_account(Account(name)) for name in "ab")
    for account in (a, b):
        account.deposit("BTC", 10 * ONE)
        account.deposit("USDT", 1_000_000 * ONE)
    count = face.desk.order_counts.of(a)
    count.add(20, 1)
    engine.place(a, BTC, Side.SELL, "LIMIT", 4 * Q, P, 1)
    for _ in range(3):
        engine.place(b, BTC, Side.BUY, "LIMIT", Q, P, 2)
    assert count.counts(2) == (15, 15)
