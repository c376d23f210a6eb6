"""Estimates the exchange's clock.

Every signature carries the exchange's time, and every proof of absence depends on it. The clock is measured before the
first request, every `every_s` after that, and at once when the exchange refuses a request as outside its validity
window or when the wall clock of this machine jumps against the monotonic clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ...connectors.exchange_clock import ClockOffset
from ...connectors.market_codec import Codec
from ...model.errors import DataError, InboxFull, OutcomeUnknown, Rejected, RetryLater
from ...model.http import HttpRequest, HttpResponse
from ..cell.background import Background
from ..cell.role import Context

SAMPLES = 3  # round trips of one measurement
EVERY_S = 60.0
PAUSE_S = 0.25  # least time between two measurements
AGAIN_S = 1.0  # after a measurement that failed
EXPECTED = (RetryLater, OutcomeUnknown, InboxFull, Rejected, DataError)


class ExchangeClock:
    """Call `start`, then `beat` at intervals, then `stop`. `now_ns` is the exchange's time since the Unix epoch."""

    def __init__(
        self,
        context: Context,
        codec: Codec,
        send: Callable[[HttpRequest], Awaitable[tuple[int, HttpResponse]]],
        every_s: float = EVERY_S,
    ) -> None:
        """`send` sends a request and returns (monotonic time of sending, response)."""
        self._context, self._codec, self._send, self._every_s = context, codec, send, every_s
        self._offset = ClockOffset(codec.spec.time_resolution_ns)
        self._measured = asyncio.Event()
        self._requested = asyncio.Event()
        self._background = Background()
        self._error: str | None = None
        self._requests = 0

    def start(self) -> None:
        self._background.start(self._keep())

    async def stop(self) -> None:
        await self._background.stop()

    @property
    def is_known(self) -> bool:
        """Whether the clock was measured, or the exchange offers no way to read it."""
        return self._measured.is_set()

    def now_ns(self) -> int:
        if not self._offset.is_known:
            return self._context.time_ns()
        return self._offset.exchange_now_ns(self._context.monotonic_ns())

    def earliest_ns(self) -> int:
        """Return the earliest time that the exchange's clock can show now.

        Proofs that a deadline has passed use this time.
        """
        if not self._offset.is_known:
            return self._context.time_ns()
        mono_ns = self._context.monotonic_ns()
        return self._offset.exchange_now_ns(mono_ns) - self._offset.error_ns(mono_ns)

    async def ready(self, timeout_s: float = 10.0) -> None:
        """Wait until the clock was measured once. Raises RetryLater."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._measured.wait()
        except TimeoutError:
            raise RetryLater(
                1.0, f"the exchange's clock is not known yet: {self._error or 'no answer so far'}"
            ) from None

    async def measure_again(self, timeout_s: float = 5.0) -> None:
        """Wait for a measurement that begins after this call. Raises RetryLater."""
        self._measured.clear()
        self.measure_soon()
        await self.ready(timeout_s)

    def measure_soon(self) -> None:
        """Request a measurement: the exchange refused a timestamp, or a clock was set."""
        self._requests += 1
        self._requested.set()

    def beat(self) -> None:
        """Request a measurement if the wall clock was set or the machine slept."""
        context = self._context
        if self._offset.watch(context.time_ns(), context.monotonic_ns()):
            self.measure_soon()

    def status(self) -> dict[str, Any]:
        """Return `clock_offset_ms`, the exchange's clock minus ours, and `clock_error_ms`, its error in both
        directions."""
        context, known = self._context, self._offset.is_known
        mono_ns = context.monotonic_ns()
        apart_ns = self._offset.exchange_now_ns(mono_ns) - context.time_ns() if known else 0
        return {
            "clock_offset_ms": apart_ns / 1e6 if known else None,
            "clock_error_ms": self._offset.error_ns(mono_ns) / 1e6 if known else None,
            "clock_requests": self._requests,
            "clock_problem": self._error,
        }

    async def _keep(self) -> None:
        try:
            while True:
                self._requested.clear()
                wait_s = self._every_s
                if not await self._measure():
                    wait_s = AGAIN_S
                try:
                    async with asyncio.timeout(wait_s):
                        await self._requested.wait()
                    await asyncio.sleep(PAUSE_S)
                except TimeoutError:
                    continue
        except Exception as failure:  # the top of this shell: an unexpected error ends the cell
            self._context.fail(failure)
            raise

    async def _measure(self) -> bool:
        for _ in range(SAMPLES):
            request = self._codec.time_request()
            if request is None:
                break
            try:
                sent_ns, response = await self._send(request)
                recv_ns = self._context.monotonic_ns()
                failure = self._codec.failure(response)
                if failure is not None:
                    raise failure
                server_ns = self._codec.server_time(response.body)
            except EXPECTED as error:
                self._error = f"the exchange's clock could not be read: {error}"
                return False
            self._offset.add(sent_ns, recv_ns, server_ns)
        self._error = None
        self._measured.set()
        return True
