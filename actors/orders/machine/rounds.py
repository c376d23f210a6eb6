"""When a gap of the user stream begins a round, and when changes of orders and ties request the balances. Pure.

Gaps may come many times a second, and a round costs a part of the rate limit. The first gap begins a round at once.
Gaps that follow begin one round together, some seconds after the last one, and each time twice as long after it, up to
`GAPS_S`.

Times are of the monotonic clock, in ns.
"""

from __future__ import annotations

from ....model.backoff import Backoff
from ....model.time import SECOND_NS, in_ns

GAPS_S = 20.0  # longest pause between rounds for gaps
GAPS_CALM_S = 60.0  # without a gap; then the next gap is the first again
TIE_NS = SECOND_NS  # from a tie of a reservation and the balances to a request for the balances


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
        self._due_ns: int | None = None
        self._tie_ns: int | None = None  # if a reservation is still tied then, request the balances
        self._asked = self._again = False  # a request is under way; another one is due after it

    @property
    def wake_ns(self) -> int | None:
        """Return when `take` is due."""
        return min((at for at in (self._due_ns, self._tie_ns) if at is not None), default=None)

    def changed(self, now_ns: int) -> None:
        """Request the balances soon, but not too often."""
        if self._asked:
            self._again = True
        elif self._due_ns is None:
            self._due_ns = now_ns + self._pause_ns

    def take(self, is_tied: bool, now_ns: int) -> bool:
        """Return whether a request must begin now; then it is under way. `is_tied`: see `Funds.tied`."""
        if not is_tied:
            self._tie_ns = None
        elif self._tie_ns is None:
            self._tie_ns = now_ns + TIE_NS
        elif self._tie_ns <= now_ns:
            self._tie_ns = now_ns + TIE_NS
            self.changed(now_ns)
        if self._due_ns is None or self._due_ns > now_ns:
            return False
        self._due_ns, self._asked = None, True
        return True

    def answered(self, stated: bool, now_ns: int) -> None:
        """Record the end of the request; `stated`: with balances."""
        again, self._asked, self._again = self._again or not stated, False, False
        if again:
            self.changed(now_ns)
