"""Kraken's orders by websocket pass the checks of orders; `test_checks` runs the whole suite with orders by REST."""

from contextlib import AbstractContextManager
from typing import ClassVar

from venuemesh.cli.local_venue import LocalLedger, local_venue
from venuemesh.conformance.runner import Outcome, run_checks
from venuemesh.conformance.trading.orders import Orders
from venuemesh.conformance.trading.venue import Venue
from venuemesh.connectors.kraken import CONNECTOR


class OrdersByWebsocket(Orders):
    connector = CONNECTOR
    asked: ClassVar[dict[str, int]]

    @classmethod
    def venue(cls) -> AbstractContextManager[Venue]:
        return local_venue("kraken", orders="websocket")

    @classmethod
    def teardown_class(cls) -> None:
        assert isinstance(cls.desk.venue.ledger, LocalLedger)
        cls.asked = cls.desk.venue.ledger.admin.stats()["requests"]
        super().teardown_class()


def test_orders_go_over_the_websocket() -> None:
    results = list(run_checks(OrdersByWebsocket))
    assert not [result for result in results if result.outcome is Outcome.FAILED]
    assert sum(result.outcome is Outcome.PASSED for result in results) > 10
    calls = {"ws:add_order", "ws:cancel_order", "ws:amend_order", "ws:batch_add", "ws:batch_cancel"}
    assert OrdersByWebsocket.asked.keys() >= calls
