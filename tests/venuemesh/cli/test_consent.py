"""Orders that are worth much need a yes: at the terminal, or as an option."""

from __future__ import annotations

import io
import sys
from decimal import Decimal as D
from types import SimpleNamespace
from typing import Any

import pytest

from venuemesh.cli import consent
from venuemesh.model.errors import Rejected, RetryLater, UnknownInstrument
from venuemesh.model.events import Side

MIDS = {"BTC-USDT": D(60000), "ETH-BTC": D("0.05"), "ADA-EUR": D(2)}


def mid_price(pair: str) -> D:
    if pair == "EUR-USDT":
        raise RetryLater(1.0, "away")
    if pair not in MIDS:
        raise UnknownInstrument("acme", pair, "not listed")
    return MIDS[pair]


MARKET: Any = SimpleNamespace(mid_price=mid_price)


def order(side=Side.BUY, pair="BTC-USDT", amount="0.01", price=None, quote_amount=None, above="1000", yes=False):
    numbers = [None if text is None else D(text) for text in (amount, price, quote_amount)]
    consent.confirm_order(MARKET, side, pair, *numbers, above=D(above), yes=yes)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"amount": "0.016"}, None),
        ({"amount": "0.017"}, "buy 0.017 BTC-USDT at market is worth about 1,020 US dollars, more than 1,000"),
        ({"amount": "1", "price": "900"}, None),
        ({"amount": "1", "price": "1001"}, "buy 1 BTC-USDT at 1001 is worth about 1,001 US dollars"),
        ({"side": Side.SELL, "amount": "1", "price": "900"}, "about 60,000"),  # it sells at the market's price
        ({"amount": None, "quote_amount": "1001"}, "buy BTC-USDT for 1001 at market"),
        ({"pair": "ETH-BTC", "amount": "0.3"}, None),
        ({"pair": "ETH-BTC", "amount": "0.4"}, "about 1,200"),  # by BTC-USDT
        ({"pair": "ADA-EUR", "amount": "1"}, "its worth in US dollars is not known now"),
        ({"amount": "1", "yes": True}, None),
        ({"amount": "0.001", "above": "0"}, "more than 0"),
        ({"amount": None}, None),  # `place` refuses it
    ],
)
def test_an_order_above_the_bound_is_refused_without_a_terminal(given, words):
    if words is None:
        order(**given)
        return
    with pytest.raises(Rejected, match=words) as refused:
        order(**given)
    assert refused.value.code == "not_confirmed"
    assert "nothing was sent. Give --yes" in str(refused.value)


def test_a_pair_that_is_not_listed_is_an_error_before_the_question():
    with pytest.raises(UnknownInstrument):
        order(pair="NO-USDT")


@pytest.mark.parametrize(("answer", "agreed"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_at_a_terminal_the_answer_decides(monkeypatch, capsys, answer, agreed):
    stdin = io.StringIO(answer)
    for stream in (stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", stdin)
    if agreed:
        order(amount="1")
    else:
        with pytest.raises(Rejected, match="you did not agree; nothing was sent"):
            order(amount="1")
    shown = capsys.readouterr()
    assert shown.err.endswith("Continue? [y/N] ")
    assert shown.out == ""  # standard output holds only results
