"""The third scenario of `test_mirrors`: a book moves between two nodes and leaves a drained one, without a gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray
from harness import PATIENCE_S, Tree, kill, until
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from two_nodes_reader import BOOK, Reader

from tests.fakes.exchange_process import ExchangeProcess

ON_NODES = ("agent", "mirror")


def scenario(nodes: dict[str, str], roots: dict[str, Path], exchange: ExchangeProcess) -> None:
    """Run the scenario. Raises AssertionError: a check failed."""
    binance = {"connector": "binance", "rest": exchange.rest, "ws": exchange.ws, "pairs": ["BTC-USDT"]}
    tree = Tree("moves", roots["a"], exchanges={"binance": binance}, hang_limit_s=4.0)
    tree.whole(children=5, spares=4)  # limits, catalog, a book, two agents
    instrument = ray.get(tree.supervisor.routes.remote())["routes"][BOOK]["instrument"]
    readers = {
        node: ray.remote(num_cpus=0)(Reader)
        .options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
        .remote("moves", instrument)
        for node in nodes.values()
    }

    def look(node: str) -> dict[str, Any]:
        """What the reader of a node has seen; renew its lease, as a process does every few seconds."""
        if tree.child(BOOK)["node"] != node:
            ray.get(tree.supervisor.mirror.remote(node, [BOOK]))
        found: dict[str, Any] = ray.get(readers[node].look.remote(), timeout=PATIENCE_S)
        return found

    def trusted(what: str) -> dict[str, Any]:
        """Wait until both readers trust the book; return why they did not, without late heartbeats (DEAD)."""
        until(what, lambda: all(look(node)["trusted"] for node in readers))
        return {node: look(node)["why"] for node in readers}

    why = trusted("the book is LIVE on both nodes")
    for _ in range(2):
        before = tree.child(BOOK)
        target = next(node for node in readers if node != before["node"])
        moved = ray.get(tree.supervisor.move.remote(BOOK, target), timeout=PATIENCE_S)
        assert moved["moved"], moved
        after = tree.child(BOOK)
        assert after["node"] == target
        until(
            "its old process is gone", lambda pid=before["pid"]: pid not in [c["pid"] for c in tree.status()["cells"]]
        )
        until(
            "both read the successor", lambda a=after: all(look(n)["incarnation"] >= a["incarnation"] for n in readers)
        )
        assert (now := trusted("the book is LIVE on both nodes")) == why, (
            f"readers lost the book that moved: {why} {now}"
        )

    drained = tree.child(BOOK)["node"]
    asked = tree.supervisor.drain.remote(drained, False, PATIENCE_S)
    until("the drained node is empty", lambda: all(look(n) for n in readers) and ray.wait([asked], timeout=0)[0])
    answer = ray.get(asked)
    assert BOOK in answer["moved"], answer
    assert all(name == "supervisor" or name.startswith(ON_NODES) for name in answer["left"]), answer
    assert (now := trusted("the book is LIVE on both nodes")) == why, f"a drain lost the book: {why} {now}"
    status = tree.status()
    assert {c["address"].split("/")[0] for c in status["children"] if c["node"] == drained} <= set(ON_NODES)
    assert not [c for c in status["cells"] if c["node"] == drained and c["address"] is None]

    kill(status["pid"])
    until("the next supervisor", lambda: tree.status()["epoch"] > status["epoch"])
    states = until("both nodes are known", lambda: len(s := _states(tree)) == 2 and s)
    assert states[drained] == "DRAINED"
    assert ray.get(tree.supervisor.drain.remote(drained, True), timeout=PATIENCE_S)["drained"] is False
    assert _states(tree)[drained] == "UP"
    until("spares are there again", lambda: [c for c in tree.status()["cells"] if _is_spare_of(c, drained)])
    for reader in readers.values():
        ray.kill(reader)
    tree.shutdown()


def _states(tree: Tree) -> dict[str, str]:
    return {node["node"]: node["state"] for node in tree.status()["nodes"]}


def _is_spare_of(cell: dict[str, Any], node: str) -> bool:
    return cell["node"] == node and cell["state"] == "spare"
