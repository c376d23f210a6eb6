"""The events of the accounts that this process follows: one long poll an account, however many readers.

    reader --"poll:events"--> EventFeeds --one poll--> order manager
           <--------page------ buffer of the newest events, shared by all readers of the account

A reader that is at the end of the journal, or within the buffer, is answered from the buffer: in order, by its own
number and owner, as the manager would answer. Any other reader polls the manager itself, which answers from its memory
or the journal: one that begins, one that fell behind the buffer, and one whose lineage differs. So a slow reader
delays no other and costs no memory. When the shared poll fails, its readers poll the manager and get its error.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..model.errors import MeshError, RetryLater
from ..model.order import AccountEvent

EVENTS_POLL = "poll:events"
KEPT = 4_096  # events of an account that are shared
PAGE = 500  # events of one request
POLL_S = 10.0
AGAIN_S = 0.5  # pause after a poll without an answer
LOOK_S = 1.0  # between two looks for readers whose time is over
IDLE_S = 30.0  # without a reader for this long, the shared poll ends
AT_ONCE = 16  # readers that catch up at the same time
SHORTEST_S = 2 * LOOK_S  # a shorter poll is the reader's own

Ask = Callable[[str, str, Any, float], Awaitable[Any]]
Answer = dict[str, Any]


@dataclass(slots=True, eq=False)
class Reader:
    """One poll that waits for an event above `after`."""

    future: Future[Any]
    after: int
    limit: int
    owner: str | None
    until_s: float
    body: dict[str, Any]


@dataclass(slots=True, eq=False)
class Feed:
    """The shared poll of one account: a buffer of contiguous events, and the readers that wait."""

    address: str
    lineage: str | None
    last: int  # number of the last event that came
    events: deque[AccountEvent] = field(default_factory=deque)
    waiting: list[Reader] = field(default_factory=list)
    used_s: float = 0.0

    def covers(self, after: int, lineage: str | None) -> bool:
        """Return whether a reader of this position can be answered from here, now or later."""
        return lineage in (None, self.lineage) and after >= self.last - len(self.events)

    def page(self, after: int, limit: int, owner: str | None) -> Answer | None:
        """Return events above `after` as the manager would answer; None: there are none."""
        skip = max(0, after - (self.last - len(self.events)))
        found = [event for event in self._from(skip) if owner is None or event.owner in (owner, None)][:limit]
        if not found:
            return None
        following = found[-1].number if len(found) == limit else self.last
        return {"events": found, "next": following, "lineage": self.lineage}

    def _from(self, skip: int) -> list[AccountEvent]:
        count = len(self.events)
        return [self.events[at - count] for at in range(skip, count)]  # from the end, where readers are

    def empty(self, reader: Reader) -> Answer:
        return {"events": [], "next": max(reader.after, self.last), "lineage": self.lineage}


class EventFeeds:
    """See the module. `submit` may be called from any thread; everything else runs on the session's loop.

    `ask` sends the session's messages, `run` starts a coroutine on its loop.
    """

    def __init__(
        self,
        ask: Ask,
        run: Callable[[Any], Future[Any]],
        clock_s: Callable[[], float],
        kept: int = KEPT,
    ) -> None:
        self._ask, self._run, self._clock_s, self._kept = ask, run, clock_s, kept
        self._feeds: dict[str, Feed] = {}
        self._lock = threading.Lock()
        self._catching = asyncio.Semaphore(AT_ONCE)

    def submit(self, address: str, body: dict[str, Any], timeout_s: float) -> Future[Any]:
        """Poll the events of the order manager at `address`; return the future of its answer at once.

        The answer is the manager's; its events may be `AccountEvent`s, which all readers share.
        """
        if timeout_s < SHORTEST_S:
            return self._run(self._ask(address, EVENTS_POLL, body, timeout_s))
        future: Future[Any] = Future()
        if self._join(address, body, future, self._clock_s() + timeout_s):
            return future
        return self._run(self._catch_up(address, body, timeout_s))

    def _join(self, address: str, body: dict[str, Any], future: Future[Any], until_s: float) -> bool:
        """Answer from the buffer now, or let the reader wait. False: no shared poll covers its position."""
        after, limit, owner = body.get("after"), body.get("limit") or PAGE, body.get("owner") or None
        if type(after) is not int or type(limit) is not int or not isinstance(owner, str | None):
            return False  # the manager decides what that means
        with self._lock:
            feed = self._feeds.get(address)
            if feed is None or not feed.covers(after, body.get("lineage")):
                return False
            feed.used_s = self._clock_s()
            page = feed.page(after, limit, owner)
            if page is None:
                feed.waiting.append(Reader(future, after, limit, owner, until_s, body))
        if page is not None:
            future.set_result(page)
        return True

    async def _catch_up(self, address: str, body: dict[str, Any], timeout_s: float) -> Any:
        """Poll for one reader; if nothing is there, the reader is at the end and joins the shared poll."""
        until_s = self._clock_s() + timeout_s
        async with self._catching:
            answer = await self._ask(address, EVENTS_POLL, body, 0.0)
        if answer is None:
            return None
        if answer["next"] >= answer["last"]:  # nothing was left out, so the next events come from the shared poll
            self._begin(address, answer["next"], answer["lineage"])
        if answer["events"]:
            return answer
        future: Future[Any] = Future()
        at = body | {"after": answer["next"], "lineage": answer["lineage"], "cursor": None}
        if self._join(address, at, future, until_s):
            return await asyncio.wrap_future(future)
        return await self._ask(address, EVENTS_POLL, at, max(0.0, until_s - self._clock_s()))

    def _begin(self, address: str, last: int, lineage: str | None) -> None:
        """Begin the shared poll of an account behind an event, unless there is one."""
        with self._lock:
            if address in self._feeds:
                return
            feed = self._feeds[address] = Feed(address, lineage, last, used_s=self._clock_s())
        self._run(self._follow(feed))

    async def _follow(self, feed: Feed) -> None:
        """Poll for all readers of an account until none is left or the manager answers with an error."""
        looking = asyncio.ensure_future(self._look(feed))
        try:
            while self._is_used(feed):
                body = {"after": feed.last, "lineage": feed.lineage, "limit": PAGE, "owner": None}
                try:
                    answer = await self._ask(feed.address, EVENTS_POLL, body, POLL_S)
                except RetryLater:
                    await asyncio.sleep(AGAIN_S)
                    continue
                except MeshError:
                    return
                if answer is not None:
                    self._take(feed, answer)
        finally:
            looking.cancel()
            self._end(feed)

    def _is_used(self, feed: Feed) -> bool:
        """Return whether readers wait or came lately; if not, forget the shared poll."""
        with self._lock:
            if feed.waiting or self._clock_s() - feed.used_s < IDLE_S:
                return True
            self._forget(feed)
            return False

    def _forget(self, feed: Feed) -> None:
        if self._feeds.get(feed.address) is feed:
            del self._feeds[feed.address]

    def _take(self, feed: Feed, answer: Answer) -> None:
        """Add new events to the buffer and answer the readers that wait for them; those at one place share a page."""
        events = [AccountEvent.from_dict(plain) for plain in answer["events"]]
        pages: dict[tuple[int, int, str | None], Answer | None] = {}
        ready: list[tuple[Reader, Answer]] = []
        with self._lock:
            feed.events += events
            feed.last = answer["next"]
            while len(feed.events) > self._kept:
                feed.events.popleft()
            waiting, feed.waiting = feed.waiting, []
            for reader in waiting:
                key = (reader.after, reader.limit, reader.owner)
                if key not in pages:
                    pages[key] = feed.page(*key)
                page = pages[key]
                if page is None:
                    feed.waiting.append(reader)
                else:
                    ready.append((reader, page))
        for reader, page in ready:
            _set(reader.future, page)

    async def _look(self, feed: Feed) -> None:
        """Answer readers whose time is over, and forget those that gave up."""
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = self._clock_s()
            with self._lock:
                over = [reader for reader in feed.waiting if reader.until_s <= now_s or reader.future.cancelled()]
                gone = set(over)
                feed.waiting = [reader for reader in feed.waiting if reader not in gone]
            for reader in over:
                _set(reader.future, feed.empty(reader))

    def _end(self, feed: Feed) -> None:
        """Let the readers poll the manager themselves."""
        with self._lock:
            self._forget(feed)
            waiting, feed.waiting = feed.waiting, []
        for reader in waiting:
            _set(reader.future, {"events": [], "next": reader.after, "lineage": reader.body.get("lineage")})


def _set(future: Future[Any], answer: Answer) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(answer)
