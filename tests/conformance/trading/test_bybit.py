"""Bybit's connector passes the trading suite on the local exchange."""

from venuemesh.cli.conformance import Trade, trading_suite_of
from venuemesh.conformance.runner import Outcome, run_checks
from venuemesh.connectors.bybit import CONNECTOR


def test_bybit_passes_the_trading_suite() -> None:
    results = list(run_checks(trading_suite_of(CONNECTOR, Trade(), None, None, None)))
    assert not [result for result in results if result.outcome is Outcome.FAILED]
    assert sum(result.outcome is Outcome.PASSED for result in results) > 30
