"""The short half of the cluster's tests, with a head, one worker and two books; part of `make test`."""

from __future__ import annotations

import pytest

from tests.cluster import faults
from tests.cluster.running import Running
from tests.cluster.world import World

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def make_world() -> World:
    return World(("b",), west=("BTC-USDT", "ETH-USDT"), east=(), quiet_start_s=35.0)


@pytest.mark.parametrize("fault", [faults.brief_cut, faults.power], ids=lambda fault: fault.__name__)
def test_the_worker_is_lost(running: Running, fault: faults.Fault) -> None:
    host = running.hosts["b"]
    with running.case(f"{fault.__name__} of the only worker", host=host.name, roles=running.roles(host)) as row:
        fault(running, host, row)
