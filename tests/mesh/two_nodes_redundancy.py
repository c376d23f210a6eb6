"""The fourth scenario of `test_mirrors`: both nodes keep a redundant book; readers of either notice no loss.

A request to a copy that is silent is answered by the other one.
They notice no change of `redundancy` either.
"""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Any

import ray
from harness import PATIENCE_S, Tree, kill, until
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from two_nodes_market import PAIR, Strategy
from two_nodes_reader import BOOK, Reader

from tests.fakes.exchange_process import ExchangeProcess
from venuemesh.actors.cell.pulse import is_alive, process_start
from venuemesh.mesh import mesh as client
from venuemesh.mesh.session import leave
from venuemesh.model.address import replica_of
from venuemesh.model.events import BookState

REPLICA = replica_of(BOOK)


def scenario(nodes: dict[str, str], roots: dict[str, Path], exchange: ExchangeProcess) -> None:
    """Run the scenario. Raises AssertionError: a check failed."""
    binance = {"connector": "binance", "rest": exchange.rest, "ws": exchange.ws, "pairs": [PAIR], "redundancy": 2}
    tree = Tree("redundant", roots["a"], exchanges={"binance": binance}, hang_limit_s=4.0)
    tree.whole(children=6, spares=4)  # limits, catalog, a book and its replica, two agents
    assert {tree.child(address)["node"] for address in (BOOK, REPLICA)} == set(nodes.values())
    instrument = ray.get(tree.supervisor.routes.remote())["routes"][BOOK]["instrument"]
    market = client.connect("redundant").market("binance")
    until("the pair is tracked, once", lambda: market.trading_pairs == [PAIR])
    on = {node: NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes.values()}
    readers, strategies = (
        {node: ray.remote(num_cpus=0)(kind).options(scheduling_strategy=on[node]) for node in on}
        for kind in (Reader, Strategy)
    )
    looking = {node: reader.remote("redundant", instrument) for node, reader in readers.items()}
    following = {node: strategy.remote(market.aio) for node, strategy in strategies.items()}  # they renew the leases
    ray.get([one.follow.remote() for one in following.values()], timeout=PATIENCE_S)

    def look(node: str) -> dict[str, Any]:
        found: dict[str, Any] = ray.get(looking[node].look.remote(), timeout=PATIENCE_S)
        return found

    def followed() -> dict[str, dict[str, Any]]:
        return {node: ray.get(one.look.remote(), timeout=PATIENCE_S) for node, one in following.items()}

    def addresses() -> set[str]:
        return {c["address"] for c in tree.status()["children"]}

    def mirrored() -> bool:
        """Return whether the mirror of each node follows the copy of the other node."""
        copies = {tree.child(address)["node"]: [address] for address in (BOOK, REPLICA)}
        mirrors = [c for c in tree.status()["children"] if c["address"].startswith("mirror/")]
        found = {c["node"]: tree.followed(c["address"]) for c in mirrors}
        return found == {node: copies[other] for node in on for other in on if other != node}

    until("both copies are read on both nodes", mirrored)
    until("the book is LIVE on both nodes", lambda: all(look(node)["trusted"] for node in on))
    why = {node: look(node)["why"] for node in on}
    for address, number in ((BOOK, signal.SIGKILL), (REPLICA, signal.SIGSTOP), (BOOK, signal.SIGSTOP)):
        before, seen = tree.child(address), followed()
        kill(before["pid"], number)
        tree.succeeded(address, before)
        until(
            "changes and trades continue",
            lambda s=seen: all(
                now["changes"] > s[node]["changes"] + 5 and now["trades"] > s[node]["trades"]
                for node, now in followed().items()
            ),
        )
        until("both copies are read again", mirrored)
        now = {node: look(node)["why"] for node in on}
        assert now == why, f"readers noticed {number.name} of {address}: {why} {now}"
        assert tree.child(BOOK)["node"] != tree.child(REPLICA)["node"]

    def reads_on(what: str) -> None:
        """Wait until changes and trades continue on both nodes; no read of theirs found the book not LIVE."""
        seen = followed()
        until(
            f"{what}: changes and trades continue",
            lambda: all(
                now["changes"] > seen[node]["changes"] + 5 and now["trades"] > seen[node]["trades"]
                for node, now in followed().items()
            ),
        )
        now = {node: look(node)["why"] for node in on}
        assert now == why, f"readers noticed {what}: {why} {now}"

    before = tree.child(BOOK)
    tree.replace_supervisor(exchanges={"binance": binance | {"redundancy": 1}})
    tree.succeeded(BOOK, before)
    until("the book is alone", lambda: not [c for c in tree.status()["cells"] if c["address"] == REPLICA])
    reads_on("one copy less")
    before = tree.child(BOOK)
    tree.replace_supervisor(exchanges={"binance": binance})
    tree.succeeded(BOOK, before)
    until("both copies are read again", lambda: len(addresses() & {BOOK, REPLICA}) == 2 and mirrored())
    reads_on("one copy more")

    def is_answered(address: str) -> bool:
        """Stop a copy; return whether a request of its node is answered by the other one before a successor exists."""
        silent, living = tree.child(address), tree.child(REPLICA if address == BOOK else BOOK)
        started = process_start(silent["pid"] or 0)
        if started is None or living["state"] != "SERVING":
            return False
        kill(silent["pid"], signal.SIGSTOP)
        deep = ray.get(following[silent["node"]].deep.remote(), timeout=2 * PATIENCE_S)
        in_time = is_alive(silent["pid"], started)
        with contextlib.suppress(ProcessLookupError):
            kill(silent["pid"], signal.SIGCONT)
        assert deep["address"] == BOOK
        return in_time and (deep["state"], deep["incarnation"]) == (BookState.LIVE, living["incarnation"])

    for address in (BOOK, REPLICA):
        until(f"the other copy answers while {address} hangs", lambda a=address: is_answered(a))

    def needs_no_supervisor() -> bool:
        """Stop the supervisor; return whether the first requests of new processes are answered before it continues."""
        fresh = [strategy.remote(market.aio) for strategy in strategies.values()]
        ray.get([one.look.remote() for one in fresh], timeout=PATIENCE_S)
        pid = tree.status()["pid"]
        started = process_start(pid) or 0
        kill(pid, signal.SIGSTOP)
        ray.get([one.deep.remote() for one in fresh], timeout=2 * PATIENCE_S)
        in_time = is_alive(pid, started)
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGCONT)
        for one in fresh:
            ray.kill(one)
        return in_time

    until("a first request is answered while the supervisor hangs", needs_no_supervisor)
    for actor in (*looking.values(), *following.values()):
        ray.kill(actor)
    leave("redundant")
    tree.shutdown()
