"""Refusals before anything is sent, each by its name."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes.order_exchange import OFFER, pair
from tests.fakes.order_world import limit, market
from venuemesh.actors.orders.machine.effect_buffer import EffectBuffer
from venuemesh.actors.orders.machine.effects import Now, Top
from venuemesh.actors.orders.machine.guards import Guards
from venuemesh.actors.orders.machine.ledger import Ledger
from venuemesh.actors.orders.settings import Limits, OrderSettings
from venuemesh.connectors.spec import Offer
from venuemesh.model.errors import MeshError, NotOffered, Paused, RuleViolation, UnknownInstrument
from venuemesh.model.events import Side
from venuemesh.model.order import NewOrder, OrderType, TimeInForce, as_order

D = Decimal
NOW = Now(1, 10**12, 1)
TOP = Top(D(99), D(100), 10**12)


def guards(offer: Offer = OFFER, top: Top | None = TOP, **settings: Any) -> tuple[Guards, Ledger]:
    found = Guards(OrderSettings("acme", "main", **settings), offer, [pair("BTC-USDT", max_orders=3)])
    if top is not None:
        found.tops["BTC-USDT"] = top
    return found, Ledger("acme", "main", EffectBuffer(10), 10)


def judge(order: NewOrder, **settings: Any) -> NewOrder | MeshError:
    found, ledger = guards(**settings)
    return found.judge(order, ledger, {}, NOW)


def test_an_order_is_quantized_and_passes() -> None:
    assert judge(limit("vm1", amount="1.234", price="99.999")) == limit("vm1", amount="1.2", price="99.99")


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (limit("vm1", pair="XRP-USDT"), UnknownInstrument),
        (replace(limit("vm1"), self_trade="DECREMENT"), NotOffered),
        (limit("bad id"), RuleViolation),
        (limit("x1"), RuleViolation),
        (limit("vm1", amount="0.01"), RuleViolation),
        (NewOrder("vm1", "BTC-USDT", Side.BUY, OrderType.LIMIT, D(1)), RuleViolation),
    ],
)
def test_refusals(order: NewOrder, error: type[MeshError]) -> None:
    assert isinstance(judge(order), error)


def test_an_unoffered_feature_is_reported_before_anything_is_sent() -> None:
    bare = replace(OFFER, order_types=frozenset({OrderType.LIMIT}), times_in_force=frozenset(), quote_amount=False)
    assert isinstance(judge(market("vm1"), offer=bare), NotOffered)
    assert isinstance(judge(limit("vm1"), offer=bare), NotOffered)
    no_quote = replace(OFFER, quote_amount=False)
    assert isinstance(judge(market("vm1", amount=None, quote_amount=D(5)), offer=no_quote), NotOffered)


@pytest.mark.parametrize(
    ("side", "price", "rule"),
    [
        (Side.BUY, "105", None),
        (Side.BUY, "105.01", "price_band"),
        (Side.BUY, "1", None),  # rests far away, without a loss
        (Side.SELL, "94.05", None),
        (Side.SELL, "94.04", "price_band"),
        (Side.SELL, "1000", None),
    ],
)
def test_the_price_band(side: Side, price: str, rule: str | None) -> None:
    found = judge(limit("vm1", side, price=price), limits=Limits(price_band=D("0.05")))
    assert getattr(found, "rule", None) == rule


LEVELS = ((D(100), D(2)), (D(104), D(1)), (D("105.01"), D(50)))
BOOK = Top(D(99), D(100), 10**12, asks=LEVELS, bids=((D(99), D(2)), (D("94.05"), D(1)), (D(94), D(50))))


@pytest.mark.parametrize(
    ("order", "passes"),
    [
        (market("vm1", amount="3"), True),
        (market("vm1", amount="3.1"), False),
        (market("vm1", Side.SELL, amount="3"), True),
        (market("vm1", Side.SELL, amount="3.1"), False),
        (market("vm1", amount=None, quote_amount=D(304)), True),
        (market("vm1", amount=None, quote_amount=D(305)), False),
    ],
)
def test_the_price_band_bounds_market_orders_by_the_levels_of_the_book(order: NewOrder, passes: bool) -> None:
    band = Limits(price_band=D("0.05"))
    for settings in ({"limits": band}, {"pair_limits": {"BTC-USDT": band}}):
        found = judge(order, top=BOOK, **settings)
        assert isinstance(found, NewOrder) is passes
        if not passes:
            assert isinstance(found, RuleViolation)
            assert found.rule == "price_band"
    assert isinstance(judge(order, top=BOOK), NewOrder)  # without a band


def test_a_market_order_beyond_the_band_is_refused_with_the_figures() -> None:
    found = judge(market("vm1", amount="3.1"), top=BOOK, limits=Limits(price_band=D("0.05")))
    assert str(found) == (
        "BTC-USDT breaks price_band: buy 3.1 BTC at market would go beyond 105, 5% from 100: "
        "the known book holds 3 BTC up to there"
    )
    unknown = judge(
        market("vm1", amount="1"), limits=Limits(price_band=D("0.05"))
    )  # the best prices alone prove nothing
    assert isinstance(unknown, RuleViolation)
    assert "the book is not known now" in str(unknown)


@pytest.mark.parametrize("top", [None, Top(D(99), None, 10**12), Top(D(99), D(100), 0)])
def test_a_band_that_cannot_be_judged_refuses(top: Top | None) -> None:
    found = judge(limit("vm1"), limits=Limits(price_band=D("0.05")), top=top)
    assert isinstance(found, RuleViolation)
    assert found.rule == "price_band"


def test_the_largest_notional_per_account_and_per_pair() -> None:
    most = Limits(max_order_notional=D(150))
    assert isinstance(judge(limit("vm1", amount="1.6"), limits=most), RuleViolation)
    assert isinstance(judge(market("vm1", amount="1.6"), limits=most), RuleViolation)
    wider = {"BTC-USDT": Limits(max_order_notional=D(200))}
    assert isinstance(judge(limit("vm1", amount="1.6"), limits=most, pair_limits=wider), NewOrder)


@pytest.mark.parametrize(
    ("settings", "open_orders", "passes"),
    [
        ({"limits": Limits(max_open_orders=2)}, 1, True),
        ({"limits": Limits(max_open_orders=2)}, 2, False),
        ({"pair_limits": {"BTC-USDT": Limits(max_open_orders=1)}}, 1, False),
        ({}, 2, True),
        ({}, 3, False),  # the exchange's own limit of the pair
    ],
)
def test_the_number_of_open_orders(settings: dict[str, Any], open_orders: int, passes: bool) -> None:
    found, ledger = guards(**settings)
    for number in range(open_orders):
        ledger.add(as_order(limit(f"vmo{number}"), "acme", "main", 1), "NEW", NOW)
    judged = found.judge(limit("vm1"), ledger, {}, NOW)
    assert isinstance(judged, NewOrder) is passes
    if not passes:
        assert isinstance(judged, RuleViolation)
        assert judged.rule == "max_open_orders"


@pytest.mark.parametrize("scope", ["mesh", "acme", "account", "main", "BTC-USDT"])
def test_a_pause_covers_its_scope(scope: str) -> None:
    found, ledger = guards()
    found.pauses[scope] = "lunch"
    assert found.judge(limit("vm1"), ledger, {}, NOW) == Paused(scope, "lunch")
    found.pauses = {"ETH-USDT": "lunch"}
    assert isinstance(found.judge(limit("vm1"), ledger, {}, NOW), NewOrder)


@pytest.mark.parametrize(
    ("order", "asset", "amount"),
    [
        (limit("vm1", amount="2", price="90"), "USDT", "180"),
        (limit("vm1", Side.SELL, amount="2"), "BTC", "2"),
        (market("vm1", amount="2"), "USDT", "204"),  # best ask x 1.02
        (market("vm1", amount=None, quote_amount=D(50)), "USDT", "50"),
        (market("vm1", Side.SELL, amount="2"), "BTC", "2"),
    ],
)
def test_the_need_of_an_order(order: NewOrder, asset: str, amount: str) -> None:
    found, _ = guards()
    assert found.need(order, NOW) == (asset, D(amount))


def test_without_a_top_a_market_buy_may_take_everything() -> None:
    found, _ = guards(top=None)
    assert found.need(market("vm1"), NOW) == ("USDT", None)


def test_changed_rules_are_reported_and_used() -> None:
    found, ledger = guards()
    assert found.rules([pair("BTC-USDT", min_notional=D(500)), pair("NEW-USDT")], ledger.open_on) == ["BTC-USDT"]
    judged = found.judge(limit("vm1"), ledger, {}, NOW)
    assert isinstance(judged, RuleViolation)
    assert judged.rule == "min_notional"
    assert isinstance(found.judge(limit("vm1", pair="NEW-USDT"), ledger, {}, NOW), NewOrder)
    assert TimeInForce.GTC in OFFER.times_in_force
