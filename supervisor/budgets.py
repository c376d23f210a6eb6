"""Keeps the newest promise of every rate budget, and gives it to the successor. See `actors.limits.promises`.

A promise is acknowledged when it is stored. While the store is slow or away, none is: the role then grants from its
last slack, and half of what refills.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from ..actors.cell.messages import AGAIN_S
from ..actors.limits.bucket import Rest
from ..model.time import SECOND_NS
from .cells import UNANSWERED
from .shell import SupervisorShell
from .tree.child import Tier
from .tree.records import Child, ChildState

POLL_S = 5.0  # a budget that is little used promises anew so often
SHARED_S = 0.5  # between two looks whether the predecessor of a budget that shares has ended
USED_UP_S = 0.5  # longest wait until it is stored that a successor gets a promise; usually a few milliseconds


@dataclass(frozen=True, slots=True)
class Held:
    """A promise of the process in `cell`, and when it came (monotonic ns). The process ran after `restarts` earlier
    ones; None: an earlier supervisor has stored the promise, and its age is not known."""

    promise: dict[str, Any]
    cell: str
    restarts: int | None
    came_ns: int

    @property
    def is_read(self) -> bool:
        """Return whether the promise was read from the store."""
        return self.restarts is None

    @property
    def age_s(self) -> float:
        """Return how old it is at least."""
        return 0.0 if self.is_read else (time.monotonic_ns() - self.came_ns) / SECOND_NS


class Budgets:
    """See the module."""

    def __init__(self, shell: SupervisorShell) -> None:
        self._shell = shell
        self._followed: dict[str, str] = {}  # address of a budget -> its cell that is followed
        self._held: dict[str, Held] = {}

    def start(self) -> None:
        """Begin with what earlier supervisors have stored. The shell must be ready."""
        now_ns, promised = time.monotonic_ns(), self._shell.promised
        self._held = {a: Held(one["promise"], one["cell"], None, now_ns) for a, one in promised.items()}

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
        return frozenset(a for a, child in known if child is not None and child.cell == self._held[a].cell)

    def _has_rival(self, address: str, cell: str) -> bool:
        """Return whether an earlier process of this budget may still grant."""
        return any(other.address == address and other.name != cell for other in self._shell.machine.cells.values())

    async def _follow(self, child: Child, cell: str) -> None:
        shell, address, restarts = self._shell, child.spec.address, child.restarts
        held = self._held.get(address)
        if held is None or held.cell != cell:  # otherwise it is the process that an earlier supervisor followed
            self._held.pop(address, None)  # of use once: this process grants from it, and promises nothing yet
            if not await self._hand_on(held, child, cell):
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
            if answer["shared"]:  # it promises with its predecessor: of no use to a third one
                version, longest_s = answer["version"], SHARED_S
                if not self._has_rival(address, cell) and await self._tell(child, cell, "alone", None):
                    version = 0  # its next promise counts, and is given at once
                continue
            longest_s = POLL_S
            if answer["version"] == version:
                continue  # nothing was granted since
            self._held[address] = Held(answer, cell, restarts, time.monotonic_ns())
            if await shell.promises.put(address, {"cell": cell, "promise": answer}, POLL_S):
                version = answer["version"]

    async def _hand_on(self, held: Held | None, child: Child, cell: str) -> bool:
        """Give a successor what is certainly left for it; return whether it still serves."""
        address = child.spec.address
        if held is None or (held.restarts is not None and held.restarts != child.restarts - 1):
            await self._shell.promises.put(address, None, 0.0)
            return self._serves(child, cell)
        is_stored = await self._shell.promises.put(address, None, USED_UP_S)
        rest = (Rest.NONE, Rest.HALF, Rest.WHOLE)[int(is_stored) + int(not held.is_read)]
        has_rival = self._has_rival(address, cell)
        body = {"promise": held.promise, "age_s": held.age_s, "shared": has_rival, "rest": rest.value}
        while not await self._tell(child, cell, "inherit", body):
            if not self._serves(child, cell):
                return False
        return True

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
