"""Estimates the exchange's clock from round trips, against our monotonic clock. Pure: every time is an argument.

One sample is a request sent at `sent` and answered at `recv` (both monotonic) with the server's time `s`, rounded down
to its resolution. The server read its clock between both times, so for any delays

    s - recv  <=  exchange's clock - monotonic clock  <  s + resolution - sent

So each sample gives an interval for the offset; a shorter round trip gives a narrower interval. With age an interval
widens by the possible drift of two quartz clocks. The offset is the middle of the range in which most of the last
samples agree. One sample that contradicts this range (one server of many may have another time) does not move the
offset. After three such samples in a row the exchange's clock counts as set, and the offset moves. Until then the error
bound covers both readings. A wrong time inside the range cannot be detected; it moves the offset within that range.

Our wall clock is only watched, never used. There are two possible causes when it jumps against the monotonic clock: the
wall clock was set, which does not change the offset, or the machine slept and the monotonic clock stopped, which raises
the offset by the length of the jump. Until the next sample the error bound covers both cases.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ..model.errors import RetryLater
from ..model.time import MILLISECOND_NS

KEPT = 8  # samples
TURN = 3  # after this many contradicting samples in a row, the exchange's clock counts as set
DRIFT_PPM = 200  # of two quartz clocks; NTP slews a clock by up to 500 ppm, but only for moments
JUMP_NS = 20 * MILLISECOND_NS  # a larger movement of the wall clock is a jump, not slewing


@dataclass(slots=True)
class _Interval:
    """The range of the offset at `at_ns` (monotonic): from `low_ns` to `high_ns`."""

    low_ns: int
    high_ns: int
    at_ns: int

    def widened(self, now_ns: int, drift_ppm: int) -> tuple[int, int]:
        drift_ns = max(0, now_ns - self.at_ns) * drift_ppm // 1_000_000 + 1
        return self.low_ns - drift_ns, self.high_ns + drift_ns


class ClockOffset:
    """Call `add` with every answer and `watch` at intervals. Times are ns; `mono_ns` is the monotonic clock.

    Args:
        resolution_ns: the resolution of the exchange's time, for example 1 ms.
        drift_ppm: how fast the two clocks may drift apart.
    """

    def __init__(self, resolution_ns: int = MILLISECOND_NS, drift_ppm: int = DRIFT_PPM) -> None:
        self._resolution_ns = resolution_ns
        self._drift_ppm = drift_ppm
        self._samples: deque[_Interval] = deque(maxlen=KEPT)
        self._against = 0  # newest samples in a row that contradict the offset
        self._offset_ns = 0
        self._low_ns = self._high_ns = 0  # the range of the offset at `_at_ns`
        self._at_ns = 0
        self._wall_ns: int | None = None  # wall minus monotonic clock at the last `watch`
        self.samples = 0
        self.turns = 0  # number of times the exchange's clock was set
        self.jumps = 0  # number of times our wall clock was set, or the machine slept

    @property
    def is_known(self) -> bool:
        return bool(self._samples)

    def add(self, sent_ns: int, recv_ns: int, server_ns: int) -> None:
        """Take one sample: `sent_ns` and `recv_ns` monotonic, `server_ns` the time in the answer.

        Raises:
            ValueError: received before sent.
        """
        if recv_ns < sent_ns:
            raise ValueError(f"received {sent_ns - recv_ns} ns before sent")
        new = _Interval(server_ns - recv_ns, server_ns + self._resolution_ns - sent_ns, sent_ns)
        contradicts = self.is_known and not self._overlaps(new, recv_ns)
        self._against = self._against + 1 if contradicts else 0
        self._samples.append(new)
        self.samples += 1
        if self._against >= TURN:
            for _ in range(len(self._samples) - TURN):
                self._samples.popleft()
            self._against = 0
            self.turns += 1
        self._settle(max(recv_ns, self._at_ns))

    def _overlaps(self, new: _Interval, now_ns: int) -> bool:
        """Return whether a sample overlaps the range in which most samples agree."""
        low, high = self._agreed(now_ns)
        own_low, own_high = new.widened(now_ns, self._drift_ppm)
        return own_low <= high and low <= own_high

    def _agreed(self, now_ns: int) -> tuple[int, int]:
        """Return the range in which most samples agree (Marzullo's algorithm); on a tie, that of the newest sample."""
        spans = [sample.widened(now_ns, self._drift_ppm) for sample in self._samples]
        best, best_count = spans[-1], 0
        for position, (low, _) in enumerate(spans):
            meeting = [span for span in spans if span[0] <= low <= span[1]]
            newest = spans[-1] in meeting
            if len(meeting) > best_count or (len(meeting) == best_count and (newest or position == len(spans) - 1)):
                best, best_count = (low, min(high for _, high in meeting)), len(meeting)
        return best

    def _settle(self, now_ns: int) -> None:
        low, high = self._agreed(now_ns)
        self._offset_ns = (low + high) // 2
        if self._against:  # until the contradiction is resolved, cover both readings
            for sample in list(self._samples)[-self._against :]:
                own_low, own_high = sample.widened(now_ns, self._drift_ppm)
                low, high = min(low, own_low), max(high, own_high)
        self._low_ns, self._high_ns, self._at_ns = low, high, now_ns

    def watch(self, wall_ns: int, mono_ns: int) -> int:
        """Compare our two clocks, read at the same moment. Return the wall clock's jump since the last call.

        Return zero if it did not jump. Measure again after a jump: a jump forward widens the error bound until then.
        """
        apart_ns = wall_ns - mono_ns
        jump_ns = 0 if self._wall_ns is None else apart_ns - self._wall_ns
        self._wall_ns = apart_ns
        if abs(jump_ns) <= JUMP_NS:
            return 0
        self.jumps += 1
        if jump_ns > 0:
            for sample in self._samples:
                sample.high_ns += jump_ns
            self._high_ns += jump_ns
        return jump_ns

    def exchange_now_ns(self, mono_ns: int) -> int:
        """Return the exchange's time (ns since the Unix epoch) at `mono_ns`.

        Raises:
            RetryLater: no sample yet.
        """
        if not self._samples:
            raise RetryLater(1.0, "the exchange's clock is not measured yet")
        return mono_ns + self._offset_ns

    def error_ns(self, mono_ns: int) -> int:
        """Return the largest error of `exchange_now_ns(mono_ns)`, in both directions.

        Raises RetryLater: no sample yet.
        """
        if not self._samples:
            raise RetryLater(1.0, "the exchange's clock is not measured yet")
        drift_ns = max(0, mono_ns - self._at_ns) * self._drift_ppm // 1_000_000 + 1
        return max(self._offset_ns - self._low_ns, self._high_ns - self._offset_ns) + drift_ns
