"""The role `limits/<exchange>/<egress>`: one rate budget, shared by all actors that use it.

`machine` decides about grants and explains why they are safe. This shell waits, wakes and answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from loguru import logger

from ...connectors.limit_answers import Hit
from ...connectors.spec import Limit
from ...model.errors import Rejected, RetryLater
from ...model.time import SECOND_NS, in_ns
from ..cell.role import Context
from .bucket import Rest
from .machine import Granted, Lease, LimitsMachine, Priority
from .settings import LimitsSettings


class LimitsRole:
    """Serves a `LimitsMachine` to the mesh.

    acquire {"cost": {limit: units}, "holder": address, "wait_s": 5.0, "priority": -1|0|1|2|3}
        -> {"lease": id, "expires_ns": monotonic clock of this role's node, "ttl_s": seconds from now}
        Waits for at most `wait_s`, and with priority SPARE (3) not at all. Raises RetryLater (with the delay),
        InboxFull, Rejected.
        Idempotent in effect: a grant whose reply is lost ends by itself and counts as spent.
    release {"lease": id, "spent": {limit: units} | None} -> bool    returns the unspent units
    observe {"used": {limit: the exchange's count}, "hit": {"wait_s": x, "limits": [name], "cause": text} | None,
             "lease": id | None, "keep": False} -> None
        `lease` names the grant of the request; a lower count counts only with a lease. The lease ends as spent in
        full; `keep` leaves it open, for a block with units left.
    cooldown -> {"cooldown_s": x};  poll cooldown {"cooling": bool} -> the same, once the cool-down has begun or ended
    poll levels {"after": version} -> a promise of this role to its successor (see `promises`), for the supervisor;
        `version` acknowledges the last one
    inherit {"promise": the predecessor's, "age_s": seconds since it came, "shared": bool, "rest": see `Rest`} -> None
        once, from the supervisor; `shared`: the predecessor may still grant, until `alone`
    alone -> None    the predecessor has ended

    State is in memory only: a successor starts with empty buckets (see `machine`), and has what its predecessor
    promised once it inherits. `limits` replaces the spec's.
    """

    reads = frozenset({"cooldown", "levels"})

    def __init__(
        self, settings: LimitsSettings, context: Context, *, limits: Mapping[str, Limit] | None = None
    ) -> None:
        self._context = context
        if limits is None:
            limits = settings.limits()
        self._fresh = context.restarts == 0
        self._began_ns = context.monotonic_ns()
        self._has_inherited = self._fresh
        self._promise_wanted = asyncio.Event()
        self._machine = LimitsMachine(context.address, limits, self._began_ns, self._fresh)
        self._tickets: dict[int, asyncio.Future[Lease]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._was_cooling = False

    async def start(self) -> None:
        self._pump()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for ticket in list(self._tickets.values()):
            if not ticket.done():
                ticket.set_exception(RetryLater(0.1, f"{self._context.address} stops"))

    async def handle(self, kind: str, body: Any) -> Any:
        now_ns = self._context.monotonic_ns()
        match kind:
            case "acquire":
                return await self._acquire(body, now_ns)
            case "release":
                ended = self._machine.release(int(body["lease"]), body.get("spent"), now_ns)
                self._pump()
                return ended
            case "observe":
                hit = body.get("hit")
                self._machine.observe(
                    body.get("used") or {},
                    None
                    if hit is None
                    else Hit(float(hit["wait_s"]), tuple(hit["limits"]), cause=str(hit.get("cause", ""))),
                    body.get("lease"),
                    now_ns,
                    keep=bool(body.get("keep", False)),
                )
                self._pump()
                return None
            case "cooldown":
                return self._cooldown()
            case "inherit":
                rest = Rest(body.get("rest", Rest.WHOLE))  # an older supervisor stores no promises
                return self._inherit(body["promise"], in_ns(body["age_s"]), now_ns, bool(body["shared"]), rest)
            case "alone":
                self._machine.alone(now_ns)
                self._pump()
                return None
        raise self._context.unknown(kind)

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        if kind == "levels":
            return await self._promise(int((body or {}).get("after", 0)), timeout_s)
        if kind != "cooldown":
            raise self._context.unknown_poll(kind)
        try:
            async with asyncio.timeout(timeout_s):
                while (self._cooldown()["cooldown_s"] > 0) is bool((body or {}).get("cooling", False)):
                    await self._changed.wait()
        except TimeoutError:
            pass  # nothing changed: reply with the same value
        return self._cooldown()

    async def _promise(self, acknowledged: int, timeout_s: float) -> dict[str, Any]:
        """Return a new promise; the acknowledged one if nothing has changed until the timeout."""
        promises = self._machine.promises
        promises.acknowledge(acknowledged)
        self._pump()  # requests may have waited for it
        if acknowledged == promises.version and acknowledged:
            self._promise_wanted.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    while not promises.is_wanted(self._machine.cool_ns):
                        await self._promise_wanted.wait()
                        self._promise_wanted.clear()
            if promises.is_current(self._context.monotonic_ns(), self._machine.cool_ns):
                return promises.newest(self._context.monotonic_ns(), self._machine.cool_ns)
        return promises.make(self._context.monotonic_ns(), self._machine.cool_ns)

    def _inherit(self, promise: Mapping[str, Any], age_ns: int, now_ns: int, shared: bool, rest: Rest) -> None:
        if self._has_inherited:
            return
        self._has_inherited = True
        before_ns = max(0, age_ns - (now_ns - self._began_ns))
        self._machine.inherit(promise, before_ns, self._began_ns, now_ns, shared, rest)
        free = {name: bucket.free for name, bucket in self._machine.buckets.items()}
        logger.info("inherited a budget", age_s=age_ns / SECOND_NS, shared=shared, rest=rest, **free)
        self._pump()

    def status(self) -> dict[str, Any]:
        status = self._machine.status(self._context.monotonic_ns())
        cooling = status["cooldown_s"] > 0
        error = None
        if cooling:
            cause = f" ({self._machine.cause})" if self._machine.cause else ""
            error = f"the exchange refused a request for its rate{cause}; nothing is granted for "
            error += f"{status['cooldown_s']:.0f} s"
        own = {"fresh": self._fresh, "shared": self._machine.promises.is_shared}
        return {"state": "COOLING" if cooling else "SERVING", "error": error, **own, **status}

    def beat(self) -> None:
        self._pump()

    async def _acquire(self, body: Mapping[str, Any], now_ns: int) -> dict[str, Any]:
        try:
            priority = Priority(body.get("priority", Priority.NORMAL))
        except ValueError as error:
            raise Rejected("bad_priority", str(error)) from error
        wait_s = float(body.get("wait_s", 0.0))
        ticket = self._machine.acquire(body["cost"], str(body["holder"]), wait_s, now_ns, priority)
        future = self._tickets[ticket] = asyncio.get_running_loop().create_future()
        self._pump()
        try:
            lease = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                # The grant was never sent
                self._machine.release(future.result().id, None, self._context.monotonic_ns())
            else:
                self._machine.cancel(ticket, self._context.monotonic_ns())
            raise
        finally:
            self._tickets.pop(ticket, None)
        left_s = (lease.expires_ns - self._context.monotonic_ns()) / SECOND_NS
        return {"lease": lease.id, "expires_ns": lease.expires_ns, "ttl_s": left_s}

    def _cooldown(self) -> dict[str, Any]:
        return {"cooldown_s": max(0.0, (self._machine.cool_ns - self._context.monotonic_ns()) / SECOND_NS)}

    def _pump(self) -> None:
        """Perform due actions and set the timer for the next deadline."""
        now_ns = self._context.monotonic_ns()
        for effect in self._machine.advance(now_ns):
            future = self._tickets.get(effect.ticket)
            if future is None or future.done():
                if isinstance(effect, Granted):
                    self._machine.release(effect.lease.id, None, now_ns)
            elif isinstance(effect, Granted):
                future.set_result(effect.lease)
            else:
                future.set_exception(effect.error)
        cooling = now_ns < self._machine.cool_ns
        if cooling is not self._was_cooling:
            self._was_cooling = cooling
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._machine.promises.is_wanted(self._machine.cool_ns):
            self._promise_wanted.set()
        next_ns = self._machine.next_ns()
        if next_ns is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.001, (next_ns - now_ns) / SECOND_NS), self._pump)
