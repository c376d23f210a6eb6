"""The orders that a process has handed over and that are not answered: bounded for each owner, sent in turn.

A strategy may hand over thousands of orders in a loop. Each owner has its own queue; in one turn of the session's
loop a few orders start, one of each owner after the other. So a flood of one owner neither fills the queue of another
owner nor delays any other message of the process, cancels above all, by more than these few orders.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from ..model.errors import InboxFull

ORDERS_MAX = 1_000  # unanswered commands of one owner
AT_ONCE = 8  # commands that start in one turn of the loop

Send = Callable[[], Coroutine[Any, Any, Any]]
Waiting = tuple[Send, "Future[Any]"]


def owner_of(kind: str, body: Any) -> str | None:
    """Return the owner of the orders of a command; None: the message places no order."""
    match kind, body:
        case "place", {"orders": [{"owner": str(owner)}, *_]}:
            return owner
        case "replace", {"order": {"owner": str(owner)}}:
            return owner
    return None


class Outbox:
    """See the module. `submit` may be called from any thread; the commands run on `loop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int = ORDERS_MAX, at_once: int = AT_ONCE) -> None:
        self._loop, self._most, self._at_once = loop, most, at_once
        self._lock = threading.Lock()
        self._queues: OrderedDict[str, deque[Waiting]] = OrderedDict()  # the owner whose turn is next comes first
        self._unanswered: Counter[str] = Counter()
        self._is_starting = False

    def submit(self, owner: str, send: Send) -> Future[Any]:
        """Send a command of an owner in its turn; return the future of its answer at once.

        The future raises InboxFull if too many commands of this owner are unanswered; nothing was sent.
        """
        answer: Future[Any] = Future()
        with self._lock:
            if self._unanswered[owner] >= self._most:
                answer.set_exception(InboxFull(f"owner {owner!r} in this process", self._most))
                return answer
            self._unanswered[owner] += 1
            self._queues.setdefault(owner, deque()).append((send, answer))
            starts, self._is_starting = not self._is_starting, True
        if starts:
            self._loop.call_soon_threadsafe(self._start)
        return answer

    def end(self) -> None:
        """Cancel the commands that have not started."""
        with self._lock:
            queues, self._queues = self._queues, OrderedDict()
        for queue in queues.values():
            for _, answer in queue:
                answer.cancel()

    def _start(self) -> None:
        """Start the next commands; on the loop."""
        for _ in range(self._at_once):
            with self._lock:
                taken = self._take()
                if taken is None:
                    self._is_starting = False
                    return
            owner, (send, answer) = taken
            self._send(owner, send, answer)
        self._loop.call_soon(self._start)

    def _send(self, owner: str, send: Send, answer: Future[Any]) -> None:
        """Start one command. Cancelling its future cancels it."""
        if answer.cancelled():
            self._forget(owner)
            return
        sending = self._loop.create_task(send())

        def cancel(done: Future[Any]) -> None:
            if done.cancelled():
                self._loop.call_soon_threadsafe(sending.cancel)

        answer.add_done_callback(cancel)
        sending.add_done_callback(lambda done: self._answered(owner, answer, done))

    def _take(self) -> tuple[str, Waiting] | None:
        """Return the next command of the owner whose turn it is; the owner goes to the end."""
        if not self._queues:
            return None
        owner, queue = self._queues.popitem(last=False)
        one = queue.popleft()
        if queue:
            self._queues[owner] = queue
        return owner, one

    def _answered(self, owner: str, answer: Future[Any], done: asyncio.Task[Any]) -> None:
        self._forget(owner)
        if done.cancelled():
            answer.cancel()
        elif not answer.set_running_or_notify_cancel():
            return
        elif (error := done.exception()) is not None:
            answer.set_exception(error)
        else:
            answer.set_result(done.result())

    def _forget(self, owner: str) -> None:
        with self._lock:
            self._unanswered[owner] -= 1
            if not self._unanswered[owner]:
                del self._unanswered[owner]
