"""The commands that move children between hosts: move, drain, rebalance. They run on the shell's loop."""

from __future__ import annotations

from typing import Any

from loguru import logger

from ..model.errors import Misconfigured, RetryLater
from ..model.shown import few
from .shell import SupervisorShell
from .status import host_of
from .tree import events as m
from .tree.child import Tier
from .tree.moves import OF_A_NODE, Move, balance, loads_of, obstacle, stuck
from .tree.records import Child
from .watchers import Watchers

NAMED = 5  # actors that an error names
ID_CHARACTERS = 8  # least length of the beginning of a node's id that names it
MIRROR = "processes on this host read books of other hosts through it; it ends after them"
SUPERVISOR = "it runs here; Ray starts it on another host when this one is gone"


class Relocation:
    """See the module; `ray_supervisor.Supervisor` documents each command."""

    def __init__(self, shell: SupervisorShell, watchers: Watchers) -> None:
        self._shell, self._watchers = shell, watchers

    # ---- move

    async def move(self, address: str, where: str) -> dict[str, Any]:
        machine, what = self._shell.machine, f"move {address} to {where}"
        child = machine.children.get(address)
        if child is None:
            raise Misconfigured(what, f"the mesh has no such actor; it has {few(sorted(machine.children), NAMED)}")
        nodes = self._nodes_of(where)
        if len(nodes) > 1:
            raise Misconfigured(what, f"several nodes run on that host; name one: {', '.join(n[:12] for n in nodes)}")
        (node,) = nodes
        others = machine.nodes_of(child.spec.apart)
        refusal = obstacle(child.spec, machine.view(node), node in machine.drained_nodes, others)
        if refusal is not None and child.node != node:
            raise Misconfigured(what, refusal)
        source = child.node
        if source != node:
            self._shell.on(m.MovesRequested({address: node}))
            await self._shell.until(lambda: not machine.rolling.has(address))
            if (reason := machine.rolling.failed.get(address)) is not None:
                raise RetryLater(1.0, f"{address} was not moved to {where}: {reason}")
        moved = source != node
        return {"address": address, "from": host_of(machine, source), "to": host_of(machine, node), "moved": moved}

    def _nodes_of(self, where: str) -> list[str]:
        """Return the nodes of a host, or the node whose id begins so. Raises Misconfigured: there is none."""
        machine = self._shell.machine
        found = [node for node in machine.nodes if machine.hosts.get(node) == where]
        if not found:
            found = [node for node in machine.nodes if self._begins(node, where)]
        if not found:
            hosts = ", ".join(sorted({host_of(machine, node) for node in machine.nodes}))
            raise Misconfigured(f"host {where!r}", f"is no host or node of the cluster, which has {hosts}")
        return found

    # ---- drain

    async def drain(self, where: str, undo: bool, timeout_s: float) -> dict[str, Any]:
        machine = self._shell.machine
        if undo:
            await self._shell.drain(lambda drained: self._without(drained, where))
            return {"host": where, "drained": False, "moved": [], "left": {}}
        nodes = self._nodes_of(where)
        if not machine.nodes.keys() - machine.drained_nodes - set(nodes):
            raise Misconfigured(f"drain {where}", "no other host would be left to run anything")
        name = where if any(machine.hosts.get(node) == where for node in nodes) else nodes[0]
        before = {child.spec.address for child in self._children_on(nodes) if child.spec.tier not in OF_A_NODE}
        for address in before:
            machine.rolling.forget(address)
        await self._shell.drain(lambda drained: drained | {name})
        mirrors_s = 2 * self._watchers.leases.lease_s
        await self._shell.until(lambda: self._is_empty(nodes, with_mirrors=False), timeout_s)
        await self._shell.until(lambda: self._is_empty(nodes, with_mirrors=True), min(timeout_s, mirrors_s))
        left = {child.spec.address: self._why_left(child) for child in self._children_on(nodes)}
        left |= {"supervisor": SUPERVISOR} if self._watchers.quorum.own in nodes else {}
        return {"host": where, "drained": True, "moved": sorted(before - left.keys()), "left": left}

    def _without(self, drained: frozenset[str], where: str) -> frozenset[str]:
        """Raises Misconfigured: the host is not drained."""
        hosts = self._shell.machine.hosts
        named = {name for name in drained if where in (name, hosts.get(name)) or self._begins(name, where)}
        named |= {hosts[node] for node in self._shell.machine.nodes if self._begins(node, where)} & drained
        if not named:
            raise Misconfigured(
                f"drain --undo {where}", f"is not drained; drained: {', '.join(sorted(drained)) or '-'}"
            )
        return drained - named

    @staticmethod
    def _begins(node: str, where: str) -> bool:
        return len(where) >= ID_CHARACTERS and node.startswith(where)

    def _children_on(self, nodes: list[str]) -> list[Child]:
        """Return the children that run on these nodes, without the agents."""
        children = self._shell.machine.children.values()
        return [c for c in children if c.node in nodes and c.cell is not None and c.spec.tier is not Tier.AGENT]

    def _is_empty(self, nodes: list[str], with_mirrors: bool) -> bool:
        """Return whether these nodes run nothing that can leave them."""
        machine = self._shell.machine
        stay = set()
        for child in machine.children.values():
            if child.node not in nodes or child.cell is None:
                continue
            if child.spec.tier in OF_A_NODE:
                leaves = with_mirrors and child.spec.tier is not Tier.AGENT  # mirrors and links end with their leases
            else:
                leaves = self._final(child) is None
            if leaves:
                return False
            stay.add(child.cell)
        return all(cell.name in stay for cell in machine.cells.values() if cell.node in nodes)

    def _final(self, child: Child) -> str | None:
        """Return why a child on a drained node cannot leave it now; None: it will."""
        machine = self._shell.machine
        views = {node: machine.view(node) for node in machine.nodes}
        cannot = stuck(child.spec, views, machine.drained_nodes, machine.nodes_of(child.spec.apart))
        return cannot or machine.rolling.failed.get(child.spec.address)

    def _why_left(self, child: Child) -> str:
        if child.spec.tier in OF_A_NODE:
            return MIRROR
        return self._final(child) or "it waits for its turn"

    # ---- rebalance

    async def rebalance(self, plan: bool) -> dict[str, Any]:
        machine = self._shell.machine
        before = self._loads()
        moves = balance(machine.children.values(), machine.open_nodes)
        if moves and not plan:
            self._shell.on(m.MovesRequested({move.address: move.target for move in moves}))
            await self._shell.until(lambda: not any(machine.rolling.has(move.address) for move in moves))
            logger.info("rebalanced", moves=len(moves))
        failed = {} if plan else {move.address: machine.rolling.failed.get(move.address) for move in moves}
        return {
            "moves": [self._row(move, failed.get(move.address)) for move in moves],
            "before": before,
            "after": before if plan else self._loads(),
        }

    def _loads(self) -> dict[str, int]:
        machine = self._shell.machine
        loads = loads_of(machine.children.values(), machine.nodes)
        names = [machine.hosts.get(node) for node in loads]
        unique = all(names) and len(set(names)) == len(names)
        return {host_of(machine, node) if unique else node[:12]: load for node, load in loads.items()}

    def _row(self, move: Move, failure: str | None) -> dict[str, Any]:
        machine = self._shell.machine
        return {
            "address": move.address,
            "from": host_of(machine, move.source),
            "to": host_of(machine, move.target),
            "error": failure,
        }
