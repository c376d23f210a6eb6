"""One budget for all cells that use an exchange's rate limits from one egress address.

Theory of operation. A bucket (`bucket`) keeps each limit in every window of its period. The machine decides in
which order requests are served.

A request of priority SPARE is granted at once or refused, and it is granted only while little of each of its limits is
in use. So requests that can be left out take at most `spare` of a limit, over all holders, and delay no other request.

Orders wait behind no snapshot. They are served before all other requests except cancels, and a limit that an order has
used keeps units (`orders`) that only orders and cancels may have, so the snapshots of many books at once leave some.

Reads of an account, by which an order manager learns what became of its orders, stand in the line of the orders: orders
as fast as the limit would starve them otherwise, and an account would be reconciled only after its strategies had
stopped. They are paced: each has a start, so that reads in the line of the orders take at most `reads` of the refill.
Before its start a read takes what other requests may take, and then its pace is given back.

A refusal for the rate (`Hit`, as the connector reads it) that names limits blocks these for the stated time. A refusal
without names starts a cool-down in which the machine grants nothing; a hit by a request granted after that extends it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from ...connectors.limit_answers import LONGEST_BAN_S, LONGEST_S, Hit
from ...connectors.spec import Limit
from ...model.backoff import Backoff
from ...model.errors import InboxFull, Rejected, RetryLater
from ...model.time import SECOND_NS, in_ns
from .bucket import Bucket, ExactBucket, Rest
from .promises import Promises
from .settings import GrantSettings

QUIET_S = 600.0  # a hit this long after the last cool-down starts a new count of hits
NEVER_NS = 2**63
COOLING = "cooling down after the exchange refused a request for its rate"


class Priority(IntEnum):
    """Order of service. One step is worth `step_s` of waiting, so the lowest priority is served too. FIRST waits behind
    no other priority, ORDER behind FIRST and paced reads of accounts only."""

    FIRST = -4  # for cancels
    ORDER = -3  # for orders; with FIRST it may have the units that are kept for both
    DOUBT = -2  # for a read that settles the state of an order; paced in the line of the orders
    ACCOUNT = -1  # for a read of a reconciliation; served as DOUBT, and a key's counters let DOUBT pass it
    URGENT = 0  # for a tracked book that is not LIVE
    NORMAL = 1
    BACKGROUND = 2  # for refreshes without a waiting caller
    SPARE = 3  # for what can be left out: never waits


@dataclass(slots=True)
class Lease:
    id: int
    holder: str
    cost: dict[str, int]
    granted_ns: int
    expires_ns: int
    taken: dict[str, int]  # per limit, everything granted so far, this grant included


@dataclass(slots=True, order=True)
class Claim:
    key: int  # time of arrival plus the share of its priority
    ticket: int
    holder: str = field(compare=False)
    cost: dict[str, int] = field(compare=False)
    deadline_ns: int = field(compare=False)
    priority: Priority = field(compare=False, default=Priority.NORMAL)
    start_ns: int = field(compare=False, default=NEVER_NS)  # from then on it may have the units kept for orders

    @property
    def is_spare(self) -> bool:
        return self.priority is Priority.SPARE


@dataclass(frozen=True, slots=True)
class Granted:
    ticket: int
    lease: Lease


@dataclass(frozen=True, slots=True)
class Refused:
    ticket: int
    error: RetryLater


Effect = Granted | Refused


class LimitsMachine:
    """Decides who may spend what and when. Pure: times are arguments, on one monotonic clock, never decreasing."""

    def __init__(
        self, address: str, limits: Mapping[str, Limit], now_ns: int, fresh: bool, settings: GrantSettings | None = None
    ) -> None:
        self.settings = settings or GrantSettings()
        self._address = address
        self.buckets = {
            name: (ExactBucket if limit.per_s <= self.settings.exact_s else Bucket)(
                name, limit, self.settings, now_ns, fresh
            )
            for name, limit in limits.items()
            if limit.scope == "egress"
        }
        self.cool_ns = 0  # nothing is granted before this time
        self._cooled_at_ns: int | None = None  # when the last counted hit arrived
        self.cause = ""  # of the last cool-down: the exchange's answer
        self.hits = 0  # hits in a row, each after the cool-down of the previous hit
        self._leases: dict[int, Lease] = {}  # in order of their expiry: all leases last equally long
        self._waiting: list[Claim] = []
        self._of_orders: set[str] = set()  # limits of which other requests leave units to orders
        self._per_holder: dict[str, int] = {}
        self._ids = itertools.count(1)
        self.promises = Promises(self.buckets)

    # ------------------------------------------------------------------ requests of holders

    def acquire(
        self, cost: Mapping[str, int], holder: str, wait_s: float, now_ns: int, priority: Priority = Priority.NORMAL
    ) -> int:
        """Queue a request and return its ticket. `advance` grants or refuses the request.

        Raises:
            Rejected: no such limit, not a cost, or more than is ever granted at once.
            RetryLater: a cool-down outlasts `wait_s`.
            InboxFull: too many requests wait, in total or for this holder.
        """
        wanted = self._checked(cost)
        is_spare = priority is Priority.SPARE
        deadline_ns = now_ns if is_spare else now_ns + in_ns(max(0.0, wait_s))
        if self.cool_ns > deadline_ns:
            raise RetryLater((self.cool_ns - now_ns) / SECOND_NS, COOLING)
        is_full = len(self._waiting) >= self.settings.max_waiting and priority is not Priority.FIRST
        if is_full or len(self._leases) >= self.settings.max_leases:
            raise InboxFull(self._address, self.settings.max_waiting)
        if self._per_holder.get(holder, 0) >= self.settings.max_waiting_per_holder:
            raise InboxFull(f"{self._address} for {holder}", self.settings.max_waiting_per_holder)
        ticket = next(self._ids)
        for name, units in wanted.items():
            self.buckets[name].largest = max(self.buckets[name].largest, units)
        start_ns = NEVER_NS
        if priority <= Priority.ORDER:
            key, start_ns = now_ns + priority * in_ns(self.settings.first_s), now_ns
            self._of_orders |= wanted.keys()
        elif priority <= Priority.ACCOUNT:
            start_ns = self._start_of_read(wanted, now_ns)
            key = start_ns + Priority.ORDER * in_ns(self.settings.first_s)
        else:
            key = now_ns + in_ns(priority * self.settings.step_s)
        heapq.heappush(self._waiting, Claim(key, ticket, holder, wanted, deadline_ns, priority, start_ns))
        self._per_holder[holder] = self._per_holder.get(holder, 0) + 1
        return ticket

    def _start_of_read(self, wanted: Mapping[str, int], now_ns: int) -> int:
        """Return the start of a read of an account."""
        start_ns = max([now_ns, *(self.buckets[name].next_read_ns for name in wanted)])
        for name, units in wanted.items():
            self.buckets[name].next_read_ns = start_ns + self.buckets[name].read_ns(units)
        return start_ns

    def _checked(self, cost: Mapping[str, int]) -> dict[str, int]:
        wanted: dict[str, int] = {}
        for name, amount in cost.items():
            bucket = self.buckets.get(name)
            if bucket is None:
                raise Rejected("unknown_limit", f"unknown limit {name!r}; the limits are {', '.join(self.buckets)}")
            if type(amount) is not int or amount < 0:
                raise Rejected("bad_cost", f"{name}={amount!r} is not a whole number of units")
            if amount > bucket.burst:
                raise Rejected("too_much", f"{name}={amount}: at most {bucket.burst} at once")
            if amount:
                wanted[name] = amount
        return wanted

    def cancel(self, ticket: int, now_ns: int) -> None:
        """Forget a waiting request; does nothing if the request no longer waits."""
        kept = [claim for claim in self._waiting if claim.ticket != ticket]
        if len(kept) != len(self._waiting):
            gone = next(claim for claim in self._waiting if claim.ticket == ticket)
            self._forget(gone, now_ns)
            self._waiting = kept
            heapq.heapify(self._waiting)

    def release(self, lease_id: int, spent: Mapping[str, int] | None, now_ns: int) -> bool:
        """End a lease. `spent`: the units that were used; None: none. Return False if the lease had ended before."""
        self._expire(now_ns)
        lease = self._leases.pop(lease_id, None)
        if lease is None:
            return False
        for name, amount in lease.cost.items():
            used = 0 if spent is None else min(amount, max(0, int(spent.get(name, 0))))
            self.buckets[name].advance(now_ns)
            self.buckets[name].settle(amount, used, now_ns)
        return True

    def inherit(
        self,
        promise: Mapping[str, Any],
        age_ns: int,
        since_ns: int,
        now_ns: int,
        shared: bool = False,
        rest: Rest = Rest.WHOLE,
    ) -> None:
        """Continue the predecessor's budget from its last promise; see `Promises.inherit`."""
        self.promises.inherit(promise, age_ns, since_ns, now_ns, shared, rest)
        self.cool_ns = max(self.cool_ns, since_ns - age_ns + in_ns(promise["cool_s"]))

    def alone(self, now_ns: int) -> None:
        """The predecessor grants no more."""
        for bucket in self.buckets.values():
            bucket.advance(now_ns)
            bucket.alone()

    def observe(
        self,
        used: Mapping[str, int],
        hit: Hit | None,
        lease_id: int | None,
        now_ns: int,
        keep: bool = False,
    ) -> None:
        """Apply the exchange's answer: its own counts, and whether it refused a request for its rate.

        The lease of the request ends as spent in full, unless `keep`: more units of a block may follow.
        """
        self._expire(now_ns)
        lease = self._leases.get(lease_id) if lease_id is not None else None
        for name, count in used.items():
            if name in self.buckets and count >= 0:
                self.buckets[name].advance(now_ns)
                self.buckets[name].observe(count, self._since(lease, name, keep), now_ns)
        if hit is not None and hit.limits:
            for name in hit.limits:
                if name in self.buckets:
                    self.buckets[name].fill(hit.wait_s, now_ns)
        elif hit is not None:
            self.cause = hit.cause
            self._cool(hit.wait_s, lease, now_ns)
        if lease is not None and not keep:
            self.release(lease.id, lease.cost, now_ns)

    def _since(self, lease: Lease | None, name: str, keep: bool) -> tuple[int, int] | None:
        if lease is None or name not in lease.taken:
            return None
        last = lease.id if keep else lease.id - 1  # the count includes a lease that was spent in full
        older = sum(other.cost.get(name, 0) for other in self._leases.values() if other.id <= last)
        return lease.granted_ns, older + self.buckets[name].taken - lease.taken[name]

    def _cool(self, wait_s: float, lease: Lease | None, now_ns: int) -> None:
        cooled_ns = self._cooled_at_ns
        if cooled_ns is None or now_ns - self.cool_ns > QUIET_S * SECOND_NS:
            self.hits, self._cooled_at_ns = 0, now_ns
        elif (lease.granted_ns if lease is not None else now_ns - in_ns(self.settings.lease_s)) > cooled_ns:
            # otherwise the request was sent before the hit was known
            self.hits, self._cooled_at_ns = self.hits + 1, now_ns
        growing = Backoff(wait_s, max(wait_s, LONGEST_S), jitter=0.0)
        self.cool_ns = max(self.cool_ns, now_ns + in_ns(min(growing.delay_s(self.hits + 1), LONGEST_BAN_S)))
        for bucket in self.buckets.values():
            bucket.advance(now_ns)
            bucket.level = min(bucket.level, 0)

    # ------------------------------------------------------------------ grants and deadlines

    def advance(self, now_ns: int) -> list[Effect]:
        """Grant the requests that can be granted now, in order, and refuse those that waited too long.

        A request that cannot be served keeps its place: no later request for the same limit overtakes it.
        """
        self._expire(now_ns)
        for bucket in self.buckets.values():
            bucket.advance(now_ns)
        effects: list[Effect] = []
        kept: list[Claim] = []
        claimed: set[str] = set()
        while self._waiting:
            claim = heapq.heappop(self._waiting)
            blocked = now_ns < self.cool_ns or not claimed.isdisjoint(claim.cost) or not self._may_have(claim)
            if not blocked and self._wait_ns(claim) == 0 and len(self._leases) < self.settings.max_leases:
                self._forget(claim, now_ns)
                effects.append(Granted(claim.ticket, self._grant(claim, now_ns)))
            elif now_ns >= claim.deadline_ns:
                self._forget(claim, now_ns)
                least_ns = SECOND_NS if claim.is_spare else SECOND_NS // 100
                wait_ns = max(self._wait_ns(claim), self.cool_ns - now_ns, least_ns)
                effects.append(Refused(claim.ticket, RetryLater(wait_ns / SECOND_NS, self._why(claim, now_ns))))
            else:
                claimed.update(claim.cost)
                kept.append(claim)
        self._waiting = kept  # popped in order, so a heap already
        return effects

    def _pace(self, now_ns: int) -> dict[str, Any] | None:
        """Return the limit that the next request waits for, how many requests wait for it, and for how long the next
        one waits; None while no request waits for a limit."""
        if not self._waiting:
            return None
        first = min(self._waiting)
        needed = self._needed(first)
        name = max(needed, key=lambda name: self.buckets[name].wait_ns(first.cost[name], needed[name]), default="")
        wait_ns = max(self._wait_ns(first), self.cool_ns - now_ns)
        if not name or wait_ns <= 0:
            return None
        bucket, waiting = self.buckets[name], sum(name in claim.cost for claim in self._waiting)
        window = {"units": bucket.limit, "period_s": bucket.period_ns / SECOND_NS}
        return {"limit": name, "waiting": waiting, "next_s": wait_ns / SECOND_NS, **window}

    def _may_have(self, claim: Claim) -> bool:
        return not claim.is_spare or all(self.buckets[name].is_spare(cost) for name, cost in claim.cost.items())

    def next_ns(self) -> int | None:
        """Return when `advance` is due again; None while no request waits. Call `advance` first."""
        if not self._waiting:
            return None
        first = min(claim.deadline_ns for claim in self._waiting)
        claimed: set[str] = set()
        for claim in self._waiting:
            if claimed.isdisjoint(claim.cost):
                at = max((self.buckets[name].at_ns for name in claim.cost), default=0) + self._wait_ns(claim)
                if any(self.buckets[name].at_ns < claim.start_ns for name in claim.cost):
                    at = min(at, claim.start_ns)
                first = min(first, max(at, self.cool_ns))
            claimed.update(claim.cost)
        return first

    def _needed(self, claim: Claim) -> dict[str, int]:
        """Return the units that must be free for a request: its own, and those that it must leave to orders."""
        if not self._of_orders:
            return claim.cost
        return {
            name: units if self.buckets[name].at_ns >= claim.start_ns else self._left_to_orders(name, units)
            for name, units in claim.cost.items()
        }

    def _left_to_orders(self, name: str, units: int) -> int:
        """Return how much must be free for `units` of a request that leaves some to orders."""
        bucket = self.buckets[name]
        kept = bucket.kept if name in self._of_orders else 0
        return min(units + kept, max(units, bucket.burst))

    def _wait_ns(self, claim: Claim) -> int:
        free = self._needed(claim)
        wait = max((self.buckets[name].wait_ns(units, free[name]) for name, units in claim.cost.items()), default=0)
        buckets = [self.buckets[name] for name in claim.cost]
        is_partial = any(bucket.shared is not None or bucket.withheld for bucket in buckets)
        return min(wait, SECOND_NS) if is_partial else wait  # it is not known until when

    def _why(self, claim: Claim, now_ns: int) -> str:
        if now_ns < self.cool_ns:
            return COOLING
        cost = ", ".join(f"{name} {amount}" for name, amount in claim.cost.items())
        if claim.is_spare:
            return f"{cost}: only {self.settings.spare:.0%} of a limit is for requests that can be left out"
        return f"{cost}: the limit of this window is used up"

    def _grant(self, claim: Claim, now_ns: int) -> Lease:
        for name, amount in claim.cost.items():
            self.buckets[name].take(amount)
        expires_ns = now_ns + in_ns(self.settings.lease_s)
        taken = {name: self.buckets[name].taken for name in claim.cost}
        lease = Lease(next(self._ids), claim.holder, claim.cost, now_ns, expires_ns, taken)
        self._leases[lease.id] = lease
        return lease

    def _forget(self, claim: Claim, now_ns: int) -> None:
        """Forget a request that was served, refused or cancelled."""
        if now_ns < claim.start_ns < NEVER_NS:  # it took nothing from orders
            for name, units in claim.cost.items():
                self.buckets[name].next_read_ns -= self.buckets[name].read_ns(units)
        waiting = self._per_holder[claim.holder] - 1
        if waiting:
            self._per_holder[claim.holder] = waiting
        else:
            del self._per_holder[claim.holder]

    def _expire(self, now_ns: int) -> None:
        """End expired leases. They were not reported, so they count as spent in full."""
        while self._leases:
            lease = next(iter(self._leases.values()))
            if lease.expires_ns > now_ns:
                return
            del self._leases[lease.id]
            for name, amount in lease.cost.items():
                self.buckets[name].settle(amount, amount, lease.expires_ns)

    def status(self, now_ns: int) -> dict[str, Any]:
        """Return plain values: per limit the used share, the rest of the cool-down, the queue, the leases."""
        windows = {}
        for name, bucket in self.buckets.items():
            bucket.advance(now_ns)
            windows[name] = {
                "limit": bucket.limit,
                "usable": bucket.usable,
                "free": bucket.free,
                "burst": bucket.burst,
                "exchange_count": bucket.floor.count if bucket.floor is not None else None,
                "used": bucket.burst - bucket.free,
                "granted": bucket.taken,
                "most": bucket.most,
            }
        return {
            "windows": windows,
            "cooldown_s": max(0.0, (self.cool_ns - now_ns) / SECOND_NS),
            "hits": self.hits,
            "waiting": len(self._waiting),
            "pace": self._pace(now_ns),
            "leases": len(self._leases),
        }
