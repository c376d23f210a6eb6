"""What an order manager may send: rate budget held ahead of need, and the limits that belong to the account itself.

An order cannot wait for a call to the limits role, so units of the egress's limits are leased in blocks before they are
needed and spent here; an empty block is filled by a new lease at the highest priority, and what is left of a block goes
back before its lease ends. Limits on orders that the exchange keeps per account are nobody else's: a private
`LimitsRole` keeps them, and a successor begins with them spent, as with every limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..connectors.protocol import ExchangeSpec, Limit
from ..model.events import Response
from .budget import WAIT_S, Budget, Cost
from .limits import LimitsRole
from .limits_machine import HIT, NS, Priority
from .role import Context

BLOCK_NS = 8 * NS  # a lease of the limits role lasts 10 s
TELL_NS = NS // 2  # the exchange's counts are passed on at most this often
SHARE = 20  # a block is at most this part of a limit: others spend of it too


@dataclass(slots=True)
class Block:
    """Units leased ahead of need."""

    lease: int
    left: dict[str, int]
    spent: dict[str, int]
    until_ns: int


class Allowance:
    """See the module. `take` returns at once while a block holds what is asked for."""

    def __init__(
        self,
        context: Context,
        spec: ExchangeSpec,
        budget: Budget,
        account: Mapping[str, Limit] | None = None,
        ahead: int = 20,
    ) -> None:
        """`account` are limits of the account that override the spec's; `ahead`: for how many requests a block is."""
        self._context, self._budget, self._ahead = context, budget, max(1, ahead)
        self._egress = {name: limit for name, limit in spec.limits.items() if limit.scope == "egress"}
        own = dict(spec.account_limits) | dict(account or {})
        as_egress = {name: Limit(limit.amount, limit.per_s) for name, limit in own.items()}
        self._limits = own
        self._own = LimitsRole({"exchange": spec.exchange, "limits": {"lease_s": 1.0}}, context, as_egress)
        self._block: Block | None = None
        self._filling = asyncio.Lock()
        self._told_ns = 0

    async def take(self, cost: Cost, places: int = 0, wait_s: float = WAIT_S) -> None:
        """Spend `cost` of the egress's limits and `places` of every limit on orders, waiting at most `wait_s`.

        Raises:
            RetryLater, InboxFull, OutcomeUnknown: it may not be spent now; nothing was.
        """
        shared = {name: amount for name, amount in cost if name in self._egress and amount}
        if places and self._limits:
            own = dict.fromkeys(self._limits, places)
            asked = {"cost": own, "holder": self._context.address, "wait_s": wait_s, "priority": int(Priority.URGENT)}
            granted = await self._own.handle("acquire", asked)
            await self._own.handle("release", {"lease": granted["lease"], "spent": own})
        if not shared or self._spend(shared):
            return
        async with self._filling:
            if not self._spend(shared):
                await self._fill(shared, wait_s)

    def _spend(self, cost: dict[str, int]) -> bool:
        block = self._block
        if block is None or self._context.monotonic_ns() >= block.until_ns:
            return False
        if any(block.left.get(name, 0) < amount for name, amount in cost.items()):
            return False
        for name, amount in cost.items():
            block.left[name] -= amount
            block.spent[name] = block.spent.get(name, 0) + amount
        return True

    async def _fill(self, cost: dict[str, int], wait_s: float) -> None:
        self.give_back()
        asked = {
            name: max(amount, min(amount * self._ahead, self._egress[name].amount // SHARE))
            for name, amount in cost.items()
        }
        lease = await self._budget.acquire(tuple(asked.items()), Priority.URGENT, wait_s)
        until_ns = self._context.monotonic_ns() + BLOCK_NS
        self._block = Block(lease, {name: asked[name] - cost[name] for name in asked}, dict(cost), until_ns)

    def give_back(self) -> None:
        """End the block that is held; what is left of it goes back."""
        block, self._block = self._block, None
        if block is not None:
            self._budget.lost(block.lease, tuple(block.spent.items()))

    def answered(self, response: Response) -> None:
        """Pass on what the exchange said of its own counts; at once when it turned us away."""
        now_ns = self._context.monotonic_ns()
        if response.status in HIT or now_ns - self._told_ns >= TELL_NS:
            self._told_ns = now_ns
            self._budget.refused(response.status, response.headers)

    def beat(self) -> None:
        """Give a block back whose lease is nearly over."""
        if self._block is not None and self._context.monotonic_ns() >= self._block.until_ns:
            self.give_back()
        self._own.beat()

    async def close(self) -> None:
        self.give_back()
        await self._own.stop()

    def report(self) -> dict[str, Any]:
        windows: dict[str, Any] = self._own.report()["windows"]
        return {
            name: {"limit": limit.amount, "per_s": limit.per_s, "free": windows[name]["free"]}
            for name, limit in self._limits.items()
        }
