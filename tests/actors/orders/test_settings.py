"""The settings of an order manager, and the age of its ids."""

from __future__ import annotations

import pytest

from venuemesh.actors.account.settings import GatewaySettings
from venuemesh.actors.orders.settings import OrderManagerSettings, OrderSettings
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.journal.settings import JournalSettings
from venuemesh.model.errors import Misconfigured
from venuemesh.model.ids import OrderIds, born


def test_a_machine_of_another_exchange_is_refused():
    gateway = GatewaySettings(ConnectorSettings("acme"))
    assert OrderManagerSettings(gateway, OrderSettings("acme", "main"), JournalSettings()).stop_s == 5.0
    with pytest.raises(Misconfigured, match="machine belongs to other"):
        OrderManagerSettings(gateway, OrderSettings("other", "main"), JournalSettings())


def test_an_id_shows_the_start_of_its_maker():
    began_ns = 1_795_000_000_123_000_000
    assert born(OrderIds(began_ns, 5)()) == began_ns
    assert born("somebody-elses") is None
    assert born("vm!!") is None
