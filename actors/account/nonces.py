"""The nonces of one key, and the order in which requests with nonces are written.

An exchange with nonces refuses a request after it has accepted a higher nonce of the same key. So one process owns the
nonces of an account's key: the order manager. A request takes the next nonce when it is signed. It is written in its
turn: after all requests with lower nonces are answered or given up. At most one request of a key is in flight.

    take() -> sign -> journal -> turn(): write, answer -> the next one's turn

A nonce is the time in ms since the Unix epoch, or the last nonce plus one if that is higher. So a successor, or another
program that uses the key later, needs no memory of earlier nonces. `raise_above` sets the highest journaled nonce, in
case the clock went back. If the exchange refuses a nonce nevertheless (another program uses the key), the nonces jump
ahead, at most an hour: a larger jump would lock out every program that uses the time as its nonce.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from ...model.errors import Misconfigured, RetryLater
from ...model.time import MILLISECOND_NS, MINUTE_NS

STUCK_S = 5.0  # how long a request whose write has not begun may delay later ones
LEAPS_MS = (0, 1_000, 10_000, 60_000, 600_000)  # the jump, by the number of refusals in a row
FAR_MS = 60 * MINUTE_NS // MILLISECOND_NS


class Nonces:
    """See the module. Used on one event loop. `time_ns` is the wall clock."""

    def __init__(self, time_ns: Callable[[], int], stuck_s: float = STUCK_S) -> None:
        self._time_ns, self._stuck_s = time_ns, stuck_s
        self._last = 0
        self._open: dict[int, None] = {}  # taken but not ended, in rising order
        self._writing: int | None = None
        self._moved = asyncio.Event()
        self._misses = 0
        self.refusals = 0

    def raise_above(self, mark: int) -> None:
        """From now on return only nonces above `mark`."""
        self._last = max(self._last, mark)

    def take(self) -> int:
        """Return the next nonce. The caller must end it, by `turn` or `end`.

        Raises:
            Misconfigured: the exchange has accepted nonces of this key that are more than an hour ahead of the time.
        """
        now_ms = self._time_ns() // MILLISECOND_NS
        if self._misses and self._last > now_ms + FAR_MS:
            reason = "another program uses it with nonces that are not the time in ms; make a key for this mesh alone"
            raise Misconfigured("the API key", reason)
        self._last = max(self._last + 1, now_ms)
        self._open[self._last] = None
        return self._last

    @contextlib.asynccontextmanager
    async def turn(self, nonce: int) -> AsyncIterator[None]:
        """Wait until no lower nonce is open; make higher nonces wait while the block runs, and end this nonce after it.

        Raises:
            RetryLater: the nonce was ended before, so a later one may have been written. Nothing was sent.
        """
        try:
            await self._first(nonce)
            self._writing = nonce
            yield
        finally:
            self.end(nonce)

    async def _first(self, nonce: int) -> None:
        while nonce in self._open:
            head = next(iter(self._open))
            if head == nonce:
                return
            try:
                async with asyncio.timeout(self._stuck_s):
                    await self._moved.wait()
            except TimeoutError:
                if head != self._writing and head in self._open:
                    self.end(head)
        raise RetryLater(0.0, "the request could not be sent in the order of its nonce")

    def end(self, nonce: int) -> None:
        """End this nonce: its request was answered, or will not be written. Later requests continue."""
        if nonce in self._open:
            del self._open[nonce]
            if self._writing == nonce:
                self._writing = None
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()

    def answered(self, *, refused: bool) -> None:
        """Record an answer. `refused`: the exchange refused the nonce because it had accepted a higher one."""
        if not refused:
            self._misses = 0
            return
        self.refusals += 1
        self._last += LEAPS_MS[min(self._misses, len(LEAPS_MS) - 1)]
        self._misses += 1
