"""Keeps the exchange's dead-man switch of an account armed: unless renewed, it cancels the account's orders.

The manager arms the switch after it has loaded the account, and renews it after each third of its time. An orderly stop
disarms the switch, after the answer to a renewal under way, because the exchange could execute that renewal later than
the end. A manager that dies or loses the exchange leaves the switch armed. A manager that was replaced leaves it armed,
too, because its successor already renews the switch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from loguru import logger

from ...connectors.order_codec import DeadManSwitch
from ...model.errors import MeshError, Misconfigured
from ...model.time import SECOND_NS
from ..account.gateway import Gateway
from ..limits.machine import Priority

RENEWALS = 3  # attempts within the time of the switch
RETRY_S = 1.0
DISARM_S = 2.0  # longest wait for the last answers
RENEWED_S = 1.0  # of which for the answer to a renewal under way


class DeadMan:
    """See the module. Await `run` in a task, then `disarm`."""

    def __init__(self, gateway: Gateway, after_s: int, monotonic_ns: Callable[[], int]) -> None:
        """Raises Misconfigured: the exchange has no such switch, or takes no such time."""
        codec, offered = gateway.codec, gateway.codec.offer.dead_man_s
        if offered is None or not isinstance(codec, DeadManSwitch):
            raise Misconfigured("dead_man_s", f"{gateway.spec.exchange} has no dead-man switch")
        if not offered[0] <= after_s <= offered[1]:
            raise Misconfigured("dead_man_s", f"{gateway.spec.exchange} takes {offered[0]} to {offered[1]} s")
        self._gateway, self._codec, self._after_s = gateway, codec, after_s
        self._monotonic_ns = monotonic_ns
        self._renewal: asyncio.Task[bool] | None = None
        self._armed_ns: int | None = None
        self._problem = ""

    async def run(self) -> None:
        """Arm the switch and renew it in time."""
        while True:
            self._renewal = asyncio.get_running_loop().create_task(self._arm())
            is_armed = await asyncio.shield(self._renewal)  # a cancelled renewal could still reach the exchange
            await asyncio.sleep(self._after_s / RENEWALS if is_armed else RETRY_S)

    async def _arm(self) -> bool:
        asked_ns = self._monotonic_ns()
        try:
            await self._gateway.read(self._codec.dead_man(self._after_s), Priority.ORDER)
        except MeshError as error:
            if not self._problem:
                logger.warning("the dead-man switch is not renewed", reason=str(error))
            self._problem = str(error)
            return False
        self._armed_ns, self._problem = asked_ns, ""
        return True

    async def disarm(self) -> None:
        """Disarm the switch. If this fails, the exchange cancels the orders when the time is over."""
        with contextlib.suppress(MeshError, TimeoutError):
            async with asyncio.timeout(DISARM_S):
                if self._renewal is not None:
                    await asyncio.wait({self._renewal}, timeout=RENEWED_S)
                    self._renewal.cancel()
                await self._gateway.read(self._codec.dead_man(0), Priority.ORDER)

    def status(self) -> dict[str, Any]:
        """Return the time of the switch, how long ago it was last armed (None: never), and why it is not renewed."""
        age_s = None if self._armed_ns is None else (self._monotonic_ns() - self._armed_ns) / SECOND_NS
        return {"after_s": self._after_s, "armed_s_ago": age_s, "problem": self._problem or None}
