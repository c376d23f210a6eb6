"""The limits that an exchange counts per key or account (`ExchangeSpec.key_limits`): falling counters, and windows.

The processes of an account count without the limits role. If the order manager and the user stream both read, each
spends at most its `share` of a limit for reads. A successor counts the orders and cancels in the journal (`begin`). The
reads of its predecessor are unknown, so falling counters begin half full. An answer can only raise our counts
(`stated`): after a hit nothing of the limit is spent for the time that the exchange states, and if the exchange states
a rest, the count rises until only that rest remains.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from ...connectors.limit_answers import LONGEST_BAN_S, Cost, LimitAnswer
from ...connectors.spec import Decay, Limit
from ...model.errors import RetryLater
from ...model.time import SECOND_NS, in_ns
from .order_window import OrderWindow

EVERY_PAIR = "*"
RESERVE = 0.2  # share of a counter that falls which polls leave to the order manager's own reads
PATIENCE = 4  # how many times its own cost a read waits for: others wait, too
ROOM = 0.9  # largest share of a limit that is used, because the clocks of both sides differ


class Spent(NamedTuple):
    """The units that a request spent, and how long ago."""

    age_ns: int
    cost: Cost
    pair: str


class Counter(Protocol):
    """One count of one limit. Times are of the monotonic clock."""

    amount: int

    def used(self, now_ns: int) -> float: ...
    def add(self, units: int, now_ns: int) -> None: ...
    def observe(self, count: int, now_ns: int) -> None:
        """Apply the exchange's count, which can only raise ours."""

    def wait_s(self, units: int, room: float, now_ns: int) -> float:
        """Return how long until `units` fit into this share of the limit; 0: now."""

    def fill(self, now_ns: int) -> None:
        """Record that the limit is used up. None of it is spent for the time that the exchange states (`Counters`)."""


class Falling:
    """A counter that falls with time."""

    def __init__(self, limit: Decay, now_ns: int) -> None:
        self.amount, self._per_s = limit.amount, limit.per_s
        self._value, self._at_ns = 0.0, now_ns

    def used(self, now_ns: int) -> float:
        return max(0.0, self._value - self._per_s * max(0, now_ns - self._at_ns) / SECOND_NS)

    def add(self, units: int, now_ns: int) -> None:
        self._value, self._at_ns = self.used(now_ns) + units, now_ns

    def observe(self, count: int, now_ns: int) -> None:
        self._value, self._at_ns = max(self.used(now_ns), count), now_ns

    def wait_s(self, units: int, room: float, now_ns: int) -> float:
        return max(0.0, self.used(now_ns) + units - max(units, self.amount * room)) / self._per_s

    def fill(self, now_ns: int) -> None:
        self._value, self._at_ns = max(self.used(now_ns), float(self.amount)), now_ns


class Windowed:
    """A count in a window of fixed length, kept in every period of that length."""

    def __init__(self, limit: Limit) -> None:
        self.amount, self._window = limit.amount, OrderWindow(limit)

    def used(self, now_ns: int) -> float:
        return self._window.used(now_ns)

    def add(self, units: int, now_ns: int) -> None:
        self._window.add(units, now_ns)

    def observe(self, count: int, now_ns: int) -> None:
        self._window.observe(count, now_ns)

    def wait_s(self, units: int, room: float, now_ns: int) -> float:
        wait_ns = self._window.wait_ns(units, now_ns, max(units, math.floor(self.amount * room)))
        assert wait_ns is not None
        return wait_ns / SECOND_NS

    def fill(self, now_ns: int) -> None: ...  # the exchange's window ends with its pause


class Counters:
    """See the module. `now_ns` is a monotonic clock; `share` is this process's share of the limits for reads."""

    def __init__(self, limits: Mapping[str, Decay | Limit], now_ns: Callable[[], int], share: float = 1.0) -> None:
        self._limits, self._now_ns, self._share = dict(limits), now_ns, share
        self._counts: dict[tuple[str, str], Counter] = {}
        self._rests: dict[tuple[str, str], int] = {}  # limits that wait after a hit, and until when
        self._turns: dict[tuple[Any, ...], asyncio.Lock] = {}  # of the requests that wait for the same counts

    def granted(self, limits: Mapping[str, Limit]) -> dict[str, Limit]:
        """Apply the granted values (amount, seconds) of these limits; return the granted values of all other limits."""
        own = {name: limit for name, limit in limits.items() if name in self._limits}
        for name, limit in own.items():
            held = self._limits[name]
            if isinstance(held, Decay):
                self._limits[name] = Decay(limit.amount, limit.amount / limit.per_s, held.by_pair)
            else:
                self._limits[name] = replace(held, amount=limit.amount, per_s=limit.per_s)
        return {name: limit for name, limit in limits.items() if name not in own}

    def per_s(self) -> dict[str, float]:
        """Return how many units of each limit may be spent per second without end."""
        return {
            name: limit.per_s if isinstance(limit, Decay) else limit.amount / limit.per_s
            for name, limit in self._limits.items()
        }

    def patience_s(self, cost: Cost) -> float:
        """Return how long a read may wait for the counters: a slow counter needs seconds for each unit."""
        per_s = self.per_s()
        return max((PATIENCE * units / per_s[name] for name, units in self._counted(cost)), default=0.0)

    async def take(
        self, cost: Cost, pair: str | None, wait_s: float, reads: bool = False, polls: bool = False, queue: int = 0
    ) -> None:
        """Count a request once there is room for it; reads that poll leave a reserve. Each `queue` has its own order.

        Raises:
            RetryLater: no room within `wait_s`. Nothing was counted.
        """
        counted = tuple(self._key(name, pair) for name, _ in self._counted(cost))
        if not counted:
            return
        turn = self._turns.setdefault((polls, queue, *counted), asyncio.Lock())
        try:
            async with asyncio.timeout(wait_s), turn:
                while (left_s := self._wait_s(cost, pair, reads, polls)) > 0:
                    if left_s > wait_s:
                        raise RetryLater(left_s, f"the account's counters are high: {self.status()}")
                    await asyncio.sleep(left_s)
                self.add(cost, pair)
        except TimeoutError:
            raise RetryLater(1.0, f"the account's counters are high: {self.status()}") from None

    def begin(self, spent: Iterable[Spent]) -> None:
        """Count what a predecessor spent, in the order of time, and half of each falling counter of a key."""
        now_ns = self._now_ns()
        for age_ns, cost, pair in sorted(spent, key=lambda request: -request.age_ns):
            for name, units in self._counted(cost):
                limit, key = self._limits[name], self._key(name, pair)
                if isinstance(limit, Decay):
                    self._counts.setdefault(key, Falling(limit, now_ns - age_ns)).add(units, now_ns - age_ns)
        for name, limit in self._limits.items():
            if isinstance(limit, Decay) and not limit.by_pair:
                self._count(name, None).observe(limit.amount // 2, now_ns)

    def add(self, cost: Cost, pair: str | None) -> None:
        """Count a request that cannot wait: a cancel."""
        now_ns = self._now_ns()
        for name, amount in self._counted(cost):
            self._count(name, pair).add(amount, now_ns)

    def stated(self, answer: LimitAnswer, pair: str | None) -> None:
        """Apply an answer: never spend more than the stated rest, and nothing before the pause of a hit has ended."""
        now_ns, hit = self._now_ns(), answer.hit
        for name, rest in answer.remaining.items():
            if name in self._limits:
                held = self._count(name, pair)
                held.observe(max(0, held.amount - rest), now_ns)
        for name in () if hit is None else hit.limits:
            if name in self._limits and hit is not None:
                key = (name, EVERY_PAIR) if hit.of_account else self._key(name, pair)
                until_ns = now_ns + in_ns(min(hit.wait_s, LONGEST_BAN_S))
                self._rests[key] = max(self._rests.get(key, 0), until_ns)
                self._count(name, pair).fill(now_ns)

    def status(self) -> dict[str, dict[str, Any]]:
        now_ns = self._now_ns()
        shown: dict[str, dict[str, Any]] = {}
        for (name, pair), held in self._counts.items():
            found = shown[f"{name} {pair}".rstrip()] = {"limit": held.amount, "used": round(held.used(now_ns), 1)}
            if (rest_ns := self._rest_ns(name, pair) - now_ns) > 0:
                found["waits_s"] = round(rest_ns / SECOND_NS, 1)
        return shown

    def _rest_ns(self, name: str, pair: str) -> int:
        """Return until when nothing of a limit is spent on a pair."""
        return max(self._rests.get(key, 0) for key in ((name, pair), (name, EVERY_PAIR)))

    def _counted(self, cost: Cost) -> Cost:
        return tuple((name, amount) for name, amount in cost if name in self._limits)

    def _key(self, name: str, pair: str | None) -> tuple[str, str]:
        return name, (pair or "") if self._limits[name].by_pair else ""

    def _count(self, name: str, pair: str | None) -> Counter:
        key, limit = self._key(name, pair), self._limits[name]
        if key not in self._counts:
            self._counts[key] = Falling(limit, self._now_ns()) if isinstance(limit, Decay) else Windowed(limit)
        return self._counts[key]

    def _wait_s(self, cost: Cost, pair: str | None, reads: bool, polls: bool) -> float:
        now_ns, wait_s = self._now_ns(), 0.0
        room = ROOM * (self._share if reads else 1.0)
        for name, amount in self._counted(cost):
            rest_s = (self._rest_ns(*self._key(name, pair)) - now_ns) / SECOND_NS
            own = room - RESERVE if polls and isinstance(self._limits[name], Decay) else room
            wait_s = max(wait_s, rest_s, self._count(name, pair).wait_s(amount, own, now_ns))
        return wait_s
