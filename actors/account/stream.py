"""The role `stream/<exchange>/<account>`: receives the exchange's reports on an account for the order manager.

    exchange --frames--> codec.stream_decode --numbered reports--> Outbox --"reports"--> orders/<exchange>/<account>

A new incarnation takes nothing from its predecessor: it opens the stream, reports `up`, and numbers from 1; the manager
reconciles, because it may have missed reports. The role keeps reports until the manager acknowledges them (when they
are durable) and sends them again to the manager's next incarnation. A marker in the sequence shows where reports are,
or may be, missing (see `reports`). The role watches the age of the last received frame; pings count, so a quiet account
is not a failure. When the exchange ends, refuses or does not confirm the stream in time, the role opens a new
connection, with backoff and within the rate budget.

With `stream = "polling"` the role polls (see `polling`), for an exchange without a stream.

    stats                          the same as `status`
    poll raw {after, limit?}       {"frames": [{number, ts_recv_ns, raw, decoded}], "next": n}: the last frames, secrets
                                   masked; returns as soon as a frame after `after` exists, else at the timeout
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from ...connectors.order_codec import Auth, StreamsPairs, TradingCodec, UsesTokens
from ...connectors.reports import Missed, StreamEnded, StreamOpened, StreamSay
from ...connectors.transport import Attempted, Feed
from ...connectors.transport.link import Link
from ...model.address import orders_address
from ...model.backoff import Backoff
from ...model.errors import DataError, DecodeError, MeshError, Misconfigured, Rejected, RetryLater
from ...model.time import SECOND_NS
from ..book.surroundings import FeedLike
from ..cell.role import Context, whole_number
from ..limits.budget import RestLike
from .gateway import TOKEN_AGAIN_S, Gateway
from .opening import open_gateway
from .pairs import bind_listed
from .polling import Deliver, Poller
from .reports import Marker, Outbox, Report, to_plain
from .settings import StreamSettings

CONFIRM_S = 10.0  # without a confirmation by then the role opens a new connection
BATCH = 200  # reports of one message
BEAT_S = 1.0  # longest time between two messages to the manager, so that the manager notices silence
RAW_KEPT = 500  # frames for `raw`
RAW_BYTES = 4096  # of one frame
ASK_S = 5.0
AGAIN = Backoff(first_s=0.02, cap_s=1.0)  # pause after a batch that the manager did not take
_SECRET = re.compile(rb'(?i)("\w*(?:key|signature|token|secret|passphrase|sign)"\s*:\s*)"(?:[^"\\]|\\.)*"')


def masked(frame: bytes) -> str:
    """Return a frame as text for display: secrets masked, cut to 4 KB."""
    return _SECRET.sub(rb'\1"***"', frame)[:RAW_BYTES].decode(errors="replace")


class Source(Protocol):
    """A source of reports."""

    @property
    def up(self) -> bool:
        """Whether the source reports everything now."""

    def start(self) -> None: ...
    async def stop(self) -> None: ...
    def beat(self) -> None: ...
    def status(self) -> dict[str, Any]:
        """At least `state` and `error`."""


class UserStreamRole:
    """See the module. The keyword arguments replace what is built from the configuration."""

    reads = frozenset({"stats", "raw"})

    def __init__(
        self,
        settings: StreamSettings,
        context: Context,
        *,
        connect: Callable[..., FeedLike] = Feed,
        rest: RestLike | None = None,
        codec: TradingCodec | None = None,
        auth: Auth | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._context = settings, context
        self._chance = chance
        self._manager = orders_address(settings.gateway.connector.exchange, settings.account)
        self._outbox = Outbox(settings.outbox)
        self._raw: deque[dict[str, Any]] = deque(maxlen=RAW_KEPT)
        self._raw_next = 1
        self._arrival = asyncio.Event()
        self._waiting = asyncio.Event()  # set while the outbox holds reports
        self._sending: asyncio.Task[None] | None = None
        self._undelivered: str | None = None  # why the manager does not take the reports
        self._parts = (connect, rest, codec, auth)
        self._gateway: Gateway
        self._source: Source

    async def start(self) -> None:
        connect, rest, codec, auth = self._parts
        self._gateway = await open_gateway(
            self._settings.gateway, self._context, rest=rest, codec=codec, auth=auth, manager=self._manager
        )
        self._gateway.counters.granted(self._settings.account_limits)
        polling = self._settings.source == "polling" or not self._gateway.codec.offer.stream
        if polling:
            self._source = Poller(self._gateway, self._context, self._settings, self._deliver)
        else:
            self._source = Listener(self._gateway, self._context, connect, self._deliver, self._chance)
        self._gateway.start()
        self._sending = asyncio.get_running_loop().create_task(self._send())
        self._source.start()

    async def stop(self) -> None:
        await self._source.stop()
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        await self._gateway.close()
        self._wake()

    async def handle(self, kind: str, body: Any) -> Any:
        if kind == "stats":
            return self.status()
        raise self._context.unknown(kind)

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        if kind != "raw":
            raise self._context.unknown_poll(kind)
        after = (body or {}).get("after", 0)
        if type(after) is not int:
            raise Rejected("bad_request", f"after is {after!r}; it must be a whole number")
        limit = whole_number(body, "limit") or 100
        try:
            async with asyncio.timeout(timeout_s):
                while self._raw_next - 1 <= after:
                    await self._arrival.wait()
        except TimeoutError:
            pass  # the answer without frames
        frames = [frame for frame in self._raw if frame["number"] > after][:limit]
        lost = frames[0]["number"] - after - 1 if frames and after else 0  # no longer kept
        frames = [
            {
                **frame,
                "raw": masked(frame["raw"]) if isinstance(frame["raw"], bytes) else frame["raw"],
                "decoded": [to_plain(report) for report in frame["decoded"]],
            }
            for frame in frames
        ]
        following = frames[-1]["number"] if frames else min(after, self._raw_next - 1)
        return {"frames": frames, "lost": lost, "next": following}

    def status(self) -> dict[str, Any]:
        source = self._source.status()
        box = self._outbox
        return {
            **source,
            "error": source["error"] or self._undelivered,
            "reports": box.last,
            "acknowledged": box.acked,
            "unacknowledged": len(box),
            "overflows": box.overflows,
            **self._gateway.status(),
        }

    def beat(self) -> None:
        self._source.beat()

    # ------------------------------------------------------------------ from the source to the manager

    def _deliver(self, reports: list[Report], raw: bytes, recv_ns: int) -> None:
        for report in reports:
            self._outbox.add(report)
        if reports:
            self._waiting.set()
        kept = raw if len(raw) <= RAW_BYTES else masked(raw)  # a small frame is masked when it is read
        self._raw.append({"number": self._raw_next, "ts_recv_ns": recv_ns, "raw": kept, "decoded": reports})
        self._raw_next += 1
        self._wake()

    def _wake(self) -> None:
        arrived, self._arrival = self._arrival, asyncio.Event()
        arrived.set()

    async def _send(self) -> None:
        """Send the manager the reports that it has not acknowledged, one message at a time, in order."""
        context, box, failures = self._context, self._outbox, 0
        stream = list(context.incarnation)
        try:
            while True:
                if not len(box):
                    self._waiting.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(BEAT_S):
                            await self._waiting.wait()
                context.alive()
                first, reports = box.batch(BATCH)
                body = {"stream": stream, "first": first, "reports": reports, "up": self._source.up}
                try:
                    answer = await context.ask(self._manager, "reports", body, ASK_S)
                except MeshError as error:
                    failures += 1
                    self._undelivered = f"{len(box)} reports wait for {self._manager}: {error}"
                    after_s = (error.after_s or 0.0) if isinstance(error, RetryLater) else 0.0
                    await asyncio.sleep(max(after_s, AGAIN.delay_s(failures, self._chance())))
                    continue
                failures, self._undelivered = 0, None
                box.acknowledge(int(answer["acked"]))
        except Exception as failure:  # the top of this shell: an unexpected error ends the cell
            context.fail(failure)
            raise


class Listener:
    """The exchange's own stream over a websocket."""

    def __init__(
        self,
        gateway: Gateway,
        context: Context,
        connect: Callable[..., FeedLike],
        deliver: Deliver,
        chance: Callable[[], float],
    ) -> None:
        self._gateway, self._context, self._deliver, self._chance = gateway, context, deliver, chance
        self._link: Link | None = None
        self._asked: dict[str, int] = {}  # request id of a subscription not confirmed yet: when it was sent
        self._opened = 0
        self.up = False
        self._state, self._error = "CONNECTING", ""
        self._closes = 0
        self._token_ns = 0  # when the stream's token was requested
        self._extending: asyncio.Task[None] | None = None
        self._unreadable = 0
        self._frames = 0
        self.feed = connect(
            gateway.codec.stream_url,
            self,
            on_failure=context.fail,
            admit=self._admit,
            silence_s=gateway.spec.silence_s,
            max_connection_s=gateway.spec.max_connection_s,
            on_refused=gateway.budget.refused,
            **({} if gateway.spec.keepalive is None else {"keepalive": gateway.spec.keepalive}),
        )

    def start(self) -> None:
        self.feed.start()

    async def _admit(self) -> Attempted:
        """Prepare an attempt to connect. Raises as `Gateway.admit_private`; RetryLater: the catalog does not answer."""
        codec = self._gateway.codec
        if isinstance(codec, StreamsPairs) and codec.streams_pairs:
            try:
                await bind_listed(codec, self._context, self._gateway.spec.exchange)
            except (Rejected, Misconfigured, DataError) as error:
                raise RetryLater(TOKEN_AGAIN_S, f"the catalog names no pairs: {error}") from error
        return await self._gateway.admit_private()

    async def stop(self) -> None:
        if self._extending is not None:
            self._extending.cancel()
            await asyncio.gather(self._extending, return_exceptions=True)
        await self.feed.stop()

    async def _extend(self, codec: UsesTokens) -> None:
        """Request the token of the open stream again, which extends it. Another token: the exchange has ended the
        stream of the first one."""
        try:
            token = await self._gateway.request_token(codec)
        except MeshError as error:
            self._error = f"the stream's token was not extended: {error}"
            self._token_ns += int(TOKEN_AGAIN_S * SECOND_NS) - self._every_ns()  # the next request is due then
            return
        self._error = ""
        if token != self._gateway.token and self.up:
            self.feed.reconnect("the exchange gave another token")

    def _every_ns(self) -> int:
        return int((self._gateway.codec.offer.token_every_s or 0.0) * SECOND_NS)

    # The connection; called by the feed, on the loop

    def on_open(self, link: Link) -> None:
        self._context.alive()
        self._link = link
        self._state = "SUBSCRIBING"
        self._opened += 1
        request_id = f"stream-{self._context.incarnation[0]}-{self._context.incarnation[1]}-{self._opened}"
        self._token_ns = self._context.monotonic_ns()
        self._asked = {request_id: self._token_ns}
        gateway = self._gateway
        frames = gateway.codec.stream_open(gateway.auth, request_id, gateway.clock.now_ns(), gateway.validity_ms)
        for frame in frames:
            link.send(frame)
        if not frames:  # for this exchange the connection itself opens the stream
            self._confirmed()

    def on_frame(self, frame: bytes | memoryview, recv_ns: int) -> None:
        self._context.alive()
        self._frames += 1
        raw = bytes(frame)
        try:
            found = self._gateway.codec.stream_decode(raw, recv_ns)
        except DecodeError as error:
            self._unreadable += 1
            self._deliver([Marker("gap", f"a frame that cannot be read: {error.reason}")], raw, recv_ns)
            return
        reports: list[Report] = []
        again: str | None = None
        for report in found:
            if isinstance(report, StreamSay):
                if self._link is not None:
                    self._link.send(report.frame)
                continue
            if isinstance(report, StreamOpened):
                again = self._answered(report) or again
                continue
            if isinstance(report, Missed):
                reports.append(Marker("gap", report.reason))
                continue
            reports.append(report)
            if isinstance(report, StreamEnded):
                again = f"the exchange ended the stream: {report.reason}"
        self._deliver(reports, raw, recv_ns)
        if again is not None:
            asyncio.get_running_loop().call_soon(self.feed.reconnect, again)

    def on_close(self, reason: str) -> None:
        self._link = None
        self._asked = {}
        self._closes += 1
        self._state, self._error = "CONNECTING", reason
        if self.up:
            self.up = False
            self._deliver([Marker("down", reason)], b"", self._context.time_ns())

    def _answered(self, opened: StreamOpened) -> str | None:
        """Handle the answer to opening the stream. Return the reason to connect again, if there is one."""
        if self._asked.pop(opened.request_id, None) is None:
            return None
        if opened.code is not None:
            self._gateway.refused(Rejected(opened.code, opened.reason or ""))
            return f"the exchange refused the stream ({opened.code}): {opened.reason}"
        self._confirmed()
        return None

    def _confirmed(self) -> None:
        self._asked = {}
        self.up = True
        self._state, self._error = "LIVE", ""
        self._deliver([Marker("up")], b"", self._context.time_ns())

    def beat(self) -> None:
        """Check the deadlines of subscriptions. The feed itself watches for silence."""
        now_ns = self._context.monotonic_ns()
        if self._link is not None and any(now_ns - at_ns >= CONFIRM_S * SECOND_NS for at_ns in self._asked.values()):
            self._asked = {}
            self.feed.reconnect(f"the stream was not confirmed within {CONFIRM_S:g} s")
        codec, every_ns = self._gateway.codec, self._every_ns()
        is_due = self.up and every_ns and now_ns - self._token_ns >= every_ns
        if is_due and isinstance(codec, UsesTokens) and (self._extending is None or self._extending.done()):
            self._token_ns = now_ns
            self._extending = asyncio.get_running_loop().create_task(self._extend(codec))

    def status(self) -> dict[str, Any]:
        link, now_ns = self._link, self._context.monotonic_ns()
        return {
            "state": self._state,
            "error": self._error or (self.feed.last_error if self._state != "LIVE" else None) or None,
            "source": "websocket",
            "age_s": None if link is None else (now_ns - link.opened_ns) / SECOND_NS,
            "received_s_ago": None if link is None else (now_ns - link.last_recv_ns) / SECOND_NS,
            "connections": self.feed.connections,
            "closes": self._closes,
            "frames": self._frames,
            "unreadable": self._unreadable,
        }
