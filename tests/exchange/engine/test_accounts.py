"""The orders that an account keeps."""

from __future__ import annotations

import pytest

from venuemesh.exchange.engine import accounts
from venuemesh.exchange.engine.accounts import Account, Ticket
from venuemesh.exchange.engine.engine import Engine
from venuemesh.exchange.engine.rules import ONE, rules_for
from venuemesh.model.events import Side

BTC = "BTCUSDT"
P = 64_250 * ONE
Q = ONE // 100


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
