"""Keeps the candles of one pair and interval in order. Pure.

Theory of operation. Readers see a series without holes: answers over REST begin it and close its holes, and the stream
extends it. A streamed candle continues the series if it is a newer state of the last candle, or opens where the last
candle has closed. Anything else opens a *hole*: a newer candle although the last one was never closed (some exchanges
never state the end of a candle), a candle that opens later, a lost connection, an unreadable frame, a candle that is
overdue by our clock. While there is a hole, all candles from the end of the series on are requested over REST, and
streamed candles wait; the answer continues the series first, then the candles that waited.

    WAITING --subscribed--> FILLING --the answer closes the hole--> LIVE        LIVE --hole--> FILLING
    any --connection lost, or subscription refused--> WAITING

A candle is closed if the exchange says so, in the stream or over REST. A closed candle is final: nothing changes it.
The volume of an open candle only grows, so an open candle without more volume than the known one is late or repeated,
and is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ...model.backoff import Backoff
from ...model.candle import Candle, close_of, longest_ns, shortest_ns
from ...model.time import SECOND_NS, in_ns

AGAIN = Backoff(first_s=0.5, cap_s=30.0)  # between requests that did not close the hole
OVERDUE_NS = 10 * SECOND_NS  # after the end of a candle, or of the next one if the last one is closed
QUIET_NS = 60 * SECOND_NS  # after an answer without a newer candle, before the next request for an overdue one
AHEAD_MOST = 1000  # streamed candles that wait for an answer; the oldest are dropped, REST has them


class State(Enum):
    WAITING = "WAITING"  # for the subscription
    FILLING = "FILLING"  # there may be a hole: REST is asked
    LIVE = "LIVE"


@dataclass(slots=True)
class Counters:
    """What happened to this series since it was made."""

    updates: int = 0  # candles that changed the series
    ignored: int = 0  # late or repeated
    contradicted: int = 0  # differed from the known candle after its end; ignored as well
    holes: int = 0
    fills: int = 0  # answers over REST
    failed: int = 0


class Series:
    """The candles from `covered_ns` on, at most `most` of them. `now_ns` is wall-clock time, `at_ns` monotonic."""

    def __init__(self, interval: str, first: int, most: int, now_ns: int) -> None:
        """`first`: how many candles before now the series begins with."""
        self.interval = interval
        self.state = State.WAITING
        self.reason: str | None = "the subscription was not confirmed yet"  # None: LIVE
        self.counters = Counters()
        self.version = now_ns  # grows with each change, across the incarnations of the owner as well
        self._first, self._most = first, most
        self._candles: dict[int, Candle] = {}  # by time of opening, oldest first
        self._versions: dict[int, int] = {}  # the series' version at the last change of each candle
        self._ahead: dict[int, Candle] = {}  # streamed candles beyond the hole
        self._attempt = 0  # answers to requests before the last subscription are ignored: they may miss candles
        self._asked = False
        self._tries = 0
        self._ask_ns = 0
        self._overdue_ns = 0  # the last candle is not overdue before this time
        self.covered_ns = now_ns
        self._begin(now_ns)

    def _begin(self, now_ns: int) -> None:
        self._candles.clear()
        self._versions.clear()
        self.covered_ns = max(0, now_ns - self._first * longest_ns(self.interval))

    @property
    def last(self) -> Candle | None:
        return next(reversed(self._candles.values()), None)

    @property
    def end_ns(self) -> int:
        """Where the series may continue: the opening of an open last candle, else the end of the last one."""
        last = self.last
        if last is None:
            return self.covered_ns
        return last.close_ns if last.is_closed else last.open_ns

    @property
    def newest_ns(self) -> int:
        """The opening of the newest candle that the stream has shown."""
        last = self.last
        return max([0 if last is None else last.open_ns, *self._ahead])

    def since(self, start_ns: int, version: int = 0) -> list[Candle]:
        """Return the candles that open from `start_ns` on and have changed since `version`, oldest first."""
        return [each for at, each in self._candles.items() if at >= start_ns and self._versions[at] > version]

    # The subscription

    def subscribed(self) -> None:
        """The exchange confirmed the subscription: from now on every change comes as a frame."""
        self._attempt += 1
        self._asked = False
        self._hole("the candles since the last one are requested")

    def lost(self, reason: str) -> None:
        """The connection or the subscription ended."""
        self.state, self.reason = State.WAITING, reason
        self._ahead.clear()
        self._tries, self._ask_ns = 0, 0

    def doubt(self, reason: str) -> None:
        """A frame that may be of this series could not be read."""
        if self.state is not State.WAITING:
            self._hole(reason)

    def streamed(self, candle: Candle, now_ns: int) -> None:
        """Process a candle of the stream."""
        if self.state is State.LIVE and self._continue(candle, now_ns, is_proven=False):
            return
        if self.state is State.LIVE:
            self._hole(f"candles since {self.end_ns} ns are missing before that of {candle.open_ns} ns")
        if self.state is State.FILLING and _is_newer(candle, self._ahead.get(candle.open_ns)):
            self._ahead[candle.open_ns] = candle
            if len(self._ahead) > AHEAD_MOST:
                del self._ahead[min(self._ahead)]

    # REST

    def due(self, at_ns: int, now_ns: int) -> int | None:
        """Return the time from which candles must be requested now; None: no request is due."""
        if self.state is State.LIVE and now_ns >= max(self._overdue_ns, self._expected_ns()):
            self._hole(f"no candle came since {self.end_ns} ns")
        if self.state is not State.FILLING or self._asked or at_ns < self._ask_ns:
            return None
        if now_ns - self.end_ns > self._most * shortest_ns(self.interval):
            self._begin(now_ns)
        return self.end_ns

    def asked(self) -> int:
        """The request for which `due` gave the time is under way. Return its number, for the answer."""
        self._asked = True
        return self._attempt

    def filled(self, attempt: int, found: list[Candle], at_ns: int, now_ns: int) -> None:
        """Process the answer: all candles of the exchange from the time of `due` on, oldest first."""
        if attempt != self._attempt:
            return
        self._asked = False
        if self.state is not State.FILLING:
            return
        self.counters.fills += 1
        end_ns = self.end_ns
        waiting, self._ahead = self._ahead, {}
        self.state, self.reason = State.LIVE, None
        for candle in found:
            if candle.open_ns >= end_ns and not self._continue(candle, now_ns, is_proven=True):
                self._hole(f"the candle of {self.end_ns} ns has not ended, but there is one of {candle.open_ns} ns")
                break
        for at in sorted(waiting):
            self.streamed(waiting[at], now_ns)
        if self.state is State.FILLING:
            self._again(at_ns)
        else:
            self._tries = 0
            self._overdue_ns = now_ns + QUIET_NS if self.end_ns == end_ns else 0

    def failed(self, attempt: int, reason: str, after_s: float, at_ns: int) -> None:
        """The request failed; `after_s` is the delay that the exchange or a limit requires."""
        if attempt != self._attempt:
            return
        self._asked = False
        self.counters.failed += 1
        if self.state is State.FILLING:
            self.reason = f"candles since {self.end_ns} ns could not be requested: {reason}"
            self._again(at_ns, after_s)

    def _again(self, at_ns: int, after_s: float = 0.0) -> None:
        self._tries += 1
        self._ask_ns = at_ns + in_ns(max(after_s, AGAIN.delay_s(self._tries, 0.5)))

    # Inside

    def _hole(self, reason: str) -> None:
        self.counters.holes += self.state is State.LIVE
        self.state, self.reason = State.FILLING, reason

    def _expected_ns(self) -> int:
        """Return when the next message about a candle is overdue."""
        last = self.last
        if last is None:
            return 0
        end_ns = close_of(last.close_ns, self.interval) if last.is_closed else last.close_ns
        return end_ns + OVERDUE_NS

    def _continue(self, candle: Candle, now_ns: int, is_proven: bool) -> bool:
        """Continue the series by a candle, or ignore it; return False if candles are missing before it.

        `is_proven`: REST lists the candle as the next one after the last.
        """
        last = self.last
        if last is None:
            if not is_proven:
                return False
        elif candle.open_ns < last.open_ns or (candle.open_ns == last.open_ns and not _is_newer(candle, last)):
            self._ignore(candle)
            return True
        elif candle.open_ns > last.open_ns and not (last.is_closed and (is_proven or candle.open_ns == last.close_ns)):
            return False
        self.version = max(self.version + 1, now_ns)
        self._candles[candle.open_ns], self._versions[candle.open_ns] = candle, self.version
        self.counters.updates += 1
        while len(self._candles) > self._most:
            oldest = next(iter(self._candles))
            self.covered_ns = self._candles.pop(oldest).close_ns
            del self._versions[oldest]
        return True

    def _ignore(self, candle: Candle) -> None:
        self.counters.ignored += 1
        known = self._candles.get(candle.open_ns)
        self.counters.contradicted += known is not None and known.is_closed and candle.is_closed and candle != known


def _is_newer(candle: Candle, known: Candle | None) -> bool:
    """Return whether a candle is a later state of the same candle than the known one."""
    if known is None or known.is_closed:
        return known is None
    return candle.is_closed or candle.volume > known.volume
