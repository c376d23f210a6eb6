"""Every connector passes the check of streams that stop, all at the same time, and the check can fail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from venuemesh.cli.conformance import Plan, Trade, streams_suite_of
from venuemesh.conformance.market import stopped
from venuemesh.conformance.runner import Outcome, Result, run_checks
from venuemesh.connectors import binance, bybit, coinbase, htx, kraken, okx

CONNECTORS = (
    binance.CONNECTOR,
    bybit.CONNECTOR,
    coinbase.CONNECTOR,
    htx.CONNECTOR,
    kraken.CONNECTOR,
    okx.CONNECTOR,
)


def plan(exchange: str) -> Plan:
    return Plan(exchange, None, False, None, None, None, 1.0, Trade())


def test_each_connector_notices_a_stream_that_stops() -> None:
    def run(connector) -> Result:
        (result,) = run_checks(streams_suite_of(connector, plan(connector.name)))
        return result

    with ThreadPoolExecutor(len(CONNECTORS)) as threads:
        found = dict(zip((one.name for one in CONNECTORS), threads.map(run, CONNECTORS), strict=True))
    assert {name: (result.outcome, result.reason) for name, result in found.items()} == dict.fromkeys(
        found, (Outcome.PASSED, "")
    )


def test_the_check_fails_if_nothing_is_noticed_in_time(monkeypatch) -> None:
    monkeypatch.setattr(stopped, "BOUND_S", 1.0)
    (result,) = run_checks(streams_suite_of(binance.CONNECTOR, plan("binance")))
    assert result.outcome is Outcome.FAILED
    assert result.reason == "waited 1 s for BTC-USDT, whose stream stopped, to leave LIVE"


def test_a_run_on_another_exchange_stops_no_stream() -> None:
    assert streams_suite_of(kraken.CONNECTOR, plan("kraken")) is not None
    for other in (
        Plan("kraken", None, True, None, None, None, 1.0),
        Plan("kraken", None, False, None, None, None, 1.0, Trade(wanted=False)),
        Plan("kraken", None, False, None, None, None, 1.0, Trade(account={"keys": "main"})),
    ):
        assert streams_suite_of(kraken.CONNECTOR, other) is None
