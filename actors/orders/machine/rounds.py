"""When a gap of the user stream begins a round, and when the balances are requested outside rounds. Pure.

Gaps may come many times a second, and a round costs a part of the rate limit. The first gap begins a round at once.
Gaps that follow begin one round together, some seconds after the last one, and each time twice as long after it, up to
`GAPS_S`.

Times are of the monotonic clock, in ns.
"""

from __future__ import annotations

from ....model.backoff import Backoff
from ....model.time import in_ns

GAPS_S = 20.0  # longest pause between rounds for gaps
GAPS_CALM_S = 60.0  # without a gap; then the next gap is the first again
OWED = Backoff(1.5, 60.0, jitter=0.0)  # from an order, or a request, to a request for the balances that it needs
FAILED_S = 60.0  # longest pause after requests that failed


class GapRounds:
    """The rounds that gaps begin."""

    def __init__(self, soon_s: float) -> None:
        """`soon_s`: the shortest pause between two."""
        self._apart = Backoff(soon_s, max(soon_s, GAPS_S), jitter=0.0)
        self._in_a_row = 0
        self._begun_ns: int | None = None
        self.due_ns: int | None = None  # reports were lost, and the round for them begins then

    def lost(self, now_ns: int) -> None:
        """Record a gap: a round is due, now or later."""
        before_ns = self._begun_ns
        if before_ns is None or now_ns - before_ns >= in_ns(GAPS_CALM_S):
            self._in_a_row = 0
            before_ns = now_ns
        self.due_ns = before_ns + in_ns(self._apart.delay_s(self._in_a_row))

    def take(self, now_ns: int) -> bool:
        """Return whether a round must begin now; then it counts as begun."""
        if self.due_ns is None or self.due_ns > now_ns:
            return False
        self._in_a_row += 1
        self._begun_ns, self.due_ns = now_ns, None
        return True


class BalanceAsks:
    """The requests for balances outside rounds: one at a time, for all changes of a short time."""

    def __init__(self, pause_s: float) -> None:
        """`pause_s`: from a change to the request."""
        self._pause_ns = in_ns(pause_s)
        self._after_failures, self._failures = Backoff(pause_s, max(pause_s, FAILED_S), jitter=0.0), 0
        self._due_ns: int | None = None
        self._owed_since_ns: int | None = None
        self._owed_ns: int | None = None  # if they are still owed then, request the balances
        self._owed_asks = 0
        self._asked = self._again = False  # a request is under way; another one is due after it

    @property
    def wake_ns(self) -> int | None:
        """Return when `take` is due."""
        if self._asked:
            return None
        return min((at for at in (self._due_ns, self._owed_ns) if at is not None), default=None)

    def changed(self, now_ns: int) -> None:
        """Request the balances soon, but not too often."""
        if self._asked:
            self._again = True
        elif self._due_ns is None:
            self._due_ns = now_ns + self._pause_ns

    def take(self, owed_since_ns: int | None, now_ns: int) -> bool:
        """Return whether a request must begin now; then it is under way.

        `owed_since_ns`: see `Funds.owed_since_ns`. What no answer settles is requested ever more rarely.
        """
        if owed_since_ns != self._owed_since_ns:
            self._owed_since_ns, self._owed_asks = owed_since_ns, 1
            self._owed_ns = None if owed_since_ns is None else owed_since_ns + in_ns(OWED.delay_s(1))
        if self._asked:
            return False
        if self._owed_ns is not None and self._owed_ns <= now_ns:
            self._owed_asks += 1
            self._owed_ns = now_ns + in_ns(OWED.delay_s(self._owed_asks))
        elif self._due_ns is None or self._due_ns > now_ns:
            return False
        self._due_ns, self._asked = None, True
        return True

    def answered(self, stated: bool, after_s: float, now_ns: int) -> None:
        """Record the end of the request; `stated`: with balances, else the exchange wants no other before `after_s`."""
        self._failures = 0 if stated else self._failures + 1
        again, self._asked, self._again = self._again, False, False
        if stated and again:
            self.changed(now_ns)
        elif not stated:
            self._due_ns = now_ns + in_ns(max(after_s, self._after_failures.delay_s(self._failures)))
            if self._owed_ns is not None:
                self._owed_ns = max(self._owed_ns, self._due_ns)
