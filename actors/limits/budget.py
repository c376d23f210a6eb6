"""Uses the rate budget of an exchange: takes a lease before each request and reports the use afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from ...connectors.limit_answers import Cost, LimitAnswer, cause_of
from ...connectors.reading import plain_count
from ...connectors.spec import ExchangeSpec
from ...model.address import limits_address
from ...model.errors import MeshError, RetryLater
from ...model.http import HttpRequest, HttpResponse
from ..cell.role import Context
from .machine import Priority

CONNECTION = (("connections", 1),)
WAIT_S = 5.0
# most unanswered messages to the limits role; a further message is dropped, because the next answer repeats the counts
TELLING_MAX = 64


class RestLike(Protocol):
    """The part of `connectors.transport.Rest` that a budget uses."""

    async def send(self, request: HttpRequest, timeout_s: float | None = None) -> HttpResponse: ...
    async def close(self) -> None: ...


class Budget:
    """The rate budget of one exchange from one egress, as the role `limits/<exchange>/<egress>` grants it.

    Reports return at once and never raise: an unreported lease counts as spent in full, and a successor of the limits
    role assumes the worst.
    """

    def __init__(self, context: Context, spec: ExchangeSpec, exchange: str, egress: str) -> None:
        self._context = context
        self._spec = spec
        self._limits = limits_address(exchange, egress)
        self._telling: set[asyncio.Task[None]] = set()

    async def acquire(self, cost: Cost, priority: Priority = Priority.NORMAL, wait_s: float = WAIT_S) -> int:
        """Wait until `cost` may be spent and return the lease.

        Raises:
            RetryLater, InboxFull, OutcomeUnknown: not granted within `wait_s`.
        """
        body = {
            "cost": self._counted(cost),
            "holder": self._context.address,
            "wait_s": wait_s,
            "priority": int(priority),
        }
        granted = await self._context.ask(self._limits, "acquire", body, wait_s + 1.0)
        lease: int = granted["lease"]
        return lease

    async def connection(self) -> Callable[[], None]:
        """Wait until a connection may be attempted. Return what to call when the attempt was answered or has failed.

        Raises as `acquire`.
        """
        lease = await self.acquire(CONNECTION, Priority.URGENT)
        return lambda: self.lost(lease, CONNECTION)

    def answered(self, lease: int, response: HttpResponse, cost: Cost) -> None:
        """Report the exchange's answer to the request of `lease`, and end the lease."""
        self.observe(self.read(response.status, response.headers, response.body, cost), lease)

    def refused(self, status: int, headers: Mapping[str, str]) -> None:
        """Report the HTTP status that answered an attempt to connect."""
        self.observe(self.read(status, headers))

    def read(self, status: int, headers: Mapping[str, str], body: bytes = b"", cost: Cost = ()) -> LimitAnswer:
        """Return what an answer says about limits; a hit has its pause from now on."""
        answer, spec = self._spec.limit_answer(status, headers, body, cost), self._spec
        if answer.hit is not None:
            hit = replace(answer.hit.at(self._context.time_ns()), cause=cause_of(status, headers, body))
            answer = replace(answer, hit=hit)
        counts = ((limit, plain_count(headers.get(name, ""))) for name, limit in spec.used_headers.items())
        used = {limit: count for limit, count in counts if count is not None}
        return LimitAnswer(answer.hit, used | dict(answer.used), answer.remaining) if used else answer

    def unsent(self, lease: int) -> None:
        """Return `lease`: no request was sent under it."""
        self._send("release", {"lease": lease, "spent": None})

    def lost(self, lease: int, cost: Cost) -> None:
        """End `lease` as spent: its request may have reached the exchange."""
        self._send("release", {"lease": lease, "spent": self._counted(cost)})

    async def close(self) -> None:
        """Cancel the reports under way."""
        for task in list(self._telling):
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _counted(self, cost: Cost) -> dict[str, int]:
        return {name: amount for name, amount in cost if name in self._spec.limits}

    def observe(self, answer: LimitAnswer, lease: int | None = None) -> None:
        """Report what an answer says about limits of the egress, and end the lease of its request."""
        hit, limits = answer.hit, self._spec.limits
        used = {name: max(0, limits[name].amount - rest) for name, rest in answer.remaining.items() if name in limits}
        reported = None
        if hit is not None and (not hit.limits or not limits.keys().isdisjoint(hit.limits)):
            reported = {"wait_s": hit.wait_s, "limits": [name for name in hit.limits if name in limits]} | {
                "cause": hit.cause
            }
        self._send("observe", {"used": used | dict(answer.used), "hit": reported, "lease": lease})

    def _send(self, kind: str, body: dict[str, Any]) -> None:
        if len(self._telling) < TELLING_MAX:
            task = asyncio.get_running_loop().create_task(self._ask(kind, body))
            self._telling.add(task)
            task.add_done_callback(self._reported)

    async def _ask(self, kind: str, body: dict[str, Any]) -> None:
        try:
            await self._context.ask(self._limits, kind, body)
        except MeshError:
            return

    def _reported(self, task: asyncio.Task[None]) -> None:
        self._telling.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._context.fail(error)


class Budgeted:
    """REST within a budget: every request waits for its lease."""

    def __init__(self, budget: Budget, rest: RestLike) -> None:
        self._budget = budget
        self._rest = rest

    async def send(
        self, request: HttpRequest, priority: Priority = Priority.NORMAL, wait_s: float = WAIT_S
    ) -> HttpResponse:
        """Return the exchange's response, of any status.

        Raises:
            RetryLater, InboxFull, OutcomeUnknown: not granted within `wait_s`; nothing was sent.
            RetryLater, OutcomeUnknown, DecodeError: as `Rest.send`.
        """
        lease = await self._budget.acquire(request.cost, priority, wait_s)
        try:
            response = await self._rest.send(request)
        except RetryLater:
            self._budget.unsent(lease)
            raise
        except BaseException:
            self._budget.lost(lease, request.cost)
            raise
        self._budget.answered(lease, response, request.cost)
        return response

    async def close(self) -> None:
        await self._rest.close()
        await self._budget.close()
