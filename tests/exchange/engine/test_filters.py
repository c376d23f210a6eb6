"""Filters, one table each. Source: filters.md, errors.md (Filter failures), read 2026-11-22."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from venuemesh.exchange.binance.signed import refused
from venuemesh.exchange.engine.accounts import Account, Ticket
from venuemesh.exchange.engine.engine import Engine
from venuemesh.exchange.engine.filters import average_price
from venuemesh.exchange.engine.market import Market
from venuemesh.exchange.engine.rules import ONE, rules_for
from venuemesh.model.errors import Rejected
from venuemesh.model.events import Side

BUY, SELL = Side.BUY, Side.SELL
BTC = "BTCUSDT"
P = 64_250 * ONE
Q = ONE // 100
TICK = ONE // 100
MINUTE = 60_000_000_000


def stage(**rules: Any) -> tuple[Engine, Market, Account, Account]:
    engine = Engine()
    market = engine.list(replace(rules_for(BTC), **rules))
    a, b = (engine.add_account(Account(name)) for name in "ab")
    for account in (a, b):
        account.deposit("BTC", 100 * ONE)
        account.deposit("USDT", 100_000_000 * ONE)
    return engine, market, a, b


def outcome(engine: Engine, account: Account, now: int = 1, **fields: Any) -> str:
    """Return the outcome of an order: the name of the filter that it fails, or its status."""
    ticket = Ticket(**({"side": BUY, "kind": "LIMIT", "size": Q, "price": P - 1000 * ONE} | fields))
    state = (account.balance("USDT").free, account.balance("BTC").free, len(account.open), len(account.orders))
    try:
        return engine.submit(account, BTC, ticket, now).status
    except Rejected as rejected:
        after = (account.balance("USDT").free, account.balance("BTC").free, len(account.open), len(account.orders))
        assert state == after  # a refusal changes nothing
        return rejected.code


def market_order(**fields: Any) -> dict[str, Any]:
    return {"kind": "MARKET", "price": None} | fields


@pytest.mark.parametrize(
    ("price", "code"),
    [
        (P - TICK, "NEW"),
        (P - TICK // 2, "PRICE"),
        (60_000 * ONE, "NEW"),
        (60_000 * ONE - TICK, "PRICE"),
        (70_000 * ONE, "NEW"),
        (70_000 * ONE + TICK, "PRICE"),
    ],
)
def test_price_filter(price: int, code: str) -> None:
    engine, _, a, _ = stage(min_price=60_000 * ONE, max_price=70_000 * ONE)
    assert outcome(engine, a, price=price) == code


@pytest.mark.parametrize(("stop", "code"), [(P + TICK, "NEW"), (P + TICK // 2, "PRICE"), (70_001 * ONE, "PRICE")])
def test_price_filter_of_stop_prices(stop: int, code: str) -> None:
    engine, _, a, _ = stage(max_price=70_000 * ONE)
    assert outcome(engine, a, kind="STOP_LOSS", price=None, stop_price=stop) == code


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (1_000, "NEW"),
        (999, "SIZE"),
        (1_500, "SIZE"),
        (2_000, "NEW"),
        (2 * ONE, "NEW"),
        (2 * ONE + 1_000, "SIZE"),
    ],
)
def test_lot_size(size: int, code: str) -> None:
    engine, _, a, _ = stage(max_size=2 * ONE, min_notional=0)
    assert outcome(engine, a, size=size) == code


@pytest.mark.parametrize(
    ("size", "kind", "code"),
    [
        (5_000, "MARKET", "FILLED"),
        (4_000, "MARKET", "MARKET_SIZE"),
        (6_000, "MARKET", "MARKET_SIZE"),  # not a whole step of market orders
        (1_000_000, "MARKET", "FILLED"),
        (1_005_000, "MARKET", "MARKET_SIZE"),
        (1_005_000, "STOP_LOSS", "MARKET_SIZE"),
        (1_005_000, "LIMIT", "NEW"),
        (500, "MARKET", "SIZE"),  # both filters apply
    ],
)
def test_market_lot_size(size: int, kind: str, code: str) -> None:
    engine, _, a, b = stage(market_min=5_000, market_max=1_000_000, market_step=5_000, min_notional=0)
    engine.place(b, BTC, SELL, "LIMIT", 10 * Q, P + TICK, 0)
    more = {"LIMIT": {}, "MARKET": {"price": None}, "STOP_LOSS": {"price": None, "stop_price": P + ONE}}[kind]
    assert outcome(engine, a, size=size, kind=kind, **more) == code


@pytest.mark.parametrize(
    ("rules", "fields", "code"),
    [
        ({}, {"size": 8_000, "price": 62_500 * ONE}, "NEW"),  # 5.00
        ({}, {"size": 8_000, "price": 62_500 * ONE - TICK}, "NOTIONAL"),
        ({"max_notional": 625 * ONE}, {"size": Q, "price": 62_500 * ONE}, "NEW"),
        ({"max_notional": 625 * ONE}, {"size": Q, "price": 62_500 * ONE + TICK}, "NOTIONAL"),
        ({}, market_order(size=8_000), "FILLED"),  # 5.14 at the average
        ({}, market_order(size=7_000), "NOTIONAL"),
        ({"min_applies_to_market": False}, market_order(size=7_000), "FILLED"),
        ({"max_notional": 600 * ONE}, market_order(size=Q), "FILLED"),
        ({"max_notional": 600 * ONE, "max_applies_to_market": True}, market_order(size=Q), "NOTIONAL"),
        ({}, market_order(size=0, quote_size=5 * ONE), "FILLED"),
        ({}, market_order(size=0, quote_size=5 * ONE - 1), "NOTIONAL"),
        ({}, {"kind": "STOP_LOSS", "price": None, "stop_price": P + ONE, "size": 7_000}, "NOTIONAL"),
    ],
)
def test_notional(rules: dict[str, Any], fields: dict[str, Any], code: str) -> None:
    engine, _, a, b = stage(**rules)
    b_rules = {"min_notional": 0, "max_notional": 10**9 * ONE}
    kept = engine.market(BTC).rules
    engine.change_rules(BTC, **b_rules)
    engine.place(b, BTC, SELL, "LIMIT", Q, P, 0)
    engine.market(BTC).rules = kept
    assert outcome(engine, a, **fields) == code


@pytest.mark.parametrize(
    ("side", "price", "code"),
    [
        (BUY, P // 5, "NEW"),
        (BUY, P // 5 - TICK, "PRICE_BAND"),
        (BUY, 2 * P, "NEW"),
        (BUY, 2 * P + TICK, "PRICE_BAND"),
        (SELL, P // 2, "NEW"),
        (SELL, P // 2 - TICK, "PRICE_BAND"),
        (SELL, 3 * P, "NEW"),
        (SELL, 3 * P + TICK, "PRICE_BAND"),
    ],
)
def test_percent_price_by_side(side: Side, price: int, code: str) -> None:
    engine, _, a, _ = stage(bid_up=2 * ONE, bid_down=ONE // 5, ask_up=3 * ONE, ask_down=ONE // 2)
    assert outcome(engine, a, side=side, price=price) == code


def test_the_average_is_of_whole_minutes_and_falls_back_to_the_last_price() -> None:
    engine, market, a, b = stage()
    assert average_price(market, 0) == P  # where trading begins
    for minute, price, size in ((10, P, 3 * Q), (12, P + 4 * ONE, Q)):
        engine.place(a, BTC, SELL, "LIMIT", size, price, minute * MINUTE)
        engine.place(b, BTC, BUY, "LIMIT", size, price, minute * MINUTE)
    assert average_price(market, 12 * MINUTE) == P + ONE
    assert average_price(market, 15 * MINUTE + MINUTE // 2) == P + ONE
    assert average_price(market, 16 * MINUTE) == P + 4 * ONE
    assert average_price(market, 60 * MINUTE) == P + 4 * ONE
    engine.change_rules(BTC, average_mins=0)
    assert average_price(market, 12 * MINUTE) == P + 4 * ONE


def test_max_num_orders_counts_all_that_is_open_on_the_symbol() -> None:
    engine, _, a, b = stage(max_orders=3)
    engine.list(rules_for("ETHUSDT"))
    assert outcome(engine, a) == "NEW"
    assert outcome(engine, a, kind="STOP_LOSS", price=None, stop_price=P + ONE) == "NEW"
    assert outcome(engine, a, price=P - 2000 * ONE) == "NEW"
    assert outcome(engine, a) == "OPEN_ORDERS"
    engine.place(a, "ETHUSDT", BUY, "LIMIT", ONE, 3000 * ONE, 1)  # another symbol
    assert outcome(engine, b) == "NEW"  # another account
    engine.cancel(BTC, next(iter(a.open)), 2, a)
    assert outcome(engine, a) == "NEW"
    pair = (Ticket(BUY, "LIMIT", Q, P - ONE), Ticket(SELL, "LIMIT", Q, P + ONE))
    with pytest.raises(Rejected, match="OPEN_ORDERS"):
        engine.submit_list(a, BTC, "OTO", pair, "", 3)


def test_max_num_algo_orders() -> None:
    engine, _, a, _ = stage(max_algo_orders=2)
    for _ in range(2):
        assert outcome(engine, a, kind="STOP_LOSS_LIMIT", price=P + ONE, stop_price=P + ONE) == "NEW"
    assert outcome(engine, a, kind="TAKE_PROFIT", side=SELL, price=None, stop_price=P + ONE) == "STOP_ORDERS"
    assert outcome(engine, a) == "NEW"


def test_max_position_counts_what_is_held_and_what_is_bought() -> None:
    engine, _, a, _ = stage(max_position=100 * ONE + 3 * Q)
    assert outcome(engine, a, side=SELL, price=P + ONE) == "NEW"  # locked is held all the same
    assert outcome(engine, a, size=2 * Q) == "NEW"
    assert outcome(engine, a, size=Q + 1_000) == "POSITION"
    assert outcome(engine, a, size=Q) == "NEW"
    assert outcome(engine, a, size=8_000) == "POSITION"
    assert outcome(engine, a, side=SELL, price=P + ONE) == "NEW"


def test_max_num_order_lists() -> None:
    engine, _, a, _ = stage(max_lists=1)
    tickets = (Ticket(BUY, "LIMIT", Q, P - ONE), Ticket(SELL, "LIMIT", Q, P + ONE))
    group, _ = engine.submit_list(a, BTC, "OTO", tickets, "mine", 1)
    with pytest.raises(Rejected, match="ORDER_LISTS"):
        engine.submit_list(a, BTC, "OTO", tickets, "", 2)
    engine.cancel(BTC, group.orders[0].id, 3, a)
    engine.submit_list(a, BTC, "OTO", tickets, "mine", 4)  # the id is free again too


def test_max_num_order_amends() -> None:
    engine, _, a, _ = stage(max_amends=2)
    order = engine.place(a, BTC, BUY, "LIMIT", 10 * Q, P - ONE, 1)
    for size in (9 * Q, 8 * Q):
        engine.amend(order, size, "", 2)
    with pytest.raises(Rejected, match="AMENDS") as caught:
        engine.amend(order, 7 * Q, "", 2)
    assert refused(caught.value).code == -2038


@pytest.mark.parametrize("status", ["HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY"])
def test_a_market_that_does_not_trade_takes_no_orders_and_cancels_them(status: str) -> None:
    engine, _, a, _ = stage()
    order = engine.place(a, BTC, BUY, "LIMIT", Q, P - ONE, 1)
    engine.change_rules(BTC, status=status)
    assert outcome(engine, a) == "MARKET_CLOSED"
    assert engine.cancel(BTC, order.id, 2, a).status == "CANCELED"
