"""Watches the nodes, their agents, the catalogs, the leases of mirrors, and whether all roles do what they must."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

from loguru import logger

from ..actors.catalog.settings import LISTING_AGAIN_S, LISTING_POLL_S
from ..actors.cell.messages import AGAIN_S, Unreachable
from ..actors.cell.pulse import PERIOD_S, HangDetector
from ..model.address import (
    LIMITS,
    LINK,
    MIRROR,
    agent_address,
    catalog_address,
    has_kind,
    link_address,
    mirror_address,
)
from ..model.errors import RetryLater
from ..model.time import in_ns
from .budgets import Budgets
from .cells import UNANSWERED
from .retirement import ListingClock
from .shell import SupervisorShell
from .tree import events as m
from .tree.child import ChildSpec, Tier
from .tree.duties import SETTLED, corrections, has_no_role, is_ready, settled_pairs
from .tree.mirror_leases import MirrorLeases, link_spec, mirror_spec
from .tree.quorum import UNREACHABLE_NS, Quorum
from .tree.records import CellState, ChildState

HEALTH_S = 0.25
NODES_S = 0.5
EPOCH_S = 2.0  # between two looks for a later supervisor
MIRROR_S = 0.1
DUTIES_S = 4.0  # the status of every role is read and compared once in this time
STATUS_S = 0.5
STRANGERS_S = 5.0  # between two lists of the cells that the cluster has
READY_S = 0.05  # between two looks whether a restarted child is ready
PROBE_S = 0.5  # between two probes of the silent nodes
GIVE_UP_NS = 2_000_000_000  # a suspected node that is silent for so much longer loses its accounts, too
PROBED = 8  # cells of a silent node that are asked at once


class Watchers:
    """Loops that turn observations into the shell's events. `beat` is called on every heartbeat of the supervisor."""

    def __init__(self, shell: SupervisorShell, node: str) -> None:
        """`node` is the supervisor's own."""
        self._shell = shell
        self.quorum = Quorum(node, in_ns(HEALTH_S + shell.settings.tree.agent.hang_limit_s / 2))
        self.leases = MirrorLeases(shell.settings.mirror_lease_s)
        self._budgets = Budgets(shell)
        self._attended: dict[str, str] = {}  # node -> cell of its agent that is polled
        self._answers: dict[str, int] = {}  # cell of an agent -> number of its answers
        self._suspect_ns = max(UNREACHABLE_NS, in_ns(shell.settings.tree.agent.hang_limit_s))
        agent_limit_s = HEALTH_S + shell.settings.tree.agent.watcher_hang_limit_s
        self._agents = HangDetector(in_ns(agent_limit_s), in_ns(3 * PERIOD_S))

    def start(self) -> None:
        """Start watching. The shell must be ready."""
        shell = self._shell
        self._budgets.start()
        catalogs = [self._follow_catalog(exchange) for exchange in shell.desired.exchanges]
        self._inherit_mirrors(time.monotonic_ns())
        works = (
            self._watch_nodes(),
            self._strangers(),
            self._mirrors(),
            self._duties(),
            self._readiness(),
            self._probe(),
        )
        for work in (*works, *catalogs):
            shell.spawn(work)

    def _inherit_mirrors(self, now_ns: int) -> None:
        for child in self._shell.machine.children.values():
            if child.spec.tier is Tier.MIRROR and child.spec.node:
                self.leases.inherit(child.spec.node, now_ns)
            if child.spec.tier is Tier.LINK and child.spec.node:
                self.leases.need_links((child.spec.node,), now_ns)

    def _look_for_majority(self, now_ns: int) -> None:
        """Tell the machine when this supervisor loses its majority, and when it has it again."""
        shell, nodes = self._shell, self._shell.machine.nodes
        holds, is_isolated = self.quorum.holds(nodes, now_ns), shell.machine.isolated_ns is not None
        if holds != is_isolated:
            return
        heard = f"{self.quorum.heard(nodes, now_ns)} of {len(nodes)}"
        if not holds:
            logger.warning("a majority of the nodes is silent: this supervisor decides nothing", heard=heard)
            shell.on(m.Isolated())
            return
        logger.warning("a majority of the nodes answers again", heard=heard)
        self._inherit_mirrors(now_ns)  # readers could not renew their leases
        shell.on(m.Rejoined())

    def _look_for_suspects(self, now_ns: int) -> None:
        """Tell the machine which nodes do not answer."""
        machine = self._shell.machine
        silent_ns = {node: self.quorum.silent_ns(node, now_ns) for node in machine.nodes}
        suspects = frozenset(node for node, ns in silent_ns.items() if ns > self._suspect_ns)
        given_up = frozenset(node for node in suspects if silent_ns[node] > self._suspect_ns + GIVE_UP_NS)
        if machine.isolated_ns is None and (suspects, given_up) != (machine.suspected, machine.given_up):
            self._shell.on(m.Suspected(suspects, self._budgets.promised, given_up))

    def beat(self, now_ns: int) -> None:
        """Send the machine a tick, and find agents that no longer answer."""
        shell = self._shell
        for node in shell.machine.nodes.keys() - self._serving_agents().keys():
            self.quorum.keep(node, now_ns)
        self._look_for_majority(now_ns)
        self._look_for_suspects(now_ns)
        shell.on(m.Tick())
        self._budgets.attend()
        agents = self._serving_agents()
        for node, cell in agents.items():
            if self._attended.get(node) != cell:
                self._attended[node] = cell
                self._answers[cell] = 0
                shell.spawn(self._health(cell, node))
        self._answers = {cell: self._answers.get(cell, 0) for cell in agents.values()}
        for cell in self._agents.look(self._answers, now_ns):
            shell.on(m.Hung(cell))

    def _serving_agents(self) -> dict[str, str]:
        """Return the cell of each node's agent, where it serves."""
        return {
            child.spec.node: child.cell
            for child in self._shell.machine.children.values()
            if child.spec.tier is Tier.AGENT and child.state is ChildState.SERVING and child.cell and child.spec.node
        }

    async def _watch_nodes(self) -> None:
        shell, checked_ns = self._shell, time.monotonic_ns()
        while True:
            try:
                alive = await shell.port.nodes()
            except Unreachable:  # the GCS is away: assume no change
                await asyncio.sleep(NODES_S)
                continue
            for node in [node for node in shell.machine.nodes if node not in alive]:
                shell.on(m.NodeLost(node))
            for node, (labels, host) in alive.items():
                if shell.machine.nodes.get(node) != labels:
                    shell.on(m.NodeSeen(node, labels, host))
            now_ns = time.monotonic_ns()
            self.quorum.hear_gcs(alive, now_ns)
            if now_ns - checked_ns >= in_ns(EPOCH_S):
                checked_ns = now_ns
                with contextlib.suppress(RetryLater):  # the store is away: looked up again
                    await shell.check_epoch()
            await asyncio.sleep(NODES_S)

    async def _strangers(self) -> None:
        """Find cells that the cluster has and the machine does not: what an earlier supervisor asked for from behind a
        partition can reach the cluster after the cells were listed."""
        shell, before = self._shell, set[str]()
        while not shell.machine.ending:
            await asyncio.sleep(STRANGERS_S)
            if shell.machine.isolated_ns is not None:
                continue
            try:
                unknown = set(await shell.port.names()) - shell.machine.cells.keys()
            except Unreachable:
                continue
            for cell in sorted(unknown & before):  # twice in a row: one that has just ended is still listed
                await shell.find_stranger(cell)
            before = unknown

    async def _health(self, cell: str, node: str) -> None:
        """Long-poll one agent while it serves."""
        shell = self._shell
        stale: list[str] = []
        address = agent_address(node)
        while cell in self._answers:
            try:
                answer = await shell.ask(cell, address, "poll:health", {"stale": stale}, HEALTH_S, 3600.0)
            except UNANSWERED:
                await asyncio.sleep(AGAIN_S)
                continue
            self.quorum.hear(node, time.monotonic_ns())
            if cell in self._answers:
                self._answers[cell] += 1
            stale = answer["stale"]
            for name in stale:
                hung = shell.machine.cells.get(name)
                if hung is not None and hung.state is not CellState.KILLING and shell.machine.isolated_ns is None:
                    shell.on(m.Hung(name))

    async def _follow_catalog(self, exchange: str) -> None:
        shell = self._shell
        address, after, clock = catalog_address(exchange), 0, ListingClock()
        while not shell.machine.ending:
            if shell.desired.is_watched(exchange) and clock.is_due(time.monotonic()):
                shell.spawn(shell.watch_listing(exchange))
            route = shell.machine.routes.get(address)
            if route is None:
                await shell.until_routes(shell.machine.routes.version, None, 1.0)
                continue
            try:
                body = {"after": after}
                answer = await shell.ask(
                    route.cell, address, "poll:instruments", body, LISTING_POLL_S, LISTING_POLL_S + 1.0
                )
            except UNANSWERED:
                await asyncio.sleep(LISTING_AGAIN_S)
                continue
            if answer and answer.get("version", 0) != after:
                after = answer["version"]
                shell.desired.listed(exchange, answer["instruments"], answer["kept"])
                shell.replan(exchange)

    async def _mirrors(self) -> None:
        """Keep a mirror on each node with leases; send the mirror its sources when these or its cell change."""
        shell = self._shell
        sent: dict[str, Any] = {}
        while not shell.machine.ending:
            await asyncio.sleep(MIRROR_S)
            if shell.machine.isolated_ns is not None:
                continue
            await self._follow_moved()
            leased = self.leases.nodes(time.monotonic_ns())
            asked = {mirror_address(node) for node in leased}
            running = [a for a, child in shell.machine.children.items() if has_kind(a, MIRROR) and child.wanted]
            if gone := tuple(address for address in running if address not in asked):
                shell.on(m.StopChildren(gone))
            for node in [node for node in leased if node in shell.machine.answering_nodes]:
                address = mirror_address(node)
                if address not in shell.machine.children:
                    shell.on(m.RunChildren((mirror_spec(node, shell.settings.mirror),)))
                route = shell.machine.routes.get(address)
                if route is None:
                    continue
                if self.leases.is_unread(node):
                    status = await self._status(route.cell)
                    if status is not None and not has_no_role(status):
                        books = [book for source in status["sources"].values() for book in source["books"]]
                        self.leases.reported(node, books, time.monotonic_ns())
                    continue
                sources = self._sources(node)
                self.leases.need_links({source["node"] for source in sources.values()}, time.monotonic_ns())
                if sent.get(node) != (route.cell, sources) and await shell.ask_briefly(
                    route.cell, address, "follow", {"sources": sources}
                ):
                    sent[node] = (route.cell, sources)
            self._run_links(self.leases.linked(time.monotonic_ns()))

    def _run_links(self, nodes: list[str]) -> None:
        """Keep a link on these nodes and on no other."""
        shell = self._shell
        wanted = {link_address(node) for node in nodes}
        running = [a for a, child in shell.machine.children.items() if has_kind(a, LINK) and child.wanted]
        if gone := tuple(address for address in running if address not in wanted):
            shell.on(m.StopChildren(gone))
        missing = [n for n in nodes if n in shell.machine.nodes and link_address(n) not in shell.machine.children]
        if missing:
            shell.on(m.RunChildren(tuple(link_spec(node, shell.settings.link) for node in missing)))

    async def _follow_moved(self) -> None:
        """Lease mirrors of books that have moved away for the readers on the nodes that they leave; report each leaving
        cell whose books its node's mirror has."""
        machine = self._shell.machine
        for cell in [cell for cell in machine.cells.values() if cell.state is CellState.LEAVING]:
            child = machine.heir(cell)
            if child is None or child.node == cell.node or cell.node not in machine.answering_nodes:
                continue
            books = [address for address, _ in child.spec.serves]
            self.leases.ask(cell.node, books, time.monotonic_ns())
            route = machine.routes.get(mirror_address(cell.node))
            states = (await self._status(route.cell) or {}).get("books", {}) if route is not None else {}
            if all(states.get(address) in SETTLED for address in books):
                self._shell.on(m.Followed(cell.name))

    def _sources(self, node: str) -> dict[str, Any]:
        """Return the sources of a node's mirror now; see `MirrorLeases.sources`."""
        machine = self._shell.machine
        return self.leases.sources(node, machine.routes, {a: child.spec for a, child in machine.children.items()})

    async def _readiness(self) -> None:
        """Report to the machine whether the children whose readiness it awaits, and their successors, are ready."""
        machine = self._shell.machine
        while not machine.ending:
            await asyncio.sleep(READY_S)
            await asyncio.gather(*(self._follow_handover(address) for address in machine.awaited))

    async def _follow_handover(self, address: str) -> None:
        """Report whether a child and its successor are ready."""
        machine = self._shell.machine
        child, successor = machine.children.get(address), machine.handovers.get(address)
        is_silent = child is not None and child.node in machine.suspected
        if child is not None and child.state is ChildState.SERVING and child.cell is not None and not is_silent:
            await self._report_readiness(child.spec, child.cell)
        if child is not None and successor is not None and successor.serves and successor.cell is not None:
            await self._report_readiness(child.spec, successor.cell)

    async def _report_readiness(self, spec: ChildSpec, cell: str) -> None:
        status = await self._status(cell)
        settled = settled_pairs(spec, status)
        if settled is None:  # it did not answer in time: nothing is known
            return
        ready = is_ready(spec, status)
        paced = spec.overlaps and not ready and await self._is_paced(spec)
        self._shell.on(m.Readiness(cell, ready, settled, paced))

    async def _is_paced(self, spec: ChildSpec) -> bool:
        """Return whether a rate limit delays requests of a child's exchange now."""
        for address in spec.after:
            route = self._shell.machine.routes.get(address)
            if route is not None and has_kind(address, LIMITS):
                return bool((await self._status(route.cell) or {}).get("pace"))
        return False

    async def _duties(self) -> None:
        """Read the status of every role in turn; correct a role that does not do what it must."""
        shell = self._shell
        while not shell.machine.ending:
            running = [c for c in shell.machine.children.values() if c.state is ChildState.SERVING]
            serving = [c.spec.address for c in running if c.node not in shell.machine.suspected]
            for address in serving:
                await asyncio.sleep(DUTIES_S / len(serving))
                await self._check_duty(address)
            if not serving:
                await asyncio.sleep(DUTIES_S)

    async def _check_duty(self, address: str) -> None:
        shell = self._shell
        before = shell.machine.routes.get(address)
        status = None if before is None else await self._status(before.cell)
        child = shell.machine.children.get(address)
        if before is None or status is None or child is None or shell.machine.routes.get(address) != before:
            return
        if has_no_role(status):
            shell.on(m.Failed(before.cell, "its cell runs no role"))
            return
        is_mirror = child.spec.tier is Tier.MIRROR and child.spec.node is not None
        is_known = is_mirror and not self.leases.is_unread(before.node)
        for kind, body in corrections(child.spec, status, self._sources(before.node) if is_known else None):
            logger.warning("a role does not do what it must: telling it again", address=address, kind=kind)
            await shell.ask_briefly(before.cell, address, kind, body)

    async def _probe(self) -> None:
        """Ask other cells of a node whose agent is silent: the agent may hang on a host that is well."""
        machine = self._shell.machine
        while not machine.ending:
            await asyncio.sleep(PROBE_S)
            now_ns = time.monotonic_ns()
            silent = [node for node in machine.nodes if self.quorum.silent_ns(node, now_ns) > UNREACHABLE_NS // 2]
            cells = [cell for node in silent for cell in self._probed(node)]
            await asyncio.gather(*map(self._status, cells))

    def _probed(self, node: str) -> list[str]:
        """Return some cells of a node, other ones each time if it has many."""
        cells = [cell.name for cell in self._shell.machine.cells.values() if cell.node == node]
        return random.sample(cells, min(PROBED, len(cells)))

    async def _status(self, cell: str) -> dict[str, Any] | None:
        """Return the status of the role of a cell, or None; an answer counts for its node."""
        known = self._shell.machine.cells.get(cell)
        try:
            status = await self._shell.port.status(cell, STATUS_S)
        except UNANSWERED:
            return None
        if known is not None:
            self.quorum.hear(known.node, time.monotonic_ns())
        return status
