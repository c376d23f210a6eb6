"""REST through the rate budget: acquire, send, and tell the limits role what the exchange answered."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from ..connectors.protocol import ExchangeSpec
from ..model.errors import MeshError, RetryLater
from ..model.events import Request, Response
from .limits_machine import Priority
from .role import Context

TELLING_MAX = 64  # reports under way at once; one more is dropped: the next answer says the same


class Sender(Protocol):
    """The part of `connectors.transport.Rest` that is used; tests hand in their own."""

    async def send(self, request: Request, timeout_s: float | None = None) -> Response: ...
    async def close(self) -> None: ...


class Budgeted:
    """Sends requests of one exchange from one egress, each under a lease of `limits/<exchange>/<egress>`."""

    def __init__(self, context: Context, spec: ExchangeSpec, exchange: str, egress: str, rest: Sender) -> None:
        self._context = context
        self._spec = spec
        self._limits = f"limits/{exchange}/{egress}"
        self._rest = rest
        self._telling: set[asyncio.Task[None]] = set()

    async def send(self, request: Request, wait_s: float = 5.0, priority: Priority = Priority.NORMAL) -> Response:
        """Return the exchange's answer, whatever its status.

        Raises:
            RetryLater, InboxFull, OutcomeUnknown: not granted within `wait_s`; nothing was sent.
            RetryLater, OutcomeUnknown, DecodeError: as `Rest.send`.
        """
        cost = {name: amount for name, amount in request.cost if name in self._spec.limits}
        body = {"cost": cost, "holder": self._context.address, "wait_s": wait_s, "priority": int(priority)}
        granted = await self._context.ask(self._limits, "acquire", body, wait_s + 1.0)
        lease = granted["lease"]
        try:
            response = await self._rest.send(request)
        except RetryLater:
            self._tell("release", {"lease": lease, "spent": None})  # it never left
            raise
        except BaseException:
            self._tell("release", {"lease": lease, "spent": cost})
            raise
        self._tell("observe", {**observed(self._spec, response.status, response.headers), "lease": lease})
        return response

    async def close(self) -> None:
        await self._rest.close()
        for task in list(self._telling):
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _tell(self, kind: str, body: dict[str, Any]) -> None:
        if len(self._telling) < TELLING_MAX:
            task = asyncio.get_running_loop().create_task(self._ask(kind, body))
            self._telling.add(task)
            task.add_done_callback(self._told)

    async def _ask(self, kind: str, body: dict[str, Any]) -> None:
        try:
            await self._context.ask(self._limits, kind, body)
        except MeshError:
            return  # whoever keeps the budget next assumes the worst, so nothing depends on this

    def _told(self, task: asyncio.Task[None]) -> None:
        self._telling.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._context.fail(error)


def observed(spec: ExchangeSpec, status: int, headers: dict[str, str]) -> dict[str, Any]:
    """Return what an answer says about the budget, as the limits role's `observe` takes it."""
    after = headers.get("retry-after", "")
    return {
        "used": {
            limit: int(headers[name]) for name, limit in spec.used_headers.items() if headers.get(name, "").isdecimal()
        },
        "status": status,
        "retry_after_s": float(after) if after.isdecimal() else None,
    }
