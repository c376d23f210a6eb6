"""Clock ticks for strategies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from ..model.errors import Misconfigured


async def every(
    seconds: float,
    *,
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[int]:
    """Yield the number of the tick, 0 at once and then one every `seconds` of the monotonic clock.

    Ticks keep to the grid of the first one: a consumer that takes long is not given the ticks it slept through, the
    number tells it how many those were. `monotonic_ns` and `sleep` are the time it runs by: replay passes its own.
    """
    if not seconds > 0:
        raise Misconfigured("every", f"{seconds!r} seconds between ticks; it must be more than 0")
    period = max(1, round(seconds * 1_000_000_000))
    first = monotonic_ns()
    tick = 0
    while True:
        yield tick
        late = monotonic_ns() - first
        tick = max(tick + 1, late // period)
        await sleep(max(0, first + tick * period - monotonic_ns()) / 1_000_000_000)
