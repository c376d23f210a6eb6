"""Meshes of many pairs on several hosts, started by `venuemesh up` as the page says, without strategies."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cluster import faults, page
from tests.cluster.hosts import until
from tests.cluster.init import HOME
from tests.cluster.world import ADMIN_PORT, MESH, PORT, PYTHON, World
from venuemesh.supervisor.tree.balancer import FEWEST, SLACK

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]
UP_S, ANSWERED_S, IDLE_S, SPREAD_S = 900.0, 120.0, 30.0, 300.0
LISTED = 3  # pairs that the exchange lists by name
URLS = f"""rest = "http://127.0.0.1:{PORT}"
ws = "ws://127.0.0.1:{PORT}"
connector = "binance"
pairs = ["*"]
"""
DEFAULTS = f'''[mesh]
name = "{MESH}"

[journal]
url_file = "~/venuemesh/journal-url"

[exchanges.west]
{URLS}'''
TWO_EGRESSES = f"""{DEFAULTS}pairs_per_actor = 30
egress = "west"
nodes = {{ region = "west" }}

[exchanges.east]
{URLS}pairs_per_actor = 30
egress = "east"
nodes = {{ region = "east" }}
"""


@contextmanager
def started(permitted: None, rows: list[dict[str, Any]], config: str, pairs: int) -> Iterator[tuple[World, Any]]:
    """Start a mesh with this configuration at an exchange with so many pairs; yield its hosts and its status."""
    symbols = f"BTCUSDT,ETHUSDT,SOLUSDT,+{pairs - LISTED}"
    with World(("b",), symbols=symbols, config=config) as world:
        world.start()
        began = time.monotonic()
        printed = world.hosts["a"].run(page.command("up"), UP_S)
        row = {"case": f"up with {pairs} pairs", "up_s": round(time.monotonic() - began, 1), "printed": printed[-2000:]}
        rows.append(row)
        yield world, everything(world)
        row["passed"] = True
        world.hosts["b"].run(page.command("down"), 120.0)


def answered_by_all(world: World) -> Any:
    """Return the status of the mesh once every actor has answered in it; on a busy machine some are late."""
    status = json.loads(world.hosts["b"].run("venuemesh status --json").splitlines()[-1])
    return status if all(child["status"] is not None for child in status["children"]) else None


def everything(world: World) -> Any:
    """Return the status of the mesh with that of every actor."""
    return until("every actor's status is known", lambda: answered_by_all(world), ANSWERED_S)


def idle_load(world: World) -> dict[str, Any]:
    """Return what each kind of process uses without readers and orders: their number, percent of a core each."""
    before, began = everything(world), time.monotonic()
    faults.last(IDLE_S)
    after, seconds = everything(world), time.monotonic() - began
    used = {cell["pid"]: cell["cpu_s"] for cell in before["cells"]}
    shares: dict[str, list[float]] = {}
    for cell in after["cells"]:
        if cell["pid"] in used and cell["cpu_s"] is not None:
            kind = (cell["address"] or "spare").partition("/")[0]
            shares.setdefault(kind, []).append(100 * (cell["cpu_s"] - used[cell["pid"]]) / seconds)
    return {kind: {"processes": len(each), "percent": round(sum(each) / len(each), 2)} for kind, each in shares.items()}


def places(status: Any) -> Counter[str]:
    """Return the number of book actors by node."""
    return Counter(child["node"] for child in status["children"] if child["address"].startswith("book/"))


def states(status: Any) -> list[str]:
    """Return the states of all books."""
    books = [child["status"] for child in status["children"] if child["address"].startswith("book/")]
    return [pair["state"] for book in books for pair in book["pairs"].values()]


@pytest.mark.parametrize("pairs", [60, 200])
def test_up_with_many_pairs_ends_when_all_are_live(permitted: None, rows: list[dict[str, Any]], pairs: int) -> None:
    with started(permitted, rows, DEFAULTS, pairs) as (world, status):
        assert states(status) == ["LIVE"] * pairs
        if pairs <= 60:  # more are an overload on two cores
            rows[-1]["idle"] = idle_load(world)
        rows[-1]["spread"] = list(places(status).values())
        # On an overloaded machine some start again, where a process waits; what is too many moves by itself, once
        # nothing was restarted for a while.
        most = max(FEWEST, SLACK * pairs / 2)

        def is_spread() -> bool:
            counts = places(everything(world))
            return len(counts) == 2 and abs(counts.total() - 2 * max(counts.values())) <= most

        until("the books are spread over both hosts", is_spread, SPREAD_S, 2.0)


def test_two_egresses_on_two_hosts_carry_twice_the_budget(permitted: None, rows: list[dict[str, Any]]) -> None:
    pairs = 150
    with started(permitted, rows, TWO_EGRESSES, pairs) as (world, status):
        assert states(status) == ["LIVE"] * 2 * pairs
        windows = [
            child["status"]["windows"]["weight"]
            for child in status["children"]
            if child["address"].startswith("limits/")
        ]
        rows[-1]["weight"] = [one["granted"] for one in windows]
        assert sum(one["granted"] for one in windows) > windows[0]["limit"], windows
        assert len(windows) == 2
        assert all(0 < one["most"] <= one["limit"] for one in windows), windows
        assert {"200"} <= set(answered(world)) <= {"101", "200"}, "the exchange refused requests"


def answered(world: World) -> dict[str, int]:
    """Return how often the exchange answered with each status."""
    client = f"AdminClient('http://127.0.0.1:{ADMIN_PORT}', token=open('{HOME}/admin-token').read().strip())"
    program = (
        f"from venuemesh.exchange.admin.client import AdminClient; import json; print(json.dumps({client}.stats()))"
    )
    found: dict[str, int] = json.loads(world.hosts["a"].run(f'{PYTHON} -c "{program}"'))["statuses"]
    return found
