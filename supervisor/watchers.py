"""What the supervisor watches: the nodes, their agents, the catalogs, and who wants a mirror."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ..actors.cell.messages import Doubt
from ..actors.cell.pulse import PERIOD_S, HangDetector
from ..model.address import agent_address, catalog_address, mirror_address
from .ray_cells import UNANSWERED
from .shell import Keeper
from .tree import events as m
from .tree.child import Tier
from .tree.mirror_leases import LEASE_S, MirrorLeases, mirror_spec
from .tree.records import ChildState

HEALTH_S = 0.25
CATALOG_S = 5.0
NODES_S = 0.5
MIRROR_S = 0.1


class Watchers:
    """Loops that turn what is seen into the keeper's events. `beat` is called on every heartbeat of the supervisor."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.leases = MirrorLeases(float(keeper.config.get("mirror_lease_s", LEASE_S)))
        self._attended: dict[str, str] = {}  # node -> cell of its agent that is polled
        self._answers: dict[str, int] = {}  # cell of an agent -> how often it answered
        self._agents = HangDetector(int((HEALTH_S + keeper.hang_s) * 1e9), int(3 * PERIOD_S * 1e9))

    def start(self) -> None:
        """Begin to watch; the keeper is ready."""
        keeper = self._keeper
        catalogs = [self._follow_catalog(exchange) for exchange in keeper.desired.exchanges]
        for work in (self._watch_nodes(), self._mirrors(), *catalogs):
            keeper.spawn(work)

    def beat(self, now_ns: int) -> None:
        """Let the machine tick, and find the agents that do not answer any more."""
        keeper = self._keeper
        keeper.on(m.Tick())
        agents = {
            child.spec.node: child.cell
            for child in keeper.machine.children.values()
            if child.spec.tier is Tier.AGENT and child.state is ChildState.SERVING and child.cell and child.spec.node
        }
        for node, cell in agents.items():
            if self._attended.get(node) != cell:
                self._attended[node] = cell
                self._answers[cell] = 0
                keeper.spawn(self._health(cell, node))
        self._answers = {cell: self._answers.get(cell, 0) for cell in agents.values()}
        for cell in self._agents.look(self._answers, now_ns):
            keeper.on(m.Hung(cell))

    async def _watch_nodes(self) -> None:
        keeper = self._keeper
        while True:
            try:
                alive = await keeper.port.nodes()
            except Doubt:  # the GCS is away: nothing is known to have changed
                await asyncio.sleep(NODES_S)
                continue
            for node in [node for node in keeper.machine.nodes if node not in alive]:
                keeper.on(m.NodeLost(node))
            for node, labels in alive.items():
                if keeper.machine.nodes.get(node) != labels:
                    keeper.on(m.NodeSeen(node, labels))
            await asyncio.sleep(NODES_S)

    async def _health(self, cell: str, node: str) -> None:
        """Long-poll one agent while it serves."""
        keeper = self._keeper
        stale: list[str] = []
        address = agent_address(node)
        while cell in self._answers:
            try:
                said = await keeper.port.ask(cell, address, "poll:health", {"stale": stale}, HEALTH_S, 3600.0)
            except UNANSWERED:
                await asyncio.sleep(PERIOD_S)
                continue
            if cell in self._answers:
                self._answers[cell] += 1
            for name in said["stale"]:
                if name not in stale:
                    keeper.on(m.Hung(name))
            stale = said["stale"]

    async def _follow_catalog(self, exchange: str) -> None:
        keeper = self._keeper
        address, after = catalog_address(exchange), 0
        while not keeper.machine.ending:
            route = keeper.machine.routes.get(address)
            if route is None:
                await keeper.until_routes(keeper.machine.routes.version, None, 1.0)
                continue
            try:
                body = {"after": after}
                said = await keeper.port.ask(route.cell, address, "poll:instruments", body, CATALOG_S, CATALOG_S + 1.0)
            except UNANSWERED:
                await asyncio.sleep(0.1)
                continue
            if said and said.get("version", 0) != after:
                after = said["version"]
                keeper.desired.listed(exchange, said["instruments"])
                keeper.replan(exchange)

    async def _mirrors(self) -> None:
        """Keep a mirror on each node that asks, and tell it its sources when they or its cell change."""
        keeper = self._keeper
        told: dict[str, Any] = {}
        limit_s = float(keeper.desired.config.get("heartbeat_limit_s", 0.25))
        while not keeper.machine.ending:
            await asyncio.sleep(MIRROR_S)
            nodes = [node for node in self.leases.nodes(time.monotonic_ns()) if node in keeper.machine.nodes]
            asked = {mirror_address(node) for node in nodes}
            running = [a for a, child in keeper.machine.children.items() if a.startswith("mirror/") and child.wanted]
            if gone := tuple(address for address in running if address not in asked):
                keeper.on(m.Unwant(gone))
            for node in nodes:
                address = mirror_address(node)
                if address not in keeper.machine.children:
                    keeper.on(m.Want((mirror_spec(node, limit_s),)))
                route = keeper.machine.routes.get(address)
                if route is None:
                    continue
                specs = {a: child.spec for a, child in keeper.machine.children.items()}
                sources = self.leases.sources(node, keeper.machine.routes, specs)
                if told.get(node) != (route.cell, sources) and await keeper.said(
                    route.cell, address, "follow", {"sources": sources}
                ):
                    told[node] = (route.cell, sources)
