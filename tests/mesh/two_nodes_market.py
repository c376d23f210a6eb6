"""The second scenario of `test_mirrors`: a strategy on node B reads through `Market`; its book moves to B and back."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from typing import Any

import ray
from harness import PATIENCE_S, Tree, until
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tests.fakes.exchange_process import ExchangeProcess
from venuemesh.market.market import AsyncMarket
from venuemesh.mesh import mesh as client
from venuemesh.mesh.session import leave

PAIR = "BTC-USDT"
BOOK = f"book/binance/{PAIR}"
LEASE_S = 3.0  # a process renews it after a quarter of it: a slow machine is in time too


def mapped() -> list[str]:
    """The segment files that this process has mapped."""
    return [line.split(maxsplit=5)[5] for line in Path("/proc/self/maps").read_text().splitlines() if "@" in line]


class Strategy:
    """Follows one book and its trades by one view, through all restarts."""

    def __init__(self, market: AsyncMarket) -> None:
        self._market: Any = market
        self._view: Any = market.order_book(PAIR)
        self.changes = self.trades = 0
        self.incarnations: list[list[int]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def follow(self) -> None:
        self._tasks = [asyncio.ensure_future(work) for work in (self._follow_changes(), self._follow_trades())]

    async def _follow_changes(self) -> None:
        async for top in self._view.changes():
            assert top.live
            self.changes += 1
            if [*top.incarnation] not in self.incarnations:
                self.incarnations.append([*top.incarnation])

    async def _follow_trades(self) -> None:
        async for _ in self._view.trades():
            self.trades += 1

    async def look(self) -> dict[str, Any]:
        for task in self._tasks:
            if task.done():
                task.result()
        return {
            "changes": self.changes,
            "trades": self.trades,
            "incarnations": self.incarnations,
            "state": self._view.state.name,
            "maps": mapped(),
        }

    async def deep(self) -> dict[str, Any]:
        """Request the whole book from its actor."""
        found: dict[str, Any] = await self._market.ask_role(BOOK, "snapshot", {"pair": PAIR}, PATIENCE_S)
        return found

    async def let_go(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._view = self._market = None
        gc.collect()


def scenario(nodes: dict[str, str], roots: dict[str, Path], exchange: ExchangeProcess) -> None:
    """Run the scenario. Raises AssertionError: a check failed."""
    binance = {"connector": "binance", "rest": exchange.rest, "ws": exchange.ws, "pairs": [PAIR]}

    def in_zone(zone: str) -> dict[str, Any]:
        return {"binance": {**binance, "nodes": {"zone": zone}}}

    tree = Tree("facade", roots["a"], exchanges=in_zone("a"), mirror_lease_s=LEASE_S, spares_per_node=1)
    tree.whole(children=5, spares=2)
    mesh = client.connect("facade")
    market = mesh.market("binance")
    until("the pair is tracked", lambda: market.trading_pairs == [PAIR])
    on_b = NodeAffinitySchedulingStrategy(nodes["b"], soft=False)
    strategy = ray.remote(num_cpus=0)(Strategy).options(scheduling_strategy=on_b).remote(market.aio)
    ray.get(strategy.follow.remote(), timeout=PATIENCE_S)

    def look() -> dict[str, Any]:
        found: dict[str, Any] = ray.get(strategy.look.remote(), timeout=PATIENCE_S)
        return found

    def reads_on(what: str, newer_than: list[int] | None = None) -> dict[str, Any]:
        before = look()

        def probe() -> dict[str, Any] | None:
            now = look()
            more = now["changes"] > before["changes"] + 5 and now["trades"] > before["trades"]
            newer = newer_than is None or now["incarnations"][-1] > newer_than
            return now if more and newer and now["state"] == "LIVE" else None

        found: dict[str, Any] = until(what, probe)
        assert all(name.startswith(str(roots["b"])) for name in found["maps"]), found["maps"]
        return found

    def mirrors() -> list[str]:
        return [c["node"] for c in tree.status()["children"] if c["address"].startswith("mirror/")]

    def serves_on(zone: str) -> bool:
        """Return whether the book serves on the node of this zone; a new supervisor may not know the book yet."""
        found = [c for c in tree.status()["children"] if c["address"] == BOOK]
        return bool(found and found[0]["node"] == nodes[zone] and found[0]["pid"])

    reads_on("changes and trades come through the mirror")
    assert mirrors() == [nodes["b"]]
    mirror = tree.child(f"mirror/{nodes['b'][:12]}")
    end = time.monotonic() + 2 * LEASE_S
    while time.monotonic() < end:
        assert mirrors() == [nodes["b"]]
        time.sleep(0.1)
    seen = reads_on("the view's lease is renewed")
    assert tree.child(mirror["address"])["incarnation"] == mirror["incarnation"]

    tree.replace_supervisor(exchanges=in_zone("b"))
    until("the book serves on b", lambda: serves_on("b"))
    seen = reads_on("the same view reads the book that moved to its node", seen["incarnations"][-1])
    until("a book of the same node needs no mirror", lambda: mirrors() == [])

    tree.replace_supervisor(exchanges=in_zone("a"))
    until("the book serves on a", lambda: serves_on("a"))
    reads_on("the same view reads the book that moved away", seen["incarnations"][-1])
    assert mirrors() == [nodes["b"]]

    ray.get(strategy.let_go.remote(), timeout=PATIENCE_S)
    until("the mirror ends after the last view", lambda: mirrors() == [])
    ray.kill(strategy)
    leave("facade")
    tree.shutdown()
