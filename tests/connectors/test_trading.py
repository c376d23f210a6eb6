"""The shared part of order codecs: refusals before anything is sent, and answers that state little."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from venuemesh.connectors.binance import CONNECTOR as BINANCE
from venuemesh.connectors.kraken import CONNECTOR as KRAKEN
from venuemesh.connectors.order_codec import Draft, Kind, Reply
from venuemesh.connectors.reports import OrderReport
from venuemesh.connectors.spec import Endpoint, Offer
from venuemesh.connectors.trading import Trading, accepted, asked_for, listed_orders, paged, redirected, since
from venuemesh.model.errors import Misconfigured, NotOffered
from venuemesh.model.events import Side
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import NewOrder, OrderStatus, OrderType, TimeInForce

D = Decimal
OFFER = Offer(
    order_types=frozenset({OrderType.LIMIT, OrderType.MARKET, OrderType.LIMIT_MAKER, OrderType.STOP_LOSS}),
    times_in_force=frozenset({TimeInForce.GTC, TimeInForce.IOC}),
    quote_amount=True,
)
LIMIT = NewOrder("vm1", "BTC-USDT", Side.BUY, OrderType.LIMIT, D("2"), D("3"))
MARKET = replace(LIMIT, order_type=OrderType.MARKET, price=None)
STOP = replace(MARKET, order_type=OrderType.STOP_LOSS, stop_price=D("3"))
BTC = Instrument("acme", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 8, 8)
QUERY = Draft(Kind.ORDER, ("GET", "/order"), None, (("id", "vm1"),), ("vm1",), host="https://h")
REPORT = OrderReport("BTCUSDT", "renamed", "7", OrderStatus.OPEN, 1)


class Codec(Trading):
    raw_paths, raw_cost = ("/v1/",), (("requests", 1),)

    def shaped(self, order: NewOrder) -> Decimal:
        return self._shaped(order)


CODEC = Codec(BINANCE.spec, "https://h/", OFFER)


@pytest.mark.parametrize(
    ("order", "amount"),
    [
        (LIMIT, "2"),
        (replace(LIMIT, time_in_force=TimeInForce.IOC), "2"),
        (replace(LIMIT, order_type=OrderType.LIMIT_MAKER, time_in_force=TimeInForce.GTC), "2"),
        (MARKET, "2"),
        (replace(MARKET, amount=None, quote_amount=D("9")), "9"),
        (STOP, "2"),
    ],
)
def test_an_order_that_is_offered_has_an_amount(order: NewOrder, amount: str) -> None:
    assert CODEC.shaped(order) == D(amount)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (replace(LIMIT, order_type=OrderType.TAKE_PROFIT), "a TAKE_PROFIT order"),
        (replace(LIMIT, price=None), "prices"),
        (replace(LIMIT, stop_price=D("3")), "prices"),
        (replace(MARKET, price=D("3")), "prices"),
        (replace(STOP, stop_price=None), "prices"),
        (replace(LIMIT, time_in_force=TimeInForce.FOK), "time in force"),
        (replace(MARKET, time_in_force=TimeInForce.IOC), "time in force"),
        (replace(LIMIT, order_type=OrderType.LIMIT_MAKER, time_in_force=TimeInForce.IOC), "time in force"),
        (replace(LIMIT, amount=None, quote_amount=D("9")), "quote amount"),
        (replace(MARKET, quote_amount=D("9")), "quote amount"),
        (replace(MARKET, amount=None), "without an amount"),
    ],
)
def test_an_order_of_another_shape_is_refused(order: NewOrder, reason: str) -> None:
    with pytest.raises(NotOffered, match=reason):
        CODEC.shaped(order)


def test_quote_amounts_need_the_offer() -> None:
    with pytest.raises(NotOffered, match="quote amount"):
        Codec(BINANCE.spec, None, replace(OFFER, quote_amount=False)).shaped(
            replace(MARKET, amount=None, quote_amount=D("9"))
        )


def test_what_a_codec_does_not_define_is_refused() -> None:
    order = object()
    for attempt in (
        lambda: CODEC.cancel_all(BTC),
        lambda: CODEC.amend(order, BTC, D(1)),  # type: ignore[arg-type]
        lambda: CODEC.replace(order, BTC, LIMIT),  # type: ignore[arg-type]
        lambda: CODEC.place_list("OCO", [LIMIT], BTC, "1"),
        CODEC.call_url,
    ):
        with pytest.raises(NotOffered):
            attempt()
    assert CODEC.order_counts() is None
    assert CODEC.call_answer(b"{}") is None
    assert CODEC.raw("GET", "/v1/x", [], True).cost == (("requests", 1),)
    with pytest.raises(Misconfigured):
        CODEC.raw("GET", "/v2/x", [], True)


def test_the_cost_of_an_order_is_its_endpoints() -> None:
    for connector in (BINANCE, KRAKEN):
        place = connector.spec.endpoints["place"]
        assert connector.trading().place_cost(LIMIT) == (place.cost, place.order_count)


def test_an_order_is_reported_under_the_id_it_was_requested() -> None:
    (found,) = asked_for(QUERY, REPORT).orders
    assert found == replace(REPORT, client_order_id="vm1", stated_id=REPORT.client_order_id)
    (same,) = asked_for(QUERY, replace(REPORT, client_order_id="vm1")).orders
    assert same.stated_id == ""


def test_an_acknowledgement_has_no_state() -> None:
    for is_dated in (True, False):
        reply = accepted(QUERY, "BTCUSDT", "7", 5, is_dated)
        made = OrderReport("BTCUSDT", "vm1", "7", None, 5, is_dated=is_dated)
        assert reply == Reply(orders=(made,), taken=("vm1",))


def test_another_endpoint_is_asked_the_same_question_at_its_own_cost() -> None:
    then = redirected(QUERY, Endpoint("POST", "/closed", (("calls", 2),)), [("n", "1")])
    assert (then.rest, then.cost, then.params) == (("POST", "/closed"), (("calls", 2),), (("n", "1"),))
    assert (then.kind, then.orders, then.host) == (Kind.ORDER, ("vm1",), "https://h")


def test_an_unreadable_row_is_left_out_by_name() -> None:
    rows = [{"n": "1"}, {"n": "2", "c": "x"}, {"n": "3", "c": None}, {"n": "4", "c": 5}, {"n": 5.5, "odd": 1}]
    reply = listed_orders(rows, lambda row: [REPORT][len(row) - 1], "n", lambda row: row["c"])
    assert reply.orders == (REPORT,)
    left_out = [(row.name, row.client_id) for row in reply.left_out]
    assert left_out == [("2", "x"), ("3", ""), ("4", None), (None, None)]


def test_times_are_whole_and_not_below_zero() -> None:
    assert since("from", None) == []
    assert since("from", 1_999_999) == [("from", "1")]
    assert since("from", -5, 10**9) == [("from", "0")]


def test_the_next_page_keeps_the_rest_of_the_question() -> None:
    assert paged(QUERY, cursor="c").params == (("id", "vm1"), ("cursor", "c"))
    assert paged(paged(QUERY, cursor="c"), cursor=None, id="vm2").params == (("id", "vm2"),)
