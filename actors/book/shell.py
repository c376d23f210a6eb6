"""One connection to an exchange and the books it feeds: subscriptions, whole books, silence, reconnects.

The book role and the recorder use this session. The machine of each book decides what happens to the book; the session
runs the timers and the I/O that the machines request. The transport is a parameter, so tests need no socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ...connectors.gzip_frames import inflate
from ...connectors.market_codec import (
    Codec,
    DialedByRequest,
    JoinedOrders,
    OpensConnections,
    Outgoing,
    RequestedBooks,
    SeparateTrades,
    SubscribesWithAccess,
)
from ...connectors.spec import BookSource, Dial
from ...connectors.transport import Attempted, Link
from ...model.errors import DecodeError, MeshError, RetryLater
from ...model.events import (
    DepthSnapshot,
    GoingAway,
    MarketEvent,
    OrderSnapshot,
    Say,
    Subscribed,
    SubscribeRefused,
)
from ...model.time import SECOND_NS, in_ns
from ..limits.machine import Priority
from .comparison import Comparisons
from .effects import Ask, AskSnapshot, AwaitBook, Resubscribe
from .events import Closed, Confirmed, Opened, Quiet, Refused, Shallow, SnapshotFailed, Suspect
from .ingest import Ingest, Pair
from .send_queue import SendQueue
from .snapshot_size import SnapshotSize
from .surroundings import Surroundings
from .trades import TradeSession

CONFIRM_S = 10.0  # a subscription that is not confirmed by then is sent again
SHALLOW_EVERY_NS = 1_000_000_000


@dataclass(slots=True)
class _Awaited:
    """An answer that will confirm a subscription to these instruments, and when it was requested (None: not sent
    yet)."""

    symbols: set[str]
    sent_ns: int | None = None


@dataclass(slots=True)
class _Due:
    """A whole book that the feed sends in answer to `attempt`, and the time limit for it (None: not requested yet)."""

    attempt: int
    at_ns: int | None = None


@dataclass(slots=True)
class SocketFacts:
    """Facts about the connection, for `status`."""

    opened_ns: int | None = None
    closes: int = 0
    last_close: str | None = None
    refused: list[str] = field(default_factory=list)


class BookSession:
    """Call `start`, then `beat` every 50 ms or so, then `stop`."""

    def __init__(self, codec: Codec, around: Surroundings, *, levels: int, fast: bool = True) -> None:
        self.codec = codec
        self._requested_books = codec if isinstance(codec, RequestedBooks) else None
        self._gzip = codec.spec.gzip
        self.ingest = Ingest(codec, self._ask, self._other, around.monotonic_ns, fast=fast)
        self.facts = SocketFacts()
        self._around = around
        self._alive, self._tap = around.alive, around.tap  # looked up for every frame
        self._take = self.ingest.frame
        self._comparisons = Comparisons(codec, around, self.ingest)
        self._size = SnapshotSize(codec.spec, codec.snapshot_limit, levels)
        self._link: Link | None = None
        self._awaited: dict[str, _Awaited] = {}  # by key, as text: some exchanges return a number as text
        self._any_confirmed = False  # on this connection
        self._is_refused = False  # a subscription was refused since the last proof of the account
        self._first_sent_ns: int | None = None  # when the first subscription went out on this connection
        self._requests: dict[str, tuple[Pair, int]] = {}  # requests for books over the socket: id -> pair, attempt
        self._due: dict[str, _Due] = {}  # by symbol
        self._next_id = 1
        self._sending = SendQueue(codec.spec.limits, self._write, around.monotonic_ns)
        self._renewals: dict[str, list[Outgoing]] = {}  # by symbol: the messages that subscribe to that pair again
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._shallow_ns = 0
        spec = codec.spec
        self._silence_ns = in_ns(spec.silence_s)
        self.feed = around.connect(
            self._dial if isinstance(codec, DialedByRequest) else codec.ws_url,
            self,
            on_failure=around.fail,
            admit=self._admit,
            silence_s=spec.silence_s,
            max_connection_s=spec.max_connection_s,
            on_refused=around.budget.refused,
            keepalive=spec.keepalive,
        )
        is_apart = isinstance(codec, SeparateTrades) and codec.trades_url() is not None
        self.trades = TradeSession(codec, around, self.ingest) if is_apart else None

    async def start(self) -> None:
        self.feed.start()
        if self.trades is not None:
            self.trades.start()

    async def stop(self) -> None:
        await self.feed.stop()
        if self.trades is not None:
            await self.trades.stop()
        await self._comparisons.stop()
        self._sending.clear()
        for timer in self._timers.values():
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
        """Serve these pairs, too; other pairs are not affected."""
        self.ingest.track(pairs)
        if self._link is not None:
            self._open(pairs)
        if self.trades is not None:
            self.trades.track([pair.instrument for pair in pairs])

    def untrack(self, symbol: str) -> None:
        """Stop serving a pair; other pairs are not affected."""
        pair = self.ingest.pairs[symbol]
        self.ingest.untrack(symbol)
        self._drop_snapshot(symbol)
        self._forget(symbol)
        self._size.forget(symbol)
        self._comparisons.forget(symbol)
        if self._link is not None:
            self._unsubscribe(pair)
        if self.trades is not None:
            self.trades.untrack(pair.instrument)

    # The connection; called by the feed, on the loop

    def on_open(self, link: Link) -> None:
        self._around.alive()
        self._link = link
        self.facts.opened_ns = link.opened_ns
        self.facts.refused.clear()
        self._start_over()
        if self._around.tap is not None:
            self._around.tap("connect", self.codec.ws_url(), b"", self._around.time_ns())
        if isinstance(self.codec, OpensConnections):
            messages = self.codec.opening(self._next_id)
            self._next_id += len(messages)
            self._send(messages)
        self._open(list(self.ingest.pairs.values()))

    def on_frame(self, frame: bytes | memoryview, recv_ns: int) -> None:
        self._alive()
        if self._gzip:
            try:
                frame = inflate(frame)
            except DecodeError as error:
                self.ingest.unreadable_frame(frame, error)
                return
        if self._tap is not None:
            self._tap("recv", "", bytes(frame), recv_ns)
        self._take(frame, recv_ns)

    def on_close(self, reason: str) -> None:
        link, self._link = self._link, None
        silent = link is not None and self._around.monotonic_ns() - link.last_recv_ns >= self._silence_ns
        self.facts.opened_ns = None
        self.facts.closes += 1
        self.facts.last_close = reason
        self._start_over()
        for pair in list(self.ingest.pairs.values()):
            self._drop_snapshot(pair.instrument.symbol)
            self.ingest.on(pair, Quiet() if silent else Closed(reason))

    def _open(self, pairs: list[Pair]) -> None:
        if not pairs:
            return
        for pair in pairs:
            self.ingest.on(pair, Opened())
        self._subscribe(pairs)

    def _subscribe(self, pairs: list[Pair]) -> list[Outgoing]:
        messages = self.codec.subscribe([pair.instrument for pair in pairs], self._next_id)
        self._next_id += len(messages)
        named: set[str] = set()
        for expected in (expected for message in messages for expected in message.expects):
            self._awaited.setdefault(str(expected.key), _Awaited(set())).symbols.update(expected.symbols)
            named.update(expected.symbols)
        for pair in pairs:  # no answer confirms this subscription, so its book is due from now on
            if pair.instrument.symbol not in named:
                self._overdue_from([pair.instrument.symbol], self._around.monotonic_ns())
        self._send(messages)
        return messages

    def _unsubscribe(self, pair: Pair) -> list[Outgoing]:
        messages = self.codec.unsubscribe([pair.instrument], self._next_id)
        self._next_id += len(messages)
        self._send(messages)
        return messages

    def _start_over(self) -> None:
        """Forget what was sent and expected on the previous connection."""
        self._awaited.clear()
        self._requests.clear()
        self._due.clear()
        self._sending.clear()
        self._renewals.clear()
        self._any_confirmed, self._first_sent_ns = False, None

    def _forget(self, symbol: str) -> None:
        """Expect no more messages for an instrument."""
        self._due.pop(symbol, None)
        for awaited in self._awaited.values():
            awaited.symbols.discard(symbol)
        self._awaited = {key: awaited for key, awaited in self._awaited.items() if awaited.symbols}

    def _overdue_from(self, symbols: Iterable[str], now_ns: int) -> None:
        """Start the time limit of the books that are due for these symbols."""
        for symbol in symbols:
            if symbol in self._due:
                self._due[symbol].at_ns = now_ns + in_ns(self.codec.spec.book.first_book_s)

    def _send(self, messages: list[Outgoing]) -> None:
        if self._link is not None:
            self._sending.send(messages)

    def _write(self, message: Outgoing, now_ns: int) -> None:
        self._around.alive()
        self._say(message.frame, message.masked)
        for expected in message.expects:
            awaited = self._awaited.get(str(expected.key))
            if awaited is not None:
                awaited.sent_ns = now_ns
                if self._first_sent_ns is None:
                    self._first_sent_ns = now_ns
            self._overdue_from(expected.symbols, now_ns)

    def _say(self, frame: bytes, masked: bytes | None = None) -> None:
        if self._link is None:
            return
        if self._around.tap is not None:
            self._around.tap("send", "", frame if masked is None else masked, self._around.time_ns())
        self._link.send(frame)

    def _other(self, event: MarketEvent) -> None:
        match event:
            case Subscribed(key):
                self._subscribed(str(key))
            case SubscribeRefused(key, code, reason):
                self._is_refused = True
                self.facts.refused = [*self.facts.refused[-9:], f"{code}: {reason}"]
                if key is not None:
                    self._refused(str(key), f"{code}: {reason}")
            case DepthSnapshot(request_id=key) | OrderSnapshot(request_id=key):
                self._sending.answered(str(key))
                pair, attempt = self._requests.pop(str(key), (None, 0))
                if pair is not None:
                    self.ingest.answer(pair, attempt, event)
            case Say(frame):
                self._say(frame)
            case GoingAway():
                asyncio.get_running_loop().call_soon(self.feed.reconnect, "the exchange is about to close it")
            case _:
                pass

    def _subscribed(self, key: str) -> None:
        awaited = self._awaited.pop(key, None)
        if awaited is None:
            return
        self._any_confirmed = True
        waiting = {symbol for other in self._awaited.values() for symbol in other.symbols}
        for symbol in awaited.symbols - waiting:
            self.ingest.on(self.ingest.pairs[symbol], Confirmed())

    def _refused(self, key: str, reason: str) -> None:
        """Subscribe again to the refused pairs, one by one; other pairs are not affected."""
        self._sending.answered(key)
        request = self._requests.pop(key, None)
        if request is not None:
            self.ingest.on(request[0], SnapshotFailed(request[1], reason))
            return
        awaited = self._awaited.pop(key, None)
        for symbol in awaited.symbols if awaited is not None else ():
            self._forget(symbol)
            self.ingest.on(self.ingest.pairs[symbol], Refused(reason))

    async def _admit(self) -> Attempted:
        """Spend one attempt at a connection, with the proof of an account where subscriptions carry one.

        Raises:
            MeshError: no attempt now.
        """
        await self._renew_access()
        return await self._around.budget.connection()

    async def _renew_access(self) -> None:
        """Get a new proof of the account for the next subscriptions. Raises RetryLater."""
        if isinstance(self.codec, SubscribesWithAccess) and self._around.access is not None:
            self.codec.use_access(await self._around.access(self._is_refused))
            self._is_refused = False

    async def _dial(self) -> Dial:
        """Request the address of the next connection from the exchange.

        Raises:
            MeshError: there is no address now.
        """
        codec, around = self.codec, self._around
        assert isinstance(codec, DialedByRequest)
        request = codec.dial_request()
        lease = await around.budget.acquire(request.cost, Priority.URGENT)
        try:
            response = await around.rest.send(request)
        except RetryLater:
            around.budget.unsent(lease)
            raise
        around.budget.answered(lease, response, request.cost)
        failure = codec.failure(response)
        if failure is not None:
            raise failure
        return codec.dial(response.body)

    # Whole books

    def _ask(self, pair: Pair, effect: Ask) -> None:
        symbol = pair.instrument.symbol
        self._drop_snapshot(symbol)
        if isinstance(effect, AwaitBook):
            self._due[symbol] = _Due(effect.attempt)
        elif effect.delay_s > 0:
            self._timers[symbol] = asyncio.get_running_loop().call_later(effect.delay_s, self._ask_soon, pair, effect)
        else:
            self._ask_soon(pair, effect)

    def _ask_soon(self, pair: Pair, effect: AskSnapshot | Resubscribe) -> None:
        symbol = pair.instrument.symbol
        self._timers.pop(symbol, None)
        if isinstance(effect, Resubscribe):
            work = self._resubscribe(pair, effect.attempt)
        elif self.codec.spec.book.source is BookSource.REQUESTED:
            self._request_book(pair, effect.attempt)
            return
        else:
            work = self._fetch(pair, effect.attempt)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[symbol] = task
        task.add_done_callback(lambda done: self._fetched(symbol, done))

    def _fetched(self, symbol: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(symbol) is task:
            del self._tasks[symbol]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._around.fail(error)

    def _drop_snapshot(self, symbol: str) -> None:
        """Cancel the timer and the task that fetch a book for this pair, unless that task is the caller."""
        if (timer := self._timers.pop(symbol, None)) is not None:
            timer.cancel()
        task = self._tasks.pop(symbol, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def _request_book(self, pair: Pair, attempt: int) -> None:
        """Request a book over the socket."""
        assert self._requested_books is not None
        symbol, request_id = pair.instrument.symbol, self._next_id
        self._next_id += 1
        message = self._requested_books.book_request(pair.instrument, request_id)
        self._requests = {key: asked for key, asked in self._requests.items() if asked[0] is not pair}
        self._requests[str(request_id)] = (pair, attempt)
        self._due[symbol] = _Due(attempt)
        self._overdue_from([symbol], self._around.monotonic_ns())
        self._send([message])

    async def _resubscribe(self, pair: Pair, attempt: int) -> None:
        """Acquire budget, then subscribe to the pair again; report a failure to the machine."""
        around, symbol = self._around, pair.instrument.symbol
        cost = self.codec.spec.book.resync_cost
        try:
            if cost:
                await around.budget.acquire(cost, Priority.URGENT)
            await self._renew_access()
        except RetryLater as error:
            self.ingest.on(pair, SnapshotFailed(attempt, str(error), error.after_s))
        except MeshError as error:
            self.ingest.on(pair, SnapshotFailed(attempt, str(error)))
        else:
            around.alive()
            if self._link is not None and symbol in self.ingest.pairs and pair.machine.attempt == attempt:
                self._forget(symbol)
                if pair.machine.waiting:
                    self._due[symbol] = _Due(attempt)
                self._sending.withdraw(self._renewals.pop(symbol, []))  # these newer messages take their place
                self._renewals[symbol] = [*self._unsubscribe(pair), *self._subscribe([pair])]

    async def _fetch(self, pair: Pair, attempt: int) -> None:
        """Acquire budget, then request the snapshot; report the result to the machine."""
        around = self._around
        levels = self._size.levels(pair, len(self.ingest.pairs))
        request = self.codec.snapshot_request(pair.instrument, levels)
        if isinstance(self.codec, JoinedOrders) and pair.orders is not None:
            request = self.codec.orders_request(pair.instrument)
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
            around.budget.answered(lease, response, request.cost)
            failure = self.codec.failure(response)
            if failure is not None:
                raise failure
            if around.tap is not None:
                around.tap("http", request.url, response.body, response.recv_ns)
            joined = pair.machine.counters.snapshots
            self.ingest.snapshot(pair, attempt, response.body, levels, response.recv_ns)
            if pair.machine.counters.snapshots > joined:
                self._size.joined(pair, levels)
        except RetryLater as error:
            self.ingest.on(pair, SnapshotFailed(attempt, str(error), error.after_s))
        except MeshError as error:
            self.ingest.on(pair, SnapshotFailed(attempt, str(error)))

    def resync(self, pair: Pair, reason: str) -> None:
        """Suspect a book on request: the book leaves LIVE until a new snapshot joins."""
        self.ingest.on(pair, Suspect(reason, pair.machine.sequence))

    # Time

    def beat(self) -> None:
        """Check for silence, unconfirmed subscriptions, streams that stopped and books with too few proven levels: no
        message announces them."""
        now_ns = self._around.monotonic_ns()
        if self.trades is not None:
            self.trades.beat()
        link = self._link
        if link is not None and now_ns - link.last_recv_ns >= self._silence_ns:
            self.feed.reconnect(f"silent for {self._silence_ns / SECOND_NS:g} s")
            return
        if not self._confirmed_in_time(now_ns):
            return
        self._look_for_books(now_ns)
        self._comparisons.beat(now_ns)
        if now_ns - self._shallow_ns >= SHALLOW_EVERY_NS:
            self._shallow_ns = now_ns
            if self.codec.spec.book.source is BookSource.REST:
                for pair in self.ingest.pairs.values():
                    if pair.machine.is_joined and self._size.is_shallow(pair):
                        self.ingest.on(pair, Shallow())

    def _confirmed_in_time(self, now_ns: int) -> bool:
        """Return whether this connection may stay open.

        A connection without any confirmed subscription is replaced; single unconfirmed pairs are subscribed again.
        """
        limit_ns = in_ns(CONFIRM_S)
        refused = f" ({self.facts.refused[-1]})" if self.facts.refused else ""
        reason = f"a subscription was not confirmed within {CONFIRM_S:g} s{refused}"
        if not self._any_confirmed:
            if self._first_sent_ns is not None and now_ns - self._first_sent_ns >= limit_ns:
                self.feed.reconnect(reason)
                return False
            return True
        late = [
            awaited
            for awaited in self._awaited.values()
            if awaited.sent_ns is not None and now_ns - awaited.sent_ns >= limit_ns
        ]
        for symbol in {symbol for awaited in late for symbol in awaited.symbols}:
            self._forget(symbol)
            self.ingest.on(self.ingest.pairs[symbol], Refused(reason))
        return True

    def _look_for_books(self, now_ns: int) -> None:
        """Report books that did not come in time to their machines."""
        for symbol, due in list(self._due.items()):
            pair = self.ingest.pairs.get(symbol)
            if pair is None or not pair.machine.waiting or pair.machine.attempt != due.attempt:
                del self._due[symbol]
            elif due.at_ns is not None and now_ns >= due.at_ns:
                del self._due[symbol]
                late_s = self.codec.spec.book.first_book_s
                self.ingest.on(pair, SnapshotFailed(due.attempt, f"no book came within {late_s:g} s"))

    def status(self) -> dict[str, Any]:
        """Return plain values about the connection."""
        link, now_ns = self._link, self._around.monotonic_ns()
        ingest = self.ingest
        return {
            "connected": link is not None,
            "age_s": None if link is None else (now_ns - link.opened_ns) / SECOND_NS,
            "received_s_ago": None if link is None else (now_ns - link.last_recv_ns) / SECOND_NS,
            "connections": self.feed.connections,
            "closes": self.facts.closes,
            "last_close": self.facts.last_close,
            "last_error": self.feed.last_error,
            "refused": list(self.facts.refused),
            "unconfirmed": len(self._awaited),
            "frames": ingest.frames,
            "json_path": ingest.slow_frames,
            "unreadable": ingest.unreadable,
            "comparisons": self._comparisons.status(),
            **({} if self.trades is None else {"trades": self.trades.status()}),
        }
