"""The first scenario of `test_mirrors`: books on node A, a reader on node B with its own segment directory.

Run as a program it runs all scenarios, because one process can be connected to one Ray cluster only. It prints a line
`NAME: all held` for each that passed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import ray
import two_nodes_market
import two_nodes_moves
import two_nodes_preference
import two_nodes_redundancy
from harness import RAY_ENVIRONMENT, Tree, kill, leftovers, until
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from two_nodes_reader import BOOK, Reader

from tests.fakes.exchange_process import ExchangeProcess
from venuemesh.actors.cell.pulse import process_start
from venuemesh.actors.node.local_copy import NOT_HEARD
from venuemesh.mesh.cluster import LOOPBACK, loopback_allowed

HANG_S = 2.0  # a loaded machine must not kill healthy cells


def add_node(cluster: Cluster, segments: Path, zone: str) -> Any:
    """Add a raylet whose processes have their own segment directory."""
    os.environ["VENUEMESH_SEGMENTS"] = str(segments)
    return cluster.add_node(num_cpus=2, labels={"zone": zone}, object_store_memory=80_000_000, node_ip_address=LOOPBACK)


def command_without_ray(root: Path, *arguments: str) -> Any:
    """Run a command that cannot import Ray on the host with this segment root; return what it prints as JSON."""
    script = "import sys; sys.modules['ray'] = None; from venuemesh.__main__ import main; main()"
    environment = os.environ | {"VENUEMESH_SEGMENTS": str(root), "XDG_STATE_HOME": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def scenario(nodes: dict[str, str], roots: dict[str, Path], exchange: ExchangeProcess) -> None:
    """Run the scenario. Raises AssertionError: a check failed."""
    binance = {"connector": "binance", "rest": exchange.rest, "ws": exchange.ws, "pairs": ["BTC-USDT"]}
    binance["nodes"] = {"zone": "a"}
    tree = Tree("two", roots["a"], exchanges={"binance": binance}, hang_limit_s=HANG_S)
    status = tree.whole(children=5, spares=4)  # limits, catalog, a book, two agents
    placed = {c["address"]: c["node"] for c in status["children"]}
    assert placed[BOOK] == nodes["a"], placed
    routes = ray.get(tree.supervisor.routes.remote())["routes"]
    on_b = NodeAffinitySchedulingStrategy(nodes["b"], soft=False)
    remote = ray.remote(num_cpus=0)(Reader).options(scheduling_strategy=on_b)
    reader = remote.remote("two", routes[BOOK]["instrument"])

    def look() -> dict[str, Any]:
        renew()
        found: dict[str, Any] = ray.get(reader.look.remote(), timeout=10.0)
        return found

    def lost(look: dict[str, Any]) -> dict[str, int]:
        """Return why the reader did not trust the book, and how often; without sources that were only late."""
        return {why: count for why, count in look["why"].items() if NOT_HEARD not in why}

    def renew() -> bool:
        """Renew the reader's lease, as a process does every few seconds: without a lease a node has no mirror."""
        lease_s: float = ray.get(tree.supervisor.mirror.remote(nodes["b"], [BOOK]))
        assert lease_s > 0
        return True

    assert ray.get(reader.look.remote())["state"] == "ABSENT"
    first = until("the book is LIVE on node b", lambda: (s := look())["state"] == "LIVE" and s)
    until("it moves", lambda: look()["sequence"] > first["sequence"])
    maps = ray.get(reader.maps.remote())
    assert maps, "the reader has nothing mapped"
    assert all(name.startswith(str(roots["b"])) for name in maps), maps

    shown = command_without_ray(roots["b"], "book", "binance", "BTC-USDT", "--mesh", "two", "--depth", "400", "--json")
    assert shown["state"] == "LIVE", shown
    assert len(shown["bids"]) > 200, "deeper than the mirror: the agent of node b asks the book on node a"

    mirror = next(c for c in tree.status()["children"] if c["address"].startswith("mirror/"))
    assert mirror["node"] == nodes["b"]
    before, before_kill, epoch = tree.child(mirror["address"]), lost(look()), tree.status()["epoch"]
    kill(tree.status()["pid"])
    until("a later supervisor", lambda: tree.status()["epoch"] > epoch)
    sequence = look()["sequence"]
    until("the book moves under the later supervisor", lambda: look()["sequence"] > sequence)
    until("the mirror reports what it follows", lambda: tree.followed(mirror["address"]) == [BOOK])
    assert tree.child(mirror["address"])["incarnation"] == before["incarnation"]
    assert lost(look()) == before_kill, f"readers of another node lost a book when the supervisor was killed: {look()}"

    for number in (signal.SIGSTOP, signal.SIGKILL):
        mirror, lost = tree.child(mirror["address"]), look()["lost"]
        kill(mirror["pid"], number)
        until(f"NotSynced while the mirror is gone ({number.name})", lambda n=lost: look()["lost"] > n, 10.0)
        until(f"a successor of the mirror ({number.name})", lambda m=mirror: renew() and tree.successor(m))
        until("the book is LIVE again on node b", lambda: look()["trusted"])

    for number in (signal.SIGSTOP, signal.SIGKILL):
        book = tree.child(BOOK)
        seen, lost = look()["incarnation"], look()["lost"]
        kill(book["pid"], number)
        until(f"NotSynced while the source is gone ({number.name})", lambda n=lost: look()["lost"] > n, 10.0)
        tree.succeeded(BOOK, book)
        until("the successor is LIVE", lambda s=seen: (n := look())["trusted"] and n["incarnation"] > s)

    processes = tree.processes | {(first["pid"], process_start(first["pid"]) or 0)}
    ray.kill(reader)
    tree.shutdown()
    assert not leftovers(processes)


def run(roots: dict[str, Path], exchange: ExchangeProcess) -> list[str]:
    """Run the scenarios on one cluster of two nodes; return the names of those that failed."""
    cluster, failed = Cluster(), []
    try:
        add_node(cluster, roots["a"], "a")
        add_node(cluster, roots["b"], "b")
        os.environ["VENUEMESH_SEGMENTS"] = str(roots["a"])
        with loopback_allowed():
            ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        nodes = {n["Labels"]["zone"]: n["NodeID"] for n in ray.nodes()}
        for name, play in {
            "reader": scenario,
            "market": two_nodes_market.scenario,
            "moves": two_nodes_moves.scenario,
            "redundancy": two_nodes_redundancy.scenario,
            "preference": two_nodes_preference.scenario,
        }.items():
            began = time.monotonic()
            try:
                play(nodes, roots, exchange)
            except Exception:
                traceback.print_exc(file=sys.stdout)
                failed.append(name)
            else:
                print(f"{name}: all held, {time.monotonic() - began:.1f} s", flush=True)
        left = [path for root in roots.values() for path in root.rglob("*") if not path.is_dir()]
        assert failed or not left, left
    finally:
        ray.shutdown()
        cluster.shutdown()
    return failed


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="vm2", dir="/tmp"))
    os.environ.update(RAY_ENVIRONMENT, RAY_TMPDIR=str(folder))  # Ray's folder of sessions is `ray` below it
    memory = Path("/dev/shm") if os.path.isdir("/dev/shm") else folder
    roots = {zone: Path(tempfile.mkdtemp(prefix=f"vm2{zone}", dir=memory)) for zone in ("a", "b")}
    try:
        with ExchangeProcess("--seed", "3", "--rate", "200", "--symbols", "BTCUSDT") as exchange:
            failed = run(roots, exchange)
    finally:
        for path in (folder, *roots.values()):
            shutil.rmtree(path, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
