"""The queue of messages to send on one connection, at the rate that the exchange allows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from ...connectors.market_codec import Outgoing
from ...connectors.spec import Limit
from ...model.time import SECOND_NS, in_ns

ANSWER_S = 5.0  # an answer that takes longer is no longer waited for
CLOSER_S = 0.05  # two messages may arrive closer together by this much than they were sent


class _Spent:
    """Counts the messages of one connection against its limits; the limit "messages" is counted separately."""

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self._limits = {name: limit for name, limit in limits.items() if limit.scope == "connection"}
        self._sent: dict[str, deque[int]] = {name: deque() for name in self._limits}

    def wait_ns(self, cost: tuple[tuple[str, int], ...], now_ns: int) -> int:
        """Return how long to wait before `cost` may be spent; 0 means now."""
        wait_ns = 0
        for name, amount in cost:
            limit, sent = self._limits.get(name), self._sent.get(name)
            if limit is None or sent is None:
                continue
            window_ns = in_ns(limit.per_s + CLOSER_S)
            while sent and now_ns - sent[0] >= window_ns:
                sent.popleft()
            excess = len(sent) + min(amount, limit.amount) - limit.amount
            if excess > 0:
                wait_ns = max(wait_ns, sent[excess - 1] + window_ns - now_ns)
        return wait_ns

    def spend(self, cost: tuple[tuple[str, int], ...], now_ns: int) -> None:
        for name, amount in cost:
            if name in self._sent:
                self._sent[name].extend([now_ns] * amount)

    def answered(self, cost: tuple[tuple[str, int], ...], now_ns: int) -> None:
        """Count the last message of `cost` from its answer on. The exchange had it by then, so what leaves a period
        later arrives a period later."""
        for name, amount in cost:
            sent = self._sent.get(name, deque())
            for _ in range(min(amount, len(sent))):
                sent.pop()
            sent.extend([now_ns - in_ns(CLOSER_S)] * amount)

    def clear(self) -> None:
        """Start at zero: each connection has its own limits."""
        for sent in self._sent.values():
            sent.clear()


class SendQueue:
    """Sends messages in order; a message is sent at once if none waits and the limits allow it.

    `write(message, now_ns)` sends one message. `clear` starts over for the next connection.
    """

    def __init__(
        self, limits: Mapping[str, Limit], write: Callable[[Outgoing, int], None], monotonic_ns: Callable[[], int]
    ) -> None:
        self._write = write
        self._monotonic_ns = monotonic_ns
        self._waiting: deque[Outgoing] = deque()
        self._spent = _Spent(limits)
        self._timer: asyncio.TimerHandle | None = None
        self._asked: Outgoing | None = None  # sent, and not answered
        self._paced_s = 0.0  # nothing is sent before this time of the loop
        messages = limits.get("messages")
        # one message slot stays free for a pong, which the transport may send at any time
        self._pace_s = messages.per_s / max(1, messages.amount - 2) if messages is not None else 0.0

    def send(self, messages: list[Outgoing]) -> None:
        """Add these messages to the queue."""
        self._waiting.extend(messages)
        if self._timer is None:
            self._send_next()

    def withdraw(self, messages: list[Outgoing]) -> None:
        """Drop these messages if they still wait."""
        if messages:
            self._waiting = deque(each for each in self._waiting if not any(each is message for message in messages))

    def clear(self) -> None:
        """Drop the waiting messages and reset the counts: the next connection has its own limits."""
        self._waiting.clear()
        self._spent.clear()
        self._asked, self._paced_s = None, 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def answered(self, key: str) -> None:
        """Count the message that this answers from now on, if it was the last one with an answer."""
        if self._asked is not None and self._asked.answer == key:
            self._spent.answered(self._asked.cost, self._monotonic_ns())
            self._asked = None
            if self._timer is not None:
                self._timer.cancel()
                self._send_next()

    def _send_next(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        loop, now_ns, message = asyncio.get_running_loop(), self._monotonic_ns(), self._waiting[0]
        wait_s = max(self._paced_s - loop.time(), self._spent.wait_ns(message.cost, now_ns) / SECOND_NS)
        if wait_s > 0:
            self._timer = loop.call_later(wait_s, self._send_next)
            return
        self._waiting.popleft()
        if message.answer is None:
            self._spent.spend(message.cost, now_ns)
        else:  # without an answer it counts as if it arrived when its answer is no longer waited for
            self._spent.spend(message.cost, now_ns + in_ns(ANSWER_S))
            self._asked = message
        self._paced_s = loop.time() + self._pace_s
        self._write(message, now_ns)
        self._timer = loop.call_later(self._pace_s, self._send_next)
