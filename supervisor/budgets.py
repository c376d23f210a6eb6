"""Keeps the newest promise of every rate budget, and gives it to the successor. See `actors.limits.promises`."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from ..actors.cell.messages import AGAIN_S
from ..model.time import SECOND_NS
from .cells import UNANSWERED
from .shell import SupervisorShell
from .tree.child import Tier
from .tree.records import Child, ChildState

POLL_S = 5.0  # a budget that is little used promises anew so often
SHARED_S = 0.5  # between two looks whether the predecessor of a budget that shares has ended


@dataclass(frozen=True, slots=True)
class Held:
    """A promise of the process that ran after `restarts` earlier ones, and when it came (monotonic ns)."""

    promise: dict[str, Any]
    restarts: int
    came_ns: int


class Budgets:
    """See the module. All state is of this supervisor: after its end, a budget is promised to the next one."""

    def __init__(self, shell: SupervisorShell) -> None:
        self._shell = shell
        self._followed: dict[str, str] = {}  # address of a budget -> its cell that is followed
        self._held: dict[str, Held] = {}

    def attend(self) -> None:
        """Follow the budgets that serve in a cell that is not followed yet."""
        children = self._shell.machine.children
        serving = [c for c in children.values() if c.spec.tier is Tier.LIMITS and c.state is ChildState.SERVING]
        for child in serving:
            if child.cell is not None and self._followed.get(child.spec.address) != child.cell:
                self._followed[child.spec.address] = child.cell
                self._shell.spawn(self._follow(child, child.cell))
        for address in self._followed.keys() - children.keys():
            del self._followed[address]
            self._held.pop(address, None)

    @property
    def promised(self) -> frozenset[str]:
        """The budgets of which the promise of the process that serves now is held."""
        children = self._shell.machine.children
        known = ((address, children.get(address)) for address in self._held)
        return frozenset(a for a, child in known if child is not None and child.restarts == self._held[a].restarts)

    def _has_rival(self, address: str, cell: str) -> bool:
        """Return whether an earlier process of this budget may still grant."""
        return any(other.address == address and other.name != cell for other in self._shell.machine.cells.values())

    async def _follow(self, child: Child, cell: str) -> None:
        shell, address, restarts = self._shell, child.spec.address, child.restarts
        held = self._held.pop(address, None)  # of use once: this process grants from it, and promises nothing yet
        if held is not None and held.restarts == restarts - 1:
            age_s = (time.monotonic_ns() - held.came_ns) / SECOND_NS
            body = {"promise": held.promise, "age_s": age_s, "shared": self._has_rival(address, cell)}
            while not await self._tell(child, cell, "inherit", body):
                if not self._serves(child, cell):
                    return
        version, longest_s = 0, POLL_S
        while self._serves(child, cell):
            try:
                answer = await shell.ask(cell, address, "poll:levels", {"after": version}, longest_s, longest_s + 1.0)
            except UNANSWERED:
                await asyncio.sleep(AGAIN_S)
                continue
            if not self._serves(child, cell):
                return
            version, longest_s = answer["version"], SHARED_S if answer["shared"] else POLL_S
            if not answer["shared"]:
                self._held[address] = Held(answer, restarts, time.monotonic_ns())
            elif not self._has_rival(address, cell) and await self._tell(child, cell, "alone", None):
                version = 0  # its next promise counts, and is given at once

    def _serves(self, child: Child, cell: str) -> bool:
        return self._followed.get(child.spec.address) == cell == child.cell

    async def _tell(self, child: Child, cell: str, kind: str, body: Any) -> bool:
        """Send a budget a message; return whether it answered."""
        try:
            await self._shell.ask(cell, child.spec.address, kind, body, 1.0, 1.0)
        except UNANSWERED:
            await asyncio.sleep(AGAIN_S)
            return False
        return True
