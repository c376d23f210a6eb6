"""Whether this process may send orders: it did not stand still, or its node was confirmed since.

A process that stood still (a stopped or suspended host, a debugger) decided on old books. Meanwhile its node may have
been given up, and another copy of its strategy may trade. So after a pause of more than `PAUSE_S` its orders are
refused until the supervisor has confirmed that the node is part of the mesh. Cancels are never refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from ..model.errors import MeshError, RetryLater
from ..model.time import SECOND_NS, in_ns
from .leases import OWNER_LEASE_S

PAUSE_S = OWNER_LEASE_S  # after such a pause an owner counts as dead
BEAT_S = 0.5
AGAIN_S = 0.5  # between two requests for the confirmation
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the first counts while the machine is suspended


def boot_ns() -> int:
    """Return the time since boot in ns, with the time in suspension where the system counts it."""
    return time.clock_gettime_ns(_CLOCK)


class Presence:
    """Lives on the session's loop. `confirm` returns whether the node is part of the mesh; it may raise MeshError."""

    def __init__(self, confirm: Callable[[], Awaitable[bool]], now_ns: Callable[[], int] = boot_ns) -> None:
        self._confirm, self._now_ns = confirm, now_ns
        self._seen_ns = now_ns()
        self._pauses = 0
        self._doubt = ""  # why orders are refused; empty: they are not
        self._waiting = asyncio.Event()  # set while there is a doubt

    def check(self) -> None:
        """Raises RetryLater: this process stood still, and its node is not confirmed yet. Nothing was sent."""
        self._look()
        if self._doubt:
            raise RetryLater(AGAIN_S, f"{self._doubt}; orders are refused until the supervisor confirms the node")

    async def keep(self) -> None:
        """Notice pauses, and confirm the node after each; for ever."""
        while True:
            try:
                async with asyncio.timeout(BEAT_S):
                    await self._waiting.wait()
            except TimeoutError:
                self._look()
            if self._doubt:
                await self._settle()

    def _look(self) -> None:
        now_ns = self._now_ns()
        paused_ns, self._seen_ns = now_ns - self._seen_ns, now_ns
        if paused_ns > in_ns(PAUSE_S):
            self._pauses += 1
            self._doubt = f"this process stood still for {paused_ns / SECOND_NS:.1f} s"
            self._waiting.set()

    async def _settle(self) -> None:
        """Ask until the node is confirmed, or another pause has begun a new doubt."""
        from loguru import logger  # not before it is needed: commands start faster without it

        pauses = self._pauses
        logger.warning("{}: its orders are refused until the supervisor confirms its node", self._doubt)
        while True:
            try:
                is_part = await self._confirm()
            except MeshError:
                is_part = False  # no answer: the doubt remains
            self._look()
            if self._pauses != pauses:
                return
            if is_part:
                self._doubt = ""
                self._waiting.clear()
                logger.info("the node is part of the mesh: orders are sent again")
                return
            await asyncio.sleep(AGAIN_S)
