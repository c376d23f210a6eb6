"""Bybit's connector passes the trading suite on the local exchange."""

from contextlib import AbstractContextManager
from typing import ClassVar

from venuemesh.cli.conformance import Trade, trading_suite_of
from venuemesh.cli.local_venue import LocalLedger, local_venue
from venuemesh.conformance.runner import Outcome, run_checks
from venuemesh.conformance.trading.orders import Orders
from venuemesh.conformance.trading.venue import Venue
from venuemesh.connectors.bybit import CONNECTOR


def test_bybit_passes_the_trading_suite() -> None:
    results = list(run_checks(trading_suite_of(CONNECTOR, Trade(), None, None, None)))
    assert not [result for result in results if result.outcome is Outcome.FAILED]
    assert sum(result.outcome is Outcome.PASSED for result in results) > 30


class OrdersByWebsocket(Orders):
    """Only the checks of orders: the other checks do not depend on the transport of orders."""

    connector = CONNECTOR
    asked: ClassVar[dict[str, int]]

    @classmethod
    def venue(cls) -> AbstractContextManager[Venue]:
        return local_venue("bybit", orders="websocket")

    @classmethod
    def teardown_class(cls) -> None:
        assert isinstance(cls.desk.venue.ledger, LocalLedger)
        cls.asked = cls.desk.venue.ledger.admin.stats()["requests"]
        super().teardown_class()


def test_orders_go_over_the_websocket() -> None:
    results = list(run_checks(OrdersByWebsocket))
    assert not [result for result in results if result.outcome is Outcome.FAILED]
    assert sum(result.outcome is Outcome.PASSED for result in results) > 10
    assert OrdersByWebsocket.asked.keys() >= {"ws:order.create", "ws:order.cancel", "ws:order.amend"}
