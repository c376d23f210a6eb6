"""The connection of an exchange that sends trades apart from books: subscriptions, silence, reconnects.

The session of the books owns this one and gives it the same pairs. The two connections do not affect each other: a book
stays LIVE while trades are away, and trades continue while a book waits. A subscription that is refused, or not
confirmed in time, is sent again after a delay; the others are not affected.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from ...connectors.gzip_frames import inflate
from ...connectors.market_codec import Codec, OpensTrades, Outgoing, SeparateTrades
from ...connectors.transport import Link
from ...model.backoff import Backoff
from ...model.errors import DataError
from ...model.events import GoingAway, MarketEvent, PublicTrade, Say, Status, Subscribed, SubscribeRefused
from ...model.instrument import Instrument
from ...model.time import SECOND_NS, in_ns
from .events import Trading
from .ingest import Ingest
from .send_queue import SendQueue
from .surroundings import Surroundings

CONFIRM_S = 10.0  # a subscription that is not confirmed by then is sent again
AGAIN = Backoff(first_s=1.0, cap_s=60.0)  # before a refused subscription is sent again


@dataclass(slots=True)
class _Awaited:
    """The symbol of a subscription that an answer will confirm, and when the message was sent (None: not yet)."""

    symbol: str
    sent_ns: int | None = None


@dataclass(slots=True)
class _Refused:
    """How often in a row the trades of a symbol were refused, and when they are requested again."""

    times: int
    again_ns: int | None


class TradeSession:
    """Call `start`, then `beat` every 50 ms or so, then `stop`. `ingest` serves the pairs and gets their trades."""

    def __init__(self, codec: Codec, around: Surroundings, ingest: Ingest) -> None:
        assert isinstance(codec, SeparateTrades)
        url = codec.trades_url()
        assert url is not None
        self._codec, self._trades, self._around, self._ingest = codec, codec, around, ingest
        self._link: Link | None = None
        self._awaited: dict[str, _Awaited] = {}  # by key, as text
        self._refusals: dict[str, _Refused] = {}  # by symbol
        self._any_confirmed = False  # on this connection
        self._first_sent_ns: int | None = None
        self._next_id = 1
        self.unreadable = 0
        self.last_error: str | None = None  # of an unreadable frame or a refused subscription
        self.url = url
        spec = codec.spec
        self._silence_ns = in_ns(spec.silence_s)
        self._sending = SendQueue(spec.limits, self._write, around.monotonic_ns)
        self._feed = around.connect(
            lambda: url,
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

    def track(self, instruments: list[Instrument]) -> None:
        """Request the trades of these instruments, too."""
        if self._link is not None:
            self._subscribe(instruments)

    def untrack(self, instrument: Instrument) -> None:
        """End the trades of one instrument."""
        self._forget(instrument.symbol)
        self._refusals.pop(instrument.symbol, None)
        if self._link is not None:
            self._send(self._trades.unsubscribe_trades([instrument], self._next_id))

    # The connection; called by the transport, on the loop

    def on_open(self, link: Link) -> None:
        self._around.alive()
        self._link = link
        self._start_over()
        if isinstance(self._codec, OpensTrades):
            self._send(self._codec.opening_trades(self._next_id))
        self._subscribe([pair.instrument for pair in self._ingest.pairs.values()])

    def on_frame(self, frame: bytes | memoryview, recv_ns: int) -> None:
        self._around.alive()
        try:
            if self._codec.spec.gzip:
                frame = inflate(frame)
            if self._around.tap is not None:
                self._around.tap("recv", self.url, bytes(frame), recv_ns)
            for event in self._codec.decode(frame, recv_ns):
                self._take(event)
        except DataError as error:
            self.unreadable += 1
            self.last_error = str(error)

    def on_close(self, reason: str) -> None:
        self._link = None
        self._start_over()

    def _start_over(self) -> None:
        """Forget what was sent and expected on the previous connection."""
        self._awaited.clear()
        self._refusals.clear()
        self._sending.clear()
        self._any_confirmed, self._first_sent_ns = False, None

    def _take(self, event: MarketEvent) -> None:
        match event:
            case PublicTrade(symbol=symbol):
                if symbol in self._ingest.pairs:
                    self._ingest.trade(event)
            case Status(symbol, is_trading):
                if symbol in self._ingest.pairs:
                    self._ingest.on(self._ingest.pairs[symbol], Trading(is_trading))
            case Subscribed(key):
                confirmed = self._awaited.pop(str(key), None)
                if confirmed is not None:
                    self._any_confirmed = True
                    self._refusals.pop(confirmed.symbol, None)
            case SubscribeRefused(key, code, reason) if key is not None:
                self._refused(str(key), f"{code}: {reason}")
            case Say(frame) if self._link is not None:
                self._say(frame)
            case GoingAway():
                asyncio.get_running_loop().call_soon(self._feed.reconnect, "the exchange is about to close it")
            case _:
                pass

    # Subscriptions

    def _subscribe(self, instruments: list[Instrument]) -> None:
        for instrument in instruments:
            self._forget(instrument.symbol)
            refused = self._refusals.get(instrument.symbol)
            if refused is not None:
                refused.again_ns = None
        messages = self._trades.subscribe_trades(instruments, self._next_id)
        for message in messages:
            for expected in message.expects:
                for symbol in expected.symbols:
                    self._awaited[str(expected.key)] = _Awaited(symbol)
        self._send(messages)

    def _send(self, messages: list[Outgoing]) -> None:
        self._next_id += len(messages)
        self._sending.send(messages)

    def _write(self, message: Outgoing, now_ns: int) -> None:
        self._around.alive()
        self._say(message.frame)
        for expected in message.expects:
            awaited = self._awaited.get(str(expected.key))
            if awaited is not None:
                awaited.sent_ns = now_ns
                if self._first_sent_ns is None:
                    self._first_sent_ns = now_ns

    def _say(self, frame: bytes) -> None:
        if self._link is None:
            return
        if self._around.tap is not None:
            self._around.tap("send", self.url, frame, self._around.time_ns())
        self._link.send(frame)

    def _refused(self, key: str, reason: str) -> None:
        awaited = self._awaited.pop(key, None)
        if awaited is None:
            return
        self.last_error = f"{awaited.symbol}: {reason}"
        times = 1 + (self._refusals[awaited.symbol].times if awaited.symbol in self._refusals else 0)
        again_ns = self._around.monotonic_ns() + in_ns(AGAIN.delay_s(times, 0.5))
        self._refusals[awaited.symbol] = _Refused(times, again_ns)

    def _forget(self, symbol: str) -> None:
        """Expect no more answers about a symbol."""
        self._awaited = {key: awaited for key, awaited in self._awaited.items() if awaited.symbol != symbol}

    # Time

    def beat(self) -> None:
        """Look for silence, for subscriptions that were not confirmed in time, and for those to be sent again."""
        if self._link is None:
            return
        now_ns, limit_ns = self._around.monotonic_ns(), in_ns(CONFIRM_S)
        if now_ns - self._link.last_recv_ns >= self._silence_ns:
            self._feed.reconnect(f"silent for {self._silence_ns / SECOND_NS:g} s")
            return
        reason = f"a subscription was not confirmed within {CONFIRM_S:g} s"
        if not self._any_confirmed:
            if self._awaited and self._first_sent_ns is not None and now_ns - self._first_sent_ns >= limit_ns:
                self._feed.reconnect(reason)
                return
        else:
            for key, awaited in list(self._awaited.items()):
                if awaited.sent_ns is not None and now_ns - awaited.sent_ns >= limit_ns:
                    self._refused(key, reason)
        due = [
            pair.instrument
            for symbol, refused in self._refusals.items()
            if refused.again_ns is not None and now_ns >= refused.again_ns
            if (pair := self._ingest.pairs.get(symbol)) is not None
        ]
        if due:
            self._subscribe(due)

    def status(self) -> dict[str, Any]:
        """Return plain values about the connection."""
        return {
            "connected": self._link is not None,
            "connections": self._feed.connections,
            "last_error": self.last_error or self._feed.last_error,
            "refused": sorted(self._refusals),
            "unconfirmed": len(self._awaited),
            "unreadable": self.unreadable,
        }
