"""Quantizing and checking orders against trading rules."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venuemesh.model import rules
from venuemesh.model.errors import RuleViolation
from venuemesh.model.events import Side
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import NewOrder, OrderType, TimeInForce

D = Decimal
BTC = Instrument(
    "acme", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 8, 8,
    price_increment=D("0.01"), size_increment=D("0.00001"), min_price=D("0.01"), max_price=D(1000000),
    min_size=D("0.0001"), max_size=D(100), min_notional=D(5), max_notional=D(1000000),
    order_types=("LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS_LIMIT"), market_max_size=D(10),
    self_trade_modes=("EXPIRE_TAKER",), features=("quote_amount",),
)  # fmt: skip
BUY = NewOrder("vm1", "BTC-USDT", Side.BUY, OrderType.LIMIT, D("0.01"), D("10000"), TimeInForce.GTC)
MARKET = replace(BUY, order_type=OrderType.MARKET, price=None, time_in_force=None)


def test_an_order_within_the_rules_passes():
    rules.check(BTC, BUY)
    rules.check(BTC, MARKET, D(10000))
    rules.check(BTC, replace(MARKET, amount=None, quote_amount=D(10)))
    rules.check(BTC, replace(BUY, order_type=OrderType.STOP_LOSS_LIMIT, stop_price=D(9999)))


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("price_increment", {"price": D("10000.005")}),
        ("min_price", {"price": D("0.001").quantize(D("0.001"))}),
        ("max_price", {"price": D(2000000)}),
        ("size_increment", {"amount": D("0.010001")}),
        ("min_size", {"amount": D("0.00005")}),
        ("min_size", {"amount": D(0)}),
        ("max_size", {"amount": D(101)}),
        ("min_notional", {"price": D("100"), "amount": D("0.01")}),
        ("max_notional", {"price": D("100000"), "amount": D(11)}),
        ("order_type", {"order_type": OrderType.TAKE_PROFIT_LIMIT, "stop_price": D(1)}),
        ("price", {"price": None}),
        ("price", {"price": D("NaN")}),
        ("amount", {"amount": None}),
        ("amount", {"amount": D("-1")}),
        ("amount", {"quote_amount": D(10)}),
        ("quote_amount", {"amount": None, "quote_amount": D(10)}),
        ("stop_price", {"stop_price": D(9999)}),
        ("stop_price", {"order_type": OrderType.STOP_LOSS_LIMIT}),
        ("time_in_force", {"order_type": OrderType.LIMIT_MAKER}),
        ("self_trade", {"self_trade": "DECREMENT"}),
    ],
)
def test_a_violation_names_the_rule(rule, change):
    if rule == "min_price":
        instrument, order = replace(BTC, price_increment=D("0.001")), replace(BUY, **change)
    else:
        instrument, order = BTC, replace(BUY, **change)
    with pytest.raises(RuleViolation) as refused:
        rules.check(instrument, order)
    assert refused.value.rule == rule
    assert refused.value.pair == "BTC-USDT"


def test_market_orders_have_separate_size_rules():
    with pytest.raises(RuleViolation, match="max_size"):
        rules.check(BTC, replace(MARKET, amount=D(11)), D(10000))
    with pytest.raises(RuleViolation, match="min_notional"):
        rules.check(BTC, replace(MARKET, amount=D("0.0001")), D(10000))


def test_bounds_on_notional_hold_for_market_orders_only_if_the_exchange_says_so():
    free = replace(BTC, market_min_notional=False, market_max_notional=False)
    rules.check(free, replace(MARKET, amount=D("0.0001")), D(10000))
    with pytest.raises(RuleViolation, match="min_notional"):
        rules.check(free, replace(BUY, amount=D("0.0001")))


def test_a_pair_that_does_not_trade_takes_nothing():
    with pytest.raises(RuleViolation, match="not_trading"):
        rules.check(replace(BTC, status="HALT"), BUY)


prices = st.decimals(min_value=D("0.02"), max_value=D(900000), places=6)
amounts = st.decimals(min_value=D("0.00001"), max_value=D(99), places=9)


@given(prices, amounts, st.sampled_from(Side))
def test_quantizing_lands_on_the_grid_and_never_costs_more(price, amount, side):
    order = rules.quantize(BTC, replace(BUY, price=price, amount=amount, side=side))
    assert order.price % D("0.01") == 0
    assert order.amount % D("0.00001") == 0
    assert order.amount <= amount
    assert amount - order.amount < D("0.00001")
    assert abs(order.price - price) < D("0.01")
    assert order.price <= price if side is Side.BUY else order.price >= price
    assert rules.quantize(BTC, order) == order


@pytest.mark.parametrize("value", [D(0), D(-1), D("Infinity"), D("NaN"), D("1E+40"), 1.5])
def test_what_is_no_price_is_refused(value):
    with pytest.raises(RuleViolation):
        rules.quantize_price(BTC, value)


def test_a_price_below_one_step_is_refused_but_not_for_a_sell():
    with pytest.raises(RuleViolation):
        rules.quantize_price(BTC, D("0.001"), Side.BUY)
    assert rules.quantize_price(BTC, D("0.001"), Side.SELL) == D("0.01")
