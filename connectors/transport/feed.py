"""A websocket connection that is kept open for ever.

    wait for admission -> dial -> OPEN: on_open, messages, watched -> ended: on_close -> wait (backoff) -> again

An open connection ends when the exchange closes it, when the exchange sends nothing for `silence_s` (the feed sends a
ping after half of that time), when it nears the age at which the exchange closes it, on `reconnect`, `Link.close` or
`stop`, or when its handler raises. `stop` and an error of the handler also end the feed; otherwise the feed dials
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ...model.backoff import Backoff
from ...model.errors import DecodeError, InboxFull, OutcomeUnknown, Rejected, RetryLater
from ...model.time import SECOND_NS, in_ns
from ..spec import Dial, KeepAlive
from .clock import SYSTEM_CLOCK, Clock
from .link import OK, DialFailed, FrameHandler, LinkState

try:
    from .picows import dial
except ImportError:  # Windows, where picows is not available
    from .websockets import dial  # type: ignore[assignment]

Attempted = Callable[[], None]


def _dialer(url: str) -> Callable[..., Awaitable[LinkState]]:
    """Return what opens a connection to this URL; ccxt, which is an optional extra, is loaded for its own alone."""
    if not url.startswith("ccxt:"):
        return dial
    from ..ccxt.link import dial as dial_ccxt

    return dial_ccxt


NEVER_NS = 1 << 62
AGAIN = Backoff(first_s=0.2, cap_s=30.0)  # after a connection that did not prove good
PROVEN_S = 5.0  # a connection with messages after this time has proven good
LEAVE_AT = (0.88, 0.98)  # of max_connection_s: the feed closes a connection at a random age between these


class Feed:
    """Keeps one connection to `url()` open and passes its messages to `handler`.

    After a connection that had proven good, failures count from zero again, and the next attempt follows after a random
    delay shorter than the backoff's first, so that the clients of a restarted server do not all return at once.

    Args:
        url: called before every attempt, after admission; returns the address, or an awaitable of a `Dial`. The errors
            that postpone the attempt in `admit` do so here, too, as do Rejected and DecodeError.
        handler: see `FrameHandler`; called on the loop that called `start`.
        on_failure: called once, with what the handler (or `url` or `admit`) raised; the feed has ended then.
        backoff: after failed attempts and connections that did not prove good.
        admit: awaited before every attempt. RetryLater, InboxFull and OutcomeUnknown postpone the attempt; any other
            error ends the feed. If it returns a function, this is called when the attempt has been answered or failed.
        silence_s: a connection without a message for this long is dropped.
        max_connection_s: the exchange closes connections of this age; the feed closes its own earlier (`LEAVE_AT`).
        connect_timeout_s: for name, TCP, TLS and upgrade together.
        close_timeout_s: how long a close handshake may take before the socket is dropped.
        max_message: bytes; a larger message ends the connection.
        keepalive: sent at its period, from the opening of each connection on.
        on_refused: called with status and headers (lower case) when the exchange refuses the upgrade with an HTTP
            status, for example 429 or 418.
    """

    def __init__(
        self,
        url: Callable[[], str | Awaitable[Dial]],
        handler: FrameHandler,
        *,
        on_failure: Callable[[BaseException], None],
        backoff: Backoff = AGAIN,
        admit: Callable[[], Awaitable[Attempted | None]] | None = None,
        silence_s: float = 60.0,
        max_connection_s: float = 86_400.0,
        connect_timeout_s: float = 10.0,
        close_timeout_s: float = 1.0,
        max_message: int = 4 * 1024 * 1024,
        on_refused: Callable[[int, dict[str, str]], None] | None = None,
        keepalive: KeepAlive | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._url = url
        self._handler = handler
        self._on_failure = on_failure
        self._backoff = backoff
        self._admit = admit
        self._attempted: Attempted | None = None
        self._silence_ns = in_ns(silence_s)
        self._max_connection_ns = in_ns(max_connection_s)
        self._connect_timeout_s = connect_timeout_s
        self._close_timeout_s = close_timeout_s
        self._max_message = max_message
        self._on_refused = on_refused
        self._keepalive = keepalive
        self._target = Dial("")  # of the attempt under way
        self._clock = clock
        self._link: LinkState | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.last_error: str | None = None  # why the last attempt or connection ended; None while a connection is open
        self.connections = 0  # opened so far

    @property
    def link(self) -> LinkState | None:
        """The open connection, or None."""
        return self._link if self._link is not None and self._link.reason is None else None

    def start(self) -> None:
        """Start connecting. Call it once, on a running event loop."""
        if self._task is not None:
            raise RuntimeError("this feed was started already")
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """End with a close handshake (at most `close_timeout_s`). On return no task of the feed runs."""
        self._stopping = True
        task = self._task
        if task is None or task is asyncio.current_task():
            return
        if self._link is not None:
            self._link.leave("stopped", OK)
        else:
            task.cancel()
        await asyncio.wait({task})

    def reconnect(self, reason: str) -> None:
        """Replace the open connection by a new one.

        If one is open, `on_close(reason)` is called before this returns.
        """
        if self._link is not None:
            self.last_error = reason
            self._link.leave(reason, OK)

    async def _keep(self) -> None:
        failures = 0
        try:
            while not self._stopping:
                wait_s = await self._refused_for(failures)
                if wait_s is not None:
                    failures += 1
                elif await self._connection():
                    failures = 0
                    wait_s = self._backoff.spread_s(self._clock.random())
                else:
                    failures += 1
                    wait_s = self._backoff.delay_s(failures, self._clock.random())
                if not self._stopping:
                    await self._clock.sleep(wait_s)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        except BaseException as failure:  # the top of this shell: the owner of the feed handles the error
            self.last_error = f"{type(failure).__name__}: {failure}"
            self._on_failure(failure)
            if not isinstance(failure, Exception):
                raise

    async def _refused_for(self, failures: int) -> float | None:
        """Get admission and the address. Return the delay before the next attempt; None: both were granted."""
        put_off: tuple[type[Exception], ...] = (RetryLater, InboxFull, OutcomeUnknown)
        try:
            if self._admit is not None:
                self._attempted = await self._admit()
            put_off += (Rejected, DecodeError)  # the exchange may have an address later
            url = self._url()
            self._target = Dial(url) if isinstance(url, str) else await url
        except put_off as refusal:
            self.last_error = str(refusal)
            own = self._backoff.delay_s(failures + 1, self._clock.random())
            return max(own, refusal.after_s or 0.0) if isinstance(refusal, RetryLater) else own
        return None

    async def _connection(self) -> bool:
        """Serve one connection until its end. Return whether it had proven good. Raises the handler's error."""
        link = await self._dial()
        if link is None:
            return False
        self._link = link
        self.connections += 1
        try:
            if self._stopping:
                link.leave("stopped", OK)
            await self._watch(link)
            await self._wait(link.gone, self._close_timeout_s)
        finally:
            if not link.gone.done():
                link.drop("stopped")
                await link.gone
            self._link = None
        self.last_error = link.reason
        if link.failure is not None:
            raise link.failure
        return link.last_recv_ns - link.opened_ns >= in_ns(PROVEN_S)

    async def _dial(self) -> LinkState | None:
        attempt = asyncio.ensure_future(
            _dialer(self._target.url)(
                self._target.url,
                self._handler,
                self._clock,
                timeout_s=self._connect_timeout_s,
                max_message=self._max_message,
            )
        )
        try:
            if not await self._wait(attempt, self._connect_timeout_s):
                self.last_error = f"no connection within {self._connect_timeout_s} s"
                return None
            return attempt.result()
        except DialFailed as failed:
            self.last_error = str(failed)
            if failed.status is not None and self._on_refused is not None:
                self._on_refused(failed.status, failed.headers)
            return None
        except asyncio.CancelledError:
            if attempt.done() and attempt.exception() is None:  # the connection opened just as the feed stopped
                attempt.result().drop("stopped")
                await attempt.result().gone
            raise
        finally:
            attempted, self._attempted = self._attempted, None
            if attempted is not None:
                attempted()
            if not attempt.done():
                attempt.cancel()
                await asyncio.wait({attempt})

    async def _watch(self, link: LinkState) -> None:
        """Wait until the connection has ended; end it when it is silent or old."""
        clock = self._clock
        low, high = LEAVE_AT
        age_ns = self._max_connection_ns
        if self._target.max_age_s is not None:
            age_ns = min(age_ns, in_ns(self._target.max_age_s))
        leave_ns = link.opened_ns + int(age_ns * (low + (high - low) * clock.random()))
        say_ns, say_every_ns = self._say_from(link)
        pinged_after = -1  # last_recv_ns at the last ping, so that each silence gets one ping
        while link.reason is None:
            now = clock.monotonic_ns()
            silent_ns = link.last_recv_ns + self._silence_ns
            ping_ns = link.last_recv_ns + self._silence_ns // 2
            if now >= silent_ns:
                link.drop(f"silent for {self._silence_ns / SECOND_NS:g} s")
            elif now >= leave_ns:
                link.leave("near the age at which the exchange closes it", OK)
            else:
                if now >= ping_ns and pinged_after != link.last_recv_ns:
                    pinged_after = link.last_recv_ns
                    link.ping()
                if self._keepalive is not None and now >= say_ns:
                    link.send(self._keepalive.frame)
                    say_ns = now + say_every_ns
                next_ns = min(leave_ns, say_ns, silent_ns if now >= ping_ns else ping_ns)
                await self._wait(link.ended, (next_ns - now) / SECOND_NS)

    def _say_from(self, link: LinkState) -> tuple[int, int]:
        """Return when the next keepalive message is due and its period; never, if the exchange expects none."""
        if self._keepalive is None:
            return NEVER_NS, NEVER_NS
        every_ns = in_ns(self._target.keepalive_s or self._keepalive.every_s)
        return link.opened_ns + every_ns, every_ns

    async def _wait(self, what: asyncio.Future[Any], seconds: float) -> bool:
        """Return whether `what` ended within `seconds` of this feed's clock."""
        if what.done():
            return True
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({what, sleep}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not sleep.done():
                sleep.cancel()
                await asyncio.wait({sleep})
        return what.done()
