"""An account whose journal is a file of one host: it waits for the host, and continues there."""

from __future__ import annotations

import pytest

from tests.cluster import faults
from tests.cluster.hosts import until
from tests.cluster.running import Running, node_of
from tests.cluster.world import World

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ORDERS = "orders/west/main"


def make_world() -> World:
    return World(("b", "c"), west=("BTC-USDT", "ETH-USDT"), east=(), sqlite=True)


def test_the_host_of_the_journal_is_lost_and_comes_back(running: Running) -> None:
    host = running.host_of(ORDERS)
    with running.case("SQLite's host lost and back", host=host.name) as row:
        node = node_of(host)
        host.cut_power()
        until("the host is lost", lambda: node not in running.known_nodes(), faults.DETECTED_S * running.pace, 1.0)
        row["waits"] = running.children()[ORDERS]["why"]
        assert host.name in row["waits"], row["waits"]
        host.boot()
    assert running.host_of(ORDERS) is host
