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

    async def _follow(self, child: Child, cell: str) -> None:
        shell, address, restarts = self._shell, child.spec.address, child.restarts
        held = self._held.pop(address, None)  # of use once: this process grants from it, and promises nothing yet
        if held is not None and held.restarts == restarts - 1:
            age_s = (time.monotonic_ns() - held.came_ns) / SECOND_NS
            await shell.ask_briefly(cell, address, "inherit", {"promise": held.promise, "age_s": age_s})
        version = 0
        while self._followed.get(address) == cell and child.cell == cell:
            try:
                answer = await shell.ask(cell, address, "poll:levels", {"after": version}, POLL_S, POLL_S + 1.0)
            except UNANSWERED:
                await asyncio.sleep(AGAIN_S)
                continue
            if self._followed.get(address) == cell:
                self._held[address] = Held(answer, restarts, time.monotonic_ns())
            version = answer["version"]
