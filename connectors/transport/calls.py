"""Sends requests over one websocket connection that is kept open: many outstanding, answers matched by id.

    no connection, too many outstanding, `before_write` raised    RetryLater (or what it raised): provably not sent
    written, and the connection ended or no answer came           OutcomeUnknown: the exchange may have acted
    an answer, of any status                                HttpResponse: the codec judges it

No request is sent twice: a call belongs to the connection on which it was written, and ends with that connection. When
the exchange announces the end of a connection, or the connection nears its maximum age, the connection is drained: no
further call is written to it, and a new connection is opened when its last call is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ...model.backoff import Backoff
from ...model.errors import DecodeError, OutcomeUnknown, RetryLater
from ...model.http import HttpResponse
from ...model.time import in_ns
from ..order_codec import OpensCalls, Signed, TradingCodec
from ..reports import StreamEnded
from ..spec import KeepAlive
from .clock import SYSTEM_CLOCK, Clock
from .feed import AGAIN, Attempted, Feed
from .link import Link

RETRY_S = 1.0  # the delay of RetryLater
DRAIN_AT = 0.85  # of max_connection_s: earlier than the feed closes the connection


class FeedLike(Protocol):
    """The part of `connectors.transport.feed.Feed` that calls use."""

    last_error: str | None
    connections: int

    def start(self) -> None: ...
    async def stop(self) -> None: ...
    def reconnect(self, reason: str) -> None: ...


class Calls:
    """Sends calls; see the module. `start` before the first call, `stop` at the end.

    Args:
        codec: returns the address (`call_url`) and reads frames.
        on_failure: called once with an unexpected error; after that no call is answered.
        on_push: called with every frame that is not an answer to a call, and its arrival time (ns since the Unix
        epoch). admit, on_refused, silence_s, max_connection_s, backoff: as `Feed`.
        wait_s: how long a call waits for a connection before it fails, unsent.
        max_outstanding: most unanswered calls; a further call is refused, unsent.
        feed: makes the feed; tests pass their own.
    """

    def __init__(
        self,
        codec: TradingCodec,
        *,
        on_failure: Callable[[BaseException], None],
        on_push: Callable[[bytes, int], None] | None = None,
        opening: Callable[[], bytes] | None = None,
        admit: Callable[[], Awaitable[Attempted | None]] | None = None,
        on_refused: Callable[[int, dict[str, str]], None] | None = None,
        keepalive: KeepAlive | None = None,
        wait_s: float = 1.0,
        max_outstanding: int = 256,
        silence_s: float = 60.0,
        max_connection_s: float = 86_400.0,
        backoff: Backoff = AGAIN,
        clock: Clock = SYSTEM_CLOCK,
        feed: Callable[..., FeedLike] = Feed,
    ) -> None:
        self._codec = codec
        self._on_failure = on_failure
        self._on_push = on_push
        self._wait_s = wait_s
        self._max_outstanding = max_outstanding
        self._drain_ns = in_ns(max_connection_s * DRAIN_AT)
        self._clock = clock
        self._feed = feed(
            codec.call_url,
            self,
            on_failure=self._failed,
            backoff=backoff,
            admit=admit,
            on_refused=on_refused,
            silence_s=silence_s,
            max_connection_s=max_connection_s,
            clock=clock,
            **({} if keepalive is None else {"keepalive": keepalive}),
        )
        self._opening = opening
        self._link: Link | None = None
        self._ready = asyncio.Event()  # a connection is open and not draining
        self._draining: str | None = None
        self._waiting = 0  # for a connection
        self._outstanding: dict[str, asyncio.Future[HttpResponse]] = {}
        self._sent_ns: dict[str, int] = {}
        self._counts = {"sent": 0, "answered": 0, "unknown": 0, "late": 0, "unreadable": 0}
        self._stopped = False

    def start(self) -> None:
        """Start connecting. Call it once, on the loop that sends."""
        self._feed.start()

    async def stop(self) -> None:
        """Close the connection. Outstanding calls end with OutcomeUnknown, later ones with RetryLater."""
        self._stopped = True
        await self._feed.stop()
        self._cut("stopped")

    def status(self) -> dict[str, Any]:
        return {
            "open": self._ready.is_set(),
            "outstanding": len(self._outstanding),
            "connections": self._feed.connections,
            "last_error": self._feed.last_error,
            **self._counts,
        }

    async def send(
        self,
        signed: Signed,
        timeout_s: float,
        before_write: Callable[[], bytes | None] | None = None,
        release: asyncio.Future[None] | None = None,
    ) -> HttpResponse:
        """Write `signed.call` once and return its answer, of any status.

        `before_write` is called when the connection is open and nothing is written yet; its errors are raised here. If
        it returns a frame, that one is written: the same call with the time or the token of now. With `release` the
        call waits until that future is done; the waits for a connection and for the answer then begin. Cancelling the
        future cancels this call, and nothing was sent.

        Raises:
            RetryLater: no connection within `wait_s`, or too many calls outstanding; nothing was sent.
            OutcomeUnknown: it was written, and no answer came within `timeout_s` or before the connection ended.
            ValueError: a call with this id is outstanding, or `signed` is not a call; nothing was sent.
        """
        frame, request_id = signed.call, signed.call_id or signed.request_id
        what = f"{signed.draft.call} {signed.request_id}"
        if frame is None or request_id in self._outstanding:
            raise ValueError(f"{what} is not a call, or a call with this id is outstanding")
        if release is not None:
            await release
        link = await self._connected(what, min(timeout_s, self._wait_s))
        if request_id in self._outstanding:
            raise ValueError(f"a call with the id {request_id} is outstanding")
        if before_write is not None:
            frame = before_write() or frame
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[HttpResponse] = loop.create_future()
        self._outstanding[request_id] = answer
        self._sent_ns[request_id] = self._clock.time_ns()
        self._counts["sent"] += 1
        try:
            link.send(frame)
            alarm = loop.call_later(timeout_s, _expire, answer)
            try:
                return await answer
            finally:
                alarm.cancel()
        except TimeoutError:
            reason = f"no answer within {timeout_s:g} s"
        except (OSError, RuntimeError) as error:  # an error of the write: some bytes may have left
            reason = f"{type(error).__name__}: {error}"
        finally:
            self._outstanding.pop(request_id, None)
            self._sent_ns.pop(request_id, None)
            self._leave_when_idle()
        self._counts["unknown"] += 1
        raise OutcomeUnknown(what, reason)

    async def _connected(self, what: str, wait_s: float) -> Link:
        """Return the open connection; wait for one at most `wait_s`. Raises RetryLater."""
        if len(self._outstanding) + self._waiting >= self._max_outstanding:
            raise RetryLater(RETRY_S, f"{what}: {self._max_outstanding} calls are outstanding")
        self._drain_when_old()
        if self._link is None or not self._ready.is_set():
            self._waiting += 1
            try:
                async with asyncio.timeout(0 if self._stopped else wait_s):
                    await self._ready.wait()
            except TimeoutError:
                reason = self._feed.last_error or "not open yet"
                raise RetryLater(RETRY_S, f"no connection for {what}: {reason}") from None
            finally:
                self._waiting -= 1
        if self._link is None or not self._ready.is_set():
            raise RetryLater(RETRY_S, f"no connection for {what}: it ended at once")
        return self._link

    # Leaving a connection without losing its outstanding calls

    def drain(self, reason: str) -> None:
        """Write no further call to this connection, and open a new one when its last call is answered."""
        if self._link is not None and self._draining is None:
            self._draining = reason
            self._ready.clear()
            self._leave_when_idle()

    def _drain_when_old(self) -> None:
        if self._link is not None and self._clock.monotonic_ns() - self._link.opened_ns > self._drain_ns:
            self.drain("near the age at which the exchange closes it")

    def _leave_when_idle(self) -> None:
        if self._draining is not None and not self._outstanding and self._link is not None:
            self._feed.reconnect(self._draining)

    # Called by the feed

    def on_open(self, link: Link) -> None:
        self._link, self._draining = link, None
        if self._opening is None:
            self._ready.set()
        else:
            link.send(self._opening())

    def _opened(self, frame: memoryview | bytes) -> bool:
        """Return whether a frame answers the message that opens the connection; if it does, act on the answer."""
        if self._opening is None or self._ready.is_set() or self._draining is not None:
            return False
        answer = self._codec.call_opened(frame) if isinstance(self._codec, OpensCalls) else None
        if answer is None:
            return False
        if answer.code is None:
            self._ready.set()
        else:
            reason = f"the exchange refused the connection for orders ({answer.code}): {answer.reason}"
            asyncio.get_running_loop().call_soon(self._feed.reconnect, reason)
        return True

    def on_frame(self, frame: memoryview | bytes, recv_ns: int) -> None:
        if self._opened(frame):
            return
        found = self._codec.call_answer(frame)
        if found is None:
            self._pushed(bytes(frame), recv_ns)
            return
        answer = self._outstanding.get(found.request_id)
        if answer is None or answer.done():
            self._counts["late"] += 1
            return
        self._counts["answered"] += 1
        sent_ns = self._sent_ns[found.request_id]
        answer.set_result(HttpResponse(found.status, found.headers, found.body, sent_ns, recv_ns))

    def _pushed(self, frame: bytes, recv_ns: int) -> None:
        try:
            reports = self._codec.stream_decode(frame, recv_ns)
        except DecodeError:
            self._counts["unreadable"] += 1
            reports = ()
        for report in reports:
            if isinstance(report, StreamEnded):
                self.drain(report.reason)
        if self._on_push is not None:
            self._on_push(frame, recv_ns)

    def on_close(self, reason: str) -> None:
        self._cut(reason)

    def _cut(self, reason: str) -> None:
        self._link, self._draining = None, None
        self._ready.clear()
        for request_id, answer in list(self._outstanding.items()):
            if not answer.done():
                self._counts["unknown"] += 1
                answer.set_exception(OutcomeUnknown(f"call {request_id}", f"the connection ended: {reason}"))

    def _failed(self, failure: BaseException) -> None:
        self._stopped = True
        self._cut(f"{type(failure).__name__}: {failure}")
        self._on_failure(failure)


def _expire(answer: asyncio.Future[HttpResponse]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())
