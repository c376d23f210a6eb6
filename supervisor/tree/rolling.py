"""Restart or move running children one after another, with as little missing as possible. Pure.

A book serves until its successor is ready (`handover`). Any other child is stopped when a spare process waits on the
node where it shall run, so that its successor starts at once. The next child follows when the successor is ready (a
book LIVE, an order manager trading), if the child was ready before; the readiness is reported from outside
(`Readiness`). If a step takes longer than the limit, the other tasks of the same request are given up, because
something is wrong that more restarts would make worse, unless they are independent; `failed` has the reasons.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ...model.time import SECOND_NS
from .handover import Handovers
from .records import Child, ChildState


@dataclass(frozen=True, slots=True)
class Task:
    """One child to restart, or to move to a node.

    `request` is the number of its request; `independent`: the other tasks of the request continue when it fails.
    """

    address: str
    node: str | None = None
    request: int = 0
    independent: bool = False


@dataclass(slots=True)
class Rolling:
    """The queue of tasks. Times are monotonic ns."""

    limit_ns: int
    queue: deque[Task] = field(default_factory=deque)
    failed: dict[str, str] = field(default_factory=dict)  # child that was not restarted, or is not ready: the reason
    failed_ns: dict[str, int] = field(default_factory=dict)  # when
    _begun: bool = False  # the head was stopped or its successor was started, and the successor is awaited
    _was_ready: bool = False
    _since_ns: int | None = None  # the head waits since then
    _requests: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def head(self) -> str | None:
        """The address of the child whose turn it is."""
        return self.queue[0].address if self.queue else None

    def has(self, address: str) -> bool:
        return any(task.address == address for task in self.queue)

    def ask(self, addresses: Iterable[str], nodes: Mapping[str, str] | None = None, independent: bool = False) -> None:
        """Restart these children in turn; `nodes`: move them there."""
        request = next(self._requests)
        for address in addresses:
            node = None if nodes is None else nodes[address]
            self.forget(address)
            if not any((task.address, task.node) == (address, node) for task in self.queue):
                self.queue.append(Task(address, node, request, independent))

    def forget(self, address: str) -> None:
        """Forget that a task of this child failed."""
        self.failed.pop(address, None)
        self.failed_ns.pop(address, None)

    def failed_lately(self, address: str, within_ns: int, now_ns: int) -> bool:
        at_ns = self.failed_ns.get(address)
        return at_ns is not None and now_ns - at_ns < within_ns

    def clear(self) -> None:
        self.queue.clear()
        self._begun, self._since_ns = False, None

    def step(
        self,
        children: Mapping[str, Child],
        spares: Mapping[str, Collection[object]] | None,
        handovers: Handovers,
        now_ns: int,
    ) -> Task | None:
        """Return the task that must be begun now. `spares` by node; None: the mesh keeps no spares."""
        while self.queue:
            task = self.queue[0]
            child = children.get(task.address)
            if handovers.get(task.address) is not None:  # of this task, or of another cause: one successor at a time
                return None
            failure = self._failure(task, child, handovers)
            if child is None or (failure is None and self._is_done(task, child)):
                self._next()
                continue
            if failure is None:
                if self._since_ns is None:
                    self._since_ns = now_ns
                missing = self._missing(task, child, spares)
                if missing is None:
                    self._begun, self._was_ready, self._since_ns = True, bool(child.ready), now_ns
                    return task
                if now_ns - self._since_ns <= self.limit_ns:
                    return None
                failure = f"{missing} after {self.limit_ns / SECOND_NS:g} s"
            self._give_up(task, failure, now_ns)
        return None

    def _failure(self, task: Task, child: Child | None, handovers: Handovers) -> str | None:
        """Return why a begun task has failed."""
        if not self._begun or child is None:
            return None
        if (dropped := handovers.failed.get(task.address)) is not None:
            return dropped
        if child.state is ChildState.SERVING and not child.restarting and task.node not in (None, child.node):
            return "it started on another node"
        return None

    def _give_up(self, task: Task, reason: str, now_ns: int) -> None:
        if task.independent:
            given_up, text = [task], reason
        else:
            given_up = [other for other in self.queue if other.request == task.request]
            text = f"{'restarts' if task.node is None else 'moves'} stopped at {task.address}: {reason}"
        self.failed |= {one.address: text for one in given_up}
        self.failed_ns |= {one.address: now_ns for one in given_up}
        self.queue = deque(one for one in self.queue if one not in given_up)
        self._begun, self._since_ns = False, None

    def _is_done(self, task: Task, child: Child) -> bool:
        is_there = task.node in (None, child.node)
        if not self._begun and task.node is None:  # a child that does not run starts anew anyway
            return child.state not in (ChildState.SERVING, ChildState.STARTING) and not child.restarting
        if child.state is not ChildState.SERVING or child.restarting or not is_there:
            return False
        return not self._begun or not self._was_ready or bool(child.ready)

    def _missing(self, task: Task, child: Child, spares: Mapping[str, Collection[object]] | None) -> str | None:
        """Return what the head waits for; None: it must be begun now."""
        if self._begun:
            return "it is not ready again" if child.state is ChildState.SERVING else "it does not serve again"
        if child.cell is None:
            return None
        if child.state is not ChildState.SERVING or child.restarting or child.ready is None:
            return "it has not reported whether it is ready"
        if child.spec.overlaps:
            return None
        if spares is not None and not spares.get(task.node or child.node or ""):
            return "no spare process waits on its node"
        return None

    def _next(self) -> None:
        self.queue.popleft()
        self._begun, self._since_ns = False, None
