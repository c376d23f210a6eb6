"""Restart running children one after another, with as little missing as possible. Pure.

A book serves until its successor is ready (`handover`). Any other child is stopped when a spare process waits on its
node, so that its successor starts at once. The next child follows when the successor is ready (a book LIVE, an order
manager trading), if the child was ready before; the readiness is reported from outside (`Readiness`). If a step takes
longer than the limit, the remaining children are not restarted, because something is wrong that more restarts would
make worse; `failed` has the reasons.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ...model.time import SECOND_NS
from .handover import Handovers
from .records import Child, ChildState


@dataclass(slots=True)
class Rolling:
    """The queue of restarts, by address. Times are monotonic ns."""

    limit_ns: int
    queue: deque[str] = field(default_factory=deque)
    failed: dict[str, str] = field(default_factory=dict)  # child that was not restarted, or is not ready: the reason
    _begun: bool = False  # the head was stopped or its successor was started, and the successor is awaited
    _was_ready: bool = False
    _since_ns: int | None = None  # the head waits since then

    def ask(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            self.failed.pop(address, None)
            if address not in self.queue:
                self.queue.append(address)

    def clear(self) -> None:
        self.queue.clear()
        self._begun, self._since_ns = False, None

    def step(
        self,
        children: Mapping[str, Child],
        spares: Mapping[str, Collection[object]] | None,
        handovers: Handovers,
        now_ns: int,
    ) -> Child | None:
        """Return the child that must be restarted now. `spares` by node; None: the mesh keeps no spares."""
        while self.queue:
            address = self.queue[0]
            child = children.get(address)
            if self._begun and handovers.get(address) is not None:
                return None
            if self._begun and child is not None and (reason := handovers.failed.get(address)) is not None:
                self._give_up(reason)
                return None
            if child is None or self._is_done(child):
                self._next()
                continue
            if self._since_ns is None:
                self._since_ns = now_ns
            missing = self._missing(child, spares)
            if missing is None:
                self._begun, self._was_ready, self._since_ns = True, bool(child.ready), now_ns
                return child
            if now_ns - self._since_ns > self.limit_ns:
                self._give_up(f"{missing} after {self.limit_ns / SECOND_NS:g} s")
            return None
        return None

    def _give_up(self, reason: str) -> None:
        self.failed |= dict.fromkeys(self.queue, f"restarts stopped at {self.queue[0]}: {reason}")
        self.clear()

    def _is_done(self, child: Child) -> bool:
        if not self._begun:  # a child that does not run starts anew anyway
            return child.state not in (ChildState.SERVING, ChildState.STARTING) and not child.restarting
        return child.state is ChildState.SERVING and not child.restarting and (not self._was_ready or bool(child.ready))

    def _missing(self, child: Child, spares: Mapping[str, Collection[object]] | None) -> str | None:
        """Return what the head waits for; None: it must be restarted now."""
        if self._begun:
            return "it is not ready again" if child.state is ChildState.SERVING else "it does not serve again"
        if child.state is not ChildState.SERVING or child.restarting or child.ready is None:
            return "it has not reported whether it is ready"
        if child.spec.overlaps:
            return None
        if spares is not None and not spares.get(child.node or ""):
            return "no spare process waits on its node"
        return None

    def _next(self) -> None:
        self.queue.popleft()
        self._begun, self._since_ns = False, None
