"""Binance.US passes the checks of what differs from Binance: the user stream, fees, its OCO, what it lacks."""

from contextlib import AbstractContextManager

from venuemesh.cli.local_venue import local_venue
from venuemesh.conformance.runner import Outcome, run_checks
from venuemesh.conformance.trading.checks import TradingConformance
from venuemesh.conformance.trading.suite import TradingSuite
from venuemesh.conformance.trading.venue import Venue
from venuemesh.connectors.binance import BINANCE_US

CHECKS = (
    "test_features_that_are_not_offered_are_refused_before_sending",
    "test_limit_buy",
    "test_replace",
    "test_order_list",
    "test_balances",
    "test_fee",
    "test_user_stream",
    "test_a_fill_is_reported",
)


def venue(cls: type[TradingSuite]) -> AbstractContextManager[Venue]:
    return local_venue("binanceus")


def test_binance_us_passes_the_checks_of_what_differs() -> None:
    chosen = {name: getattr(TradingConformance, name) for name in CHECKS}
    suite = type("Differs", (TradingSuite,), {**chosen, "connector": BINANCE_US, "venue": classmethod(venue)})
    results = list(run_checks(suite))
    assert [result for result in results if result.outcome is not Outcome.PASSED] == []
    assert len(results) == len(CHECKS)
