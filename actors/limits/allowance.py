"""The rate allowance of an order manager: units leased ahead of need, and the account's own limits on orders.

An order cannot wait for a call to the limits role. So the manager leases units of the egress's limits in blocks and
spends the units itself. When a block is empty, the manager takes a new lease; it returns the rest of a block before the
lease ends. Cancels have their own block, leased before everything else, and may spend the units of the other one:
they never wait until an order gets its units. The limits role keeps units for both, and serves both before snapshots.
Only this manager uses the exchange's limits on orders per account: it
counts orders itself (`order_window`), starting from the exchange's own count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...connectors.limit_answers import Cost
from ...connectors.reading import plain_count
from ...connectors.spec import ExchangeSpec, Limit
from ...model.errors import Rejected, RetryLater
from ...model.http import HttpResponse
from ...model.time import SECOND_NS
from ..cell.role import Context
from .budget import WAIT_S, Budget
from .machine import Priority
from .order_window import OrderWindows

BLOCK_NS = 8 * SECOND_NS  # a lease of the limits role lasts 10 s
REPORT_NS = SECOND_NS // 2  # shortest interval between two reports of the exchange's counts
UNOPENED = "the exchange has not stated its count of the account's orders yet:"
SHARE = 20  # a block is at most 1/SHARE of a limit, because others use the same limit


@dataclass(slots=True)
class Block:
    """Units leased ahead of need."""

    lease: int
    unspent: dict[str, int]
    spent: dict[str, int]
    until_ns: int


@dataclass(slots=True)
class Lane:
    """The block of one sort of requests. One request at a time gets a new block."""

    priority: Priority
    block: Block | None = None
    filling: asyncio.Lock = field(default_factory=asyncio.Lock)


class Allowance:
    """See the module. `take` returns at once while the block holds enough units."""

    def __init__(
        self,
        context: Context,
        spec: ExchangeSpec,
        budget: Budget,
        account: Mapping[str, Limit] | None = None,
        ahead: int = 20,
    ) -> None:
        """`account`: limits on orders that override the spec's. `ahead`: how many requests a block lasts."""
        self._context, self._budget, self._ahead = context, budget, max(1, ahead)
        self._egress = {name: limit for name, limit in spec.limits.items() if limit.scope == "egress"}
        self._account_headers = dict(spec.account_headers)
        self._windows = OrderWindows(dict(spec.account_limits) | dict(account or {}))
        self._opened = asyncio.Event()
        self.problem = ""  # why the exchange's counts are still unknown
        self._turn = asyncio.Lock()  # orders are served in the order of their arrival
        self._queued = 0  # orders that wait for their turn
        self._orders, self._cancels = Lane(Priority.ORDER), Lane(Priority.FIRST)
        self._reported_ns = 0

    async def take(self, cost: Cost, order_count: int = 0, wait_s: float = WAIT_S, *, is_cancel: bool = False) -> None:
        """Spend `cost` of the egress's limits and `order_count` of every limit on orders, waiting at most `wait_s`.

        `is_cancel`: the request waits behind other cancels only.

        Raises:
            RetryLater, InboxFull, OutcomeUnknown: the units cannot be spent now. Nothing was spent.
        """
        shared = {name: amount for name, amount in cost if name in self._egress and amount}
        if order_count and self._windows.windows:
            await self._room(order_count, wait_s)
        lane = self._cancels if is_cancel else self._orders
        if not shared or self._spend(lane, shared) or (is_cancel and self._spend(self._orders, shared)):
            return
        async with lane.filling:
            if not self._spend(lane, shared):
                await self._fill(lane, shared, wait_s)

    def open(self, counts: Mapping[str, int] | None) -> None:
        """Admit orders, starting from the exchange's `counts`.

        None: the exchange states no counts, so start from zero.
        """
        names = self._windows.windows
        self._windows.open(dict.fromkeys(names, 0) if counts is None else counts, self._context.monotonic_ns())
        self._opened.set()

    async def _room(self, order_count: int, wait_s: float) -> None:
        """Count `order_count` orders as soon as the account's limits allow. Raises RetryLater: not within `wait_s`."""
        if self._opened.is_set() and not self._queued and self._wait_ns(order_count) == 0:
            self._windows.add(order_count, self._context.monotonic_ns())
            return
        self._queued += 1
        try:
            async with asyncio.timeout(wait_s):
                await self._opened.wait()
                async with self._turn:
                    while (wait_ns := self._wait_ns(order_count)) > 0:
                        if wait_ns > wait_s * SECOND_NS:
                            raise RetryLater(
                                wait_ns / SECOND_NS, f"the account's limits on orders are used up: {self.status()}"
                            )
                        await asyncio.sleep(wait_ns / SECOND_NS)
                    self._windows.add(order_count, self._context.monotonic_ns())
        except TimeoutError:
            reason = (
                f"the account's limits on orders are used up: {self.status()}"
                if self._opened.is_set()
                else f"{UNOPENED} {self.problem}"
            )
            raise RetryLater(1.0, reason) from None
        finally:
            self._queued -= 1

    def _wait_ns(self, order_count: int) -> int:
        wait_ns = self._windows.wait_ns(order_count, self._context.monotonic_ns())
        if wait_ns is None:
            raise Rejected("too_many_orders", f"{order_count} orders at once are more than the account's limits allow")
        return wait_ns

    def _spend(self, lane: Lane, cost: dict[str, int]) -> bool:
        block = lane.block
        if block is None or self._context.monotonic_ns() >= block.until_ns:
            return False
        if any(block.unspent.get(name, 0) < amount for name, amount in cost.items()):
            return False
        for name, amount in cost.items():
            block.unspent[name] -= amount
            block.spent[name] = block.spent.get(name, 0) + amount
        return True

    async def _fill(self, lane: Lane, cost: dict[str, int], wait_s: float) -> None:
        self._give_back(lane)
        asked = {
            name: max(amount, min(amount * self._ahead, self._egress[name].amount // SHARE))
            for name, amount in cost.items()
        }
        lease = await self._budget.acquire(tuple(asked.items()), lane.priority, wait_s)
        until_ns = self._context.monotonic_ns() + BLOCK_NS
        lane.block = Block(lease, {name: asked[name] - cost[name] for name in asked}, dict(cost), until_ns)

    def give_back(self) -> None:
        """End the current blocks and return their unspent units."""
        for lane in (self._orders, self._cancels):
            self._give_back(lane)

    def _give_back(self, lane: Lane) -> None:
        block, lane.block = lane.block, None
        if block is not None:
            self._budget.lost(block.lease, tuple(block.spent.items()))

    def answered(self, response: HttpResponse, cost: Cost) -> None:
        """Report what the answer says about limits to the limits role; at once where one was hit."""
        now_ns = self._context.monotonic_ns()
        stated = (
            (name, plain_count(response.headers.get(header, ""))) for header, name in self._account_headers.items()
        )
        self._windows.observe({name: count for name, count in stated if count is not None}, now_ns)
        answer = self._budget.read(response.status, response.headers, response.body, cost)
        if answer.hit is not None or now_ns - self._reported_ns >= REPORT_NS:
            self._reported_ns = now_ns
            self._budget.observe(answer)

    def beat(self) -> None:
        """Return the blocks whose lease is about to end."""
        for lane in (self._orders, self._cancels):
            if lane.block is not None and self._context.monotonic_ns() >= lane.block.until_ns:
                self._give_back(lane)

    async def close(self) -> None:
        self.give_back()

    def status(self) -> dict[str, Any]:
        now_ns = self._context.monotonic_ns()
        return {
            name: {"limit": window.amount, "used": window.used(now_ns)}
            for name, window in self._windows.windows.items()
        }
