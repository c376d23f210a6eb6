"""Every rule of the engine has the manual's name for it, in exchangeInfo and in refusals."""

from __future__ import annotations

from dataclasses import replace

from venuemesh.exchange.binance.payloads import filters
from venuemesh.exchange.binance.signed import FILTERS, refused
from venuemesh.exchange.engine.rules import ONE, rules_for
from venuemesh.model.errors import Rejected


def test_every_rule_is_listed_and_refused_by_the_manuals_name() -> None:
    names = {entry["filterType"] for entry in filters(replace(rules_for("BTCUSDT"), max_position=ONE))}
    assert names == {*FILTERS.values(), "NOTIONAL", "MAX_NUM_ORDER_AMENDS"}
    for code, name in {**FILTERS, "NOTIONAL": "NOTIONAL"}.items():
        error = refused(Rejected(code, ""))
        assert (error.status, error.code, error.msg) == (400, -1013, f"Filter failure: {name}")
    assert refused(Rejected("AMENDS", "")).msg == "Filter failure: MAX_NUM_ORDER_AMENDS"
