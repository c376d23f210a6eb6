"""The supervisor's commands. They run on the shell's loop, once the shell is ready."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Any

from loguru import logger

from .. import __version__ as VERSION
from ..model.address import AGENT, Route, has_kind, is_book_of
from ..model.errors import Misconfigured, RetryLater
from .cells import UNANSWERED
from .relocation import Relocation
from .shell import SupervisorShell
from .status import describe
from .tree import events as m
from .tree.records import ChildState
from .watchers import Watchers

STATUS_S, STATUS_EACH_S, MOST_STATUS_S = 0.5, 0.01, 3.0  # longest wait for a role's status: at least, per role, at most
REMEMBERED = 100  # requests for restarts
LEFT_S = 30.0  # until the processes that were replaced have ended


class Commands:
    """One public method per request; `ray_supervisor.Supervisor` documents them."""

    def __init__(
        self, shell: SupervisorShell, watchers: Watchers, cluster: str, clear: Callable[[], Awaitable[None]]
    ) -> None:
        """`cluster` is the address of the Ray cluster; `clear` removes the mesh's files from this node."""
        self._shell, self._watchers, self._cluster, self._clear = shell, watchers, cluster, clear
        self._relocation = Relocation(shell, watchers)
        self._restarts: dict[str, tuple[str, ...]] = {}  # the last requested restarts: addresses by request

    async def routes(self, after: int = -1, timeout_s: float = 0.0) -> dict[str, Any]:
        return await self._routes(after, None, timeout_s)

    async def watch(self, after: int, addresses: list[str], timeout_s: float) -> dict[str, Any]:
        return await self._routes(after, addresses, timeout_s)

    async def _routes(self, after: int, addresses: list[str] | None, timeout_s: float) -> dict[str, Any]:
        await self._shell.until_routes(after, addresses, timeout_s)
        table = self._shell.machine.routes
        answer = table.to_dict(addresses, instruments=addresses is None)
        if addresses is None:
            answer["exchanges"] = self._shell.desired.exchanges
            answer["accounts"] = {
                exchange: sorted(settings.accounts) for exchange, settings in self._shell.settings.exchanges.items()
            }
            answer["tracked"] = {  # also books that no cell serves at the moment
                served: plain
                for child in self._shell.machine.children.values()
                if child.wanted
                for served, plain in child.spec.serves
                if plain is not None
            } | self._shell.desired.dormant()
        return answer

    async def track(self, exchange: str, pairs: list[str]) -> None:
        await self._shell.wish(exchange, lambda desired: desired.rule(exchange, True, pairs))

    async def untrack(self, exchange: str, pairs: list[str]) -> None:
        await self._shell.wish(exchange, lambda desired: desired.rule(exchange, False, pairs))

    async def cluster(self) -> dict[str, Any]:
        return {"address": self._cluster, "nodes": sorted(self._shell.machine.nodes)}

    async def confirm(self, node: str) -> bool:
        await self._shell.check_epoch()
        nodes = self._shell.machine.nodes
        return node in nodes and self._watchers.quorum.holds(nodes, time.monotonic_ns())

    async def resolve(self, address: str) -> dict[str, Any] | None:
        route: Route | None = self._shell.machine.routes.get(address)
        return None if route is None else route.to_dict()

    async def network(self, exchange: str, running: bool, timeout_s: float = 30.0) -> bool:
        await self._shell.wish(exchange, lambda desired: desired.network(exchange, running))
        logger.info("network", exchange=exchange, running=running)
        if running:
            return True

        def ended() -> bool:
            return exchange not in self._shell.desired.stopped or not any(
                is_book_of(address, exchange) for address in self._shell.machine.children
            )

        await self._shell.until(ended, timeout_s)
        return ended()

    async def restart(self, pattern: str, request: str) -> list[str]:
        found = self._restarts.get(request)
        if found is None:
            found = tuple(sorted(a for a in self._shell.machine.children if a == pattern or fnmatchcase(a, pattern)))
            if not found:
                raise Misconfigured(f"restart {pattern!r}", "matches no actor of the mesh")
            self._remember(request, found)
            self._shell.on(m.RestartRequested(found))
        return await self._restarted(found)

    async def upgrade(self, request: str) -> list[str]:
        found = self._restarts.get(request)
        if found is None:
            found = tuple(sorted(self._shell.machine.children))
            self._remember(request, found)
            self._shell.on(m.UpgradeRequested())
        restarted = await self._restarted(found)
        cells = self._shell.machine.cells
        await self._shell.until(lambda: not any(cell.outdated for cell in cells.values()), LEFT_S)
        return restarted

    async def renew(self, epoch: int) -> None:
        if epoch == self._shell.port.epoch:
            self._shell.renew()

    def _remember(self, request: str, addresses: tuple[str, ...]) -> None:
        self._restarts[request] = addresses
        if len(self._restarts) > REMEMBERED:
            del self._restarts[next(iter(self._restarts))]

    async def _restarted(self, found: tuple[str, ...]) -> list[str]:
        rolling = self._shell.machine.rolling
        await self._shell.until(lambda: not any(map(rolling.has, found)))
        if reasons := {rolling.failed[address] for address in found if address in rolling.failed}:
            raise RetryLater(1.0, "; ".join(sorted(reasons)))
        return list(found)

    async def move(self, address: str, where: str) -> dict[str, Any]:
        return await self._relocation.move(address, where)

    async def drain(self, where: str, undo: bool = False, timeout_s: float = 300.0) -> dict[str, Any]:
        return await self._relocation.drain(where, undo, timeout_s)

    async def rebalance(self, plan: bool = False) -> dict[str, Any]:
        return await self._relocation.rebalance(plan)

    async def mirror(self, node: str, addresses: list[str]) -> float:
        if not self._shell.machine.nodes:
            raise RetryLater(0.5, "the supervisor does not know the nodes of the cluster yet")
        if node not in self._shell.machine.nodes:
            raise Misconfigured(f"node {node[:12]}", "is not part of the cluster")
        leases = self._watchers.leases
        leases.ask(node, addresses, time.monotonic_ns())
        return leases.lease_s

    async def shutdown(self, timeout_s: float = 30.0) -> bool:
        self._shell.on(m.ShutDown())
        await self._shell.until(lambda: self._shell.machine.ended, timeout_s)
        if self._shell.machine.ended:
            await self._clear()
            self._shell.promises.close()
            await self._shell.durable.run(self._shell.store.clear)
            logger.info("the mesh has ended")
        return self._shell.machine.ended

    async def status(self) -> dict[str, Any]:
        machine = self._shell.machine
        agents = [r for r in machine.routes if has_kind(r.address, AGENT)]
        usage: dict[str, dict[str, Any]] = {}
        for used in await asyncio.gather(*(self._shell.ask_briefly(r.cell, r.address, "usage") for r in agents)):
            usage |= used or {}
        serving = [c for c in machine.children.values() if c.state is ChildState.SERVING and c.cell]
        longest_s = min(MOST_STATUS_S, max(STATUS_S, STATUS_EACH_S * len(serving)))  # all wake at once
        statuses = dict(
            zip(
                (c.spec.address for c in serving),
                await asyncio.gather(*(self._status(c.cell, longest_s) for c in serving if c.cell)),
                strict=True,
            )
        )
        desired, now_ns = self._shell.desired, time.monotonic_ns()
        unreachable = self._watchers.quorum.unreachable(machine.nodes, now_ns)
        return describe(machine, usage, statuses, desired.refused, now_ns, desired.doubts, unreachable) | {
            "mesh": self._shell.settings.mesh,
            "pid": os.getpid(),
            "version": VERSION,
            "exchanges": self._shell.desired.exchanges,
            "stopped": self._shell.desired.stopped,
            "unread": self._shell.desired.unread,
            "refused": self._shell.desired.refused,
        }

    async def _status(self, cell: str, longest_s: float) -> dict[str, Any] | None:
        try:
            return await self._shell.port.status(cell, longest_s)
        except UNANSWERED:
            return None
