"""Counters that an exchange keeps per key or account, and that fall with time (`ExchangeSpec.key_limits`).

Only one process uses these counters, so it counts without the limits role. A successor does not know the predecessor's
counts: it begins at zero. When an answer says that a limit was hit, the counter counts as full (`hit`, `stated`); when
an answer states how little is left, the counter is filled up to that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...connectors.limit_answers import Cost, LimitAnswer
from ...connectors.spec import Decay, Limit
from ...model.errors import RetryLater
from ...model.time import SECOND_NS

ROOM = 0.9  # largest share of a limit that is used, because the clocks of both sides differ


@dataclass(slots=True)
class Level:
    """The level of one counter at a monotonic time."""

    value: float
    at_ns: int

    def now(self, limit: Decay, now_ns: int) -> float:
        return max(0.0, self.value - limit.per_s * (now_ns - self.at_ns) / SECOND_NS)


class Counters:
    """See the module. `now_ns` is a monotonic clock."""

    def __init__(self, limits: Mapping[str, Decay], now_ns: Callable[[], int]) -> None:
        self._limits, self._now_ns = dict(limits), now_ns
        self._levels: dict[tuple[str, str], Level] = {}
        self._turn = asyncio.Lock()

    def granted(self, limits: Mapping[str, Limit]) -> dict[str, Limit]:
        """Apply the limits that the exchange grants this account (amount, seconds); return those of other limits."""
        own = {name: limit for name, limit in limits.items() if name in self._limits}
        for name, limit in own.items():
            self._limits[name] = Decay(limit.amount, limit.amount / limit.per_s, self._limits[name].by_pair)
        return {name: limit for name, limit in limits.items() if name not in own}

    async def take(self, cost: Cost, pair: str | None, wait_s: float) -> None:
        """Count a request as soon as the counters have room for it.

        Raises:
            RetryLater: no room within `wait_s`. Nothing was counted.
        """
        if not self._counted(cost):
            return
        try:
            async with asyncio.timeout(wait_s), self._turn:
                while (left_s := self._wait_s(cost, pair)) > 0:
                    if left_s > wait_s:
                        raise RetryLater(left_s, f"the account's counters are high: {self.status()}")
                    await asyncio.sleep(left_s)
                self.add(cost, pair)
        except TimeoutError:
            raise RetryLater(1.0, f"the account's counters are high: {self.status()}") from None

    def add(self, cost: Cost, pair: str | None) -> None:
        """Count a request that cannot wait: a cancel."""
        now_ns = self._now_ns()
        for name, amount in self._counted(cost):
            level = self._level(name, pair)
            level.value, level.at_ns = level.now(self._limits[name], now_ns) + amount, now_ns

    def hit(self, cost: Cost, pair: str | None) -> None:
        """Record that the exchange refused a request for its rate: the exchange's counters are full."""
        now_ns = self._now_ns()
        for name, _ in self._counted(cost):
            level = self._level(name, pair)
            level.value, level.at_ns = float(self._limits[name].amount), now_ns

    def stated(self, answer: LimitAnswer, pair: str | None) -> None:
        """Take in what an answer says: never spend more than is left, and nothing before a hit is over."""
        now_ns, hit = self._now_ns(), answer.hit
        for name, left in answer.left.items():
            if (limit := self._limits.get(name)) is not None:
                self._raise(name, pair, limit.amount - left, now_ns)
        for name in () if hit is None else hit.limits:
            if (limit := self._limits.get(name)) is not None and hit is not None:
                self._raise(name, pair, limit.amount * ROOM + hit.wait_s * limit.per_s, now_ns)

    def _raise(self, name: str, pair: str | None, value: float, now_ns: int) -> None:
        level = self._level(name, pair)
        level.value, level.at_ns = max(level.now(self._limits[name], now_ns), value), now_ns

    def status(self) -> dict[str, dict[str, float]]:
        now_ns = self._now_ns()
        return {
            f"{name} {pair}".rstrip(): {
                "limit": self._limits[name].amount,
                "used": round(level.now(self._limits[name], now_ns), 1),
            }
            for (name, pair), level in self._levels.items()
        }

    def _counted(self, cost: Cost) -> Cost:
        return tuple((name, amount) for name, amount in cost if name in self._limits)

    def _level(self, name: str, pair: str | None) -> Level:
        key = name, (pair or "") if self._limits[name].by_pair else ""
        return self._levels.setdefault(key, Level(0.0, self._now_ns()))

    def _wait_s(self, cost: Cost, pair: str | None) -> float:
        now_ns, wait_s = self._now_ns(), 0.0
        for name, amount in self._counted(cost):
            limit = self._limits[name]
            over = self._level(name, pair).now(limit, now_ns) + amount - max(amount, limit.amount * ROOM)
            wait_s = max(wait_s, over / limit.per_s)
        return wait_s
