"""One connection to an exchange's stream of candles, and the series that it feeds.

The series decide what a candle means. The feed subscribes, reads frames, and reports confirmations, refusals and the
end of the connection to the series. A subscription that is refused, or not confirmed in time, is sent again; it does
not affect the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from ...connectors.drafts import batches
from ...connectors.gzip_frames import inflate
from ...connectors.market_codec import Codec, Outgoing, StreamsCandles
from ...connectors.transport import Link
from ...model.backoff import Backoff
from ...model.errors import DataError
from ...model.events import CandleUpdate, GoingAway, MarketEvent, Say, Subscribed, SubscribeRefused
from ...model.instrument import Instrument
from ...model.time import SECOND_NS, in_ns
from ..book.send_queue import SendQueue
from ..book.surroundings import Surroundings
from .series import Series

CONFIRM_S = 10.0  # a subscription that is not confirmed by then is sent again
AGAIN = Backoff(first_s=5.0, cap_s=60.0)  # before a refused subscription is sent again
Key = tuple[str, str]  # symbol, interval


@dataclass(slots=True, eq=False)
class Followed:
    """A series of one pair, and its subscription."""

    instrument: Instrument
    series: Series
    refusals: int = 0  # in a row
    again_ns: int | None = None  # when the subscription is sent again

    @property
    def key(self) -> Key:
        return self.instrument.symbol, self.series.interval


@dataclass(slots=True)
class _Awaited:
    """The series that an answer will confirm, and when the message was sent (None: not yet)."""

    keys: set[Key] = field(default_factory=set)
    sent_ns: int | None = None


class CandleFeed:
    """Call `start`, then `beat` every 50 ms or so, then `stop`."""

    def __init__(self, codec: Codec, around: Surroundings, changed: Callable[[Followed], None]) -> None:
        """`changed` is called after each event that may have changed a series."""
        assert isinstance(codec, StreamsCandles)
        offer = codec.spec.candles
        assert offer is not None
        assert offer.stream is not None
        self.followed: dict[Key, Followed] = {}
        self.room = offer.stream.max_streams
        self.unreadable = 0
        self._per_message = offer.stream.pairs_per_message
        self._codec, self._candles = codec, codec
        self._around, self._changed = around, changed
        self._link: Link | None = None
        self._awaited: dict[str, _Awaited] = {}  # by key, as text
        self._any_confirmed = False  # on this connection
        self._first_sent_ns: int | None = None
        self._next_id = 1
        spec = codec.spec
        self._sending = SendQueue(spec.limits, self._write, around.monotonic_ns)
        self._feed = around.connect(
            codec.candle_url,
            self,
            on_failure=around.fail,
            admit=around.budget.connection,
            silence_s=spec.silence_s,
            max_connection_s=spec.max_connection_s,
            on_refused=around.budget.refused,
            keepalive=spec.keepalive,
        )

    def start(self) -> None:
        self._feed.start()

    async def stop(self) -> None:
        await self._feed.stop()
        self._sending.clear()

    # Series

    def follow(self, followed: Followed) -> None:
        """Feed one more series; the others are not affected."""
        self.followed[followed.key] = followed
        self._bind()
        if self._link is not None:
            self._subscribe([followed])

    def leave(self, followed: Followed) -> None:
        """Stop feeding a series; the others are not affected."""
        del self.followed[followed.key]
        self._bind()
        self._forget(followed.key)
        if self._link is not None:
            self._send([self._message("unsubscribe", followed.series.interval, [followed.instrument])])

    def _bind(self) -> None:
        self._codec.bind({one.instrument.symbol: one.instrument for one in self.followed.values()}.values())

    # The connection; called by the transport, on the loop

    def on_open(self, link: Link) -> None:
        self._around.alive()
        self._link = link
        self._start_over()
        self._subscribe(list(self.followed.values()))

    def on_frame(self, frame: bytes | memoryview, recv_ns: int) -> None:
        self._around.alive()
        try:
            events = self._codec.decode(inflate(frame) if self._codec.spec.gzip else frame, recv_ns)
        except DataError as error:
            self._unreadable(frame, error)
        else:
            for event in events:
                self._take(event)

    def on_close(self, reason: str) -> None:
        self._link = None
        self._start_over()
        for followed in self.followed.values():
            followed.again_ns = None
            followed.series.lost(f"no connection: {reason}")
            self._changed(followed)

    def _start_over(self) -> None:
        """Forget what was sent and expected on the previous connection."""
        self._awaited.clear()
        self._sending.clear()
        self._any_confirmed, self._first_sent_ns = False, None

    def _take(self, event: MarketEvent) -> None:
        match event:
            case CandleUpdate(symbol, interval, candle):
                followed = self.followed.get((symbol, interval))
                if followed is not None:
                    followed.series.streamed(candle, self._around.time_ns())
                    self._changed(followed)
            case Subscribed(key):
                self._subscribed(str(key))
            case SubscribeRefused(key, code, reason) if key is not None:
                self._refused(str(key), f"{code}: {reason}")
            case Say(frame) if self._link is not None:
                self._link.send(frame)
            case GoingAway():
                asyncio.get_running_loop().call_soon(self._feed.reconnect, "the exchange is about to close it")
            case _:
                pass

    def _unreadable(self, frame: bytes | memoryview, error: DataError) -> None:
        """Doubt the series of the symbols in the frame, or all series if no symbol is in it."""
        self.unreadable += 1
        text = bytes(frame).upper()
        named = [one for one in self.followed.values() if one.instrument.symbol.upper().encode() in text]
        for followed in named or list(self.followed.values()):
            followed.series.doubt(str(error))
            self._changed(followed)

    # Subscriptions

    def _subscribe(self, wanted: Iterable[Followed]) -> None:
        """Subscribe to the candles of these series, those of one interval together."""

        def interval_of(one: Followed) -> str:
            return one.series.interval

        messages = []
        for interval, group in groupby(sorted(wanted, key=interval_of), interval_of):
            for batch in batches(list(group), self._per_message):
                message = self._message("subscribe", interval, [one.instrument for one in batch])
                unconfirmed = {one.key for one in batch}
                for expected in message.expects:
                    keys = {(symbol, interval) for symbol in expected.symbols}
                    self._awaited.setdefault(str(expected.key), _Awaited()).keys |= keys
                    unconfirmed -= keys
                for one in batch:
                    one.again_ns = None
                    if one.key in unconfirmed:  # no answer confirms this subscription
                        one.series.subscribed()
                        self._changed(one)
                messages.append(message)
        self._send(messages)

    def _message(self, op: Any, interval: str, instruments: list[Instrument]) -> Outgoing:
        self._next_id += 1
        return self._candles.candle_message(op, interval, instruments, self._next_id)

    def _send(self, messages: list[Outgoing]) -> None:
        self._sending.send(messages)

    def _write(self, message: Outgoing, now_ns: int) -> None:
        self._around.alive()
        if self._link is None:
            return
        self._link.send(message.frame)
        for expected in message.expects:
            awaited = self._awaited.get(str(expected.key))
            if awaited is not None:
                awaited.sent_ns = now_ns
                self._first_sent_ns = self._first_sent_ns or now_ns

    def _subscribed(self, key: str) -> None:
        awaited = self._awaited.pop(key, None)
        if awaited is None:
            return
        self._any_confirmed = True
        waiting = {each for other in self._awaited.values() for each in other.keys}
        for each in awaited.keys - waiting:
            if (followed := self.followed.get(each)) is not None:
                followed.refusals = 0
                followed.series.subscribed()
                self._changed(followed)

    def _refused(self, key: str, reason: str) -> None:
        awaited = self._awaited.pop(key, None)
        for each in awaited.keys if awaited is not None else ():
            self._forget(each)
            if (followed := self.followed.get(each)) is not None:
                followed.refusals += 1
                wait_s = AGAIN.delay_s(followed.refusals, 0.5)
                followed.again_ns = self._around.monotonic_ns() + in_ns(wait_s)
                followed.series.lost(f"the subscription was refused, and is sent again in {wait_s:.0f} s: {reason}")
                self._changed(followed)

    def _forget(self, key: Key) -> None:
        """Expect no more answers about a series."""
        for awaited in self._awaited.values():
            awaited.keys.discard(key)
        self._awaited = {name: awaited for name, awaited in self._awaited.items() if awaited.keys}

    # Time

    def beat(self) -> None:
        """Send refused subscriptions again, and look for those that were not confirmed in time."""
        if self._link is None:
            return
        now_ns, limit_ns = self._around.monotonic_ns(), in_ns(CONFIRM_S)
        reason = f"a subscription was not confirmed within {CONFIRM_S:g} s"
        if not self._any_confirmed:
            if self._first_sent_ns is not None and self._awaited and now_ns - self._first_sent_ns >= limit_ns:
                self._feed.reconnect(reason)
                return
        else:
            for key, awaited in list(self._awaited.items()):
                if awaited.sent_ns is not None and now_ns - awaited.sent_ns >= limit_ns:
                    self._refused(key, reason)
        due = [one for one in self.followed.values() if one.again_ns is not None and now_ns >= one.again_ns]
        if due:
            self._subscribe(due)

    def status(self) -> dict[str, Any]:
        """Return plain values about the connection."""
        link = self._link
        age_s = None if link is None else (self._around.monotonic_ns() - link.opened_ns) / SECOND_NS
        return {
            "connected": link is not None,
            "age_s": age_s,
            "connections": self._feed.connections,
            "last_error": self._feed.last_error,
            "series": len(self.followed),
            "unconfirmed": len(self._awaited),
            "unreadable": self.unreadable,
        }
