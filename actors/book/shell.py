"""One connection to an exchange and the books it feeds: subscriptions, snapshots over REST, silence, reconnects.

The book role and the recorder share it. What happens to a book is decided by its machine; this runs the timers and the
I/O that the machines ask for. The transport is handed in, so tests run it without a socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...connectors.market_codec import Codec
from ...connectors.transport import Link
from ...model.errors import MeshError, RetryLater
from ...model.events import GoingAway, MarketEvent, Subscribed, SubscribeRefused
from ...model.time import SECOND_NS, in_ns
from ..limits.budget import Budget, RestLike
from ..limits.machine import Priority
from .ingest import Ingest, Pair
from .machine import AskSnapshot, Closed, Confirmed, Doubt, Opened, Quiet, Shallow, SnapshotFailed

CONFIRM_S = 10.0  # a subscription that is not confirmed by then is asked for on a new connection
SHALLOW_EVERY_NS = 1_000_000_000


class FeedLike(Protocol):
    """The part of `connectors.transport.Feed` that is used."""

    last_error: str | None
    connections: int

    def start(self) -> None: ...
    async def stop(self) -> None: ...
    def reconnect(self, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a session needs of the world."""

    connect: Callable[..., FeedLike]
    rest: RestLike
    budget: Budget
    monotonic_ns: Callable[[], int]
    time_ns: Callable[[], int]
    alive: Callable[[], None]
    fail: Callable[[BaseException], None]
    changed: Callable[[], None] = lambda: None  # told after anything that may have changed a book
    tap: Callable[[str, str, bytes, int], None] | None = None  # kind, url, raw, recv_ns of every message


@dataclass(slots=True)
class _Subscription:
    waiting: set[int | str]
    symbols: list[str]
    sent_ns: int


@dataclass(slots=True)
class SocketFacts:
    """For `status`."""

    opened_ns: int | None = None
    closes: int = 0
    last_close: str | None = None
    refused: list[str] = field(default_factory=list)


class BookSession:
    """Call `start`, then `beat` every 50 ms or so, then `stop`."""

    def __init__(self, codec: Codec, around: Surroundings, *, levels: int, fast: bool = True) -> None:
        self.codec = codec
        self.ingest = Ingest(codec, self._ask, self._other, around.monotonic_ns, fast=fast)
        self.facts = SocketFacts()
        self._around = around
        self._alive, self._changed, self._tap = around.alive, around.changed, around.tap  # looked up for every frame
        self._take = self.ingest.frame
        self._limit = codec.snapshot_limit
        self._proven_wanted = min(levels, self._limit // 2)
        self._link: Link | None = None
        self._subscriptions: list[_Subscription] = []
        self._next_id = 1
        self._outgoing: list[bytes] = []
        self._pacer: asyncio.TimerHandle | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._shallow_ns = 0
        spec = codec.spec
        self._silence_ns = in_ns(spec.silence_s)
        messages = spec.limits.get("messages")
        # one message slot stays free for the pong that the transport may send meanwhile
        self._pace_s = messages.per_s / max(1, messages.amount - 2) if messages is not None else 0.0
        self.feed = around.connect(
            codec.ws_url,
            self,
            on_failure=around.fail,
            admit=lambda: around.budget.acquire((("connections", 1),), Priority.URGENT),
            silence_s=spec.silence_s,
            max_connection_s=spec.max_connection_s,
            on_refused=around.budget.refused,
        )

    async def start(self) -> None:
        self.feed.start()

    async def stop(self) -> None:
        await self.feed.stop()
        for timer in [*self._timers.values(), *([self._pacer] if self._pacer else [])]:
            timer.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._timers.clear()
        self._tasks.clear()

    @property
    def link(self) -> Link | None:
        return self._link

    # Pairs

    def track(self, pairs: list[Pair]) -> None:
        """Serve these pairs too; others notice nothing."""
        self.ingest.track(pairs)
        if self._link is not None:
            self._open(pairs)

    def untrack(self, symbol: str) -> None:
        """Leave a pair; others notice nothing."""
        pair = self.ingest.pairs[symbol]
        self.ingest.untrack(symbol)
        self._drop_snapshot(symbol)
        for subscription in self._subscriptions:
            if symbol in subscription.symbols:
                subscription.symbols.remove(symbol)
        if self._link is not None:
            messages = self.codec.unsubscribe([pair.instrument], self._next_id)
            self._next_id += len(messages)
            self._send(messages)

    # The connection; called by the feed, on the loop

    def on_open(self, link: Link) -> None:
        self._around.alive()
        self._link = link
        self.facts.opened_ns = link.opened_ns
        self.facts.refused.clear()
        self._subscriptions.clear()
        self._outgoing.clear()
        if self._around.tap is not None:
            self._around.tap("connect", self.codec.ws_url(), b"", self._around.time_ns())
        self._open(list(self.ingest.pairs.values()))
        self._around.changed()

    def on_frame(self, frame: bytes | memoryview, recv_ns: int) -> None:
        self._alive()
        if self._tap is not None:
            self._tap("recv", "", bytes(frame), recv_ns)
        self._take(frame, recv_ns)
        self._changed()

    def on_close(self, reason: str) -> None:
        link, self._link = self._link, None
        silent = link is not None and self._around.monotonic_ns() - link.last_recv_ns >= self._silence_ns
        self.facts.opened_ns = None
        self.facts.closes += 1
        self.facts.last_close = reason
        self._subscriptions.clear()
        self._outgoing.clear()
        for pair in list(self.ingest.pairs.values()):
            self._drop_snapshot(pair.instrument.symbol)
            self.ingest.on(pair, Quiet() if silent else Closed(reason))
        self._around.changed()

    def _open(self, pairs: list[Pair]) -> None:
        if not pairs:
            return
        for pair in pairs:
            self.ingest.on(pair, Opened())
        messages = self.codec.subscribe([pair.instrument for pair in pairs], self._next_id)
        ids: set[int | str] = set(range(self._next_id, self._next_id + len(messages)))
        self._next_id += len(messages)
        symbols = [pair.instrument.symbol for pair in pairs]
        self._subscriptions.append(_Subscription(ids, symbols, self._around.monotonic_ns()))
        self._send(messages)

    def _send(self, messages: list[bytes]) -> None:
        """Send at the pace that the exchange allows; the first at once when nothing waits."""
        self._outgoing.extend(messages)
        if self._pacer is None:
            self._send_next()

    def _send_next(self) -> None:
        self._pacer = None
        if self._link is None or not self._outgoing:
            return
        self._around.alive()
        message = self._outgoing.pop(0)
        if self._around.tap is not None:
            self._around.tap("send", "", message, self._around.time_ns())
        self._link.send(message)
        self._pacer = asyncio.get_running_loop().call_later(self._pace_s, self._send_next)

    def _other(self, event: MarketEvent) -> None:
        match event:
            case Subscribed(request_id):
                for subscription in self._subscriptions:
                    subscription.waiting.discard(request_id)
                done = [one for one in self._subscriptions if not one.waiting]
                self._subscriptions = [one for one in self._subscriptions if one.waiting]
                for symbol in (symbol for one in done for symbol in one.symbols):
                    self.ingest.on(self.ingest.pairs[symbol], Confirmed())
            case SubscribeRefused(_, code, reason):
                self.facts.refused = [*self.facts.refused[-9:], f"{code}: {reason}"]
            case GoingAway():
                asyncio.get_running_loop().call_soon(self.feed.reconnect, "the exchange is about to close it")
            case _:
                pass

    # Snapshots

    def _ask(self, pair: Pair, effect: AskSnapshot) -> None:
        symbol = pair.instrument.symbol
        self._drop_snapshot(symbol)
        loop = asyncio.get_running_loop()
        if effect.delay_s > 0:
            self._timers[symbol] = loop.call_later(effect.delay_s, self._fetch_soon, pair, effect.attempt)
        else:
            self._fetch_soon(pair, effect.attempt)

    def _fetch_soon(self, pair: Pair, attempt: int) -> None:
        symbol = pair.instrument.symbol
        self._timers.pop(symbol, None)
        task = asyncio.get_running_loop().create_task(self._fetch(pair, attempt))
        self._tasks[symbol] = task
        task.add_done_callback(lambda done: self._fetched(symbol, done))

    def _fetched(self, symbol: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(symbol) is task:
            del self._tasks[symbol]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._around.fail(error)

    def _drop_snapshot(self, symbol: str) -> None:
        """What is under way belongs to a question that is no longer asked. A task that asks anew is not ended."""
        if (timer := self._timers.pop(symbol, None)) is not None:
            timer.cancel()
        task = self._tasks.pop(symbol, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _fetch(self, pair: Pair, attempt: int) -> None:
        """Ask for budget, then for the snapshot, and tell the machine what came of it."""
        around = self._around
        request = self.codec.snapshot_request(pair.instrument, self._limit)
        try:
            priority = Priority.BACKGROUND if pair.machine.is_joined else Priority.URGENT
            lease = await around.budget.acquire(request.cost, priority)
            around.alive()
            try:
                response = await around.rest.send(request)
            except RetryLater:
                around.budget.unsent(lease)
                raise
            around.alive()
            around.budget.answered(lease, response)
            failure = self.codec.failure(response)
            if failure is not None:
                raise failure
            if around.tap is not None:
                around.tap("http", request.url, response.body, response.recv_ns)
            self.ingest.snapshot(pair, attempt, response.body, self._limit, response.recv_ns)
        except RetryLater as error:
            self.ingest.on(pair, SnapshotFailed(attempt, str(error), error.after_s))
        except MeshError as error:
            self.ingest.on(pair, SnapshotFailed(attempt, str(error)))
        around.changed()

    def resync(self, pair: Pair, reason: str) -> None:
        """Doubt a book on somebody's word: it leaves LIVE and finds its way back by a new snapshot."""
        self.ingest.on(pair, Doubt(reason, pair.machine.sequence))
        self._around.changed()

    # Time

    def beat(self) -> None:
        """Look at what only time shows: silence, subscriptions not confirmed, books grown shallow."""
        now_ns = self._around.monotonic_ns()
        link = self._link
        if link is not None and now_ns - link.last_recv_ns >= self._silence_ns:
            self.feed.reconnect(f"silent for {self._silence_ns / SECOND_NS:g} s")
            return
        if any(now_ns - one.sent_ns >= CONFIRM_S * SECOND_NS for one in self._subscriptions):
            refused = f" ({self.facts.refused[-1]})" if self.facts.refused else ""
            self.feed.reconnect(f"a subscription was not confirmed within {CONFIRM_S:g} s{refused}")
            return
        if now_ns - self._shallow_ns >= SHALLOW_EVERY_NS:
            self._shallow_ns = now_ns
            for pair in self.ingest.pairs.values():
                if pair.machine.is_joined and self._is_shallow(pair):
                    self.ingest.on(pair, Shallow())

    def _is_shallow(self, pair: Pair) -> bool:
        book = pair.book
        return (not book.bids_complete and book.proven_bids < self._proven_wanted) or (
            not book.asks_complete and book.proven_asks < self._proven_wanted
        )

    def status(self) -> dict[str, Any]:
        """Plain values about the connection."""
        link, now_ns = self._link, self._around.monotonic_ns()
        ingest = self.ingest
        return {
            "connected": link is not None,
            "age_s": None if link is None else (now_ns - link.opened_ns) / SECOND_NS,
            "heard_s_ago": None if link is None else (now_ns - link.last_recv_ns) / SECOND_NS,
            "connections": self.feed.connections,
            "closes": self.facts.closes,
            "last_close": self.facts.last_close,
            "last_error": self.feed.last_error,
            "refused": list(self.facts.refused),
            "unconfirmed": len(self._subscriptions),
            "frames": ingest.frames,
            "json_path": ingest.slow_frames,
            "unreadable": ingest.unreadable,
        }
