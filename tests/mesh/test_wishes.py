"""Changes to a mesh last through the death of its supervisor and the absence of the GCS. Real Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from harness import Tree, kill, until

from tests.fakes.exchange_process import ExchangeProcess
from venuemesh.actors.cell.pulse import SUPERVISOR
from venuemesh.actors.cell.ray_calls import namespace
from venuemesh.mesh import mesh as client
from venuemesh.mesh.cluster import descendants
from venuemesh.mesh.session import leave
from venuemesh.model.errors import Misconfigured, NotSynced, UnknownExchange

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def exchange() -> Iterator[ExchangeProcess]:
    with ExchangeProcess("--seed", "5", "--rate", "100", "--symbols", "BTCUSDT,ETHUSDT") as process:
        yield process


@pytest.fixture
def start(grow: Callable[..., Tree], exchange: ExchangeProcess) -> Callable[..., Tree]:
    def begin(*pairs: str) -> Tree:
        return grow(exchanges=settings(exchange, *pairs), spares_per_node=1)

    return begin


def settings(exchange: ExchangeProcess, *pairs: str) -> dict[str, Any]:
    return {"binance": {"connector": "binance", "rest": exchange.rest, "ws": exchange.ws, "pairs": list(pairs)}}


def books(tree: Tree) -> dict[str, str]:
    status = tree.status()
    return {c["address"]: c["state"] for c in status["children"] if c["address"].startswith("book/")}


@pytest.fixture
def joined() -> Iterator[Callable[[Tree], client.Mesh]]:
    """Use a mesh from this process, and leave it afterwards."""
    meshes: list[str] = []

    def join(tree: Tree) -> client.Mesh:
        meshes.append(tree.mesh)
        return client.connect(tree.mesh)

    yield join
    for mesh in meshes:
        leave(mesh)


def test_a_network_is_stopped_durably_and_started_again(
    start: Callable[..., Tree], joined: Callable[[Tree], client.Mesh]
) -> None:
    tree = start("BTC-USDT", "ETH-USDT")
    market = joined(tree).market("binance")
    with pytest.raises(Misconfigured, match="connected to"):
        client.connect(tree.mesh, address="127.0.0.1:1")
    assert client.connect(tree.mesh, address=ray.get_runtime_context().gcs_address).name == tree.mesh
    with pytest.raises(UnknownExchange):
        ray.get(tree.supervisor.network.remote("nowhere", False))
    until("both are tracked", lambda: len(market.trading_pairs) == 2)
    market.wait_ready(60)
    book = market.order_book("BTC-USDT")
    first = book.incarnation
    market.stop_network()
    status = tree.status()
    assert status["stopped"] == ["binance"]
    assert books(tree) == {}
    assert {c["address"] for c in status["children"] if c["group"] == "binance"} == {
        "catalog/binance",
        "limits/binance/default",
    }
    assert market.trading_pairs == ["BTC-USDT", "ETH-USDT"]
    assert not market.ready
    assert set(market.status_dict.values()) <= {"RETIRED", "ABSENT"}
    with pytest.raises(NotSynced):
        book.top()
    assert market.mid_price("BTC-USDT") is not None  # the catalog still serves
    market.stop_network()

    kill(status["pid"])
    until("a new supervisor", lambda: tree.status()["pid"] != status["pid"])
    until("the instruments are read", lambda: not tree.status()["unread"])
    assert tree.status()["stopped"] == ["binance"]
    assert books(tree) == {}

    market.start_network()
    market.wait_ready(60)
    assert first is not None
    assert book.incarnation is not None
    assert book.incarnation > first
    assert tree.status()["stopped"] == []


def test_a_supervisor_created_anew_starts_from_its_own_configuration(
    start: Callable[..., Tree], exchange: ExchangeProcess
) -> None:
    tree = start("BTC-USDT")
    ray.get(tree.supervisor.track.remote("binance", ["ETH-USDT"]))
    until("both serve", lambda: list(books(tree).values()) == ["SERVING", "SERVING"])
    eth = tree.child("book/binance/ETH-USDT")
    tree.replace_supervisor(exchanges=settings(exchange, "ETH-USDT"))
    until("only what it names is there", lambda: books(tree) == {"book/binance/ETH-USDT": "SERVING"})
    assert tree.child("book/binance/ETH-USDT")["pid"] == eth["pid"]  # taken over as it was
    tree.replace_supervisor(exchanges={})
    until("nothing of the exchange is left", lambda: {c["group"] for c in tree.status()["children"]} == {"agent"})


def test_a_large_configuration_survives_the_process_that_started_the_mesh(grow: Callable[..., Tree]) -> None:
    tree = grow()
    ray.kill(tree.supervisor, no_restart=True)
    until("its name is free", tree.is_free)
    patterns = [f"X{number:05}-*" for number in range(15_000)]
    port = ray.get_runtime_context().gcs_address.rpartition(":")[2]
    starter = textwrap.dedent(f"""
        from tests.fakes.settings import mesh_settings
        from venuemesh.mesh.cluster import LOOPBACK, join_ray
        from venuemesh.supervisor.ray_supervisor import create
        join_ray(LOOPBACK + ":{port}")
        dead = {{"rest": "http://127.0.0.1:1", "pairs": {patterns!r}}}
        create(mesh_settings({tree.mesh!r}, exchanges={{"binance": dead}}))
    """)
    subprocess.run([sys.executable, "-"], input=starter, text=True, check=True, timeout=60.0)
    tree.supervisor = ray.get_actor(SUPERVISOR, namespace=namespace(tree.mesh))
    before = tree.status()
    kill(before["pid"])
    until("a later supervisor", lambda: tree.status()["epoch"] > before["epoch"])
    assert [child for child in tree.status()["children"] if child["address"] == "catalog/binance"]


def test_wishes_wait_for_a_gcs_that_is_away(start: Callable[..., Tree]) -> None:
    tree = start("BTC-USDT")
    before = tree.whole(children=4, spares=1)
    gcs = next(
        pid for pid, _ in descendants(os.getpid()) if Path(f"/proc/{pid}/comm").read_text().strip() == "gcs_server"
    )
    book = tree.child("book/binance/BTC-USDT")
    kill(gcs, signal.SIGSTOP)
    try:
        wish = tree.supervisor.track.remote("binance", ["ETH-USDT"])
        kill(book["pid"])  # what dies meanwhile is replaced by the spare
        assert ray.wait([wish], timeout=3.0)[0] == []
    finally:
        kill(gcs, signal.SIGCONT)
    ray.get(wish, timeout=30.0)
    until("both serve", lambda: list(books(tree).values()) == ["SERVING", "SERVING"])
    after = tree.whole(children=5, spares=1)
    assert after["pid"] == before["pid"]
    assert tree.child("book/binance/BTC-USDT")["pid"] != book["pid"]
