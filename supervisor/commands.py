"""What the supervisor is asked, answered from the keeper. On the keeper's loop, when it is ready."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Any

from loguru import logger

from ..model.address import Route, book_address
from ..model.errors import Misconfigured
from .ray_cells import UNANSWERED
from .shell import Keeper
from .status import describe
from .tree import events as m
from .tree.mirror_leases import MirrorLeases
from .tree.records import ChildState


class Requests:
    """One method a question or wish; `supervisor.Supervisor` says what each promises."""

    def __init__(self, keeper: Keeper, leases: MirrorLeases, clear: Callable[[], Awaitable[None]]) -> None:
        self._keeper, self._leases, self._clear = keeper, leases, clear

    async def routes(self, after: int, addresses: list[str] | None, timeout_s: float) -> dict[str, Any]:
        await self._keeper.until_routes(after, addresses, timeout_s)
        table = self._keeper.machine.routes
        answer = table.to_dict(addresses, instruments=addresses is None)
        if addresses is None:
            answer["exchanges"] = self._keeper.desired.exchanges
            answer["accounts"] = {
                exchange: sorted(settings.get("accounts") or ())
                for exchange, settings in self._keeper.config["exchanges"].items()
            }
            answer["tracked"] = {  # whether or not somebody serves it just now
                served: plain
                for child in self._keeper.machine.children.values()
                if child.wanted
                for served, plain in child.spec.serves
                if plain is not None
            } | self._keeper.desired.dormant()
        return answer

    async def rule(self, exchange: str, track: bool, pairs: list[str]) -> None:
        await self._keeper.wish(exchange, lambda desired: desired.rule(exchange, track, pairs))

    async def resolve(self, address: str) -> dict[str, Any] | None:
        route: Route | None = self._keeper.machine.routes.get(address)
        return None if route is None else route.to_dict()

    async def network(self, exchange: str, running: bool, timeout_s: float) -> bool:
        await self._keeper.wish(exchange, lambda desired: desired.network(exchange, running))
        logger.info("network", exchange=exchange, running=running)
        if running:
            return True
        prefix = book_address(exchange, "")

        def ended() -> bool:
            return exchange not in self._keeper.desired.stopped or not any(
                address.startswith(prefix) for address in self._keeper.machine.children
            )

        await self._keeper.until(ended, timeout_s)
        return ended()

    async def restart(self, pattern: str) -> list[str]:
        found = sorted(a for a in self._keeper.machine.children if a == pattern or fnmatchcase(a, pattern))
        if not found:
            raise Misconfigured(f"restart {pattern!r}", "matches no child of the mesh")
        self._keeper.on(m.RestartAsked(tuple(found)))
        await self._keeper.until(lambda: not any(address in self._keeper.machine.rolling for address in found))
        return found

    async def mirror(self, node: str, addresses: list[str]) -> float:
        if node not in self._keeper.machine.nodes:
            raise Misconfigured(f"node {node[:12]}", "is not part of the cluster")
        self._leases.ask(node, addresses, time.monotonic_ns())
        return self._leases.lease_s

    async def shutdown(self, timeout_s: float) -> bool:
        self._keeper.on(m.ShutDown())
        await self._keeper.until(lambda: self._keeper.machine.ended, timeout_s)
        if self._keeper.machine.ended:
            await self._clear()
            await self._keeper.durable.run(self._keeper.store.clear)
            logger.info("all of the mesh has ended")
        return self._keeper.machine.ended

    async def status(self) -> dict[str, Any]:
        machine = self._keeper.machine
        agents = [r for r in machine.routes if r.address.startswith("agent/")]
        usage: dict[str, dict[str, Any]] = {}
        for said in await asyncio.gather(*(self._keeper.said(r.cell, r.address, "usage") for r in agents)):
            usage |= said or {}
        serving = [c for c in machine.children.values() if c.state is ChildState.SERVING and c.cell]
        reports = dict(
            zip(
                (c.spec.address for c in serving),
                await asyncio.gather(*(self._report(c.cell) for c in serving if c.cell)),
                strict=True,
            )
        )
        return describe(machine, usage, reports, self._keeper.desired.refused) | {
            "mesh": self._keeper.config["mesh"],
            "pid": os.getpid(),
            "exchanges": self._keeper.desired.exchanges,
            "stopped": self._keeper.desired.stopped,
            "unread": self._keeper.desired.unread,
            "refused": self._keeper.desired.refused,
        }

    async def _report(self, cell: str) -> dict[str, Any] | None:
        try:
            return await self._keeper.port.report(cell, 0.5)
        except UNANSWERED:
            return None
