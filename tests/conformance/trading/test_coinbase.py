"""Coinbase Exchange's connector passes the trading suite on the local exchange, over its stream and by polling."""

import pytest

from venuemesh.cli.conformance import Trade, trading_suite_of
from venuemesh.conformance.runner import Outcome, run_checks
from venuemesh.connectors.coinbase import CONNECTOR


@pytest.mark.parametrize("stream", ["websocket", pytest.param("polling", marks=pytest.mark.soak)])
def test_coinbase_passes_the_trading_suite(stream: str) -> None:
    results = list(run_checks(trading_suite_of(CONNECTOR, Trade(stream=stream), None, None, None)))
    assert not [result for result in results if result.outcome is Outcome.FAILED]
    assert sum(result.outcome is Outcome.PASSED for result in results) > 25
