"""One limit of an egress address, kept in every window of its period.

Theory of operation. The exchange counts our address's requests per window of `period` seconds. Its windows follow the
exchange's own clock, which we do not know exactly, so a bucket keeps the limit in *every* window of that length.
Each limit is a bucket of `burst` units that refills at (usable - burst) / (period + lease). The divisor contains the
lease, because a grant may be spent at any moment until its lease ends. In any window the holders can spend at most the
`burst` units of its beginning plus the refill, which together is at most `usable`: the limit less a reserve.

Succession is safe because a bucket needs no memory of the past: a successor starts with *empty* buckets, as if its
predecessor had spent everything, and refills from the first moment. So both together stay below `usable` in every
window, without any message between them. If the supervisor holds a promise of the predecessor, the successor has the
promised level too (`promises`). Until the supervisor has stored that no other process will get a part of that promise,
the successor fills to a lower level (`withheld`). Only the first start of a mesh begins with full buckets (`fresh`),
because the mesh has spent nothing before.

For a limit with a short period (up to `exact_s`) most of that divisor would be the lease, and a bucket would grant a
small part of the limit. So `ExactBucket` counts such a limit exactly: a unit is in use from its grant until one period
after its lease ended, and `usable` units may be in use. A spend lies between its grant and the end of its lease, so no
window of the exchange has more. A successor cannot know what its predecessor granted; it grants nothing from an exact
limit for a lease and a period, and then starts with none in use.

Response headers state the exchange's own count. A bucket follows a count above its own (other programs may use the
address): `floor` holds the count plus everything granted since. A lower count replaces the floor only if it is
certainly later, that is, if its request was granted after the higher count had arrived; then a new window of the
exchange has begun. After a full period without a count, the floor is no longer valid. A successor ignores lower
counts, because they do not include units that the predecessor granted and its holders have not spent yet.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from ...connectors.limit_answers import LONGEST_BAN_S
from ...connectors.spec import Limit
from ...model.errors import Misconfigured
from ...model.time import in_ns
from .settings import GrantSettings

SLACK = 4  # a promise leaves this part of the burst, and at least one request, to be granted before the next promise
NEVER_NS = 2**62
SLOTS = 100  # of a period, in which settled units are counted


class Rest(StrEnum):
    """The part that a successor gets of what its predecessor has left; see `promises`."""

    WHOLE = "whole"  # no other process will get any of it
    HALF = "half"
    NONE = "none"


@dataclass(slots=True)
class Floor:
    """The exchange's count, and the units granted since."""

    count: int
    extra: int
    at_ns: int


@dataclass(slots=True)
class Promise:
    """The level of a bucket at a moment, and a bound of later grants: those of a small bucket of `slack`, that refills
    by half of the rate and has `left` now."""

    version: int
    level: int
    slack: int
    left: int


class Bucket:
    """One limit. A level is kept as units x divisor, so that it refills by whole numbers every nanosecond."""

    def __init__(self, name: str, limit: Limit, settings: GrantSettings, now_ns: int, fresh: bool) -> None:
        self.limit = limit.amount
        self.usable = max(1, int(limit.amount * (1.0 - settings.reserve)))
        self.burst = min(self.usable, max(1, int(self.usable * settings.burst)))
        self.spare = int(self.usable * settings.spare)
        self._kept = int(self.usable * settings.orders)
        self._since_ns = None if fresh else now_ns  # when a successor began, with empty buckets
        self.reads = settings.reads
        self.period_ns = in_ns(limit.per_s)
        self.slot_ns = max(1, self.period_ns // SLOTS)
        self.divisor = self.period_ns + in_ns(settings.lease_s)
        self.rate = max(self.usable - self.burst, 1)  # level per nanosecond
        self.least_slack = max(1, self.burst // SLACK)
        if self.usable == 1:  # one unit, then the next a full period later
            self.rate = 1
        elif self.usable == self.burst:
            raise Misconfigured(f"limit {name}", "the burst leaves nothing to refill with")
        # In the store may be a promise of an earlier process. Half of its rest is for another process than this one.
        self.withheld = 0 if fresh or not self.is_promised else (self.burst - self.least_slack) * self.divisor // 2
        self.apart = 0  # what a predecessor that may still grant may have of the whole bucket
        self.full = self.burst * self.divisor - self.withheld
        self.level = self.full if fresh else 0
        self.at_ns = now_ns
        self.taken = 0  # everything granted so far; never decreases
        self.leased = 0  # granted and not settled
        self.settled: deque[tuple[int, int]] = deque()  # when units were settled as spent, and how many; in one period
        self.most = 0  # largest number of units that were in use at once: no window of the exchange had more
        self.next_read_ns = now_ns  # from when on the next read of an account stands in the line of the orders
        self.floor: Floor | None = None
        self.largest = 0  # most units that were ever requested at once
        self.promises: list[Promise] = []  # that the supervisor may hold, oldest first: see `promises`
        self.shared: int | None = None  # what refills per ns while a predecessor may still grant
        self.has_filled = False  # the exchange refused a request for this limit after the last promise

    @property
    def in_use(self) -> int:
        """The units that the exchange may count in the window that ends now."""
        return self.leased + sum(units for _, units in self.settled)

    @property
    def free(self) -> int:
        """The units that can be granted at once."""
        return max(0, self.level // self.divisor)

    @property
    def kept(self) -> int:
        """The units that are kept for orders and cancels. A successor sets them aside over one period: all at once they
        would take the first 12 s of its refill, and every book that is not LIVE would wait for them."""
        if self._since_ns is None:
            return self._kept
        return min(self._kept, self._kept * (self.at_ns - self._since_ns) // self.period_ns)

    def is_spare(self, cost: int) -> bool:
        """Return whether little is in use, by our count and by the exchange's, and stays so after `cost`."""
        counted = 0 if self.floor is None else self.floor.count + self.floor.extra
        return max(self.in_use, counted) + cost <= self.spare

    @property
    def is_promised(self) -> bool:
        """Return whether there is half of a rate, so that promises say anything about this limit."""
        return self.rate // 2 > 0

    def advance(self, now_ns: int) -> None:
        if now_ns > self.at_ns:
            self.level = min(self.full, self.level + self.refill * (now_ns - self.at_ns))
            for promise in self.promises:
                promise.left = min(promise.slack, promise.left + self.rate // 2 * (now_ns - self.at_ns))
            self.at_ns = now_ns
            while self.settled and now_ns - self.settled[0][0] >= self.period_ns:
                self.settled.popleft()
        if self.floor is not None and now_ns - self.floor.at_ns >= self.period_ns:
            self.floor = None

    def wait_ns(self, cost: int, free: int = 0) -> int:
        """Return how long until `cost` can be granted if nothing else is granted or settled before; 0: now.

        `free` units must be free for it, if that is more: those that it leaves to orders.
        """
        needed = max(cost, free)
        wait = self._earned_ns(needed)
        if self.floor is not None and self.floor.count + self.floor.extra + needed > self.usable:
            wait = max(wait, self.floor.at_ns + self.period_ns - self.at_ns)
        if self.promises:
            allowed = min(promise.left for promise in self.promises)
            wait = max(wait, -(-(cost * self.divisor - allowed) // (self.rate // 2)))
        return wait

    def _earned_ns(self, cost: int) -> int:
        missing = cost * self.divisor - self.level
        if missing <= 0:
            return 0
        return -(-missing // self.refill) if self.refill else NEVER_NS

    @property
    def refill(self) -> int:
        """The level that comes per nanosecond."""
        return self.rate if self.shared is None else self.shared

    def promise(self, version: int) -> None:
        """Promise to grant no more than the slack and half of the refill; nothing where there is no half."""
        self.has_filled = False
        if self.is_promised:
            slack = max(self.least_slack, self.largest) * self.divisor
            self.promises.append(Promise(version, self.level, slack, slack))

    def inherit(self, level: int, slack: int, age_ns: int, rest: Rest) -> None:
        """Add a part of what a predecessor has certainly left, `age_ns` after its promise: the promise splits the
        bucket in two, each with half of the rate, and this is the part that it does not grant from."""
        left = max(0, min(self.burst * self.divisor - slack, level - slack + self.rate // 2 * age_ns))
        if rest is Rest.WHOLE:
            self.lift()
        elif rest is Rest.HALF:
            left //= 2
        else:
            left = 0
        self.level = min(self.full, self.level + left)

    def share(self, slack: int | None, since_ns: int) -> None:
        """Keep to the part that the predecessor does not grant from, since `since_ns`: it may still grant from its own.
        `slack` is that of its promise; None: it has promised nothing, so refill nothing."""
        self.shared = 0 if slack is None else self.rate // 2
        self.apart = slack or 0
        self._resize()
        self.level = min(self.full, self.level - (self.rate - self.shared) * (self.at_ns - since_ns))

    def alone(self) -> None:
        """Grant from the part of the predecessor, too: it grants no more."""
        self.shared, self.apart = None, 0
        self._resize()

    def lift(self) -> None:
        """Fill to the whole level: no other process will get a part of an earlier promise."""
        self.withheld = 0
        self._resize()

    def _resize(self) -> None:
        self.full = max(0, self.burst * self.divisor - self.apart - self.withheld)

    @property
    def is_as_promised(self) -> bool:
        """Return whether a new promise would say nothing new: usually, of a full bucket of which nothing was taken."""
        is_level = not self.promises or self.promises[-1].level == self.level
        return is_level and self.floor is None and not self.has_filled

    @property
    def wants_promise(self) -> bool:
        """Return whether half of the newest slack is used up, or a request is larger than the slack."""
        if not self.promises:
            return False
        newest = self.promises[-1]
        is_used_up = newest.left < newest.slack // 2 or self.largest * self.divisor > newest.slack
        return is_used_up or self.has_filled

    def read_ns(self, cost: int) -> int:
        """Return how long the share of the refill that is for reads of accounts takes to refill `cost`."""
        return int(cost * self.divisor / (self.rate * self.reads))

    def take(self, cost: int) -> None:
        self.level -= cost * self.divisor
        self.taken += cost
        self.leased += cost
        for promise in self.promises:
            promise.left -= cost * self.divisor
        self.most = max(self.most, self.in_use)
        if self.floor is not None:
            self.floor.extra += cost

    def settle(self, cost: int, spent: int, at_ns: int) -> None:
        """End a lease of `cost` units; `spent` of them were spent, at `at_ns` at the latest."""
        back = cost - spent
        self.leased -= cost
        if spent:
            slot_ns = (
                -(-at_ns // self.slot_ns) * self.slot_ns
            )  # later by at most one slot, so that few entries are kept
            if self.settled and self.settled[-1][0] >= slot_ns:
                slot_ns, before = self.settled.pop()
                spent += before
            self.settled.append((slot_ns, spent))
        self.level = min(self.full, self.level + back * self.divisor)
        if self.floor is not None:
            self.floor.extra = max(0, self.floor.extra - back)

    def observe(self, count: int, since: tuple[int, int] | None, now_ns: int) -> None:
        """Apply the exchange's own count.

        `since` is known if the request was made under a lease that still runs: the time of that grant, and the granted
        units that the count may not include (leases that ran then and still run, and all grants since).
        """
        if since is not None and (self.floor is None or since[0] >= self.floor.at_ns):
            self.floor = Floor(count, since[1], now_ns)
        elif self.floor is None or count + self.leased > self.floor.count + self.floor.extra:
            self.floor = Floor(count, self.leased, now_ns)

    def fill(self, wait_s: float, now_ns: int) -> None:
        """Count the limit as used up for `wait_s`."""
        self.advance(now_ns)
        self.level, self.has_filled = min(self.level, 0), True
        end_ns = now_ns + in_ns(min(wait_s, LONGEST_BAN_S))
        self.floor = Floor(max(self.limit, self.usable), 0, end_ns - self.period_ns)


class ExactBucket(Bucket):
    """A limit with a short period: see the module."""

    def __init__(self, name: str, limit: Limit, settings: GrantSettings, now_ns: int, fresh: bool) -> None:
        super().__init__(name, limit, settings, now_ns, fresh)
        self.burst = self.usable
        self.lift()
        self.lease_ns = in_ns(settings.lease_s)
        self.opens_ns = now_ns if fresh else now_ns + self.period_ns + self.lease_ns

    @property
    def free(self) -> int:
        return max(0, self.usable - self.in_use) if self.at_ns >= self.opens_ns else 0

    def read_ns(self, cost: int) -> int:
        return int(cost * self.period_ns / (self.usable * self.reads))

    def promise(self, version: int) -> None:
        """Promise nothing: a successor waits for one short period."""

    def inherit(self, level: int, slack: int, age_ns: int, rest: Rest) -> None:
        """Nothing is promised."""

    def share(self, slack: int | None, since_ns: int) -> None:
        """Grant nothing while the predecessor may."""
        self.shared, self.opens_ns = 0, NEVER_NS

    def alone(self) -> None:
        if self.shared is not None:
            self.shared, self.opens_ns = None, self.at_ns + self.period_ns + self.lease_ns

    def _earned_ns(self, cost: int) -> int:
        wait = max(0, self.opens_ns - self.at_ns)
        above = self.in_use + cost - self.usable
        for settled_ns, units in self.settled:
            if above <= 0:
                break
            above -= units
            wait = max(wait, settled_ns + self.period_ns - self.at_ns)
        return wait if above <= 0 else max(wait, self.lease_ns)  # granted units must be settled before
