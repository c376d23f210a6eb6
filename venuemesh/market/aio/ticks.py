"""Clock ticks for strategies."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

from ...model.errors import Misconfigured
from ...model.time import SECOND_NS
from ...orderbook.view.waits import AsyncSleep, AsyncWaits


async def every(
    seconds: float,
    *,
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
    sleep: AsyncSleep = AsyncWaits.sleep,
) -> AsyncIterator[int]:
    """Yield the number of the tick: 0 at once, then one every `seconds` of the monotonic clock.

    Ticks stay on the grid of the first tick. A slow consumer misses the ticks that pass meanwhile; the next number
    shows how many it missed. `monotonic_ns` and `sleep` define the time: a replay passes its own.
    """
    AsyncWaits.begin()
    if not seconds > 0:
        raise Misconfigured("every", f"{seconds!r} seconds between ticks; it must be more than 0")
    period = max(1, round(seconds * SECOND_NS))
    first = monotonic_ns()
    tick = 0
    while True:
        yield tick
        late = monotonic_ns() - first
        tick = max(tick + 1, late // period)
        await sleep(max(0, first + tick * period - monotonic_ns()) / SECOND_NS)
